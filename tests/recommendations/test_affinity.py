"""Affinity equals regressions written out, finds planted effects, and depends on no order."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import LimitError
from firstday.recommendations.recall import affinity as module
from firstday.recommendations.recall.affinity import MOST_ATTRIBUTES, affinity, attributed
from firstday.recommendations.recall.catalog import Catalog

Array = np.ndarray[Any, Any]
CATALOG = Catalog(("c0", "c1", "c2"), ("g", "g", "h"))
MET = "user_id string, place int, weight double"
CUSTOMERS = "user_id string, region string, age int, vip boolean, joined_at timestamp, branch_id string"
SCORED, EFFECTS = 400, {"north": 1.5, "south": 0.5}  # customers; what the region adds to the interest in c0


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """A quarter have no region; the last hundred have no interests."""
    draw = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in range(SCORED + 100)],
            "region": np.array(["north", "south", "no'rth`", None], object)[
                draw.integers(0, 4, SCORED + 100)
            ],
            "age": draw.integers(18, 80, SCORED + 100),
            "vip": draw.choice([True, False], SCORED + 100),
            "joined_at": [datetime(2026, 1, 1)] * (SCORED + 100),
            "branch_id": "b",
        }
    )


@pytest.fixture(scope="module")
def weights(people: pd.DataFrame) -> Array:
    """Customers × categories, 0 where not met: c0 by region, c1 by age, c2 by nothing."""
    draw = np.random.default_rng(6)
    known = people[:SCORED]
    c0 = 1.0 + known["region"].map(EFFECTS).fillna(0.0).to_numpy(float)
    c1 = 1.0 + 0.02 * (known["age"].to_numpy(float) - 18)
    means = np.stack([c0, c1, np.full(SCORED, 0.8)], axis=1)
    return np.asarray(np.where(draw.random(means.shape) < 0.9, means + draw.normal(0, 0.1, means.shape), 0))


def met_by(spark: SparkSession, weights: Array) -> DataFrame:
    user, place = np.nonzero(weights)
    rows = [(f"u{u}", int(p), float(weights[u, p])) for u, p in zip(user, place, strict=True)]
    return spark.createDataFrame(rows, MET)


def customers_of(spark: SparkSession, people: pd.DataFrame) -> DataFrame:
    return spark.createDataFrame(people, CUSTOMERS)


def scores(found: DataFrame) -> dict[str, list[float]]:
    return {row["user_id"]: row["affinity"] for row in found.collect()}


def ridge(design: Array, answers: Array, strength: float) -> Array:
    """Coefficients; the design's last column is not shrunk."""
    penalty = np.diag([strength] * (design.shape[1] - 1) + [0.0])
    return np.asarray(np.linalg.solve(design.T @ design + penalty, design.T @ answers))


def naive(people: pd.DataFrame, weights: Array, bins: int, strength: float) -> Array:
    """A regression a category, of attributes and the other categories; of attributes alone for the last."""
    edges = np.unique(np.quantile(people["age"], np.arange(1, bins) / bins))
    texts = people.assign(
        region=people["region"].fillna("unknown"), age=np.searchsorted(edges, people["age"], side="right")
    )
    told = pd.get_dummies(texts[["region", "age", "vip"]].astype(str)).to_numpy(float)
    told = np.column_stack([told, np.ones(len(told))])
    found = np.zeros((len(people), weights.shape[1]))
    for place in range(weights.shape[1]):
        both = np.column_stack([np.delete(weights, place, axis=1), told[:SCORED]])
        found[:SCORED, place] = both @ ridge(both, weights[:, place], strength)
    found[SCORED:] = told[SCORED:] @ ridge(told[:SCORED], weights, strength)
    return found


