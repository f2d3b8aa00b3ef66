"""The bank is what it says: repeatable, its history keeps the hard filters, its propensities are true."""

import sqlite3
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from firstday.errors import SettingsError
from firstday.simulation import bank as history
from firstday.simulation.bank import simulate_bank
from firstday.simulation.bank_catalog import CATEGORIES, DAY, NAMES, SEASONAL
from firstday.simulation.bank_clicks import BASE_RATE
from firstday.simulation.bank_customers import DEMOGRAPHIC_SHARE
from firstday.simulation.bank_log import START
from firstday.simulation.bank_random import Stream, uniforms
from firstday.simulation.bank_world import Bank
from firstday.simulation.tables import BANK_TABLES

CUSTOMERS = 2_500


@cache
def bank() -> Bank:
    return simulate_bank(customers=CUSTOMERS)


def shown(made: Bank) -> pd.DataFrame:
    """Impressions with their reactions as columns."""
    kinds = made.reactions.assign(yes=1).pivot(index="impression_id", columns="kind", values="yes")
    rows = made.impressions.join(kinds, on="impression_id")
    return rows.fillna({"click": 0, "dismiss": 0, "join": 0})


def test_draws_are_uniform_and_of_their_keys() -> None:
    one, other = np.arange(400)[:, None], np.arange(500)
    drawn = uniforms(7, Stream.CLICK, one, other)
    assert drawn.shape == (400, 500)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, 20, (0, 1))[0]
    assert chi2.sf(((counts - 10_000) ** 2 / 10_000).sum(), 19) > 1e-4
    upper = np.triu_indices(400, 1)
    for stream, seed, turned in ((Stream.CLICK, 7, True), (Stream.CLICK, 8, False), (Stream.JOIN, 7, False)):
        against = uniforms(seed, stream, one, other)[:, :400]
        against = against.T if turned else against
        assert abs(np.corrcoef(drawn[:, :400][upper], against[upper])[0, 1]) < 0.02
    assert uniforms(7, Stream.CLICK, 3, 5)[0] == drawn[3, 5]


def test_the_same_seed_is_the_same_world() -> None:
    one, again, other = (simulate_bank(customers=500, history_days=14, seed=seed) for seed in (1, 1, 2))
    for name in BANK_TABLES:
        tables = (made.truth() if name == "truth" else getattr(made, name) for made in (one, again))
        pd.testing.assert_frame_equal(*tables)
    assert len(one.impressions) != len(other.impressions)


def test_tables_are_as_the_recommender_reads_them() -> None:
    made = bank()
    for name, schema in BANK_TABLES.items():
        table = made.truth() if name == "truth" else getattr(made, name)
        assert list(table.columns) == schema.names, name
        assert len(table), name
        empty = {column for column in table if table[column].isna().any()}
        assert empty <= {"income_band", "ends_at", "until", "amount"}, name
    assert made.customers["user_id"].is_unique
    assert len(made.customers) == CUSTOMERS
    assert made.impressions["impression_id"].is_unique
    assert (len(made.categories), made.categories["category_group"].nunique()) == (24, 6)
    assert made.contents.groupby("category").size().between(2, 4).all()
    assert set(made.impressions["policy"]) == {"segment"}


def test_nothing_happens_outside_of_its_time() -> None:
    made = bank()
    joined = made.customers.set_index("user_id")["joined_at"]
    assert joined.max() < made.now == START + pd.Timedelta(days=56)
    for name, column in (
        ("impressions", "shown_at"),
        ("events", "occurred_at"),
        ("transactions", "occurred_at"),
    ):
        table = getattr(made, name)
        assert table[column].between(START, made.now, inclusive="left").all(), name
        assert table[column].is_monotonic_increasing, name
        assert (table[column] >= table["user_id"].map(joined)).all(), name
    assert (made.holdings["since"] >= made.holdings["user_id"].map(joined)).all()
    assert (made.holdings["since"] < made.now).all()
    assert (made.preferences["stated_at"] < made.now).all()
    assert made.preferences["strength"].between(-1, 1).all()


def test_lists_are_whole_and_reactions_follow() -> None:
    made = bank()
    lists = made.impressions.groupby(["user_id", "shown_at"])
    assert (lists["slot"].max() == lists.size()).all()
    assert (lists["category"].nunique() == lists.size()).all()
    assert lists.size().max() == history.HISTORY_SLOTS
    rows = shown(made)
    assert ((rows["click"] == 1) & (rows["dismiss"] == 1)).sum() == 0
    assert ((rows["join"] == 1) & (rows["click"] == 0)).sum() == 0
    assert 0.01 < rows["click"].mean() < 0.03
    assert rows["dismiss"].mean() < rows["click"].mean()
    at = made.reactions.merge(made.impressions, on="impression_id")
    waited = (at["reacted_at"] - at["shown_at"]).dt.total_seconds()
    assert waited.between(3, 170).all()
    again = made.impressions.groupby(["user_id", made.impressions["shown_at"].dt.date])["shown_at"].nunique()
    assert 0.2 < (again > 1).mean() < 0.4


def test_the_old_policy_keeps_the_hard_filters() -> None:
    made = bank()
    rows = made.impressions.merge(made.contents, on=["content_id", "category"], how="left")
    assert (rows["starts_at"] <= rows["shown_at"]).all()
    assert (rows["ends_at"].isna() | (rows["ends_at"] > rows["shown_at"])).all()
    held = made.impressions.merge(made.holdings, on=["user_id", "category"])
    ended = held["until"].notna() & (held["until"] <= held["shown_at"])
    assert len(held) > 100
    assert (ended | (held["since"] > held["shown_at"])).all()
    allowed = may_have(made)
    assert allowed.mean() < 1
    assert pd.MultiIndex.from_frame(rows[["user_id", "category"]]).isin(allowed.index[allowed]).all()


