"""Keep the tables that jobs have written in order: declared columns, larger files, no old versions."""

from collections.abc import Sequence
from datetime import timedelta

from firstday import logs
from firstday.cli import run_job
from firstday.inputs.written import NAMES, SCHEMAS
from firstday.settings import MaintainSettings
from firstday.spark.local_rows import local_rows
from firstday.spark.session import get_session
from firstday.tables import maintain, open_output
from firstday.tables.delta import Store
from firstday.tables.maintain import Evolved, Size
from firstday.tables.owned import owned_tables
from firstday.tracking import tracked_run

Row = tuple[str, int, int, int, int, int, list[str]]


def run(settings: MaintainSettings, run_id: str) -> None:
    """Do it and publish what was done; with dry_run only say what would be."""
    spark = get_session("firstday maintain")
    store = Store(spark, settings.out)
    owned = owned_tables(store, NAMES)
    if owned.others:
        logs.log.info(f"Not ours, and left alone: {', '.join(owned.others)}.")
    if settings.dry_run:
        _tell_columns(maintain.evolve(store, SCHEMAS, change=False), settings)
        for name in owned.tables:
            _tell(name, maintain.size(store, name), maintain.purgeable(store, name, settings.retention))
        return
    told = settings.model_dump(mode="json")
    with (
        tracked_run(settings.experiment_name, "maintain", run_id=run_id, settings=told) as tracked,
        open_output(spark, settings.out, job="maintain", run_id=run_id, schemas=maintain.TABLES) as output,
    ):
        evolved = maintain.evolve(store, SCHEMAS, change=settings.add_columns)
        _tell_columns(evolved, settings)
        added = evolved.added if settings.add_columns else {}
        rows = [_maintained(store, name, added.get(name, ()), settings.retention) for name in owned.tables]
        output.write("maintained", local_rows(spark, rows, maintain.MAINTAINED))
        output.publish(inputs=[], settings=told)
        tracked.log_metrics({f"files.{row[0]}": row[2] for row in rows})


def _maintained(store: Store, name: str, added: Sequence[str], retention: timedelta) -> Row:
    with logs.step(f"Maintaining {name}") as step:
        before = maintain.size(store, name)
        maintain.optimize(store, name)
        after = maintain.size(store, name)
        purged = maintain.purgeable(store, name, retention)
        if purged:
            maintain.vacuum(store, name, retention)
        step.note(files_before=before.files, files=after.files, purged=purged)
    return name, before.files, after.files, before.bytes, after.bytes, purged, list(added)


def _tell(name: str, size: Size, purged: int) -> None:
    logs.log.info(
        f"{name}: {size.files:,} files, {size.bytes:,} bytes; {purged:,} older files would be deleted."
    )


def _tell_columns(evolved: Evolved, settings: MaintainSettings) -> None:
    verb = "added" if settings.add_columns and not settings.dry_run else "missing, see --add-columns"
    for name, columns in evolved.added.items():
        logs.log.info(f"{name}: columns {', '.join(columns)} {verb}.")
    for name, why in evolved.refused.items():
        logs.log.warning(f"{name}: {why}. That cannot be added: the next run there needs another --out.")


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday maintain`."""
    run_job("maintain", argv)


if __name__ == "__main__":
    main()
