"""Each function's precision, learned with a strong prior: for rules that vote one way and depend on each
other more than any model of independence allows.

A vote for class c by voter v makes P(class = c | vote) = a[v, c], its precision; an error falls on the other
classes alike. By Bayes' rule P(vote | class) is in proportion to P(class | vote) / P(class), so that

    log P(class, votes) = log P(class) + sum over the votes of log P(class | vote) - log P(class).

To abstain says nothing: which rules keep silent depends on a row's length and theme more than on its class,
and a model that takes silence for evidence breaks down on such rules (figures: docs/benchmarks.md). The
precisions are a posteriori means under a Beta prior of mean PRECISION that weighs PRIOR_SHARE of the voter's
votes: it does not fade as rows grow, since what it guards against, dependence, does not fade either. So this
is a robust weighing, not a consistent estimator: with independent votes prefer confusion.

A voter who always votes (a default such as "else honest") cannot be checked by its own votes: its precision
stays at the prior.
"""

from dataclasses import replace

import numpy as np

from firstday.labels.models.base import SMALLEST, Expected, Floats, LabelModel, VotePatterns, Weights
from firstday.labels.models.em import climb, start

PRECISION = 0.8
PRIOR_SHARE = 0.5  # of a voter's votes; any from 0.2 to 1 gives the same within a point on the sets tried
PRIOR_ROWS = 4.0
ALWAYS = 0.98  # of all rows
MOST_SHIFTS, SETTLED = 20, 1e-6  # steps to a known balance; the change of log odds at which it is reached


def fit(counted: VotePatterns, balance: Floats | None = None, counts_as: Floats | None = None) -> LabelModel:
    """balance: (k,), P(class) over all rows, where it is known. Rows with votes cannot have more of a class
    than all rows have: where the posteriors would, they are shifted against that class until they do not.
    (Nothing is known of the rows without votes, so that a class may well have fewer.)

    counts_as: (m,), how much of a vote each voter's counts as; 1 unless given.
    """
    classes = counted.classes
    part = np.ones(len(counted.voters)) if counts_as is None else counts_as
    always = _always(counted)
    shift = np.zeros(classes)

    def maximise(expected: Expected) -> Weights:
        nonlocal shift
        shares = expected.shares
        precision = _precision(counted.given, expected.right, always)
        rest = (1 - precision) / (classes - 1)
        table = np.repeat(np.log(rest)[:, :, None], classes, axis=2)
        own = np.arange(classes)
        table[:, own, own] = np.log(precision)
        table -= np.where(always[:, :, None], 0.0, np.log(shares))
        weights = Weights((part[:, None, None] * table).reshape(-1, classes), np.log(shares) + shift)
        if balance is not None:
            shift = _capped(counted, weights, shift, counted.total * balance)
            weights = replace(weights, base=np.log(shares) + shift)
        return weights

    found = climb(counted, maximise, start(counted, counts_as))
    mass = found.expected.mass + counted.uncovered / classes
    votes = counted.given.sum(axis=1)
    precision = _precision(counted.given, found.expected.right, always)
    figures = {
        "precision": (precision * counted.given).sum(axis=1) / np.maximum(votes, 1),
        "propensity": votes / counted.total,
    }
    return LabelModel(
        "precision",
        counted.voters,
        classes,
        found.weights,
        mass / mass.sum() if balance is None else balance,
        figures,
        iterations=found.steps,
        converged=found.converged,
    )


def _capped(counted: VotePatterns, weights: Weights, shift: Floats, most: Floats) -> Floats:
    """(k,): the shift, 0 or less, under which no class has more than its `most` rows."""
    base = weights.base - shift
    for _ in range(MOST_SHIFTS):
        mass = counted.expect(replace(weights, base=base + shift)).mass
        after = np.minimum(0.0, shift + np.log(most) - np.log(np.maximum(mass, SMALLEST)))
        if np.abs(after - shift).max() < SETTLED:
            break
        shift = after
    return shift


def _always(counted: VotePatterns) -> np.ndarray:
    """(m, k): votes that are cast on nearly every row."""
    return counted.given >= ALWAYS * counted.total


def _precision(given: Floats, right: Floats, always: np.ndarray) -> Floats:
    """(m, k)"""
    prior = PRIOR_ROWS + PRIOR_SHARE * given
    return np.where(always, PRECISION, (right + prior * PRECISION) / (given + prior))
