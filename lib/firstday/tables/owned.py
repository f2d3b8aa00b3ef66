"""Which tables of an output are ours, and SQL on one of them, whether it has a path or a name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.tables.address import delta_frame, file_system
from firstday.tables.delta import ATTEMPTS_TABLE, RUN_ID, RUNS_TABLE, Store
from firstday.tables.write import LONGEST_RUN, SHARED


@dataclass(frozen=True)
class Owned:
    """The tables that runs wrote to an output. `others`: names there that are not ours, left alone."""

    tables: tuple[str, ...]
    others: tuple[str, ...]


def owned_tables(store: Store, known: Collection[str]) -> Owned:
    """Tables with a run_id that a published run has named, or whose name is in `known`.

    `known` is for what a killed first run left. Raises DataError where no job has written.
    """
    if not store.holds_runs():
        raise DataError(
            "there must be an output of firstday, with its table runs",
            value=store.out,
            next_step="give the --out of an earlier job",
        )
    named = delta_frame(store.spark, store.location(RUNS_TABLE)).select(
        F.explode(F.map_keys(F.from_json("row_counts", "map<string,bigint>"))).alias("name")
    )
    candidates = {row["name"] for row in named.distinct().collect()} | set(known) | set(SHARED)
    there = _names(store)
    ours = [
        name
        for name in there
        if name in candidates and store.exists(name) and RUN_ID in _columns(store, name)
    ]
    return Owned(tuple(ours), tuple(name for name in there if name not in ours))


def at_work(store: Store, now: datetime) -> int:
    """How many runs may be writing: begun in the last week, and neither published nor cleared away."""
    began = delta_frame(store.spark, store.location(ATTEMPTS_TABLE))
    recent = began.where(F.col("started_at") > F.lit(now - LONGEST_RUN))
    return len(store.unpublished({row[RUN_ID] for row in recent.select(RUN_ID).collect()}))


def sql(store: Store, statement: str, name: str) -> DataFrame:
    """Run SQL in which {table} is the table `name`; texts in it are written by `sql_text`."""
    return store.spark.sql(statement.replace("{table}", store.in_sql(name)))


def folders(store: Store) -> tuple[str, ...]:
    """Names of the folders under an output that is a folder; () for a schema."""
    if not store.is_folder:
        return ()
    files, root = file_system(store.spark, store.out)
    listed = files.listStatus(root)
    return tuple(sorted(each.getPath().getName() for each in listed if each.isDirectory()))


def hours(retention: timedelta) -> str:
    """As VACUUM takes it."""
    return f"{retention.total_seconds() / 3_600:.6f}"


def _names(store: Store) -> tuple[str, ...]:
    if store.is_folder:
        return folders(store)
    listed = store.spark.sql(f"SHOW TABLES IN {store.out}").where("NOT isTemporary").collect()
    return tuple(sorted(row["tableName"] for row in listed))


def _columns(store: Store, name: str) -> Mapping[str, Any]:
    fields = delta_frame(store.spark, store.location(name)).schema.fields
    return {item.name: item.dataType for item in fields}
