"""Find what, done on the first day, makes users stay: from users and events to one hypothesis."""

from collections.abc import Sequence
from pathlib import Path

from firstday import runner
from firstday.cli import run_job
from firstday.settings import DiscoverSettings


def run(settings: DiscoverSettings, run_id: str) -> Path | None:
    """Returns where the report is, or the tables if it has none; None if the output is a schema."""
    return runner.run("discover", settings, run_id)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday discover`."""
    run_job("discover", argv)


if __name__ == "__main__":
    main()
