"""Remove people from the tables that the other jobs have written, and say what is left and why."""

from collections.abc import Sequence

from firstday import runner
from firstday.cli import run_job
from firstday.settings import ForgetSettings
from firstday.tables.forget import Forgetting


def run(settings: ForgetSettings, run_id: str) -> None:
    """Do it and publish what was done; with dry_run only say what would be."""
    runner.tend("forget", settings, run_id, Forgetting)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday forget`."""
    run_job("forget", argv)


if __name__ == "__main__":
    main()
