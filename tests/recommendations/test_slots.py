"""Lists: as plain Python has them, never short, without gaps, in any order of rows; draws as told."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.stats import binomtest, chisquare

from firstday.errors import SettingsError
from firstday.recommendations.slots import (
    EXPLORING,
    RANDOM,
    REFILL,
    Exploring,
    Slots,
    counts,
    fill,
    placements,
)
from firstday.recommendations.weights import changed, weighted
from tests.recommendations.bank_worlds import CATEGORIES, GROUPS, by_hash, categories_of

Candidate = tuple[str, str, str, float | None, float | None]
SCORES = [0.02, 0.05, 0.05, 0.1, 0.013, 0.0, None, float("nan")]
CANDIDATES = "user_id string, category string, source string, score double, weight double"


def candidates_of(spark: SparkSession, rows: list[Candidate]) -> DataFrame:
    return spark.createDataFrame(rows, CANDIDATES).withColumn("reason", F.concat(F.lit("by "), "source"))


def blocked_of(spark: SparkSession, blocked: dict[str, list[str]]) -> DataFrame:
    rows = [(user, [(name, "held", None) for name in names]) for user, names in blocked.items()]
    entry = "struct<category:string,reason:string,until:timestamp>"
    return spark.createDataFrame(rows, f"user_id string, blocked array<{entry}>")


def lists_of(frame: DataFrame) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in frame.orderBy("user_id", "slot").collect():
        found.setdefault(row["user_id"], []).append(row)
    return found


def drawn_users(seed: int) -> tuple[dict[str, list[str]], list[Candidate]]:
    """60 customers: what is blocked, from nothing to all, and candidates, from none to all there are."""
    draw = np.random.default_rng(seed)
    blocked: dict[str, list[str]] = {}
    rows: list[Candidate] = []
    for user in (f"u{at}" for at in range(60)):
        blocked[user] = draw.permutation(CATEGORIES)[: draw.integers(0, len(CATEGORIES) + 1)].tolist()
        named = draw.permutation([*CATEGORIES, "z"])[: draw.integers(0, len(CATEGORIES) + 2)].tolist()
        scores = draw.choice(np.array(SCORES, dtype=object), len(named))
        rows += [(user, name, "novelty", score, None) for name, score in zip(named, scores, strict=True)]
    return blocked, rows


@pytest.mark.parametrize(("size", "per_group", "slot"), [(4, None, None), (5, 1, None), (3, 2, 2)])
def test_lists_are_full_in_order_and_repeatable(
    spark: SparkSession, size: int, per_group: int | None, slot: int | None
) -> None:
    exploring = Exploring(slot) if slot else None
    slots = Slots(size, per_group, exploring)
    blocked, rows = drawn_users(size)
    rows.append(("stranger", "a", "novelty", 0.5, None))
    frames = candidates_of(spark, rows), blocked_of(spark, blocked)
    lists = fill(*frames, categories_of(spark), slots, seed=3, occasion="b")
    found = lists_of(lists)
    other = fill(
        by_hash(frames[0], size),
        frames[1].repartition(3),
        by_hash(categories_of(spark), 1),
        slots,
        seed=3,
        occasion="b",
    )
    assert lists_of(other) == found
    fallback = {name: 0.01 + place / 1000 for place, name in enumerate(CATEGORIES)}
    for user, names in blocked.items():
        allowed = set(CATEGORIES) - set(names)
        scores = {
            name: score
            for each, name, _, score, _ in rows
            if each == user and name in allowed and score is not None and score == score
        }
        told = found.get(user, [])
        assert len(told) == min(size, len(allowed))
        assert [row["slot"] for row in told] == list(range(1, len(told) + 1))
        assert len({row["category"] for row in told} & allowed) == len(told)
        by_score = [row for row in told if row["source"] != EXPLORING]
        assert [row["score"] for row in by_score] == sorted((row["score"] for row in by_score), reverse=True)
        for row in told:
            assert row["score"] == pytest.approx(scores.get(row["category"], fallback[row["category"]]))
            refilled = row["category"] not in scores
            assert row["source"] in ((REFILL if refilled else "novelty"), EXPLORING)
        expected = by_precedence(allowed, scores, fallback, per_group, slots.placed)
        assert Counter(expected) == Counter(key(row["category"], scores, fallback) for row in by_score)
        drawn = [row for row in told if row["propensity"] is not None]
        assert len(drawn) == (exploring is not None and len(allowed) > slots.placed)
        assert all(row["slot"] == slots.exploring.slot for row in drawn if slots.exploring)
    assert set(found) <= set(blocked)


def key(name: str, scores: dict[str, float], fallback: dict[str, float]) -> tuple[bool, float]:
    """Recalled first, then the higher score; equal ones are told apart by a hash."""
    return name not in scores, -round(scores.get(name, fallback[name]), 9)


def by_precedence(
    allowed: set[str], scores: dict[str, float], fallback: dict[str, float], per_group: int | None, size: int
) -> list[tuple[bool, float]]:
    """Which keys a list has: those within the group's quota before those above it."""
    within: list[tuple[bool, float]] = []
    above: list[tuple[bool, float]] = []
    of_group: Counter[str] = Counter()
    for name in sorted(allowed, key=lambda each: key(each, scores, fallback)):
        of_group[GROUPS[name]] += 1
        full = per_group is not None and of_group[GROUPS[name]] > per_group
        (above if full else within).append(key(name, scores, fallback))
    return [*within, *above][:size]


