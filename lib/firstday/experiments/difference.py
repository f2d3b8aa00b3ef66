"""Two arms compared: by how much the metric differs, and by what share of the control's value.

A metric is y / d, the totals' ratio: a mean where d is 1 for each unit, else clicks per impression and
the like. To first order a unit adds (y - ratio × d) / mean d to the ratio, so the variance of these
residuals is the metric's variance a unit, whether y and d move together or not (the delta method; Deng,
Knoblich & Lu 2018, KDD). For a mean it is the plain variance, so one formula serves both.

What goes wrong: units that are not independent (the sums must be of what was assigned: users, not their
impressions; clusters where clusters were assigned); a few units that carry the whole total (one user
with a tenth of all impressions makes any interval wishful: cap what one unit may add); arms with a
handful of units.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from scipy.stats import norm

from firstday.experiments.sums import Floats, Sums
from firstday.stats.estimate import Estimate, degrees_of_freedom, welch
from firstday.stats.shares import wilson

# Below this share of the squares themselves, what is left of them after centring is rounding, not variation.
ROUNDING = 1e-10


@dataclass(frozen=True)
class ArmValue:
    """The value that an arm reached, `above` its centre, with the variance of that value, from n units."""

    above: Floats
    variance: Floats
    n: Floats
    centre: npt.ArrayLike = 0.0

    @property
    def value(self) -> Floats:
        return self.above + np.asarray(self.centre)


def ratio(arm: Sums) -> Floats:
    """The totals' y over d; NaN where d is 0."""
    return ratio_from_centre(arm) + arm.y_centre


def ratio_from_centre(arm: Sums) -> Floats:
    """`ratio`, counted from the centre on, as the sums are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = arm.y / arm.d
    return np.where(np.isfinite(value), value, np.nan)


def unit_variance(arm: Sums) -> Floats:
    """Of what one unit adds to the ratio, with n - 1; over n it is the ratio's variance.

    NaN for fewer than two units or a d of 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = ratio_from_centre(arm)
        squares = arm.yy - 2 * value * arm.yd + value**2 * arm.dd
        squares = np.where(squares > ROUNDING * (arm.yy + value**2 * arm.dd), squares, 0 * squares)
        variance = squares / np.where(arm.n > 1, arm.n - 1, np.nan) / (arm.d / arm.n) ** 2
    return np.where(np.isfinite(variance), variance, np.nan)


def arm_value(arm: Sums) -> ArmValue:
    """The ratio with its variance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return ArmValue(ratio_from_centre(arm), unit_variance(arm) / arm.n, arm.n, arm.y_centre)


def zero_one(arm: Sums) -> npt.NDArray[np.bool_]:
    """Whether every unit's y is 0 or 1 and its d is 1: only then are the squares' sums the sums' own."""
    return np.asarray((arm.y == arm.yy) & (arm.d == arm.n) & (arm.dd == arm.n) & (arm.y_centre == 0))


def difference(treatment: Sums, control: Sums, *, alpha: float = 0.05) -> Estimate:
    """Treatment less control in the metric's unit, bounds at 1 - alpha, two-sided test; entry by entry.

    - Means and ratios: Welch's t, each arm with its own variance, Welch-Satterthwaite degrees of
      freedom. With thousands of units it is the z-test; with 10 an arm z would call 6.6 % of nothing
      significant.
    - Metrics of 0 and 1 (in both arms): the two-proportion z-test, whose variance pools the arms as its
      hypothesis of equal shares says; it holds its level where events are rare or arms unequal, and it
      is what calculators report. Bounds are Newcombe's (1998, Statistics in Medicine 17, method 10), out
      of each arm's Wilson bounds: an arm without an event keeps a width. So at the very edge the test
      and the bounds may disagree, and the statistic is not estimate / standard_error (which is each
      arm's own).

    NaN, never an error: all of it for an arm without units or with a total d of 0; all but the estimate
    for an arm with one unit, and where nothing varies (0-1 metrics keep their bounds). why_unknown says
    which.
    """
    as_means = compared(arm_value(treatment), arm_value(control), alpha)
    shares = zero_one(treatment) & zero_one(control)
    return choose(shares, _two_proportions(treatment, control, alpha), as_means)


def compared(treatment: ArmValue, control: ArmValue, alpha: float) -> Estimate:
    """The difference of two independent values."""
    apart = np.asarray(treatment.centre) - np.asarray(control.centre)  # 0 where digits would be lost
    estimate = treatment.above - control.above + apart
    return welch(estimate, *_of_both(treatment, control), alpha)


def _of_both(treatment: ArmValue, control: ArmValue) -> tuple[Floats, Floats]:
    """The variances and the units, arms along the last axis."""
    arms = treatment, control
    variances, n = (
        np.broadcast_arrays(*each) for each in zip(*((a.variance, a.n) for a in arms), strict=True)
    )
    return np.stack(variances, axis=-1), np.stack(n, axis=-1)


