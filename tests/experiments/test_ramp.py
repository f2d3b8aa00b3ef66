"""Ramps: stage by stage as an A/B test has it; right under a moving base, where pooling is not."""

import numpy as np
import pytest
import statsmodels.api as sm

from firstday.errors import SettingsError
from firstday.experiments.panels import PanelSums
from firstday.experiments.ramp import ramp
from firstday.experiments.sums import Floats

EXPERIMENTS, UNITS = 1500, 600
SHARES = (0.05, 0.25, 0.5)
# Groups 0 .. 2 switch at stages 0 .. 2, group 3 never does.
ARMS = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]])
GROUP = np.repeat(np.arange(4), (np.diff((0, *SHARES, 1)) * UNITS).astype(int))
BASE = np.array([0.2, 0.3, 0.5])


def retention(effect: float = 0.0, seed: int = 1, growth: float = 0.0) -> Floats:
    """Retained or not by stage, (experiments, units, stages): loyal units stay loyal while the base moves."""
    random = np.random.default_rng(seed)
    loyalty = 0.2 * random.normal(size=(EXPERIMENTS, UNITS, 1))
    planted = (effect + growth * np.arange(3)) * ARMS[GROUP]
    return (random.random((EXPERIMENTS, UNITS, 3)) < BASE + np.clip(loyalty, -0.2, 0.2) + planted).astype(
        float
    )


def of(y: np.ndarray, d: np.ndarray | None = None) -> PanelSums:
    return PanelSums.of(y, d, group=GROUP, groups=4)


def within_error(share: float, expected: float) -> bool:
    return abs(share - expected) < 3 * np.sqrt(expected * (1 - expected) / EXPERIMENTS)


def test_no_effect_is_found_in_one_of_twenty_while_the_base_moves() -> None:
    y = retention()
    result = ramp(of(y), ARMS)
    assert within_error((result.effect.p_value < 0.05).mean(), 0.05)
    assert within_error((result.same_effect_p_value < 0.05).mean(), 0.05)
    assert abs(result.effect.estimate.mean()) < 3 * result.effect.estimate.std() / np.sqrt(EXPERIMENTS)
    treated = ARMS[GROUP].astype(bool)
    pooled = y[:, treated].mean(-1) - y[:, ~treated].mean(-1)
    assert pooled.mean() > 0.09


def test_intervals_cover_a_planted_effect_with_its_error() -> None:
    effect = ramp(of(retention(0.05)), ARMS).effect
    assert within_error(((effect.low <= 0.05) & (effect.high >= 0.05)).mean(), 0.95)
    assert effect.estimate.mean() == pytest.approx(0.05, abs=3 * effect.estimate.std() / np.sqrt(EXPERIMENTS))
    assert effect.standard_error.mean() == pytest.approx(effect.estimate.std(), rel=0.06)


def test_stages_as_if_of_other_people_give_too_small_an_error() -> None:
    """A ramp that stays at 50 % for five stages: the same people are in the same arm, again and again."""
    random = np.random.default_rng(2)
    arms = np.hstack([ARMS, np.repeat(ARMS[:, -1:], 4, axis=1)])
    y = random.normal(size=(EXPERIMENTS, UNITS, 1)) + random.normal(size=(EXPERIMENTS, UNITS, 7))
    result = ramp(of(y), arms)
    apart = np.sqrt((result.weights**2 * result.difference.standard_error**2).sum(-1))
    assert (abs(result.effect.estimate / apart) > 1.96).mean() > 0.15
    assert within_error((result.effect.p_value < 0.05).mean(), 0.05)


def test_it_is_least_squares_on_treatment_and_stages() -> None:
    y = retention(0.05)[0]
    unit, stage = np.indices(y.shape).reshape(2, -1)
    columns = np.column_stack([ARMS[GROUP][unit, stage], np.eye(3)[stage]])
    fit = sm.OLS(y.reshape(-1), columns).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}
    )
    effect = ramp(of(y), ARMS).effect
    assert effect.estimate == pytest.approx(fit.params[0])
    # The regression's residuals hold what stages' effects and groups differ by, by chance.
    assert effect.standard_error == pytest.approx(fit.bse[0], rel=0.05)


def test_the_error_is_that_of_what_each_unit_adds() -> None:
    """A loop over units: what one adds to the weighted difference of click rates, spread within its group."""
    random = np.random.default_rng(5)
    d = random.poisson(3.0, (UNITS, 3)).astype(float)
    y = random.binomial(d.astype(int), random.beta(2, 8, (UNITS, 1))).astype(float)
    result = ramp(of(y, d), ARMS)
    treated = ARMS[GROUP] == 1
    added = np.zeros(UNITS)
    for unit in range(UNITS):
        for stage in range(3):
            arm = treated[:, stage] == treated[unit, stage]
            rate = y[arm, stage].sum() / d[arm, stage].sum()
            own = (y[unit, stage] - rate * d[unit, stage]) / d[arm, stage].sum()
            added[unit] += result.weights[stage] * own * (1 if treated[unit, stage] else -1)
    groups = [added[np.equal(GROUP, g)] for g in range(4)]
    variance = sum(group.var(ddof=1) * len(group) for group in groups)
    assert result.effect.standard_error == pytest.approx(np.sqrt(variance))


