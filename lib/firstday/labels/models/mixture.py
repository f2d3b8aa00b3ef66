"""A mixture of latent classes: what a row's votes say of the component that it comes from, and its EM.

Rows come from C components, each of one class; given the component, blocks of voters (`blocks`) are
independent, and to abstain is an outcome like any other:

    log P(component g, votes) = log pi_g + sum over blocks of log theta[outcome of the block, g].

Maximum a posteriori by expectation maximisation: theta = (n_outcome,g + rate_outcome) / (n_g + 1), a prior of
one row, which fades; pi is free.

Shapes: m voters, k classes, C components, o outcomes of blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from scipy.stats import gamma

from firstday.labels.models.base import SMALLEST, Floats, Scores, Sums
from firstday.labels.models.blocks import Blocks
from firstday.labels.patterns import uniform

Ints = NDArray[np.intp]

MOST_STEPS = 300
SETTLED = 1e-6  # change of the log-likelihood at which EM ends, times max(1, rows · 1e-4)
STARTS = (0.8, 0.95)  # P(class) of a row's sole majority winner before anything is learned
EDGE = 0.1  # no other row starts surer than this
SPREAD = 0.5  # of the Dirichlet draws: below 1 most rows start nearly whole in one component


@dataclass(frozen=True)
class LatentClasses(Scores):
    """table: (o, C), log theta of an outcome less that of the block's silence; base: (C,), log P(component,
    all silent). classes: (C,), the class of each component.
    """

    blocks: Blocks
    table: Floats
    base: Floats
    classes: Ints

    def components(self, outcomes: sp.csr_matrix) -> Floats:
        """Log P(component, outcomes), rows × C. outcomes: rows × o, as `Blocks.encode` has them."""
        return np.asarray(outcomes @ self.table) + self.base

    def joint(self, votes: sp.csr_matrix) -> Floats:
        return self._by_class(self.components(self.blocks.encode(votes)))

    def without(self, votes: sp.csr_matrix) -> Floats:
        row = np.repeat(np.arange(votes.shape[0]), np.diff(votes.indptr))
        table = np.vstack([self.table, np.zeros(len(self.base))])  # the last, -1, is silence
        given, rest = self.blocks.leaving_out(votes)
        return self._by_class(self.components(self.blocks.encode(votes))[row] - table[given] + table[rest])

    def _by_class(self, components: Floats) -> Floats:
        own = [components[:, self.classes == each] for each in range(self.blocks.classes)]
        return np.column_stack([logsumexp(part, axis=1) for part in own])

    def to_dict(self) -> dict[str, Any]:
        return {
            "blocks": self.blocks.to_dict(),
            "table": self.table.tolist(),
            "base": self.base.tolist(),
            "classes": self.classes.tolist(),
        }

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> "LatentClasses":
        """What `to_dict` wrote."""
        classes = np.array(written["classes"], np.intp)
        table = np.array(written["table"], float).reshape(-1, len(classes))
        return cls(Blocks.from_dict(written["blocks"]), table, np.array(written["base"]), classes)


# --- expectation maximisation

# What a step is made of, under given scores: rows by outcome and component, (o, C); by component, (C,); and
# the log-likelihood.
Expect = Callable[[LatentClasses], Sums]


@dataclass(frozen=True)
class Fit:
    """A fit: its scores, the components' shares of all rows, (C,), the log-likelihood and the steps taken."""

    scores: LatentClasses
    shares: Floats
    log_likelihood: float
    steps: int
    converged: bool

    def of_class(self) -> Floats:
        """(k,): the classes' shares of all rows."""
        return np.bincount(self.scores.classes, self.shares, self.scores.blocks.classes).astype(float)


def climb(
    expect: Expect,
    scores: LatentClasses,
    balance: Floats | None = None,
    steps: int = MOST_STEPS,
) -> Fit:
    """EM from the given scores until the log-likelihood settles. balance: (k,), if it is known."""
    before, taken = -np.inf, 0
    for _ in range(steps):
        taken += 1
        sums, mass, reached = expect(scores)
        scores, shares = maximise(scores.blocks, sums, mass, scores.classes, balance)
        settled = abs(float(reached) - before) < SETTLED * max(1.0, mass.sum() * 1e-4)
        before = float(reached)
        if settled:
            break
    return Fit(scores, shares, before, taken, bool(settled))


