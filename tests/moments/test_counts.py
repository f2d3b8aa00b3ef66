"""The counts, against a naive count in plain Python, on random logs with all that logs have."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, product
from math import log
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from firstday.moments.counts import Counts, count
from firstday.moments.pairs import PAIRED_ACTIONS, THRESHOLDS
from firstday.windows import Windows, microseconds
from tests.oracle import activity_bin

TICK, HOUR, ONE_DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)
HALF_HOUR = HOUR / 2
NEVER = datetime(9000, 1, 1, tzinfo=UTC)
ODD = '\'; drop table "users" --\n`x` 🎉'
LEVELS = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128)

User = tuple[str, datetime, str | None, str | None]  # user_id, anchored_at, two segments
Event = tuple[str, str, datetime, str | None]  # user_id, action, occurred_at, event_id


@dataclass(frozen=True)
class World:
    """Users, a log, and how to count them."""

    users: list[User]
    events: list[Event]
    windows: Windows
    with_ids: bool = False
    horizon: datetime | None = None
    return_actions: tuple[str, ...] = ()
    count_cap: int = 10_000
    leading_actions: int = 40

    @property
    def end(self) -> datetime | None:
        return self.horizon or max((at for _, _, at, _ in self.events), default=None)


# --- the naive count


def midnight(day: date, windows: Windows) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(windows.time_zone)).astimezone(UTC)


def date_of(at: datetime, windows: Windows) -> date:
    return at.astimezone(ZoneInfo(windows.time_zone)).date()


def label(day: int, anchor: datetime, windows: Windows) -> tuple[datetime, datetime]:
    first = 1 if windows.kind == "within" else day
    if windows.retention == "rolling":
        start = anchor + first * ONE_DAY
    else:
        start = midnight(date_of(anchor, windows) + first * ONE_DAY, windows)
    end = NEVER if windows.kind == "on_or_after" else over(day, anchor, windows)
    return max(start, anchor + windows.window), end


def over(day: int, anchor: datetime, windows: Windows) -> datetime:
    """When day n is over, and with it the label known."""
    if windows.retention == "rolling":
        return anchor + (day + 1) * ONE_DAY
    return midnight(date_of(anchor, windows) + (day + 1) * ONE_DAY, windows)


def what_counts(world: World, user: User) -> tuple[list[Event], list[Event], dict[int, list[Event]], int]:
    """Events in the window, returns, returns by day, and how many copies of events were left out."""
    user_id, anchor, *_ = user
    windows, end = world.windows, world.end
    known = [e for e in world.events if e[0] == user_id and end is not None and e[2] <= end]
    labels = {day: label(day, anchor, windows) for day in windows.days}

    def counts(event: Event) -> bool:
        _, action, at, _ = event
        back = not world.return_actions or action in world.return_actions
        in_window = anchor <= at < anchor + windows.window
        return in_window or (back and any(start <= at < stop for start, stop in labels.values()))

    counting = [event for event in known if counts(event)]
    kept: list[Event] = []
    if world.with_ids:
        ids = set()
        for event in sorted(counting, key=lambda e: e[2]):
            if event[3] is None or event[1::2] not in ids:
                kept.append(event)
                ids.add(event[1::2])
    else:
        kept = counting
    acted = [e for e in kept if anchor <= e[2] < anchor + windows.window]
    returned = {day: [e for e in kept if start <= e[2] < stop] for day, (start, stop) in labels.items()}
    back = [e for e in kept if any(start <= e[2] < stop for start, stop in labels.values())]
    return acted, back, returned, len(counting) - len(kept)


def level(events: int) -> int:
    return sum(start <= events for start in LEVELS)


def add_pairs(timing: dict[Any, Counter[str]], day: date, timed: list[tuple[str, datetime]]) -> None:
    for action, at in timed:
        timing[day, action, action]["events"] += 1
        gaps = [(leader, at - other) for leader, other in timed]
        for leader in {name for name, gap in gaps if timedelta(0) < gap <= HALF_HOUR}:
            timing[day, leader, action]["after"] += 1
        for leader in {name for name, gap in gaps if timedelta(0) < -gap <= HALF_HOUR}:
            timing[day, leader, action]["before"] += 1


Sums = dict[Any, Any]


def add_both(
    pairs: dict[Any, list[Counter[Any]]],
    world: World,
    date_of_user: date,
    day: int,
    ranked: list[tuple[str, int]],
    held: dict[str, int],
    retained: bool,
) -> None:
    if day != world.windows.days[0]:
        return
    paired = sorted(action for action, _ in ranked[: min(world.leading_actions, PAIRED_ACTIONS)])
    for one, other in combinations(paired, 2):
        sums = pairs.setdefault((date_of_user, one, other), [Counter(), Counter()])
        for cell in product(THRESHOLDS, THRESHOLDS):
            did = held.get(one, 0) >= cell[0] and held.get(other, 0) >= cell[1]
            sums[0][cell] += did
            sums[1][cell] += did and retained


def naive(world: World) -> tuple[Sums, Sums, Sums, Sums, dict[str, int]]:
    """moment_counts, moment_products, moment_timing and moment_pairs as {key: sums}, and the tallies."""
    windows, end = world.windows, world.end
    histogram: dict[Any, Any] = defaultdict(Counter)
    products: dict[Any, Any] = {}
    timing: dict[Any, Counter[str]] = defaultdict(Counter)
    pairs: dict[Any, list[Counter[Any]]] = {}
    tallies = Counter(events=len(world.events))
    by_date: dict[date, Counter[str]] = defaultdict(Counter)
    anchors = {user[0]: user[1] for user in world.users}
    for user_id, action, at, _ in world.events:
        if end is not None and at > end:
            tallies["after_horizon"] += 1
            continue
        by_date[date_of(at, windows)][action] += 1
        tallies["unknown_users"] += user_id not in anchors
        tallies["before_anchor"] += user_id in anchors and at < anchors[user_id]
    for user in world.users:
        _, anchor, *segments = user
        acted, back, returned, copies = what_counts(world, user)
        counted = Counter(action for _, action, _, _ in acted)
        held = {action: min(n, world.count_cap) for action, n in counted.items()}
        total = sum(held.values())
        sums = Counter(users=1)
        day_one = date_of(anchor, windows)
        cohort = (day_one, *segments)
        ranked = sorted(by_date[day_one].items(), key=lambda item: (-item[1], item[0]))
        actions = tuple(sorted(action for action, _ in ranked[: world.leading_actions]))
        x = [round(256 * log(1 + held.get(action, 0))) for action in actions]
        for day in windows.days:
            stop = over(day, anchor, windows)
            if end is None or stop > end or label(day, anchor, windows)[0] >= stop:
                continue
            retained = bool(returned[day])
            sums[f"matured_d{day}"] += 1
            sums[f"retained_d{day}"] += retained
            row = products.setdefault((*cohort, day), [0, 0, actions, *(Counter() for _ in range(3))])
            add_both(pairs, world, day_one, day, ranked, held, retained)
            row[0] += 1
            row[1] += retained
            for i, one in enumerate(x):
                row[3][i] += one
                row[4][i] += one * retained
                for j in range(i, len(x)):
                    row[5][i, j] += one * x[j]
        timed = [(action, at) for _, action, at, _ in acted if action in actions and at < anchor + ONE_DAY]
        add_pairs(timing, day_one, timed)
        histogram[(*cohort, None, 0, activity_bin(total), None)] += sums
        for action, n in held.items():
            histogram[(*cohort, action, n, activity_bin(total), activity_bin(total - n))] += sums
        tallies["in_window"] += len(acted)
        tallies["returns"] += len(back)
        tallies["duplicates"] += copies
        tallies["top_coded"] += sum(n > world.count_cap for n in counted.values())
    return histogram, products, timing, pairs, tallies


# --- the two side by side


def frames(spark: SparkSession, world: World) -> tuple[DataFrame, DataFrame]:
    users = spark.createDataFrame(
        world.users, "user_id string, anchored_at timestamp, `a b` string, ```c``` string"
    )
    events = spark.createDataFrame(
        world.events, "user_id string, action string, occurred_at timestamp, event_id string"
    )
    return users, events if world.with_ids else events.drop("event_id")


def counted(spark: SparkSession, world: World, partitions: int = 1, **options: Any) -> Counts:
    users, events = frames(spark, world)
    horizon = None if world.horizon is None else microseconds(world.horizon)
    return count(
        users.repartition(partitions),
        events.repartition(partitions),
        world.windows,
        ["a b", "`c`"],
        horizon=horizon,
        return_actions=world.return_actions,
        count_cap=world.count_cap,
        leading_actions=world.leading_actions,
        **options,
    )


def histogram_of(counts: Counts) -> dict[Any, Any]:
    rows = [row.asDict() for row in counts.moment_counts.collect()]
    keys = ["anchor_date", "a b", "`c`", "action", "count", "total_level", "other_level"]
    found = {
        tuple(row[key] for key in keys): {name: n for name, n in row.items() if name not in keys and n}
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def products_of(counts: Counts) -> dict[Any, Any]:
    rows = counts.moment_products.collect()
    found = {
        (row["anchor_date"], row["a b"], row["`c`"], row["day"]): (
            *(row["users"], row["retained"], tuple(row["actions"])),
            *(row["sum_x"], row["sum_xr"], row["sum_xx"]),
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def timing_of(counts: Counts) -> dict[Any, Any]:
    rows = counts.moment_timing.collect()
    found = {
        (row["anchor_date"], row["leader"], row["action"]): (row["events"], row["after"], row["before"])
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def pairs_of(counts: Counts) -> dict[Any, Any]:
    rows = counts.moment_pairs.collect()
    found = {
        (row["anchor_date"], row["action"], row["other_action"]): (row["users"], row["retained"])
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def assert_equal_to_naive(counts: Counts, world: World) -> None:
    histogram, products, timing, pairs, tallies = naive(world)
    assert histogram_of(counts) == {
        key: {n: v for n, v in sums.items() if v} for key, sums in histogram.items()
    }
    dense = {}
    for key, (users, retained, actions, x, xr, xx) in products.items():
        k = range(len(actions))
        upper = [xx[i, j] for i in k for j in k if j >= i]
        dense[key] = (users, retained, actions, [x[i] for i in k], [xr[i] for i in k], upper)
    assert products_of(counts) == dense
    assert timing_of(counts) == {  # of a pair that occurs all events of the second are told
        key: (timing[key[0], key[2], key[2]]["events"], pair["after"], pair["before"])
        for key, pair in timing.items()
    }
    cells = [*product(THRESHOLDS, THRESHOLDS)]
    assert pairs_of(counts) == {
        key: tuple([sums[cell] for cell in cells] for sums in both) for key, both in pairs.items()
    }
    assert {name: n for name, n in counts.tallies.items() if n} == {
        name: n for name, n in tallies.items() if n
    }


# --- random worlds

BASE = datetime(2026, 3, 27, 22, tzinfo=UTC)  # clocks go forward in Berlin two nights later
NAMES = ["view", "send", "send ", "", ODD]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    retention = draw(st.sampled_from(["rolling", "calendar"]))
    window = draw(st.sampled_from([HOUR, 12 * HOUR, 24 * HOUR, 30 * HOUR]))
    days = draw(st.sampled_from([(1,), (1, 2, 7), (2, 3)]))
    if retention == "calendar" and window > 24 * HOUR:
        days = (2, 3)  # of calendar D1 nothing would be left
    zone = draw(st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
    kind = draw(st.sampled_from(["on", "within", "on_or_after"]))
    windows = Windows(window, days, retention, zone, kind=kind)  # type: ignore[arg-type]
    chance = random.Random(draw(st.integers(0, 2**32)))
    users: list[User] = []
    for number in range(draw(st.integers(0, 40))):
        anchor = BASE + chance.choice([timedelta(0), TICK, HOUR, 25 * HOUR, 26 * HOUR, 49 * HOUR])
        segments = [chance.choice([None, "x", ODD]) for _ in range(2)]
        users.append((f"u{number}" if number else ODD, anchor, segments[0], segments[1]))
    events: list[Event] = []
    for _ in range(draw(st.integers(0, 400))):
        user_id, anchor, *_ = chance.choice([*users, ("stranger", BASE, None, None)])
        day = chance.choice(days)
        edges = [label(day, anchor, windows)[0], over(day, anchor, windows)]
        edge = chance.choice([anchor, anchor, anchor + window, *edges])
        at = edge + chance.choice([-TICK, timedelta(0), TICK, HALF_HOUR, HALF_HOUR + TICK, HOUR, 5 * HOUR])
        event_id = chance.choice([None, *(f"e{number}" for number in range(6))])
        events.append((user_id, chance.choice(NAMES), at, event_id))
        if chance.random() < 0.2:
            events.append(events[-1])
    horizon = draw(st.sampled_from([None, BASE + 50 * HOUR, BASE + 9 * ONE_DAY]))
    with_ids = draw(st.booleans())
    return World(
        *(users, events, windows, with_ids, horizon),
        return_actions=draw(st.sampled_from([(), ("send", ODD)])),
        count_cap=draw(st.sampled_from([2, 10_000])),
        leading_actions=draw(st.sampled_from([1, 2, 40])),
    )


@settings(max_examples=15)
@given(
    world=worlds(),
    partitions=st.integers(1, 3),
    broadcast_bytes=st.sampled_from([0, 1 << 30]),
    rows_a_partition=st.sampled_from([10, 150, 1000]),
)
def test_equals_the_naive_count(
    spark: SparkSession, world: World, partitions: int, broadcast_bytes: int, rows_a_partition: int
) -> None:
    counts = counted(
        spark, world, partitions, broadcast_bytes=broadcast_bytes, rows_a_partition=rows_a_partition
    )
    assert_equal_to_naive(counts, world)
    counts.release()


@settings(max_examples=4)
@given(world=worlds(), broadcast_bytes=st.sampled_from([0, 1 << 30]))
def test_some_dates_alone_equal_a_full_run(spark: SparkSession, world: World, broadcast_bytes: int) -> None:
    world = replace(world, horizon=world.end or BASE)
    dates = sorted({date_of(anchor, world.windows) for _, anchor, *_ in world.users})[1:]
    full = counted(spark, world)
    part = counted(spark, world, dates=dates, broadcast_bytes=broadcast_bytes)
    assert histogram_of(part) == {key: n for key, n in histogram_of(full).items() if key[0] in dates}
    assert products_of(part) == {key: n for key, n in products_of(full).items() if key[0] in dates}
    assert timing_of(part) == {key: n for key, n in timing_of(full).items() if key[0] in dates}
    assert pairs_of(part) == {key: n for key, n in pairs_of(full).items() if key[0] in dates}
    full.release()
    part.release()


def test_a_shop_in_which_few_come_back_on_a_day_and_many_within_a_month(spark: SparkSession) -> None:
    """3 % come back on exactly D1, 26 % within 30 days; 5 % have not had their 30 days yet."""
    users: list[User] = [(f"u{n}", BASE + (n % 7) * HOUR, None, None) for n in range(1_000)]
    users[950:] = [(name, anchor + 5 * ONE_DAY, None, None) for name, anchor, _, _ in users[950:]]
    back = {n: (30 * HOUR if n < 30 else (2 + n % 28) * ONE_DAY) for n in range(260)}
    events: list[Event] = [(name, "look", anchor + HOUR, None) for name, anchor, *_ in users]
    events += [(f"u{n}", "look", users[n][1] + later, None) for n, later in back.items()]
    events += [(f"u{n}", "look", users[n][1] + 40 * ONE_DAY, None) for n in range(900, 910)]
    horizon = BASE + 33 * ONE_DAY
    for kind, day, matured, retained in (
        ("on", 1, 1_000, 30),
        ("within", 30, 950, 260),
        ("on_or_after", 2, 1_000, 230),
    ):
        windows = Windows(days=(day,), kind=kind)  # type: ignore[arg-type]
        counts = counted(spark, World(users, events, windows, horizon=horizon))
        rows = counts.moment_counts.where("action IS NULL").agg(
            {f"matured_d{day}": "sum", f"retained_d{day}": "sum"}
        )
        [row] = rows.collect()
        assert (row[f"sum(matured_d{day})"], row[f"sum(retained_d{day})"]) == (matured, retained), kind
        counts.release()
