"""Bounds that others published, their error and power by simulation, and looks that were not planned."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import multivariate_normal, norm

from firstday.errors import DataError, SettingsError
from firstday.experiments.group_sequential import (
    FARTHEST_BOUND,
    Spending,
    boundaries,
    repeated,
    stopping_probabilities,
)
from firstday.experiments.sums import Floats
from firstday.stats.estimate import Estimate

EXPERIMENTS = 40_000
ALPHA = 0.05
MARGIN = 3 * np.sqrt(ALPHA * (1 - ALPHA) / EXPERIMENTS)
FIVE = np.arange(1, 6) / 5


class Stopped(NamedTuple):
    """bounds: one a look; crossed: whether |z| reaches it; stopped_at: the first that does, or how many."""

    bounds: Floats
    crossed: npt.NDArray[np.bool_]
    stopped_at: npt.NDArray[np.int64]


def stopped(z: Floats, fractions: npt.ArrayLike, **settings: Any) -> Stopped:
    bounds = boundaries(np.asarray(fractions), **settings)
    crossed = abs(z) >= bounds
    return Stopped(bounds, crossed, np.where(crossed.any(axis=-1), crossed.argmax(axis=-1), len(bounds)))


def walks(fractions: npt.ArrayLike, drift: float = 0.0, seed: int = 0) -> Floats:
    """z at each look, of experiments whose effect is so many standard errors of the planned end."""
    steps = np.diff(np.asarray(fractions, dtype=float), prepend=0)
    moves = np.random.default_rng(seed).normal(drift * steps, np.sqrt(steps), (EXPERIMENTS, len(steps)))
    return moves.cumsum(-1) / np.sqrt(fractions)


# -- against others ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("looks", "spending", "published"),
    [
        # As gsDesign's sfLDOF and sfLDPocock, RTSA's esOF and rpact's asOF and asP give them.
        (1, "obrien_fleming", [1.960]),
        (2, "obrien_fleming", [2.963, 1.969]),
        (3, "obrien_fleming", [3.710, 2.511, 1.993]),
        (4, "obrien_fleming", [4.333, 2.963, 2.359, 2.014]),
        (5, "obrien_fleming", [4.877, 3.357, 2.680, 2.290, 2.031]),
        (1, "pocock", [1.960]),
        (2, "pocock", [2.157, 2.201]),
        (5, "pocock", [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
)
def test_published_bounds(looks: int, spending: Spending, published: list[float]) -> None:
    found = boundaries(np.arange(1, looks + 1) / looks, alpha=ALPHA, spending=spending)
    np.testing.assert_allclose(found, published, atol=7e-4)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_three_uneven_looks_by_the_joint_distribution(spending: Spending) -> None:
    """The chance to stay within all bounds, from scipy's multivariate normal, is what is left to spend."""
    fractions = np.array([0.3, 0.35, 0.9])
    bounds = boundaries(fractions, spending=spending)
    shared = np.sqrt(np.minimum.outer(fractions, fractions) / np.maximum.outer(fractions, fractions))
    for looks in (1, 2, 3):
        walk = multivariate_normal(cov=shared[:looks, :looks], seed=0)
        inside = walk.cdf(bounds[:looks], lower_limit=-bounds[:looks])
        share = fractions[looks - 1]
        spent = {
            "obrien_fleming": 4 * norm.sf(norm.isf(ALPHA / 4) / np.sqrt(share)),
            "pocock": ALPHA * np.log(1 + (np.e - 1) * share),
        }
        assert 1 - inside == pytest.approx(spent[spending], abs=2e-5)


# -- by simulation -------------------------------------------------------------------------------


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize("fractions", [FIVE, np.arange(1, 29) / 28, np.array([0.05, 0.3, 0.32, 1.0])])
def test_false_positives_are_exactly_alpha(fractions: Floats, spending: Spending) -> None:
    z = walks(fractions)
    found = stopped(z, fractions, alpha=ALPHA, spending=spending)
    assert abs((found.stopped_at < len(fractions)).mean() - ALPHA) < MARGIN
    assert (abs(z) > norm.isf(ALPHA / 2)).any(-1).mean() > ALPHA + 10 * MARGIN


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_power_and_time_of_stopping_as_integrated(spending: Spending) -> None:
    """With a drift that has 80 % power at a fixed horizon: 2 to 3 points less, or 9 with Pocock's."""
    drift = norm.isf(ALPHA / 2) + norm.isf(0.2)
    bounds = boundaries(FIVE, spending=spending)
    found = stopped(walks(FIVE, drift), FIVE, spending=spending)
    chances = stopping_probabilities(FIVE, bounds, drift)
    drawn = np.bincount(found.stopped_at, minlength=6)[:5] / EXPERIMENTS
    np.testing.assert_allclose(drawn, chances, atol=3 * np.sqrt(0.25 / EXPERIMENTS))
    assert chances.sum() == pytest.approx({"obrien_fleming": 0.787, "pocock": 0.716}[spending], abs=0.01)
    fixed = stopping_probabilities(np.ones(1), boundaries(np.ones(1)), drift)
    assert fixed.sum() == pytest.approx(0.8, abs=1e-4)


