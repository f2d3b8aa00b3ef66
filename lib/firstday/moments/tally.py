"""The rows of the exchange, and how a partition of them is counted in bounded memory.

A row is two 64-bit integers, `user` (a hash) and `what`:
- an event in the window: the key of its action, at least FIRST_KEY and below COHORT;
- an event on a return day: 0 for the first of `days`, 1 for the second, ...;
- such an event of a user whose events are timed, if the action is a leading one and the event lies in the
  first day: TIMED - 1 - its action's position << OFFSET_BITS - the microseconds since the anchor;
- a row that each user has, whether there is any event or not: COHORT + the key of the user's cohort;
- another such row: -1 - (DAY_ZERO + the anchor date in days since 1970) << 32 - the days that have closed for
  the user, as bits in the order of `days`; UNPAIRED is set too where labels leave the user out.
All rows of a user are in one partition.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstday.errors import DataError

Integers = NDArray[np.int64]
ROW = ("user", "what")
FIRST_KEY = 1 << 6
COHORT = 1 << 62
KEY_BITS = COHORT - 1  # of a hash, to make a key of it
UNPAIRED = 1 << 31  # of the bits of closed days, of which there are at most 31 (`windows.MOST_DAYS`)
DAY_ZERO = 1 << 24  # keeps the sign of early dates out of the way
TIMED = -(1 << 62)
OFFSET_BITS = 37  # a day has fewer microseconds
MOST_TIMED = 1_000  # events of a user that are timed, the earliest: a bot's would fill the memory
CHUNK = 1 << 20  # rows that are counted at once
DENSE = 8  # possible pairs of user and code a row, up to which each gets a place in an array


@dataclass(frozen=True)
class Tally:
    """The users of a partition, and their events by user and code.

    Of users, in the order of their keys: user, cohort (keys), anchor_day (days since 1970), closed (bits).
    Of each pair of user and code that occurs: who (the user's position), code (a day's position in `days`;
    after these the actions), n (events). Of each timed event: timed_who, timed_action (position in `timed`),
    timed_at (microseconds since the anchor).
    """

    user: Integers
    cohort: Integers
    anchor_day: Integers
    closed: Integers
    who: Integers
    code: Integers
    n: Integers
    timed_who: Integers
    timed_action: Integers
    timed_at: Integers


def tally(
    batches: Iterable[pa.RecordBatch], days: int, actions: Sequence[int], timed: Sequence[int] = ()
) -> Tally:
    """Count a partition's rows; `actions` are the keys of the actions, `timed` of those whose events may be
    timed, by position.

    CHUNK rows are counted at a time, and the counts are merged whenever as many of them have come together:
    memory follows the users and their distinct actions, not the rows. A bot's ten million events are a few
    numbers soon.
    """
    known = pa.array([*range(days), *actions], pa.int64())
    own: list[tuple[Integers, Integers]] = []
    parts: list[tuple[Integers, Integers, Integers]] = []
    moments: list[tuple[Integers, Integers, Integers]] = []
    timed_keys = np.array(timed, dtype=np.int64)
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= CHUNK:
            _count(waiting, known, timed_keys, own, parts, moments)
            waiting = []
            if sum(len(at) for _, _, at in moments[1:]) >= CHUNK:
                moments = [_earliest(moments)]
            if sum(len(n) for _, _, n in parts[1:]) >= CHUNK:
                parts = [_merged(parts)]
    if waiting:
        _count(waiting, known, timed_keys, own, parts, moments)
    user, what = _joined(own, 2)
    pair_user, code, n = parts[0] if len(parts) == 1 else _merged(parts)
    of_cohort = what >= COHORT
    users, cohort = _by_user(user[of_cohort], what[of_cohort] - COHORT)
    _, about = _by_user(user[~of_cohort], -1 - what[~of_cohort])
    who = pc.index_in(pa.array(pair_user), value_set=pa.array(users)).to_numpy().astype(np.int64)
    timed_user, timed_action, timed_at = _earliest(moments)
    timed_who = pc.index_in(pa.array(timed_user), value_set=pa.array(users)).to_numpy().astype(np.int64)
    anchor_day, closed = (about >> 32) - DAY_ZERO, about & 0xFFFFFFFF
    return Tally(users, cohort, anchor_day, closed, who, code, n, timed_who, timed_action, timed_at)


def _count(
    batches: list[pa.RecordBatch],
    known: pa.Array,
    timed_keys: Integers,
    own: list[tuple[Integers, Integers]],
    parts: list[tuple[Integers, Integers, Integers]],
    moments: list[tuple[Integers, Integers, Integers]],
) -> None:
    """Append the users' own rows to `own`, user, code and number of the events to `parts`, and user, action
    and time of those that are timed to `moments`.
    """
    table = pa.Table.from_batches(batches)
    user, what = (table[name].to_numpy() for name in ROW)
    is_timed = what < TIMED
    if is_timed.any():
        packed = TIMED - 1 - what[is_timed]
        position, at = packed >> OFFSET_BITS, packed & ((1 << OFFSET_BITS) - 1)
        moments.append((user[is_timed], position, at))
        what = what.copy()
        what[is_timed] = timed_keys[position]
    mine = (what < 0) | (what >= COHORT)
    own.append((user[mine], what[mine]))
    code = pc.index_in(pa.array(what[~mine]), value_set=known)
    if code.null_count:
        raise DataError(
            "the log must not change while it is read",
            value=f"{code.null_count:,} events with an action that was not there at the first reading",
            next_step="read a table version, or a folder that nobody writes to",
        )
    parts.append(_reduced(user[~mine], code.to_numpy().astype(np.int64)))


def _reduced(
    user: Integers, code: Integers, n: Integers | None = None
) -> tuple[Integers, Integers, Integers]:
    """User, code and number of each pair of user and code; without `n` each row is one event."""
    if not len(user):
        return user, code, np.empty(0, np.int64)
    encoded = pc.dictionary_encode(pa.array(user))
    codes = int(code.max()) + 1
    packed = encoded.indices.to_numpy().astype(np.int64) * codes + code
    if len(encoded.dictionary) * codes <= DENSE * len(packed):
        counts = np.bincount(packed, n)  # a place for each possible pair: no sorting
        pairs = np.flatnonzero(counts)
        counts = counts[pairs]
    else:
        pairs, place = np.unique(packed, return_inverse=True)
        counts = np.bincount(place, n)
    # With `n` the sums are floats, exact below 2**53.
    users = encoded.dictionary.to_numpy()
    return users[pairs // codes], pairs % codes, counts.astype(np.int64)


def _merged(parts: list[tuple[Integers, Integers, Integers]]) -> tuple[Integers, Integers, Integers]:
    return _reduced(*_joined(parts, 3))


def _earliest(parts: list[tuple[Integers, Integers, Integers]]) -> tuple[Integers, Integers, Integers]:
    """User, action and time of each user's MOST_TIMED earliest events, whatever their order."""
    user, action, at = _joined(parts, 3)
    order = np.lexsort((action, at, user))
    user, action, at = user[order], action[order], at[order]
    kept = np.arange(len(user)) - np.searchsorted(user, user) < MOST_TIMED
    return user[kept], action[kept], at[kept]


def _joined(parts: Sequence[tuple[Integers, ...]], width: int) -> tuple[Integers, ...]:
    empty = tuple(np.empty(0, np.int64) for _ in range(width))
    return tuple(np.concatenate(column) for column in zip(empty, *parts, strict=True))


def _by_user(user: Integers, value: Integers) -> tuple[Integers, Integers]:
    order = np.argsort(user)
    return user[order], value[order]
