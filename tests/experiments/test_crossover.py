"""Crossover: as a regression unit by unit has it; right under a period effect, where pooling is not."""

import numpy as np
import pytest
import statsmodels.api as sm

from firstday.errors import SettingsError
from firstday.experiments.crossover import crossover
from firstday.experiments.panels import PanelSums
from firstday.experiments.sums import Floats

AB_BA = np.array([[1, 0], [0, 1]])
ABB_BAA = np.array([[1, 0, 0], [0, 1, 1]])
EXPERIMENTS, UNITS = 2000, 240


def worlds(
    arms: np.ndarray, *, effect: float = 0.0, carry_over: float = 0.0, seed: int = 1, units: int = UNITS
) -> tuple[Floats, np.ndarray]:
    """Spends of units that differ much, in periods that differ much: (experiments, units, periods)."""
    random = np.random.default_rng(seed)
    group = np.arange(units) % len(arms)
    of_unit = 2 * random.normal(size=(EXPERIMENTS, units, 1))
    of_period = np.linspace(0, 3, arms.shape[1])
    before = np.hstack([np.zeros_like(arms[:, :1]), arms[:, :-1]])
    planted = effect * arms[group] + carry_over * before[group]
    return of_unit + of_period + planted + random.normal(size=(EXPERIMENTS, units, arms.shape[1])), group


def within_error(share: float, expected: float, times: int = EXPERIMENTS) -> bool:
    """Three Monte-Carlo errors."""
    return abs(share - expected) < 3 * np.sqrt(expected * (1 - expected) / times)


@pytest.mark.parametrize("arms", [AB_BA, ABB_BAA, np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]])])
def test_no_effect_is_found_in_one_of_twenty_and_intervals_cover(arms: np.ndarray) -> None:
    y, group = worlds(arms, effect=0.2)
    effect = crossover(PanelSums.of(y, group=group, groups=len(arms)), arms).effect
    assert within_error(((effect.low <= 0.2) & (effect.high >= 0.2)).mean(), 0.95)
    assert effect.estimate.mean() == pytest.approx(0.2, abs=3 * effect.estimate.std() / np.sqrt(EXPERIMENTS))
    y, group = worlds(arms, seed=2)
    found = crossover(PanelSums.of(y, group=group, groups=len(arms)), arms).effect.p_value < 0.05
    assert within_error(found.mean(), 0.05)


def test_a_pooled_comparison_is_wrong_under_a_period_effect() -> None:
    """More units begin with the treatment, and everyone spends more in period 2: pooled, treatment looks bad.

    And as if periods were other people, the error is far too large: what a unit is like does not cancel.
    """
    y, _ = worlds(AB_BA)
    group = (np.arange(UNITS) % 4 == 0).astype(int)
    treated = AB_BA[group].astype(bool)
    pooled = y[:, treated].mean(-1) - y[:, ~treated].mean(-1)
    effect = crossover(PanelSums.of(y, group=group, groups=2), AB_BA).effect
    assert pooled.mean() < -1.0
    assert abs(effect.estimate.mean()) < 0.01
    assert within_error((effect.p_value < 0.05).mean(), 0.05)
    assert effect.standard_error.mean() < 0.6 * np.sqrt(2 * 5 / UNITS)


def test_two_periods_are_half_the_difference_of_the_changes() -> None:
    y, group = worlds(AB_BA, effect=0.3)
    change = y[0, :, 0] - y[0, :, 1]
    first, second = change[group == 0], change[group == 1]
    result = crossover(PanelSums.of(y[0], group=group, groups=2), AB_BA)
    assert result.effect.estimate == pytest.approx((first.mean() - second.mean()) / 2)
    error = np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)) / 2
    assert result.effect.standard_error == pytest.approx(error)
    both = y[0].sum(-1)
    assert result.carry_over.estimate == pytest.approx(both[group == 0].mean() - both[group == 1].mean())
    assert result.units == UNITS
    assert result.left_out == 0
    assert np.isnan(result.left_out_p_value)