def test_binary_outcomes_with_unplanned_volumes() -> None:
    """Days with more and fewer units than planned; the last one takes it beyond the plan."""
    rng = np.random.default_rng(1)
    a_day = np.array([300, 900, 150, 1_200, 700, 1_400])
    units = a_day.cumsum()
    arms = [rng.binomial(a_day, 0.2, (EXPERIMENTS, len(a_day))).cumsum(-1) / units for _ in range(2)]
    error = np.sqrt(sum(rate * (1 - rate) / units for rate in arms))
    found = stopped((arms[0] - arms[1]) / error, units / 4_500)
    assert abs((found.stopped_at < len(units)).mean() - ALPHA) < MARGIN + 0.001


def test_repeated_intervals_cover_together() -> None:
    error = 1 / np.sqrt(FIVE)
    found = repeated(walks(FIVE, drift=2.0) * error, error, FIVE)
    assert abs(((found.low > 2.0) | (found.high < 2.0)).any(-1).mean() - ALPHA) < MARGIN


# -- what it promises ----------------------------------------------------------------------------


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_repeated_p_value_interval_and_decision_agree(spending: Spending) -> None:
    z = walks(FIVE, drift=2.5)[:2_000]
    found = repeated(z, np.ones(5), FIVE, spending=spending)
    crossed = stopped(z, FIVE, spending=spending).crossed
    np.testing.assert_array_equal(found.p_value <= ALPHA, crossed)
    np.testing.assert_array_equal((found.low > 0) | (found.high < 0), crossed)


def test_repeated_p_value_is_the_least_alpha_that_stops() -> None:
    z = np.array([2.0, 2.6, 2.2, 1.2, 2.4])
    p_value = repeated(z, np.ones(5), FIVE, spending="pocock").p_value
    at_p = [boundaries(FIVE, alpha=float(p), spending="pocock")[look] for look, p in enumerate(p_value)]
    np.testing.assert_allclose(at_p, z, atol=0.03)


def test_one_look_is_the_plain_test() -> None:
    plain = Estimate.normal(np.array([0.3]), np.array([0.12]), ALPHA)
    found = repeated(plain.estimate, plain.standard_error, np.ones(1))
    np.testing.assert_allclose([found.low, found.high], [plain.low, plain.high], rtol=1e-9)
    np.testing.assert_allclose(found.p_value, plain.p_value, rtol=0.02)


def test_early_looks_of_many_are_all_but_closed() -> None:
    daily = boundaries(np.arange(1, 91) / 90)
    assert daily[0] == FARTHEST_BOUND
    assert (np.diff(daily[10:]) < 0).all()
    assert 1.96 < daily[-1] < 2.25


def test_nothing_is_left_after_the_end() -> None:
    fractions = np.array([0.5, 1.1, 1.2])
    bounds = boundaries(fractions)
    assert np.isinf(bounds).tolist() == [False, False, True]
    assert stopping_probabilities(fractions, bounds).sum() == pytest.approx(ALPHA)
    z = np.array([[0.0, 0.0, 99.0], [9.0, 9.0, 9.0], [np.nan, 3.0, 0.0]])
    found = stopped(z, fractions)
    assert found.stopped_at.tolist() == [3, 0, 1]
    after = repeated(z, np.ones(3), fractions)
    assert np.isnan([after.low[:, 2], after.high[:, 2], after.p_value[:, 2]]).all()


def test_an_early_end_spends_what_is_left() -> None:
    short = np.array([0.3, 0.7])
    assert stopping_probabilities(short, boundaries(short)).sum() < 0.6 * ALPHA
    ended = boundaries(short, ended=True)
    assert stopping_probabilities(short, ended).sum() == pytest.approx(ALPHA)
    assert ended[0] == boundaries(short)[0]


@pytest.mark.parametrize(
    "fractions",
    [[], [0.0, 0.5], [-0.1, 1.0], [0.5, 0.4], [0.5, 0.5], [0.5, np.nan], [[0.5, 1.0]], [0.5, 0.5001]],
)
def test_refuses_fractions_that_do_not_rise(fractions: list[float]) -> None:
    with pytest.raises(DataError):
        boundaries(np.array(fractions))


def test_refuses_other_settings_and_looks() -> None:
    with pytest.raises(SettingsError, match="obrien_fleming, pocock"):
        boundaries(FIVE, spending="haybittle")  # type: ignore[arg-type]
    with pytest.raises(SettingsError):
        boundaries(FIVE, alpha=1.5)
    with pytest.raises(DataError, match="5 looks"):
        repeated(np.zeros(4), np.ones(4), FIVE)
