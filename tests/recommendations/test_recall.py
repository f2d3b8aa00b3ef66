"""What customers have met, ALS and co-occurrence find groups that were planted, whatever the partitions."""

import math
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import DataError, LimitError, SettingsError
from firstday.recommendations.recall import relevance
from firstday.recommendations.recall.catalog import MOST_CATEGORIES, Catalog, catalog_of, flags
from firstday.recommendations.recall.interests import interests
from firstday.recommendations.recall.relevance import (
    als,
    because,
    co_occurrence,
    co_occurrence_scores,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FACTS = "user_id string, category string, kind string, at timestamp, value double"
NAMES = ("a`.b", *(f"c{place}" for place in range(1, 8)))
CATALOG = Catalog(NAMES, tuple(f"g{place // 4}" for place in range(8)))
Fact = tuple[str, str, str, datetime, float | None]


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def planted() -> list[Fact]:
    """40 customers like the first four categories, 40 the others; each has met 3 of 4."""
    draw = np.random.default_rng(4)
    found: list[Fact] = []
    for user in range(80):
        own = draw.permutation(4)[:3] + 4 * (user % 2)
        kinds = draw.choice(["transaction", "click", "join"], 3)
        found += [
            (f"u{user}", NAMES[place], str(kind), days_ago(float(draw.uniform(0.1, 60))), 1.0)
            for place, kind in zip(own, kinds, strict=True)
        ]
    return found


@pytest.fixture(scope="module")
def met(spark: SparkSession) -> DataFrame:
    return interests(spark.createDataFrame(planted(), FACTS), CATALOG, NOW).persist()


def arrays(rows: DataFrame, name: str) -> dict[str, Any]:
    return {row["user_id"]: row[name] for row in rows.select("user_id", name).collect()}


def test_interests_count_what_was_known_and_age(spark: SparkSession) -> None:
    c0, c1, c2 = NAMES[:3]
    facts: list[Fact] = [
        ("aged", c0, "transaction", days_ago(90), 5.0),
        ("aged", c0, "transaction", days_ago(180), 5.0),
        ("aged", c1, "click", NOW, None),  # not before now
        ("aged", c2, "shown", days_ago(1), None),
        ("held", c0, "since", days_ago(900), None),
        ("ended", c0, "since", days_ago(900), None),
        ("ended", c0, "until", days_ago(90), None),
        ("again", c0, "since", days_ago(900), None),
        ("again", c0, "until", days_ago(90), None),
        ("again", c0, "since", days_ago(9), None),
        ("odd", "unseen", "join", days_ago(1), None),
        ("odd", c1, "until", days_ago(1), None),
        ("new", c1, "join", NOW - timedelta(microseconds=1), None),
    ]
    rows = interests(spark.createDataFrame(facts, FACTS), CATALOG, NOW).collect()
    found = {(row["user_id"], row["place"]): row["weight"] for row in rows}
    assert found == pytest.approx(
        {
            ("aged", 0): math.log1p(0.75),
            ("held", 0): math.log1p(3),
            ("ended", 0): math.log1p(1.5),
            ("again", 0): math.log1p(3),
            ("new", 1): math.log1p(3),
        },
        abs=1e-5,
    )


def test_an_instant_has_a_time_zone(spark: SparkSession) -> None:
    with pytest.raises(SettingsError, match="time zone"):
        interests(spark.createDataFrame([], FACTS), CATALOG, NOW.replace(tzinfo=None))


def test_the_catalog_is_sorted_and_bounded(spark: SparkSession) -> None:
    def of(rows: list[Any]) -> Catalog:
        return catalog_of(spark.createDataFrame(rows, "category string, category_group string"))

    assert of([("b", "x"), ("a", None)]) == Catalog(("a", "b"), ("a", "x"))
    with pytest.raises(DataError, match=r"one row.*'a'"):
        of([("a", "x"), ("a", "y")])
    with pytest.raises(DataError, match="at least one"):
        of([])
    with pytest.raises(LimitError, match="at most"):
        of([(f"c{place}", "x") for place in range(MOST_CATEGORIES + 1)])


def test_flags_are_in_the_catalogs_order(spark: SparkSession) -> None:
    pairs = [("u", NAMES[2]), ("u", NAMES[0]), ("u", NAMES[0]), ("v", "unseen")]
    found = arrays(
        flags(spark.createDataFrame(pairs, "user_id string, category string"), CATALOG, "on"), "on"
    )
    assert found == {"u": [True, False, True] + [False] * 5}


def contrast(scores: dict[str, Any], met: DataFrame) -> list[tuple[float, float]]:
    """Of each customer the score of the category in the group that was not met, and the best outside."""
    known = {(row["user_id"], row["place"]) for row in met.collect()}
    found = []
    for user, values in scores.items():
        group = int(user[1:]) % 2
        own = [values[place] for place in range(4 * group, 4 * group + 4) if (user, place) not in known]
        found.append((own[0], max(values[place] for place in range(4 * (1 - group), 8 - 4 * group))))
    return found


def test_als_finds_planted_groups_in_any_partitioning(
    spark: SparkSession, met: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relevance, "RANK", 2)  # as many as there are groups
    found = arrays(als(met, CATALOG, 7), "als")
    assert len(found) == 80
    assert all(own > other + 0.5 for own, other in contrast(found, met))
    shuffled = met.orderBy(F.rand(3)).repartition(5)
    again = arrays(als(shuffled, CATALOG, 7), "als")
    np.testing.assert_allclose([again[user] for user in found], list(found.values()), atol=1.1e-5)
    assert sum(again[user] != found[user] for user in found) <= 1  # a score on a rounding edge, at most


def test_co_occurrence_equals_a_naive_one_and_finds_groups(spark: SparkSession, met: DataFrame) -> None:
    found = co_occurrence(met, CATALOG)
    frame: pd.DataFrame = met.toPandas()
    sets = {place: set(rows["user_id"]) for place, rows in frame.groupby("place")}
    expected = np.zeros((8, 8))
    for one, other in permutations(range(8), 2):
        both = len(sets[one] & sets[other])
        expected[one, other] = both / math.sqrt((len(sets[one]) + 20) * (len(sets[other]) + 20))
    np.testing.assert_allclose(found.similarity, expected, rtol=1e-12)
    assert found.met.tolist() == [len(sets[place]) for place in range(8)]

    told = co_occurrence_scores(met, found)
    places = F.transform(F.sequence(F.lit(0), F.lit(7)), lambda place: because(F.col("met"), place, found))
    rows = told.withColumn("because", places).collect()
    for row in rows:
        own = frame[frame["user_id"] == row["user_id"]].sort_values("place")
        shares = own["weight"].to_numpy()[:, None] * expected[own["place"]]
        np.testing.assert_allclose(row["co_occurrence"], shares.sum(axis=0) / own["weight"].sum(), rtol=1e-12)
        best = [int(own["place"].iloc[place]) for place in shares.argmax(axis=0)]
        reasons = [
            place if share > 0 else None for place, share in zip(best, shares.max(axis=0), strict=True)
        ]
        assert row["because"] == reasons
    scores = {row["user_id"]: row["co_occurrence"] for row in rows}
    assert all(own > other for own, other in contrast(scores, met))
    shuffled = met.orderBy(F.rand(3)).repartition(5)
    assert arrays(co_occurrence_scores(shuffled, found), "co_occurrence") == scores


def test_without_interests_nobody_has_a_score(spark: SparkSession, met: DataFrame) -> None:
    nobody = met.limit(0)
    assert als(nobody, CATALOG, 1).collect() == []
    found = co_occurrence(nobody, CATALOG)
    assert not found.similarity.any()
    assert co_occurrence_scores(nobody, found).collect() == []
