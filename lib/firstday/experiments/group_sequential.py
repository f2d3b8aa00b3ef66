"""A fixed number of looks before a fixed end: less freedom than `sequential`, and shorter intervals.

The error alpha is spent as information comes in (Lan & DeMets 1983, Discrete sequential boundaries for
clinical trials, Biometrika 70): a spending function says how much of it may be used up to each look, and
the bound of each look follows from it by numerical integration over what the looks before left undecided
(Armitage, McPherson & Rowe 1969, Repeated significance tests on accumulating data, JRSS A 132). Neither
the number of looks nor their times need be planned, only the function and the end; but a look must not
be set because the effect looks good.

A look's fraction is the information it has of what the end shall have: units so far / planned units
where shares and spread stay, else (standard error planned for the end / standard error now)². Estimates
must be of all units so far, each counted once, when its outcome is final.

- obrien_fleming: next to nothing at first, nearly a fixed horizon's bound at the end (2.03 after five
  looks at 5 %, against 1.96). The one to take unless speed is all.
- pocock: about the same bound at all looks (2.4): sooner done with large effects, less power for small
  ones.

What goes wrong: an end that moves because of what was seen; an experiment that ends early for another
reason has alpha left (`ended` spends it); one that gets more units than planned has spent all at the
first look with a fraction of 1 or more, and later looks decide nothing. After a stop the plain estimate
is too far from 0 on average, since luck helped to stop it; the repeated intervals hold nevertheless.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from firstday.errors import DataError, SettingsError
from firstday.experiments.sums import Floats
from firstday.stats.estimate import Estimate

Spending = Literal["obrien_fleming", "pocock"]
SPENDING: dict[str, Callable[[float, Floats], Floats]] = {
    "obrien_fleming": lambda alpha, fraction: 2 * norm.sf(-ndtri(alpha / 2) / np.sqrt(fraction)),
    "pocock": lambda alpha, fraction: alpha * np.log1p((np.e - 1) * fraction),
}
LEAST_STEP = 0.001  # of information, between looks: the integration's grid is not made for less
FARTHEST_BOUND = 8.0  # standard errors; what chance has beyond, 1e-15, is left for the next look
ALPHAS = np.geomspace(1e-6, 0.9, 24)  # between them p-values are interpolated


def boundaries(
    fractions: Floats, *, alpha: float = 0.05, spending: Spending = "obrien_fleming", ended: bool = False
) -> Floats:
    """The |z| at which each look stops the experiment, two-sided, so that alpha is the chance of any
    stop.

    fractions, of information, rise from above 0, in steps of LEAST_STEP or more. The first of 1 or more,
    or with `ended` the last, spends what is left; after it bounds are infinite. Each side has half of
    alpha. Raises DataError for other fractions, SettingsError for an unknown spending and an alpha
    outside 0 to 1.
    """
    fractions = _checked(fractions, alpha, spending)
    allowed = 2 * SPENDING[spending](alpha / 2, np.minimum(fractions, 1))
    if ended:
        allowed[-1] = alpha
    bounds = np.full(len(fractions), np.inf)
    position, mass, spent = np.zeros(1), np.ones(1), 0.0
    steps = np.diff(fractions, prepend=0)
    for look, step in enumerate(steps):
        scale = np.sqrt(fractions[look])

        def excess(bound: float) -> float:
            return _beyond(position, mass, step, bound * scale) - (allowed[look] - spent)  # noqa: B023

        bounds[look] = FARTHEST_BOUND if excess(FARTHEST_BOUND) >= 0 else brentq(excess, 0, FARTHEST_BOUND)
        spent += _beyond(position, mass, step, bounds[look] * scale)
        position, mass = _within(position, mass, steps[look : look + 2], bounds[look] * scale)
        if fractions[look] >= 1:
            break
    return bounds


def repeated(
    estimate: Floats,
    standard_error: Floats,
    fractions: Floats,
    *,
    alpha: float = 0.05,
    spending: Spending = "obrien_fleming",
    ended: bool = False,
) -> Estimate:
    """Repeated confidence intervals, estimate ± bound × standard error, with looks along the last axis.

    All looks' intervals hold together at 1 - alpha, whether or not the experiment stopped (Jennison &
    Turnbull 1989, Interim analyses: the repeated confidence interval approach, JRSS B 51). p_value is
    the repeated one: the least alpha whose bound is reached at that look, at most alpha just where the
    interval leaves out 0; between 1e-6 and 1. Looks after the end are NaN.
    """
    bounds = boundaries(fractions, alpha=alpha, spending=spending, ended=ended)
    final = np.where(np.isfinite(bounds), bounds, np.nan)
    estimate, error = _by_look(estimate, bounds), _by_look(standard_error, bounds)
    error = np.where(error > 0, error, np.nan)
    z = estimate / error
    alphas = np.unique([*ALPHAS, alpha])
    by_alpha = [boundaries(fractions, alpha=each, spending=spending, ended=ended) for each in alphas]
    # Bounds fall as alpha rises; at alpha 1 every look stops.
    table = np.vstack([np.minimum.accumulate(by_alpha), np.zeros(len(bounds))])
    logs = np.log([*alphas, 1.0])
    p_value = np.full(z.shape, np.nan)
    for look in np.flatnonzero(np.isfinite(bounds)):
        p_value[..., look] = np.exp(np.interp(abs(z[..., look]), table[::-1, look], logs[::-1]))
    return Estimate(estimate, estimate - final * error, estimate + final * error, error, z, p_value)


def stopping_probabilities(fractions: Floats, bounds: Floats, drift: float = 0.0) -> Floats:
    """The chance to stop at each look, on either side; their sum is the power.

    drift: the effect in standard errors that the end, fraction 1, shall have. 2.80 has 80 % power at a
    fixed horizon with alpha 5 %.
    """
    chances = np.zeros(len(bounds))
    position, mass = np.zeros(1), np.ones(1)
    steps = np.diff(fractions, prepend=0)
    for look, step in enumerate(steps):
        if not np.isfinite(bounds[look]):
            break
        reach = bounds[look] * np.sqrt(fractions[look])
        chances[look] = _beyond(position + drift * step, mass, step, reach)
        position, mass = _within(position + drift * step, mass, steps[look : look + 2], reach)
    return chances


def _beyond(position: Floats, mass: Floats, step: float, bound: float) -> float:
    """The chance that a walk, at positions with these masses, is outside ± bound a step later."""
    deviation = np.sqrt(step)
    return float(mass @ (ndtr((-bound - position) / deviation) + ndtr((position - bound) / deviation)))


def _within(position: Floats, mass: Floats, steps: Floats, bound: float) -> tuple[Floats, Floats]:
    """Positions inside ± bound a step later, and their masses: the density at Gauss-Legendre nodes.

    steps: this one and the next, the finer of which says how near to each other the nodes must be.
    """
    nodes, weights = _nodes(32 * int(np.ceil(0.15 * bound / np.sqrt(steps.min()) + 0.5)))
    after, deviation = nodes * bound, np.sqrt(steps[0])
    return after, weights * bound * (norm.pdf((after[:, None] - position) / deviation) / deviation @ mass)


@lru_cache(maxsize=64)
def _nodes(number: int) -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(number)
    return nodes, weights


def _by_look(values: Floats, bounds: Floats) -> Floats:
    values = np.asarray(values, dtype=float)
    if values.ndim == 0 or values.shape[-1] != len(bounds):
        raise DataError(
            "there is a value for each look along the last axis",
            value=values.shape,
            next_step=f"give {len(bounds)} looks, as many as fractions",
        )
    return values


def _checked(fractions: Floats, alpha: float, spending: str) -> Floats:
    if spending not in SPENDING:
        raise SettingsError(f"spending is one of {', '.join(SPENDING)}", value=spending)
    if not 0 < alpha < 1:
        raise SettingsError("alpha is between 0 and 1", value=alpha, next_step="give 0.05, for instance")
    fractions = np.asarray(fractions, dtype=float)
    if fractions.ndim != 1 or not len(fractions):
        raise DataError("fractions are one list, a number for each look", value=fractions.tolist())
    # NaN compares as False and is refused too. Rounding may take a little off a step.
    if not (np.diff(fractions, prepend=0) >= LEAST_STEP * (1 - 1e-9)).all():
        raise DataError(
            f"each look has {LEAST_STEP} of the planned information, or more, on top of the look before",
            value=fractions.tolist(),
            next_step="leave out looks at which nothing was added; if units were taken away, as bots "
            "are, start from the corrected numbers of units at all looks",
        )
    return fractions
