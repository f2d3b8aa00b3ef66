"""Large levels with a small spread: ratios, ramps, crossovers and trends keep the digits that vary."""

from dataclasses import fields

import numpy as np
import pytest

from firstday.experiments.crossover import crossover
from firstday.experiments.difference import difference, relative_lift
from firstday.experiments.novelty import effects_by_age, lasting, slope
from firstday.experiments.panels import PanelSums
from firstday.experiments.ramp import ramp
from firstday.experiments.sums import Sums
from firstday.stats.estimate import Estimate

LEVELS = (100_000.0, 1.7e9)
AB_BA = np.array([[1, 0], [0, 1]])
STAGES = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]])


def same(found: Estimate, right: Estimate) -> None:
    for part in fields(Estimate):
        np.testing.assert_allclose(
            getattr(found, part.name), getattr(right, part.name), rtol=1e-9, atol=1e-300, err_msg=part.name
        )


def drawn(periods: int, groups: int, effect: np.ndarray, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """y by unit and period about 0, and the units' groups."""
    random = np.random.default_rng(seed)
    group = np.arange(400) % groups
    y = random.normal(size=(400, 1)) + random.normal(size=(400, periods)) + np.arange(periods)
    return y + 0.3 * effect[group], group


@pytest.mark.parametrize("level", LEVELS)
def test_panels_are_what_they_are_without_the_level(level: float) -> None:
    """y + level less the level is exact (Sterbenz), so the right answer is known."""

    def pair(periods: int, effect: np.ndarray, d: np.ndarray | float = 1.0) -> list[PanelSums]:
        y, group = drawn(periods, len(effect), effect)
        high = y + level * d
        base = np.broadcast_to(np.asarray(d, dtype=float), y.shape)
        return [
            PanelSums.of(each, base, group=group, groups=len(effect)) for each in (high, high - level * d)
        ]

    one, other = (crossover(each, AB_BA) for each in pair(2, AB_BA))
    same(one.effect, other.effect)
    same(one.carry_over, other.carry_over)
    up, down = (ramp(each, STAGES) for each in pair(3, STAGES))
    same(up.effect, down.effect)
    same(up.difference, down.difference)
    np.testing.assert_allclose(up.same_effect_p_value, down.same_effect_p_value, rtol=1e-7)
    np.testing.assert_allclose(up.treatment_rate, down.treatment_rate + level, rtol=1e-15)
    fading = np.array([np.zeros(6), np.linspace(3, 0, 6)])
    high, low = pair(6, fading)
    same(effects_by_age(high), effects_by_age(low))
    days = np.arange(6)
    same(slope(high, days), slope(low, days))
    assert lasting(high, days).reading == lasting(low, days).reading
    # Ratios: as many more y as there is d.
    d = np.random.default_rng(2).integers(1, 9, (400, 3)).astype(float)
    up, down = (ramp(each, STAGES) for each in pair(3, STAGES, d))
    same(up.effect, down.effect)
    # Added up from parts that have centres of their own.
    y, group = drawn(2, 2, AB_BA)
    parts = [PanelSums.of(y[at] + level, group=group[at], groups=2) for at in (slice(0, 90), slice(90, None))]
    same(crossover(parts[0] + parts[1], AB_BA).effect, crossover(sum_of(y + level, group), AB_BA).effect)


def sum_of(y: np.ndarray, group: np.ndarray) -> PanelSums:
    return PanelSums.of(y, group=group, groups=2)


@pytest.mark.parametrize("level", LEVELS)
def test_ratios_are_those_of_float128(level: float) -> None:
    random = np.random.default_rng(3)
    d = [random.integers(1, 9, 500).astype(float) for _ in range(2)]
    y = [level * each + random.normal(size=500) + 0.2 * arm * each for arm, each in enumerate(d)]
    control, treatment = (Sums.of(one, base) for one, base in zip(y, d, strict=True))
    rates, variances = [], []
    for one, base in zip(y, d, strict=True):
        one, base = one.astype(np.longdouble), base.astype(np.longdouble)
        rate = one.sum() / base.sum()
        rates.append(rate)
        variances.append(((one - rate * base) / base.mean()).var(ddof=1) / len(one))
    found = difference(treatment, control)
    assert float(found.estimate) == pytest.approx(float(rates[1] - rates[0]), rel=1e-9, abs=0)
    assert float(found.standard_error) == pytest.approx(float(np.sqrt(sum(variances))), rel=1e-9, abs=0)
    lift = relative_lift(treatment, control)
    assert float(lift.estimate) == pytest.approx(float((rates[1] - rates[0]) / rates[0]), rel=1e-9, abs=0)
    error = np.sqrt(variances[1] + (rates[1] / rates[0]) ** 2 * variances[0]) / rates[0]
    assert float(lift.standard_error) == pytest.approx(float(error), rel=1e-9, abs=0)
    assert float(lift.low * rates[0]) == pytest.approx(float(found.low), rel=1e-3)  # far above 0 they agree
    assert float(lift.high * rates[0]) == pytest.approx(float(found.high), rel=1e-3)
    # Sums from 0 on, as the table has them.
    assert float(treatment.about(0, 0).y) == pytest.approx(y[1].sum(), rel=1e-15)
    assert float(treatment.about(0, 0).yd) == pytest.approx((y[1] * d[1]).sum(), rel=1e-15)


def test_one_ratio_for_all_varies_nowhere() -> None:
    d = np.random.default_rng(4).integers(1, 9, 200).astype(float)
    for rate in (0.3, 100_000.1):
        one, other = (Sums.of(rate * half, half) for half in (d[:100], d[100:]))
        assert np.isnan(difference(one, other).p_value)
        panel = PanelSums.of(
            (rate * d).reshape(100, 2), d.reshape(100, 2), group=np.arange(100) % 2, groups=2
        )
        assert np.isnan(crossover(panel, AB_BA).effect.p_value)
