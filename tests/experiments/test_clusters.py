"""Clusters and switchbacks: few, unequal, dependent, and still 5 %; exact where arms are drawn anew."""

import itertools

import numpy as np
import pytest
from scipy.stats import permutation_test, ttest_ind

from firstday.errors import DataError, SettingsError
from firstday.experiments.clusters import cluster_difference, interference_warning, randomisation_test
from firstday.experiments.sums import Floats

EXPERIMENTS = 2000


def cities(
    arm: int, spread: float, effect: float = 0.0, seed: int = 1, other: int | None = None
) -> tuple[Floats, Floats, np.ndarray]:
    """Retained and people by city, (experiments, cities), the first `arm` treated; cities differ by rate."""
    random = np.random.default_rng(seed)
    treated = np.arange(arm + (other or arm)) < arm
    size = (EXPERIMENTS, len(treated))
    people = np.round(200 * np.exp(spread * random.normal(size=size))) + 5
    rates = np.clip(0.3 + 0.05 * random.normal(size=size) + effect * treated, 0, 1)
    return random.binomial(people.astype(int), rates).astype(float), people, treated


@pytest.mark.parametrize(("arm", "spread"), [(3, 0.0), (5, 0.5), (10, 0.5), (20, 1.0), (40, 0.5)])
def test_few_clusters_cover_as_said(arm: int, spread: float) -> None:
    found = cluster_difference(*cities(arm, spread, effect=0.1))
    covered = ((found.low <= 0.1) & (found.high >= 0.1)).mean()
    assert 0.93 < covered < 0.975
    # Cities differ in rate, not by size, so the ratio's mean is the plan's.
    assert found.estimate.mean() == pytest.approx(0.1, abs=0.004)
    assert (found.p_value < 0.05).mean() > 0.2


def test_people_as_if_they_were_the_units_find_what_is_not_there() -> None:
    y, people, treated = cities(5, 0.5)
    totals = [(y[:, arm].sum(-1), people[:, arm].sum(-1)) for arm in (treated, ~treated)]
    rates = [retained / all_people for retained, all_people in totals]
    error = np.sqrt(sum(rate * (1 - rate) / n for rate, (_, n) in zip(rates, totals, strict=True)))
    assert (abs((rates[0] - rates[1]) / error) > 1.96).mean() > 0.25
    assert (cluster_difference(y, people, treated).p_value < 0.05).mean() < 0.07


def test_clusters_of_one_size_are_welchs_t_test() -> None:
    y = np.random.default_rng(2).normal(size=12)
    treated = np.arange(12) < 5
    found = cluster_difference(y, np.ones(12), treated)
    expected = ttest_ind(y[treated], y[~treated], equal_var=False)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (float(found.low), float(found.high)) == pytest.approx((interval.low, interval.high))


def test_the_error_is_that_of_leaving_each_cluster_out() -> None:
    y, people, treated = (np.atleast_2d(part)[0] for part in cities(4, 1.0))
    variance = 0.0
    for arm in (treated, ~treated):
        members = np.flatnonzero(arm)
        whole = y[members].sum() / people[members].sum()
        left = [np.setdiff1d(members, one) for one in members]
        rates = np.array([y[rest].sum() / people[rest].sum() for rest in left])
        variance += ((rates - whole) ** 2).sum() * 3 / 4
    assert cluster_difference(y, people, treated).standard_error == pytest.approx(np.sqrt(variance))


@pytest.mark.parametrize(("arm", "spread", "other"), [(4, 0.0, None), (5, 1.5, None), (2, 1.0, 10)])
def test_drawing_arms_anew_is_exact_for_any_sizes(arm: int, spread: float, other: int | None) -> None:
    y, people, treated = cities(arm, spread, other=other)
    found = randomisation_test(y, people, treated)
    assert found.exact
    p_value = found.effect.p_value
    for level in (0.05, 0.2):
        assert (p_value <= level).mean() < level + 3 * np.sqrt(level * (1 - level) / EXPERIMENTS)
    # Not by never finding anything: at multiples of 1 / assignments it is exact.
    exact = np.sort(p_value)[EXPERIMENTS // 5]
    assert exact < 0.25
    covered = (found.effect.low <= 0) & (found.effect.high >= 0)
    np.testing.assert_array_equal(covered, p_value > 0.05)


def test_bounds_cover_a_planted_effect() -> None:
    y, people, treated = cities(5, 0.7, effect=0.1)
    found = randomisation_test(y, people, treated).effect
    covered = ((found.low <= 0.1) & (found.high >= 0.1)).mean()
    assert covered > 0.95 - 3 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)
    assert covered < 0.98
    assert (found.p_value <= 0.05).mean() > 0.5


def test_it_is_scipys_permutation_test() -> None:
    random = np.random.default_rng(3)
    y, treated = random.normal(size=9) + np.r_[np.ones(4), np.zeros(5)], np.arange(9) < 4
    expected = permutation_test(
        (y[treated], y[~treated]), lambda a, b: abs(a.mean() - b.mean()), alternative="greater"
    )
    found = randomisation_test(y, np.ones(9), treated)
    assert found.assignments == 126
    assert found.effect.p_value == pytest.approx(expected.pvalue)


