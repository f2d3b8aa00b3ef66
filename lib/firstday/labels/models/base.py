"""What all label models share: how P(class | votes) follows from the votes, and sums to fit it from.

Shapes: m voters, k classes. A vote is column v · k + c of the m · k columns of votes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

Floats = NDArray[np.float64]

REDUNDANT = 3  # votes on a row from which confusions can be told apart (Kruskal 1977)
SMALLEST = 1e-12  # a probability of zero would rule a class out for good


class Scores(ABC):
    """Log P(class, votes), up to a constant of the row: what a fitted label model is made of."""

    @abstractmethod
    def joint(self, votes: sp.csr_matrix) -> Floats:
        """Log P(class, votes) of each row, rows × classes."""

    @abstractmethod
    def without(self, votes: sp.csr_matrix) -> Floats:
        """The same for each given vote, in the order of `votes`: of its row if this voter had abstained,
        given votes × classes.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold; the class's `from_dict` reads it."""

    def posterior(self, votes: sp.csr_matrix) -> Floats:
        """P(class | votes) of each row, rows × classes."""
        return np.asarray(softmax(self.joint(votes), axis=1))

    def silent(self, columns: int) -> Floats:
        """(k,): P(class) of a row without votes. columns: m · k."""
        return self.posterior(sp.csr_matrix((1, columns)))[0]


@dataclass(frozen=True)
class Weights(Scores):
    """log P(class, votes) = base + the sum of the given votes' weights, up to a constant of the row.

    votes: (m · k, k), what a vote adds for each class; base: (k,), what every row has.
    """

    votes: Floats
    base: Floats

    def joint(self, votes: sp.csr_matrix) -> Floats:
        return np.asarray(votes @ self.votes) + self.base

    def without(self, votes: sp.csr_matrix) -> Floats:
        row = np.repeat(np.arange(votes.shape[0]), np.diff(votes.indptr))
        return self.joint(votes)[row] - self.votes[votes.indices]

    def to_dict(self) -> dict[str, Any]:
        return {"votes": self.votes.tolist(), "base": self.base.tolist()}

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> "Weights":
        """What `to_dict` wrote."""
        return cls(np.array(written["votes"]), np.array(written["base"]))


@dataclass(frozen=True)
class Expected:
    """Sums over rows, each row shared out over the classes by its posterior.

    joint: (m, k, k), by voter, vote and class; mass: (k,), rows with any vote by class; silent: (k,),
    P(class) of a row without votes.
    """

    joint: Floats
    mass: Floats
    silent: Floats

    @property
    def right(self) -> Floats:
        """(m, k): rows on which the voter votes for the class and the row is of that class."""
        return np.einsum("vcc->vc", self.joint)

    @property
    def shares(self) -> Floats:
        """(k,): P(class) on rows with any vote, a row of each class added."""
        return (self.mass + 1) / (self.mass.sum() + len(self.mass))

    def of_all(self, uncovered: float) -> Floats:
        """(k,): all rows by class, `uncovered` of them without votes."""
        return self.mass + uncovered * self.silent


Sums = tuple[Floats, ...]
# Sums over patterns: of their votes, their rows, and their rows by known class (None where none is known).
Adding = Callable[[sp.csr_matrix, Floats, Floats | None], Sums]


