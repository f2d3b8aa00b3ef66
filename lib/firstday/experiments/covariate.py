"""CUPED: what was known of the units before the experiment taken out of what happened in it.

The covariate must be from before each unit's assignment, such as the same metric in the weeks before.
One that the treatment can move (activity of the first hour, say) takes a part of the effect away with
the noise, and nothing in the numbers shows it. Units with nothing to know keep x = 0; that too was known
beforehand. For a ratio, x = y - r × d of the time before serves well (clicks less the usual rate × the
impressions of then), with one fixed r for all units.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firstday.experiments.difference import (
    ROUNDING,
    ArmValue,
    arm_value,
    choose,
    compared,
    difference,
    ratio_from_centre,
)
from firstday.experiments.sums import Floats, Sums
from firstday.stats.estimate import Estimate


@dataclass(frozen=True)
class Adjusted(Estimate):
    """With theta, what a unit of x adds to the metric; variance_reduction, the share of the difference's
    variance that went; adjusted: False where x is absent or constant, and the plain difference stands.
    """

    theta: Floats
    variance_reduction: Floats
    adjusted: npt.NDArray[np.bool_]


def adjusted_difference(treatment: Sums, control: Sums, *, alpha: float = 0.05) -> Adjusted:
    """Treatment less control, each less theta × its mean of x (Deng, Xu, Kohavi & Walker 2013, WSDM).

    theta is one for both arms, from the covariances within the arms, so that the effect itself is no
    part of it. For ratios the covariance is that of what a unit adds to the ratio, (y - ratio × d) /
    mean d (Deng, Knoblich & Lu 2018, KDD). The variance left is about 1 - correlation² of the plain one;
    it is measured at theta, not supposed, so a variance_reduction below 0 (arms of unequal size in which
    x means different things) is shown as such: read the plain difference then. The test is Welch's t for
    any metric.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = _covariate_squares(treatment) + _covariate_squares(control)
        products = _products(treatment) + _products(control)
        theta = products / np.where(squares > 0, squares, np.nan)
        adjusted_value = compared(_adjusted_value(treatment, theta), _adjusted_value(control, theta), alpha)
        plain_variance = arm_value(treatment).variance + arm_value(control).variance
        reduction = 1 - adjusted_value.standard_error**2 / plain_variance
    adjusted = np.isfinite(reduction)
    chosen = choose(adjusted, adjusted_value, difference(treatment, control, alpha=alpha))
    return Adjusted(
        **vars(chosen),
        theta=np.where(adjusted, theta, 0.0),
        variance_reduction=np.where(adjusted, reduction, 0.0),
        adjusted=np.asarray(adjusted),
    )


def _adjusted_value(arm: Sums, theta: Floats) -> ArmValue:
    plain = arm_value(arm)
    products = _products(arm) / (arm.n - 1)
    squares = _covariate_squares(arm) / (arm.n - 1)
    variance = plain.variance + (theta**2 * squares - 2 * theta * products) / arm.n
    centre = np.asarray(plain.centre) - theta * arm.x_centre
    return ArmValue(plain.above - theta * (arm.x / arm.n), np.maximum(variance, 0), arm.n, centre)


def _covariate_squares(arm: Sums) -> Floats:
    """Σ (x - mean x)²."""
    squares = arm.xx - arm.x**2 / arm.n
    return np.where(squares > ROUNDING * arm.xx, squares, 0 * squares)


def _products(arm: Sums) -> Floats:
    """Σ of x × what the unit adds to the ratio; the latter's mean is 0, so x needs no centring."""
    value = ratio_from_centre(arm)
    return (arm.yx - value * arm.dx) / (arm.d / arm.n)
