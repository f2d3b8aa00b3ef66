"""Who comes before whom: exact counts over pairs of actions, from the event times of a sample of users."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
NEIGHBOURHOOD = 30 * 60 * 1_000_000  # microseconds before and after an event
BLOCK = 1 << 22  # numbers at a time: events times actions


def pairs_in_time(
    user: Integers, action: Integers, at: Integers, actions: int
) -> tuple[Integers, Integers, Integers]:
    """Of events in any order; all (events,), the action from 0, `at` in microseconds, not negative.

    Returns events (actions,), and after and before (actions, actions): [a, b] is the number of events of b
    with an a of the same user at most half an hour before, or after. Equal instants are neither.
    """
    order = np.lexsort((at, user))
    user, action, at = user[order], action[order], at[order]
    # One clock for all users, on which two of them are never near.
    rank = np.cumsum(np.r_[False, user[1:] != user[:-1]]) if len(user) else user
    clock = at + rank * (int(at.max(initial=0)) + 2 * NEIGHBOURHOOD)
    events = np.bincount(action, minlength=actions).astype(np.int64)
    after = _near(clock, action, actions)
    before = _near(-clock[::-1], action[::-1], actions)
    return events, after, before


def _near(clock: Integers, action: Integers, actions: int) -> Integers:
    """(actions, actions) events of the second with one of the first shortly before; the clock rises."""
    found = np.zeros((actions, actions))
    never = np.iinfo(np.int64).min // 2
    last = np.full(actions, never)
    # Blocks end where an instant does, so that a block's events see none of their own instant.
    ends = np.flatnonzero(np.r_[clock[1:] != clock[:-1], True]) + 1 if len(clock) else clock
    first = 0
    while first < len(clock):
        end = int(ends[np.searchsorted(ends, min(first + max(BLOCK // actions, 1), len(clock)))])
        time, what = clock[first:end], action[first:end]
        seen = np.full((len(time) + 1, actions), never)
        seen[0] = last
        seen[np.arange(1, len(time) + 1), what] = time
        np.maximum.accumulate(seen, axis=0, out=seen)
        earlier = seen[np.searchsorted(time, time)]  # before the first event of the same instant
        is_near = earlier >= (time - NEIGHBOURHOOD)[:, None]
        mine = np.zeros((actions, len(time)), dtype=np.float32)
        mine[what, np.arange(len(time))] = 1
        found += (mine @ is_near.astype(np.float32)).T
        last, first = seen[-1], end
    return np.rint(found).astype(np.int64)
