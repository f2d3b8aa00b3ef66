"""All figures of monitoring as loops over the log have them; no history; any order and partitioning."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import combinations
from math import ceil, log2
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from statsmodels.stats.proportion import proportion_confint

from firstday.ranking.history import facts
from firstday.recommendations.monitoring import MonitoringTables, finished, monitored
from firstday.recommendations.monitoring_outputs import RECOMMEND_MONITORING
from firstday.recommendations.monitoring_rates import GROUPS as RANDOM_GROUPS
from firstday.recommendations.monitoring_rates import SUMS, with_intervals
from firstday.spark.frames import from_pandas
from tests.recommendations.bank_worlds import CATEGORIES, GROUPS, NOW, ago

SCHEMAS = {
    "customers": "user_id string, gender string, `odd.name` int",
    "categories": "category string, category_group string, weight double",
    "contents": "content_id string, category string, starts_at timestamp, ends_at timestamp",
    "impressions": "impression_id string, user_id string, category string, content_id string, slot int, "
    "shown_at timestamp, policy string, propensity double",
    "reactions": "impression_id string, user_id string, kind string, reacted_at timestamp",
    "transactions": "user_id string, category string, occurred_at timestamp, amount double",
    "recommendations": "user_id string, slot int, category string, source string, valid_from timestamp, "
    "valid_to timestamp",
    "lists": "user_id string, slot int, category string, content_id string, source string",
}
WINDOW = timedelta(days=7)
SINCE = NOW - WINDOW
KINDS = {"click": "click_rate", "join": "join_rate", "dismiss": "dismiss_rate"}
Rows = dict[str, list[Any]]


def half_day(draw: np.random.Generator, low: int = -1, high: int = 10) -> datetime:
    """Some whole half day from `high` days ago to 1 day ahead: bounds are met."""
    return ago(float(draw.integers(2 * low, 2 * high + 1)) / 2)


def random_log(seed: int) -> Rows:
    draw = np.random.default_rng(seed)
    users = [f"u{number}" for number in range(15)]
    names = [*CATEGORIES, "gone"]  # of a category that is not in the table any more

    def pick(values: Any) -> Any:
        return values[draw.integers(len(values))]

    tables: Rows = {
        "customers": [(user, pick(["f", None]), int(draw.integers(2))) for user in users[:-1]],
        "categories": [(name, GROUPS[name], 1.0) for name in CATEGORIES],
        "contents": [
            (f"{name}{number}", name, half_day(draw), pick([None, half_day(draw)]))
            for name in CATEGORIES
            for number in range(2)
        ],
        "impressions": [],
        "reactions": [("absent", "u0", "click", ago(1))],
        "transactions": [(pick(users), pick(names), half_day(draw), 1.0) for _ in range(20)],
    }
    for number in range(300):
        user, category, at = pick(users), pick(names[: 4 + number % 5]), half_day(draw)
        row = (f"i{number}", user, category, f"{category}{draw.integers(2)}", int(draw.integers(1, 4)), at)
        tables["impressions"].append((*row, pick(["new", "old", None]), None))
        for kind in (*KINDS, "click", "stared"):
            if draw.random() < 0.3:
                reacted = at + timedelta(days=float(draw.integers(-1, 4)) / 2)
                tables["reactions"].append((f"i{number}", user, kind, reacted))
    tables["recommendations"] = [
        (
            *(row[1], row[4], row[2], pick(["relevance", "novelty", None])),
            row[5] - timedelta(days=float(draw.integers(-1, 3))),
            pick([None, row[5] + timedelta(days=float(draw.integers(0, 3)))]),
        )
        for row in tables["impressions"]
        if draw.random() < 0.7
    ]
    tables["lists"] = [
        (user, slot, name, f"{name}{draw.integers(2)}", pick(["relevance", "refill", "exploring"]))
        for user in users
        for slot, name in enumerate(draw.permutation(list(CATEGORIES))[: draw.integers(1, 5)].tolist(), 1)
    ]
    return tables


def frames(spark: SparkSession, tables: Rows) -> dict[str, DataFrame]:
    return {name: spark.createDataFrame(rows, SCHEMAS[name]) for name, rows in tables.items()}


def found(tables: dict[str, DataFrame], *, sourced: bool = True) -> MonitoringTables:
    known = facts(
        impressions=tables["impressions"], reactions=tables["reactions"], transactions=tables["transactions"]
    )
    return monitored(
        tables,
        known,
        NOW,
        window=WINDOW,
        recommendations=tables["recommendations"] if sourced else None,
        lists=tables["lists"],
        segment=("gender", "odd.name") if sourced else (),
    )


class Oracle:
    """The same in loops."""

    def __init__(self, tables: Rows) -> None:
        self.tables = tables
        self.users = {
            row[0]: f"gender {row[1] or 'unknown'}, odd.name {row[2]}" for row in tables["customers"]
        }
        self.shown = [row for row in tables["impressions"] if SINCE <= row[5] < NOW]
        self.reacted = defaultdict(set)
        for impression, _, kind, at in tables["reactions"]:
            if at < NOW:
                self.reacted[impression].add(kind)

    def clicked_at(self, row: Any) -> datetime:
        clicks = [r[3] for r in self.tables["reactions"] if (r[0], r[2]) == (row[0], "click")]
        return max(min(clicks), row[5])

    def source(self, row: Any) -> str | None:
        held = [
            (valid_from, source or "", source)
            for user, slot, category, source, valid_from, valid_to in self.tables["recommendations"]
            if (user, category, slot) == (row[1], row[2], row[4])
            and valid_from <= row[5]
            and (valid_to is None or valid_to > row[5])
        ]
        return max(held)[2] if held else None

    def rates(self) -> dict[Any, tuple[float, int]]:
        placed = defaultdict(list)
        for row in self.shown:
            told = {"policy": row[6], "source": self.source(row), "slot": str(row[4]), "category": row[2]}
            for place in (told | {"all": None, "segment": self.users.get(row[1])}).items():
                placed[place].append(row)
        return {
            (*place, name): (sum(kind in self.reacted[row[0]] for row in rows) / len(rows), len(rows))
            for place, rows in placed.items()
            for kind, name in KINDS.items()
        }

    def of_customers(self) -> dict[Any, float]:
        clicks = [row for row in self.shown if "click" in self.reacted[row[0]]]
        met = [(user, name, at) for user, name, at, _ in self.tables["transactions"]]
        known = {row[0]: row for row in self.tables["impressions"]}
        for impression, _, kind, at in self.tables["reactions"]:
            if impression in known and kind in ("click", "join"):
                row = known[impression]
                met.append((row[1], row[2], max(at, row[5])))
        new = [
            not any((user, name) == (row[1], row[2]) and at < self.clicked_at(row) for user, name, at in met)
            for row in clicks
        ]
        people = {row[1] for row in self.shown}
        return {
            ("all", None, "serendipity"): sum(new) / len(new),
            ("all", None, "categories_per_customer"): len({row[1:3] for row in clicks}) / len(people),
        }

    def variety(self, of: str, rows: list[tuple[Any, str, str]], live: set[str]) -> dict[Any, float]:
        """rows: list, category, content."""
        lists = defaultdict(list)
        for at, category, _ in rows:
            lists[at].append(GROUPS.get(category, category))
        pairs = [
            np.mean([one != other for one, other in combinations(groups, 2)])
            for groups in lists.values()
            if len(groups) > 1
        ]
        counts = Counter(category for _, category, _ in rows)
        sizes = sorted((counts[name] for name in CATEGORIES), reverse=True)
        differences = sum(abs(one - other) for one in sizes for other in sizes)
        often = Counter(row[2] for row in self.shown)
        told = {
            "diversity": float(np.mean(pairs)),
            "category_coverage": sum(size > 0 for size in sizes) / len(sizes),
            "category_top_share": sum(sizes[: ceil(len(sizes) / 10)]) / sum(sizes),
            "category_gini": differences / (2 * len(sizes) * sum(sizes)),
            "content_coverage": len(live & {content for _, _, content in rows}) / len(live),
            "novelty": float(
                np.mean([-log2(max(often[category], 1) / len(self.shown)) for _, category, _ in rows])
            ),
        }
        return {(of, None, name): value for name, value in told.items()}

    def all(self) -> dict[Any, float]:
        contents, lists = self.tables["contents"], self.tables["lists"]
        was = {row[0] for row in contents if row[2] < NOW and (row[3] is None or row[3] > SINCE)}
        live = {row[0] for row in contents if row[2] <= NOW and (row[3] is None or row[3] > NOW)}
        told = {place: rate for place, (rate, _) in self.rates().items()} | self.of_customers()
        told |= self.variety("all", [((r[1], r[5]), r[2], r[3]) for r in self.shown], was)
        told |= self.variety("new lists", [(r[0], r[2], r[3]) for r in lists], live)
        for source, name in (("refill", "refilled_share"), ("exploring", "exploring_share")):
            told["new lists", None, name] = sum(r[4] == source for r in lists) / len(lists)
        return told


def test_all_figures_as_loops_have_them(spark: SparkSession) -> None:
    tables = random_log(1)
    told = found(frames(spark, tables))
    table = told.monitoring
    oracle = Oracle(tables)
    amounts = {
        (row.dimension, None if pd.isna(row.value) else row.value, row.figure): row.amount
        for row in table.itertuples(index=False)
    }
    assert amounts == pytest.approx(oracle.all())
    assert len(amounts) == len(table)
    of_rows = table[table["figure"] == "click_rate"]
    counts = {
        (row.dimension, None if pd.isna(row.value) else row.value): row.impressions
        for row in of_rows.itertuples(index=False)
    }
    assert counts == {place[:2]: rows for place, (_, rows) in oracle.rates().items()}
    others = table[~table["figure"].isin(KINDS.values())]
    assert set(others.loc[others["dimension"] == "all", "impressions"]) == {len(oracle.shown)}
    assert set(others.loc[others["dimension"] == "new lists", "impressions"]) == {len(tables["lists"])}
    bounded = table.dropna(subset=["low"])
    assert ((bounded["low"] <= bounded["amount"]) & (bounded["amount"] <= bounded["high"])).all()
    assert "source is not known" in told.notes[0]
    assert len(from_pandas(spark, table, RECOMMEND_MONITORING).columns) == 7
    shuffled = found({name: frame.repartition(3) for name, frame in frames(spark, tables).items()})
    pd.testing.assert_frame_equal(shuffled.monitoring, table)


def test_a_first_run_has_nothing_but_new_lists(spark: SparkSession) -> None:
    tables = random_log(3) | {"impressions": [], "reactions": []}
    told = found(frames(spark, tables), sourced=False)
    assert set(told.monitoring["dimension"]) == {"new lists"}
    assert "novelty" not in set(told.monitoring["figure"])
    assert list(told.monitoring.columns) == RECOMMEND_MONITORING.names
    assert told.notes == (
        "Nothing was shown from 2024-04-24 12:00 to 2024-05-01 12:00 UTC: there are no rates.",
    )


def test_nothing_at_all() -> None:
    table = finished(pd.DataFrame(columns=["dimension", "value", "figure", "amount", *SUMS]))
    assert table.empty
    assert list(table.columns) == RECOMMEND_MONITORING.names


def test_intervals_by_hand() -> None:
    """Without likeness Wilson's of the rows; with it, or with no click at all, fewer rows count."""
    sums = pd.DataFrame(
        [
            (10, 100, 10, 100, 10, 100),  # a row each
            (10, 100, 100, 1000, 100, 10),  # ten customers with ten rows each, of which one clicked on all
            (0, 100, 0, 1000, 0, 10),
            (3, 9, 9, 81, 27, 1),  # a single customer
        ],
        columns=list(SUMS),
    )
    told = with_intervals(sums)
    ten = (
        100**2 * (1 - 1 / RANDOM_GROUPS) / (1000 - 100**2 / RANDOM_GROUPS)
    )  # customers, as the scatter of groups has it
    assert ten == pytest.approx(10, rel=0.01)
    independent = [(9.9, 99), (0.9, 9), (0, ten)]  # clicks and rows that count, m / (m - 1) in it
    for place, (clicks, rows) in enumerate(independent):
        expected = proportion_confint(clicks, rows, method="wilson")
        assert tuple(told.loc[place, ["low", "high"]]) == pytest.approx(expected)
    assert tuple(told.loc[3, ["low", "high"]]) == pytest.approx(proportion_confint(1 / 3, 1, method="wilson"))
