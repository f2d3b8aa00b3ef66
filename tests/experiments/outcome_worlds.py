"""Small invented experiments, and what came of them by plain Python, unit by unit."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from firstday.settings.metrics import Metric
from firstday.windows import microseconds

START = datetime(2026, 3, 1, tzinfo=UTC)
HORIZON = START + timedelta(days=12)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ASSIGNMENTS = (
    "unit_id string, variant string, assigned_at timestamp, valid_to timestamp, country string, age double"
)
EVENTS = "user_id string, action string, occurred_at timestamp, amount double, category string"
IMPRESSIONS = (
    "impression_id string, user_id string, category string, content_id string, slot int, shown_at timestamp"
)
REACTIONS = "impression_id string, kind string, reacted_at timestamp"
METRICS = (
    Metric(name="d1", kind="retention", day=1),
    Metric(name="d3 calendar", kind="retention", day=3, retention="calendar", actions=("view",)),
    Metric(name="within 3", kind="retention", day=3, retention_kind="within"),
    Metric(name="within 2 calendar", kind="retention", day=2, retention="calendar", retention_kind="within"),
    Metric(name="2 or later", kind="retention", day=2, retention_kind="on_or_after", actions=("chat",)),
    Metric(name="moment", kind="moment", actions=("chat",), threshold=2, window=30 * HOUR),
    Metric(name="events", kind="count", covariate="pre", pre_window=3 * DAY),
    Metric(name="chats", kind="count", actions=("chat", "call"), window=2 * DAY, covariate="age"),
    Metric(name="spend", kind="sum", value="amount", actions=("pay",), covariate="pre"),
    Metric(name="clicks", kind="click_rate", covariate="pre"),
    Metric(name="met", kind="categories", actions=("pay",), window=4 * DAY, covariate="pre"),
)


@dataclass(frozen=True)
class World:
    """Rows of the tables, as Python has them."""

    assignments: list[tuple[Any, ...]]
    events: list[tuple[Any, ...]]
    impressions: list[tuple[Any, ...]]
    reactions: list[tuple[Any, ...]]

    def frames(self, spark: SparkSession) -> dict[str, Any]:
        return {
            "events": spark.createDataFrame(self.events, EVENTS),
            "impressions": spark.createDataFrame(self.impressions, IMPRESSIONS),
            "reactions": spark.createDataFrame(self.reactions, REACTIONS),
        }


def instant(draw: np.random.Generator, low: float, high: float) -> datetime:
    """On the hour, so that edges are met often."""
    return START + int(draw.integers(int(low * 24), int(high * 24))) * HOUR


def world(seed: int, worlds: int = 8, units: int = 25) -> World:
    """Many small experiments in one, told apart by the units' prefix; some units do nothing at all."""
    draw = np.random.default_rng(seed)
    assignments: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = [("stranger", "view", START + DAY, 1.0, None)]
    events += [("0-0", "pay", START + 10 * DAY, odd, None) for odd in (float("nan"), float("inf"))]
    impressions: list[tuple[Any, ...]] = []
    reactions: list[tuple[Any, ...]] = [("unknown", "click", START + DAY)]
    categories = [f"c{number:03}" for number in range(70)]
    for unit in (f"{number}-{unit}" for number in range(worlds) for unit in range(units)):
        ends = instant(draw, 9.5, 13) if draw.random() < 0.3 else None
        variant, country = draw.choice(["control", "treatment"]), draw.choice(["KR", "a=b", ""])
        row = (unit, str(variant), instant(draw, 0, 9), ends, str(country) or None, float(draw.integers(60)))
        assignments.append(row)
        for _ in range(int(draw.choice([0, 3, 12]))):
            action = str(draw.choice(["chat", "view", "call", "pay"]))
            amount = float(draw.integers(100)) if action == "pay" else None
            events.append((unit, action, instant(draw, -4, 14), amount, str(draw.choice(categories))))
        for _ in range(int(draw.choice([0, 2, 8]))):
            name, shown = f"i{len(impressions)}", instant(draw, -4, 14)
            impressions.append((name, unit, str(draw.choice(categories[:65])), "x", 1, shown))
            kinds = draw.choice(["click", "join", "dismiss", "click"], size=int(draw.integers(0, 3)))
            reactions += [(name, str(kind), shown + int(draw.integers(-2, 40)) * HOUR) for kind in kinds]
    return World(assignments, events, impressions, reactions)


