"""Every row in every segment it belongs to, under a name that no other segment has."""

from itertools import combinations

import pytest
from pyspark.sql import SparkSession

from firstday.errors import LimitError
from firstday.segments import MOST_COLUMNS, escape, with_segments

NASTY = [
    "KR", "", "all", "\\N", "\\", "a,b", "a=b", "a\\,b=", ",", "=", "x,gender=f",
    "O'Hara \"`${x}`\"", "two\nlines", "🎉", None,
]  # fmt: skip
COLUMN = "it's, `odd`=\\.name"


def naive(names: list[str], values: tuple[str | None, ...]) -> set[str]:
    parts = [
        f"{escape(name)}={'' + chr(92) + 'N' if value is None else escape(value)}"
        for name, value in zip(names, values, strict=True)
    ]
    return {
        ",".join(subset) or "all" for size in range(len(parts) + 1) for subset in combinations(parts, size)
    }


def test_labels_are_escaped_and_differ_where_values_do(spark: SparkSession) -> None:
    names = [COLUMN, "gender"]
    pairs = [(one, other) for one in NASTY for other in NASTY]
    rows = spark.createDataFrame(
        [(number, *pair) for number, pair in enumerate(pairs)],
        f"id long, `{COLUMN.replace('`', '``')}` string, gender string",
    )
    found: dict[int, list[str]] = {}
    for row in with_segments(rows, names).select("id", "segment").collect():
        found.setdefault(row["id"], []).append(row["segment"])
    for number, pair in enumerate(pairs):
        assert len(found[number]) == 4
        assert set(found[number]) == naive(names, pair)
    # One name for each of: all, 15 values, 15 values, 225 pairs.
    assert len({name for those in found.values() for name in those}) == 1 + 15 + 15 + 225


def test_plain_names_read_as_in_the_design(spark: SparkSession) -> None:
    rows = spark.createDataFrame([("KR", "f", 3)], "country string, gender string, age int")
    found = [row["segment"] for row in with_segments(rows, ["country", "gender", "age"]).collect()]
    assert found == [
        *("all", "country=KR", "gender=f", "age=3"),
        *("country=KR,gender=f", "country=KR,age=3", "gender=f,age=3", "country=KR,gender=f,age=3"),
    ]
    assert [row["segment"] for row in with_segments(rows, []).collect()] == ["all"]


def test_too_many_columns_are_refused(spark: SparkSession) -> None:
    names = [f"column_{number}" for number in range(MOST_COLUMNS + 1)]
    rows = spark.createDataFrame([tuple("x" for _ in names)], ", ".join(f"{name} string" for name in names))
    with pytest.raises(LimitError, match="segment columns"):
        with_segments(rows, names)
