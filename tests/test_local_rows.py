"""A few rows of the driver as a DataFrame."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from firstday.spark.local_rows import local_rows

SCHEMA = (
    "name string, whole long, part double, known boolean, day date, at timestamp, "
    "many array<double>, pairs array<struct<key string, value int>>"
)
AT = datetime(2024, 3, 31, 1, 30, 0, 123456, tzinfo=UTC)
ROWS: list[tuple[Any, ...]] = [
    ('o\'Hara "é" 😀\n', 2**62 + 1, 0.1, True, date(1969, 12, 31), AT, [0.1, None], [("a", 1), ("b", None)]),
    (None,) * 8,
    ("", -1, -0.0, False, date(2024, 2, 29), AT.replace(year=1999), [], []),
]


def test_what_is_given_is_there(spark: SparkSession) -> None:
    frame = local_rows(spark, (row for row in ROWS), SCHEMA)
    found = [tuple(row) for row in frame.drop("at").collect()]
    assert found == [row[:5] + row[6:] for row in ROWS]
    micros = [row[0] for row in frame.selectExpr("unix_micros(at)").collect()]
    assert micros == [None if row[5] is None else round(row[5].timestamp() * 1e6) for row in ROWS]
    assert local_rows(spark, [], SCHEMA).schema == frame.schema


def test_spark_holds_the_rows_itself(spark: SparkSession) -> None:
    plan: Any = local_rows(spark, ROWS, SCHEMA)._jdf.queryExecution().executedPlan().toString()
    assert plan.startswith("LocalTableScan")


@pytest.mark.parametrize("rows", [[(1,), (1, 2)], [(1,)], [(1, 2, 3)]])
def test_rows_of_another_length_are_refused(spark: SparkSession, rows: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"rows have|shorter|longer|length"):
        local_rows(spark, rows, "a int, b int")
