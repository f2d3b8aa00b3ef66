"""Banners: the probability of being the best, as quadrature and draws have it; what a reaction changes."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from scipy import integrate, stats
from scipy.stats import chisquare

from firstday.errors import SettingsError
from firstday.recommendations.content_shares import best_probabilities, shares
from firstday.recommendations.contents import Refreshing, choose, content_shares, odds, reacted
from tests.recommendations.bank_worlds import NOW, ago, by_hash

LISTS = (
    "user_id string, slot int, category string, source string, reason string, score double, propensity double"
)
BETAS = st.lists(st.tuples(st.floats(0.5, 300), st.floats(0.5, 5_000)), min_size=1, max_size=6)


@settings(max_examples=20)
@given(betas=BETAS)
def test_probabilities_of_being_the_best(betas: list[tuple[float, float]]) -> None:
    alpha, beta = np.array(betas).T
    found = best_probabilities(alpha, beta)
    assert found.sum() == pytest.approx(1)
    draws = np.random.default_rng(1).beta(alpha, beta, (20_000, len(betas))).argmax(axis=1)
    np.testing.assert_allclose(found, np.bincount(draws, minlength=len(betas)) / 20_000, atol=0.02)


def test_probabilities_as_quadrature() -> None:
    alpha, beta = np.array([3.0, 2.0, 30.0]), np.array([97.0, 50.0, 970.0])
    one, two, three = (stats.beta(*each) for each in zip(alpha, beta, strict=True))
    expected = integrate.quad(
        lambda x: one.pdf(x) * two.cdf(x) * three.cdf(x), 0, 1, points=[0.03, 0.05], limit=500
    )[0]
    assert best_probabilities(alpha, beta)[0] == pytest.approx(expected, abs=1e-5)
    assert best_probabilities([2, 2, 2], [5, 5, 5]) == pytest.approx([1 / 3] * 3)


def counts_of(rows: list[tuple[str, str, int, int]], before: tuple[int, int] = (0, 0)) -> pd.DataFrame:
    """before: shown and clicked of each."""
    counts = pd.DataFrame(rows, columns=["content_id", "category", "shown", "clicked"])
    return counts.assign(shown_before=before[0], clicked_before=before[1])


def test_rates_by_hand() -> None:
    """All: 41 clicks of 2,200 with the start's; category a: 31 of 1,000; the prior is 100 impressions."""
    table = counts_of([("a1", "a", 1000, 31), ("a2", "a", 0, 0), ("b1", "b", 1100, 9), ("c1", "c", 0, 0)])
    found = shares(table).set_index("content_id")
    overall = 41 / 2200
    of_a, of_b = (31 + 100 * overall) / 1100, (9 + 100 * overall) / 1200
    assert found["rate"].to_dict() == pytest.approx(
        {"a1": (31 + 100 * of_a) / 1100, "a2": of_a, "b1": (9 + 100 * of_b) / 1200, "c1": overall}
    )
    assert found.groupby("category")["weight"].sum().to_dict() == pytest.approx({"a": 1, "b": 1, "c": 1})


def test_what_was_before_counts_as_so_many_impressions_at_most() -> None:
    now = [("a1", "a", 100, 3), ("a2", "a", 50, 0)]
    for seen, share in (((400, 8), 1.0), ((4_000, 80), 0.25)):
        found = shares(counts_of(now, seen))
        more = [(name, of, s + share * seen[0], c + share * seen[1]) for name, of, s, c in now]
        pd.testing.assert_frame_equal(found, shares(counts_of(more)))  # type: ignore[arg-type]


def test_new_banners_get_a_chance() -> None:
    known_well = counts_of([("good", "a", 5000, 150), ("bad", "a", 5000, 50), ("new", "a", 0, 0)])
    drawn = shares(known_well).set_index("content_id")["weight"]
    assert drawn["bad"] == pytest.approx(0.05 / 3, rel=0.01)
    assert drawn["new"] > 0.1


def test_no_history_at_all() -> None:
    assert shares(counts_of([("a1", "a", 0, 0), ("a2", "a", 0, 0)]))["weight"].tolist() == [
        0.5,
        0.5,
    ]
    assert shares(counts_of([])).empty


