"""Effects by age from units that are seen at many ages: no trend is called where there is none."""

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
from scipy.stats import linregress

from firstday.errors import DataError
from firstday.experiments.difference import difference
from firstday.experiments.novelty import (
    CONTROL,
    TREATMENT,
    effects_by_age,
    lasting,
    slope,
)
from firstday.experiments.panels import PanelSums
from firstday.experiments.sums import Floats, Sums
from firstday.stats.estimate import Estimate

AGES = np.arange(14)
ALPHA = 0.05
Groups = npt.NDArray[np.int64]


def outcomes(experiments: int, units: int, effects: Floats, seed: int = 0) -> tuple[Floats, Groups]:
    """Units whose days drift: an autoregression with 0.9 from a day to the next, so trends come by chance."""
    rng = np.random.default_rng(seed)
    group = np.arange(units) % 2
    y = rng.normal(size=(experiments, units, len(effects)))
    for age in range(1, len(effects)):
        y[..., age] = 0.9 * y[..., age - 1] + np.sqrt(1 - 0.9**2) * y[..., age]
    return y + (group == TREATMENT)[:, None] * effects, group


def sums(experiments: int, units: int, effects: Floats, seed: int = 0) -> PanelSums:
    y, group = outcomes(experiments, units, effects, seed)
    return PanelSums.of(y, group=group, groups=2)


def called(found: Estimate) -> float:
    return float((found.p_value <= ALPHA).mean())


# -- by simulation -------------------------------------------------------------------------------


def test_false_positives_with_correlated_ages() -> None:
    steady = sums(2_000, 200, np.full(14, 0.5))
    margin = 3 * np.sqrt(ALPHA * (1 - ALPHA) / 2_000)
    assert abs(called(slope(steady, AGES)) - ALPHA) < margin


def test_a_planted_decay_is_found_and_measured() -> None:
    effects = 0.6 * 0.8**AGES
    fading = sums(500, 1_000, effects)
    found = slope(fading, AGES)
    line = linregress(AGES, effects).slope
    covered = ((found.low <= line) & (line <= found.high)).mean()
    # Weights come from the data, so the line differs a little from one experiment to the next.
    assert found.estimate.mean() == pytest.approx(line, rel=0.02)
    assert covered > 0.92
    assert called(found) > 0.8


def test_click_rates_by_age_whose_level_moves_in_both_arms() -> None:
    """Clicks and impressions both fall with age, and the effect on the rate does not."""
    rng = np.random.default_rng(0)
    group = np.arange(300) % 2
    ages = np.arange(6)
    taste = rng.beta(2, 18, (1_000, 300, 1))
    shown = rng.poisson(6 * 0.9**ages, (1_000, 300, 6)).astype(float)
    clicks = rng.binomial(shown.astype(int), taste + 0.02 * (group == TREATMENT)[:, None]).astype(float)
    found = slope(PanelSums.of(clicks, shown, group=group, groups=2), ages)
    assert abs(called(found) - ALPHA) < 3 * np.sqrt(ALPHA * (1 - ALPHA) / 1_000)
    assert abs(found.estimate.mean()) < 3 * found.standard_error.mean() / np.sqrt(1_000)


# -- against others ------------------------------------------------------------------------------


def test_each_age_is_the_plain_difference() -> None:
    y, group = outcomes(1, 80, np.linspace(0, 1, 4), seed=2)
    found = effects_by_age(PanelSums.of(y, group=group, groups=2))
    arms = [Sums.of(y[0, group == arm], axis=0) for arm in (TREATMENT, CONTROL)]
    plain = difference(arms[0], arms[1])
    np.testing.assert_allclose(found.estimate[0], plain.estimate, rtol=1e-9)
    np.testing.assert_allclose(found.standard_error[0], plain.standard_error, rtol=1e-9)


def test_the_clustered_slope_is_statsmodels_from_rows() -> None:
    """Least squares of all rows on age effects and treatment × (1, age), clustered by unit."""
    y, group = outcomes(1, 400, np.linspace(1, 0, 4), seed=3)
    ages = np.arange(4)
    found = slope(PanelSums.of(y, group=group, groups=2), ages)
    by_age = effects_by_age(PanelSums.of(y, group=group, groups=2))
    weights = np.tile(by_age.standard_error[0] ** -2, 400)
    treated = np.repeat(group, 4)
    columns = np.column_stack([np.tile(np.eye(4), (400, 1)), treated, treated * np.tile(ages, 400)])
    fit = sm.WLS(y.reshape(-1), columns, weights=weights)
    fitted = fit.fit(cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(400), 4)})
    np.testing.assert_allclose(found.estimate[0], fitted.params[-1], rtol=1e-9)
    # statsmodels corrects for few clusters in its own way, and leaves the line's misfit in the residuals.
    np.testing.assert_allclose(found.standard_error[0], fitted.bse[-1], rtol=0.01)


# -- what it promises ----------------------------------------------------------------------------


