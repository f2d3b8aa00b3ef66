"""Cross products of log counts over the leading actions: the sums all mutually adjusted regressions need."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
SCALE = 256  # of x = ln(1 + count), kept as an integer so that sums are exact in any order
BLOCK = 1 << 16  # users at a time; sums of their products stay far below 2**53, so floats hold them exactly


def scaled_log(count: Integers) -> Integers:
    """ln(1 + count) in units of 1/256."""
    return np.rint(SCALE * np.log1p(count)).astype(np.int64)


@dataclass
class Products:
    """Sums over users of one cohort for one day, over k actions: x (k), x·retained (k), x·x' (k(k+1)/2).

    The last is the upper triangle of the symmetric matrix, row by row.
    """

    cohort: int
    anchor_day: int
    day: int
    users: int
    retained: int
    x: Integers
    xr: Integers
    xx: Integers

    def plus(self, other: "Products") -> "Products":
        """The sums over the users of both."""
        return Products(
            *(self.cohort, self.anchor_day, self.day),
            *(self.users + other.users, self.retained + other.retained),
            *(self.x + other.x, self.xr + other.xr, self.xx + other.xx),
        )


@dataclass(frozen=True)
class Sample:
    """Users and what they did, as the cross products need it.

    Of users: cohort (a key), anchor_day, closed (bits by day), retained (users × days). Of users' actions:
    who (position of the user), action, x. `column` has for each anchor day the column (0..k-1, or -1) of
    each action; k may differ from day to day.
    """

    cohort: Integers
    anchor_day: Integers
    closed: Integers
    retained: Flags
    who: Integers
    action: Integers
    x: Integers
    column: dict[int, Integers]

    def products(self) -> Iterator[Products]:
        """For each cohort and each day that some of its users have closed, the sums over these."""
        order = np.lexsort((self.closed, self.cohort))  # users alike in both enter the same sums
        place = np.argsort(order)[self.who]
        by_place = np.argsort(place)
        place, action, x = place[by_place], self.action[by_place], self.x[by_place]
        cohort, closed, retained = self.cohort[order], self.closed[order], self.retained[order]
        bounds = [*_blocks(cohort, closed), len(cohort)]
        entries = np.searchsorted(place, bounds).tolist()
        sums: dict[int, Products] = {}
        for block, (first, last) in enumerate(pairwise(bounds)):
            entry = slice(entries[block], entries[block + 1])
            anchor_day = int(self.anchor_day[order[first]])
            column = self.column[anchor_day]
            into = column[action[entry]]
            k = int(column.max(initial=-1)) + 1
            dense = np.zeros((last - first, k + 1))  # the last column takes what is not leading
            dense[place[entry] - first, into] = x[entry]
            key = int(cohort[first]), anchor_day
            for part in _sums(key, dense[:, :k], retained[first:last], int(closed[first])):
                sums[part.day] = sums[part.day].plus(part) if part.day in sums else part
            if last == len(cohort) or cohort[last] != cohort[first]:
                yield from sums.values()
                sums = {}


def _blocks(cohort: Integers, closed: Integers) -> Iterator[int]:
    """Where each range of at most BLOCK users that are alike in both begins."""
    new = np.ones(len(cohort), dtype=bool)
    new[1:] = (cohort[1:] != cohort[:-1]) | (closed[1:] != closed[:-1])
    for start, end in pairwise([*np.flatnonzero(new).tolist(), len(cohort)]):
        yield from range(start, end, BLOCK)


def _sums(key: tuple[int, int], x: NDArray[np.float64], retained: Flags, closed: int) -> Iterator[Products]:
    """The sums over all these users, for each day that they have closed."""
    if not closed:
        return
    outcome = retained.astype(np.float64)
    plain, returned = _whole(x.sum(axis=0)), _whole(outcome.T @ x)
    crossed = _whole((x.T @ x).ravel()[_upper_triangle(x.shape[1])])
    for day in range(retained.shape[1]):
        if closed >> day & 1:
            yield Products(*key, day, len(x), int(outcome[:, day].sum()), plain, returned[day], crossed)


@cache
def _upper_triangle(k: int) -> Integers:
    rows, columns = np.triu_indices(k)
    return rows * k + columns


def _whole(sums: NDArray[np.float64]) -> Integers:
    return np.rint(sums).astype(np.int64)