def contents_of(spark: SparkSession) -> DataFrame:
    day = timedelta(days=1)
    rows = [
        *((name, "a", ago(30), None) for name in ("a1", "a2", "a3")),
        ("b1", "b", NOW, NOW + day), ("b2", "b", ago(9), NOW), ("b3", "b", NOW + day, None),
        ("c1", "c", ago(9), ago(1)), *((name, "d", ago(9), None) for name in ("d1", "d2")),
    ]  # fmt: skip
    return spark.createDataFrame(
        rows, "content_id string, category string, starts_at timestamp, ends_at timestamp"
    )


def log_of(
    spark: SparkSession, shown: list[tuple[str, str, datetime, dict[str, datetime]]]
) -> tuple[DataFrame, DataFrame]:
    """Impressions and reactions; shown: user_id, content_id, shown_at, and what was done when."""
    impressions = [(f"i{n}", user, name[0], name, at) for n, (user, name, at, _) in enumerate(shown)]
    reactions = [(f"i{n}", kind, at) for n, (_, _, _, done) in enumerate(shown) for kind, at in done.items()]
    reactions += reactions[:3]
    return (
        spark.createDataFrame(
            impressions,
            "impression_id string, user_id string, category string, content_id string, shown_at timestamp",
        ),
        spark.createDataFrame(reactions, "impression_id string, kind string, reacted_at timestamp"),
    )


def test_live_contents_by_the_last_days(spark: SparkSession) -> None:
    shown: list[Any] = [("u", "a1", ago(day), {"click": ago(day)}) for day in (0, 1, 6.9, 7, 8, 28, -1)]
    shown += [("u", "a2", ago(1), {"click": ago(-1), "dismiss": ago(1)}), ("u", "b2", ago(1), {})]
    log = reacted(*log_of(spark, shown), NOW)
    found = content_shares(contents_of(spark), log, NOW).collect()
    told = {row["category"]: [each["content_id"] for each in row["live"]] for row in found}
    assert told == {"a": ["a1", "a3", "a2"], "b": ["b1"], "d": ["d1", "d2"]}
    weights = {each["content_id"]: each["weight"] for row in found for each in row["live"]}
    expected = shares(
        counts_of([("a1", "a", 3, 3), ("a2", "a", 1, 0), ("a3", "a", 0, 0), ("b1", "b", 0, 0), *(
            (name, "d", 0, 0) for name in ("d1", "d2"))])
        .assign(shown_before=[2, 0, 0, 0, 0, 0], clicked_before=[2, 0, 0, 0, 0, 0]),
    )  # fmt: skip
    assert weights == pytest.approx(dict(zip(expected["content_id"], expected["weight"], strict=True)))


def chosen(
    spark: SparkSession,
    shown: list[Any],
    refreshing: Refreshing,
    users: list[str],
    seed: int = 0,
) -> list[Any]:
    """The contents that each user gets in a list of a to d; a was drawn with probability 1/2, d with 1/4."""
    rows = [
        (user, slot, name, "s", "r", 0.1, propensity)
        for user in users
        for slot, (name, propensity) in enumerate(
            (("a", 0.5), ("b", None), ("c", None), ("d", 0.25)), start=1
        )
    ]
    log = by_hash(reacted(*log_of(spark, shown), NOW), seed)
    lists = by_hash(spark.createDataFrame(rows, LISTS), seed)
    live = content_shares(contents_of(spark), log, NOW)
    return choose(lists, live, log, refreshing, seed=1, occasion="b").orderBy("user_id", "slot").collect()


# By rule, who has but one content of a left, so that only the category was drawn.
KEPT = {"next": {"two", "again"}, "keep": {"one", "two", "all", "again"}}


