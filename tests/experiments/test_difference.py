"""Two arms compared: as statsmodels and scipy have it, on the real test, and right in simulation, or NaN."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from benchmarks.experiment_worlds import CLICK_RATE, Arm, clicks, heights, minutes, retained, two_arms
from firstday.experiments.difference import difference, relative_lift, unit_variance, why_unknown
from firstday.experiments.sums import Floats, Sums
from firstday.stats.estimate import Estimate

EXPERIMENTS = 2_000
ERRORS = 3.5  # of the simulation itself that a share may be off


def near(share: float, expected: float, experiments: int = EXPERIMENTS) -> bool:
    return abs(share - expected) < ERRORS * np.sqrt(expected * (1 - expected) / experiments)


def everything(told: Estimate) -> Floats:
    return np.array(
        [told.estimate, told.low, told.high, told.standard_error, told.statistic, told.p_value]
    ).ravel()


def test_means_are_welchs() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(3, 2, 40), rng.normal(2, 5, 25)
    told = difference(Sums.of(one), Sums.of(other), alpha=0.1)
    oracle = ttest_ind(one, other, equal_var=False)
    assert told.statistic == pytest.approx(oracle.statistic)
    assert told.p_value == pytest.approx(oracle.pvalue)
    bounds = oracle.confidence_interval(0.9)
    assert (float(told.low), float(told.high)) == pytest.approx((bounds.low, bounds.high))


def test_zero_one_metrics_are_the_two_proportion_test() -> None:
    one, other = np.repeat([1.0, 0.0], [7, 93]), np.repeat([1.0, 0.0], [20, 130])
    told = difference(Sums.of(one), Sums.of(other))
    statistic, p_value = proportions_ztest([7, 20], [100, 150])
    assert (float(told.statistic), float(told.p_value)) == pytest.approx((statistic, p_value))
    bounds = confint_proportions_2indep(7, 100, 20, 150, method="newcomb", compare="diff")
    assert (float(told.low), float(told.high)) == pytest.approx(bounds)


def test_ratios_are_the_residuals_variance() -> None:
    rng = np.random.default_rng(2)
    arms = []
    for units in (50, 80):
        shown = rng.integers(1, 40, units)
        arms.append((rng.binomial(shown, 0.2).astype(float), shown.astype(float)))
    told = difference(*(Sums.of(*arm) for arm in arms))
    values, variances = [], []
    for clicked, shown in arms:
        value = clicked.sum() / shown.sum()
        values.append(value)
        variances.append(np.var((clicked - value * shown) / shown.mean(), ddof=1) / len(shown))
    assert told.estimate == pytest.approx(values[0] - values[1])
    assert told.standard_error == pytest.approx(np.sqrt(sum(variances)))


def test_ratios_agree_with_the_bootstrap() -> None:
    rng = np.random.default_rng(3)
    shown = 1 + rng.poisson(rng.lognormal(1.5, 1, 400))
    clicked = rng.binomial(shown, rng.beta(1, 9, 400))
    drawn = rng.integers(0, 400, (4_000, 400))
    ratios = clicked[drawn].sum(1) / shown[drawn].sum(1)
    assert np.sqrt(unit_variance(Sums.of(clicked * 1.0, shown * 1.0)) / 400) == pytest.approx(
        ratios.std(), rel=0.06
    )


@pytest.mark.real_data
def test_the_gate(real_data: Path) -> None:
    players = pd.read_parquet(real_data / "cookie_cats" / "cookie_cats.parquet")
    for metric, effect, statistic, p_value in (
        ("retention_1", "0.00591", "1.784", "0.0744"),
        ("retention_7", "0.00820", "3.164", "0.00155"),
    ):
        gate_30, gate_40 = (
            Sums.of(players.loc[players["version"] == gate, metric].to_numpy())
            for gate in ("gate_30", "gate_40")
        )
        told = difference(gate_30, gate_40)
        assert f"{told.estimate:.5f}" == effect
        assert f"{told.statistic:.3f}" == statistic
        assert f"{told.p_value:.3g}" == p_value
        lift = relative_lift(gate_30, gate_40)
        assert lift.estimate == pytest.approx(gate_30.y / gate_30.n / (gate_40.y / gate_40.n) - 1)
        assert (told.low > 0) == (lift.low > 0)


@pytest.mark.parametrize(
    ("arm", "units", "base"),
    [
        (retained(0.2), (1_000, 1_000), 0.2),
        (retained(0.01), (500, 9_500), 0.01),
        (minutes, (300, 300), np.exp(0.5)),
        (heights, (10, 10), 0.0),
        (clicks, (400, 400), CLICK_RATE),
    ],
    ids=["share", "rare share, unequal arms", "skewed mean", "few units", "heavy-tailed ratio"],
)
def test_false_positives_and_coverage(arm: Arm, units: tuple[int, int], base: float) -> None:
    rng = np.random.default_rng(4)
    told = difference(*two_arms(arm, rng, EXPERIMENTS, units, 0.0))
    assert near((told.p_value < 0.05).mean(), 0.05)
    effect = 0.1 * base + (base == 0)
    treatment, control = two_arms(arm, rng, EXPERIMENTS, units, effect)
    told = difference(treatment, control)
    assert near(((told.low <= effect) & (effect <= told.high)).mean(), 0.95)
    assert told.estimate.mean() == pytest.approx(effect, abs=4 * told.estimate.std() / EXPERIMENTS**0.5)
    lift = relative_lift(treatment, control)
    if base:
        assert near(((lift.low <= 0.1) & (lift.high >= 0.1)).mean(), 0.95)


def test_impressions_as_units_would_be_wrong() -> None:
    """The simulation tells a wrong method from a right one."""
    one, other = two_arms(clicks, np.random.default_rng(5), EXPERIMENTS, (200, 200), 0.0)
    rates = one.y / one.d, other.y / other.d
    variance = rates[0] * (1 - rates[0]) / one.d + rates[1] * (1 - rates[1]) / other.d
    naive = Estimate.normal(rates[0] - rates[1], np.sqrt(variance), 0.05)
    assert (naive.p_value < 0.05).mean() > 0.15


VALUES = st.lists(st.integers(0, 5), min_size=2, max_size=30)


@settings(max_examples=40)
@given(VALUES, VALUES)
def test_lift_and_difference_never_contradict(one: list[int], other: list[int]) -> None:
    treatment, control = Sums.of(np.array(one, float)), Sums.of(np.array(other, float))
    lift, told = relative_lift(treatment, control), difference(treatment, control)
    if lift.reason == "":
        assert lift.low <= lift.estimate <= lift.high
        assert np.sign(lift.low) == np.sign(told.low) or told.low == pytest.approx(0, abs=1e-9)
        assert np.sign(lift.high) == np.sign(told.high) or told.high == pytest.approx(0, abs=1e-9)
    else:
        assert np.isnan(everything(lift)).all()


def test_lift_is_fiellers() -> None:
    """Its bounds are the ratios r at which treatment - r × control is just significant."""
    rng = np.random.default_rng(6)
    treatment, control = Sums.of(rng.normal(6, 3, 2_000)), Sums.of(rng.normal(5, 3, 2_000))
    lift = relative_lift(treatment, control)
    values = [float(arm.y / arm.n) for arm in (treatment, control)]
    variances = [float(unit_variance(arm)) / 2_000 for arm in (treatment, control)]
    for bound in (lift.low, lift.high):
        error = np.sqrt(variances[0] + (1 + bound) ** 2 * variances[1])
        assert abs(values[0] - (1 + bound) * values[1]) / error == pytest.approx(1.96, abs=0.002)
    assert lift.standard_error == pytest.approx((lift.high - lift.low) / 2 / 1.96, rel=0.01)


def test_no_lift_on_a_control_near_nothing() -> None:
    rng = np.random.default_rng(7)
    lift = relative_lift(Sums.of(rng.normal(1, 1, 50)), Sums.of(rng.normal(0.1, 1, 50)))
    assert np.isnan(everything(lift)).all()
    assert lift.reason == "the control's value is not clearly above 0"
    nobody = relative_lift(Sums.of(np.repeat([1.0, 0.0], [3, 97])), Sums.of(np.zeros(100)))
    assert nobody.reason == "the control's value is not clearly above 0"
    assert np.isnan(nobody.estimate)


def test_an_arm_without_an_event_keeps_a_width() -> None:
    told = difference(Sums.of(np.zeros(45)), Sums.of(np.repeat([1.0, 0.0], [50, 4_950])))
    assert told.low == pytest.approx(-0.0132, abs=0.0001)
    assert told.high > 0.05


CONSTANT: Floats = np.full(200, 0.1)
SOME: Floats = np.arange(20.0)


@pytest.mark.parametrize(
    ("treatment", "control", "reason"),
    [
        (Sums.of(CONSTANT), Sums.of(CONSTANT), "nothing varies: each arm's units all have one value"),
        (Sums.of(CONSTANT), Sums.of(3 * CONSTANT), "nothing varies: each arm's units all have one value"),
        (Sums.of(np.zeros(9)), Sums.of(np.zeros(9)), "nothing varies: each arm's units all have one value"),
        (Sums.of(np.zeros(0)), Sums.of(SOME), "an arm has fewer than two units"),
        (Sums.of(SOME), Sums.of(SOME[:1]), "an arm has fewer than two units"),
        (Sums.of(np.ones(1)), Sums.of(np.ones(1)), "an arm has fewer than two units"),
        (Sums.of(SOME, SOME), Sums.of(0 * SOME, 0 * SOME), "an arm's denominators add up to 0"),
        (Sums.of(SOME, 0 * SOME), Sums.of(SOME, SOME), "an arm's denominators add up to 0"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_nothing_to_say(treatment: Sums, control: Sums, reason: str) -> None:
    told = difference(treatment, control)
    assert np.isnan([told.p_value, told.statistic, told.standard_error]).all()
    assert why_unknown(treatment, control) == reason
    assert relative_lift(treatment, control).reason == reason


@pytest.mark.filterwarnings("error")
def test_entry_by_entry() -> None:
    rng = np.random.default_rng(8)
    y = rng.normal(1, 1, (3, 4, 30))
    y[1, 2] = np.nan
    one, other = Sums.of(y), Sums.of(rng.normal(1, 1, (3, 4, 20)))
    told = difference(one, other)
    assert told.p_value.shape == (3, 4)
    assert np.isnan(told.p_value).sum() == 1
    assert np.isnan(told.p_value[1, 2])
    alone = difference(one[2, 1], other[2, 1])
    assert everything(alone) == pytest.approx(
        everything(Estimate(*(part[2, 1] for part in vars(told).values())))
    )
