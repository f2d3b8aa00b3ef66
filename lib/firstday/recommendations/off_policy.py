"""What a new policy would earn, from the log of another one, before anyone is shown it.

A row is a content shown in a slot: the reward that followed (a click is 1), the propensity, which is the
logged policy's probability of that content in that slot after all of its steps, and the new policy's
probability of the same content there. Their ratio, new over logged, is the row's weight: contents that the
new policy shows more often count for more.

- IPS, inverse propensity scores: the mean of weight × reward (Horvitz & Thompson 1952, JASA 47). Without
  bias wherever the log has support; the most nervous of the four.
- SNIPS, self-normalised: the sum of weight × reward over the sum of weights (Swaminathan & Joachims 2015,
  NIPS). A little bias that vanishes with more rows; mostly less variance. The one to read first.
- DR, doubly robust: a reward model's expectation under the new policy, corrected by the weighted errors of
  the model on the log (Dudík, Langford & Li 2011, ICML). Right if either the propensities or the model
  are; less variance if the model is good. A model fitted to the very rows it is asked about hides its own
  errors: fit it on others, or in folds.
- SNDR: DR with the errors averaged by the sum of weights.

What goes wrong: propensities that are not those the policy drew with make every estimate wrong, and a mean
weight far from 1 is the only trace of it in the log; contents that the log could not show have no reward
in it (refused beyond MOST_UNSUPPORTED); a few great weights carry the whole estimate (a small effective
sample size, given as a warning); rows of one user move together (give `unit`).

All is computed from `Sums`, which off_policy_sums makes of arrays or of a table in Spark.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, ndtri

from firstday.errors import DataError
from firstday.recommendations.off_policy_sums import PARTS, Floats, Sums

Interval = tuple[float, float]
ROWS, REWARD, WEIGHT, WEIGHTED_REWARD, WEIGHTED_ERROR, EXPECTED = np.eye(len(PARTS))
MOST_UNSUPPORTED = 0.05  # of the new policy's probability; above, its value is not in the log
LEAST_EFFECTIVE = 100  # rows; below, the estimate hangs on a handful of great weights


@dataclass(frozen=True)
class Estimate:
    """Reward a row (a click rate where rewards are clicks), its standard error and the interval's bounds."""

    value: float
    standard_error: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared(Estimate):
    """With what it gains on the logged policy, in the same unit, and the bounds of the difference."""

    gain: float
    gain_low: float
    gain_high: float


@dataclass(frozen=True)
class OffPolicy:
    """The new policy's estimates, and how far they can be trusted.

    logged: what the logged policy earned. effective_sample_size: rows that a log of the new policy itself
    would need for the same precision, about; Kish's (sum of weights)² / sum of weights² (1965). mean_weight:
    1 is expected. supported: the share of the new policy's probability on contents that the log could show,
    as given, else the mean weight, which estimates it. interval: the kind, gamma or normal.
    """

    rows: int
    units: int
    logged: Estimate
    ips: Compared
    snips: Compared
    effective_sample_size: float
    greatest_weight: float
    mean_weight: float
    supported: float
    interval: str
    warnings: tuple[str, ...]
    doubly_robust: Compared | None = None
    self_normalised_doubly_robust: Compared | None = None


def estimate(log: Sums, level: float = 0.95) -> OffPolicy:
    """All estimates with intervals of that level; DR and SNDR are None without a reward model.

    Variances are the delta method's, with units as the independent draws. Where no reward is negative the
    bounds are gamma quantiles, as Fay and Feuer's for weighted sums of rare counts (1997, Statistics in
    Medicine 16); the upper ones allow for one more reward with the mean weight under the new policy, which
    adds 1 / effective sample size. So a log without a click has an upper bound. (With the greatest weight, as
    in the paper, bounds are up to twice as wide; with none they are too narrow for rare clicks.) Otherwise,
    and for a DR below 0, they are normal. A gain's bounds combine both policies' by their correlation (MOVER,
    Zou & Donner 2008, Statistics in Medicine 27).

    Raises DataError for fewer than two units and for a new policy without support in the log.
    """
    if log.units < 2:
        raise DataError(
            "an interval needs two units or more", value=log.units, next_step="give a log with more users"
        )
    linear = _Linear(log, level)
    rows = float(log.totals @ ROWS)
    mean_weight, of_weight = linear.ratio(WEIGHT, ROWS)
    bounds = linear.interval(mean_weight, of_weight, log.greatest_weight / rows)
    supported = mean_weight if log.supported is None else log.supported / rows
    _refuse_unsupported(supported, bounds[1] if log.supported is None else supported)
    effective = float(log.totals @ WEIGHT) ** 2 / log.squared_weight
    logged = linear.ratio(REWARD, ROWS)
    a_row, a_weight = mean_weight / effective, 1 / effective
    found = {
        "ips": linear.compared(linear.ratio(WEIGHTED_REWARD, ROWS), a_row, logged),
        "snips": linear.compared(linear.ratio(WEIGHTED_REWARD, WEIGHT), a_weight, logged),
    }
    if log.modelled:
        expected, error = linear.ratio(EXPECTED, ROWS), linear.ratio(WEIGHTED_ERROR, WEIGHT)
        both = expected[0] + error[0], expected[1] + error[1]
        found["doubly_robust"] = linear.compared(linear.ratio(WEIGHTED_ERROR + EXPECTED, ROWS), a_row, logged)
        found["self_normalised_doubly_robust"] = linear.compared(both, a_weight, logged)
    return OffPolicy(
        rows=round(rows),
        units=log.units,
        logged=linear.estimate(logged, 1 / rows),
        **found,
        effective_sample_size=effective,
        greatest_weight=log.greatest_weight,
        mean_weight=mean_weight,
        supported=supported,
        interval="gamma" if linear.gamma else "normal",
        warnings=_warnings(log, effective, mean_weight, bounds, supported),
    )


