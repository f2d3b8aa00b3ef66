"""Correct labels: votes to patterns, a label model on the patterns, soft labels for the rows."""

from collections.abc import Sequence
from pathlib import Path

from firstday import runner
from firstday.cli import run_job
from firstday.settings import LabelSettings


def run(settings: LabelSettings, run_id: str) -> Path | None:
    """Returns where the report is, or the tables if it has none; None if the output is a schema."""
    return runner.run("label", settings, run_id)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday label`."""
    run_job("label", argv)


if __name__ == "__main__":
    main()
