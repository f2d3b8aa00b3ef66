"""Panels: sums as loops have them, errors as a cluster-robust regression has them, arms as they may be."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from firstday.errors import DataError, SettingsError
from firstday.experiments.panels import PARTS, PanelSums, checked_arms, combined, estimated, within_weights


def drawn(units: int = 60, periods: int = 3, groups: int = 2, seed: int = 1) -> tuple[PanelSums, list]:
    random = np.random.default_rng(seed)
    d = random.poisson(3.0, (units, periods)).astype(float)
    y = random.binomial(d.astype(int), random.beta(2, 6, (units, 1))).astype(float)
    group = random.integers(0, groups, units)
    return PanelSums.of(y, d, group=group, groups=groups), [y, d, group]


def test_sums_are_those_of_a_loop() -> None:
    sums, (y, d, group) = drawn(units=12)
    for g in range(2):
        members = [unit for unit in range(12) if group[unit] == g]
        assert sums.n[g] == len(members)
        for p in range(3):
            assert sums.y[g, p] == sum(y[unit, p] for unit in members)
            for q in range(3):
                assert sums.yd[g, p, q] == sum(y[unit, p] * d[unit, q] for unit in members)


def test_sets_of_units_add_up() -> None:
    whole, (y, d, group) = drawn()
    first, second = (
        PanelSums.of(y[part], d[part], group=group[part], groups=2)
        for part in (slice(0, 25), slice(25, None))
    )
    for part in PARTS:
        np.testing.assert_allclose(getattr(first + second, part), getattr(whole, part))


def test_the_error_is_that_of_the_unit_level_residuals() -> None:
    sums, (y, d, group) = drawn()
    weights = np.array([[0.5, -0.7, 0.2], [-0.1, 0.3, -0.2]])
    value, error = combined(sums, weights)
    expected_value = expected_variance = 0.0
    for g in range(2):
        rate = y[group == g].sum(0) / d[group == g].sum(0)
        scores = ((y[group == g] - rate * d[group == g]) / d[group == g].mean(0)) @ weights[g]
        expected_value += rate @ weights[g]
        expected_variance += scores.var(ddof=1) / len(scores)
    assert value == pytest.approx(expected_value)
    assert error == pytest.approx(np.sqrt(expected_variance))


def test_two_groups_in_one_period_are_welchs_t_test() -> None:
    y, group = np.random.default_rng(4).normal(size=(12, 1)), np.arange(12) % 3 == 0
    found = estimated(PanelSums.of(y, group=group.astype(int), groups=2), np.array([[-1.0], [1.0]]), 0.05)
    expected = ttest_ind(y[group, 0], y[~group, 0], equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert float(found.low) == pytest.approx(expected.confidence_interval().low)


def test_a_constant_says_nothing_whatever_rounding_leaves() -> None:
    sums = PanelSums.of(np.full((30, 2), 1 / 3), group=np.arange(30) % 2, groups=2)
    assert np.isnan(estimated(sums, np.array([[0.3, -0.3], [-0.3, 0.3]]), 0.05).p_value)


def test_entries_are_worked_on_one_by_one() -> None:
    random = np.random.default_rng(2)
    group = np.arange(40) % 2
    y = random.normal(size=(4, 40, 2))
    y[3, :20] *= 3
    terms = np.array([[1.0, 0.0], [0.0, 1.0]])[..., None]
    together = PanelSums.of(y, group=group, groups=2)
    at_once = combined(together, within_weights(together, terms)[..., 0, :, :])
    for entry in range(4):
        alone = PanelSums.of(y[entry], group=group, groups=2)
        one = combined(alone, within_weights(alone, terms)[0])
        np.testing.assert_allclose([part[entry] for part in at_once], one)


def test_what_the_cells_do_not_determine_is_nan() -> None:
    sums, _ = drawn(periods=2)
    same_for_all = np.array([[1.0, 0.0], [1.0, 0.0]])[..., None]
    assert np.isnan(within_weights(sums, same_for_all)).all()


def test_a_group_of_one_unit_weighs_nothing() -> None:
    y = np.random.default_rng(3).normal(size=(21, 2))
    group = np.r_[np.arange(20) % 2, 2]
    with_one = PanelSums.of(y, group=group, groups=3)
    terms = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])[..., None]
    weights = within_weights(with_one, terms)[0]
    assert (weights[2] == 0).all()
    without = PanelSums.of(y[:20], group=group[:20], groups=2)
    np.testing.assert_allclose(
        combined(with_one, weights), combined(without, within_weights(without, terms[:2])[0])
    )


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_infinite_and_missing_values_are_refused(value: float) -> None:
    y = np.ones((4, 2))
    y[1, 1] = value
    with pytest.raises(DataError, match="finite"):
        PanelSums.of(y, group=np.array([0, 0, 1, 1]), groups=2)


@pytest.mark.parametrize("arms", [[[1, 0, 1]], [[1, 0, 2], [0, 1, 0]], [[1, 0, np.nan], [0, 1, 0]]])
def test_arms_that_are_none_are_refused(arms: list[list[float]]) -> None:
    with pytest.raises(SettingsError):
        checked_arms(arms, drawn()[0])
