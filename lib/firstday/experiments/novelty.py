"""Does the effect fade, or grow, over the days since a unit first met the change?

An age is the number of days since a unit's first exposure, not a date: new units start at 0 on every
date. A curiosity fades with age (novelty); something that must be learnt grows (primacy). Both make the
average of a short experiment a bad forecast.

The same units are seen at many ages, so the effects at neighbouring ages share their luck: a regression
of daily effects on age that takes them for independent calls noise a trend, or hides one. Here units are
the independent draws: products between ages give every trend the standard error that is clustered by
unit (the sandwich of Liang & Zeger 1986, Biometrika 73), whatever the correlation. Per unit and for a
mean this is the plain two-sample comparison of each unit's own trend, so it is as exact as an A/B test
is; ratios go by the delta method (see `panels`). Where each age has other units, `slope_of_separate`
needs no products.

What goes wrong:
- Cohorts that are not complete: if only early cohorts have reached age 20, the days from 10 to 20
  compare other people than the days before. Take units that can have all ages, and leave out the rest.
- A unit that stays away is a zero at that age (y = 0, d = 1), not a gap: gaps make the effect that on
  those who stay, and the change may decide who stays.
- A trend is a small thing: it often takes several times the units that show the effect itself to see
  that effect halve. "No sign of change" is not "stays as it is"; read the interval.
"""

import numpy as np
import numpy.typing as npt

from firstday.errors import DataError
from firstday.experiments.estimate import Estimate
from firstday.experiments.panels import PanelSums, combined
from firstday.experiments.sums import Floats

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


def later_less_first(sums: PanelSums, ages: npt.ArrayLike, *, alpha: float = 0.05) -> Estimate:
    """The mean effect at the later half of the ages less that at the first half: (...).

    In words: "in the second week the effect was that much larger". With an odd number of ages the middle
    one counts for neither. NaN unless both arms were seen at all ages. Raises DataError as `slope` does.
    """
    days = _check(sums, ages)
    middle = np.median(days)
    later, first = days > middle, days < middle
    each = later / max(later.sum(), 1) - first / max(first.sum(), 1)
    complete = sums.seen.all(axis=(-2, -1))
    return _contrast(sums, np.where(complete[..., None], each, np.nan), alpha)


def slope_of_separate(effects: Estimate, ages: npt.ArrayLike, *, alpha: float = 0.05) -> Estimate:
    """`slope` from effects by age, (..., ages), of which no two share a unit; wrong where they do."""
    days, variances = np.asarray(ages, dtype=float), effects.standard_error**2
    weights = _slope_weights(days, variances)
    known = weights != 0
    estimate = (weights * np.where(known, effects.estimate, 0)).sum(-1)
    variance = (weights**2 * np.where(known, variances, 0)).sum(-1)
    return Estimate.normal(estimate, np.sqrt(variance), alpha)


def reading(effect: Estimate, change: Estimate, *, alpha: float = 0.05) -> npt.NDArray[np.str_]:
    """The change in a word: fades or grows, seen from an effect that is clear (p at most alpha).

    Where the effect over all ages is not clear, there is nothing to fade: falls or rises. Else no sign
    of change, or unknown where the change is NaN. effect and change have one shape.
    """
    clear, changed = effect.p_value <= alpha, change.p_value <= alpha
    outward = np.sign(effect.estimate) == np.sign(change.estimate)
    return np.select(
        [
            np.isnan(change.p_value),
            changed & clear & outward,
            changed & clear,
            changed & (change.estimate > 0),
            changed,
        ],
        ["unknown", "grows", "fades", "rises", "falls"],
        "no sign of change",
    )


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
        spread = (lever * (days - centre)).sum(-1, keepdims=True)
        return lever / np.where(spread > 0, spread, np.nan)


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
