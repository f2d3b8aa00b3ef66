"""Encouragement: two-stage least squares; bounds that hold for a weak push, of which no effect is quoted."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import norm

from firstday.errors import DataError
from firstday.experiments.encouragement import LEAST_F, Encouragement, encouragement, refusal
from firstday.experiments.sums import Floats, Sums

EXPERIMENTS, UNITS = 2000, 1000
PUSHED = np.arange(UNITS) % 2 == 0


def world(push: float, effect: float, seed: int = 1) -> tuple[Floats, Floats]:
    """Outcome and reached, (experiments, units): the engaged reach the moment, and stay, by themselves."""
    random = np.random.default_rng(seed)
    engagement = random.normal(size=(EXPERIMENTS, UNITS))
    reached = (engagement + random.normal(size=engagement.shape) < -0.5 + push * PUSHED).astype(float)
    return 1.5 * -engagement + effect * reached + random.normal(size=engagement.shape), reached


def estimated(y: Floats, reached: Floats) -> Encouragement:
    return encouragement(*(Sums.of(y[..., arm], reached[..., arm]) for arm in (PUSHED, ~PUSHED)))


def covers(low: Floats, high: Floats, truth: float) -> float:
    return float(((low <= truth) & (truth <= high)).mean())


def within_error(share: float, expected: float) -> bool:
    return abs(share - expected) < 3 * np.sqrt(expected * (1 - expected) / EXPERIMENTS)


@pytest.mark.parametrize("push", [0.0, 0.1, 0.3, 1.0])
def test_bounds_hold_however_weak_the_push(push: float) -> None:
    found = estimated(*world(push, effect=0.5))
    covered = covers(found.effect.low, found.effect.high, 0.5)
    assert covered > 0.95 - 3 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)
    # "All but those between" is given as all: a weak push is covered more often than asked.
    assert within_error(covered, 0.95) == (push >= 0.3)


def test_the_usual_interval_fails_for_a_weak_push() -> None:
    """Over- or under-covered: either way not what it says; its centre is drawn to the comparison of doers."""
    found = estimated(*world(0.03, effect=0.5))
    usual = found.by_delta_method
    assert not within_error(covers(usual.low, usual.high, 0.5), 0.95)
    assert (~found.bounded).mean() > 0.5
    assert np.isinf(found.effect.low[~found.bounded]).all()
    assert np.isinf(found.effect.high[~found.bounded]).all()


def test_a_strong_push_recovers_the_effect_where_comparing_doers_does_not() -> None:
    y, reached = world(1.0, effect=0.5)
    found = estimated(y, reached)
    # A ratio's mean is drawn to that of its outliers; half of the estimates are above the truth.
    assert np.median(found.effect.estimate) == pytest.approx(0.5, abs=0.04)
    assert not found.weak.any()
    assert found.bounded.all()
    assert within_error(covers(found.by_delta_method.low, found.by_delta_method.high, 0.5), 0.95)
    doers = np.array([row[by == 1].mean() - row[by == 0].mean() for row, by in zip(y, reached, strict=True)])
    assert doers.mean() > 1.0


def test_no_effect_is_found_in_one_of_twenty() -> None:
    for push in (0.1, 1.0):
        found = estimated(*world(push, effect=0.0, seed=2))
        assert within_error((found.effect.p_value < 0.05).mean(), 0.05)
        bounded = found.bounded
        excludes = (found.effect.low > 0) | (found.effect.high < 0)
        np.testing.assert_array_equal(excludes[bounded], (found.effect.p_value < 0.05)[bounded])


def test_it_is_two_stage_least_squares() -> None:
    """By hand: project reached on the push, regress on the projection, residuals of the true reached."""
    y, reached = (part[0] for part in world(0.5, effect=0.5))
    instrument = sm.add_constant(PUSHED.astype(float))
    projected = sm.OLS(reached, instrument).fit().fittedvalues
    second = sm.OLS(y, sm.add_constant(projected)).fit()
    residual = y - sm.add_constant(reached) @ second.params
    bread = np.linalg.inv(sm.add_constant(projected).T @ sm.add_constant(projected))
    scores = sm.add_constant(projected) * residual[:, None]
    error = np.sqrt((bread @ scores.T @ scores @ bread)[1, 1])
    found = estimated(y, reached)
    assert found.effect.estimate == pytest.approx(second.params[1])
    # n - 1 in each arm, where the sandwich has n.
    assert found.effect.standard_error == pytest.approx(error * np.sqrt(500 / 499))
    first = sm.OLS(reached, instrument).fit(cov_type="HC0")
    assert found.first_stage_f == pytest.approx(first.tvalues[1] ** 2 * 499 / 500)
    assert found.on_reaching.estimate == pytest.approx(first.params[1])


def test_bounds_are_where_the_test_of_that_effect_turns() -> None:
    """Anderson & Rubin: y - t × reached does not differ between the arms, by Welch's test, at the bounds."""
    y, reached = (part[0] for part in world(0.5, effect=0.5))
    found = estimated(y, reached).effect
    for bound in (found.low, found.high):
        rest = y - float(bound) * reached
        arms = rest[PUSHED], rest[~PUSHED]
        z = (arms[0].mean() - arms[1].mean()) / np.sqrt(sum(arm.var(ddof=1) / len(arm) for arm in arms))
        assert 2 * norm.sf(abs(z)) == pytest.approx(0.05)


def test_a_weak_push_is_refused_in_words() -> None:
    found = estimated(*world(0.02, effect=0.5))
    assert found.weak.mean() > 0.9
    np.testing.assert_array_equal(found.weak, found.first_stage_f < LEAST_F)
    told = refusal(4.0, 0.004)
    assert told is not None
    assert "+0.40%, F = 4.0" in told
    assert refusal(float("nan"), 0.0) is not None
    assert "opposite" in (refusal(50.0, -0.1) or "")
    assert refusal(50.0, 0.1) is None


def test_a_push_without_any_effect_on_reaching_gives_no_number() -> None:
    y = np.random.default_rng(3).normal(size=100)
    reached = np.tile([1.0, 1.0, 0.0, 0.0], 25)
    arms = np.arange(100) % 2 == 0
    found = encouragement(Sums.of(y[arms], reached[arms]), Sums.of(y[~arms], reached[~arms]))
    assert np.isnan(found.effect.estimate)
    assert found.first_stage_f == 0
    assert found.weak
    assert not found.bounded
    assert np.isfinite(found.on_outcome.p_value)


def test_full_compliance_is_the_plain_difference() -> None:
    y = np.random.default_rng(4).normal(size=100) + PUSHED[:100]
    arms = PUSHED[:100]
    found = encouragement(Sums.of(y[arms], np.ones(50)), Sums.of(y[~arms], np.zeros(50)))
    assert np.isinf(found.first_stage_f)
    assert found.effect.low == pytest.approx(found.on_outcome.low)
    assert found.effect.high == pytest.approx(found.on_outcome.high)


def test_counts_are_refused_and_an_empty_arm_says_nothing() -> None:
    with pytest.raises(DataError, match="reached the moment"):
        encouragement(Sums.of(np.ones(3), np.array([0.0, 1, 2])), Sums.of(np.ones(3), np.zeros(3)))
    empty = encouragement(Sums.of(np.ones(0)), Sums.of(np.arange(3.0), np.array([0.0, 1, 1])))
    assert np.isnan([empty.effect.estimate, empty.effect.low, empty.effect.p_value]).all()
    assert empty.weak
