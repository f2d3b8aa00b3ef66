"""A full confusion matrix for each voter (Dawid & Skene 1979), a posteriori under Dirichlet priors.

Abstaining is taken in one of two ways. *Missing*: crowd workers see some rows and not others, whatever the
class, so that only P(vote | class, voted) counts. *An outcome*: a rule speaks on some classes and is silent
on others, so that P(abstain | class) counts too. The wrong one collapses; `identity_information` tells them
apart.
"""

import numpy as np

from firstday.labels.models.base import (
    SMALLEST,
    Expected,
    Floats,
    LabelModel,
    VotePatterns,
    Weights,
    identity_information,
)
from firstday.labels.models.em import climb, start

FUNCTION_LIKE = 0.5  # of identity_information; of 46 sets tried one lies between 0.33 and 0.9
ACCURACY = 0.7  # what a voter is thought to reach before any vote is seen
VOTER_ROWS = 4.0  # votes that this weighs
CLASS_ROWS = 6.0  # votes, for each class, that a voter's overall accuracy weighs


def fit(
    counted: VotePatterns,
    balance: Floats | None = None,
    abstaining_tells: bool | None = None,
    counts_as: Floats | None = None,
) -> LabelModel:
    """balance: (k,), P(class) where it is known, otherwise learned.

    abstaining_tells: whether to abstain is an outcome; by default as the votes themselves show.
    counts_as: (m,), how much of a vote each voter's counts as; 1 unless given.
    """
    if abstaining_tells is None:
        abstaining_tells = identity_information(counted.given) > FUNCTION_LIKE
    classes = counted.classes
    part = np.ones(len(counted.voters)) if counts_as is None else counts_as

    def maximise(expected: Expected) -> Weights:
        shares = _shares(counted, expected, abstaining_tells) if balance is None else balance
        confusion = _confusion(counted.given, expected)
        table, base = np.log(confusion), np.log(shares)
        if abstaining_tells:
            voting = _voting(counted, expected)
            table = table + (np.log(voting) - np.log1p(-voting))[:, None, :]
            base = base + part @ np.log1p(-voting)
        return Weights((part[:, None, None] * table).reshape(-1, classes), base)

    found = climb(counted, maximise, start(counted, counts_as))
    shares = _shares(counted, found.expected, abstaining_tells) if balance is None else balance
    votes = counted.given.sum(axis=1)
    return LabelModel(
        "confusion",
        counted.voters,
        classes,
        found.weights,
        shares,
        {
            "accuracy": found.expected.right.sum(axis=1) / np.maximum(votes, 1),
            "propensity": votes / counted.total,
        },
        iterations=found.steps,
        converged=found.converged,
    )


def _shares(counted: VotePatterns, expected: Expected, abstaining_tells: bool) -> Floats:
    """P(class). Where abstaining is not informative, rows without votes are not either."""
    if not abstaining_tells:
        return expected.shares
    mass = expected.of_all(counted.uncovered) + 1
    return mass / mass.sum()


def _confusion(given: Floats, expected: Expected) -> Floats:
    """(m, k, k): P(vote | class, voted), by voter, vote and class. Each row of counts is drawn to the voter's
    overall accuracy, and that to the accuracy of all voters together.
    """
    classes = given.shape[1]
    right, votes = expected.right.sum(axis=1), given.sum(axis=1)
    everyone = (right.sum() + ACCURACY) / (votes.sum() + 1)
    accuracy = ((right + VOTER_ROWS * everyone) / (votes + VOTER_ROWS))[:, None, None]
    prior = np.where(np.eye(classes, dtype=bool), accuracy, (1 - accuracy) / (classes - 1))
    counts = expected.joint + CLASS_ROWS * prior
    return np.maximum(counts / counts.sum(axis=1, keepdims=True), SMALLEST)


def _voting(counted: VotePatterns, expected: Expected) -> Floats:
    """(m, k): P(voted | class), drawn by one row to the voter's overall rate."""
    mass = expected.of_all(counted.uncovered)
    rate = counted.given.sum(axis=1, keepdims=True) / counted.total
    voting = (expected.joint.sum(axis=1) + rate) / (mass + 1)
    return np.clip(voting, 1e-6, 1 - 1e-6)
