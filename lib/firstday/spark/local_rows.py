"""Rows that the driver has, as a DataFrame."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType


def local_rows(spark: SparkSession, rows: Iterable[Sequence[Any]], schema: StructType | str) -> DataFrame:
    """A few rows, each with a value for each column of `schema`: None is null, times have a zone, no NaN.

    With Arrow on, Spark gets them in its form and holds them itself. A list goes through a Python worker each
    time that it is read, which takes ten times as long. Raises ValueError where a row's length is another.
    """
    columns = [pd.Series(values, dtype=object) for values in zip(*rows, strict=True)]
    if not columns:
        return spark.createDataFrame([], schema)
    made = spark.createDataFrame(pd.concat(columns, axis=1), schema)
    if len(made.columns) != len(columns):
        raise ValueError(f"rows have {len(columns)} values, not one for each of {made.columns}")
    return made