def test_after_a_reaction(spark: SparkSession) -> None:
    """By customer, what was clicked of a, and joined; who did nothing may get any."""
    clicks: dict[str, list[Any]] = {
        "new": [("a2", 3, {})],
        "one": [("a1", 3, {"click": ago(3)})],
        "two": [("a1", 3, {"click": ago(2)}), ("a2", 2, {"click": ago(1)})],
        "all": [(name, 5, {"click": ago(days)}) for name, days in (("a1", 1), ("a2", 3), ("a3", 2))],
        "joined": [("a2", 3, {"click": ago(3), "join": ago(2)})],
        "again": [("a3", 3, {"click": ago(3), "join": ago(2)}), ("a2", 1, {"click": ago(1)})],
        "later": [("a2", 3, {"click": NOW + timedelta(days=1)})],
        "long ago": [("a1", 40, {"click": ago(29)})],
    }
    shown = [(user, name, ago(days), done) for user, rows in clicks.items() for name, days, done in rows]
    told = {}
    for rule in ("next", "keep", "another"):
        rows = chosen(spark, shown, Refreshing(rule), list(clicks))
        told[rule] = {row["user_id"]: row["content_id"] for row in rows if row["category"] == "a"}
        single = {row["user_id"] for row in rows if row["category"] == "a" and row["propensity"] == 0.5}
        assert single == KEPT.get(rule, set())
        assert {row["content_id"] for row in rows if row["category"] == "b"} == {"b1"}
        assert not [row for row in rows if row["category"] == "c"]
        assert {row["propensity"] for row in rows if row["category"] == "b"} == {None}
    assert told["next"]["one"] in ("a2", "a3")
    assert (told["next"]["two"], told["next"]["again"]) == ("a3", "a1")
    assert told["next"]["all"] in ("a2", "a3")
    assert {user: told["keep"][user] for user in KEPT["keep"]} == {
        "one": "a1",
        "two": "a2",
        "all": "a1",
        "again": "a2",
    }


def test_draws_have_the_propensities_that_are_told(spark: SparkSession) -> None:
    users = [f"u{number:04}" for number in range(2_000)]
    shown: list[Any] = [("u0000", "a1", ago(1), {"click": ago(1)}) for _ in range(9)]
    shown += [("u0000", "a2", ago(1), {}) for _ in range(99)]
    rows = chosen(spark, shown, Refreshing(of_category={"d": "keep"}), users)
    assert [tuple(row) for row in rows] == [
        tuple(row) for row in chosen(spark, shown, Refreshing(of_category={"d": "keep"}), users, 2)
    ]
    for category, factor in (("a", 0.5), ("d", 0.25)):
        drawn = [row for row in rows if row["category"] == category and row["user_id"] != "u0000"]
        told = {row["content_id"]: row["propensity"] / factor for row in drawn}
        assert sum(told.values()) == pytest.approx(1)
        count = Counter(row["content_id"] for row in drawn)
        names = [name for name in told if told[name] * len(drawn) >= 5]
        if len(names) > 1:
            expected = np.array([told[name] for name in names])
            observed = np.array([count[name] for name in names])
            assert chisquare(observed, expected / expected.sum() * observed.sum()).pvalue > 1e-3
    # The one who has clicked a1 gets another one, with what is left of the probability.
    [own] = [row for row in rows if row["user_id"] == "u0000" and row["category"] == "a"]
    told = {
        row["content_id"]: row["propensity"]
        for row in rows
        if row["category"] == "a" and row["user_id"] != "u0000"
    }
    assert own["content_id"] in ("a2", "a3")
    left = told.get("a2", 0) + told.get("a3", 0)
    assert own["propensity"] == pytest.approx(told[own["content_id"]] / left / 2)
    log = reacted(*log_of(spark, shown), NOW)
    asked = [(user, "a", name) for user in ("u0000", "u0001") for name in ("a1", "a2", "a3", "gone")]
    before = odds(
        spark.createDataFrame(asked, "user_id string, category string, content_id string"),
        content_shares(contents_of(spark), log, NOW),
        *(log, Refreshing()),
    )
    found = {(row["user_id"], row["content_id"]): row["content_odds"] for row in before.collect()}
    assert found["u0000", own["content_id"]] == pytest.approx(2 * own["propensity"])
    assert found["u0000", "a1"] == found["u0000", "gone"] == found["u0001", "gone"] == 0
    for name, propensity in told.items():
        assert found["u0001", name] == pytest.approx(2 * propensity)
    assert {row["propensity"] for row in rows if row["category"] == "b"} == {None}


def test_categories_that_rest_after_a_reaction(spark: SparkSession) -> None:
    categories = spark.createDataFrame([("a",), ("b",), ("c",)], "category string")
    rule = Refreshing("another", {"b": "keep"})
    assert sorted(row[0] for row in rule.resting(categories).collect()) == ["a", "c"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: Refreshing("anew"), "next, keep or another"),  # type: ignore[arg-type]
        (lambda: Refreshing(of_category={"a": "anew"}), "next, keep or another"),  # type: ignore[dict-item]
    ],
)
def test_settings_out_of_range_are_refused(wrong: Any, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        wrong()
