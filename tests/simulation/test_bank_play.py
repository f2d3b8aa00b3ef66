"""Playing the bank: what is shown, what customers do with it, and comparisons of policies that are paired."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest

from firstday.errors import DataError, SettingsError
from firstday.simulation import bank_policies as policies
from firstday.simulation.bank import simulate_bank
from firstday.simulation.bank_catalog import DAY, NAMES, SEASONAL
from firstday.simulation.bank_clicks import EXAMINED, RECOVERY, SLOTS
from firstday.simulation.bank_world import Bank

ONE_DAY, WEEK = pd.Timedelta(days=1), pd.Timedelta(days=7)
KEYS = ["user_id", "shown_at", "slot", "category", "content_id"]


@cache
def history(strength: float = 1.0) -> Bank:
    """Not to be played: copies are."""
    return simulate_bank(customers=2_500, strength=strength, history_days=28)


def played(
    made: Bank, policy: Callable[[Bank], pd.DataFrame], days: int = 28, every: pd.Timedelta = WEEK
) -> Bank:
    made = made.copy()
    for _ in range(days // every.days):
        made.show(policy(made), made.now, made.now + every)
    return made


def click_rate(made: Bank, before: Bank) -> float:
    return float((made.exposures(before.day)["click"] > 0).mean())


def the_same(made: Bank, category: str, slot: int = 1) -> pd.DataFrame:
    """One category for everybody, whoever may have it."""
    content = made.contents[(made.contents["category"] == category) & made.contents["ends_at"].isna()].iloc[0]
    return pd.DataFrame(
        {
            "user_id": made.customers["user_id"],
            "slot": slot,
            "category": category,
            "content_id": content["content_id"],
            "policy": "test",
            "propensity": np.nan,
        }
    )


def test_every_visit_shows_the_current_list() -> None:
    before = history()
    lists = policies.uniform(before, slots=3)
    made = before.copy()
    impressions, reactions = made.show(lists, made.now, made.now + 2 * ONE_DAY)
    visits = pd.concat([before.visits(before.now), before.visits(before.now + ONE_DAY)])
    assert not visits.duplicated().any()
    expected = visits.merge(lists, on="user_id").sort_values(
        ["shown_at", "user_id", "slot"], ignore_index=True
    )
    pd.testing.assert_frame_equal(impressions[expected.columns], expected[expected.columns])
    pd.testing.assert_frame_equal(made.impressions.tail(len(impressions)).reset_index(drop=True), impressions)
    pd.testing.assert_frame_equal(made.reactions.tail(len(reactions)).reset_index(drop=True), reactions)
    opened = made.events[(made.events["action"] == "open_app") & (made.events["occurred_at"] >= before.now)]
    assert len(opened) == len(visits)
    assert (made.now, made.impressions["impression_id"].is_unique) == (before.now + 2 * ONE_DAY, True)


def test_the_order_of_rows_and_the_cut_of_periods_change_nothing() -> None:
    before = history()
    lists = policies.hand_targeting(before)
    whole, parts = before.copy(), before.copy()
    whole.show(lists, whole.now, whole.now + WEEK)
    parts.show(lists.sample(frac=1, random_state=1), parts.now, parts.now + 3 * ONE_DAY)
    parts.show(lists.head(0), parts.now, parts.now + 4 * ONE_DAY)
    for name in ("impressions", "reactions"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(parts, name))
    order = {"holdings": ["since", "user_id"], "transactions": ["occurred_at", "user_id", "category"]}
    for name, by in (order | {"events": ["occurred_at", "user_id", "action"]}).items():
        one, other = (getattr(made, name).sort_values(by, ignore_index=True) for made in (whole, parts))
        pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(whole.truth(), parts.truth())


def test_a_copy_is_a_world_of_its_own() -> None:
    before = history()
    impressions, truth = before.impressions.copy(), before.truth()
    played(before, policies.oracle, 7)
    pd.testing.assert_frame_equal(before.impressions, impressions)
    pd.testing.assert_frame_equal(before.truth(), truth)


def test_policies_are_compared_in_pairs() -> None:
    """On the first visit, where the state is the same, what is shown alike is reacted to alike."""
    before = history()
    rows = []
    for policy in (policies.popularity, policies.oracle):
        made = played(before, policy, 1, ONE_DAY)
        new = made.impressions[made.impressions["shown_at"] >= before.now]
        first = new[new["shown_at"] == new.groupby("user_id")["shown_at"].transform("min")]
        rows.append(first.merge(made.reactions, on="impression_id", how="left").drop(columns=["policy"]))
    one, other = rows
    assert set(one["user_id"]) == set(other["user_id"])
    both = one.merge(other, on=KEYS, suffixes=("", "_other")).drop_duplicates(KEYS)
    assert 50 < len(both) < len(one)
    assert both["kind"].notna().sum() > 0
    assert both["kind"].fillna("").equals(both["kind_other"].fillna(""))
    assert both["reacted_at"].equals(both["reacted_at_other"])


def test_lists_stay_until_they_are_replaced() -> None:
    made = history().copy()
    some = made.customers["user_id"].head(1_000)
    first, second = the_same(made, "fund"), the_same(made, "brokerage", slot=2)
    shown, _ = made.show(first[first["user_id"].isin(some)], made.now, made.now + ONE_DAY)
    assert set(shown["user_id"]) <= set(some)
    later, _ = made.show(second.tail(2_000), made.now, made.now + WEEK)
    kept = later["user_id"].isin(some.head(500))
    assert 0 < kept.sum() < len(later)
    assert (later["category"] == np.where(kept, "fund", "brokerage")).all()


def test_what_is_not_live_is_not_shown() -> None:
    made = history().copy()
    later = made.contents[made.contents["category"] == NAMES[SEASONAL]].iloc[-1]
    lists = the_same(made, NAMES[SEASONAL]).assign(content_id=later["content_id"])
    early, _ = made.show(lists, made.now, later["starts_at"])
    now, _ = made.show(lists, made.now, made.now + ONE_DAY)
    assert early.empty
    assert len(now) == len(made.visits(later["starts_at"]))


def test_clicks_come_as_often_as_the_truth_says() -> None:
    before = simulate_bank(customers=20_000, history_days=1)
    made = played(before, policies.uniform, 1, ONE_DAY)
    new = made.impressions[made.impressions["shown_at"] >= before.now]
    first = new[new["shown_at"] == new.groupby("user_id")["shown_at"].transform("min")]
    chance = before.click_probability(first)
    clicked = first["impression_id"].isin(made.reactions.query("kind == 'click'")["impression_id"])
    assert clicked.sum() == pytest.approx(chance.sum(), abs=4 * chance.sum() ** 0.5)
    high = chance > np.median(chance)
    assert clicked[high].sum() == pytest.approx(chance[high].sum(), abs=4 * chance[high].sum() ** 0.5)


def test_chances_of_rows_and_of_all_are_the_same() -> None:
    made = history()
    truth = made.truth()
    np.testing.assert_allclose(made.click_chances().ravel(), truth["click_probability"])
    np.testing.assert_allclose(made.click_probability(truth), truth["click_probability"])
    for slot in range(1, SLOTS + 1):
        of_slot = made.click_probability(truth.assign(slot=slot))
        np.testing.assert_allclose(of_slot, EXAMINED[slot - 1] * truth["click_probability"])


def test_slots_are_looked_at_less_and_less() -> None:
    """Random lists show every slot the same categories: the ratio of click rates is that of examinations."""
    before = simulate_bank(customers=4_000, history_days=7)
    made = played(before, lambda bank: policies.uniform(bank, SLOTS), 14, ONE_DAY)
    log = made.exposures(before.day)
    clicks = np.bincount(log["slot"], log["click"] > 0)[1:]
    shown = np.bincount(log["slot"])[1:]
    assert len(clicks) == SLOTS
    ratio = clicks / shown / (clicks[0] / shown[0])
    error = ratio * np.sqrt(1 / clicks + 1 / clicks[0])
    assert (abs(ratio - EXAMINED)[1:] < 4 * error[1:]).all()


def test_fatigue_lowers_clicks_and_rest_takes_it_away() -> None:
    before = history()
    made = played(before, lambda bank: the_same(bank, "fund"), 7)
    category = NAMES.index("fund")
    tired, truth = made.truth().query("category == 'fund'"), before.truth().query("category == 'fund'")
    seen = np.unique(made.exposures(before.day)["user"])
    more = tired["tired"].to_numpy()[seen] - truth["tired"].to_numpy()[seen]
    assert more.mean() > 1
    chance, rested = (made.click_chances(rested=known)[seen, category] for known in (False, True))
    assert chance.mean() < 0.8 * rested.mean()
    log = made.exposures(before.day)
    late = log["second"] >= (before.day + 4) * DAY
    first = ~pd.Series(log["user"]).duplicated().to_numpy()
    assert (log["click"] > 0)[late & ~first].mean() < (log["click"] > 0)[first].mean()
    resting = made.copy()
    resting.play(2 * RECOVERY // DAY, lambda user, _: resting._lists.empty(len(user)))
    left = resting.truth().query("category == 'fund'")["tired"].to_numpy()
    np.testing.assert_allclose(left, tired["tired"] / 4)
    assert (resting.click_chances()[seen, category] >= chance - 1e-12).all()


def test_holders_hardly_click_and_never_join_again() -> None:
    before = history()
    for name in ("debit_card", "salary_account", "bill_payment"):
        made = played(before, lambda bank, name=name: the_same(bank, name), 28)  # type: ignore[misc]
        log = made.exposures(before.day)
        has = before.held()[log["user"], NAMES.index(name)]
        assert has.sum() > 500
        clicked, joined = log["click"] > 0, log["join"] > 0
        assert clicked[has].mean() < 0.2 * clicked[~has].mean()
        assert joined[has].sum() == 0
        assert not pd.Series(log["user"][joined]).duplicated().any()
    truth = before.truth()
    held, open_ = (truth[truth["held"] == value] for value in (True, False))
    assert held["interest"].mean() > open_["interest"].mean()
    assert held["click_probability"].mean() < 0.2 * open_["click_probability"].mean()


def test_the_ineligible_never_join() -> None:
    before = history()
    made = played(before, lambda bank: the_same(bank, "mortgage"), 28)
    log = made.exposures(before.day)
    may = before.eligible[log["user"], NAMES.index("mortgage")]
    assert (log["click"] > 0)[~may].sum() > 0
    assert (log["join"] > 0)[~may].sum() == 0
    assert (log["join"] > 0)[may].sum() > 0


def test_who_clicks_or_joins_comes_to_use_it() -> None:
    before = history()
    made = played(before, policies.oracle, 28)
    log = made.exposures(before.day)
    joined = log["join"] > 0
    held = made.held()[log["user"], log["category"]]
    term = np.isin(np.array(NAMES)[log["category"]], ["travel_insurance"])
    assert held[joined & ~term].all()
    assert len(made.holdings) == len(before.holdings) + joined.sum()
    clicks = made.impressions.merge(made.reactions.query("kind == 'click'"), on="impression_id")
    clicks = clicks[clicks["shown_at"] >= before.now].drop_duplicates(["user_id", "category"])
    paid = clicks.merge(made.transactions, on=["user_id", "category"])
    after = (paid["occurred_at"] > paid["reacted_at"]).sum()
    earlier = paid["occurred_at"].between(before.now - 4 * WEEK, before.now).sum()
    assert after > 1.5 * earlier


def test_without_taste_the_best_is_the_same_for_all() -> None:
    made = simulate_bank(customers=2_000, strength=0.0, history_days=7)
    best = policies.oracle(made, rested=True)
    chosen = best.groupby("user_id")["category"].agg(list)
    by_popularity = np.argsort(-made.people.interest[0], kind="stable")
    offerable = made.offerable(np.arange(2_000), np.full(2_000, made.day * DAY))
    for number, user in enumerate(made.user_ids[:300]):
        expected = [NAMES[category] for category in by_popularity if offerable[number, category]][:4]
        assert chosen[user] == expected


@pytest.mark.parametrize(("strength", "least", "most"), [(0.0, 0.95, 1.4), (1.0, 1.3, 2.5), (2.0, 1.6, 4.0)])
def test_there_is_room_above_hand_targeting_where_tastes_differ(
    strength: float, least: float, most: float
) -> None:
    before = history(strength)
    rates = {
        name: click_rate(played(before, policy, 14), before) for name, policy in policies.POLICIES.items()
    }
    assert least < rates["oracle"] / rates["hand_targeting"] < most
    assert rates["uniform"] < rates["popularity"] * 1.02
    assert all(0.01 < rate < 0.08 for rate in rates.values())


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": "nobody"},
        {"content_id": "nothing"},
        {"category": "brokerage"},
        {"category": "nothing"},
        {"slot": 0},
        {"slot": SLOTS + 1},
        {"slot": 1.5},
        {"propensity": 0.0},
        {"propensity": 1.1},
    ],
)
def test_lists_that_cannot_be_shown_are_refused(change: dict[str, object]) -> None:
    made = history().copy()
    lists = the_same(made, "fund").head(3)
    for name, value in change.items():
        lists[name] = lists[name].astype(object).where(lists.index > 0, value)
    with pytest.raises(DataError):
        made.show(lists, made.now, made.now + ONE_DAY)
    assert made.now == history().now


@pytest.mark.parametrize("repeated", ["slot", "category"])
def test_a_list_repeats_nothing(repeated: str) -> None:
    made = history().copy()
    other = the_same(made, "brokerage") if repeated == "slot" else the_same(made, "fund", slot=2)
    with pytest.raises(DataError):
        made.show(pd.concat([the_same(made, "fund"), other]), made.now, made.now + ONE_DAY)
    with pytest.raises(DataError):
        made.show(other.drop(columns="propensity"), made.now, made.now + ONE_DAY)


@pytest.mark.parametrize(
    ("since", "until"), [("1h", "1D"), ("-1D", "1D"), ("1D", "2D"), ("0D", "0D"), ("0D", "1h")]
)
def test_a_period_starts_now_and_has_whole_days(since: str, until: str) -> None:
    made = history().copy()
    with pytest.raises(SettingsError):
        made.show(the_same(made, "fund"), made.now + pd.Timedelta(since), made.now + pd.Timedelta(until))
