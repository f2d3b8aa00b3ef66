"""Distinct combinations of votes with the number of rows that have each: all that a label model needs.

A row's votes are packed into 64-bit words, so that Spark groups and joins by a few integers: voter v is the
digit v % places of the word v // places, in base classes + 1; the digit 0 is to abstain, c + 1 to vote c.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from firstday.labels.models.base import Adding, Sums, VotePatterns

ABSTAIN = -1


@dataclass(frozen=True)
class Packing:
    """How the votes of `voters` voters over `classes` classes lie in words."""

    voters: int
    classes: int

    @property
    def base(self) -> int:
        return self.classes + 1

    @property
    def places(self) -> int:
        """Digits that fit into a signed 64-bit word."""
        places = 1
        while self.base ** (places + 1) < 2**63:
            places += 1
        return places

    @property
    def words(self) -> int:
        return -(-self.voters // self.places)

    def place(self, voter: int) -> int:
        """What the voter's digit is worth in its word."""
        return self.base ** (voter % self.places)

    def unpack(self, words: NDArray[np.int64]) -> sp.csr_matrix:
        """Words, patterns × words -> a 1 for each vote given, patterns × (voters · classes), row by row."""
        rows, columns = [], []
        for voter in range(self.voters):
            digits = words[:, voter // self.places] // self.place(voter) % self.base
            voted = np.flatnonzero(digits)
            rows.append(voted)
            columns.append(voter * self.classes + digits[voted] - 1)
        row, column = np.concatenate(rows), np.concatenate(columns)
        shape = (len(words), self.voters * self.classes)
        return sp.csr_matrix((np.ones(len(row)), (row, column)), shape=shape)

    def pack(self, votes: NDArray[np.integer]) -> NDArray[np.int64]:
        """Votes, rows × voters with -1 for abstaining -> words, rows × words."""
        words = np.zeros((len(votes), self.words), np.int64)
        for voter in range(self.voters):
            digits = votes[:, voter].astype(np.int64) + 1
            words[:, voter // self.places] += digits * self.place(voter)
        return words


@dataclass(frozen=True)
class Patterns(VotePatterns):
    """`votes`: a 1 for each vote given, patterns × (voters · classes); column voter · classes + class.

    `words`: the same packed, patterns × words; `rows`: rows that have each pattern. `gold`: of these, rows
    by known class, patterns × classes; None where no label is known.
    """

    votes: sp.csr_matrix
    words: NDArray[np.int64]
    rows: NDArray[np.float64]
    voters: tuple[str, ...]
    classes: int
    gold: NDArray[np.float64] | None = None

    @classmethod
    def sampled(cls, counted: VotePatterns, most: int) -> "Patterns":
        """At most so many patterns of `counted`, without words and known labels."""
        votes, rows = counted.sample(most)
        return cls(votes, np.empty((len(rows), 0), np.int64), rows, counted.voters, counted.classes)

    @classmethod
    def of(cls, votes: NDArray[np.integer], classes: int, voters: Sequence[str] | None = None) -> "Patterns":
        """The patterns of rows × voters, -1 for abstaining."""
        packing = Packing(votes.shape[1], classes)
        words, rows = np.unique(packing.pack(votes), axis=0, return_counts=True)
        names = tuple(voters) if voters else tuple(str(number) for number in range(votes.shape[1]))
        return cls(packing.unpack(words), words, rows.astype(float), names, classes)

    def add(self, function: Adding) -> Sums:
        """The sums of `function` over all patterns."""
        return function(self.votes, self.rows, self.gold)

    @property
    def on_driver(self) -> tuple[sp.csr_matrix, NDArray[np.float64]]:
        """Votes and rows of all patterns."""
        return self.votes, self.rows

    def sample(self, most: int) -> tuple[sp.csr_matrix, NDArray[np.float64]]:
        """As `Distributed.sample` has it, by another hash."""
        if len(self.rows) <= most:
            return self.votes, self.rows
        priority = self.rows / uniform(self.votes, 1, seed=0)[:, 0]
        order = np.lexsort((*self.words.T, -priority))
        kept, least = np.sort(order[:most]), priority[order[most]]
        return self.votes[kept], np.maximum(self.rows[kept], least)


def uniform(votes: sp.csr_matrix, columns: int, seed: int) -> NDArray[np.float64]:
    """Patterns × columns: numbers in (0, 1) from a hash of each pattern's votes (splitmix64: Steele, Lea &
    Flood 2014): a pattern's numbers do not depend on its place among the others.
    """
    draw = np.random.default_rng([seed, columns])
    worth = draw.integers(0, 2**64, votes.shape[1], dtype=np.uint64)
    sums = np.zeros(votes.shape[0], np.uint64)
    np.add.at(sums, np.repeat(np.arange(votes.shape[0]), np.diff(votes.indptr)), worth[votes.indices])
    mixed = sums[:, None] + draw.integers(0, 2**64, columns, dtype=np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed >> np.uint64(11)).astype(float) + 0.5) / 2**53
