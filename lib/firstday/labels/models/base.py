"""What all label models share: a posterior that is linear in the votes, and the sums that it is fitted from.

Shapes: m voters, k classes. A vote is column v · k + c of the m · k columns of votes.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]

REDUNDANT = 3  # votes on a row from which confusions can be told apart (Kruskal 1977)
SMALLEST = 1e-12  # a probability of zero would rule a class out for good


@dataclass(frozen=True)
class Weights:
    """log P(class, votes) = base + the sum of the given votes' weights, up to a constant of the row.

    votes: (m · k, k), what a vote adds for each class; base: (k,), what every row has.
    """

    votes: Floats
    base: Floats

    def joint(self, votes: sp.csr_matrix) -> Floats:
        """Log P(class, votes) of each row, rows × classes."""
        return np.asarray(votes @ self.votes) + self.base

    def posterior(self, votes: sp.csr_matrix) -> Floats:
        """P(class | votes) of each row, rows × classes; of a row without votes as the base has it."""
        joint = self.joint(votes)
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


@dataclass(frozen=True)
class Expected:
    """Sums over rows, each row shared out over the classes by its posterior.

    joint: (m, k, k), by voter, vote and class; mass: (k,), rows with any vote by class; silent: (k,),
    P(class) of a row without votes; fit: the sum of log P(votes) over rows with any vote, up to a constant.
    """

    joint: Floats
    mass: Floats
    silent: Floats
    fit: float

    @property
    def right(self) -> Floats:
        """(m, k): rows on which the voter votes for the class and the row is of that class."""
        return np.einsum("vcc->vc", self.joint)


class Counted(Protocol):
    """Votes that have been counted, on the driver or by Spark."""

    @property
    def voters(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> int: ...
    @property
    def total(self) -> float:
        """All rows."""
        ...

    @property
    def uncovered(self) -> float:
        """Rows on which nobody votes."""
        ...

    @property
    def given(self) -> Floats:
        """(m, k): rows on which each voter votes for each class."""
        ...

    @property
    def together(self) -> Floats:
        """(m · k, m · k): rows on which two votes are given together."""
        ...

    @property
    def redundant(self) -> float:
        """Rows with three votes or more from voters who vote for more than one class."""
        ...

    @property
    def sample(self) -> tuple[sp.csr_matrix, Floats]:
        """Patterns with their rows, to learn dependencies from; all of them where they fit the driver."""
        ...

    def expect(self, weights: Weights | None) -> Expected:
        """The sums under `weights`; None stands for majority vote, ties shared."""
        ...


@dataclass(frozen=True)
class LabelModel:
    """A fitted label model.

    balance: (k,), P(class). figures: by name, one value a voter, such as accuracy or propensity.
    notes: what a user should know, in words. `weights` None is majority vote.
    """

    kind: str
    voters: tuple[str, ...]
    classes: int
    weights: Weights | None
    balance: Floats
    figures: dict[str, Floats] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    iterations: int = 0
    converged: bool = True

    def posterior(self, votes: sp.csr_matrix) -> Floats:
        """P(class | votes), rows × classes; uniform where nobody votes."""
        covered = np.diff(votes.indptr) > 0
        found = majority(votes, self.classes) if self.weights is None else self.weights.posterior(votes)
        return np.where(covered[:, None], found, 1 / self.classes)


def majority(votes: sp.csr_matrix, classes: int) -> Floats:
    """1 for the class with the most votes, shared among tied ones; rows × classes."""
    voters = votes.shape[1] // classes
    tally = np.asarray((votes @ sp.csr_matrix(np.tile(np.eye(classes), (voters, 1)))).todense())
    most = tally == tally.max(axis=1, keepdims=True)
    return most / most.sum(axis=1, keepdims=True)


def one_sided(given: Floats) -> NDArray[np.bool_]:
    """(m,): voters who only ever vote for one class."""
    return (given > 0).sum(axis=1) <= 1


def identity_information(given: Floats) -> float:
    """How far the voter's identity tells the vote: mutual information of voter and vote over the votes'
    entropy, from 0 (all voters vote alike, as crowd workers do) to 1 (each votes for one class only, as
    functions do). given: (m, k). Less the bias of small counts (Miller 1955).
    """
    counts = given[given.sum(axis=1) > 0]
    total = counts.sum()
    if total == 0:
        return 0.0
    joint = counts / total
    voter, vote = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    information = (joint[seen] * np.log((joint / (voter * np.maximum(vote, SMALLEST)))[seen])).sum()
    entropy = -(vote[vote > 0] * np.log(vote[vote > 0])).sum()
    bias = (len(counts) - 1) * ((vote > 0).sum() - 1) / (2 * total)
    # Where all vote for one class there is nothing to tell: who votes is all that is left.
    return float(np.clip((information - bias) / entropy, 0, 1)) if entropy > 0 else 1.0


def expect(votes: sp.csr_matrix, rows: Floats, classes: int, weights: Weights | None) -> Expected:
    """The sums over patterns, rows of `votes`, that stand for `rows` rows each."""
    voters = votes.shape[1] // classes
    covered = np.diff(votes.indptr) > 0
    if weights is None:
        posterior, fit = majority(votes, classes), 0.0
        silent = np.full(classes, 1 / classes)
    else:
        joint = weights.joint(votes)
        evidence = logsumexp(joint, axis=1, keepdims=True)
        posterior, fit = np.exp(joint - evidence), float(rows[covered] @ evidence[covered, 0])
        silent = np.exp(weights.base - logsumexp(weights.base))
    shared = posterior * (rows * covered)[:, None]
    sums = np.asarray(votes.T @ shared).reshape(voters, classes, classes)
    return Expected(sums, shared.sum(axis=0), silent, fit)
