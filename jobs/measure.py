"""Say what came of an experiment: outcomes to sums, sums to estimates, estimates to a decision."""

from collections.abc import Sequence
from pathlib import Path

from firstday import runner
from firstday.cli import run_job
from firstday.settings import MeasureSettings


def run(settings: MeasureSettings, run_id: str) -> Path | None:
    """Returns where the report is, or the tables if it has none; None if the output is a schema."""
    return runner.run("measure", settings, run_id)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday measure`."""
    run_job("measure", argv)


if __name__ == "__main__":
    main()
