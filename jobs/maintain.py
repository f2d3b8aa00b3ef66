"""Keep the tables that jobs have written in order: declared columns, larger files, no old versions."""

from collections.abc import Sequence

from firstday import runner
from firstday.cli import run_job
from firstday.settings import MaintainSettings
from firstday.tables.maintain import Maintenance


def run(settings: MaintainSettings, run_id: str) -> None:
    """Do it and publish what was done; with dry_run only say what would be."""
    runner.tend("maintain", settings, run_id, Maintenance)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday maintain`."""
    run_job("maintain", argv)


if __name__ == "__main__":
    main()