def test_refill_and_quota_by_hand(spark: SparkSession) -> None:
    """Two of the cards are recalled; with a quota of one card, loans and savings come first."""
    rows: list[Candidate] = [("u", "a", "relevance", 0.1, None), ("u", "b", "relevance", 0.005, None)]
    frames = candidates_of(spark, rows), blocked_of(spark, {"u": ["g"], "nobody": list(CATEGORIES)})
    told = {}
    for quota in (None, 1):
        lists = fill(*frames, categories_of(spark), Slots(4, quota), seed=3, occasion="b").cache()
        told[quota] = [
            (row["slot"], row["category"], row["source"], row["reason"]) for row in lists_of(lists)["u"]
        ]
        assert lists.where("user_id = 'nobody'").count() == 0
    [row] = counts(lists, frames[1], 4).collect()
    assert row.asDict() == {"customers": 2, "lists": 1, "full": 1, "slots": 4, "refilled": 2, "explored": 0}
    filled = "fills an empty slot: the best that is left"
    by_relevance = ("relevance", "by relevance")
    assert told[None] == [
        (1, "a", *by_relevance),
        (2, "f", REFILL, filled),
        (3, "e", REFILL, filled),
        (4, "b", *by_relevance),
    ]
    # f and e fill the quotas of savings and loans, b is the first above a quota.
    assert told[1] == [
        (1, "a", *by_relevance),
        (2, "f", REFILL, filled),
        (3, "e", REFILL, filled),
        (4, "b", *by_relevance),
    ]


def test_no_candidates_repeated_ones_and_ties(spark: SparkSession) -> None:
    rows: list[Candidate] = [
        ("twice", "a", "novelty", 0.02, None),
        ("twice", "a", "relevance", 0.5, None),
        *((f"u{at:03}", name, "novelty", 0.1, None) for at in range(300) for name in "ab"),
    ]
    users: dict[str, list[str]] = {"twice": [], "cold": [], **{f"u{at:03}": [] for at in range(300)}}
    lists = fill(
        candidates_of(spark, rows),
        blocked_of(spark, users),
        categories_of(spark),
        Slots(2),
        seed=3,
        occasion="b",
    )
    found = lists_of(lists)
    assert [(row["category"], row["source"]) for row in found["twice"]] == [("a", "relevance"), ("g", REFILL)]
    assert [row["category"] for row in found["cold"]] == ["g", "f"]
    first = Counter(rows[0]["category"] for user, rows in found.items() if user.startswith("u"))
    assert 110 < first["a"] < 190  # a tie favours nobody


# Of d to g, which are left after the best three; g's weight is null.
WEIGHTS = {"d": 0.5, "e": 0.25, "f": 0.25, "g": None}


@pytest.mark.parametrize(
    ("exploring", "expected"),
    [
        (Exploring(2, uniform=0.2, temperature=1.0), [0.2 / 4 + 0.8 * each / 10 for each in (4, 3, 2, 1)]),
        (Exploring(4, uniform=0.0, temperature=0.5), [each / 30 for each in (16, 9, 4, 1)]),
        (Exploring(3, uniform=0.1, weights="weight"), [0.475, 0.25, 0.25, 0.025]),
        (Exploring(1, uniform=0.0, weights="nothing"), [0.25] * 4),
    ],
)
def test_draws_have_the_propensities_that_are_told(
    spark: SparkSession, exploring: Exploring, expected: list[float]
) -> None:
    many = 4_000
    scores = dict(zip(CATEGORIES, (0.9, 0.8, 0.7, 0.04, 0.03, 0.02, 0.01), strict=True))
    told = [(name, score, WEIGHTS.get(name), None) for name, score in scores.items()]
    users = spark.range(many).selectExpr("concat('u', id) as user_id")
    each = spark.createDataFrame(told, "category string, score double, weight double, nothing double")
    candidates = users.crossJoin(each).selectExpr("*", "'novelty' as source", "'r' as reason")
    blocked = users.crossJoin(blocked_of(spark, {"u": []}).select("blocked"))
    lists = fill(candidates, blocked, categories_of(spark), Slots(4, None, exploring), seed=5, occasion="b")
    rows = lists.groupBy("slot", "category", "propensity").count().collect()
    drawn = {row["category"]: row for row in rows if row["propensity"] is not None}
    assert {row["slot"] for row in drawn.values()} == {exploring.slot}
    shares = np.array([drawn[name]["propensity"] for name in "defg"])
    np.testing.assert_allclose(shares, expected, rtol=1e-12)
    assert chisquare([drawn[name]["count"] for name in "defg"], shares / shares.sum() * many).pvalue > 1e-3
    others = [slot for slot in range(1, 5) if slot != exploring.slot]
    placed = {row["slot"]: (row["category"], row["count"]) for row in rows if row["propensity"] is None}
    assert placed == {slot: (name, many) for slot, name in zip(others, "abc", strict=True)}