def may_have(made: Bank) -> pd.Series:
    """By user_id and category, as a database reads the rules."""
    database = sqlite3.connect(":memory:")
    made.customers.drop(columns="joined_at").to_sql("customers", database)
    allowed = pd.DataFrame(True, made.customers["user_id"], NAMES)
    for category, rule in made.eligibility.itertuples(index=False):
        sql = f"select user_id from customers where {rule}"
        allowed[category] &= allowed.index.isin(pd.read_sql(sql, database)["user_id"])
    np.testing.assert_array_equal(allowed.to_numpy(), made.eligible)
    return allowed.stack()


def test_contents_come_and_go() -> None:
    contents, now = bank().contents, bank().now
    assert (contents["starts_at"] > now).any()
    assert contents["ends_at"].between(START, now).any()
    assert (contents["ends_at"] > now).any()
    live = (contents["starts_at"] <= now) & ~(contents["ends_at"] <= now)
    assert set(NAMES) - set(contents["category"][live]) == {NAMES[SEASONAL]}


def test_propensities_are_how_often_a_content_is_in_its_slot() -> None:
    made = simulate_bank(customers=400, history_days=8, seed=4)
    scores = history._segment_scores(made)
    for user in range(3):
        second = made.day * DAY + np.arange(40_000)
        lists = history._old_policy(made, scores, np.full(len(second), user), second)
        for slot in range(history.HISTORY_SLOTS):
            rows = pd.DataFrame({"content": lists.content[:, slot], "said": lists.propensity[:, slot]})
            seen = rows.groupby("content")["said"].agg(["size", "min", "max"])
            assert (seen["min"] == seen["max"]).all()
            assert seen["min"].sum() == pytest.approx(1)
            expected = seen["min"] * len(second)
            assert chi2.sf(((seen["size"] - expected) ** 2 / expected).sum(), len(seen) - 1) > 1e-4


def test_weights_of_the_log_average_one() -> None:
    """Under a policy that draws any offerable category and any of its live contents, in each slot."""
    made = bank()
    log = made.exposures()
    offerable = made.offerable(log["user"], log["second"])
    live = made.live_contents(log["second"])[1]
    of_category = made.banners.category == log["category"][:, None]
    target = 1 / (offerable.sum(axis=1) * (live & of_category).sum(axis=1))
    weight = target / log["propensity"]
    for slot in range(1, history.HISTORY_SLOTS + 1):
        mine = weight[log["slot"] == slot]
        assert mine.mean() == pytest.approx(1, abs=4 * mine.std() / len(mine) ** 0.5 + 0.01)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_strength_is_the_spread_of_interest(strength: float) -> None:
    made = simulate_bank(customers=CUSTOMERS, strength=strength, history_days=1)
    np.testing.assert_allclose(made.people.interest.std(axis=0), strength, atol=1e-9)
    start = (made.people.held_until <= 0) & made.eligible
    assert made.click_chances(rested=True)[start].mean() == pytest.approx(BASE_RATE, rel=0.02)


def test_demographics_tell_a_part_of_taste() -> None:
    made = bank()
    features = pd.get_dummies(made.customers.drop(columns=["user_id", "joined_at"])).astype(float)
    known = np.column_stack([np.ones(len(features)), features, features["age"] ** 2])
    taste = made.people.taste
    fitted = known @ np.linalg.lstsq(known, taste, rcond=None)[0]
    assert fitted.var(axis=0).mean() == pytest.approx(DEMOGRAPHIC_SHARE, abs=0.1)


def test_payments_tell_of_taste_but_some_customers_have_none() -> None:
    made = bank()
    counts = pd.crosstab(made.transactions["user_id"], made.transactions["category"])
    counts = counts.reindex(index=made.customers["user_id"], columns=list(NAMES), fill_value=0)
    silent = counts.sum(axis=1) == 0
    assert 0.08 < silent.mean() < 0.2
    share = counts[~silent].div(counts[~silent].sum(axis=1), axis=0)
    related = [np.corrcoef(share[name], made.people.taste[~silent, k])[0, 1] for k, name in enumerate(NAMES)]
    assert 0.1 < np.mean(related) < 0.7
    none = made.transactions["amount"].isna()
    unpriced = {entry.name for entry in CATEGORIES if entry.amount is None}
    assert set(made.transactions["category"][none]) == unpriced


def test_groups_are_alike_in_taste() -> None:
    worlds = [simulate_bank(customers=500, history_days=1, seed=seed) for seed in range(4)]
    related = np.mean([within(made.people.taste) for made in worlds], axis=0)
    assert related[0] > related[1] + 0.15


def within(taste: NDArray[np.float64]) -> tuple[float, float]:
    """Mean correlation of two categories of one group, and of two groups."""
    related = np.corrcoef(taste.T)
    groups = np.array([entry.group for entry in CATEGORIES])
    same = groups[:, None] == groups
    apart = ~np.eye(len(groups), dtype=bool)
    return float(related[same & apart].mean()), float(related[~same].mean())


@pytest.mark.parametrize(("customers", "days"), [(1, 1), (1, 30), (40, 2)])
def test_the_smallest_worlds(customers: int, days: int) -> None:
    made = simulate_bank(customers=customers, history_days=days, seed=5)
    assert len(made.customers) == customers
    assert made.day == days
    assert len(made.truth()) == customers * len(NAMES)


@pytest.mark.parametrize(
    "wrong", [{"customers": 0}, {"history_days": 0}, {"strength": -0.1}, {"strength": float("nan")}]
)
def test_impossible_worlds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        simulate_bank(**wrong)  # type: ignore[arg-type]
