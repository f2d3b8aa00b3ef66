"""The world of the loop is what it says: repeatable, with a cause, a decoy, contents that help, and bots."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from firstday.errors import SettingsError
from firstday.simulation.app import empty_app, simulate_app, truth
from firstday.simulation.app_behaviour import DECAY, EXAMINED, LED, REMEMBERED, poisson
from firstday.simulation.app_catalog import LEADS_TO, NAMES
from firstday.simulation.app_policies import popularity, push, uniform
from firstday.simulation.app_world import App
from firstday.simulation.bank_catalog import DAY
from firstday.simulation.world import ACTIONS

TABLES = ("users", "customers", "events", "impressions", "reactions", "accounts", "categories", "contents")
ONE_DAY = pd.Timedelta(days=1)
SEED = 7  # its cause is reached by few, so that there is much to push


@cache
def history(seed: int = SEED) -> App:
    """Not to be played: copies are. Random lists, so that all categories are shown alike."""
    return simulate_app(users=3_000, dates=10, seed=seed, policy=uniform)


def with_age(app: App) -> pd.DataFrame:
    """The events, with `age`: the number of the user's own day that each is on."""
    events = app.events.merge(app.users[["user_id", "anchored_at"]], on="user_id")
    return events.assign(age=(events["occurred_at"] - events["anchored_at"]) // ONE_DAY)


def pushed_for_all(app: App) -> list[str]:
    return [ACTIONS[app.plan.cause], ACTIONS[app.plan.decoy]]


def test_the_same_arguments_give_the_same_world() -> None:
    one, same, other = (simulate_app(users=200, dates=4, seed=seed) for seed in (3, 3, 4))
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(same, name))
    assert len(one.users) == 200
    assert not one.events.equals(other.events)


def test_history_goes_on_as_if_it_had_been_longer() -> None:
    """What is told already does not change while more is played, and nothing is ahead of now."""
    before = history()
    later = before.copy()
    later.play(2, uniform)
    for name in ("users", "accounts", "impressions", "reactions"):
        known = getattr(before, name)
        pd.testing.assert_frame_equal(getattr(later, name).head(len(known)), known)
    seen = later.events[later.events["occurred_at"] < before.now].reset_index(drop=True)
    pd.testing.assert_frame_equal(seen, before.events)
    instants = {"events": "occurred_at", "reactions": "reacted_at", "impressions": "shown_at"}
    for name, instant in instants.items():
        assert getattr(later, name)[instant].is_monotonic_increasing
        assert before.now < getattr(later, name)[instant].max() < later.now
    pd.testing.assert_frame_equal(
        later.users.tail(len(later.users) - len(before.users)).reset_index(drop=True), before.sign_ups(2)
    )


def test_copies_differ_by_what_the_policy_causes_only() -> None:
    """Whoever meets the same lists does the same; on the first day all do the same by themselves."""
    before = history()
    one, other = before.copy(), before.copy()
    one.play(3, uniform)
    other.play(1, uniform)
    other.play(2, uniform)
    treated = before.copy()
    treated.play(1, push(ACTIONS[before.plan.cause], uniform))
    day = one.events[one.events["occurred_at"] < treated.now]
    rows = [frame.value_counts() for frame in (day, treated.events)]
    both = pd.concat(rows, axis=1, keys=["one", "treated"]).fillna(0)
    changed = both[both["one"] != both["treated"]].reset_index()
    assert 0 < len(changed) < 0.2 * len(day[day["occurred_at"] >= before.now])
    shown = treated.impressions.merge(one.impressions, on=["user_id", "shown_at", "category", "content_id"])
    shown = shown[shown["shown_at"] >= before.now]
    worse = shown[shown["slot_x"] >= shown["slot_y"]]
    clicks = [set(world.reactions.query("kind == 'click'")["impression_id"]) for world in (treated, one)]
    here, there = worse["impression_id_x"].isin(clicks[0]), worse["impression_id_y"].isin(clicks[1])
    assert there.sum() > 20
    assert (here <= there).all()  # in a slot that is looked at less, nobody clicks who did not


def test_pushing_the_cause_keeps_new_users_and_pushing_the_decoy_does_not() -> None:
    app = empty_app(users=6_000, dates=1, seed=SEED)
    cause, decoy = pushed_for_all(app)
    found = app.true_effect(uniform, push(cause, uniform), push(decoy, uniform), sign_up_days=1)
    assert found["treatment"].tolist() == [0, 1]
    assert found["users"].unique().tolist() == [6_000]
    assert found["effect"][0] > 0.02
    assert (found["error"] < 0.002).all()
    # The decoy takes the places of categories that help: a little worse than nothing, never better.
    assert -0.01 < found["effect"][1] < 3 * found["error"][1]