def test_each_stage_is_an_ab_test() -> None:
    y = retention(0.05)[0]
    result = ramp(of(y), ARMS)
    np.testing.assert_allclose(result.share, SHARES)
    effective = np.array([share * (1 - share) for share in SHARES])
    np.testing.assert_allclose(result.weights, effective / effective.sum())
    for stage in range(3):
        treated = ARMS[GROUP, stage] == 1
        arms = y[treated, stage], y[~treated, stage]
        assert result.treatment_rate[stage] == pytest.approx(arms[0].mean())
        assert result.control_rate[stage] == pytest.approx(arms[1].mean())
        error = np.sqrt(sum(arm.var(ddof=1) / len(arm) for arm in arms))
        # Groups of one arm are centred each by its own mean: apart by chance alone.
        assert result.difference.standard_error[stage] == pytest.approx(error, rel=0.03)


def test_click_rates_hold_while_the_base_moves() -> None:
    random = np.random.default_rng(3)
    impressions = random.poisson(random.gamma(0.5, 8, (EXPERIMENTS, UNITS, 1)) * [1.0, 1.5, 2.0])
    taste = random.beta(2, 18, (EXPERIMENTS, UNITS, 1))
    chance = np.minimum(taste + [0.0, 0.03, 0.08] + 0.02 * ARMS[GROUP], 1.0)
    effect = ramp(of(random.binomial(impressions, chance), impressions), ARMS).effect
    assert within_error(((effect.low <= 0.02) & (effect.high >= 0.02)).mean(), 0.95)
    assert effect.estimate.mean() == pytest.approx(0.02, abs=0.001)


def test_an_effect_that_grows_with_the_share_is_told() -> None:
    result = ramp(of(retention(0.0, growth=0.15)), ARMS)
    assert (result.same_effect_p_value < 0.05).mean() > 0.8
    assert result.effect.estimate.mean() == pytest.approx(
        (result.weights[0] * [0, 0.15, 0.3]).sum(), abs=0.003
    )


def test_units_that_join_on_the_way_count_from_then_on() -> None:
    """Five groups, of which the last joined at stage 1 and was never treated."""
    y = retention(0.05)[0]
    joined = np.where(np.arange(UNITS) >= UNITS - 100, 4, GROUP)
    present = np.where((joined == 4)[:, None], [0.0, 1.0, 1.0], 1.0)
    arms = np.vstack([ARMS, ARMS[-1]])
    arms[4, 0] = 1  # of nobody: of no consequence
    result = ramp(PanelSums.of(y * present, present, group=joined, groups=5), arms)
    assert result.share[0] == pytest.approx(0.05 * UNITS / (UNITS - 100))
    control = ARMS[GROUP, 1] == 0
    assert result.control_rate[1] == pytest.approx(y[control, 1].mean())
    assert result.control_rate[0] == pytest.approx(y[(ARMS[GROUP, 0] == 0) & (joined != 4), 0].mean())


def test_a_stage_in_which_all_are_treated_weighs_nothing() -> None:
    y = retention(0.05)[0][..., :2]
    everyone = np.array([[1, 1], [0, 1]])
    half = np.arange(UNITS) % 2
    result = ramp(PanelSums.of(y, group=half, groups=2), everyone)
    np.testing.assert_array_equal(result.weights, [1, 0])
    assert result.effect.estimate == pytest.approx(result.difference.estimate[0])
    assert np.isnan(result.difference.estimate[1])
    assert np.isnan(result.same_effect_p_value)


def test_designs_that_are_no_ramp_are_refused() -> None:
    sums = PanelSums.of(np.ones((8, 2)), group=np.arange(8) % 2, groups=2)
    with pytest.raises(SettingsError, match="stay treated"):
        ramp(sums, [[1, 0], [0, 0]])
    with pytest.raises(SettingsError, match="both treated and control"):
        ramp(sums, [[0, 1], [0, 1]])


def test_an_arm_without_units_says_nothing() -> None:
    y = np.random.default_rng(4).normal(size=(20, 2))
    sums = PanelSums.of(y, group=np.ones(20, dtype=int), groups=2)
    result = ramp(sums, [[0, 1], [0, 0]])
    assert np.isnan([result.effect.estimate, result.effect.p_value, result.same_effect_p_value]).all()