def regression(y: Floats, present: np.ndarray, terms: np.ndarray) -> tuple[Floats, Floats]:
    """Row by row in statsmodels: effects of units and periods, errors clustered by unit without factors."""
    unit, period = np.nonzero(present)
    dummies = [np.eye(y.shape[0])[unit], np.eye(y.shape[1])[period][:, 1:]]
    columns = np.column_stack([terms[unit, period], *dummies])
    fit = sm.OLS(y[unit, period], columns).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}
    )
    return fit.params, fit.bse


def test_it_is_the_regression_on_units_and_periods() -> None:
    """Exactly, up to n / (n - 1) a sequence, where the model has as many terms as cells (AB/BA)."""
    y, group = worlds(AB_BA, effect=0.4, units=40)
    effect = crossover(PanelSums.of(y[0], group=group, groups=2), AB_BA).effect
    params, errors = regression(y[0], np.ones((40, 2)), AB_BA[group][..., None])
    assert effect.estimate == pytest.approx(params[0])
    assert effect.standard_error == pytest.approx(errors[0] * np.sqrt(20 / 19))


@pytest.mark.parametrize("adjust", [False, True])
def test_units_that_miss_periods_are_as_in_the_regression(adjust: bool) -> None:
    arms = np.array([[1, 0, 0], [0, 1, 1]])
    y, sequence = worlds(arms, effect=0.4, carry_over=0.2, units=300)
    present = np.random.default_rng(4).random((300, 3)) < 0.7
    present[~present.any(1), 0] = True
    pattern = present @ [1, 2, 4] - 1
    group = sequence * 7 + pattern
    # Of a period that a pattern misses, nothing need be known.
    by_pattern = np.repeat(arms, 7, axis=0) & ((np.arange(1, 8)[:, None] & [1, 2, 4]) > 0)[list(range(7)) * 2]
    sums = PanelSums.of(y[0] * present, present.astype(float), group=group, groups=14)
    result = crossover(sums, by_pattern, adjust_carry_over=adjust)
    had = arms[sequence] * present
    before = np.hstack([np.zeros((300, 1)), had[:, :-1]])
    terms = np.stack([had, before][: 1 + adjust], axis=-1)
    params, errors = regression(y[0], present, terms)
    assert result.effect.estimate == pytest.approx(params[0])
    # The model has fewer terms than cells: the regression's error holds its lack of fit too, by chance.
    assert result.effect.standard_error == pytest.approx(errors[0], rel=0.05)
    assert result.left_out == (present.sum(1) == 1).sum()
    assert result.units + result.left_out == 300


def test_those_seen_once_are_counted_and_told_if_one_sequence_has_more_of_them() -> None:
    y, sequence = worlds(AB_BA, units=1000)
    random = np.random.default_rng(5)
    for gone, suspicious in ((np.array([0.2, 0.2]), False), (np.array([0.1, 0.3]), True)):
        stays = random.random(1000) > gone[sequence]
        present = np.stack([np.ones(1000), stays], axis=-1)
        sums = PanelSums.of(y[0] * present, present, group=sequence * 2 + stays, groups=4)
        # Groups: AB there once, AB, BA there once (not known to be treated in the period missed), BA.
        result = crossover(sums, np.array([[1, 0], [1, 0], [0, 0], [0, 1]]))
        assert result.left_out == (~stays).sum()
        assert (result.left_out_p_value < 0.001) == suspicious


def test_carry_over_halves_into_two_periods_and_is_a_term_with_three() -> None:
    y, group = worlds(AB_BA, effect=0.5, carry_over=0.4)
    two = crossover(PanelSums.of(y, group=group, groups=2), AB_BA)
    assert two.effect.estimate.mean() == pytest.approx(0.5 - 0.4 / 2, abs=0.01)
    assert two.carry_over.estimate.mean() == pytest.approx(0.4, abs=0.03)
    y, group = worlds(ABB_BAA, effect=0.5, carry_over=0.4)
    three = crossover(PanelSums.of(y, group=group, groups=2), ABB_BAA, adjust_carry_over=True)
    assert three.effect.estimate.mean() == pytest.approx(0.5, abs=0.01)
    assert three.carry_over.estimate.mean() == pytest.approx(0.4, abs=0.01)
    assert within_error(((three.effect.low < 0.5) & (three.effect.high > 0.5)).mean(), 0.95)
    assert within_error(((three.carry_over.low < 0.4) & (three.carry_over.high > 0.4)).mean(), 0.95)


