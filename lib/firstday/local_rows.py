"""Rows that the driver has, as a DataFrame."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType


def local_rows(spark: SparkSession, rows: Iterable[Sequence[Any]], schema: StructType | str) -> DataFrame:
    """A few rows, each with a value for each column of `schema`; None and NaN are null, times have a zone.

    Spark gets them in Arrow's form and holds them itself. A list goes through a Python worker each time that
    it is read, which takes ten times as long.
    """
    frame = pd.DataFrame([tuple(row) for row in rows], dtype=object)
    return spark.createDataFrame([] if frame.empty else frame, schema)
