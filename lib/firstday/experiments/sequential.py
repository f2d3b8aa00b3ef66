"""Intervals and p-values for those who look every morning and may stop whenever they like.

An interval at 95 % is wrong in 1 of 20 looks; who looks every day for a month and stops at the first
that excludes 0 is wrong in 1 of 4 experiments. A confidence sequence holds at all looks together: with
probability 1 - alpha no interval of the whole series misses the effect, whatever the reason to look or
to stop.

The Gaussian mixture's asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
(2024, Time-uniform central limit theory and asymptotic confidence sequences, Annals of Statistics 52),
for any estimate with a standard error: a difference of means, one of ratios by the delta method, one
with CUPED. With x = information × rho² the interval is

    estimate ± standard error × sqrt((x + 1) / x × log((x + 1) / alpha²)),

and rho makes it tightest about the planned number of units: 1.55 times a fixed horizon's there at 95 %,
1.57 from a half to double of it. That is the price of freedom; who has a date and a number of looks pays
less with `group_sequential`.

It is the mSPRT of Johari, Koomen, Pekelis & Walsh (2017, Peeking at A/B tests, KDD; 2022, Always valid
inference, Operations Research 70) with effects mixed by a normal distribution of variance tau² =
rho² × units × standard error²: the same boundary, derived there for known variances, here by a limit
theorem for all looks at once that lets the variance be estimated. p_value is that paper's: 1 over the
greatest mixture likelihood ratio so far.

What goes wrong:
- It is asymptotic. While an arm has few units, or few of the rare events that are counted, the errors
  are not normal yet and the bounds may miss too often; so looks with fewer than LEAST_UNITS in the
  smaller arm do not count. With a tenth of the units in one arm and a rate of 1 % that is too few (6 %
  of experiments wrong; without any minimum 10 to 33 %): have some 25 events in the smaller arm
  (least_units = 25 / rate).
- Units are added, never changed: an outcome is counted once, when its window has closed. Sums to date
  that keep growing after a unit was counted are not covered.
- planned_units and alpha are set before the start. Who tunes them to what was seen is peeking again.
- The effect is one number for all looks. Where it fades, the intervals are for the effect over all units
  so far, a moving target; see `novelty`. Where a ramp-up changes the shares while the base moves, the
  pooled difference is biased at every look: average the differences within dates or stages (`ramp`); if
  the same units are in several stages, the theorem does not cover their looks.
- Who stops at the first interval without 0 stops at a lucky moment: the estimate is too far from 0 on
  average. The interval is right all the same; report it rather than the estimate.
"""

import numpy as np

from firstday.errors import SettingsError
from firstday.experiments.sums import Floats
from firstday.stats.estimate import Estimate

LEAST_UNITS = 500  # in the smaller arm


def always_valid(
    estimate: Floats,
    standard_error: Floats,
    units: Floats,
    *,
    planned_units: float,
    alpha: float = 0.05,
    least_units: float = LEAST_UNITS,
) -> Estimate:
    """The confidence sequence at looks along the last axis, each look with all units so far.

    estimate and standard_error are those of any method, in the metric's unit; units is how many the
    smaller arm had at each look, planned_units how many it shall have when the sequence is to be
    tightest (it may run on). p_value is the least of all looks so far: it never rises again, and is at
    most alpha from the first look on whose interval leaves out 0. statistic is the plain z.

    Before least_units, and without a standard error, bounds and p-value are NaN: no verdict yet. Raises
    SettingsError for planned_units below 1 and an alpha outside 0 to 1.
    """
    _check(planned_units, alpha)
    shape = np.broadcast_shapes(np.shape(estimate), np.shape(standard_error), np.shape(units))
    estimate, error, units = (
        np.broadcast_to(np.asarray(given, dtype=float), shape) for given in (estimate, standard_error, units)
    )
    error = np.where((units >= least_units) & (error > 0), error, np.nan)
    x = mixture(planned_units, alpha) * _time(error, units)
    margin = error * np.sqrt((x + 1) / x * np.log((x + 1) / alpha**2))
    statistic = estimate / error
    p_value = np.minimum(1, np.sqrt(x + 1) * np.exp(-x / (x + 1) * statistic**2 / 2))
    return Estimate(
        estimate, estimate - margin, estimate + margin, error, statistic, np.fmin.accumulate(p_value, axis=-1)
    )


def mixture(planned_units: float, alpha: float) -> float:
    """rho²: how widely effects are mixed, such that the sequence is tightest at planned_units.

    The paper's closed form, within 0.1 % of the least width.
    """
    doubled = -2 * np.log(alpha)
    return float((doubled + np.log(doubled + 1)) / planned_units)


def _time(error: Floats, units: Floats) -> Floats:
    """Information, 1 / standard error², in units of the first look that counts.

    With constant shares and spread it is the number of units. Where a ramp-up changes the shares, or
    dates the spread, errors still make a random walk in this time, and no longer in the number of units.
    """
    counted = np.isfinite(error)
    first = np.argmax(counted, axis=-1, keepdims=True)
    first_error, first_units = (np.take_along_axis(part, first, axis=-1) for part in (error, units))
    return first_units * (first_error / error) ** 2


def _check(planned_units: float, alpha: float) -> None:
    if not planned_units >= 1:
        raise SettingsError(
            "planned units, of the smaller arm, are 1 or more",
            value=planned_units,
            next_step="give the number of units that the power calculation asks for",
        )
    if not 0 < alpha < 1:
        raise SettingsError("alpha is between 0 and 1", value=alpha, next_step="give 0.05, for instance")
