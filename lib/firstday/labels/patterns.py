"""Distinct combinations of votes with the number of rows that have each: all that a label model needs.

A row's votes are packed into 64-bit words, so that Spark groups and joins by a few integers: voter v is the
digit v % places of the word v // places, in base classes + 1; the digit 0 is to abstain, c + 1 to vote c.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from firstday.labels.models.base import Adding, Counted, Sums

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
class Patterns(Counted):
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
    def of(cls, votes: NDArray[np.integer], classes: int, voters: Sequence[str] | None = None) -> "Patterns":
        """The patterns of rows × voters, -1 for abstaining."""
        packing = Packing(votes.shape[1], classes)
        words, rows = np.unique(packing.pack(votes), axis=0, return_counts=True)
        names = tuple(voters) if voters else tuple(str(number) for number in range(votes.shape[1]))
        return cls(packing.unpack(words), words, rows.astype(float), names, classes)

    def add(self, function: Adding) -> Sums:
        """The sums of `function` over all patterns."""
        return function(self.votes, self.rows, self.gold)

    def sample(self, most: int) -> tuple[sp.csr_matrix, NDArray[np.float64]]:  # noqa: ARG002
        """All patterns: they are at hand."""
        return self.votes, self.rows
