"""Guardrails: each verdict where it belongs, and how often it is wrong."""

from typing import Any

import numpy as np
import pytest

from benchmarks.experiment_worlds import Arm, heights, retained, two_arms
from firstday.errors import SettingsError
from firstday.experiments.difference import difference, relative_lift
from firstday.experiments.guardrails import CANNOT_TELL, HARMED, NOT_HARMED, non_inferior
from firstday.experiments.sums import Sums
from firstday.stats.estimate import Estimate

EXPERIMENTS = 3_000


def test_verdicts() -> None:
    """Bounds are ±1.96 about the effect; the margin is 3."""
    effect = np.array([0.0, -1.0, -1.1, -2.5, -9.0, 5.0, np.nan])
    told = non_inferior(Estimate.normal(effect, np.ones(7), 0.05), 3)
    expected = [NOT_HARMED, NOT_HARMED, CANNOT_TELL, HARMED, HARMED, NOT_HARMED, CANNOT_TELL]
    assert told.verdict.tolist() == expected
    assert told.p_value[:2] == pytest.approx([0.00135, 0.02275], abs=1e-5)
    assert told.worst[0] == pytest.approx(-1.96, abs=0.001)


def test_a_small_proven_harm_within_the_margin_is_none() -> None:
    assert non_inferior(Estimate.normal(np.array(-1.0), np.array(0.1), 0.05), 3).verdict == NOT_HARMED


def test_lower_can_be_better() -> None:
    effect = Estimate.normal(np.array([-9.0, 9.0, 1.5]), np.ones(3), 0.05)
    told = non_inferior(effect, 3, lower_is_better=True)
    assert told.verdict.tolist() == [NOT_HARMED, HARMED, CANNOT_TELL]
    mirrored = non_inferior(Estimate.normal(-effect.estimate, np.ones(3), 0.05), 3)
    assert told.verdict.tolist() == mirrored.verdict.tolist()
    assert told.p_value == pytest.approx(mirrored.p_value)
    assert told.worst == pytest.approx(mirrored.worst)


def test_margins_as_a_share_of_the_control() -> None:
    rng = np.random.default_rng(1)
    treatment, control = two_arms(retained(0.4), rng, 1, (100_000, 100_000), -0.002)
    assert non_inferior(relative_lift(treatment, control), 0.03).verdict == NOT_HARMED
    nobody = relative_lift(Sums.of(np.ones(50)), Sums.of(np.zeros(50)))
    assert non_inferior(nobody, 0.03).verdict == CANNOT_TELL


@pytest.mark.parametrize(
    ("arm", "margin", "units"), [(heights, 0.2, 400), (retained(0.2), 0.05, 900)], ids=["mean", "share"]
)
def test_how_often_verdicts_are_wrong(arm: Arm, margin: float, units: int) -> None:
    rng = np.random.default_rng(2)
    at_margin = non_inferior(difference(*two_arms(arm, rng, EXPERIMENTS, (units, units), -margin)), margin)
    error = 3.5 * np.sqrt(0.025 * 0.975 / EXPERIMENTS)
    assert (at_margin.verdict == NOT_HARMED).mean() == pytest.approx(0.025, abs=error)
    assert (at_margin.p_value < 0.025).mean() == pytest.approx(0.025, abs=error)
    without = non_inferior(difference(*two_arms(arm, rng, EXPERIMENTS, (units, units), 0.0)), margin)
    assert (without.verdict == HARMED).mean() < 0.025 + error
    assert (without.verdict == NOT_HARMED).mean() > 0.7


@pytest.mark.parametrize("margin", [0, -1.0, np.nan, np.array([1.0, 0.0])])
def test_a_margin_is_above_nothing(margin: Any) -> None:
    with pytest.raises(SettingsError, match="margin is above 0"):
        non_inferior(Estimate.normal(np.zeros(2), np.ones(2), 0.05), margin)
