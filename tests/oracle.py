"""Naive versions of what the package computes, user by user, and the data that tests compare them on."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.moments.choose import LEAST_P_CAUSE
from firstday.moments.dates import DateProducts
from firstday.moments.evidence import ActionEvidence
from firstday.simulation import ACTIONS, World
from firstday.simulation.world import DAY

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
START = date(2024, 3, 25)
BIN_STARTS = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256)


@dataclass(frozen=True)
class User:
    """counts: by action done; retained: by day n, only the days that are known."""

    anchor_date: date
    segments: tuple[str | None, ...]
    counts: Mapping[str, int]
    retained: Mapping[int, bool]


def activity_bin(events: int) -> int:
    return sum(start <= events for start in BIN_STARTS)


def histogram_schema(segments: Sequence[str], days: Sequence[int]) -> str:
    """Of `histogram`'s rows, as Spark DDL."""
    named = [f"`{name.replace('`', '``')}` string" for name in segments]
    measures = [f"matured_d{day} long, retained_d{day} long" for day in days]
    cell = ["action string, count int, total_level int, other_level int, users long"]
    return ", ".join(["anchor_date date", *named, *cell, *measures])


def histogram(users: Iterable[User], days: Sequence[int]) -> list[tuple[object, ...]]:
    """The rows of moment_counts."""
    cells: dict[tuple[object, ...], Counter[object]] = {}
    for user in users:
        total = sum(user.counts.values())
        place = (user.anchor_date, *user.segments)
        rows = [(*place, None, 0, activity_bin(total), None)]
        rows += [(*place, a, n, activity_bin(total), activity_bin(total - n)) for a, n in user.counts.items()]
        for row in rows:
            sums = cells.setdefault(row, Counter())
            sums["users"] += 1
            for day, retained in user.retained.items():
                sums["matured", day] += 1
                sums["retained", day] += retained
    measures = [(kind, day) for day in days for kind in ("matured", "retained")]
    return [(*cell, sums["users"], *(sums[measure] for measure in measures)) for cell, sums in cells.items()]


def with_level_sums(rows: pd.DataFrame, days: Sequence[int]) -> pd.DataFrame:
    """Rows of the histogram with the sums over levels that `analyse_segment` has by date."""
    total, other = rows["total_level"], pd.to_numeric(rows["other_level"]).fillna(0)
    sums = {}
    for day in days:
        users, back = rows[f"matured_d{day}"], rows[f"retained_d{day}"]
        sums[f"other_level_d{day}"] = users * other
        sums[f"level_change_d{day}"] = users * (other - total)
        sums[f"level_change_retained_d{day}"] = back * (other - total)
        sums[f"level_change_squared_d{day}"] = users * (other**2 - total**2)
    return rows.assign(**sums)


def segments_of(user: User, names: Sequence[str]) -> Iterator[str]:
    """`all` and each combination, for names and values that need no escaping."""
    pairs = [f"{name}={value}" for name, value in zip(names, user.segments, strict=True)]
    for size in range(len(pairs) + 1):
        for subset in combinations(pairs, size):
            yield ",".join(subset) or "all"


def candidates(
    users: Sequence[User], names: Sequence[str], days: Sequence[int], thresholds: Sequence[int] = ()
) -> dict[tuple[str, str, int, int], tuple[int, int, int, int]]:
    """(segment, action, threshold, day) -> users, experienced, retained, both."""
    members: dict[str, list[User]] = {}
    for user in users:
        for segment in segments_of(user, names):
            members.setdefault(segment, []).append(user)
    found = {}
    for segment, those in members.items():
        done = {(action, count) for user in those for action, count in user.counts.items()}
        if thresholds:
            done = {(action, threshold) for action, _ in done for threshold in thresholds}
        for action, threshold in done:
            for day in days:
                known = [user for user in those if day in user.retained]
                reached = [user for user in known if user.counts.get(action, 0) >= threshold]
                retained, both = (sum(user.retained[day] for user in group) for group in (known, reached))
                found[segment, action, threshold, day] = (len(known), len(reached), retained, both)
    return found


def on_frontier(pairs: Sequence[tuple[float, float]]) -> list[bool]:
    """Which pairs no other one beats, by comparing each with each; NaN is never on it."""

    def beaten(one: tuple[float, float]) -> bool:
        return any(
            (other[0] >= one[0] and other[1] > one[1]) or (other[0] > one[0] and other[1] >= one[1])
            for other in pairs
        )

    return [not (np.isnan(pair).any() or beaten(pair)) for pair in pairs]


@dataclass(frozen=True)
class App:
    """A made-up app, user by user: counts (users, actions), retained and date (users,), and the cause."""

    counts: Integers
    retained: Floats
    date: Integers
    cause: int | None
    actions: tuple[str, ...]

    @property
    def products(self) -> DateProducts:
        return products(np.log1p(self.counts), self.retained, self.date, self.actions)

    @property
    def best_phi(self) -> int:
        """The action of the candidate with the highest phi."""
        found = [
            (np.corrcoef(reached, self.retained)[0, 1], action)
            for action in range(self.counts.shape[1])
            for threshold in range(1, 13)
            if 50 <= (reached := self.counts[:, action] >= threshold).sum() < len(reached)
        ]
        return max(found)[1]


