"""Assign users to variants: read the plan, read the units, write who has which variant from when on."""

from collections.abc import Sequence
from pathlib import Path

from firstday import runner
from firstday.cli import run_job
from firstday.moments.plan import plan_from, written
from firstday.settings import AssignSettings
from firstday.spark.session import get_session
from firstday.tables import Sources


def run(settings: AssignSettings, run_id: str) -> Path | None:
    """Assign the units and publish, or write a plan. Returns the folder of the assignments (None if the
    output is a schema), or the plan.
    """
    found = settings.from_discovery
    if found is None:
        return runner.run("assign", settings, run_id)
    shortlist = Sources(get_session("firstday assign")).published(found, "shortlist")
    return written(plan_from(shortlist, settings.ranks, settings.starts_at), str(settings.plan))


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday assign`."""
    run_job("assign", argv)


if __name__ == "__main__":
    main()