class VotePatterns(ABC):
    """Distinct patterns of votes with their rows, on the driver or in Spark. Models are sums over them."""

    voters: tuple[str, ...]
    classes: int

    @abstractmethod
    def add(self, function: Adding) -> Sums:
        """The sums of `function` over all patterns."""

    @abstractmethod
    def sample(self, most: int) -> tuple[sp.csr_matrix, Floats]:
        """Votes and rows of all patterns; of more than `most` a sample, and how many rows each stands for."""

    @property
    def on_driver(self) -> tuple[sp.csr_matrix, Floats] | None:
        """Votes and rows of all patterns, where they are on the driver."""
        return None

    @cached_property
    def _margins(self) -> Sums:
        return self.add(_margins)

    @property
    def total(self) -> float:
        """All rows."""
        return float(self._margins[0])

    @property
    def uncovered(self) -> float:
        """Rows on which nobody votes."""
        return float(self._margins[1])

    @property
    def given(self) -> Floats:
        """(m, k): rows on which each voter votes for each class."""
        return self._margins[2].reshape(len(self.voters), self.classes)

    @cached_property
    def together(self) -> Floats:
        """(m · k, m · k): rows on which two votes are given together."""
        return self.add(_together)[0]

    @cached_property
    def redundant(self) -> float:
        """Rows with three votes or more from voters who vote for more than one class."""
        choosing = np.repeat((self.given > 0).sum(axis=1) > 1, self.classes).astype(float)
        return float(self.add(partial(_redundant, choosing))[0])

    def expect(self, scores: Scores | None) -> Expected:
        """The sums that a label model is fitted from, under `scores`; None stands for majority vote."""
        sums, mass = self.add(partial(_expected, scores, self.classes))
        uniform = np.full(self.classes, 1 / self.classes)
        silent = uniform if scores is None else scores.silent(len(self.voters) * self.classes)
        joint = sums.reshape(len(self.voters), self.classes, self.classes)
        return Expected(joint, mass, silent)


@dataclass(frozen=True)
class ClassShares:
    """What the votes say of the classes' shares of all rows. low, high: (k,), 95 % limits, NaN where
    they are not known; doubt: why the votes do not say, None where they do.
    """

    low: Floats
    high: Floats
    doubt: str | None


@dataclass(frozen=True)
class LabelModel:
    """A fitted label model.

    balance: (k,), P(class). figures: by name, one value a voter, such as accuracy or propensity.
    notes: what a user should know, in words. `scores` None is majority vote. class_names: in the classes'
    order, where label functions voted; none where votes alone are known. class_shares: None where the kind of
    model has no limits of them.
    """

    kind: str
    voters: tuple[str, ...]
    classes: int
    scores: Scores | None
    balance: Floats
    figures: dict[str, Floats] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    iterations: int = 0
    converged: bool = True
    class_names: tuple[str, ...] = ()
    class_shares: ClassShares | None = None

    def posterior(self, votes: sp.csr_matrix) -> Floats:
        """P(class | votes), rows × classes; of a row without votes as the model has it, for majority vote
        the balance.
        """
        if self.scores is not None:
            return self.scores.posterior(votes)
        covered = np.diff(votes.indptr) > 0
        return np.where(covered[:, None], majority(votes, self.classes), self.balance)


def tally(votes: sp.csr_matrix, classes: int) -> Floats:
    """Votes for each class, rows × classes."""
    voters = votes.shape[1] // classes
    return np.asarray((votes @ sp.csr_matrix(np.tile(np.eye(classes), (voters, 1)))).todense())


def majority(votes: sp.csr_matrix, classes: int) -> Floats:
    """1 for the class with the most votes, shared among tied ones; rows × classes."""
    counts = tally(votes, classes)
    most = counts == counts.max(axis=1, keepdims=True)
    return most / most.sum(axis=1, keepdims=True)


def identity_information(given: Floats) -> float:
    """How far the voter's identity determines the vote: mutual information of voter and vote over the votes'
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


def _margins(votes: sp.csr_matrix, rows: Floats, _: Floats | None) -> Sums:
    return np.asarray(rows.sum()), np.asarray(rows[np.diff(votes.indptr) == 0].sum()), votes.T @ rows


def _together(votes: sp.csr_matrix, rows: Floats, _: Floats | None) -> Sums:
    return (np.asarray((votes.T @ votes.multiply(rows[:, None]).tocsr()).todense()),)


def _redundant(choosing: Floats, votes: sp.csr_matrix, rows: Floats, _: Floats | None) -> Sums:
    return (np.asarray(rows[np.asarray(votes @ choosing) >= REDUNDANT].sum()),)


def _expected(
    scores: Scores | None, classes: int, votes: sp.csr_matrix, rows: Floats, _: Floats | None
) -> Sums:
    covered = np.diff(votes.indptr) > 0
    posterior = majority(votes, classes) if scores is None else scores.posterior(votes)
    shared = posterior * (rows * covered)[:, None]
    return np.asarray(votes.T @ shared), shared.sum(axis=0)
