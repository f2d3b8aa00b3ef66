"""Run the whole loop: the jobs in turn, in one Spark session, those only that have something to do."""

from collections.abc import Sequence
from pathlib import Path

from firstday.cli import run_job
from firstday.loop.play import play
from firstday.settings import LoopSettings
from firstday.spark.session import leaving


def run(settings: LoopSettings, run_id: str) -> Path | None:
    """Run what has to run. Returns where the index page is; None if the output is a schema."""
    return play(settings, run_id)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday loop`."""
    with leaving():
        run_job("loop", argv)


if __name__ == "__main__":
    main()
