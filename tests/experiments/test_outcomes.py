"""Outcomes from the log, against plain Python unit by unit; the plan; and what is refused."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import DataError, LimitError, SettingsError
from firstday.experiments import outcomes as module
from firstday.experiments.outcomes import outcomes
from firstday.experiments.spans import Spans
from firstday.settings.metrics import Metric
from tests.experiments.outcome_worlds import (
    ASSIGNMENTS,
    DAY,
    EVENTS,
    HORIZON_US,
    HOUR,
    METRICS,
    START,
    World,
    collected,
    naive_outcomes,
    world,
)

COUNT = Metric(name="events", kind="count")


@pytest.fixture(scope="module")
def told() -> World:
    return world(seed=3)


@pytest.fixture(scope="module")
def expected(told: World) -> pd.DataFrame:
    return naive_outcomes(told).sort_values(["metric", "unit_id"], ignore_index=True)


def spans_of(spark: SparkSession, rows: list[tuple[Any, ...]], **further: Any) -> Spans:
    return Spans.of(spark.createDataFrame(rows, ASSIGNMENTS), horizon=HORIZON_US, **further)


def measured(found: DataFrame) -> pd.DataFrame:
    return collected(found.select("unit_id", "metric", "y", "d", "x", "met"), ["metric", "unit_id"])


@pytest.mark.parametrize("broadcast_bytes", [0, 1 << 30])
def test_each_unit_is_measured_as_by_hand(
    spark: SparkSession, told: World, expected: pd.DataFrame, broadcast_bytes: int
) -> None:
    rows = [*told.assignments, *told.assignments[:5]]  # the same assignment twice is one
    spans = spans_of(spark, rows, segments=["country"], covariates=["age"])
    tables = {
        name: table.repartition(3).orderBy(F.rand(1)) if broadcast_bytes else table
        for name, table in told.frames(spark).items()
    }
    found = outcomes(spans, METRICS, horizon=HORIZON_US, broadcast_bytes=broadcast_bytes, **tables)
    pd.testing.assert_frame_equal(measured(found.long()), expected, check_dtype=False)
    spans.release()
    # The world has what the rules are about.
    known = expected.dropna()
    assert set(expected.loc[expected["y"].isna(), "metric"]) >= {"d3 calendar", "met"}
    assert (known.groupby("metric")["y"].nunique() > 1).all()
    assert known.loc[known["metric"] == "clicks", "d"].eq(0).any()
    assert 0 < expected["met"].mean() < 1


def exchanges(node: Any) -> int:
    """Those of the plan, without what is behind the cached assignments."""
    below = sum(exchanges(node.children().apply(place)) for place in range(node.children().size()))
    return below + (node.nodeName() == "Exchange")


def test_the_log_is_shuffled_once(spark: SparkSession, told: World) -> None:
    """With broadcast assignments as sums; else by the unit, as cached assignments and the group-by are."""
    spark.conf.set("spark.sql.shuffle.partitions", "3")
    try:
        spans = spans_of(spark, told.assignments, segments=["country"])
        events = told.frames(spark)["events"]
        metrics = [metric for metric in METRICS[:6] if metric.covariate != "age"]
        sent = outcomes(spans, metrics, horizon=HORIZON_US, events=events).frame
        assert exchanges(sent._jdf.queryExecution().executedPlan()) == 1
        joined = outcomes(spans, metrics, horizon=HORIZON_US, events=events, broadcast_bytes=0).frame
        plan = joined._jdf.queryExecution().executedPlan()
        assert exchanges(plan) == 1
        assert "ShuffledHashJoin" in plan.toString()  # no sort of the log
        spans.release()
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "1")


def test_periods_end_where_the_next_begins_and_wash_out_is_left_out(spark: SparkSession) -> None:
    rows = [
        ("u", "a", START, 1, "ab", START + HOUR, None),
        ("u", "b", START + DAY, 2, "ab", START + DAY + HOUR, START + 2 * DAY),
    ]
    schema = (
        "unit_id string, variant string, assigned_at timestamp, period int, sequence string, "
        "washout_to timestamp, valid_to timestamp"
    )
    hours = [-2, 0, 1, 23, 24, 25, 26, 47, 48]  # of events, since the start
    log = [("u", "view", START + hour * HOUR, None, None) for hour in hours]
    spans = Spans.of(spark.createDataFrame(rows, schema), horizon=HORIZON_US, panel="period")
    metric = Metric(name="n", kind="count", covariate="pre")
    found = outcomes(spans, [metric], horizon=HORIZON_US, events=spark.createDataFrame(log, EVENTS))
    told = found.long().orderBy("period").select("period", "sequence", "variant", "y", "x").collect()
    assert [tuple(row) for row in told] == [(1, "ab", "a", 2.0, 1.0), (2, "ab", "b", 3.0, 1.0)]
    spans.release()


def test_exposure_by_an_action(spark: SparkSession) -> None:
    rows = [(unit, "a", START + DAY, None, None, 0.0) for unit in ("early", "met", "never")]
    log = [("early", "saw", START, None, None), ("met", "saw", START + DAY, None, None)]
    spans = spans_of(spark, rows)
    events = spark.createDataFrame(log, EVENTS)
    found = outcomes(spans, [COUNT], horizon=HORIZON_US, events=events, exposure=["saw"])
    assert {row["unit_id"]: row["met"] for row in found.frame.collect()} == {
        "early": False,
        "met": True,
        "never": False,
    }
    spans.release()


def assignment(
    unit: str = "u", variant: str = "a", at: datetime = START, to: datetime | None = None
) -> tuple:
    return (unit, variant, at, to, None, 0.0)


@pytest.mark.parametrize(
    ("rows", "further", "said"),
    [
        (
            [assignment(), assignment(variant="b"), assignment("v")],
            {},
            "one variant at a time.*1 unit, such as 'u'",
        ),
        ([assignment(to=START - HOUR)], {}, "ends after it begins.*1 unit.*swapped dates"),
        (
            [assignment(), assignment("v", "c")],
            {"variants": ["a", "b"]},
            "one of the plan's: a, b.*1 units in 'c'",
        ),
        ([assignment()], {"variants": ["a", "b"]}, "has units.*'b'"),
        ([("u", None, START, None, None, 0.0)], {}, "has a unit, a variant and an instant"),
        ([], {}, "An experiment has units"),
    ],
)
def test_assignments_that_make_no_sense(
    spark: SparkSession, rows: list[Any], further: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        spans_of(spark, rows, **further)


def test_a_panel_whose_rows_overlap_is_refused(spark: SparkSession) -> None:
    rows = [assignment(to=START + 2 * DAY), assignment(variant="b", at=START + DAY)]
    table = spark.createDataFrame(rows, ASSIGNMENTS).withColumn(
        "stage", F.when(F.col("variant") == "a", 1).otherwise(2)
    )
    with pytest.raises(DataError, match="one variant at a time"):
        Spans.of(table, horizon=HORIZON_US, panel="stage")


def test_those_assigned_behind_the_log_are_left_out_and_counted(spark: SparkSession) -> None:
    spans = spans_of(spark, [assignment(), assignment("late", at=START + 20 * DAY)])
    assert (spans.after_horizon, spans.rows, spans.frame.count()) == (1, {"a": 2}, 1)
    spans.release()


def test_metrics_that_cannot_be_measured(spark: SparkSession) -> None:
    spans = spans_of(spark, [assignment()])
    events = spark.createDataFrame([], EVENTS)
    for metrics, said in (
        ([], "There is a metric"),
        ([COUNT, COUNT], "a name of its own"),
        ([Metric(name="c", kind="click_rate")], "counted from impressions.*--impressions"),
        ([Metric(name="v", kind="column", value="v")], "measured with --units"),
        ([Metric(name="n", kind="count", covariate="age")], "A covariate is a column of the units.*'age'"),
        ([Metric(name="s", kind="sum", value="price")], "column of the events.*'price'.*amount"),
        ([Metric(name="r", kind="retention", day=1, window=2 * DAY - HOUR), COUNT], None),
    ):
        if said is None:
            outcomes(spans, metrics, horizon=HORIZON_US, events=events)
            continue
        with pytest.raises((SettingsError, DataError), match=said):
            outcomes(spans, metrics, horizon=HORIZON_US, events=events)
    spans.release()


def test_too_many_categories_are_refused(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, told: World
) -> None:
    monkeypatch.setattr(module, "MOST_CATEGORIES", 10)
    spans = spans_of(spark, told.assignments)
    tables = told.frames(spark)
    with pytest.raises(LimitError, match="at most 10"):
        outcomes(spans, [METRICS[-1]], horizon=HORIZON_US, **tables)
    spans.release()


def test_worlds_differ() -> None:
    assert not np.array_equal(world(1).events, world(2).events)
