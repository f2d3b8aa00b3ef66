"""CUPED: as a regression has it, less variance by the correlation's square, and the plain difference else."""

import numpy as np
import pytest
import statsmodels.api as sm

from benchmarks.experiment_worlds import clicks, habits, two_arms
from firstday.experiments.covariate import adjusted_difference
from firstday.experiments.difference import difference
from firstday.experiments.sums import Floats, Sums

EXPERIMENTS = 2_000


def test_as_a_regression_on_arm_and_covariate() -> None:
    rng = np.random.default_rng(1)
    x = rng.gamma(2, 2, 3_000)
    treated = np.repeat([1.0, 0.0], [1_000, 2_000])
    y = 0.5 * treated + 0.8 * x + rng.normal(0, 1, 3_000)
    told = adjusted_difference(Sums.of(y[:1_000], x=x[:1_000]), Sums.of(y[1_000:], x=x[1_000:]))
    fitted = sm.OLS(y, sm.add_constant(np.column_stack([treated, x]))).fit(cov_type="HC1")
    assert told.estimate == pytest.approx(fitted.params[1], rel=1e-9)
    assert told.theta == pytest.approx(fitted.params[2], rel=1e-9)
    assert told.standard_error == pytest.approx(fitted.bse[1], rel=0.002)


def test_a_ratio_is_adjusted_by_what_a_unit_adds_to_it() -> None:
    rng = np.random.default_rng(2)
    arms, added, before = [], [], []
    for units in (300, 500):
        shown, x = rng.integers(1, 20, units), rng.normal(7, 1, units)
        clicked = rng.binomial(shown, np.clip(0.1 * (x - 5), 0, 1))
        arms.append(Sums.of(clicked * 1.0, shown * 1.0, x))
        ratio = clicked.sum() / shown.sum()
        added.append(ratio + (clicked - ratio * shown) / shown.mean())
        before.append(x)
    told = adjusted_difference(*arms)
    as_means = adjusted_difference(*(Sums.of(y, x=x) for y, x in zip(added, before, strict=True)))
    for part in ("estimate", "low", "high", "standard_error", "p_value", "theta", "variance_reduction"):
        assert getattr(told, part) == pytest.approx(getattr(as_means, part)), part


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_variance_falls_by_the_correlations_square(correlation: float) -> None:
    rng = np.random.default_rng(3)
    treatment, control = two_arms(habits(correlation), rng, EXPERIMENTS, (200, 200), 0.3)
    told, plain = adjusted_difference(treatment, control), difference(treatment, control)
    left = told.estimate.var() / plain.estimate.var()
    assert left == pytest.approx(1 - correlation**2, abs=0.09)
    assert told.variance_reduction.mean() == pytest.approx(correlation**2, abs=0.01)
    assert told.estimate.mean() == pytest.approx(0.3, abs=4 * told.estimate.std() / EXPERIMENTS**0.5)
    covered = ((told.low <= 0.3) & (told.high >= 0.3)).mean()
    assert covered == pytest.approx(0.95, abs=0.017)


def test_ratios_hold_their_level_and_gain() -> None:
    treatment, control = two_arms(clicks, np.random.default_rng(4), EXPERIMENTS, (400, 400), 0.0)
    told, plain = adjusted_difference(treatment, control), difference(treatment, control)
    assert (told.p_value < 0.05).mean() == pytest.approx(0.05, abs=0.017)
    gain = 1 - told.estimate.var() / plain.estimate.var()
    assert gain > 0.2
    assert told.variance_reduction.mean() == pytest.approx(gain, abs=0.06)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("x", [None, np.zeros(100), np.full(100, 0.1)], ids=["absent", "zero", "constant"])
def test_without_a_covariate_the_plain_difference_stands(x: Floats | None) -> None:
    rng = np.random.default_rng(5)
    arms = [Sums.of((rng.random(100) < 0.5) * 1.0, x=x) for _ in range(2)]
    told, plain = adjusted_difference(*arms), difference(*arms)
    assert not told.adjusted
    assert told.theta == 0
    assert told.variance_reduction == 0
    assert (told.estimate, told.low, told.p_value) == (plain.estimate, plain.low, plain.p_value)


@pytest.mark.filterwarnings("error")
def test_nothing_to_say() -> None:
    empty, constant = Sums.of(np.zeros(0)), Sums.of(np.ones(50), x=np.arange(50.0))
    other = Sums.of(np.arange(50.0), x=np.arange(50.0))
    for arms in ((empty, other), (constant, constant), (other, Sums.of(np.ones(1), x=np.ones(1)))):
        told = adjusted_difference(*arms)
        assert np.isnan(told.p_value)
        assert not told.adjusted
