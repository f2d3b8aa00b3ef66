"""Somebody looks every morning: the error stays where it was promised, and plain p-values do not keep it."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from firstday.errors import SettingsError
from firstday.experiments.difference import difference
from firstday.experiments.sequential import LEAST_UNITS, always_valid, mixture
from firstday.experiments.sums import Floats, Sums
from firstday.stats.estimate import Estimate

EXPERIMENTS = 4_000
ALPHA = 0.05
# Three standard errors of a share of 5 % among the experiments.
MARGIN = 3 * np.sqrt(ALPHA * (1 - ALPHA) / EXPERIMENTS)

Counts = npt.NDArray[np.int64]
Looks = tuple[Floats, Floats, Floats]  # estimates, standard errors, units of the smaller arm


def shares(base: float, treated: Counts, control: Counts, effect: float = 0.0, seed: int = 0) -> Looks:
    """Experiments with so many new units a day in each arm, whose outcome is 0 or 1."""
    rng = np.random.default_rng(seed)
    size = (EXPERIMENTS, len(treated))
    n = np.cumsum(treated), np.cumsum(control)
    rates = (
        rng.binomial(treated, base + effect, size).cumsum(-1) / n[0],
        rng.binomial(control, base, size).cumsum(-1) / n[1],
    )
    variance = sum(rate * (1 - rate) / units for rate, units in zip(rates, n, strict=True))
    return rates[0] - rates[1], np.sqrt(variance), np.minimum(*n)


def click_rates(
    looks: int, a_day: int, experiments: int, lift: float = 1.0, seed: int = 0
) -> tuple[Sums, Sums]:
    """Cumulative sums of users arriving in cohorts, with some impressions each and clicks that cluster."""
    rng = np.random.default_rng(seed)
    arms = []
    for times in (lift, 1.0):
        impressions = 1 + rng.poisson(4, (experiments, looks, a_day))
        clicks = rng.binomial(impressions, times / 2 * rng.beta(1, 4, impressions.shape))
        arms.append(Sums.of(clicks.astype(float), impressions.astype(float)).cumulative())
    return arms[0], arms[1]


def ever_wrong(found: Estimate, truth: float = 0.0) -> float:
    return float(((found.low > truth) | (found.high < truth)).any(-1).mean())


def days(looks: int, a_day: int) -> Counts:
    return np.full(looks, a_day)


# -- against others ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimate", "error", "planned", "low", "high"),
    [
        # The relative lift of two means, then with an adjustment that does nothing, then of two shares.
        (0.5033610858562358, 0.3334122146400735, 1000, -0.55844, 1.56516),
        (0.50338, 0.33341, 5000, -0.50969, 1.51646),
        (0.50386, 0.03386, 5000, 0.40098, 0.60675),
    ],
)
def test_the_intervals_are_growthbooks(
    estimate: float, error: float, planned: int, low: float, high: float
) -> None:
    """From the tests of gbstats 0.8, whose units are those of both arms: only their ratio matters."""
    found = always_valid(np.array([estimate]), np.array([error]), np.array([6461]), planned_units=planned)
    np.testing.assert_allclose([found.low[0], found.high[0]], [low, high], atol=2e-5)


def test_p_value_is_one_over_the_mixture_likelihood_ratio() -> None:
    """Johari et al.: the likelihood ratio, averaged over effects from a normal distribution by quadrature."""
    estimate, error, units, planned = 0.021, 0.006, 3_000, 2_000
    spread = np.sqrt(mixture(planned, ALPHA) * units) * error

    def ratio(effect: float) -> float:
        likelihoods = norm.pdf(estimate, effect, error) / norm.pdf(estimate, 0, error)
        return float(likelihoods * norm.pdf(effect, 0, spread))

    mixed = quad(ratio, -10 * spread, 10 * spread, points=[0, estimate], epsabs=1e-10)[0]
    found = always_valid(np.array([estimate]), np.array([error]), np.array([units]), planned_units=planned)
    np.testing.assert_allclose(found.p_value, 1 / mixed, rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.2])
def test_the_interval_is_tightest_about_the_planned_units(alpha: float) -> None:
    def reach(planned: float) -> float:
        one = np.ones(1)
        return float(always_valid(one, one, 1_000 * one, planned_units=planned, alpha=alpha).high[0])

    best = minimize_scalar(lambda log: reach(np.exp(log)), bounds=(np.log(100), np.log(10_000)))
    assert best.fun <= reach(1_000) <= 1.002 * best.fun


# -- by simulation -------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [0.05, 0.2, 0.45])
@pytest.mark.parametrize(("looks", "a_day"), [(28, 500), (90, 60)])
def test_false_positives_of_who_looks_daily(base: float, looks: int, a_day: int) -> None:
    estimate, error, units = shares(base, days(looks, a_day), days(looks, a_day), seed=looks)
    found = always_valid(estimate, error, units, planned_units=looks * a_day / 2)
    assert ever_wrong(found) <= ALPHA + MARGIN
    assert ever_wrong(found) > 0.005  # or it would never say anything
    peeked = Estimate.normal(estimate, error, ALPHA)
    assert (peeked.p_value <= ALPHA).any(-1).mean() > 0.2
    assert (peeked.p_value[:, -1] <= ALPHA).mean() <= ALPHA + MARGIN


def test_all_intervals_of_an_experiment_cover_a_true_effect() -> None:
    estimate, error, units = shares(0.2, days(60, 200), days(60, 200), effect=0.03)
    found = always_valid(estimate, error, units, planned_units=6_000)
    assert ever_wrong(found, 0.03) <= ALPHA + MARGIN
    assert (found.p_value[:, -1] <= ALPHA).mean() > 0.95


def test_click_rates_with_cohorts_arriving() -> None:
    treatment, control = click_rates(looks=28, a_day=40, experiments=600)
    plain = difference(treatment, control)
    found = always_valid(plain.estimate, plain.standard_error, control.n, planned_units=560)
    assert 0.003 < ever_wrong(found) <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 600)
    assert (plain.p_value <= ALPHA).any(-1).mean() > 0.15


def test_a_true_click_rate_effect_is_found_and_covered() -> None:
    treatment, control = click_rates(looks=28, a_day=80, experiments=300, lift=1.3)
    plain = difference(treatment, control)
    found = always_valid(plain.estimate, plain.standard_error, control.n, planned_units=1_120)
    truth = 0.3 * 0.1
    assert ever_wrong(found, truth) <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 300)
    assert (found.p_value[:, -1] <= ALPHA).mean() > 0.8


def test_shares_that_change_in_a_ramp_up() -> None:
    """1 % treated, then 5, 25 and 50."""
    treated = 20_000 * np.repeat([0.01, 0.05, 0.25, 0.5], 7)
    estimate, error, units = shares(0.3, treated.astype(int), (20_000 - treated).astype(int))
    found = always_valid(estimate, error, units, planned_units=float(treated.sum()))
    assert 0.005 < ever_wrong(found) <= ALPHA + MARGIN


def test_information_is_the_clock_whatever_the_units() -> None:
    """A random walk whose information grows 3,000-fold while units hardly do: as fast as errors fall."""
    information = np.geomspace(1, 3_000, 1_000)
    steps = np.diff(information, prepend=0)
    walk = np.random.default_rng(0).normal(0, np.sqrt(steps), (EXPERIMENTS, len(steps))).cumsum(-1)
    units = np.linspace(1_000, 1_001, len(steps))
    found = always_valid(walk / information, information**-0.5, units, planned_units=1_000)
    assert 0.02 < ever_wrong(found) <= ALPHA + MARGIN


def test_too_few_events_break_it_and_more_units_first_mend_it() -> None:
    """A tenth of the units in one arm, 1 in 100 of them with an event."""
    estimate, error, units = shares(0.01, days(60, 100), days(60, 1_000))
    early = always_valid(estimate, error, units, planned_units=3_000, least_units=1)
    assert ever_wrong(early) > 2 * ALPHA
    late = always_valid(estimate, error, units, planned_units=3_000, least_units=25 / 0.01)
    assert ever_wrong(late) <= ALPHA + MARGIN


# -- what it promises ----------------------------------------------------------------------------


def test_p_value_and_interval_agree_on_when_to_stop() -> None:
    estimate, error, units = shares(0.2, days(30, 200), days(30, 200), effect=0.02)
    found = always_valid(estimate, error, units, planned_units=3_000)
    excludes = (found.low > 0) | (found.high < 0)
    np.testing.assert_array_equal(np.maximum.accumulate(excludes, axis=-1), found.p_value <= ALPHA)
    assert 0.05 < excludes.any(-1).mean() < 1


def test_no_verdict_before_there_are_enough_units_or_without_an_error() -> None:
    units = np.array([LEAST_UNITS - 1, LEAST_UNITS, 2 * LEAST_UNITS, 3 * LEAST_UNITS])
    found = always_valid(np.full(4, 9.0), np.array([0.1, 0.1, 0.0, np.nan]), units, planned_units=1_000)
    assert np.isnan(found.low).tolist() == [True, False, True, True]
    assert np.isnan(found.p_value).tolist() == [True, False, False, False]
    never = always_valid(np.zeros(2), np.zeros(2), np.full(2, 1e6), planned_units=1_000)
    assert np.isnan(never.p_value).all()


@pytest.mark.parametrize(
    ("planned", "alpha"), [(0, 0.05), (-5, 0.05), (float("nan"), 0.05), (1_000, 0.0), (1_000, 1.0)]
)
def test_refuses_plans_that_mean_nothing(planned: float, alpha: float) -> None:
    one = np.ones(1)
    with pytest.raises(SettingsError):
        always_valid(one, one, one, planned_units=planned, alpha=alpha)
