"""The merged list is that of maximal marginal relevance written out for one customer at a time."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.recommendations.recall.catalog import Catalog
from firstday.recommendations.recall.greedy import Merging, greedy, quantiles, relevance, ties_of
from firstday.recommendations.recall.merge import gathered, merge, similarity
from firstday.recommendations.recall.relevance import CoOccurrence
from firstday.recommendations.recall.sources import SOURCES as REGISTRY

Array = np.ndarray[Any, Any]
CATALOG = Catalog(tuple(f"c{place}" for place in range(7)), ("g", "g", "g", "h", "h", "i", "i"))
SOURCES = tuple(REGISTRY)
COSINE = np.random.default_rng(3).random((7, 7)) * 0.8
FOUND = CoOccurrence((COSINE + COSINE.T) / 2 * (1 - np.eye(7)), np.ones(7, dtype=np.int64))
ALIKE = similarity(CATALOG, FOUND)
SCHEMA = (
    "user_id string, als array<double>, co_occurrence array<double>, affinity array<double>, "
    "met array<struct<place: int, weight: double>>, novelty array<double>, profile string, "
    "serendipity array<double>, allowed array<boolean>"
)


def ranked(scores: list[float], ties: list[int]) -> dict[int, float]:
    """Of each named place its quantile, best first."""
    order = sorted(
        (p for p, s in enumerate(scores) if not math.isnan(s)), key=lambda p: (-scores[p], ties[p])
    )
    return {place: 1 - rank / len(order) for rank, place in enumerate(order)}


def naive(named: dict[str, list[float]], ties: list[int], merging: Merging) -> list[tuple[int, str, float]]:
    """place, source and score of one customer's list."""
    left: dict[int, tuple[str, float]] = {}
    for name in SOURCES:
        best = ranked(named[name], ties)
        for place in list(best)[: merging.depth]:
            left.setdefault(place, (name, best[place]))
    chosen: list[tuple[int, str, float]] = []
    while left and len(chosen) < merging.most:
        owed = {}
        for name, quota in merging.quotas.items():
            taken = sum(source == name for _, source, _ in chosen)
            owed[name] = min(max(quota - taken, 0), sum(source == name for source, _ in left.values()))
        free = sum(owed.values()) < merging.most - len(chosen)

        def value(place: int) -> float:
            nearest = max((float(ALIKE[other, place]) for other, _, _ in chosen), default=0.0)
            return merging.balance * left[place][1] - (1 - merging.balance) * nearest

        may = [place for place, (source, _) in left.items() if free or owed.get(source, 0) > 0]
        pick = min(may, key=lambda place: (-value(place), ties[place]))
        chosen.append((pick, *left.pop(pick)))
    return chosen


@st.composite
def mergings(draw: st.DrawFn) -> Merging:
    quotas = {name: draw(st.integers(0, 2)) for name in draw(st.sets(st.sampled_from(SOURCES)))}
    most = max(draw(st.integers(1, 9)), sum(quotas.values()))
    return Merging(most, draw(st.integers(1, 8)), draw(st.sampled_from([0.0, 0.3, 0.7, 1.0])), quotas)


def some(draw: np.random.Generator, customers: int) -> Array:
    """Scores with ties, holes, and customers of whom a source says nothing."""
    scores = draw.integers(0, 4, (customers, 7)) / 4
    scores[draw.random((customers, 7)) < 0.4] = np.nan
    scores[draw.random(customers) < 0.2] = np.nan
    return scores


@given(mergings(), st.integers(0, 2**32))
def test_greedy_equals_the_naive_one(merging: Merging, seed: int) -> None:
    draw = np.random.default_rng(seed)
    named = {name: some(draw, 20) for name in SOURCES}
    ties = ties_of(draw.integers(-(2**63), 2**63 - 1, 20), 7)
    found = greedy(named, ties, ALIKE, merging)
    for row in range(20):
        count = int((found.places[row] >= 0).sum())
        mine = [
            (int(found.places[row, step]), SOURCES[found.sources[row, step]], float(found.scores[row, step]))
            for step in range(count)
        ]
        own = {name: scores[row].tolist() for name, scores in named.items()}
        assert mine == naive(own, ties[row].tolist(), merging)


def test_ties_spread_evenly_and_differ() -> None:
    ties = ties_of(np.arange(10_000), 7)
    assert len(np.unique(ties)) == 70_000
    first = np.bincount(ties.argmin(axis=1), minlength=7)
    assert first.min() > 1_250
    assert first.max() < 1_620


def test_quotas_hold_while_a_source_has_candidates() -> None:
    scores = np.linspace(1, 0.1, 7)[None, :]
    nothing = np.full((1, 7), np.nan)
    late = np.where(np.arange(7) >= 5, 1.0, np.nan)[None, :]
    named = {"relevance": scores, "novelty": nothing, "serendipity": late}
    merging = Merging(3, 3, 1.0, {"serendipity": 1, "novelty": 2})
    found = greedy(named, ties_of(np.array([1]), 7), np.zeros((7, 7)), merging)
    assert [SOURCES[source] for source in found.sources[0]].count("serendipity") >= 1
    assert (found.places[0] >= 0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"most": 0},
        {"balance": 1.5},
        {"quotas": {"luck": 1}},
        {"quotas": {"novelty": 13}},
    ],
)
def test_odd_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Merging(**wrong)


