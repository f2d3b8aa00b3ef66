"""What every method answers with, and Welch's test."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtr, stdtrit
from scipy.stats import norm

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """An effect, treatment less control in the metric's unit, entry by entry; NaN where nothing can be said.

    low and high bound it at 1 - alpha; statistic is the estimate in standard errors (z) unless its method
    says otherwise; p_value is two-sided unless its method says otherwise.
    """

    estimate: Floats
    low: Floats
    high: Floats
    standard_error: Floats
    statistic: Floats
    p_value: Floats

    @classmethod
    def normal(cls, estimate: Floats, standard_error: Floats, alpha: float) -> Self:
        """With the normal interval and test. A standard error of 0 says nothing: all NaN but the estimate."""
        estimate, error = np.broadcast_arrays(
            np.asarray(estimate, dtype=float), np.asarray(standard_error, dtype=float)
        )
        error = np.where(error > 0, error, np.nan)
        margin = -ndtri(alpha / 2) * error
        statistic = estimate / error
        p_value = 2 * norm.sf(abs(statistic))
        return cls(estimate, estimate - margin, estimate + margin, error, statistic, p_value)


def welch(estimate: Floats, variances: Floats, n: Floats, alpha: float) -> Estimate:
    """With t and Welch & Satterthwaite's degrees of freedom (Welch 1947, Biometrika 34), from what each group
    adds to the variance.

    estimate: (...); variances and n, the units: (..., groups). Without variance all is NaN but the estimate.
    """
    variance = variances.sum(-1)
    error = np.sqrt(np.where(variance > 0, variance, np.nan))
    degrees = degrees_of_freedom(variances, n)
    margin = stdtrit(degrees, 1 - alpha / 2) * error
    statistic = estimate / error
    p_value = 2 * stdtr(degrees, -abs(statistic))
    return Estimate(estimate, estimate - margin, estimate + margin, error, statistic, p_value)


def degrees_of_freedom(variances: Floats, n: Floats) -> Floats:
    """Welch & Satterthwaite's, of a sum over groups (..., groups); NaN where nothing varies."""
    each = (variances**2 / np.maximum(n - 1, 1.0)).sum(-1)
    return variances.sum(-1) ** 2 / np.where(each > 0, each, np.nan)
