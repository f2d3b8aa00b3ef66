"""Read what a run has published: its rows alone, whatever is written meanwhile."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from firstday.errors import ConflictError, DataError
from firstday.tables.address import FORMATS, exists
from firstday.tables.delta import ATTEMPTS, Run, Store
from firstday.tables.read import Input, Reading, open_input


def read_published(spark: SparkSession, out: str, name: str) -> DataFrame:
    """The rows of table `name` from the latest published run, without run_id; they stay as they are.

    Raises DataError when nothing is published there.
    """
    return published_rows(Store(spark, out), name)[1]


def published_answer(spark: SparkSession, out: str, job: str) -> Mapping[str, Any] | None:
    """What the latest published run of `job` answered, as `Answer.as_dict`; None where none is kept."""
    run = Store(spark, out).latest_run(job=job)
    return run.answer or None if run else None


def open_table(
    spark: SparkSession,
    address: str,
    table: str,
    *,
    name: str,
    time_zone: str | None = None,
    reading: Reading | None = None,
) -> Input:
    """Open the input `name`: where `address` is an output of ours, or its `table`, what is published of it;
    anything else as `open_input` does.
    """
    parent, _, last = address.rstrip("/").replace(".", "/").rpartition("/")
    outs = [address, address.rstrip("/")[: len(parent)]] if parent and last == table else [address]
    for store in (Store(spark, out) for out in outs):
        if store.holds_runs():
            run, rows = published_rows(store, table)
            return Input(name, address, "delta", f"run {run.run_id}", rows, time_zone)
    return open_input(spark, address, name=name, time_zone=time_zone, reading=reading)


def find_table(
    spark: SparkSession,
    address: str,
    table: str,
    time_zone: str | None = None,
    reading: Reading | None = None,
) -> Input | None:
    """As `open_table`, or None where there is nothing; a path may leave out a file's extension."""
    parent, _, last = address.rstrip("/").replace(".", "/").rpartition("/")
    if parent and last == table:
        store = Store(spark, address.rstrip("/")[: len(parent)])
        if store.holds_runs() and store.latest_run(table=table) is not None:
            return open_table(spark, address, table, name=table, time_zone=time_zone, reading=reading)
    for candidate in (address, *(f"{address}.{extension}" for extension in FORMATS)):
        if exists(spark, candidate):
            return open_table(spark, candidate, table, name=table, time_zone=time_zone, reading=reading)
    return None


def published_rows(store: Store, name: str) -> tuple[Run, DataFrame]:
    """As `read_published`, with the run. A run that publishes meanwhile may delete the rows before they are
    pinned.
    """
    for _ in range(ATTEMPTS):
        run = store.latest_run(table=name)
        if run is None:
            raise DataError(
                f"there must be a published run with the table {name}",
                value=store.out,
                next_step="run the job that writes it, or check the address",
            )
        rows = store.read(name, run.run_id)
        if store.latest_run(table=name) == run:
            return run, rows
    raise ConflictError(
        "a read must not be overtaken again and again by runs that publish",
        value=store.location(name),
        next_step="read again",
    )
