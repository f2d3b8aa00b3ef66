"""Remove people from the tables that the other jobs have written, and say what is left and why."""

from collections.abc import Sequence
from datetime import UTC, datetime

from firstday import logs
from firstday.cli import run_job
from firstday.inputs.written import NAMES
from firstday.settings import ForgetSettings
from firstday.spark.local_rows import local_rows
from firstday.spark.session import get_session
from firstday.tables import forget, open_output
from firstday.tables.delta import Store
from firstday.tables.forget import Found
from firstday.tables.owned import at_work
from firstday.tracking import tracked_run

PURGED_LATER = (
    "Their files stay for readers of earlier versions until the next VACUUM after the retention of 7 days: "
    "run firstday maintain then, or purge now with --vacuum when nothing is at work there."
)


def run(settings: ForgetSettings, run_id: str) -> None:
    """Remove the people and publish what was done; with dry_run only say what would be."""
    spark = get_session("firstday forget")
    store = Store(spark, settings.out)
    with logs.step("Looking for them") as step:
        found = forget.find(store, settings.user, NAMES)
        step.note(tables=len(found), rows=sum(each.rows for each in found))
    busy = at_work(store, datetime.now(UTC))
    if settings.dry_run:
        _tell(found, settings, busy)
        return
    told = _without_ids(settings)
    with (
        tracked_run(settings.experiment_name, "forget", run_id=run_id, settings=told) as tracked,
        open_output(spark, settings.out, job="forget", run_id=run_id, schemas=forget.TABLES) as output,
    ):
        with logs.step("Removing their rows") as step:
            removed = forget.remove(store, found, settings.user)
            step.note(**{each.table: each.rows for each in removed if each.rows})
        rows = [(each.table, each.kind, each.rows, each.of_one_user) for each in removed]
        output.write("forgotten", local_rows(spark, rows, forget.FORGOTTEN))
        output.publish(inputs=[], settings=told)
        tracked.log_metrics({f"removed.{each.table}": each.rows for each in removed})
    if settings.vacuum:
        with logs.step("Purging earlier versions"):
            # All that hold rows of people: an earlier run may have removed rows without purging them.
            forget.purge(store, [each.table for each in removed if each.kind == "rows"])
    _tell(removed, settings, busy)


def _without_ids(settings: ForgetSettings) -> dict[str, object]:
    """The settings as they may be kept: what is to be forgotten is not written down again."""
    return settings.model_dump(mode="json", exclude={"user"}) | {"users": len(settings.user)}


def _tell(found: Sequence[Found], settings: ForgetSettings, busy: int) -> None:
    verb = "would be removed" if settings.dry_run else "removed"
    theirs = [each for each in found if each.rows]
    for each in theirs:
        logs.log.info(f"{each.table}: {each.rows:,} rows {verb}.")
    if not theirs:
        logs.log.info("Nothing was found: no row of this output carries such an id.")
    elif not settings.dry_run:
        logs.log.info("Earlier versions are purged." if settings.vacuum else PURGED_LATER)
    counted = [each for each in found if each.kind == "counts"]
    if counted:
        of_one = sum(each.of_one_user or 0 for each in counted)
        logs.log.info(
            f"{', '.join(each.table for each in counted)} count users and carry no id: no row can be told to "
            f"be theirs; {of_one:,} rows count one user, whoever it is. To count anew without them, remove "
            "them from the inputs and run the jobs again, discover without --daily."
        )
    if busy:
        logs.log.warning(
            f"{busy} other runs may be at work on this output: what they have read may hold these people, "
            "and is written later. Run this again when they are done."
        )


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday forget`."""
    run_job("forget", argv)


if __name__ == "__main__":
    main()
