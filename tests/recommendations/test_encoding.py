"""Texts become codes, numbers stay, and nobody without a value is left out."""

from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.errors import DataError
from firstday.ranking.encoding import MOST_VALUES, Encoding, Feature, learn

SCHEMA = (
    "user_id string, `a.b` string, state string, age int, vip boolean, amount decimal(9,2), score double, "
    "empty string, seen_at timestamp, tags array<string>"
)
NAMES = ["a.b", "state", "age", "vip", "amount", "score", "empty", "user_id", "seen_at", "tags"]


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(
        [
            ("u1", "x`y", "seen", 30, True, Decimal("1.50"), 0.5, None, None, None),
            ("u2", "서울", "new", 41, False, None, float("nan"), None, None, ["t"]),
            ("u3", "x`y", None, None, None, None, None, None, None, None),
        ],
        SCHEMA,
    )


@pytest.fixture(scope="module")
def encoding(rows: DataFrame) -> Encoding:
    return learn(rows, NAMES, known={"state": ["new", "seen", "gone"]})


def test_features_keep_their_order_and_what_is_none_is_told(encoding: Encoding) -> None:
    assert encoding.names == ("a.b", "state", "age", "vip", "amount", "score", "empty")
    assert encoding.features[0] == Feature("a.b", ("x`y", "서울"))
    assert encoding.features[1] == Feature("state", ("new", "seen", "gone"))
    assert encoding.categorical == (0, 1, 6)
    assert encoding.left_out == (
        ("user_id", "an id"),
        ("seen_at", "of type timestamp"),
        ("tags", "of type array<string>"),
    )


def test_each_row_is_encoded(spark: SparkSession, rows: DataFrame, encoding: Encoding) -> None:
    new = spark.createDataFrame([("u4", "unseen", "other", 5, None, None, None, "new", None, None)], SCHEMA)
    found = encoding.apply(rows.unionByName(new))
    assert found.columns == [*rows.columns, *encoding.columns]
    assert {kind for name, kind in found.dtypes if name in encoding.columns} == {"double"}
    plain: dict[str, list[Any]] = {
        row["user_id"]: [row[name] if row[name] == row[name] else "NaN" for name in encoding.columns]
        for row in found.collect()
    }
    assert plain == {
        "u1": [0.0, 1.0, 30.0, 1.0, 1.5, 0.5, None],
        "u2": [1.0, 0.0, 41.0, 0.0, None, "NaN", None],
        "u3": [0.0, None, None, None, None, None, None],
        "u4": [None, None, 5.0, None, None, None, None],
    }


def test_the_most_frequent_values_have_codes_in_order_of_name(spark: SparkSession) -> None:
    values = [f"v{place:03}" for place in range(MOST_VALUES + 50)]
    often = values[100:]
    table = spark.createDataFrame([(value,) for value in [*values, *often[::-1]]], "text string")
    expected = tuple(sorted([*often, *values[:100]][:MOST_VALUES]))
    for turned in (table, table.orderBy("text").repartition(3)):
        assert learn(turned, ["text"]).features == (Feature("text", expected),)


def test_an_encoding_is_kept_as_json(encoding: Encoding) -> None:
    assert Encoding.from_json(encoding.to_json()) == encoding
    for broken in (
        "",
        "[]",
        "{}",
        encoding.to_json().replace('"version": 1', '"version": 2'),
        '{"version": 1}',
    ):
        with pytest.raises(DataError, match="An encoding is JSON"):
            Encoding.from_json(broken)


def test_another_feature_set_is_recognised(rows: DataFrame, encoding: Encoding) -> None:
    encoding.refuse_other(encoding.names)
    with pytest.raises(DataError, match=r"missing.*'a.b'.*further.*'new'"):
        encoding.refuse_other([*encoding.names[1:], "new"])
    with pytest.raises(DataError, match="another order"):
        encoding.refuse_other(encoding.names[::-1])
    with pytest.raises(DataError, match=r"columns that the model was trained on.*'age'"):
        encoding.apply(rows.drop("age"))
    with pytest.raises(DataError, match=r"text or numbers as they were.*'age'"):
        encoding.apply(rows.withColumn("age", rows["age"].cast("string")))


def test_features_must_be_there(rows: DataFrame) -> None:
    with pytest.raises(DataError, match=r"columns of the table.*'height'"):
        learn(rows, ["age", "height"])
    with pytest.raises(DataError, match="at least one feature"):
        learn(rows, ["user_id", "tags"])
