"""Loadings are recovered, also where the matrix is hardly one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from firstday.moments.factors import (
    HIGHEST_COMMUNALITY,
    engagement_loadings,
    number_of_factors,
    principal_axes,
)

ONE = np.array([0.9, 0.3, 0.7, 0.5, 0.6, 0.4, 0.8, 0.2])
OWN = np.array([0.5, 1.0, 0.7, 0.4, 2.0, 0.3, 0.6, 1.1])


def test_one_factor_is_recovered_from_its_covariance() -> None:
    covariance = np.outer(ONE, ONE) + np.diag(OWN)
    assert_allclose(engagement_loadings(covariance), ONE, atol=1e-4)
    assert_allclose(engagement_loadings(covariance * np.outer(OWN, OWN)), ONE * OWN, atol=1e-4)  # other units


def test_two_factors_are_recovered_up_to_a_rotation() -> None:
    loadings = np.column_stack([ONE, np.resize([0.5, -0.4, 0.0, 0.3], 8)])
    found = principal_axes(loadings @ loadings.T + np.diag(OWN), 2, iterations=5_000)
    assert_allclose(found @ found.T, loadings @ loadings.T, atol=2e-3)


def test_loadings_of_a_sample_are_near() -> None:
    draw = np.random.default_rng(1)
    values = draw.normal(size=(50_000, 1)) * ONE + draw.normal(size=(50_000, 8)) * np.sqrt(OWN)
    assert_allclose(engagement_loadings(np.cov(values.T)), ONE, atol=0.03)


@pytest.mark.parametrize("factors", [1, 2, 3])
def test_the_number_of_factors(factors: int) -> None:
    draw = np.random.default_rng(2)
    loadings = draw.choice([-1, 1], (12, factors)) * draw.uniform(0.4, 0.9, (12, factors))
    values = draw.normal(size=(20_000, factors)) @ loadings.T + draw.normal(size=(20_000, 12))
    assert number_of_factors(np.cov(values.T), 20_000) == factors


@pytest.mark.parametrize(("actions", "most"), [(4, 1), (7, 1), (8, 2), (12, 3), (40, 3)])
def test_there_are_never_more_factors_than_actions_can_carry(actions: int, most: int) -> None:
    values = np.random.default_rng(3).normal(size=(300, actions))
    values[:, 1::2] += 5 * values[:, ::2][:, : actions // 2]  # pairs: each would like a factor
    assert number_of_factors(np.cov(values.T), 300) <= most


@pytest.mark.filterwarnings("error")
def test_twins_are_no_obstacle() -> None:
    covariance = np.outer(ONE, ONE) + np.diag(OWN)
    twins = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7])
    found = engagement_loadings(covariance[np.ix_(twins, twins)])
    assert np.isfinite(found).all()
    assert_allclose(found[0], found[1])
    assert found[0] ** 2 <= HIGHEST_COMMUNALITY * covariance[0, 0] * (1 + 1e-9)


def test_uncorrelated_actions_hardly_load() -> None:
    assert np.abs(principal_axes(np.eye(6), 1)).max() < 0.05
