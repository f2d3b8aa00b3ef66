"""Does the effect fade, or grow, over the days since a unit first met the change?

An age is the number of days since a unit's first exposure, not a date: new units start at 0 on every
date. A curiosity fades with age (novelty); something that must be learnt grows (primacy). Both make the
average of a short experiment a bad forecast.

The same units are seen at many ages, so the effects at neighbouring ages share their luck: a regression
of daily effects on age that takes them for independent calls noise a trend, or hides one. Here units are
the independent draws: products between ages give every trend the standard error that is clustered by
unit (the sandwich of Liang & Zeger 1986, Biometrika 73), whatever the correlation. Per unit and for a
mean this is the plain two-sample comparison of each unit's own trend, so it is as exact as an A/B test
is; ratios go by the delta method (see `panels`).

What goes wrong:
- Cohorts that are not complete: if only early cohorts have reached age 20, the days from 10 to 20
  compare other people than the days before. Take units that can have all ages, and leave out the rest.
- A unit that stays away is a zero at that age (y = 0, d = 1), not a gap: gaps make the effect that on
  those who stay, and the change may decide who stays.
- A trend is a small thing: it often takes several times the units that show the effect itself to see
  that effect halve. "No change shown" is not "stays as it is"; read the interval.
- A first day unlike the others: most is spent, or clicked, on the day of the assignment, so that day's
  effect has an error many times the others', and a line weighted by precision does not see it. So `lasting`
  compares the first day with the mean of the later ones, and looks for a trend among the later ones only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firstday.errors import DataError
from firstday.experiments.panels import PanelSums, combined
from firstday.experiments.sums import Floats
from firstday.stats.corrections import holm
from firstday.stats.estimate import Estimate

CONTROL, TREATMENT = 0, 1  # the groups of the sums


def effects_by_age(sums: PanelSums, *, alpha: float = 0.05) -> Estimate:
    """Treatment less control at each age: (..., ages). NaN at ages that an arm was not seen at.

    sums has two groups, CONTROL and TREATMENT, and an age a period. For the plot: do not fit a line to
    it, its points are correlated.
    """
    _check(sums, np.arange(sums.y.shape[-1]))
    rates, variances = sums.rates(), _variances(sums)
    effects = rates[..., TREATMENT, :] - rates[..., CONTROL, :]
    both = sums.seen.all(axis=-2)
    return Estimate.normal(np.where(both, effects, np.nan), np.sqrt(variances), alpha)


def slope(sums: PanelSums, ages: npt.ArrayLike, *, alpha: float = 0.05) -> Estimate:
    """By how much the effect changes a day, in the metric's unit: (...). Negative: it falls.

    Least squares over the ages, each weighted by 1 / its squared standard error; the slope's own error
    is clustered by unit. NaN with fewer than two ages that both arms were seen at. Raises DataError
    unless sums has two groups and a period for each age.
    """
    days = _check(sums, ages)
    return _contrast(sums, _slope_weights(days, _variances(sums)), alpha)


@dataclass(frozen=True)
class Lasting:
    """Whether an effect lasts. first: the effect on the first day. later: the mean effect of the days after
    it. change: later less first. trend: the slope, a day, among the later days. reading: a clause, where the
    tests of change and trend are corrected for being two (Holm).
    """

    first: Estimate
    later: Estimate
    change: Estimate
    trend: Estimate
    reading: str


UNKNOWN, NO_CHANGE = "too little is known", "no change is shown"
FIRST_ONLY = "the effect is on the first day only: none is shown afterwards"
LASTS = "the effect is still there after the first day"
UNCLEAR = "the effect is shown on the first day; whether it lasts is not clear"
LESS, MORE = "the effect is smaller after the first day", "the effect is larger after the first day"
TURNS = "the effect turns into its opposite after the first day"


def lasting(sums: PanelSums, ages: npt.ArrayLike, *, alpha: float = 0.05) -> Lasting:
    """Does the effect of one experiment last? sums: of two groups, CONTROL and TREATMENT, an age a period.

    The first day and the days after it are compared with equal weights a day; the trend is `slope` without
    the first day. Both errors are clustered by unit. Raises DataError as `slope` does.
    """
    days = _check(sums, ages)
    both = sums.seen.all(axis=-2)
    is_first = np.arange(len(days)) == 0
    after = both & ~is_first
    with np.errstate(invalid="ignore"):
        mean = np.where(after, 1.0, 0.0) / np.where(after.any(), after.sum(), np.nan)
    one = np.where(is_first, np.where(both, 1.0, np.nan), 0.0)
    first, later, change = (_contrast(sums, weights, alpha) for weights in (one, mean, mean - one))
    trend = slope(sums.since(1), days[1:], alpha=alpha)
    even = _contrast(sums, np.where(both, 1.0, 0.0) / max(both.sum(), 1), alpha)
    return Lasting(first, later, change, trend, _reading(even, first, later, change, trend, alpha))


def _reading(
    mean: Estimate, first: Estimate, later: Estimate, change: Estimate, trend: Estimate, alpha: float
) -> str:
    def clear(effect: Estimate) -> bool:
        return bool(effect.p_value <= alpha)

    def rises(effect: Estimate) -> bool:
        return bool(effect.estimate > 0)

    adjusted = holm(np.array([float(change.p_value), float(trend.p_value)]))
    if np.isnan(adjusted).all():
        return UNKNOWN
    changed, moves = (bool(p_value <= alpha) for p_value in adjusted)
    whole = later if clear(later) else mean
    outward = rises(trend) == rises(whole)
    one_way = clear(whole) and not (clear(first) and rises(first) != rises(whole))
    word = ("grows" if outward else "fades") if one_way else ("rises" if rises(trend) else "falls")
    # From the first day on, or only among the later ones, against what the first day was.
    if moves and (not changed or rises(change) == rises(trend)):
        return f"the effect {word}"
    if changed:
        step = _step(first, later, clear, rises)
        return f"{step}, and {word} since" if moves else step
    if clear(later) and rises(later) == rises(mean):
        return f"{LASTS}: {NO_CHANGE}"
    return UNCLEAR if clear(first) and not clear(later) else NO_CHANGE


def _step(
    first: Estimate,
    later: Estimate,
    clear: Callable[[Estimate], bool],
    rises: Callable[[Estimate], bool],
) -> str:
    """In words what differs between the first day and the later ones."""
    if clear(first) and not clear(later):
        return FIRST_ONLY
    if clear(first) and rises(first) != rises(later):
        return TURNS
    return LESS if abs(later.estimate) < abs(first.estimate) else MORE


def _contrast(sums: PanelSums, weights: Floats, alpha: float) -> Estimate:
    """The weighted sum of effects at the ages. weights: (..., ages)."""
    cells = np.stack([-weights, weights], axis=-2)
    return Estimate.normal(*combined(sums, cells), alpha)


def _variances(sums: PanelSums) -> Floats:
    """Of the effect at each age: (..., ages). NaN where an arm was not seen."""
    own = np.diagonal(sums.residual_products(sums.rates()), axis1=-2, axis2=-1)
    squares = np.divide(own, sums.d**2, out=np.full(own.shape, np.nan), where=sums.seen)
    return squares.sum(axis=-2)


def _slope_weights(days: Floats, variances: Floats) -> Floats:
    """What each age's effect adds to the least-squares slope; 0 for ages of unknown error."""
    precision = np.divide(1, variances, out=np.zeros(variances.shape), where=variances > 0)
    with np.errstate(invalid="ignore"):
        centre = (precision * days).sum(-1, keepdims=True) / precision.sum(-1, keepdims=True)
        lever = precision * (days - centre)
        squares = (lever * (days - centre)).sum(-1, keepdims=True)
        return lever / np.where(squares > 0, squares, np.nan)


def _check(sums: PanelSums, ages: npt.ArrayLike) -> Floats:
    days = np.asarray(ages, dtype=float)
    if sums.y.shape[-2:] != (2, len(days)):
        raise DataError(
            "the sums have two groups, control and treatment, and a period for each age",
            value=f"{sums.y.shape[-2:]} for {len(days)} ages",
            next_step="group by variant, and by days since the unit's first exposure",
        )
    if len(days) > 1 and not (np.diff(days) > 0).all():
        raise DataError("ages rise, in days", value=days.tolist(), next_step="sort the periods by age")
    return days
