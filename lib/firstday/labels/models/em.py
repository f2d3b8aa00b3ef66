"""Expectation maximisation on sums over patterns (Dempster, Laird & Rubin 1977): its cost is theirs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from firstday.labels.models.base import Expected, Floats, VotePatterns, Weights

MOST_STEPS = 500
CERTAIN = 100.0  # log odds of a majority of one vote
CHANGE = 1e-8  # of all rows, by which any sum may still change when it is called converged


@dataclass(frozen=True)
class Climb:
    """Where expectation maximisation ended."""

    weights: Weights
    expected: Expected
    steps: int
    converged: bool


def start(counted: VotePatterns, counts_as: Floats | None = None) -> Expected:
    """The sums under majority vote; with counts_as, (m,), voters' votes count as parts of one."""
    if counts_as is None:
        return counted.expect(None)
    classes = counted.classes
    votes = np.kron(counts_as[:, None] * CERTAIN, np.eye(classes))
    return counted.expect(Weights(votes, np.zeros(classes)))


def climb(counted: VotePatterns, maximise: Callable[[Expected], Weights], expected: Expected) -> Climb:
    """From the sums in `expected` until no sum changes by more than CHANGE of all rows. `maximise` makes
    weights of sums; it may hold a prior.
    """
    for step in range(1, MOST_STEPS + 1):
        weights = maximise(expected)
        after = counted.expect(weights)
        change = max(
            np.abs(after.joint - expected.joint).max(initial=0.0), np.abs(after.mass - expected.mass).max()
        )
        expected = after
        if change <= CHANGE * counted.total:
            return Climb(weights, expected, step, True)
    return Climb(weights, expected, MOST_STEPS, False)
