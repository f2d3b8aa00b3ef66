"""Experiments whose effect is known, drawn by the thousand: the sums of an arm, an entry an experiment.

An arm is drawn by `arm(rng, experiments, units, effect)`; its metric's true value is the function's base plus
the effect, exactly, so control is the arm with an effect of 0.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from firstday.experiments.sums import Sums

Arm = Callable[[np.random.Generator, int, int, float], Sums]

CLICK_RATE = 0.1


def retained(base: float) -> Arm:
    """0 or 1 a unit."""
    return partial(_retained, base)


def _retained(base: float, rng: np.random.Generator, experiments: int, units: int, effect: float) -> Sums:
    came_back = rng.binomial(units, base + effect, experiments).astype(float)
    n, none = np.full(experiments, float(units)), np.zeros(experiments)
    return Sums(n, came_back, n, none, came_back, n, none, came_back, none, none)


def minutes(rng: np.random.Generator, experiments: int, units: int, effect: float) -> Sums:
    """A skewed mean: log-normal, the standard deviation 1.3 times the mean, which is e^0.5."""
    return Sums.of(rng.lognormal(0, 1, (experiments, units)) + effect)


def heights(rng: np.random.Generator, experiments: int, units: int, effect: float) -> Sums:
    """A normal mean, standard deviation 1."""
    return Sums.of(rng.standard_normal((experiments, units)) + effect)


def habits(correlation: float) -> Arm:
    """A mean with a covariate from before, standard deviations 1."""
    return partial(_habits, correlation)


def _habits(
    correlation: float, rng: np.random.Generator, experiments: int, units: int, effect: float
) -> Sums:
    before, noise = rng.standard_normal((2, experiments, units))
    during = correlation * before + np.sqrt(1 - correlation**2) * noise
    return Sums.of(10 + during + effect, x=5 + before)


def clicks(rng: np.random.Generator, experiments: int, units: int, effect: float) -> Sums:
    """Clicks per impression: heavy-tailed impressions a user, whose clicks go with the user's own rate.

    The covariate is the user's clicks of the time before less CLICK_RATE × the impressions of then.
    """
    shape = experiments, units
    appetite = rng.lognormal(1.5, 1, shape)
    # Users are of two kinds, a quarter keen: the mean is the base, with much between users.
    own = np.where(rng.random(shape) < 0.25, 2.5, 0.5)
    shown = 1.0 + rng.poisson(appetite)
    clicked = rng.binomial(shown.astype(int), own * CLICK_RATE + effect).astype(float)
    shown_before = rng.poisson(appetite)
    clicked_before = rng.binomial(shown_before, own * CLICK_RATE)
    return Sums.of(clicked, shown, clicked_before - CLICK_RATE * shown_before)


def two_arms(
    arm: Arm, rng: np.random.Generator, experiments: int, units: tuple[int, int], effect: float
) -> tuple[Sums, Sums]:
    """Treatment with the effect and control without; units: of each."""
    return arm(rng, experiments, units[0], effect), arm(rng, experiments, units[1], 0.0)
