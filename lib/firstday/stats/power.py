"""How many units an experiment needs, what it can see with those it has, and for how many days more.

All by the two-sided z-test of a difference of two arms (Cohen 1988, ch. 2), from the variance a unit,
which `difference.unit_variance` gives of what has been seen: of a mean or of a ratio. With CUPED
multiply it by 1 - variance_reduction. That variance is the control's, and the treated arm has the same; but
of outcomes that are 0 or 1, whose `rate` in the control is given, an effect changes it, and the test pools
both arms (Fleiss 1981, ch. 3). As nobody knows yet where the effect goes, it is taken towards a half, where
the variance is largest. An effect that is large for another metric changes the variance too, which is not
seen here.

What goes wrong: an effect taken from the same data as the variance (the power of what was seen says
nothing that its p-value does not); variances from days or users unlike those to come; peeking, which
needs more.
"""

import numpy as np
from scipy.special import ndtri

from firstday.errors import SettingsError
from firstday.stats.estimate import Floats

Numbers = Floats | float
HALVES = (0.5, 0.5)
ROUNDS = 30  # until the detectable effect stands to 1e-9


def units_needed(
    variance: Numbers,
    effect: Numbers,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    shares: tuple[float, float] = HALVES,
    rate: Numbers | None = None,
) -> Floats:
    """Units of all variants together, rounded up, so that the effect is found with that probability.

    effect: in the metric's unit (0.01 is a point of retention), its sign does not matter. shares:
    treatment's and control's, of all units; with more variants they add up to less than 1. rate: the
    control's, of outcomes that are 0 or 1. NaN for an effect or a variance of 0.

    Raises SettingsError for shares that are not above 0 or add up to more than 1, an alpha outside 0..1,
    and a power that is not between alpha and 1.
    """
    _check(alpha, shares, power)
    with np.errstate(divide="ignore", invalid="ignore"):
        with_one = _detectable_with_one(alpha, power, *_errors(variance, effect, shares, rate))
        units = np.ceil((with_one / np.asarray(effect, dtype=float)) ** 2)
    return np.where(np.isfinite(units) & (units > 0), units, np.nan)


def detectable_effect(
    variance: Numbers,
    units: Numbers,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    shares: tuple[float, float] = HALVES,
    rate: Numbers | None = None,
) -> Floats:
    """The smallest effect that so many units (of all variants) find with that probability; else as above."""
    _check(alpha, shares, power)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.zeros(())
        for _ in range(1 if rate is None else ROUNDS):  # the effect changes the variance, and that the effect
            with_one = _detectable_with_one(alpha, power, *_errors(variance, effect, shares, rate))
            effect = with_one / np.sqrt(units)
    return np.where(np.isfinite(effect) & (effect > 0), effect, np.nan)


def days_needed(
    units_needed: Numbers,
    units_so_far: Numbers,
    units_a_day: Numbers,
    tail_days: int,
    *,
    units_open: Numbers = 0,
) -> Floats:
    """Days from now until enough units have their outcome; 0 when they have.

    units_so_far: whose outcome is known. units_open: assigned, but their window (tail_days: 7 for D7) is
    not closed yet. units_a_day: new ones. NaN where more are needed and none come, or nobody knows how
    many.
    """
    missing = np.asarray(units_needed, dtype=float) - units_so_far
    to_come = np.maximum(missing - units_open, 0)
    a_day = np.where(np.asarray(units_a_day) > 0, units_a_day, np.nan)
    days = np.where(to_come > 0, np.ceil(to_come / a_day), 0 * missing) + tail_days
    return np.where(missing <= 0, 0.0, days)


def _detectable_with_one(alpha: float, power: float, test: Floats, own: Floats) -> Floats:
    """How large the effect must be with one unit, given the two standard errors of `_errors`."""
    return np.asarray(ndtri(power) * own - ndtri(alpha / 2) * test)


def _errors(
    variance: Numbers, effect: Numbers, shares: tuple[float, float], rate: Numbers | None
) -> tuple[Floats, Floats]:
    """The standard error of the difference with one unit in all, as the test has it and as it is."""
    treated, control = shares
    if rate is None:
        error = np.sqrt(np.asarray(variance) * (1 / treated + 1 / control))
        return error, error
    near = np.minimum(rate, 1 - np.asarray(rate))
    moved = np.minimum(near + np.abs(effect), 0.5)
    pooled = (treated * moved + control * near) / (treated + control)
    scale = np.asarray(variance) / (near * (1 - near))  # 1, or what a covariate leaves
    test = pooled * (1 - pooled) * (1 / treated + 1 / control)
    own = moved * (1 - moved) / treated + near * (1 - near) / control
    return np.sqrt(scale * test), np.sqrt(scale * own)


def _check(alpha: float, shares: tuple[float, float], power: float | None = None) -> None:
    if not 0 < alpha < 1:
        raise SettingsError("alpha lies between 0 and 1", value=alpha, next_step="give 0.05, say")
    if power is not None and not alpha < power < 1:
        raise SettingsError("power lies between alpha and 1", value=power, next_step="give 0.8, say")
    if not (min(shares) > 0 and sum(shares) <= 1 + 1e-9):
        raise SettingsError(
            "the two arms' shares are above 0 and add up to 1 at most",
            value=shares,
            next_step="give the parts of all units that go to treatment and to control",
        )
