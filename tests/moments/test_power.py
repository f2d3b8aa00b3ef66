"""The planned test: users per arm as statsmodels says, and enough in simulation."""

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from firstday.moments.power import RECENT_DAYS, UPTAKE, PlannedTest, plan_test, recent_traffic

PLAN = {
    "baseline": 0.4,
    "share_experienced": 0.3,
    "effect": 0.12,
    "users_a_day": 700.0,
    "day": 1,
    "alpha": 0.05,
    "power": 0.8,
}


def planned(**changes: float) -> PlannedTest | None:
    return plan_test(**(PLAN | changes))  # type: ignore[arg-type]


def test_as_statsmodels() -> None:
    found = planned()
    assert found is not None
    lift = UPTAKE * 0.7 * 0.12
    assert found.detectable_effect == pytest.approx(lift)
    size = proportion_effectsize(0.4 + lift, 0.4)
    assert found.users_per_arm == math.ceil(NormalIndPower().solve_power(size, alpha=0.05, power=0.8))
    assert found.days_needed == math.ceil(2 * found.users_per_arm / 700) + 2


def test_enough_in_simulation() -> None:
    found = planned(effect=0.5)
    assert found is not None
    draw = np.random.default_rng(1)
    n = found.users_per_arm
    treated, control = (draw.binomial(n, share, 20_000) / n for share in (0.4 + found.detectable_effect, 0.4))
    pooled = (treated + control) / 2
    z = (treated - control) / np.sqrt(2 * pooled * (1 - pooled) / n)
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.015)


@pytest.mark.parametrize(
    "changes",
    [
        {"effect": 0.0},
        {"effect": -0.1},
        {"effect": math.nan},
        {"share_experienced": 1.0},
        {"baseline": 0.0},
        {"baseline": 1.0},
        {"users_a_day": 0.0},
    ],
)
def test_where_there_is_nothing_to_find_there_is_no_plan(changes: dict[str, float]) -> None:
    assert planned(**changes) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("baseline", "effect"), [(0.4, 2e-5), (0.97, 0.9), (0.001, 0.5), (0.4, 3.0)])
def test_tiny_and_huge_effects_have_a_plan(baseline: float, effect: float) -> None:
    found = planned(baseline=baseline, effect=effect)
    assert found is not None
    assert found.users_per_arm >= 1
    assert baseline + found.detectable_effect < 1


def test_longer_days_wait_longer() -> None:
    one, thirty = planned(), planned(day=30)
    assert one is not None
    assert thirty is not None
    assert thirty.days_needed - one.days_needed == 29


FIRST = date(2024, 1, 1)


def cohorts(users: list[int]) -> pd.DataFrame:
    """Users by date from 1 January on, in any order; dates without users have no row."""
    dates = [FIRST + timedelta(place) for place in range(len(users))]
    table = pd.DataFrame({"anchor_date": dates, "users": users})
    return table[table["users"] > 0].sample(frac=1, random_state=1)


@pytest.mark.parametrize(
    ("users", "a_day", "first", "last"),
    [
        ([10] * 100, 10, 71, 98),
        ([10] * 100 + [80] * 29, 80, 100, 127),  # grew
        ([500] * 60 + [2] * 29, 2, 60, 87),  # shrank
        ([500] * 60 + [0] * 14 + [7] * 15, 3.5, 60, 87),  # days without users count
        ([20] * 40 + [3], 20, 12, 39),  # the log ends in the middle of a date
        ([4, 6, 8, 1], 6, 0, 2),  # a short log counts from its first date
        ([5], 5, 0, 0),
    ],
)
def test_traffic_is_that_of_the_last_four_weeks(
    users: list[int], a_day: float, first: int, last: int
) -> None:
    found = recent_traffic(cohorts(users))
    assert found.users_a_day == pytest.approx(a_day)
    assert last - first < RECENT_DAYS
    assert (found.first, found.last) == (FIRST + timedelta(first), FIRST + timedelta(last))


def test_without_users_there_is_no_traffic() -> None:
    assert recent_traffic(cohorts([0])).users_a_day == 0