def lists(draw: np.random.Generator, customers: int) -> list[tuple[Any, ...]]:
    def told(scores: Array) -> list[float | None] | None:
        return None if np.isnan(scores).all() else [None if math.isnan(s) else float(s) for s in scores]

    views = [[told(row) for row in some(draw, customers)] for _ in range(5)]
    rows = []
    for user, (als, together, alike, novel, drawn) in enumerate(zip(*views, strict=True)):
        met = [(0, 1.0), (3, 2.0)] if together else None
        allowed = None if user % 3 else (draw.random(7) < 0.6).tolist()
        rows.append(
            (f"u{user}", als, together, alike, met, novel, "age 30 to 40" if novel else None, drawn, allowed)
        )
    return rows


def test_a_table_is_merged_as_its_arrays(spark: SparkSession) -> None:
    rows = lists(np.random.default_rng(5), 60)
    rows += [("nothing", *[None] * 8), ("none allowed", *rows[1][1:8], [False] * 7)]
    table = spark.createDataFrame(rows, SCHEMA)
    merging = Merging(4, 5, 0.6, {"novelty": 1, "serendipity": 1})
    found = merge(table, CATALOG, FOUND, 9, merging)
    kept = sorted(found.collect(), key=lambda row: (row["user_id"], row["place"]))
    hashes = {
        row[0]: row[1] for row in table.select("user_id", F.xxhash64(F.lit(9), F.col("user_id"))).collect()
    }
    mine: dict[str, list[Any]] = {}
    for row in kept:
        mine.setdefault(row["user_id"], []).append(row)
    for user, als, together, alike, _, novel, _, drawn, allowed in rows:
        views = np.array([view or [None] * 7 for view in (als, together, alike, novel, drawn)], dtype=float)
        views[:, [not may for may in allowed or [True] * 7]] = np.nan
        ties = ties_of(np.array([hashes[user]]), 7)
        one = relevance(views[[0]], views[[1]], views[[2]], ties)[0]
        named = dict(zip(SOURCES, (one.tolist(), views[3].tolist(), views[4].tolist()), strict=True))
        expected = naive(named, ties[0].tolist(), merging)
        told = mine.get(user, [])
        assert [(CATALOG.places[row["category"]], row["source"], row["score"]) for row in told] == expected
        assert [row["place"] for row in told] == list(range(1, len(expected) + 1))
        for row in told:
            place = CATALOG.places[row["category"]]
            own = [row[n] for n in ("relevance", "co_occurrence", "affinity", "novelty", "serendipity")]
            np.testing.assert_array_equal(np.array(own, dtype=float), views[:, place])
    assert "nothing" not in mine
    assert "none allowed" not in mine
    for row in kept:
        starts = {
            "relevance": ("Often used with c", "Fits"),
            "novelty": "Taken up",
            "serendipity": "Worth a try",
        }
        assert row["reason"].startswith(starts[row["source"]])
        assert row["source"] != "novelty" or "(age 30 to 40)" in row["reason"]
    again = merge(table.orderBy(F.rand(1)).repartition(2), CATALOG, FOUND, 9, merging).collect()
    assert sorted(again, key=lambda row: (row["user_id"], row["place"])) == kept


def test_customers_and_sources_are_gathered(spark: SparkSession) -> None:
    customers = spark.createDataFrame([("u",), ("v",)], "user_id string")
    novel = spark.createDataFrame(
        [("v", [2.0] + [None] * 6, "everyone")], "user_id string, novelty array<double>, profile string"
    )
    (row,) = merge(gathered(customers, novel), CATALOG, FOUND, 1).collect()
    assert (row["user_id"], row["category"], row["source"], row["score"]) == ("v", "c0", "novelty", 1.0)
    assert row["reason"] == "Taken up 2.0 times as often as on average by customers like this one (everyone)"
    assert merge(gathered(customers), CATALOG, FOUND, 1).collect() == []


def test_relevance_is_the_mean_of_its_views() -> None:
    ties = ties_of(np.array([4]), 3)
    one, other = np.array([[0.9, 0.5, np.nan]]), np.array([[0.1, 0.8, 0.3]])
    np.testing.assert_allclose(quantiles(one, ties), [[1, 0.5, np.nan]])
    unknown = np.full((1, 3), np.nan)
    done = [(1 + 1 / 3) / 2, 0.75, 2 / 3]
    np.testing.assert_allclose(relevance(one, other, unknown, ties), [done])
    affinity = np.array([[0.2, 0.1, 0.3]])
    halves = [(own + kind) / 2 for own, kind in zip(done, (2 / 3, 1 / 3, 1.0), strict=True)]
    np.testing.assert_allclose(relevance(one, other, affinity, ties), [halves])
    np.testing.assert_array_equal(relevance(unknown, unknown, affinity, ties), unknown)
