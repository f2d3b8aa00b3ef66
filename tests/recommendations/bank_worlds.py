"""Small banks in which everything happens at whole half days around an instant, so that bounds are met."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from firstday.recommendations.fatigue import Fatigue

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
CATEGORIES = tuple("abcdefg")
GROUPS = dict(
    zip(CATEGORIES, ("cards", "cards", "cards", "loans", "loans", "savings", "savings"), strict=True)
)
RULES = (("b", "age >= 18"), ("b", "age < 65"), ("c", "region = 'north'"), ("d", "age >= 30"))
ENDED, FUTURE = "f", "g"  # categories without a live content
Fact = tuple[str, str, str, datetime]
Entry = tuple[str, datetime | None]


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@dataclass(frozen=True)
class Bank:
    """customers: user_id, age, region. holdings: user_id, category, since, until."""

    customers: list[tuple[str, int | None, str | None]]
    facts: list[Fact]
    holdings: list[tuple[str, str, datetime, datetime | None]]
    fatigue: Fatigue = field(default_factory=lambda: Fatigue(3, 3, 4, 3, 4, 3, 2, 1))

    def all_facts(self) -> list[Fact]:
        begun = [(user, category, "since", since) for user, category, since, _ in self.holdings]
        ended = [(user, category, "until", until) for user, category, _, until in self.holdings if until]
        return [*self.facts, *begun, *ended]

    def reason(self, user: str, category: str) -> Entry | None:
        """Why the customer must not be shown the category, and until when."""
        _, age, region = next(each for each in self.customers if each[0] == user)
        held = [u for w, c, s, u in self.holdings if (w, c) == (user, category) and s <= NOW]
        held = [until for until in held if until is None or until > NOW]
        if held:
            return "held", None  # until is tested by hand
        allowed = {
            "b": age is not None and 18 <= age < 65,
            "c": region == "north",
            "d": age is not None and age >= 30,
        }
        if not allowed.get(category, True):
            return "not_eligible", None
        if category in (ENDED, FUTURE):
            return "no_content", None
        return rest([fact for fact in self.facts if fact[:2] == (user, category)], self.fatigue)


def rest(facts: Iterable[Fact], fatigue: Fatigue, *, another: bool = False) -> Entry | None:
    """Why a customer's category rests, and until when, said again in loops; facts: of both."""
    by_kind: dict[str, list[datetime]] = {}
    for _, _, kind, at in facts:
        if at <= NOW:
            by_kind.setdefault(kind, []).append(at)
    shown, dismissed = by_kind.get("shown", []), by_kind.get("dismiss", [])
    taken = [*by_kind.get("click", []), *by_kind.get("join", [])]
    ends: dict[str, datetime] = {}
    if dismissed:
        ends["resting: dismissed"] = max(dismissed) + timedelta(days=fatigue.dismissed_rest)
    if another and taken:
        ends["resting: reacted"] = max(taken) + timedelta(days=fatigue.reacted_rest)
    if shown:
        last = max(shown)
        reactions = [*taken, *dismissed]
        ignored = [
            at
            for at in shown
            if at > last - timedelta(days=fatigue.ignored_window) and (not reactions or at > max(reactions))
        ]
        often = [at for at in shown if at > last - timedelta(days=fatigue.often_window)]
        if len(ignored) >= fatigue.ignored_times:
            ends["resting: ignored"] = last + timedelta(days=fatigue.ignored_rest)
        if len(often) >= fatigue.often_times:
            ends["resting: seen too often"] = last + timedelta(days=fatigue.often_rest)
    ends = {reason: end for reason, end in ends.items() if end > NOW}
    return max(ends.items(), key=lambda item: item[1], default=None)  # of equal ones the first


def random_bank(seed: int, customers: int = 25) -> Bank:
    draw = np.random.default_rng(seed)

    def half_days(low: int, high: int) -> datetime:
        return ago(float(draw.integers(low, high)) / 2)

    users = [f"u{number}" for number in range(customers)]
    told: list[Any] = [
        (user, *(None if draw.random() < 0.2 else value for value in (age, region)))
        for user, age, region in zip(
            users,
            draw.integers(10, 80, customers).tolist(),
            draw.choice(["north", "south"], customers),
            strict=True,
        )
    ]
    facts: list[Fact] = []
    for _ in range(customers * 25):
        kind = str(
            draw.choice(["shown", "click", "join", "dismiss", "transaction"], p=[0.8, 0.08, 0.04, 0.04, 0.04])
        )
        facts.append((str(draw.choice(users)), str(draw.choice(CATEGORIES)), kind, half_days(-2, 16)))
    holdings: list[Any] = []
    for _ in range(customers):
        since = half_days(-3, 8)
        until = None if draw.random() < 0.3 else since + timedelta(days=float(draw.integers(0, 8)) / 2)
        holdings.append((str(draw.choice(users)), str(draw.choice(CATEGORIES)), since, until))
    return Bank([(u, a, r and str(r)) for u, a, r in told], facts, holdings)


def customers_of(spark: SparkSession, bank: Bank) -> DataFrame:
    return spark.createDataFrame(bank.customers, "user_id string, age int, region string")


def facts_of(spark: SparkSession, facts: Iterable[Fact]) -> DataFrame:
    return spark.createDataFrame(list(facts), "user_id string, category string, kind string, at timestamp")


def categories_of(spark: SparkSession, fallback: float = 0.01) -> DataFrame:
    rows = [(name, GROUPS[name], 1.0, fallback + place / 1000) for place, name in enumerate(CATEGORIES)]
    return spark.createDataFrame(
        rows, "category string, category_group string, weight double, fallback double"
    )


def contents_of(spark: SparkSession) -> DataFrame:
    """Two live banners a category, but for ENDED and FUTURE; what ends at NOW is over."""
    rows: list[Any] = [
        (f"{name}{number}", name, NOW, None if number else NOW + timedelta(seconds=1))
        for name in CATEGORIES
        if name not in (ENDED, FUTURE)
        for number in range(2)
    ]
    rows += [("f0", ENDED, ago(9), NOW), ("g0", FUTURE, NOW + timedelta(seconds=1), None)]
    return spark.createDataFrame(
        rows, "content_id string, category string, starts_at timestamp, ends_at timestamp"
    )


def by_hash(frame: DataFrame, seed: int) -> DataFrame:
    """The same rows in another order, in three partitions."""
    return frame.orderBy(*reversed(frame.columns)).repartition(3) if seed % 2 else frame.repartition(3)
