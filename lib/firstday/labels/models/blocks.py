"""Blocks of voters that copy one another: one voter each, whose outcomes are the members' votes together.

Two rules that read the same column agree far more often than the class explains. Taken for two independent
voters they count twice; as a block, what they say together is one outcome ("both accuse", "only the first")
with a probability of its own in each class, so that nothing has to be assumed about how they depend on each
other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from firstday.labels.models.base import Floats, Sums, VotePatterns

Groups = NDArray[np.intp]
Ints = NDArray[np.int64]

MOST_MEMBERS = 3  # of a block: (classes + 1) ** 3 outcomes at most


@dataclass(frozen=True)
class Blocks:
    """members: by block, its voters. outcomes: (o, 2), block and code of each outcome that is no silence of
    all members, sorted; the code has a digit a member, in base classes + 1: 0 abstains, c + 1 votes for c.
    rates: (o,), share of all rows with the outcome.
    """

    voters: int
    classes: int
    members: tuple[tuple[int, ...], ...]
    outcomes: Ints
    rates: Floats

    @classmethod
    def of(cls, groups: Groups, counted: VotePatterns) -> "Blocks":
        """The blocks of voters with equal numbers in `groups`, (m,), and their outcomes that occur."""
        numbers = np.unique(groups)
        members = tuple(tuple(np.flatnonzero(groups == number).tolist()) for number in numbers)
        base = counted.classes + 1
        sizes = [base ** len(block) - 1 for block in members]
        outcomes = np.column_stack(
            [
                np.repeat(np.arange(len(members)), sizes),
                np.concatenate([np.arange(1, size + 1) for size in sizes]),
            ]
        )
        every = cls(len(counted.voters), counted.classes, members, outcomes, np.zeros(len(outcomes)))
        counts = counted.add(partial(_outcome_counts, every))[0]
        seen = counts > 0
        return cls(every.voters, every.classes, members, outcomes[seen], counts[seen] / counted.total)

    @cached_property
    def groups(self) -> Groups:
        """(m,): the block of each voter."""
        found = np.empty(self.voters, np.intp)
        for number, block in enumerate(self.members):
            found[list(block)] = number
        return found

    @cached_property
    def _digits(self) -> sp.csr_matrix:
        """(m · k, blocks): what each vote adds to its block's code."""
        base, worth = self.classes + 1, np.empty(self.voters, np.int64)
        for block in self.members:
            worth[list(block)] = base ** np.arange(len(block))
        votes = np.arange(self.voters * self.classes)
        voter, vote = np.divmod(votes, self.classes)
        shape = (len(votes), len(self.members))
        return sp.csr_matrix(((vote + 1.0) * worth[voter], (votes, self.groups[voter])), shape=shape)

    @cached_property
    def _span(self) -> int:
        return (self.classes + 1) ** max(map(len, self.members))

    @cached_property
    def _keys(self) -> Ints:
        return self.outcomes[:, 0] * self._span + self.outcomes[:, 1]

    def place(self, block: Ints, code: Ints) -> Ints:
        """The outcome's number; -1 for a silent block, and for what was never seen."""
        keys = block * self._span + code
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, at, -1)

    def encode(self, votes: sp.csr_matrix) -> sp.csr_matrix:
        """Votes, rows × (m · k) -> a 1 for each block's outcome, rows × o."""
        codes = sp.csr_matrix(votes @ self._digits)
        at = self.place(codes.indices.astype(np.int64), codes.data.astype(np.int64))
        row = np.repeat(np.arange(codes.shape[0]), np.diff(codes.indptr))
        seen = at >= 0
        ones = np.ones(int(seen.sum()))
        return sp.csr_matrix((ones, (row[seen], at[seen])), shape=(codes.shape[0], len(self.outcomes)))

    def leaving_out(self, votes: sp.csr_matrix) -> tuple[Ints, Ints]:
        """For each given vote, in the order of `votes`: the outcome of its block, and that with this voter
        silent; -1 as `place` has it.
        """
        if votes.nnz == 0:  # SciPy finds nothing at no places otherwise than elsewhere
            return np.empty(0, np.int64), np.empty(0, np.int64)
        codes = sp.csr_matrix(votes @ self._digits)
        row = np.repeat(np.arange(votes.shape[0]), np.diff(votes.indptr))
        block = self.groups[votes.indices // self.classes].astype(np.int64)
        code = np.asarray(codes[row, block], dtype=np.int64).ravel()
        own = np.asarray(self._digits[votes.indices, block], dtype=np.int64).ravel()
        return self.place(block, code), self.place(block, code - own)

    def silent(self, by_outcome: Floats, whole: Floats) -> Floats:
        """(blocks, ...): `whole` less the sums of each block's outcomes. by_outcome: (o, ...)."""
        spoken = np.zeros((len(self.members), *by_outcome.shape[1:]))
        np.add.at(spoken, self.outcomes[:, 0], by_outcome)
        return whole - spoken

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "voters": self.voters,
            "classes": self.classes,
            "members": [list(block) for block in self.members],
            "outcomes": self.outcomes.tolist(),
            "rates": self.rates.tolist(),
        }

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> "Blocks":
        """What `to_dict` wrote."""
        return cls(
            written["voters"],
            written["classes"],
            tuple(map(tuple, written["members"])),
            np.array(written["outcomes"], np.int64).reshape(-1, 2),
            np.array(written["rates"], float),
        )


def merged(groups: Groups, pair: Sequence[int]) -> Groups:
    """The groups, those of the pair's two voters made one."""
    one, other = groups[list(pair)]
    return np.where(groups == other, one, groups)


def containments(together: Floats, voters: int, least_rows: float, least: float) -> list[tuple[int, int]]:
    """Pairs of voters that vote alike on at least `least_rows` rows, which are at least the share `least` of
    those of the rarer of the two, in order of that share. Rows on which both are silent say nothing: rare
    rules are nearly always silent together. together: (m · k, m · k), rows with two votes.
    """
    classes = len(together) // voters
    blocks = together.reshape(voters, classes, voters, classes)
    alike = np.einsum("acbc->ab", blocks)
    given = np.einsum("acac->a", blocks)
    rarer = np.maximum(np.minimum(given[:, None], given), 1.0)
    share = np.triu(np.where(alike >= least_rows, alike / rarer, 0.0), 1)
    one, other = np.nonzero(share >= least)
    order = np.lexsort((other, one, -share[one, other]))
    return list(zip(one[order].tolist(), other[order].tolist(), strict=True))


def _outcome_counts(blocks: Blocks, votes: sp.csr_matrix, rows: Floats, _: Floats | None) -> Sums:
    return (np.asarray(blocks.encode(votes).T @ rows),)
