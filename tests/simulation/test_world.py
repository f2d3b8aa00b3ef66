"""Worlds are what they say: repeatable, within their windows, with the effect planted, and hard to read."""

from functools import cache
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from firstday.errors import SettingsError
from firstday.simulation.world import (
    ACTIONS,
    DAY,
    RETURN_DAYS,
    SEGMENTS,
    START,
    Engagement,
    World,
    _counts,
    _engagement,
    simulate,
)
from tests import oracle
from tests.oracle import first_days, waited


@cache
def world(seed: int, effect: float = 0.8, users: int = 4_000) -> World:
    return simulate(users=users, dates=20, effect=effect, seed=seed)


def test_the_same_seed_is_the_same_world() -> None:
    one, again, other = world(1), simulate(users=4_000, dates=20, effect=0.8, seed=1), world(2)
    pd.testing.assert_frame_equal(one.users, again.users)
    pd.testing.assert_frame_equal(one.events, again.events)
    assert one.truth == again.truth
    assert len(one.events) != len(other.events)


def test_the_tables_are_as_discovery_reads_them() -> None:
    made = world(1)
    assert list(made.users.columns) == ["user_id", "anchored_at", *SEGMENTS]
    assert list(made.events.columns) == ["user_id", "action", "occurred_at"]
    assert made.users["user_id"].is_unique
    assert len(made.users) == 4_000
    assert not made.users.isna().any(axis=None)
    assert not made.events.isna().any(axis=None)
    for name, values in SEGMENTS.items():
        assert set(made.users[name]) == set(values)
    dates = made.users["anchored_at"].dt.normalize()
    assert (dates.min(), dates.nunique()) == (START, 20)
    assert str(made.events["occurred_at"].dtype) == "datetime64[us, UTC]"
    assert made.events["occurred_at"].is_monotonic_increasing


def test_events_are_on_the_first_day_or_on_a_return_day() -> None:
    made = world(1)
    _, seconds = waited(made)
    assert seconds.min() >= 0
    assert set(np.unique(seconds // DAY).astype(int)) == {0, *RETURN_DAYS}
    assert set(made.events["action"]) == set(ACTIONS)
    assert set(made.events["user_id"]) <= set(made.users["user_id"])


def test_without_an_effect_nothing_is_planted() -> None:
    truth = world(1, effect=0.0).truth
    assert (truth.action, truth.threshold, truth.effect) == (None, None, 0.0)
    planted, none = first_days(world(1)), first_days(world(1, effect=0.0))
    np.testing.assert_array_equal(planted.counts, none.counts)  # the same first days, fewer returns
    assert planted.retained.sum() > none.retained.sum()


@pytest.mark.parametrize("seed", range(3))
def test_the_effect_is_there_as_large_as_planted(seed: int) -> None:
    """With and without it, from the same draws: the logits of those who reached it are `effect` apart."""
    effect = 0.8
    made, none = world(seed, effect, 15_000), world(seed, 0.0, 15_000)
    truth = made.truth
    assert truth.action is not None
    assert truth.threshold is not None
    days, back_without = first_days(made), first_days(none).retained
    counts, back = days.counts, days.retained
    bots = counts.max(axis=1) >= 300
    reached = (counts[:, ACTIONS.index(truth.action)] >= truth.threshold) & ~bots
    assert 0.08 <= reached.mean() <= 0.62
    assert back[~reached & ~bots].mean() == pytest.approx(back_without[~reached & ~bots].mean(), abs=0.02)
    with_it, without = (np.log(p / (1 - p)) for p in (back[reached].mean(), back_without[reached].mean()))
    # Averaged over unlike users an effect on the logit looks smaller than it is on each.
    assert 0.6 * effect < with_it - without < 1.1 * effect


def test_the_best_phi_is_often_a_decoy() -> None:
    worlds = [world(seed, 0.8, 8_000) for seed in range(8)]
    assert np.mean([first_days(made).best_phi == made.truth.action for made in worlds]) <= 0.5


def test_there_are_bots() -> None:
    assert (first_days(simulate(users=9_000, dates=2)).counts.max(axis=1) >= 300).sum() == 3


def test_dates_move_everybody_only_if_wished() -> None:
    def spread(common: bool) -> float:
        """Of the mean of all actions over dates, beyond what single actions' own shocks add to it."""
        made = simulate(users=12_000, dates=120, common_shocks=common, seed=3)
        days = first_days(made)
        x = np.log1p(np.minimum(days.counts, 50))
        between = oracle.products(x, days.retained, days.date, ACTIONS).between()[:-1, :-1]
        return float((between.sum() - np.trace(between)) / (12 * 11))

    assert spread(True) > 4 * abs(spread(False))


@pytest.mark.parametrize("kind", get_args(Engagement))
def test_engagement_is_on_one_scale(kind: Engagement) -> None:
    level = _engagement(np.random.default_rng(1), kind, 200_000)
    assert level.mean() == pytest.approx(0, abs=0.02)
    assert level.var() == pytest.approx(1, abs=0.04)


def test_overdispersion_spreads_the_counts() -> None:
    def variance(overdispersion: float) -> float:
        draw = np.random.default_rng(1)
        counts, _ = _counts(draw, np.zeros(20_000), np.zeros(20_000, dtype=np.int64), 1, overdispersion)
        return float((counts.var(axis=0) / counts.mean(axis=0)).mean())

    assert variance(0.0) == pytest.approx(1, abs=0.05)
    assert variance(1.0) > 1.5


@pytest.mark.parametrize(("users", "dates"), [(1, 1), (1, 30), (50, 1)])
def test_the_smallest_worlds(users: int, dates: int) -> None:
    made = simulate(users=users, dates=dates, seed=5)
    assert len(made.users) == users


@pytest.mark.parametrize("wrong", [{"users": 0}, {"dates": 0}, {"effect": -0.1}])
def test_impossible_worlds_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        simulate(**wrong)  # type: ignore[arg-type]
