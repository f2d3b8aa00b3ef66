"""Users of two actions, against counting each user by pandas."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstday.moments import pairs
from firstday.moments.pairs import THRESHOLDS, pair_sums, pairs_of


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(0, 40),
    days=st.integers(1, 3),
    block=st.sampled_from([1, 3, 1 << 14]),
)
def test_equals_brute_force(seed: int, users: int, days: int, block: int) -> None:
    chance = np.random.default_rng(seed)
    counts = chance.poisson(2, (users, 5)) * chance.integers(0, 4, (users, 5))
    day = chance.integers(10, 10 + days, users)
    back = chance.random(users) < 0.4
    who, action = np.nonzero(counts)
    shuffled = chance.permutation(len(who))
    who, action = who[shuffled], action[shuffled]
    tracked = {each: sorted(chance.choice(5, chance.integers(0, 5), replace=False)) for each in range(10, 13)}
    columns = {}
    for each, actions in tracked.items():
        columns[each] = np.full(5, -1)
        columns[each][actions] = np.arange(len(actions))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "BLOCK", block)
        found = {
            sums.anchor_day: sums for sums in pair_sums(day, back, who, action, counts[who, action], columns)
        }
    table = pd.DataFrame(counts).assign(day=day, back=back)
    assert set(found) == set(day.tolist())
    for each, sums in found.items():
        named = pairs_of([str(action) for action in tracked[each]])
        assert len(named) == len(sums.users) == len(sums.retained)
        for row, (one, other) in enumerate(named):
            did = [
                table[(table["day"] == each) & (table[int(one)] >= a) & (table[int(other)] >= b)]
                for a in THRESHOLDS
                for b in THRESHOLDS
            ]
            assert sums.users[row].tolist() == [len(rows) for rows in did]
            assert sums.retained[row].tolist() == [rows["back"].sum() for rows in did]
