"""Where a table is: a path, or a name in the catalog. Decided here, once, for inputs and outputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from firstday.addresses import EXTENSION, FORMATS, is_path
from firstday.errors import UserError, reason
from firstday.spark.failures import FAILURES
from firstday.spark.hadoop import file_system, parquet_integers

__all__ = ["EXTENSION", "FORMATS", "file_system", "is_path", "parquet_integers"]


def exists(spark: SparkSession, address: str) -> bool:
    """Whether there is a file, a folder or a table at `address`; errors as for `is_delta`."""
    if not is_path(address):
        return bool(spark.catalog.tableExists(address))
    with _reaching(address):
        files, path = file_system(spark, address)
        return bool(files.exists(path))


def is_delta(spark: SparkSession, path: str) -> bool:
    """Whether a Delta table is at `path`. Raises UserError where Spark cannot look: an unknown store or host,
    no rights, no path at all.
    """
    with _reaching(path):
        return bool(DeltaTable.isDeltaTable(spark, path))


@contextmanager
def _reaching(path: str) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise UserError(
            f"a path must lead to where this Spark can look ({reason(error)})",
            value=path,
            next_step="check the address and the rights; a store such as S3 needs its connector, which local "
            "mode has not: submit the job to a cluster that has it",
        ) from error


def delta_frame(spark: SparkSession, address: str, version: int | None = None) -> DataFrame:
    """The rows of a Delta table; with `version`, those it had then, whatever is written later."""
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", version)
    return reader.load(address) if is_path(address) else reader.table(address)


def delta_version(spark: SparkSession, address: str) -> int:
    """The latest version of a Delta table; AnalysisException where the name is that of another table."""
    return newest_commit(spark, address).version


class Commit(NamedTuple):
    """A version of a Delta table, and what its writer noted (Delta's userMetadata)."""

    version: int
    note: str | None


def newest_commit(spark: SparkSession, address: str) -> Commit:
    """The latest version, read in a seventh of what rows take, however few; errors as for `delta_version`."""
    if is_path(address):
        history = DeltaTable.forPath(spark, address).history(1)
    else:  # DeltaTable.forName takes no catalog's name before the schema's
        history = spark.sql(f"DESCRIBE HISTORY {address} LIMIT 1")
    return Commit(*history.select("version", "userMetadata").collect()[0])
