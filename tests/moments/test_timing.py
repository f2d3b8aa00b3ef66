"""Pairs in time, against comparing each event with each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstday.moments import timing
from firstday.moments.timing import NEIGHBOURHOOD, pairs_in_time

MINUTE = 60_000_000


@settings(max_examples=200)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 12).map(lambda n: n * 10 * MINUTE)),
        max_size=40,
    ),
    block=st.sampled_from([1, 8, 1 << 20]),
)
def test_equals_brute_force(events: list[tuple[int, int, int]], block: int) -> None:
    after, before, seen = np.zeros((4, 4), int), np.zeros((4, 4), int), np.zeros(4, int)
    for user, action, at in events:
        seen[action] += 1
        others = [(a, at - t) for u, a, t in events if u == user]
        for a in range(4):
            after[a, action] += any(other == a and 0 < gap <= NEIGHBOURHOOD for other, gap in others)
            before[a, action] += any(other == a and 0 < -gap <= NEIGHBOURHOOD for other, gap in others)
    user, what, at_times = np.array(events, dtype=np.int64).reshape(-1, 3).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "BLOCK", block)
        found = pairs_in_time(user, what, at_times, 4)
    for one, other in zip(found, (seen, after, before), strict=True):
        np.testing.assert_array_equal(one, other)
