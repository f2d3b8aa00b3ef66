"""Take-up by profile equals a naive count with back-off, and is told only of customers with few interests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import LimitError, SettingsError
from firstday.recommendations.recall import novelty as module
from firstday.recommendations.recall.catalog import Catalog
from firstday.recommendations.recall.interests import interests
from firstday.recommendations.recall.novelty import Profile, novelty

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FACTS = "user_id string, category string, kind string, at timestamp, value double"
CATALOG = Catalog(("a", "b", "c", "d"), ("g", "g", "h", "i"))
PROFILE = Profile(("home.region", "age"), bins=2, strength=5.0, least=12)
CUSTOMERS = "user_id string, `home.region` string, age int"


def world() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """120 customers; in the north `a` and `c` are taken up, in the south `b`; a third have done nothing."""
    draw = np.random.default_rng(8)
    customers, facts = [], []
    for user in range(120):
        region = [None, "north", "south"][int(draw.integers(0, 20) > 0) * int(draw.integers(1, 3))]
        age = None if user % 17 == 0 else int(draw.integers(18, 80))
        customers.append((f"u{user}", region, age))
        if user % 3 == 0:
            facts.append((f"u{user}", "d", "shown", NOW - timedelta(days=1), None))
            facts.append((f"u{user}", "b", "join", NOW, None))  # not before now
            continue
        for category in ("a", "c") if region == "north" else ("b",):
            if draw.random() < 0.7:
                kind = str(draw.choice(["transaction", "join", "since", "click"]))
                facts += [(f"u{user}", category, kind, NOW - timedelta(days=9), None)] * 2
        if user % 5 == 0:
            facts.append((f"u{user}", "b", "since", NOW - timedelta(days=300), None))
            facts.append((f"u{user}", "b", "until", NOW - timedelta(days=200), None))
    return customers, facts


def of_kinds(facts: list[tuple[Any, ...]], *kinds: str) -> set[tuple[str, str]]:
    return {(user, category) for user, category, kind, *_ in facts if kind in kinds}


def naive(customers: list[tuple[Any, ...]], facts: list[tuple[Any, ...]], few: int) -> dict[str, Any]:
    """user -> (lifts, profile's name)"""
    known = [fact for fact in facts if fact[3] < NOW]
    taken = of_kinds(known, "transaction", "join", "since")
    met = taken | of_kinds(known, "click")
    edge = float(np.quantile([age for _, _, age in customers if age is not None], 0.5))
    group = dict(zip(CATALOG.names, CATALOG.groups, strict=True))

    def labels(user: str, region: str | None, age: int | None) -> tuple[str, ...]:
        own = [fact[1:3] for fact in known if fact[0] == user]
        names = [name for name in CATALOG.names if own.count((name, "since")) > own.count((name, "until"))]
        held = sorted({group[name] for name in names})
        aged = "unknown" if age is None else f"below {edge:g}" if age < edge else f"from {edge:g}"
        return f"home.region {region or 'unknown'}", f"age {aged}", " + ".join(held) or "nothing"

    cell = {row[0]: labels(*row) for row in customers}
    found = {}
    for user in cell:
        own = {category for other, category in met if other == user}
        if len(own) >= few:
            continue
        lifts: list[float | None] = []
        for category in CATALOG.names:
            everyone = (sum((one, category) in taken for one in cell) + 0.5) / (len(cell) + 1)
            rate = everyone
            for level in range(1, 4):
                if level == 3 and group[category] in cell[user][2].split(" + "):
                    continue
                like = [one for one in cell if cell[one][:level] == cell[user][:level]]
                rate = (sum((one, category) in taken for one in like) + 5.0 * rate) / (len(like) + 5.0)
            lifts.append(None if category in own else rate / everyone)
        named = [*cell[user][:2], f"holds {cell[user][2]}"]
        sizes = [sum(cell[one][:level] == cell[user][:level] for one in cell) for level in range(1, 4)]
        name = ", ".join(named[: sum(size >= 12 for size in sizes)]) or "everyone"
        found[user] = (lifts, name)
    return found


def told(customers: DataFrame, facts: DataFrame, profile: Profile) -> dict[str, Any]:
    met = interests(facts, CATALOG, NOW)
    rows = novelty(customers, facts, met, CATALOG, NOW, profile).collect()
    return {row["user_id"]: (row["novelty"], row["profile"]) for row in rows}


@pytest.mark.parametrize("few", [1, 2])
def test_novelty_equals_a_naive_count(spark: SparkSession, few: int) -> None:
    customers, facts = world()
    expected = naive(customers, facts, few)
    profile = Profile(PROFILE.columns, PROFILE.bins, few, PROFILE.strength, PROFILE.least)
    tables = spark.createDataFrame(customers, CUSTOMERS), spark.createDataFrame(facts, FACTS)
    shuffled = [table.orderBy(F.rand(2)).repartition(3) for table in tables]
    found = told(*tables, profile) if few == 1 else told(shuffled[0], shuffled[1], profile)
    assert set(found) == set(expected)
    for user, (lifts, name) in expected.items():
        assert found[user][1] == name
        np.testing.assert_allclose(np.array(found[user][0], float), np.array(lifts, float), rtol=1e-12)
    if few == 1:
        north = pd.DataFrame(
            found[user][0] for user, region, _ in customers if region == "north" and user in found
        )
        assert (north[[0, 2]].min(axis=1) > north[1]).all()


def test_without_columns_or_history_everyone_is_alike(spark: SparkSession) -> None:
    customers = spark.createDataFrame([("u", None, None), ("v", "s", None)], CUSTOMERS)
    nothing = spark.createDataFrame([], FACTS)
    for columns in ((), ("age", "home.region")):
        found = told(customers, nothing, Profile(columns))
        assert {name for _, name in found.values()} == {"everyone"}
        assert all(len(set(lifts)) == 1 and 0.9 < lifts[0] <= 1 for lifts, _ in found.values())
        assert set(found) == {"u", "v"}


def test_odd_profiles_are_refused(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    customers = spark.createDataFrame([("u", "n", 3), ("v", "s", 4)], CUSTOMERS)
    nothing = spark.createDataFrame([], FACTS)
    with pytest.raises(SettingsError, match=r"columns of the customers.*'agee'"):
        told(customers, nothing, Profile(("agee",)))
    with pytest.raises(SettingsError, match="Strength"):
        Profile(strength=0)
    with pytest.raises(SettingsError, match="bins"):
        Profile(bins=1)
    monkeypatch.setattr(module, "MOST_CELLS", 1)
    with pytest.raises(LimitError, match="profiles"):
        told(customers, nothing, Profile(("home.region",)))