# A value, and what each of PARTS adds to its error: a vector whose product with the totals is 0.
Value = tuple[float, Floats]


class _Linear:
    """Ratios of totals, their errors to first order, and intervals of one level."""

    def __init__(self, log: Sums, level: float) -> None:
        self.totals = log.totals
        self.covariance = log.products * (log.units / (log.units - 1))
        self.tail = (1 - level) / 2
        self.gamma = log.least_reward >= 0
        # Rewards of 1 are supposed where none was ever seen.
        self.reward = log.greatest_reward or 1.0

    def ratio(self, part: Floats, whole: Floats) -> Value:
        value = float((self.totals @ part) / (self.totals @ whole))
        return value, (part - value * whole) / (self.totals @ whole)

    def error(self, gradient: Floats) -> float:
        # Rounding can leave a variance of 0 a little below.
        return math.sqrt(max(float(gradient @ self.covariance @ gradient), 0.0))

    def interval(self, value: float, gradient: Floats, jump: float) -> Interval:
        """jump: what one more event adds to the value."""
        error = self.error(gradient)
        if self.gamma and (value > 0 or error == 0):
            return gamma_interval(value, error**2, jump, self.tail)
        margin = float(-ndtri(self.tail)) * error
        return value - margin, value + margin

    def estimate(self, value: Value, jump: float) -> Estimate:
        """jump: what one more reward of 1 adds to the value."""
        return Estimate(value[0], self.error(value[1]), *self.interval(*value, jump * self.reward))

    def compared(self, value: Value, jump: float, logged: Value) -> Compared:
        own, other = self.estimate(value, jump), self.estimate(logged, 1 / (self.totals @ ROWS))
        errors = own.standard_error * other.standard_error
        shared = float(value[1] @ self.covariance @ logged[1])
        correlation = shared / errors if errors > 0 else 0.0
        gain = own.value - other.value
        return Compared(
            **vars(own),
            gain=gain,
            gain_low=gain - _reach(own.value - own.low, other.high - other.value, correlation),
            gain_high=gain + _reach(own.high - own.value, other.value - other.low, correlation),
        )


def gamma_interval(value: float, variance: float, jump: float, tail: float) -> Interval:
    """Bounds of a weighted sum of Poisson counts with that value and variance; jump: what one more adds."""
    low = _gamma_quantile(value, variance, 1 - tail) if value > 0 else 0.0
    return low, _gamma_quantile(value + jump, variance + jump**2, tail)


def _gamma_quantile(mean: float, variance: float, upper_tail: float) -> float:
    """Quantile of the gamma distribution with that mean and variance; the mean itself without variance."""
    if variance <= 1e-14 * mean**2:
        return mean
    return float(variance / (2 * mean) * chdtri(2 * mean**2 / variance, upper_tail))


def _reach(own: float, other: float, correlation: float) -> float:
    """How far the bound of a difference is from it, by MOVER, from how far the bounds of its terms are."""
    return math.sqrt(max(own**2 + other**2 - 2 * correlation * own * other, 0.0))


def _refuse_unsupported(supported: float, at_most: float) -> None:
    """at_most: the upper bound where the share is estimated, so that chance refuses 1 log in 100 at most."""
    if at_most < 1 - MOST_UNSUPPORTED:
        raise DataError(
            f"at least {1 - MOST_UNSUPPORTED:.0%} of the new policy's probability is on contents that the "
            "log could show",
            value=round(supported, 4),
            next_step="let the logged policy explore these contents first, or test the new one on few users",
        )


def _warnings(
    log: Sums, effective: float, mean_weight: float, bounds: Interval, supported: float
) -> tuple[str, ...]:
    sentences = []
    if effective < LEAST_EFFECTIVE:
        sentences.append(
            f"The effective sample size is {effective:.3g} rows, below {LEAST_EFFECTIVE}: a few rows with "
            f"weights up to {log.greatest_weight:.3g} carry the estimate. Log more, or choose a policy "
            "nearer to the logged one."
        )
    if bounds[0] > 1:
        sentences.append(
            f"Weights average {mean_weight:.3g} where at most 1 is expected: the propensities are not those "
            "that the logged policy drew with, or the new policy's probabilities add up to more than 1."
        )
    if bounds[1] < 1:
        sentences.append(
            f"Weights average {mean_weight:.3g} where 1 is expected: part of the new policy's probability is "
            "on contents that the log could not show, or the propensities are too high. Chance alone does "
            "this in 1 of 40 logs."
        )
    if log.supported is not None and supported < 1 - 1e-9:
        sentences.append(
            f"{1 - supported:.2%} of the new policy's probability is on contents that the log could not "
            "show: what they would earn is not in the estimates."
        )
    return tuple(sentences)
