"""Votes with a known truth, and slow oracles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Votes = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """votes: rows × voters, -1 abstains; truth: the class of each row; and what they were drawn from."""

    votes: Votes
    truth: NDArray[np.int64]
    balance: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    propensity: NDArray[np.float64]


def two_sided(
    rows: int, voters: int, balance: tuple[float, ...], seed: int, accuracy: tuple[float, float] = (0.6, 0.9)
) -> World:
    """Independent voters who vote for any class: the data-programming model."""
    draw = np.random.default_rng(seed)
    classes = len(balance)
    truth = draw.choice(classes, rows, p=balance)
    right = draw.uniform(*accuracy, voters)
    voting = draw.uniform(0.3, 0.7, voters)
    wrong = (truth[:, None] + draw.integers(1, classes, (rows, voters))) % classes
    votes = np.where(draw.random((rows, voters)) < right, truth[:, None], wrong)
    votes = np.where(draw.random((rows, voters)) < voting, votes, -1)
    return World(votes, truth, np.array(balance), right, voting)


def one_sided(
    rows: int,
    balance: tuple[float, ...],
    seed: int,
    a_class: int = 4,
    precision: tuple[float, float] = (0.6, 0.95),
) -> World:
    """Independent rules, `a_class` for each class, that vote for it or abstain."""
    draw = np.random.default_rng(seed)
    shares = np.array(balance)
    truth = draw.choice(len(shares), rows, p=shares)
    own = np.repeat(np.arange(len(shares)), a_class)
    right = draw.uniform(*precision, len(own))
    coverage = np.minimum(draw.uniform(0.05, 0.3, len(own)), 0.9 * shares[own] / right)
    hit, false = coverage * right / shares[own], coverage * (1 - right) / (1 - shares[own])
    chance = np.where(truth[:, None] == own, hit, false)
    votes = np.where(draw.random(chance.shape) < chance, own, -1)
    return World(votes, truth, shares, right, coverage)


def with_copies(world: World, copies: int, seed: int, silent: float = 0.05) -> Votes:
    """The votes and so many copies of the first voter, that now and then abstain."""
    draw = np.random.default_rng(seed)
    copied = np.repeat(world.votes[:, :1], copies, axis=1)
    return np.hstack([world.votes, np.where(draw.random(copied.shape) < silent, -1, copied)])


def right_share(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Accuracy; tied classes share."""
    most = probabilities >= probabilities.max(axis=1, keepdims=True) - 1e-9
    return float((most / most.sum(axis=1, keepdims=True))[np.arange(len(truth)), truth].mean())


def dawid_skene(votes: Votes, classes: int, steps: int) -> NDArray[np.float64]:  # noqa: C901 - loops, on purpose
    """P(class) of each row by loops over rows, with the priors of `firstday.labels.models.confusion`."""
    rows, voters = votes.shape
    posterior = np.zeros((rows, classes))
    for row in range(rows):
        tally = [(votes[row] == c).sum() for c in range(classes)]
        best = [c for c in range(classes) if tally[c] == max(tally)]
        posterior[row, best] = 1 / len(best)
    for _ in range(steps):
        counts, mass = np.zeros((voters, classes, classes)), np.ones(classes)
        for row in range(rows):
            if (votes[row] >= 0).any():
                mass += posterior[row]
            for voter in range(voters):
                if votes[row, voter] >= 0:
                    counts[voter, votes[row, voter]] += posterior[row]
        everyone = (sum(np.trace(c) for c in counts) + 0.7) / (counts.sum() + 1)
        confusion = np.zeros_like(counts)
        for voter in range(voters):
            accuracy = (np.trace(counts[voter]) + 4 * everyone) / (counts[voter].sum() + 4)
            prior = np.full((classes, classes), (1 - accuracy) / (classes - 1))
            np.fill_diagonal(prior, accuracy)
            table = counts[voter] + 6 * prior
            confusion[voter] = table / table.sum(axis=0)
        for row in range(rows):
            joint = mass / mass.sum()
            for voter in range(voters):
                if votes[row, voter] >= 0:
                    joint = joint * confusion[voter, votes[row, voter]]
            posterior[row] = joint / joint.sum()
    return posterior