def test_ages_that_nobody_had_are_left_out() -> None:
    y, group = outcomes(1, 100, np.linspace(1, 0, 5), seed=4)
    seen = np.ones_like(y)
    seen[..., 4] = 0
    partial = PanelSums.of(y * seen, seen, group=group, groups=2)
    shorter = PanelSums.of(y[..., :4], group=group, groups=2)
    np.testing.assert_allclose(slope(partial, np.arange(5)).estimate, slope(shorter, np.arange(4)).estimate)
    assert np.isnan(effects_by_age(partial).estimate[0]).tolist() == [False] * 4 + [True]


def test_one_age_and_constant_outcomes_say_nothing() -> None:
    group = np.arange(20) % 2
    one = PanelSums.of(np.random.default_rng(0).normal(size=(20, 1)), group=group, groups=2)
    constant = PanelSums.of(np.ones((20, 3)), group=group, groups=2)
    assert np.isnan(slope(one, [0]).p_value)
    assert np.isnan(slope(constant, [0, 1, 2]).p_value)


def spending(effects: Floats, noise: Floats, seed: int, units: int = 4_000) -> PanelSums:
    """One experiment whose days are independent of each other, each with a noise of its own."""
    rng = np.random.default_rng(seed)
    group = np.arange(units) % 2
    y = rng.normal(size=(units, len(effects))) * noise + (group == TREATMENT)[:, None] * effects
    return PanelSums.of(y, group=group, groups=2)


NOISY_FIRST = np.where(AGES == 0, 100.0, 1.0)


@pytest.mark.parametrize(
    ("effects", "noise", "word"),
    [
        (np.where(AGES == 0, 59.0, 0.0), NOISY_FIRST, "first day only"),
        (np.where(AGES == 0, -59.0, 0.0), NOISY_FIRST, "first day only"),
        (np.where(AGES == 0, 59.0, 1.0), NOISY_FIRST, "smaller after the first day"),
        (np.where(AGES == 0, 0.0, 1.0), np.ones(14), "larger after the first day"),
        (np.where(AGES == 0, 1.0, -1.0), np.ones(14), "turns into its opposite"),
        (1.0 * 0.8**AGES, np.ones(14), "the effect fades"),
        (-1.0 * 0.8**AGES, np.ones(14), "the effect fades"),
        (1.0 * 0.8**AGES, NOISY_FIRST, "the effect fades"),
        (0.1 * AGES, np.ones(14), "the effect grows"),
        (0.1 * AGES, NOISY_FIRST, "the effect grows"),
        (0.1 * (AGES - 6.5), np.ones(14), "the effect rises"),
        (np.full(14, 1.0), np.ones(14), "still there"),
        (np.full(14, 1.0), NOISY_FIRST, "still there"),
        (np.zeros(14), np.ones(14), "no change is shown"),
    ],
)
def test_what_becomes_of_an_effect_is_read_right_in_nine_of_ten_experiments(
    effects: Floats, noise: Floats, word: str
) -> None:
    found = [lasting(spending(effects, noise, seed), AGES).reading for seed in range(50)]
    assert sum(word in each for each in found) >= 45, found


def test_the_parts_of_what_lasts_are_comparisons_of_each_unit_s_own() -> None:
    y, group = outcomes(1, 80, np.linspace(1, 0, 5), seed=5)
    found = lasting(PanelSums.of(y[0], group=group, groups=2), np.arange(5))
    first, later = y[0, :, 0], y[0, :, 1:].mean(-1)
    for part, own in (("first", first), ("later", later), ("change", later - first)):
        arms = [Sums.of(own[group == arm]) for arm in (TREATMENT, CONTROL)]
        plain, estimate = difference(arms[0], arms[1]), getattr(found, part)
        np.testing.assert_allclose(estimate.estimate, plain.estimate, rtol=1e-9)
        np.testing.assert_allclose(estimate.standard_error, plain.standard_error, rtol=1e-9)
    after = PanelSums.of(y[0, :, 1:], group=group, groups=2)
    assert found.trend.estimate == slope(after, np.arange(1, 5)).estimate


def test_a_steady_effect_is_called_changed_no_more_often_than_alpha() -> None:
    changed = [
        "no change is shown"
        not in (word := lasting(spending(np.full(14, 0.5), NOISY_FIRST, seed, 400), AGES).reading)
        and "not clear" not in word
        for seed in range(1_000)
    ]
    assert np.mean(changed) < ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 1_000)


def test_two_ages_and_constant_outcomes() -> None:
    group = np.arange(400) % 2
    two = PanelSums.of(np.random.default_rng(0).normal(size=(400, 2)), group=group, groups=2)
    assert lasting(two, [0, 1]).reading == "no change is shown"
    constant = PanelSums.of(np.ones((20, 3)), group=group[:20], groups=2)
    assert lasting(constant, [0, 1, 2]).reading == "too little is known"


@pytest.mark.parametrize("ages", [[0, 1], [0, 2, 1], [0, 1, 1], [0, 1, 2, 3]])
def test_refuses_ages_that_are_not_the_periods(ages: list[int]) -> None:
    with pytest.raises(DataError):
        slope(sums(1, 10, np.zeros(3)), ages)


def test_refuses_three_groups() -> None:
    y, group = outcomes(1, 9, np.zeros(3))
    with pytest.raises(DataError, match="two groups"):
        slope(PanelSums.of(y, group=group % 3, groups=3), np.arange(3))
