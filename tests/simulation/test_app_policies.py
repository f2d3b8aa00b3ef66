"""What the app's home screen shows: propensities that are exact, pushes, lists, and variants over time."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from firstday.errors import DataError, SettingsError
from firstday.simulation.app import simulate_app
from firstday.simulation.app_behaviour import SLOTS
from firstday.simulation.app_catalog import LEADS_TO, NAMES
from firstday.simulation.app_policies import (
    EXPLORING,
    by_variant,
    click_rates,
    listed,
    numbers,
    popularity,
    push,
    uniform,
)
from firstday.simulation.app_world import App, Policy
from firstday.simulation.bank_catalog import DAY
from firstday.simulation.world import ACTIONS

ONE_DAY = pd.Timedelta(days=1)
LEADING = [NAMES[number] for number in np.flatnonzero(LEADS_TO == ACTIONS.index("message"))]  # noqa: SIM300


@cache
def history() -> App:
    """Not to be played: copies are."""
    return simulate_app(users=900, dates=5, seed=2)


def recommendations(app: App, users: pd.Series, category: str = "guides", slot: int = 1) -> pd.DataFrame:
    """One category for all of them."""
    content = app.contents.query("category == @category and ends_at.isna()").iloc[0]["content_id"]
    columns = {"category": category, "content_id": content, "policy": "test", "propensity": 0.5}
    return pd.DataFrame({"user_id": users, "slot": slot, **columns})


def shown(app: App, days: int, policy: Policy) -> pd.DataFrame:
    """The impressions of so many days, which are played."""
    app.play(days, policy)
    return app.impressions_since(app.day - days)


def slots_of(impressions: pd.DataFrame, column: str = "category") -> pd.DataFrame:
    """A row a visit, a column a slot."""
    return impressions.pivot(index=["user_id", "shown_at"], columns="slot", values=column)


@pytest.mark.parametrize("policy", [uniform, popularity])
def test_propensities_are_the_shares_of_what_is_shown(policy) -> None:  # type: ignore[no-untyped-def]
    """Drawn again for 40,000 visits: each content is in each slot as often as the log says."""
    app = history()
    user, second = np.arange(40_000) % len(app.people), app.day * DAY + np.arange(40_000) * 2
    lists = policy(app, user, second)
    assert lists.content.shape == (40_000, SLOTS)
    assert (lists.content >= 0).all()
    live = np.flatnonzero(app.banners.live(app.day * DAY))
    assert set(np.unique(lists.content)) <= set(live)
    category = np.sort(app.banners.category[lists.content], axis=1)
    assert (np.diff(category, axis=1) > 0).all()
    for slot in range(SLOTS):
        cells = pd.DataFrame({"content": lists.content[:, slot], "chance": lists.propensity[:, slot]})
        found = cells.groupby("content")["chance"].agg(["size", "min", "max"])
        np.testing.assert_allclose(found["min"], found["max"])
        expected = 40_000 * found["min"]
        assert (abs(found["size"] - expected) < 4.5 * np.sqrt(expected)).all()
        assert found["min"].sum() == pytest.approx(1)


def test_popularity_shows_what_was_clicked_and_explores() -> None:
    app = history()
    rates = click_rates(app)
    assert rates is not None
    log = app.exposures()
    one = log["category"] == 3
    assert rates[3] == pytest.approx((log["click"][one] > 0).mean(), abs=0.05)
    user = np.arange(len(app.people))
    lists = popularity(app, user, np.full(len(user), app.day * DAY))
    best = app.banners.category[lists.content] == np.argsort(-rates, kind="stable")[:SLOTS]
    assert best.all(axis=1).mean() == pytest.approx(1 - EXPLORING, abs=0.06)


def test_push_shows_the_actions_categories_first_then_the_base() -> None:
    app = history()
    one, other = app.copy(), app.copy()
    base = shown(one, 1, uniform)
    impressions = shown(other, 1, push("message", uniform))
    now, before = slots_of(impressions), slots_of(base)
    assert now.index.equals(before.index)
    assert (now[[1, 2]] == LEADING).all(axis=None)
    for after, was in zip(now.to_numpy()[:50], before.to_numpy()[:50], strict=True):
        assert list(after[2:]) == [name for name in was if name not in LEADING][:2]
    assert impressions["policy"].unique().tolist() == ["push_message"]
    assert impressions["propensity"].isna().all()
    with pytest.raises(SettingsError):
        push("sing")


def test_each_user_sees_the_variant_assigned_last() -> None:
    app = history()
    old, new = app.users["user_id"], app.sign_ups(2)
    assignments = pd.concat(
        [
            pd.DataFrame({"unit_id": old[::2], "variant": "treatment", "assigned_at": app.now + ONE_DAY}),
            pd.DataFrame({"unit_id": old, "variant": "control", "assigned_at": app.now}),
            new.assign(unit_id=new["user_id"], variant="unplanned", assigned_at=new["anchored_at"]),
        ]
    )
    policy = by_variant(assignments, {"control": uniform, "treatment": push("message")}, popularity)
    world = app.copy()
    impressions = shown(world, 2, policy)
    number = numbers(impressions["user_id"])
    treated = (number < len(old)) & (number % 2 == 0) & (impressions["shown_at"] >= app.now + ONE_DAY)
    expected = np.where(treated, "push_message", np.where(number < len(old), "uniform", "popularity"))
    assert impressions["policy"].tolist() == expected.tolist()
    assert len(set(expected)) == 3
    shuffled = by_variant(
        assignments.sample(frac=1, random_state=1),
        {"treatment": push("message"), "control": uniform},
    )
    again = shown(app.copy(), 2, shuffled)
    pd.testing.assert_frame_equal(again, impressions)


def test_nobody_assigned_sees_the_usual() -> None:
    app = history()
    nobody = pd.DataFrame({"unit_id": [], "variant": [], "assigned_at": []})
    impressions = shown(app.copy(), 1, by_variant(nobody, {"treatment": push("message")}))
    expected = shown(app.copy(), 1, popularity)
    pd.testing.assert_frame_equal(impressions, expected)


def test_lists_are_shown_and_new_users_get_their_segments() -> None:
    app = history()
    women = app.users["gender"] == "f"
    lists = pd.concat(
        [
            recommendations(app, app.users["user_id"][women], "guides", 2),
            recommendations(app, app.users["user_id"][~women], "new_faces", 1),
            recommendations(app, app.users["user_id"][~women], "guides", 3),
        ]
    )
    world = app.copy()
    impressions = shown(world, 2, listed(world, lists.sample(frac=1, random_state=1), by=["gender"]))
    rows = impressions.merge(world.users, on="user_id")
    new = ~rows["user_id"].isin(app.users["user_id"])
    assert 0 < new.sum() < len(rows)
    keys = ["gender", "slot", "category", "policy"]
    seen = {key: set(map(tuple, rows[part][keys].to_numpy())) for key, part in (("old", ~new), ("new", new))}
    assert seen["old"] == {
        ("f", 2, "guides", "test"),
        ("m", 1, "new_faces", "test"),
        ("m", 3, "guides", "test"),
    }
    assert seen["new"] == {
        ("f", 1, "guides", "segment"), ("m", 1, "new_faces", "segment"), ("m", 2, "guides", "segment"),
    }  # fmt: skip


def test_who_has_neither_list_nor_segment_sees_the_usual() -> None:
    app = history()
    women = app.users["user_id"][app.users["gender"] == "f"]
    world = app.copy()
    impressions = shown(world, 1, listed(world, recommendations(app, women.head(1)), ["gender"], uniform))
    rows = impressions.merge(world.users, on="user_id")
    assert set(rows["policy"][rows["gender"] == "m"]) == {"uniform"}
    assert set(rows["policy"][rows["gender"] == "f"]) <= {"segment", "test"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"user_id": "somebody"}, "all users are of this app"),
        ({"user_id": "user-0099999"}, "recommendations are for users who have signed up"),
        ({"content_id": "guides-009"}, "all contents are of this app"),
        ({"category": "creators"}, "a content shows its own category"),
        ({"slot": 5}, "slots are 1 to 4"),
        ({"slot": 1}, "a slot of a list shows one content"),
        ({}, "a list shows a category once"),
    ],
)
def test_lists_that_cannot_be_shown_are_refused(change: dict[str, object], rule: str) -> None:
    app = history()
    lists = recommendations(app, app.users["user_id"].head(3))
    with pytest.raises(DataError, match=f"(?i){rule}"):
        listed(app, pd.concat([lists, lists.tail(1).assign(slot=2).assign(**change)]))


def test_missing_columns_are_told() -> None:
    app = history()
    lists = recommendations(app, app.users["user_id"].head(3))
    with pytest.raises(DataError, match=r"(?i)recommendations have all columns"):
        listed(app, lists.drop(columns="slot"))
    with pytest.raises(DataError, match=r"(?i)assignments have all columns"):
        by_variant(lists, {})
