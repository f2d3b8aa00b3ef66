"""What every method answers with."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import ndtri
from scipy.stats import norm

from firstday.experiments.sums import Floats


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
        reach = -ndtri(alpha / 2) * error
        statistic = estimate / error
        p_value = 2 * norm.sf(abs(statistic))
        return cls(estimate, estimate - reach, estimate + reach, error, statistic, p_value)