def test_bots_dilute_an_effect() -> None:
    app = empty_app(users=1_000, dates=1, seed=SEED)
    cause = push(ACTIONS[app.plan.cause], uniform)
    all_users, honest = (
        app.true_effect(uniform, cause, sign_up_days=1, honest=value).iloc[0] for value in (False, True)
    )
    assert honest["users"] == pytest.approx(950, abs=25)
    total = honest["effect"] * honest["users"]
    assert all_users["effect"] * all_users["users"] == pytest.approx(total)


def test_without_an_effect_pushing_does_nothing() -> None:
    app = empty_app(users=500, dates=2, seed=SEED, effect=0.0)
    found = app.true_effect(uniform, push(ACTIONS[app.plan.cause], uniform), sign_up_days=2)
    assert found["effect"].tolist() == [0.0]
    row = truth(simulate_app(users=500, dates=2, seed=SEED, effect=0.0)).iloc[0]
    assert row["action"] is None
    assert row["threshold"] is None
    assert row["pushed_action_d1"] is None
    assert row["pushed_decoy_d1"] == 0


def test_the_ramp_on_existing_users_has_a_truth() -> None:
    """Effects on those who are there already grow while more of them reach the moment, and visits follow."""
    app = history()
    cause = push(ACTIONS[app.plan.cause], uniform)
    found = app.true_effect(uniform, cause, days=range(1, 5))
    assert found["users"].unique().tolist() == [3_000]
    assert (found["effect"] > 2 * found["error"]).all()
    assert found["effect"][3] > found["effect"][0]
    worlds = [app.copy() for _ in range(2)]
    visits = []
    for world, policy in zip(worlds, (uniform, cause), strict=True):
        world.play(6, policy)
        log = world.exposures()
        start = log["second"] - world.people.second[log["user"]]
        seen = pd.DataFrame({"user": log["user"], "day": start // DAY - app.day})  # own days by their date
        visits.append(len(seen[seen["day"].between(1, 4) & (seen["user"] < 3_000)].drop_duplicates()) / 3_000)
    chances = [world.return_chances(app.day + day)[:3_000].mean() for world in worlds for day in range(1, 5)]
    assert visits[0] == pytest.approx(sum(chances[:4]), rel=0.04)
    assert visits[1] - visits[0] == pytest.approx(found["effect"].sum(), abs=0.03)


def test_retention_follows_the_moment_as_planted() -> None:
    """Who reached it on the first day, or in the last week, has `effect` more on the logit."""
    app = history()
    plan, people = app.plan, app.people
    done = with_age(app)
    done = done[done["action"] == ACTIONS[plan.cause]].groupby(["user_id", "age"]).size()
    reached = done[done >= plan.threshold].reset_index()
    number = reached["user_id"].str[5:].astype(int).to_numpy()
    age = reached["age"].to_numpy()
    day = app.day - 1
    chance = app.return_chances(day)
    known = age < day - people.day[number]  # own days that were over when it was drawn
    late = day - (people.day[number] + age) <= REMEMBERED
    counts = np.zeros(len(people), bool)
    counts[number[known & ((age == 0) | late)]] = True
    honest = ~people.bot & (people.day < day)
    logit = np.log(chance[honest] / (1 - chance[honest]))
    rest = logit - plan.loading * people.level[honest] - people.stays[honest] - plan.effect * counts[honest]
    decay = np.log(day - people.day[honest])
    slope, _, r, *_ = stats.linregress(decay, rest)
    assert counts[honest].mean() > 0.1
    assert (slope, r) == pytest.approx((-DECAY, -1))


@pytest.mark.parametrize("seed", [1, 2, 3, SEED])
def test_the_decoy_predicts_best_of_all_but_the_cause(seed: int) -> None:
    app = simulate_app(users=4_000, dates=4, seed=seed, policy=uniform)
    chance = app.return_chances(3)
    who = np.flatnonzero((app.people.day < 3) & ~app.people.bot)
    first = with_age(app).query("age == 0").groupby(["user_id", "action"]).size().unstack(fill_value=0)
    counts = first.loc[app.users["user_id"].iloc[who]]
    phi = {
        action: max(np.corrcoef(counts[action] >= least, chance[who])[0, 1] for least in range(2, 9))
        for action in ACTIONS
    }
    others = {action: value for action, value in phi.items() if action != ACTIONS[app.plan.cause]}
    assert others[ACTIONS[app.plan.decoy]] > max(others.values()) - 0.05
    low = np.argsort(app.plan.loadings)[:6]
    assert app.plan.cause in low


def test_bots_farm_and_return_daily_and_bend_the_answer() -> None:
    app = history()
    bot = app.people.bot
    assert bot.mean() == pytest.approx(0.05, abs=0.015)
    accounts = app.accounts
    assert (accounts["is_fraud"] == 1).to_numpy().tolist() == bot.tolist()
    assert 0.2 < accounts["sanctioned"][bot].mean() < 0.7
    farmed = (
        with_age(app).query(f"action == '{ACTIONS[app.plan.farmed]}' and age == 0")["user_id"].value_counts()
    )
    often = app.users["user_id"].map(farmed).fillna(0).to_numpy()
    assert often[bot].mean() > 10 * often[~bot].mean()
    assert app.plan.farmed not in (app.plan.cause, app.plan.decoy)
    old = app.people.day < app.day - 3
    back = app.users["user_id"].isin(with_age(app).query("age == 1")["user_id"]).to_numpy()
    assert back[bot & old].mean() > 0.85
    assert 0.2 < back[~bot & old].mean() < 0.5
    clicked = app.exposures()["user"][app.exposures()["click"] > 0]
    assert not bot[clicked].any()


def test_clicks_by_slot_and_by_taste() -> None:
    app = history()
    log = app.exposures()
    honest = ~app.people.bot[log["user"]]
    shown = np.bincount(log["slot"][honest])[1:]
    clicks = np.bincount(log["slot"][honest], log["click"][honest] > 0)[1:]
    ratio = clicks / shown / (clicks[0] / shown[0])
    error = ratio * np.sqrt(1 / clicks + 1 / clicks[0])
    assert 0.1 < clicks[0] / shown[0] < 0.25
    assert (abs(ratio - EXAMINED)[1:] < 4 * error[1:]).all()
    likes = app.people.taste[log["user"], log["category"]] > 0
    clicked = log["click"] > 0
    assert clicked[honest & likes].mean() > 1.8 * clicked[honest & ~likes].mean()


def test_a_click_leads_to_the_categorys_action() -> None:
    """Within the next hour after a click there are some more of it than after an impression without one."""
    app = history()
    log = app.exposures()
    rows = app.impressions.assign(click=log["click"] > 0, action=np.array(ACTIONS)[LEADS_TO[log["category"]]])
    rows = rows[rows["shown_at"] < app.now - ONE_DAY].sample(4_000, random_state=1)
    done = rows.merge(app.events, on=["user_id", "action"])
    wait = done["occurred_at"] - done["shown_at"]
    within = done[(wait >= pd.Timedelta(0)) & (wait <= pd.Timedelta(minutes=62))]
    count = rows["impression_id"].map(within["impression_id"].value_counts()).fillna(0)
    assert count[rows["click"]].mean() - count[~rows["click"]].mean() == pytest.approx(LED, abs=0.7)


def test_a_ranker_has_something_to_learn() -> None:
    """Who is shown what leads to the cause reaches the moment more often within a day, likers most."""
    app = history()
    log = app.exposures()
    honest = ~app.people.bot[log["user"]]
    done = with_age(app)[["user_id", "action", "occurred_at"]]
    done = done[done["action"] == ACTIONS[app.plan.cause]]
    rows = app.impressions[honest & (log["second"] < (app.day - 1) * DAY)]
    pairs = rows.merge(done, on="user_id")
    wait = pairs["occurred_at"] - pairs["shown_at"]
    counts = pairs["impression_id"][(wait >= pd.Timedelta(0)) & (wait < ONE_DAY)].value_counts()
    reached = (rows["impression_id"].map(counts).fillna(0) >= app.plan.threshold).to_numpy()
    log = {name: column[rows.index] for name, column in log.items()}
    leads = LEADS_TO[log["category"]] == app.plan.cause
    likes = app.people.taste[log["user"], log["category"]] > 0
    assert reached[leads & likes].mean() > reached[leads & ~likes].mean() + 0.05
    assert reached[leads & ~likes].mean() > reached[~leads].mean()


def test_what_happens_on_an_own_day_stays_on_it() -> None:
    """So that Dn retention of the log is the visits of day n."""
    app = history()
    ages = with_age(app)
    log = app.exposures()
    age = (log["second"] - app.people.day[log["user"]] * DAY - app.people.second[log["user"]]) // DAY
    visited = pd.DataFrame({"user_id": app.users["user_id"].to_numpy()[log["user"]], "age": age})
    # An own day whose visits are still to come has no events either.
    assert set(map(tuple, ages[["user_id", "age"]].to_numpy())) == set(map(tuple, visited.to_numpy()))


def test_poisson_is_scipys() -> None:
    draw = np.random.default_rng(1)
    draws, mean = draw.random((500, 3)), np.exp(draw.uniform(-4, 4, (500, 3)))
    np.testing.assert_array_equal(poisson(draws, mean), stats.poisson.ppf(draws, mean))


@pytest.mark.parametrize("wrong", [{"users": 0}, {"dates": 0}, {"effect": -0.1}, {"effect": np.inf}])
def test_impossible_worlds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        simulate_app(**wrong)  # type: ignore[arg-type]
    app = empty_app(users=50, dates=2)
    for days, sign_up_days in (((), 1), ((0,), 1), ((1,), 0)):
        with pytest.raises(SettingsError):
            app.true_effect(popularity, popularity, days=days, sign_up_days=sign_up_days)
    with pytest.raises(SettingsError):
        app.play(0, popularity)


def test_categories_lead_two_to_each_action() -> None:
    assert len(set(NAMES)) == 24
    assert np.bincount(LEADS_TO).tolist() == [2] * len(ACTIONS)
