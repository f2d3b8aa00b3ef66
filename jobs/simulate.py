"""Make a world with a planted truth, as tables that the other jobs read."""

from collections.abc import Sequence
from pathlib import Path

from firstday import runner
from firstday.cli import run_job
from firstday.settings import SimulateSettings


def run(settings: SimulateSettings, run_id: str) -> Path | None:
    """Returns where the report is, or the tables if it has none; None if the output is a schema."""
    return runner.run("simulate", settings, run_id)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday simulate`."""
    run_job("simulate", argv)


if __name__ == "__main__":
    main()