def naive_p_value(y: Floats, d: Floats, treated: np.ndarray, effect: float) -> float:
    base = y - effect * d * treated

    def rate_gap(arm: np.ndarray) -> float:
        return abs(base[arm].sum() / d[arm].sum() - base[~arm].sum() / d[~arm].sum())

    as_drawn = []
    for chosen in itertools.combinations(range(len(y)), int(treated.sum())):
        arm = np.isin(np.arange(len(y)), chosen)
        as_drawn.append(rate_gap(arm) >= rate_gap(treated) - 1e-12)
    return float(np.mean(as_drawn))


def test_bounds_are_where_a_loop_over_effects_turns() -> None:
    y, people, treated = (np.atleast_2d(part)[0] for part in cities(4, 0.7, effect=0.1, seed=4))
    found = randomisation_test(y, people, treated).effect
    assert found.p_value == pytest.approx(naive_p_value(y, people, treated, 0.0))
    width = float(found.high - found.low)
    for bound, outward in ((float(found.low), -1), (float(found.high), 1)):
        assert naive_p_value(y, people, treated, bound - outward * 1e-6 * width) > 0.05
        assert naive_p_value(y, people, treated, bound + outward * 1e-6 * width) <= 0.05


def test_three_against_three_can_say_nothing_and_says_so() -> None:
    y, people, treated = (np.atleast_2d(part)[0] for part in cities(3, 0.0, effect=0.5))
    found = randomisation_test(y, people, treated)
    assert found.least_p_value == pytest.approx(0.1)
    assert found.effect.p_value == pytest.approx(0.1)
    assert np.isneginf(found.effect.low)
    assert np.isposinf(found.effect.high)


def test_too_many_assignments_are_drawn() -> None:
    y, people, treated = (np.atleast_2d(part)[0] for part in cities(8, 0.5, effect=0.05))
    exact = randomisation_test(y, people, treated, draws=20_000)
    drawn = randomisation_test(y, people, treated, draws=5_000)
    assert (exact.exact, drawn.exact) == (True, False)
    assert drawn.effect.p_value == pytest.approx(float(exact.effect.p_value), abs=0.02)
    assert float(drawn.effect.low) == pytest.approx(float(exact.effect.low), abs=0.01)
    # Never 0: the observed assignment is one of them.
    extreme = randomisation_test(np.r_[np.ones(15), np.zeros(15)], np.ones(30), np.arange(30) < 15, draws=999)
    assert extreme.effect.p_value == pytest.approx(1 / 1000)


def test_switchback_blocks_that_depend_on_one_another_hold_five_percent() -> None:
    """A pool's rate wanders and has rush hours; each block draws its arm."""
    random = np.random.default_rng(6)
    blocks = 40
    wander = np.zeros((EXPERIMENTS, blocks))
    for block in range(1, blocks):
        wander[:, block] = 0.8 * wander[:, block - 1] + 0.03 * random.normal(size=EXPERIMENTS)
    rush = 0.1 * (np.arange(blocks) % 4 == 0)
    requests = 300 * (1 + 2 * (np.arange(blocks) % 4 == 0))
    treated = random.permuted(np.tile(np.arange(blocks) < 20, (EXPERIMENTS, 1)), axis=1)
    for effect in (0.0, 0.06):
        chance = np.clip(0.4 + rush + wander + effect * treated, 0, 1)
        found = cluster_difference(random.binomial(requests, chance), requests, treated)
        covered = ((found.low <= effect) & (found.high >= effect)).mean()
        assert 0.935 < covered < 0.965


def test_clusters_without_anyone_and_arms_of_one_say_nothing() -> None:
    y, people, treated = np.array([3.0, 4, 0, 2, 1]), np.array([5.0, 6, 0, 4, 7]), np.array([1, 1, 1, 0, 0])
    with_empty = cluster_difference(y, people, treated)
    without = cluster_difference(np.delete(y, 2), np.delete(people, 2), np.delete(treated, 2))
    assert with_empty.p_value == pytest.approx(float(without.p_value))
    one = cluster_difference(y, people, [1, 0, 0, 0, 0])
    assert np.isnan([one.estimate, one.p_value, one.low]).all()
    nobody = randomisation_test(y[:4], np.array([1.0, 1, 0, 0]), [0, 0, 1, 1]).effect
    assert np.isnan([nobody.estimate, nobody.p_value, nobody.low]).all()


@pytest.mark.parametrize(
    ("y", "d", "treated", "error"),
    [
        ([1.0, np.inf, 1.0], [1.0, 1.0, 1.0], [1, 0, 1], DataError),
        ([1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1, 0, 1], DataError),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1, 0, 2], SettingsError),
    ],
)
def test_bad_totals_are_refused(
    y: list[float], d: list[float], treated: list[int], error: type[Exception]
) -> None:
    with pytest.raises(error):
        cluster_difference(y, d, treated)
    with pytest.raises(error):
        randomisation_test(y, d, treated)


def test_entries_with_other_numbers_of_treated_are_refused() -> None:
    with pytest.raises(DataError, match="as many treated"):
        randomisation_test(np.ones((2, 4)), np.ones((2, 4)), [[1, 1, 0, 0], [1, 0, 0, 0]])


def test_a_shared_pool_split_by_unit_is_warned_of() -> None:
    told = interference_warning(shared_pool=True, assigned_by="unit")
    assert told is not None
    assert "share a pool" in told
    for design in ("cluster", "switchback"):
        assert interference_warning(shared_pool=True, assigned_by=design) is None
    assert interference_warning(shared_pool=False, assigned_by="unit") is None
    with pytest.raises(SettingsError):
        interference_warning(shared_pool=True, assigned_by="city")
