"""The data-programming model of Ratner et al. 2016 ("Data programming", equation 2), for k classes.

Voter v votes with propensity beta[v], whatever the class, and is right with accuracy alpha[v]:

    P(vote = c | class = y) = beta alpha where c = y, beta (1 - alpha) / (k - 1) elsewhere,
    P(abstain) = 1 - beta.

Maximum likelihood by expectation maximisation. The paper holds P(class) at one half; here it is learned, or
given. Votes that go one way only fit this model badly: nothing but the balance tells their classes apart.
"""

import numpy as np

from firstday.labels.models.base import Expected, Floats, LabelModel, VotePatterns, Weights
from firstday.labels.models.em import climb, start

EDGE = 0.5  # rows that every accuracy has right and wrong in addition: none is estimated as 0 or 1


def fit(counted: VotePatterns, balance: Floats | None = None) -> LabelModel:
    """balance: (k,), P(class) where it is known, otherwise learned."""
    classes, votes = counted.classes, counted.given.sum(axis=1)

    def accuracy(expected: Expected) -> Floats:
        return (expected.right.sum(axis=1) + EDGE) / (votes + 2 * EDGE)

    def maximise(expected: Expected) -> Weights:
        shares = expected.shares if balance is None else balance
        right = accuracy(expected)
        rest = (1 - right) / (classes - 1)
        own = np.eye(classes, dtype=bool)
        table = np.where(own, np.log(right)[:, None, None], np.log(rest)[:, None, None])
        return Weights(table.reshape(-1, classes), np.log(shares))

    found = climb(counted, maximise, start(counted))
    shares = np.exp(found.weights.base)
    return LabelModel(
        "propensity",
        counted.voters,
        classes,
        found.weights,
        shares / shares.sum(),
        {"accuracy": accuracy(found.expected), "propensity": votes / counted.total},
        iterations=found.steps,
        converged=found.converged,
    )