def choose(where: npt.NDArray[np.bool_], one: Estimate, other: Estimate) -> Estimate:
    """One estimate's entries where it says so, else the other's."""
    parts = (field.name for field in fields(Estimate))
    return Estimate(*(np.where(where, getattr(one, part), getattr(other, part)) for part in parts))


@dataclass(frozen=True)
class RelativeLift(Estimate):
    """A share of the control's value: 0.02 is 2 % more. reason: why there is nothing to say, else ''."""

    reason: npt.NDArray[np.str_]


def relative_lift(treatment: Sums, control: Sums, *, alpha: float = 0.05) -> RelativeLift:
    """Treatment / control - 1, with bounds at 1 - alpha; test and p_value are the difference's own.

    Bounds are Fieller's (1954, Journal of the Royal Statistical Society B 16): the lifts that the arms'
    bounds do not contradict; with Wilson's bounds for 0-1 metrics (MOVER; Donner & Zou 2012, Statistical
    Methods in Medical Research 21). They exclude 0 exactly when the difference's do, which bounds by the
    delta method on the logarithm do not (and those need values above 0). standard_error is the delta
    method's.

    Where the control's own lower bound is not above 0, any lift is possible, up to an infinite one: all
    is NaN and the reason says so. Read the difference then. Far from that, but with few units, bounds
    are lopsided, as they should be: the lift can be much higher, but not much lower.
    """
    over, under = arm_value(treatment), arm_value(control)
    with np.errstate(divide="ignore", invalid="ignore"):
        over_below, over_above = _margins(treatment, control, treatment, alpha)
        under_below, under_above = _margins(treatment, control, control, alpha)
        clear = (under.value > 0) & (under.value > under_below)
        far = np.where(clear, "", "the control's value is not clearly above 0")
        unknown = why_unknown(treatment, control)
        reason = np.where(unknown == "", far, unknown)
        base = np.where(reason == "", under.value, np.nan)
        value = over.value / base
        same = difference(treatment, control, alpha=alpha)

        def end(own: Floats, other: Floats, sign: float) -> Floats:
            # Fieller's roots, written in the difference: small lifts of large values lose no digits.
            a = base**2 - other**2
            root = np.sqrt((other * over.value) ** 2 + own**2 * a)
            return np.asarray((base * same.estimate + other**2 + sign * root) / a)

        low, high = end(over_below, under_above, -1.0), end(over_above, under_below, 1.0)
        error = np.sqrt(over.variance + value**2 * under.variance) / base
        error = np.where(error > 0, error, np.nan)
    return RelativeLift(
        same.estimate / base,
        low,
        high,
        error,
        np.where(reason == "", same.statistic, np.nan),
        np.where(reason == "", same.p_value, np.nan),
        reason,
    )


def why_unknown(treatment: Sums, control: Sums) -> npt.NDArray[np.str_]:
    """Entry by entry, why `difference` has no test; '' where it has one."""
    arms = treatment, control
    return np.select(
        [
            np.logical_or(*(arm.n < 2 for arm in arms)),
            np.logical_or(*(arm.d == 0 for arm in arms)),
            np.isnan(difference(treatment, control).p_value),
        ],
        [
            "an arm has fewer than two units",
            "an arm's denominators add up to 0",
            "nothing varies: each arm's units all have one value",
        ],
        "",
    )


def _two_proportions(treatment: Sums, control: Sums, alpha: float) -> Estimate:
    over, under = arm_value(treatment), arm_value(control)
    estimate = over.value - under.value
    with np.errstate(divide="ignore", invalid="ignore"):
        over_low, over_high = wilson(treatment.y / treatment.n, treatment.n, alpha=alpha)
        under_low, under_high = wilson(control.y / control.n, control.n, alpha=alpha)
        error = np.sqrt(over.variance + under.variance)
        pooled = (treatment.y + control.y) / (treatment.n + control.n)
        of_null = np.sqrt(pooled * (1 - pooled) * (1 / treatment.n + 1 / control.n))
        enough = (of_null > 0) & (treatment.n > 1) & (control.n > 1)
        statistic = estimate / np.where(enough, of_null, np.nan)
    return Estimate(
        estimate,
        estimate - np.hypot(over.value - over_low, under_high - under.value),
        estimate + np.hypot(over_high - over.value, under.value - under_low),
        np.where(error > 0, error, np.nan),
        statistic,
        2 * norm.sf(abs(statistic)),
    )


def _margins(treatment: Sums, control: Sums, arm: Sums, alpha: float) -> tuple[Floats, Floats]:
    """How far below and above its value one arm's bounds are, such that both arms' together give those of the
    difference.
    """
    own = arm_value(arm)
    degrees = degrees_of_freedom(*_of_both(arm_value(treatment), arm_value(control)))
    margin = stdtrit(degrees, 1 - alpha / 2) * np.sqrt(own.variance)
    low, high = wilson(arm.y / arm.n, arm.n, alpha=alpha)
    shares = zero_one(treatment) & zero_one(control)
    return np.where(shares, own.value - low, margin), np.where(shares, high - own.value, margin)