def test_it_is_ridge_regression_on_attributes_and_other_interests(
    spark: SparkSession, people: pd.DataFrame, weights: Array
) -> None:
    customers, met = customers_of(spark, people), met_by(spark, weights)
    found = scores(affinity(attributed(customers), met, CATALOG))
    expected = naive(people, weights, 10, 20.0)
    np.testing.assert_allclose([found[user] for user in people["user_id"]], expected, atol=1e-3)
    shuffled = affinity(
        attributed(customers.orderBy(F.rand(1)).repartition(3)),
        met.orderBy(F.rand(2)).repartition(4),
        CATALOG,
    )
    assert scores(shuffled) == found


def test_planted_effects_are_found(
    spark: SparkSession, people: pd.DataFrame, weights: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STRENGTH", 1.0)  # with so few customers, whose effects it would shrink
    attributes = attributed(customers_of(spark, people))
    found = scores(affinity(attributes, met_by(spark, weights), CATALOG))
    told = people.assign(
        c0=[found[u][0] for u in people["user_id"]], c2=[found[u][2] for u in people["user_id"]]
    )
    means = told.fillna("none").groupby("region")[["c0", "c2"]].mean()
    for region, effect in EFFECTS.items():
        assert means["c0"][region] - means["c0"]["none"] == pytest.approx(0.9 * effect, abs=0.2)
        assert means["c2"][region] - means["c2"]["none"] == pytest.approx(0.0, abs=0.1)
    new = told[SCORED:]  # of these nothing is known but who they are
    assert new.loc[new["region"] == "north", "c0"].min() > new.loc[new["region"] == "south", "c0"].max()


def test_what_goes_with_other_interests_is_found(spark: SparkSession) -> None:
    """c1 has half the interest in c0 and c2 none of it; the interest in a category says nothing of itself."""
    draw = np.random.default_rng(8)
    first = draw.uniform(0, 3, SCORED)
    weights = np.stack(
        [first, 0.5 * first + draw.uniform(0, 0.2, SCORED), draw.uniform(0, 3, SCORED)], axis=1
    )
    customers = spark.createDataFrame([(f"u{number}",) for number in range(SCORED)], "user_id string")
    found = scores(affinity(attributed(customers), met_by(spark, weights), CATALOG))
    told = np.array([found[f"u{number}"] for number in range(SCORED)])
    slopes = [np.polyfit(met, expected, 1)[0] for met, expected in ((first, told[:, 1]), (first, told[:, 2]))]
    np.testing.assert_allclose(slopes, [0.5, 0.0], atol=0.15)
    assert np.polyfit(weights[:, 2], told[:, 2], 1)[0] == pytest.approx(0.0, abs=0.05)


def test_of_whom_nothing_is_known_the_mean_is_expected(
    spark: SparkSession, people: pd.DataFrame, weights: Array
) -> None:
    plain = attributed(customers_of(spark, people).select("user_id", "joined_at", "branch_id"))
    found = scores(affinity(plain, met_by(spark, weights), CATALOG))
    new = [tuple(found[user]) for user in people["user_id"][SCORED:]]
    assert len(set(new)) == 1
    np.testing.assert_allclose(new[0], weights.mean(axis=0), atol=1e-3)
    nobody = scores(affinity(plain, spark.createDataFrame([], MET), CATALOG))
    assert nobody["u0"] == [0.0, 0.0, 0.0]


def test_rare_values_and_columns_are_bounded(
    spark: SparkSession, people: pd.DataFrame, weights: Array
) -> None:
    each = people.assign(region=people["user_id"])
    bounded = attributed(customers_of(spark, each))
    assert bounded.count == 30 + 10 + 2 + 1  # regions, bins of the age, vip or not, everybody
    assert len(scores(affinity(bounded, met_by(spark, weights), CATALOG))) == len(people)
    many = [F.lit("x").alias(f"column {number}") for number in range(MOST_ATTRIBUTES // 2 + 1)]
    wide = spark.createDataFrame([("u",)], "user_id string").select("user_id", *many)
    with pytest.raises(LimitError, match="at most"):
        attributed(wide)