def naive_outcomes(told: World, metrics: tuple[Metric, ...] = METRICS) -> pd.DataFrame:
    """One row a unit and metric: unit_id, metric, y, d, x (y and d None where they are not known), met."""
    rows = []
    for unit, _, assigned, valid_to, _, age in told.assignments:
        mine = [row for row in told.events if row[0] == unit and row[2] <= HORIZON]
        shown = [row for row in told.impressions if row[1] == unit and row[5] <= HORIZON]
        ends = valid_to or datetime(2100, 1, 1, tzinfo=UTC)
        met = any(assigned <= row[5] < ends for row in shown)
        for metric in metrics:
            window = metric.counting_window
            until = ends if window is None else min(ends, assigned + window)
            label = naive_label(metric, assigned)
            if metric.kind == "retention":
                first, last = label[0], min(label[1], ends)
                if metric.retention_kind == "within":  # from day 1 on, once the action window is over
                    first = max(
                        naive_label(metric.model_copy(update={"day": 1}), assigned)[0], assigned + DAY
                    )
                if metric.retention_kind == "on_or_after":
                    last = ends
                y, d = float(any(acts(metric, row) and first <= row[2] < last for row in mine)), 1.0
                known = label[1] <= min(HORIZON, ends)
            else:
                y, d = naive_value(metric, assigned, until, mine, shown, told)
                known = window is None or assigned + window <= min(HORIZON, ends)
            x = 0.0
            if metric.covariate == "age":
                x = age
            elif metric.covariate == "pre":
                past, whole = naive_value(metric, assigned - metric.pre_window, assigned, mine, shown, told)
                x = (past / whole if whole else 0.0) if metric.is_ratio else past
            rows.append((unit, metric.name, y if known else None, d if known else None, x, met))
    return pd.DataFrame(rows, columns=["unit_id", "metric", "y", "d", "x", "met"])


def naive_label(metric: Metric, assigned: datetime) -> tuple[datetime, datetime]:
    day = metric.day or 1
    if metric.retention != "calendar":
        return assigned + day * DAY, assigned + (day + 1) * DAY
    midnight = datetime.combine(assigned.date(), datetime.min.time(), UTC)
    return midnight + day * DAY, midnight + (day + 1) * DAY


def acts(metric: Metric, event: tuple[Any, ...]) -> bool:
    return not metric.actions or event[1] in metric.actions


def naive_value(
    metric: Metric, start: datetime, end: datetime, mine: list[Any], shown: list[Any], told: World
) -> tuple[float, float]:
    inside = [row for row in mine if start <= row[2] < end]
    seen = [row for row in shown if start <= row[5] < end]
    if metric.kind == "click_rate":
        clicked = [row for row in seen if reacted(told, row, ("click",), end)]
        return float(len(clicked)), float(len(seen))
    if metric.kind == "categories":
        met = {row[2] for row in seen if reacted(told, row, ("click", "join"), end)}
        return float(len(met | {row[4] for row in inside if row[1] in metric.actions})), 1.0
    counted = [row for row in inside if acts(metric, row)]
    if metric.kind == "sum":
        return float(sum(row[3] for row in counted if row[3] is not None and np.isfinite(row[3]))), 1.0
    return float(len(counted) >= (metric.threshold or 0) if metric.kind == "moment" else len(counted)), 1.0


def reacted(told: World, impression: tuple[Any, ...], kinds: tuple[str, ...], end: datetime) -> bool:
    """A reaction is never before its impression."""
    return any(
        row[0] == impression[0] and row[1] in kinds and max(row[2], impression[5]) < end
        for row in told.reactions
    )


HORIZON_US = microseconds(HORIZON)


def collected(table: DataFrame, keys: list[str]) -> pd.DataFrame:
    """A small table as pandas, in the order of its keys."""
    frame: pd.DataFrame = table.toPandas()
    return frame.sort_values(keys, ignore_index=True)
