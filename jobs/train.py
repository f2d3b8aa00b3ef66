"""Train a ranker on lists with labels, measure it beside simple baselines, explain it, register it."""

from collections.abc import Sequence
from pathlib import Path

from firstday import runner
from firstday.cli import run_job
from firstday.settings import TrainSettings
from firstday.spark.session import leaving


def run(settings: TrainSettings, run_id: str) -> Path | None:
    """Returns where the report is, or the tables if it has none; None if the output is a schema."""
    return runner.run("train", settings, run_id)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday train`."""
    with leaving():
        run_job("train", argv)


if __name__ == "__main__":
    main()