@pytest.mark.parametrize("exploring", [None, Exploring(2, uniform=0.2)])
def test_random_lists_have_each_category_as_often_as_told(
    spark: SparkSession, exploring: Exploring | None
) -> None:
    """All customers are alike, so that a category's share of a slot is its propensity there."""
    many, size, share = 4_000, 3, 0.4
    scores = zip(CATEGORIES, (0.9, 0.8, 0.7, 0.04, 0.03, 0.02, 0.01), strict=True)
    users = spark.range(many).selectExpr("concat('u', id) as user_id")
    each = spark.createDataFrame(list(scores), "category string, score double")
    candidates = users.crossJoin(each).selectExpr("*", "'novelty' as source", "'r' as reason")
    blocked = users.crossJoin(blocked_of(spark, {"u": ["a"]}).select("blocked"))
    slots = Slots(size, None, exploring, share)
    frames = candidates, blocked, categories_of(spark)
    lists = fill(*frames, slots, seed=5, occasion="b").cache()
    assert lists.groupBy("user_id").agg(F.count_distinct("category").alias("n")).where("n != 3").isEmpty()
    random = lists.where(F.col("source") == RANDOM).select("user_id").distinct().count()
    assert binomtest(random, many, share).pvalue > 1e-3
    rows: pd.DataFrame = (
        lists.groupBy("slot", "category").agg(F.count("*").alias("n"), F.collect_set("propensity")).toPandas()
    )
    assert (rows.iloc[:, 3].str.len() == 1).all()
    rows["propensity"] = rows.iloc[:, 3].str[0]
    ranked: pd.DataFrame = placements(*frames, slots, seed=5).where("user_id = 'u1'").toPandas()
    assert ranked.groupby("slot")["odds"].sum().to_dict() == pytest.approx({1.0: 1, 2.0: 1, 3.0: 1})
    odds = {(row.slot, row.category): row.odds for row in ranked.itertuples()}
    for slot, of_slot in rows.groupby("slot"):
        assert len(of_slot) == 6  # every category that is allowed, in every slot
        assert of_slot["propensity"].sum() == pytest.approx(1)
        assert chisquare(of_slot["n"], of_slot["propensity"] * many).pvalue > 1e-3
        for row in of_slot.itertuples():
            assert row.propensity == pytest.approx(
                (1 - share) * odds.get((slot, row.category), 0) + share / 6
            )


def test_another_batch_or_seed_draws_anew(spark: SparkSession) -> None:
    users: dict[str, list[str]] = {f"u{at:03}": [] for at in range(200)}
    frames = candidates_of(spark, []), blocked_of(spark, users)
    slots = Slots(1, None, Exploring(1, uniform=1.0))

    def drawn(seed: int, occasion: str) -> list[str]:
        lists = fill(*frames, categories_of(spark), slots, seed=seed, occasion=occasion)
        return [row["category"] for row in lists.orderBy("user_id").collect()]

    first, others = drawn(1, "b"), (drawn(1, "c"), drawn(2, "b"))
    for other in others:  # alike by chance in 1 of 7
        assert sum(one == two for one, two in zip(first, other, strict=True)) < 60


def test_weights_by_hand(spark: SparkSession) -> None:
    rows = [
        ("u", "a", 0.1, None), ("u", "b", 0.1, 0.5), ("u", "c", 0.1, -1.0), ("u", "d", None, 1.0),
        ("u", "e", float("nan"), 1.0), ("u", "z", 0.2, 9.0), ("v", "a", 0.3, float("nan")),
    ]  # fmt: skip
    scored = spark.createDataFrame(rows, "user_id string, category string, score double, preference double")
    categories = categories_of(spark).withColumn(
        "weight", F.expr("case category when 'b' then 3 when 'a' then null else 1 end")
    )
    told = weighted(scored, categories, boost=0.5).cache()
    scores = {(row["user_id"], row["category"]): row["score"] for row in told.collect()}
    assert scores == {
        ("u", "a"): 0.1, ("u", "b"): pytest.approx(0.375), ("u", "c"): pytest.approx(0.05), ("u", "d"): None,
        ("u", "e"): None, ("u", "z"): pytest.approx(0.3), ("v", "a"): 0.3,
    }  # fmt: skip
    [row] = changed(told, 1, seed=1).collect()
    assert row.asDict() == {"candidates": 7, "customers": 2, "lists": 1}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: Slots(0), "slots"),
        (lambda: Slots(4, 0), "quota"),
        (lambda: Slots(4, None, Exploring(5)), "exploring slot"),
        (lambda: Slots(4, None, None, 1.5), "random share"),
        (lambda: Exploring(1, uniform=1.1), "uniform"),
        (lambda: Exploring(1, temperature=0.0), "temperature"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: Any, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        wrong()
