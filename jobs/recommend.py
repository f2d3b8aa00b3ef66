"""Make each customer's list of contents: recall, re-rank, filter, fill, choose banners, hand over."""

from collections.abc import Sequence
from pathlib import Path

from firstday import runner
from firstday.cli import run_job
from firstday.settings import RecommendSettings


def run(settings: RecommendSettings, run_id: str) -> Path | None:
    """Returns where the report is, or the tables if it has none; None if the output is a schema."""
    return runner.run("recommend", settings, run_id)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday recommend`."""
    run_job("recommend", argv)


if __name__ == "__main__":
    main()
