"""What the kernel does with a partition, without Spark: the same in any order, batches and chunks."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstday.errors import DataError
from firstday.moments import products, tally, timing
from firstday.moments.activity_bins import BIN_STARTS, activity_bin
from firstday.moments.kernel import Kernel, _packed
from firstday.moments.products import Sample, scaled_log
from firstday.moments.tally import COHORT, DAY_ZERO, FIRST_KEY, OFFSET_BITS, TIMED, UNPAIRED

MONDAY = date(2026, 3, 2)
MONDAY_NUMBER = (MONDAY - date(1970, 1, 1)).days
KEYS = {"a": FIRST_KEY + 5, "b": COHORT - 1, "c": FIRST_KEY}
DAYS = (1, 7)

TIMED_ACTIONS = ("c", "b", "a")
MINUTE = 60_000_000

Row = tuple[int, int]


def timed(action: str, at: int) -> int:
    return TIMED - 1 - (TIMED_ACTIONS.index(action) << OFFSET_BITS) - at


def own_rows(user: int, cohort: int, closed: int, day: int = MONDAY_NUMBER) -> list[Row]:
    return [(user, COHORT + cohort), (user, -1 - ((day + DAY_ZERO) << 32) - closed)]


def batches(rows: list[Row], size: int) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(rows), size):
        columns = zip(*rows[first : first + size], strict=True)
        yield pa.RecordBatch.from_arrays([pa.array(c, pa.int64()) for c in columns], ["user", "what"])


def reduced(rows: list[Row], size: int = 1000, **options: Any) -> dict[str, Any]:
    """All the kernel says of a partition, in a form that does not depend on the order of its rows."""
    kernel = Kernel(KEYS, {MONDAY: ("a", "c")}, DAYS, options.get("count_cap", 10_000), TIMED_ACTIONS)
    kernel = replace(kernel, paired={MONDAY: ("a", "b")})
    found: dict[str, Any] = {"cells": Counter(), "products": {}, "timing": {}, "pairs": {}}
    for batch in kernel(batches(rows, size)):
        assert batch.schema == kernel.schema
        for row in batch.to_pylist():
            if row["cohort"] is not None:
                cells = list(zip(*(row[name] for name in kernel.cells), strict=True))
                assert len(set(cells)) == len(cells)
                found["cells"].update(cells)
            elif row["timed_day"] is not None:
                pairs = zip(row["leader"], row["follower"], strict=True)
                sums = zip(row["events"], row["after"], row["before"], strict=True)
                found["timing"] |= {(row["timed_day"], *p): n for p, n in zip(pairs, sums, strict=True)}
            elif row["paired_day"] is not None:
                both = zip(row["pair_users"], row["pair_retained"], strict=True)
                found["pairs"] |= {
                    (row["paired_day"], *p): n for *p, n in zip(row["one"], row["other"], both, strict=True)
                }
            elif row["day"] is not None:
                found["products"][row["products_of"], row["day"]] = tuple(
                    row[name] for name in ("matured", "retained", "actions", "sum_x", "sum_xr", "sum_xx")
                )
            else:
                found["tallies"] = (row["in_window"], row["returns"], row["top_coded"])
    return found


def test_one_user() -> None:
    rows = own_rows(-9, cohort=17, closed=0b01)
    rows += [(-9, KEYS["a"])] * 3 + [(-9, KEYS["b"])] + [(-9, 0), (-9, 0), (-9, 1)]
    found = reduced(rows)
    assert found["tallies"] == (4, 3, 0)
    sums = (1, 1, 1, 0, 0)  # users, matured and retained on D1, then on D7, which is not known yet
    assert set(found["cells"]) == {
        (17, None, 0, 4, None, *sums),
        (17, "a", 3, 4, 1, *sums),
        (17, "b", 1, 4, 3, *sums),
    }
    x = scaled_log(np.array([3]))[0]
    did_both = [1, 0, 0, 0, 0] * 3 + [0] * 10  # a at least 1, 2, 3 times, and b once
    assert found["pairs"] == {(MONDAY_NUMBER, "a", "b"): (did_both, did_both)}
    assert found["products"] == {(17, 1): (1, 1, ["a", "c"], [x, 0], [x, 0], [x * x, 0, 0])}


def test_of_whom_labels_leave_out_no_pairs_are_counted() -> None:
    did = [(-9, KEYS["a"]), (-9, KEYS["b"])]
    assert reduced([*own_rows(-9, 17, UNPAIRED + 0b11), *did])["pairs"] == {}
    assert reduced([*own_rows(-9, 17, 0b10), *did])["pairs"] == {}  # the first day is not known yet


def test_no_rows() -> None:
    assert reduced([]) == {"cells": Counter(), "products": {}, "timing": {}, "pairs": {}}


def test_timed_events_are_counted_as_others_and_paired() -> None:
    """Only leading actions of the date are paired: b is none."""
    own, day = own_rows(5, cohort=1, closed=0b11), MONDAY_NUMBER
    rows = [*own, (5, timed("a", 0)), (5, timed("c", 30 * MINUTE)), (5, timed("b", MINUTE)), (5, 0)]
    plain = [*own, (5, KEYS["a"]), (5, KEYS["c"]), (5, KEYS["b"]), (5, 0)]
    found, expected = reduced(rows), reduced(plain)
    assert (found["cells"], found["products"]) == (expected["cells"], expected["products"])
    assert found["timing"] == {
        **{(day, "a", "a"): (1, 0, 0), (day, "c", "c"): (1, 0, 0)},
        **{(day, "a", "c"): (1, 1, 0), (day, "c", "a"): (1, 0, 1)},
    }
    assert expected["timing"] == {}


def test_of_a_bot_the_earliest_events_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST_TIMED", 3)
    rows = [*own_rows(5, cohort=1, closed=0), *((5, timed("a", n * MINUTE)) for n in reversed(range(50)))]
    found = reduced(rows, 10)
    assert found["tallies"] == (50, 0, 0)
    assert found["timing"] == {(MONDAY_NUMBER, "a", "a"): (3, 2, 2)}


def test_an_unknown_action_says_that_the_log_changed() -> None:
    with pytest.raises(DataError, match="must not change"):
        reduced([*own_rows(1, 1, 0), (1, FIRST_KEY + 1)])


@st.composite
def partitions(draw: st.DrawFn) -> list[Row]:
    users = draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8, unique=True))
    rows: list[Row] = []
    for user in users:
        cohort = draw(st.sampled_from([0, 1, COHORT - 1]))
        # A cohort has one anchor date; the second one here has no leading actions, as if it had no events.
        rows += own_rows(user, cohort, draw(st.integers(0, 3)), MONDAY_NUMBER - (cohort == 1) * 9999)
    clocked = st.builds(
        timed, st.sampled_from(TIMED_ACTIONS), st.integers(0, 6).map(lambda n: n * 15 * MINUTE)
    )
    events = st.tuples(st.sampled_from(users), st.sampled_from([0, 1, *KEYS.values()]) | clocked)
    return rows + draw(st.lists(events, max_size=60))


@settings(max_examples=150)
@given(
    rows=partitions(),
    size=st.integers(1, 20),
    chunk=st.integers(1, 30),
    dense=st.sampled_from([0, 8]),
    chance=st.randoms(),
)
def test_order_batches_and_chunks_change_nothing(
    rows: list[Row], size: int, chunk: int, dense: int, chance: Any
) -> None:
    expected = reduced(rows, count_cap=3)
    shuffled = list(rows)
    chance.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "CHUNK", chunk)
        patch.setattr(tally, "DENSE", dense)
        patch.setattr(products, "BLOCK", 2)
        patch.setattr(timing, "BLOCK", 8)
        assert reduced(shuffled, size, count_cap=3) == expected


@settings(max_examples=100)
@given(rows=partitions())
def test_sums_over_cells_are_the_users(rows: list[Row]) -> None:
    cells = reduced(rows)["cells"]
    cohorts: dict[Any, Any] = defaultdict(Counter)
    for cohort, action, _, _, _, users, *_ in cells:
        cohorts[cohort][action] += users
    for users in cohorts.values():
        assert all(n <= users[None] for n in users.values())
    assert sum(users[None] for users in cohorts.values()) == len({user for user, _ in rows})
    for cohort, action, *_, users, matured_1, retained_1, matured_7, retained_7 in cells:
        assert 0 <= retained_1 <= matured_1 <= users, (cohort, action)
        assert 0 <= retained_7 <= matured_7 <= users


def test_memory_follows_the_users_not_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    merged: list[int] = []

    def merge(parts: list[Any]) -> Any:
        merged.append(sum(len(n) for _, _, n in parts))
        return real(parts)

    real = tally._merged
    monkeypatch.setattr(tally, "CHUNK", 100)
    monkeypatch.setattr(tally, "_merged", merge)
    rows = own_rows(1, 1, 0) + [(1, key) for key in KEYS.values()] * 10_000
    assert reduced(rows, 50)["tallies"] == (30_000, 0, 0)
    assert max(merged) < 210  # of 30,000 rows


# --- what it is made of


def test_levels_are_half_octaves() -> None:
    assert BIN_STARTS[:17].tolist() == [1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362]
    assert activity_bin(np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11])).tolist() == [
        0,
        1,
        2,
        3,
        4,
        4,
        5,
        5,
        6,
        6,
        7,
    ]
    assert activity_bin(np.array([2**38])) < len(BIN_STARTS)


@given(
    columns=st.integers(1, 6).flatmap(
        lambda n: st.lists(
            st.tuples(*[st.one_of(st.integers(0, 5), st.integers(0, 2**31 - 1))] * n),
            max_size=30,
        )
    )
)
def test_packed_tells_combinations_apart(columns: list[tuple[int, ...]]) -> None:
    arrays = [np.array(column, np.int64) for column in zip(*columns, strict=True)] or [np.empty(0, np.int64)]
    packed = _packed(arrays).tolist()
    assert len(set(zip(columns, packed, strict=True))) == len(set(columns)) == len(set(packed))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), users=st.integers(0, 40))
def test_cross_products_are_the_sums(seed: int, users: int) -> None:
    chance = np.random.default_rng(seed)
    counts = chance.poisson(1.0, (users, 4)) * chance.integers(1, 4000, (users, 4))
    cohort, closed = chance.integers(0, 3, users), chance.integers(0, 4, users)
    retained = chance.random((users, 2)) < 0.5
    who, action = np.nonzero(counts)
    column = {5: np.array([1, -1, 0, 2])}
    sample = Sample(
        *(cohort, np.full(users, 5), closed, retained),
        *(who, action, scaled_log(counts[who, action]), column),
    )
    found = {(row.cohort, row.day): row for row in sample.products()}
    x = scaled_log(counts)[:, [2, 0, 3]]
    upper = np.triu_indices(3)
    for of in range(3):
        for day in range(2):
            chosen = (cohort == of) & (closed >> day & 1 == 1)
            row = found.pop((of, day), None)
            assert (row is None) == (not chosen.any())
            if row is not None:
                back = x[chosen & retained[:, day]]
                assert (row.users, row.retained) == (chosen.sum(), len(back))
                assert row.x.tolist() == x[chosen].sum(axis=0).tolist()
                assert row.xr.tolist() == back.sum(axis=0).tolist()
                assert row.xx.tolist() == (x[chosen].T @ x[chosen])[upper].tolist()
    assert not found


def test_days_since_1970_may_be_negative() -> None:
    day = (date(1965, 1, 1) - date(1970, 1, 1)) // timedelta(days=1)
    rows = own_rows(4, 2, 0b11, day)
    found = tally.tally(batches(rows, 10), 2, list(KEYS.values()))
    assert (found.anchor_day.tolist(), found.closed.tolist(), found.cohort.tolist()) == ([day], [3], [2])