def test_grizzle_finds_nothing_where_nothing_lasts() -> None:
    y, group = worlds(AB_BA, effect=0.5)
    lasting = crossover(PanelSums.of(y, group=group, groups=2), AB_BA).carry_over
    assert within_error((lasting.p_value < 0.05).mean(), 0.05)


def test_a_choice_by_grizzles_test_has_more_false_positives_than_it_says() -> None:
    """Freeman 1989: if it is significant, take period 1 alone: why carry-over is a diagnostic here."""
    y, group = worlds(AB_BA)
    result = crossover(PanelSums.of(y, group=group, groups=2), AB_BA)
    first = y[..., 0]
    apart = first[:, group == 0].mean(-1) - first[:, group == 1].mean(-1)
    error = np.sqrt(
        (first[:, group == 0].var(-1, ddof=1) + first[:, group == 1].var(-1, ddof=1)) / (UNITS / 2)
    )
    chosen = np.where(
        result.carry_over.p_value < 0.1, abs(apart / error) > 1.96, result.effect.p_value < 0.05
    )
    assert chosen.mean() > 0.07
    assert within_error((result.effect.p_value < 0.05).mean(), 0.05)


def test_click_rates_hold_under_a_period_effect_with_units_that_miss_periods() -> None:
    """Impressions differ much between units and periods; some have none; clickers click in both periods."""
    random = np.random.default_rng(6)
    group = np.arange(UNITS) % 2
    mean = random.gamma(0.5, 8, (EXPERIMENTS, UNITS, 1)) * [1.0, 1.6]
    impressions = random.poisson(mean)
    taste = random.beta(2, 18, (EXPERIMENTS, UNITS, 1))
    for effect in (0.0, 0.04):
        clicks = random.binomial(impressions, np.minimum(taste + [0.0, 0.05] + effect * AB_BA[group], 1.0))
        sums = PanelSums.of(clicks, impressions, group=group, groups=2)
        found = crossover(sums, AB_BA).effect
        assert within_error(((found.low <= effect) & (found.high >= effect)).mean(), 0.95)
        assert found.estimate.mean() == pytest.approx(effect, abs=0.001)
    assert (found.p_value < 0.05).mean() > 0.5


def test_designs_that_cannot_tell_are_refused() -> None:
    sums = PanelSums.of(np.ones((8, 2)), group=np.arange(8) % 2, groups=2)
    with pytest.raises(SettingsError, match="AB and BA"):
        crossover(sums, [[1, 0], [1, 0]])
    with pytest.raises(SettingsError, match="three periods"):
        crossover(sums, AB_BA, adjust_carry_over=True)
    three = PanelSums.of(np.ones((8, 3)), group=np.arange(8) % 2, groups=2)
    with pytest.raises(SettingsError, match="ABB and BAA"):
        crossover(three, [[1, 0, 0], [0, 0, 1]][:1] * 2, adjust_carry_over=True)


def test_an_empty_sequence_and_a_constant_metric_say_nothing() -> None:
    y = np.random.default_rng(7).normal(size=(20, 2))
    empty = crossover(PanelSums.of(y, group=np.zeros(20, dtype=int), groups=2), AB_BA)
    assert np.isnan([empty.effect.estimate, empty.effect.p_value, empty.carry_over.estimate]).all()
    assert empty.units == 0
    assert empty.left_out == 20
    constant = crossover(PanelSums.of(np.ones((20, 2)), group=np.arange(20) % 2, groups=2), AB_BA).effect
    assert constant.estimate == pytest.approx(0)
    assert np.isnan(constant.p_value)
