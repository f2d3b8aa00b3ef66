"""Small things that several stages do with DataFrames."""

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pandas as pd
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, LongType, StructType

from firstday.errors import DataError, LimitError, SettingsError
from firstday.spark.connect import on_connect
from firstday.spark.failures import error_class
from firstday.spark.local_rows import local_rows
from firstday.tables.schemas import column

ADAPTIVE = "spark.sql.adaptive.enabled"
LARGEST_WHOLE = 2**53  # up to which a double holds every whole number
BITS = 53  # of a hash, as many as a double holds


def persisted(rows: DataFrame) -> DataFrame:
    """`rows` in Spark's cache, until `unpersist`. Where a session refuses to cache, as serverless ones do,
    they are worked out each time that they are read: that takes longer, and gives the same.
    """
    try:
        return rows.persist()
    except PySparkException as error:
        if not error_class(error).startswith("NOT_SUPPORTED"):
            raise
        return rows


def unpersist(rows: DataFrame) -> None:
    """Drop what `persisted` has put into Spark's cache."""
    try:
        rows.unpersist()
    except PySparkException as error:
        if not error_class(error).startswith("NOT_SUPPORTED"):
            raise


@contextmanager
def cached(rows: DataFrame) -> Iterator[DataFrame]:
    """`rows` in Spark's cache, as long as the `with` lasts."""
    kept = persisted(rows)
    try:
        yield kept
    finally:
        unpersist(kept)


def kept_in(stack: ExitStack, rows: DataFrame) -> DataFrame:
    """`rows` in Spark's cache, until the stack is closed."""
    kept = persisted(rows)
    stack.callback(unpersist, kept)
    return kept


def to_driver(rows: DataFrame, what: str, limit: int, next_step: str) -> pd.DataFrame:
    """The rows as pandas. Raises LimitError, which says `next_step`, where they are more than `limit`."""
    frame = rows.limit(limit + 1).toPandas()
    if len(frame) > limit:
        raise LimitError(
            f"{what} may have at most {limit:,} rows", value=f"more than {limit:,}", next_step=next_step
        )
    return frame


def break_lineage(rows: DataFrame) -> DataFrame:
    """The rows, worked out now and kept by the executors, without the plan that they are made by.

    What is made of them has a short plan: a long one takes Spark longer to describe than to run. An executor
    that is lost takes its part along; the job then ends with an error and is run again.
    """
    kept: Any = rows.localCheckpoint(eager=True)
    if on_connect(rows.sparkSession):
        return kept
    session: Any = rows.sparkSession
    # As a relation of its own: of two such frames with a column of the same table Spark sees no two
    # relations, and refuses to join them.
    plan = kept._jdf.queryExecution()
    fresh = session._jsparkSession.internalCreateDataFrame(plan.toRdd(), kept._jdf.schema(), False)
    return DataFrame(fresh, session)


@contextmanager
def not_adaptive(spark: SparkSession) -> Iterator[None]:
    """Adaptive execution changes the number of partitions, and a fit waits for tasks that never come."""
    before = spark.conf.get(ADAPTIVE)
    spark.conf.set(ADAPTIVE, "false")
    try:
        yield
    finally:
        spark.conf.set(ADAPTIVE, before or "true")


def uniform_hash(*keys: "Column | str | int") -> Column:
    """A number in [0, 1) for each combination of keys, the same in every run; a whole number is a salt."""
    columns = [F.lit(key) if isinstance(key, int) else key for key in keys]
    return F.xxhash64(*columns).bitwiseAND((1 << BITS) - 1) / float(1 << BITS)


def matching(names: Sequence[str], patterns: Sequence[str], what: str) -> list[str]:
    """The names that any pattern takes, without those that a pattern behind a minus takes: '*,-gold,-row_id'.

    In a pattern * takes any text, else it stands for itself. Where all patterns begin with a minus, they
    leave out of all names. Raises SettingsError where a pattern takes none, or nothing is left; `what` says
    what the patterns are for.
    """
    if not patterns:
        return []
    taken, left_out = (
        [each for each in patterns if each.startswith("-") is minus] for minus in (False, True)
    )
    out = {name for pattern in left_out for name in _taken(names, pattern.removeprefix("-"), what)}
    found = dict.fromkeys(name for pattern in taken or ["*"] for name in _taken(names, pattern, what))
    kept = [name for name in found if name not in out]
    if not kept:
        raise SettingsError(f"{what} must leave some names", value=list(patterns))
    return kept


def _taken(names: Sequence[str], pattern: str, what: str) -> list[str]:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    taken = [name for name in names if re.fullmatch(expression, name, re.DOTALL)]
    if not taken:
        near = difflib.get_close_matches(pattern, names, n=2)
        raise SettingsError(
            f"{what} must be columns of the rows",
            value=pattern,
            next_step=f"did you mean {' or '.join(near)}?" if near else "check the names",
        )
    return taken


def with_vector(rows: DataFrame, features: Sequence[str], name: str) -> DataFrame:
    """The rows with the features in one vector; null and NaN are missing values, which LightGBM takes."""
    from pyspark.ml.functions import array_to_vector

    missing = F.lit(float("nan"))
    numbers = [F.coalesce(column(feature).cast("double"), missing) for feature in features]
    return rows.withColumn(name, array_to_vector(F.array(*numbers)))


def of_pandas(spark: SparkSession, frame: pd.DataFrame, name: str) -> DataFrame:
    """A user's pandas DataFrame, as a file of it would be: times without a zone have none, floats that are
    all whole are whole numbers (pandas makes them floats beside a missing one), the index is ignored.

    Raises DataError where a column holds values of several types.
    """
    import pyarrow as pa
    from pyspark.sql.pandas.types import from_arrow_schema

    columns = {str(key): _whole(values) for key, values in frame.items()}
    plain = pd.DataFrame(columns).reset_index(drop=True)
    if len(columns) < len(frame.columns):
        raise DataError(f"the columns of {name} must have names of their own", value=list(frame.columns))
    try:
        schema = pa.Table.from_pandas(plain, preserve_index=False).schema
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"a column of {name} must have values of one type",
            value=str(error),
            next_step="convert it, as in frame['column'].astype(str)",
        ) from None
    return spark.createDataFrame(plain, from_arrow_schema(_without_nulls(schema), True))


def _whole(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Floats that are all whole as whole numbers; categories as what they are of."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    values = values.reset_index(drop=True)
    if not pd.api.types.is_float_dtype(values.dtype):
        return values
    known = values.dropna().to_numpy("float64")
    if len(known) and (abs(known) < LARGEST_WHOLE).all() and (known % 1 == 0).all():
        return values.astype("Int64")
    return values


def _without_nulls(schema: Any) -> Any:
    """A column without any value is text."""
    import pyarrow as pa

    fields = [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in schema]
    return pa.schema(fields)


def from_pandas(spark: SparkSession, frame: pd.DataFrame, schema: StructType) -> DataFrame:
    """A small table of results: the schema's columns of `frame`. NaN becomes null, and whole numbers that
    pandas made floats beside a missing one are whole again.
    """
    whole = [isinstance(field.dataType, LongType | IntegerType) for field in schema]

    def told(value: Any, is_whole: bool) -> Any:
        if isinstance(value, float):
            return None if value != value else int(value) if is_whole else value
        return value

    rows = [tuple(map(told, row, whole)) for row in frame[schema.names].itertuples(index=False)]
    return local_rows(spark, rows, schema)
