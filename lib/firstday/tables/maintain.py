"""Keep an output's tables in order: fewer and larger files, no files that nobody can read, declared columns.

OPTIMIZE joins small files; readers see the same rows. VACUUM deletes files that no version within the
retention needs, and what killed writers left. Columns are added only where the caller's schemas have them:
new, at the end, null in the rows that are there. Anything else (another type, a column less) is told, and
needs a new output.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import types as T

from firstday.tables.delta import Store, retried
from firstday.tables.forget import unchecked_retention
from firstday.tables.owned import hours, owned_tables, sql
from firstday.tables.schemas import quoted, table_schema

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