def products(x: Floats, retained: Floats, date: Integers, actions: Sequence[str]) -> DateProducts:
    """From users' values, date by date."""
    values = np.column_stack([x, retained])
    by_date = [values[date == place] for place in np.unique(date)]
    deviations = [part - part.mean(axis=0) for part in by_date]
    return DateProducts(
        tuple(actions),
        np.array([float(len(part)) for part in by_date]),
        np.array([part.mean(axis=0) for part in by_date]),
        np.array([part.T @ part for part in deviations]),
    )


def named(found: ActionEvidence) -> int | None:
    """The action that the choice would name, by its position in the evidence."""
    best = int(found.p_cause.argmax())
    return best if found.p_cause[best] >= LEAST_P_CAUSE else None


def app(
    seed: int,
    *,
    effect: float,
    users: int = 20_000,
    dates: int = 40,
    actions: int = 10,
    everybody: float = 0.3,
    engagement: str = "normal",
) -> App:
    """Engagement drives all actions and retention; the cause, if any, is one that measures it badly.

    everybody: how far (standard deviation) dates lift the engagement of all.
    """
    draw = np.random.default_rng(seed)
    date = draw.integers(0, dates, users)
    lift = draw.normal(0, everybody, dates) if everybody else np.zeros(dates)
    level = {
        "normal": lambda: draw.normal(size=users),
        "two groups": lambda: np.where(draw.random(users) < 0.3, 1.53, -0.65),
        "skewed": lambda: draw.gamma(2, 1, users) / 2**0.5 - 2**0.5,
    }[engagement]() + lift[date]
    loading = np.linspace(0.35, 1.0, actions)
    own = draw.normal(0, 0.35, (dates, actions))
    rate = np.exp(np.minimum(draw.uniform(-1.2, 0.8, actions) + np.outer(level, loading) + own[date], 4))
    counts = draw.poisson(rate)
    cause = int(draw.integers(0, actions // 2))
    threshold = max(1, int(np.quantile(counts[:, cause], 0.6)))
    logit = -0.8 + 1.1 * level + effect * (counts[:, cause] >= threshold)
    retained = (draw.random(users) < 1 / (1 + np.exp(-logit))).astype(float)
    names = tuple(f"action {number}" for number in range(actions))
    return App(counts, retained, date, cause if effect else None, names)


def product_rows(
    actions: Sequence[str],
    x: Integers,
    retained: Integers,
    day: Integers,
    segment: Iterable[str | None],
    leading: Mapping[int, Sequence[str]],
) -> pd.DataFrame:
    """Rows of moment_products, of one Dn. x: (users, actions) in whole units of 1 / SCALE; day: of the
    anchor, from 0; leading: by that day.
    """
    segment, rows = list(segment), []
    for place, value in sorted({(int(d), s) for d, s in zip(day, segment, strict=True)}, key=str):
        those = (day == place) & np.array([each == value for each in segment])
        columns = [list(actions).index(name) for name in leading[place]]
        part, back = x[those][:, columns], retained[those]
        upper = (part.T @ part)[np.triu_indices(len(columns))]
        sums = {"sum_x": part.sum(axis=0), "sum_xr": back @ part, "sum_xx": upper}
        rows.append(
            {"anchor_date": START + timedelta(days=place), "country": value, "users": len(part)}
            | {"retained": int(back.sum()), "actions": list(leading[place])}
            | {name: values.tolist() for name, values in sums.items()}
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class FirstDays:
    """A simulated world user by user: counts (users, actions), retained on day 1 and date (users,)."""

    counts: Integers
    retained: Floats
    date: Integers

    @property
    def best_phi(self) -> str:
        """The action of the candidate with the highest phi."""
        found = [
            (np.corrcoef(self.counts[:, action] >= threshold, self.retained)[0, 1], name)
            for action, name in enumerate(ACTIONS)
            for threshold in range(1, 13)
            if (self.counts[:, action] >= threshold).sum() >= 100
        ]
        return max(found)[1]


def waited(world: World) -> tuple[Integers, Floats]:
    """Of each event the user's position and the seconds since the anchor."""
    user = np.asarray(pd.Index(world.users["user_id"]).get_indexer(pd.Index(world.events["user_id"])))
    anchor = world.users["anchored_at"].to_numpy("datetime64[s]")[user]
    return user, (world.events["occurred_at"].to_numpy("datetime64[s]") - anchor) / np.timedelta64(1, "s")


def first_days(world: World) -> FirstDays:
    user, seconds = waited(world)
    action = np.asarray(pd.Index(ACTIONS).get_indexer(pd.Index(world.events["action"])))
    users, early = len(world.users), seconds < DAY
    counts = np.bincount(user[early] * len(ACTIONS) + action[early], minlength=users * len(ACTIONS))
    retained = (np.bincount(user[~early & (seconds < 2 * DAY)], minlength=users) > 0).astype(float)
    anchored = world.users["anchored_at"]
    date = (anchored - anchored.min().normalize()).dt.days.to_numpy(dtype=np.int64)
    return FirstDays(counts.reshape(users, len(ACTIONS)), retained, date)
