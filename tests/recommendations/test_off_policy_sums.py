"""A table's sums are those of its arrays; what is wrong in a table is refused as in arrays."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from firstday.errors import DataError
from firstday.recommendations.off_policy import estimate
from firstday.recommendations.off_policy_sums import Sums, sums, table_sums

SCHEMA = (
    "user_id string, click int, propensity double, probability double, predicted double, expected double, "
    "supported double"
)
ODD = "click`s on a.b"
NAMES = {"reward": "click", "unit": "user_id"}
ALL = {**NAMES, **{name: name for name in ("predicted", "expected", "supported")}}


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    draw = np.random.default_rng(6)
    return pd.DataFrame(
        {
            "user_id": draw.integers(80, size=400).astype(str),
            "click": draw.integers(2, size=400),
            "propensity": draw.uniform(0.1, 1, 400),
            "probability": draw.uniform(0, 1, 400),
            "predicted": draw.uniform(0, 1, 400),
            "expected": draw.uniform(0, 1, 400),
            "supported": draw.uniform(0.96, 1, 400),
        }
    )


def of_arrays(log: pd.DataFrame, names: dict[str, str]) -> Sums:
    return sums(
        propensity=log["propensity"],
        probability=log["probability"],
        **{name: log[column].to_numpy() for name, column in names.items()},
    )


@pytest.mark.parametrize("names", [{"reward": "click"}, NAMES, ALL])
def test_a_tables_sums_are_its_arrays(spark: SparkSession, log: pd.DataFrame, names: dict[str, str]) -> None:
    expected = of_arrays(log, names)
    table = spark.createDataFrame(log, SCHEMA).withColumnRenamed("click", ODD)
    found = table_sums(table, **{**names, "reward": ODD})
    np.testing.assert_allclose(found.totals, expected.totals, rtol=1e-12)
    np.testing.assert_allclose(found.products, expected.products, rtol=1e-12)
    plain = [name for name in vars(expected) if name not in ("totals", "products")]
    assert [getattr(found, name) for name in plain] == pytest.approx(
        [getattr(expected, name) for name in plain]
    )
    one, other = vars(estimate(expected)), vars(estimate(found))
    assert vars(other["snips"]) == pytest.approx(vars(one["snips"]))
    assert other["warnings"] == one["warnings"]


@pytest.mark.parametrize("ansi", ["false", "true"])
@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("propensity", 0.0, "propensity is above 0.*'0.0'"),
        ("propensity", None, "propensity is above 0.*'null'"),
        ("propensity", float("nan"), "propensity is above 0.*'NaN'"),
        ("propensity", -0.5, "'-0.5'"),
        ("propensity", 1.25, "at most 1.*'1.25'"),
        ("probability", 1.5, "new policy is from 0 to 1.*'1.5'"),
        ("click", None, "Each reward is a finite number.*'null'"),
        ("predicted", float("inf"), "predicted is a finite number.*'Infinity'"),
        ("expected", float("nan"), "expected is a finite number.*'NaN'"),
        ("supported", -1.0, "supported share.*'-1.0'"),
        ("user_id", None, "Each row has its unit"),
    ],
)
def test_what_makes_no_sense_is_refused(
    spark: SparkSession, column: str, value: Any, told: str, ansi: str
) -> None:
    row = dict(zip(SCHEMA.replace(",", "").split()[::2], ["u", 1, 0.5, 0.5, 0.5, 0.5, 1.0], strict=True))
    table = spark.createDataFrame([tuple(each.values()) for each in (row, row | {column: value})], SCHEMA)
    before = spark.conf.get("spark.sql.ansi.enabled")
    spark.conf.set("spark.sql.ansi.enabled", ansi)
    try:
        with pytest.raises(DataError, match=told):
            table_sums(table, **ALL)
    finally:
        spark.conf.set("spark.sql.ansi.enabled", str(before))


def test_an_empty_table_and_half_a_model_are_refused(spark: SparkSession) -> None:
    table = spark.createDataFrame([], SCHEMA)
    with pytest.raises(DataError, match="The log has rows"):
        table_sums(table, **NAMES)
    with pytest.raises(DataError, match="'expected only'"):
        table_sums(table, **NAMES, expected="expected")
