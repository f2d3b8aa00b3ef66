"""Which users labels leave out, and what they have to be."""

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.errors import DataError, SettingsError
from firstday.moments.labelled import LEFT_OUT, YES, Tables, class_of, refuse_strangers, with_left_out
from firstday.tables.schemas import moment_counts

MANY = 4_000


@pytest.fixture(scope="module")
def labels(spark: SparkSession) -> DataFrame:
    """P(fraud) of 0.3 for many; of single ones at the limit, above it, not known, and 1."""
    one_by_one = {"at": [0.5, 0.5], "above": [0.49, 0.51], "certain": [0.0, 1.0], "honest": [1.0, 0.0]}
    rows = [(f"user {number}", [0.7, 0.3]) for number in range(MANY)] + list(one_by_one.items())
    return spark.createDataFrame(rows, "user_id string, probabilities array<double>").cache()


def left_out(labels: DataFrame, use: str, limit: float = 0.5) -> set[str]:
    spark = labels.sparkSession
    users = labels.select("user_id").unionByName(spark.createDataFrame([("unlabelled",)], "user_id string"))
    told = with_left_out(users, labels, use=use, limit=limit)
    assert told.count() == MANY + 5
    return {row["user_id"] for row in told.where(told[LEFT_OUT] == YES).collect()}


def test_above_the_limit_they_are_left_out(labels: DataFrame) -> None:
    assert left_out(labels, "exclude") == {"above", "certain"}
    assert len(left_out(labels, "exclude", 0.2)) == MANY + 2  # nothing is known of `at`, whatever the limit


def test_weighed_each_is_left_out_with_its_probability(labels: DataFrame) -> None:
    out = left_out(labels, "weigh")
    assert out == left_out(labels.repartition(3), "weigh")
    assert "certain" in out
    assert not out & {"honest", "at", "unlabelled"}
    share = len([name for name in out if name.startswith("user")]) / MANY
    assert share == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / MANY) ** 0.5)


def test_the_class_is_the_last_one_or_as_asked(labels: DataFrame, spark: SparkSession) -> None:
    assert class_of(labels, None) == class_of(labels, 1) == 1
    assert class_of(labels, 0) == 0
    with pytest.raises(SettingsError, match="0 to 1"):
        class_of(labels, 2)
    unequal = spark.createDataFrame([("a", [0.5, 0.5]), ("b", [0.2, 0.3, 0.5])], labels.schema)
    with pytest.raises(DataError, match="on every row"):
        class_of(unequal, None)
    with pytest.raises(DataError, match="array"):
        class_of(spark.createDataFrame([("a", 0.5)], "user_id string, probabilities double"), None)


def test_labels_of_nobody_are_refused(labels: DataFrame, spark: SparkSession) -> None:
    refuse_strangers(labels.limit(1).select("user_id"), labels)
    with pytest.raises(DataError, match=r"none is.*'u1' of users"):
        refuse_strangers(spark.createDataFrame([("u1",)], "user_id string"), labels)


def test_tables_taken_apart_and_put_together_are_the_same(spark: SparkSession) -> None:
    """Of moment_products the rows of both are one row again."""
    keys = pd.DataFrame(
        {"anchor_date": pd.Timestamp("2024-03-01").date(), "country": ["KR", "KR"], LEFT_OUT: [YES, "no"]}
    )
    sums = {"sum_x": [[1, 2], [3, 4]], "sum_xr": [[0, 1], [1, 1]], "sum_xx": [[1, 2, 4], [9, 12, 16]]}
    one = {"day": 1, "users": [3, 5], "retained": [1, 2], "actions": [["a", "b"]] * 2}
    products = spark.createDataFrame(keys.assign(**one, **sums))
    counts = spark.createDataFrame([], moment_counts(["country", LEFT_OUT], [1]))
    kept, out = Tables(counts, products).apart()
    assert [rows.count() for rows in (kept.moment_products, out.moment_products)] == [1, 1]
    [row] = kept.together(out, ["country"]).moment_products.collect()
    assert (row["users"], row["retained"], row["country"]) == (8, 3, "KR")
    assert (row["sum_x"], row["sum_xr"], row["sum_xx"]) == ([4, 6], [1, 2], [10, 14, 20])