def maximise(
    blocks: Blocks, sums: Floats, mass: Floats, classes: Ints, balance: Floats | None
) -> tuple[LatentClasses, Floats]:
    """The M step, and the components' shares. sums: (o, C); mass: (C,); balance: (k,), if it is known."""
    shares = mass / mass.sum()
    if balance is not None:
        of_class = np.bincount(classes, mass, blocks.classes)
        shares = mass / np.maximum(of_class, SMALLEST)[classes] * balance[classes]
    theta = (sums + blocks.rates[:, None]) / (mass + 1)
    rate = np.maximum(blocks.silent(blocks.rates, np.ones(1)), 0)[:, None]
    silence = np.maximum(blocks.silent(sums, mass), 0) + rate
    # A block that never kept silent has no silence: as a combination never seen it adds nothing.
    quiet = np.where(rate > SMALLEST, np.log(np.maximum(silence, SMALLEST) / (mass + 1)), 0.0)
    table = np.log(np.maximum(theta, SMALLEST)) - quiet[blocks.outcomes[:, 0]]
    base = np.log(np.maximum(shares, SMALLEST)) + quiet.sum(axis=0)
    return LatentClasses(blocks, table, base, classes), shares


def expected_sums(
    scores: LatentClasses, blocks: Blocks, votes: sp.csr_matrix, rows: Floats, _: Floats | None
) -> Sums:
    """As Expect has them, by the outcomes of `blocks`, which may be others than those of the scores."""
    outcomes = scores.blocks.encode(votes)
    sums, mass, reached = _expect(scores, outcomes, outcomes.T, rows)
    if blocks is not scores.blocks:
        weighted = softmax(scores.components(outcomes), axis=1) * rows[:, None]
        sums = np.asarray(blocks.encode(votes).T @ weighted)
    return sums, mass, reached


def _expect(scores: LatentClasses, outcomes: sp.csr_matrix, transposed: sp.spmatrix, rows: Floats) -> Sums:
    joint = scores.components(outcomes)
    highest = joint.max(axis=1, keepdims=True)
    weighted = np.exp(joint - highest)
    total = weighted.sum(axis=1, keepdims=True)
    weighted *= rows[:, None] / total
    return np.asarray(transposed @ weighted), weighted.sum(axis=0), rows @ (highest + np.log(total))[:, 0]


class Encoded:
    """Patterns on the driver, encoded once: votes, rows and outcomes of the blocks."""

    def __init__(self, votes: sp.csr_matrix, rows: Floats, blocks: Blocks) -> None:
        self.votes, self.rows, self.blocks = votes, rows, blocks
        self.outcomes = blocks.encode(votes)
        self.transposed = self.outcomes.T.tocsr()

    def expect(self, scores: LatentClasses) -> Sums:
        """As Expect has it."""
        return _expect(scores, self.outcomes, self.transposed, self.rows)

    def posterior(self, scores: LatentClasses) -> Floats:
        """P(component | votes), rows × C."""
        return np.asarray(softmax(scores.components(self.outcomes), axis=1))

    def begun(self, posterior: Floats, classes: Ints, balance: Floats | None = None) -> LatentClasses:
        """The scores that a posterior, rows × C, leads to."""
        weighted = posterior * self.rows[:, None]
        sums = np.asarray(self.transposed @ weighted)
        return maximise(self.blocks, sums, weighted.sum(axis=0), classes, balance)[0]

    def start(self, sure: float) -> Floats:
        """P(class) of each row before anything is learned, rows × k: `sure` of a sole majority winner."""
        winners, classes = self._winners, self.blocks.classes
        sole = winners.max(axis=1) == 1
        absent = np.setdiff1d(np.arange(classes), self.votes.indices % classes)
        if len(absent):  # whoever is not accused is taken for what nobody votes for
            winners = winners.copy()
            winners[~sole] = np.isin(np.arange(classes), absent) / len(absent)
        begun = np.clip(winners, EDGE, 1 - EDGE)
        begun[sole] = np.where(winners[sole] == 1, sure, (1 - sure) / (classes - 1))
        return begun / begun.sum(axis=1, keepdims=True)

    def split(self, classes: Ints, seed: int) -> Floats:
        """A start for several components a class, rows × C: each class's is shared out by a Dirichlet draw,
        which is a hash of the pattern.
        """
        shares = gamma.ppf(uniform(self.votes, len(classes), seed), SPREAD) + SMALLEST
        for each in np.unique(classes):
            own = classes == each
            shares[:, own] /= shares[:, own].sum(axis=1, keepdims=True)
        return shares * self.start(STARTS[0])[:, classes]

    @cached_property
    def _winners(self) -> Floats:
        """Rows × k: 1 for the class that most blocks vote for, shared among tied ones."""
        classes, row = self.blocks.classes, np.repeat(np.arange(len(self.rows)), np.diff(self.votes.indptr))
        block = self.blocks.groups[self.votes.indices // classes]
        shape = (len(self.rows), len(self.blocks.members))
        given = sp.csr_matrix((np.ones(len(row)), (row, block)), shape)
        tally = np.zeros((len(self.rows), classes))
        np.add.at(tally, (row, self.votes.indices % classes), 1 / np.asarray(given[row, block]).ravel())
        most = tally >= tally.max(axis=1, keepdims=True) - 1e-9
        return most / most.sum(axis=1, keepdims=True)
