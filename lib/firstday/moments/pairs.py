"""How many users did two actions, so often each, for all pairs of a date's most frequent actions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Of a date: more than there are candidates in `conjunctions`, as what is frequent changes with the date.
PAIRED_ACTIONS = 12
THRESHOLDS = (1, 2, 3, 5, 8)
CELLS = len(THRESHOLDS) ** 2
BLOCK = 1 << 14  # users at a time: their number is exact in single precision


@dataclass(frozen=True)
class PairSums:
    """Users of one anchor date by pair of actions and thresholds; the pairs as `pairs_of` has them.

    users, retained: (pairs, CELLS), those who did the first action at least THRESHOLDS[cell // 5] times and
    the second at least THRESHOLDS[cell % 5] times, and those of them who came back.
    """

    anchor_day: int
    users: Integers
    retained: Integers


def pairs_of(actions: Sequence[str]) -> list[tuple[str, str]]:
    """Each two of them once, in their order."""
    return [(one, other) for place, one in enumerate(actions) for other in actions[place + 1 :]]


def pair_sums(
    anchor_day: Integers,
    retained: Flags,
    who: Integers,
    action: Integers,
    count: Integers,
    columns: Mapping[int, Integers],
) -> Iterator[PairSums]:
    """For each anchor date with users. anchor_day, retained: of users; who (position of the user), action,
    count: of users' actions, in any order. columns: by anchor date the place of each action among those that
    are paired, or -1.
    """
    order = np.lexsort((who, anchor_day[who]))
    who, action, count = who[order], action[order], count[order]
    days = np.unique(anchor_day)
    bounds = np.searchsorted(anchor_day[who], np.append(days, days[-1:] + 1))
    for place, day in enumerate(days.tolist()):
        entry = slice(bounds[place], bounds[place + 1])
        column = columns[day]
        k = int(column.max(initial=-1)) + 1
        into = column[action[entry]]
        paired = into >= 0
        mine, into, times = who[entry][paired], into[paired], count[entry][paired]
        both = np.zeros((2, k * len(THRESHOLDS), k * len(THRESHOLDS)), dtype=np.int64)
        users, row = np.unique(mine, return_inverse=True)
        for first in range(0, len(users), BLOCK):
            there = slice(*np.searchsorted(row, [first, first + BLOCK]))
            back = retained[users[first : first + BLOCK]]
            did = np.zeros((len(back), k, len(THRESHOLDS)), dtype=np.float32)
            did[row[there] - first, into[there]] = times[there, None] >= THRESHOLDS
            flat = did.reshape(len(back), -1)
            of_back = flat[back]
            both += np.rint([flat.T @ flat, of_back.T @ of_back]).astype(np.int64)
        one, other = np.triu_indices(k, 1)
        cells = both.reshape(2, k, len(THRESHOLDS), k, len(THRESHOLDS)).transpose(0, 1, 3, 2, 4)
        yield PairSums(day, *cells[:, one, other].reshape(2, len(one), CELLS))
