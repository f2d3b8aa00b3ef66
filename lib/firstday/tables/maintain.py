"""Keep an output's tables in order: fewer and larger files, no files that nobody can read, declared columns.

OPTIMIZE joins small files; readers see the same rows. VACUUM deletes files that no version within the
retention needs, and what killed writers left. Columns are added only where the caller's schemas have them:
new, at the end, null in the rows that are there. Anything else (another type, a column less) is told, and
needs a new output.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import types as T

from firstday import logs
from firstday.settings import MaintainSettings
from firstday.spark.local_rows import local_rows
from firstday.tables.delta import Store, retried
from firstday.tables.forget import unchecked_retention
from firstday.tables.owned import hours, owned_tables, sql
from firstday.tables.schemas import quoted, table_schema
from firstday.tables.write import Output

WEEK = timedelta(days=7)  # Delta's own retention, under which VACUUM asks whether it is meant
MAINTAINED = table_schema(
    [
        ("table", T.StringType()),
        *((name, T.LongType()) for name in ("files_before", "files_after", "bytes_before", "bytes_after")),
        ("files_purged", T.LongType()),
        ("columns_added", T.ArrayType(T.StringType())),
    ]
)
TABLES = {"maintained": MAINTAINED}


@dataclass(frozen=True)
class Size:
    """What a table's current version consists of."""

    files: int
    bytes: int


@dataclass(frozen=True)
class Evolved:
    """added: columns by table. refused: tables whose difference is no additional column, and what it is."""

    added: Mapping[str, tuple[str, ...]]
    refused: Mapping[str, str]


class Maintenance:
    """The job `maintain` on one output; see `firstday.runner.Task`."""

    tables = TABLES

    def __init__(
        self,
        store: Store,
        settings: MaintainSettings,
        schemas: Mapping[str, T.StructType],
        others: Collection[str],
    ) -> None:
        self.store, self.settings, self.schemas = store, settings, schemas
        owned = owned_tables(store, {*schemas, *others})
        self.names = owned.tables
        if owned.others:
            logs.log.info(f"Not ours, and left alone: {', '.join(owned.others)}.")

    def recorded(self) -> dict[str, object]:
        """The settings as they are kept."""
        return self.settings.model_dump(mode="json")

    def preview(self) -> None:
        """Say what would be done."""
        self._evolve(change=False)
        for name in self.names:
            now, purged = size(self.store, name), purgeable(self.store, name, self.settings.retention)
            logs.log.info(
                f"{name}: {now.files:,} files, {now.bytes:,} bytes; {purged:,} older files would be deleted."
            )

    def work(self, output: Output) -> Mapping[str, float]:
        """Add columns, join files, delete old ones; returns how many files each table has now."""
        evolved = self._evolve(change=self.settings.add_columns)
        added = evolved.added if self.settings.add_columns else {}
        rows = [
            maintained(self.store, name, added.get(name, ()), self.settings.retention) for name in self.names
        ]
        output.write("maintained", local_rows(self.store.spark, rows, MAINTAINED))
        return {f"files.{row[0]}": row[2] for row in rows}

    def finish(self) -> None:
        """Nothing is left to do."""

    def _evolve(self, *, change: bool) -> Evolved:
        evolved = evolve(self.store, self.schemas, change=change)
        verb = "added" if change else "missing, see --add-columns"
        for name, columns in evolved.added.items():
            logs.log.info(f"{name}: columns {', '.join(columns)} {verb}.")
        for name, why in evolved.refused.items():
            logs.log.warning(f"{name}: {why}. That cannot be added: the next run there needs another --out.")
        return evolved


def maintained(
    store: Store, name: str, added: Sequence[str], retention: timedelta
) -> tuple[str, int, int, int, int, int, list[str]]:
    """Put one table in order; returns its row of MAINTAINED."""
    with logs.step(f"Maintaining {name}") as step:
        before = size(store, name)
        optimize(store, name)
        after = size(store, name)
        purged = purgeable(store, name, retention)
        if purged:
            vacuum(store, name, retention)
        step.note(files_before=before.files, files=after.files, purged=purged)
    return name, before.files, after.files, before.bytes, after.bytes, purged, list(added)


def size(store: Store, name: str) -> Size:
    """Files and bytes of the table's current version."""
    detail = sql(store, "DESCRIBE DETAIL {table}", name).collect()[0]
    return Size(int(detail["numFiles"]), int(detail["sizeInBytes"]))


def optimize(store: Store, name: str) -> None:
    """Join the table's small files, within each run's rows. A run that publishes meanwhile goes first."""
    retried(lambda: sql(store, "OPTIMIZE {table}", name))


def purgeable(store: Store, name: str, retention: timedelta) -> int:
    """How many files `vacuum` would delete."""
    with _checked(store, retention):
        return sql(store, f"VACUUM {{table}} RETAIN {hours(retention)} HOURS DRY RUN", name).count()


def vacuum(store: Store, name: str, retention: timedelta) -> None:
    """Delete files that no version of the last `retention` needs. Shorter than a week it may take files from
    a reader or a writer that has begun before.
    """
    with _checked(store, retention):
        sql(store, f"VACUUM {{table}} RETAIN {hours(retention)} HOURS", name)


def evolve(store: Store, schemas: Mapping[str, T.StructType], *, change: bool = True) -> Evolved:
    """Add the columns that `schemas` declare and existing tables lack; not where columns differ otherwise.

    change: False to say only what would be done. Raises DataError where no job has written to the output.
    """
    added: dict[str, tuple[str, ...]] = {}
    refused: dict[str, str] = {}
    for name in owned_tables(store, schemas).tables:
        if name not in schemas:
            continue
        existing = {item.name: item.dataType.simpleString() for item in store.schema(name)}
        wanted = {item.name: item.dataType.simpleString() for item in schemas[name]}
        unlike = [
            f"{key!r} is {existing[key]}, not {wanted[key]}"
            for key in existing.keys() & wanted.keys()
            if existing[key] != wanted[key]
        ]
        unlike += [f"{key!r} is no longer written" for key in existing if key not in wanted]
        new = [key for key in wanted if key not in existing]
        if unlike:
            refused[name] = "; ".join(unlike)
        elif new:
            added[name] = tuple(new)
            if change:
                told = ", ".join(f"{quoted(key)} {wanted[key]}" for key in new)
                sql(store, f"ALTER TABLE {{table}} ADD COLUMNS ({told})", name)
    return Evolved(added, refused)


def _checked(store: Store, retention: timedelta) -> AbstractContextManager[None]:
    return nullcontext() if retention >= WEEK else unchecked_retention(store.spark)
