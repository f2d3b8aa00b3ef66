"""Standardisation against a naive loop, known truth, and published numbers and other people's code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from firstday.moments import adjust

Floats = NDArray[np.float64]
Table = tuple[
    Floats, Floats, Floats, Floats
]  # users, retained (strata,); experienced, both (strata, thresholds)


def table(strata: int, stratum: NDArray[np.int64], retained: Floats, reached: Floats) -> Table:
    """From users: stratum, retained (users,), reached (users, thresholds)."""
    inside = stratum == np.arange(strata)[:, None]
    return (
        inside.sum(axis=1).astype(float),
        inside @ retained,
        inside @ reached,
        inside @ (reached * retained[:, None]),
    )


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Small tables with empty strata, strata of one kind, nobody and everybody retained."""
    strata, thresholds = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    users = np.array(draw(st.lists(st.integers(0, 6), min_size=strata, max_size=strata)))
    stratum = np.repeat(np.arange(strata), users)
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    retained = (seed.random(len(stratum)) < draw(st.sampled_from([0.0, 0.5, 1.0]))).astype(float)
    counts = seed.integers(0, thresholds + 2, len(stratum))
    reached = (counts[:, None] >= np.arange(1, thresholds + 1)).astype(float)
    return table(strata, stratum, retained, reached)


@given(tables())
def test_standardised_as_in_a_naive_loop(strata: Table) -> None:
    users, retained, experienced, both = strata
    found = adjust.standardise(users, retained, experienced, both)
    for threshold in range(experienced.shape[1]):
        weight, one, other, variance = [], [], [], []
        for n, r, e, b in zip(users, retained, experienced[:, threshold], both[:, threshold], strict=True):
            if e > 0 and n - e > 0:
                weight.append(n)
                one.append(b / e)
                other.append((r - b) / (n - e))
                added = [((b + 1) / (e + 2), e), ((r - b + 1) / (n - e + 2), n - e)]
                variance.append(sum(p * (1 - p) / size for p, size in added))
        if not weight:
            assert np.isnan(
                [found.difference[threshold], found.error[threshold], found.risk[threshold]]
            ).all()
            assert found.coverage[threshold] == 0
            continue
        assert_allclose(found.risk[threshold], np.average(one, weights=weight))
        assert_allclose(found.other_risk[threshold], np.average(other, weights=weight))
        assert_allclose(
            found.difference[threshold], found.risk[threshold] - found.other_risk[threshold], atol=1e-12
        )
        share = np.array(weight) / sum(weight)
        assert_allclose(found.error[threshold], np.sqrt(share**2 @ np.array(variance)))
        assert_allclose(found.coverage[threshold], sum(weight) / users.sum())
        assert found.low[threshold] < found.difference[threshold] < found.high[threshold]


@pytest.mark.parametrize(("strata", "users"), [(5, 2_000), (40, 2_000)])
def test_the_planted_effect_is_recovered_and_covered(strata: int, users: int) -> None:
    """A confounder raises both; the 95 % interval holds the truth in about 95 % of 400 apps."""
    draw = np.random.default_rng(1)
    effect, inside, crude = 0.1, [], []
    differences = []
    for _ in range(400):
        stratum = draw.integers(0, strata, users)
        engaged = stratum / strata
        reached = draw.random(users) < 0.15 + 0.6 * engaged
        retained = (draw.random(users) < 0.1 + 0.5 * engaged + effect * reached).astype(float)
        found = adjust.standardise(*table(strata, stratum, retained, reached[:, None].astype(float)))
        inside.append(found.low[0] <= effect <= found.high[0])
        differences.append(found.difference[0])
        crude.append(retained[reached].mean() - retained[~reached].mean())
    assert 0.92 <= np.mean(inside) <= 0.985
    assert abs(np.mean(differences) - effect) < 4 * np.std(differences) / 20
    assert np.mean(crude) > effect + 0.05  # what the strata took out


@given(tables())
def test_phi_within_strata_is_the_correlation_of_deviations(strata: Table) -> None:
    users, retained, experienced, both = strata
    found = adjust.stratified_phi(users, retained, experienced, both)
    for threshold in range(experienced.shape[1]):
        one, other = [], []
        for n, r, e, b in zip(users, retained, experienced[:, threshold], both[:, threshold], strict=True):
            kinds = [(1, 1, b), (1, 0, e - b), (0, 1, r - b), (0, 0, n - e - r + b)]
            one += [x - e / n for x, _, size in kinds for _ in range(int(size))]
            other += [y - r / n for _, y, size in kinds for _ in range(int(size))]
        if np.std(one or [0.0]) < 1e-9 or np.std(other or [0.0]) < 1e-9:
            assert np.isnan(found[threshold])
        else:
            assert_allclose(found[threshold], np.corrcoef(one, other)[0, 1], atol=1e-9)


def test_the_e_value_of_the_paper() -> None:
    """VanderWeele & Ding (2017): a risk ratio of 3.9 takes 7.26; a protective one of 0.8 takes 1.81."""
    found = adjust.e_value(
        np.array([0.39, 0.08, 0.1, 0.2, 0.0, np.nan]), np.array([0.1, 0.1, 0.1, 0.0, 0.1, 0.1])
    )
    assert_allclose(found[:3], [7.26, 1.81, 1.0], atol=0.005)
    assert np.isnan(found[3:]).all()


def test_p_values_of_the_normal_distribution() -> None:
    found = adjust.p_values(np.array([1.96, -1.96, 0.0, np.nan]), np.ones(4))
    assert_allclose(found[:3], [0.05, 0.05, 1.0], atol=1e-4)
    assert np.isnan(found[3])


def test_simpson_of_the_kidney_stones() -> None:
    """Charig et al. (1986): open surgery does worse over all and better for small and for large stones."""
    scale = 20.0  # their 700 patients are too few for both intervals to be clear of 0
    users, retained = scale * np.array([357.0, 343.0]), scale * np.array([[315.0], [247.0]])
    experienced, both = scale * np.array([[87.0], [263.0]]), scale * np.array([[81.0], [192.0]])
    held = adjust.standardise(users, retained[:, 0], experienced, both)
    whole = (values.sum(axis=0, keepdims=True) for values in (users, retained[:, 0], experienced, both))
    crude = adjust.standardise(*whole)
    assert_allclose(crude.risk[0], 273 / 350)
    assert_allclose(crude.other_risk[0], 289 / 350)
    assert crude.difference[0] < 0 < held.difference[0]
    assert adjust.simpson(crude.low, crude.high, held.low, held.high).tolist() == [True]
    assert adjust.simpson(held.low, held.high, crude.low, crude.high).tolist() == [True]
    assert adjust.simpson(held.low, held.high, held.low, held.high).tolist() == [False]


@pytest.mark.parametrize("retained", [0.0, 10.0])
def test_one_stratum_where_nobody_or_everybody_is_retained(retained: float) -> None:
    found = adjust.standardise(
        np.array([10.0]), np.array([retained]), np.array([[4.0]]), np.array([[0.4 * retained]])
    )
    assert found.difference[0] == 0
    assert 0 < found.error[0] < 1
    assert adjust.p_values(found.difference, found.error)[0] == 1
