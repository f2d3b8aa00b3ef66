"""The planned test: users per arm as statsmodels says, and enough in simulation."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from firstday.moments.power import UPTAKE, PlannedTest, plan_test

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
