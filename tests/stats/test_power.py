"""Plans: as statsmodels has them, and the power that was planned is the power that simulation reaches."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

from benchmarks.experiment_worlds import Arm, clicks, habits, minutes, retained, two_arms
from firstday.errors import SettingsError
from firstday.experiments.covariate import adjusted_difference
from firstday.experiments.difference import difference, unit_variance
from firstday.stats.power import days_needed, detectable_effect, units_needed

EXPERIMENTS = 1_000


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.2, 0.8), (0.1, 0.3)])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_as_statsmodels(shares: tuple[float, float], power: float) -> None:
    variance, effect = 4.0, 0.2
    ratio = shares[1] / shares[0]
    oracle = NormalIndPower()
    first = oracle.solve_power(effect / 2.0, alpha=0.05, power=power, ratio=ratio)
    units = units_needed(variance, effect, power=power, shares=shares)
    assert units == pytest.approx(first / shares[0], abs=1.5 + 2e-4 * first / shares[0])
    found = detectable_effect(variance, units, power=power, shares=shares)
    assert found == pytest.approx(effect, rel=1e-3)
    assert found <= effect
    assert oracle.power(effect / 2.0, units * shares[0], 0.05, ratio) >= power


@pytest.mark.parametrize("arm", [retained(0.3), minutes, clicks], ids=["share", "mean", "ratio"])
def test_the_planned_power_is_reached(arm: Arm) -> None:
    rng = np.random.default_rng(1)
    pilot = arm(rng, 1, 200_000, 0.0)
    effect = detectable_effect(unit_variance(pilot)[0], 4_000, power=0.8)
    told = difference(*two_arms(arm, rng, EXPERIMENTS, (2_000, 2_000), float(effect)))
    assert (told.p_value < 0.05).mean() == pytest.approx(0.8, abs=0.045)


@pytest.mark.parametrize("rate", [0.02, 0.2, 0.9])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.2, 0.8)])
def test_an_effect_on_a_share_changes_the_variance(rate: float, shares: tuple[float, float]) -> None:
    """By exact sums over what may come of both arms; with one variance for both it may miss it."""
    units, variance = 3_000, rate * (1 - rate)
    effect = float(detectable_effect(variance, units, rate=rate, shares=shares))
    arms = [round(units * share) for share in shares]
    assert exact_power(rate, effect if rate < 0.5 else -effect, *arms) == pytest.approx(0.8, abs=0.015)
    assert units_needed(variance, effect, rate=rate, shares=shares) == pytest.approx(units, abs=1)
    treated = samplesize_proportions_2indep_onetail(effect, min(rate, 1 - rate), 0.8, shares[1] / shares[0])
    assert units_needed(variance, effect, rate=rate, shares=shares) == pytest.approx(
        treated / shares[0], rel=1e-3
    )


def exact_power(rate: float, effect: float, treated: int, control: int) -> float:
    """Of the pooled two-proportion z-test at 5 %."""
    y, x = np.arange(treated + 1)[:, None] / treated, np.arange(control + 1) / control
    pooled = (treated * y + control * x) / (treated + control)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (y - x) / np.sqrt(pooled * (1 - pooled) * (1 / treated + 1 / control))
    chances = binom.pmf(np.arange(treated + 1), treated, rate + effect)[:, None]
    return float((chances * binom.pmf(np.arange(control + 1), control, rate) * (abs(z) > 1.959964)).sum())


def test_a_covariate_saves_units() -> None:
    rng = np.random.default_rng(2)
    pilot = habits(0.8)(rng, 2, 20_000, 0.0)
    reduction = adjusted_difference(pilot[0], pilot[1]).variance_reduction
    units = int(units_needed(unit_variance(pilot)[0] * (1 - reduction), 0.1))
    assert units == pytest.approx(0.36 * units_needed(1.0, 0.1), rel=0.04)
    half = units // 2
    told = adjusted_difference(*two_arms(habits(0.8), rng, EXPERIMENTS, (half, half), 0.1))
    assert (told.p_value < 0.05).mean() == pytest.approx(0.8, abs=0.045)


def test_days() -> None:
    assert days_needed(1_000, 400, 100, 7) == 13
    assert days_needed(1_000, 400, 100, 7, units_open=250) == 11  # 350 are missing: 4 days and a week
    assert days_needed(1_000, 400, 100, 7, units_open=900) == 7
    assert days_needed(1_000, 1_000, 0, 7) == 0
    assert np.isnan(days_needed(1_000, 400, 0, 7))
    assert np.isnan(days_needed(np.nan, 400, 100, 7))
    assert days_needed(np.array([500, 1_001]), 0, np.array([100, 1_000]), 1).tolist() == [6, 3]


@pytest.mark.filterwarnings("error")
def test_nothing_to_plan() -> None:
    assert np.isnan(units_needed(np.array([1.0, 0.0, np.nan]), np.array([0.0, 1.0, 1.0]))).all()
    assert np.isnan(detectable_effect(np.array([1.0, 0.0, np.nan]), np.array([0.0, 10.0, 10.0]))).all()


@pytest.mark.parametrize(
    "asked",
    [
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"power": 1.0},
        {"power": 0.01},
        {"shares": (0.0, 1.0)},
        {"shares": (-0.5, 1.5)},
        {"shares": (0.7, 0.7)},
    ],
)
def test_bad_settings(asked: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        units_needed(1.0, 0.1, **asked)
    with pytest.raises(SettingsError):
        detectable_effect(1.0, 100, **asked)
