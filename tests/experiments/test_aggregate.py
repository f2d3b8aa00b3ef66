"""The table of sums against the row-level formula in pandas, in any order and partitioning of the rows."""

import json
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import DataError, SettingsError
from firstday.experiments.aggregate import (
    EVERYONE,
    added,
    aggregate,
    aggregate_schema,
    retention_by_categories,
    sums_in,
)
from firstday.experiments.outcomes import Outcomes, outcomes
from firstday.experiments.panel_outcomes import ages, panel_of, panel_table, periods
from firstday.experiments.panels import PARTS as PANEL_PARTS
from firstday.experiments.panels import PanelSums
from firstday.experiments.spans import Spans
from firstday.experiments.sums import CENTRES, PARTS, Sums
from firstday.experiments.unit_table import checked_units, unit_outcomes
from firstday.segments import ALL
from firstday.settings.metrics import Metric
from tests.experiments.outcome_worlds import (
    ASSIGNMENTS,
    DAY,
    HORIZON,
    HORIZON_US,
    HOUR,
    METRICS,
    START,
    collected,
    naive_outcomes,
    naive_value,
    reacted,
    world,
)

TOLD = world(seed=5)
NEVER = START + 1000 * DAY
KEYS = ["metric", "variant", "segment", "population", "assigned_on"]
UNITS = "id long, arm string, on date, clicks long, shown long, back boolean, before double, country string"


def sums_of(rows: pd.DataFrame, dates: Sequence[date]) -> Sums:
    """The rows of one metric, variant, segment and population as `Sums` along dates of assignment.

    dates: in order; 0 units at those without a row.
    """
    by_date = added(rows, "assigned_on")
    own = {name: by_date[name].iloc[0] for name in CENTRES if name in by_date.columns and len(by_date)}
    return sums_in(by_date.reindex(list(dates), fill_value=0.0).assign(**own))


def arms_of(
    table: pd.DataFrame, metric: str, segment: str = ALL, population: str = EVERYONE
) -> tuple[dict[str, Sums], list[date]]:
    """`Sums` by variant along the same dates, and these dates; empty where the table has no such rows."""
    wanted = {"metric": metric, "segment": segment, "population": population}
    rows = table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])]
    dates = sorted(rows["assigned_on"].unique())
    return {str(name): sums_of(part, dates) for name, part in rows.groupby("variant", sort=True)}, dates


@pytest.fixture(scope="module")
def measured(spark: SparkSession) -> Iterator[tuple[Spans, Outcomes]]:
    spans = Spans.of(
        spark.createDataFrame(TOLD.assignments, ASSIGNMENTS),
        horizon=HORIZON_US,
        segments=["country"],
        covariates=["age"],
    )
    found = outcomes(spans, METRICS, horizon=HORIZON_US, **TOLD.frames(spark))
    cached = Outcomes(found.frame.persist(), found.metrics, found.segments, found.keys, found.triggered)
    yield spans, cached
    cached.frame.unpersist()
    spans.release()


def naive_table() -> pd.DataFrame:
    """The same by pandas: a row a unit and metric in each of its segments and populations, then sums."""
    names = ["unit_id", "variant", "assigned_at", "valid_to", "country", "age"]
    units = pd.DataFrame(TOLD.assignments, columns=names)
    rows = naive_outcomes(TOLD).merge(units, on="unit_id")
    rows["assigned_on"] = [instant.date() for instant in rows["assigned_at"]]
    label = rows["country"].map(
        lambda value: "country=" + ("\\N" if value is None else value.replace("=", "\\="))
    )
    rows = pd.concat([rows.assign(segment="all"), rows.assign(segment=label)])
    rows = pd.concat([rows.assign(population="all"), rows[rows["met"]].assign(population="triggered")])
    rows["units"], known = 1, rows["y"].notna()
    y, d, x = (rows[name].where(known, 0.0).astype(float) for name in ("y", "d", "x"))
    parts = (known * 1.0, y, d, x, y * y, d * d, x * x, y * d, y * x, d * x)
    rows = rows.assign(**dict(zip(PARTS, parts, strict=True)))
    return rows.groupby(KEYS, as_index=False)[["units", *PARTS]].sum().sort_values(KEYS, ignore_index=True)


def test_the_table_is_the_row_level_formula(measured: tuple[Spans, Outcomes]) -> None:
    table = aggregate(measured[1])
    assert table.schema.simpleString() == aggregate_schema().simpleString()
    found = collected(table, KEYS)
    pd.testing.assert_frame_equal(found, naive_table(), check_dtype=False, rtol=1e-12)


def test_order_and_partitions_change_no_bit(measured: tuple[Spans, Outcomes]) -> None:
    _, found = measured
    shuffled = found.frame.repartition(7, F.rand(3)).sortWithinPartitions(F.rand(4))
    again = Outcomes(shuffled, found.metrics, found.segments, found.keys, found.triggered)
    exact = [metric.name for metric in METRICS if metric.covariate != "pre" or metric.kind != "click_rate"]
    one, other = (
        collected(table.where(F.col("metric").isin(exact)), KEYS)
        for table in (aggregate(found), aggregate(again))
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_sums_of_an_arm_along_dates(measured: tuple[Spans, Outcomes]) -> None:
    table = aggregate(measured[1]).toPandas()
    arms, dates = arms_of(table, "clicks", "country=KR", "triggered")
    assert set(arms) == {"control", "treatment"}
    assert dates == sorted(dates)
    naive = naive_table()
    naive = naive[(naive["metric"] == "clicks") & (naive["segment"] == "country=KR")]
    naive = naive[naive["population"] == "triggered"]
    for variant, sums in arms.items():
        assert sums.n.shape == (len(dates),)
        for part in PARTS:
            expected = naive.loc[naive["variant"] == variant, part].sum()
            np.testing.assert_allclose(getattr(sums, part).sum(), expected, rtol=1e-12)
    assert arms_of(table, "unheard of") == ({}, [])


def test_retention_by_categories_met(measured: tuple[Spans, Outcomes]) -> None:
    keys = ["variant", "categories_met"]
    found = collected(retention_by_categories(measured[1], "met", "d1"), keys)
    wide = naive_outcomes(TOLD).pivot_table(index="unit_id", columns="metric", values="y")
    wide = wide.join(pd.DataFrame(TOLD.assignments).set_index(0)[1].rename("variant")).dropna(
        subset=["met", "d1"]
    )
    wide["categories_met"] = wide["met"].astype(int).astype(str).where(wide["met"] < 4, "4+")
    expected = wide.groupby(keys)["d1"].agg(units="size", retained="sum").reset_index()
    pd.testing.assert_frame_equal(found, expected.astype({"retained": "int64"}), check_dtype=False)
    assert "4+" in set(found["categories_met"])
    with pytest.raises(DataError, match=r"both metrics.*'d9'"):
        retention_by_categories(measured[1], "met", "d9")


# --- panels


def same_panel(found: PanelSums, expected: PanelSums) -> None:
    for part in PANEL_PARTS:
        np.testing.assert_allclose(getattr(found, part), getattr(expected, part), rtol=1e-12, err_msg=part)


def test_a_crossovers_panel_is_that_of_its_units(spark: SparkSession) -> None:
    """Units by sequence; some miss a period, and are a group of their own for a mean, not for a ratio."""
    draw = np.random.default_rng(8)
    metrics = (Metric(name="mean", kind="count"), Metric(name="ratio", kind="click_rate"))
    arms = {"ab": ("a", "b"), "ba": ("b", "a")}
    rows, y, d, ways = [], [], [], []
    for unit in range(60):
        sequence = ("ab", "ba")[unit % 2]
        there = [0] if unit % 5 == 0 else [0, 1]
        values, shown = ((draw.integers(0, most, 2) * 1.0).tolist() for most in (9, 5))
        ways.append(tuple(arms[sequence][p] if p in there else None for p in (0, 1)))
        y.append([values[p] if p in there else 0.0 for p in (0, 1)])
        d.append([shown[p] if p in there else 0.0 for p in (0, 1)])
        rows += [(str(unit), arms[sequence][p], p + 1, values[p], values[p], shown[p]) for p in there]
    frame = spark.createDataFrame(
        rows, "unit_id string, variant string, period int, y_0 double, y_1 double, d_1 double"
    ).repartition(3)
    table = panel_table(periods(Outcomes(frame, metrics, (), ("period",)), [1, 2])).toPandas()
    mean, ratio = panel_of(table, "mean"), panel_of(table, "ratio", merge=True)
    names = sorted(set(ways), key=json.dumps)
    group = np.array([names.index(way) for way in ways])
    known = np.array([[each is not None for each in way] for way in ways]) * 1.0
    assert mean.variants == tuple(names)
    same_panel(mean.sums, PanelSums.of(np.array(y), known, group=group, groups=4))
    assert ratio.variants == (("a", "b"), ("b", "a"))
    same_panel(ratio.sums, PanelSums.of(np.array(y), np.array(d), group=np.arange(60) % 2, groups=2))
    assert ratio.treated("b").tolist() == [[False, True], [True, False]]
    with pytest.raises(DataError, match="A panel has units"):
        panel_of(table, "other")


def test_ages_are_days_since_the_assignment_of_units_that_could_have_them(
    spark: SparkSession, measured: tuple[Spans, Outcomes]
) -> None:
    spans, _ = measured
    metrics = [metric for metric in METRICS if metric.name in ("events", "spend", "clicks")]
    days = 4
    table = panel_table(ages(spans, metrics, days, horizon=HORIZON_US, **TOLD.frames(spark))).toPandas()
    complete = [row for row in TOLD.assignments if row[2] + days * DAY <= min(row[3] or HORIZON, HORIZON)]
    assert 0 < len(complete) < len(TOLD.assignments)
    group = np.array([row[1] == "treatment" for row in complete]) * 1
    for metric in metrics:
        plain = metric.model_copy(update={"covariate": None, "window": None})
        each = [[naive_day(plain, row, day) for day in range(days)] for row in complete]
        y, d = np.moveaxis(np.array(each), -1, 0)
        panel = panel_of(table, metric.name)
        assert panel.variants == (("control",) * days, ("treatment",) * days)
        same_panel(panel.sums, PanelSums.of(y, d, group=group, groups=2))


def naive_day(metric: Metric, assignment: tuple[Any, ...], day: int) -> tuple[float, float]:
    """A click counts on the day of its impression, also when it comes days later."""
    unit, _, assigned, ends, *_ = assignment
    start, end = assigned + day * DAY, assigned + (day + 1) * DAY
    if metric.is_ratio:
        seen = [row for row in TOLD.impressions if row[1] == unit and start <= row[5] < end]
        return float(sum(reacted(TOLD, row, ("click",), ends or NEVER) for row in seen)), float(len(seen))
    mine = [row for row in TOLD.events if row[0] == unit]
    return naive_value(metric, start, end, mine, [], TOLD)


def test_panels_that_make_no_sense(spark: SparkSession, measured: tuple[Spans, Outcomes]) -> None:
    spans, found = measured
    with pytest.raises(SettingsError, match="stages or periods"):
        periods(found, [1, 2])
    with pytest.raises(SettingsError, match=r"of kind count, sum, click_rate.*d1: retention"):
        ages(spans, [METRICS[0]], 3, horizon=HORIZON_US, **TOLD.frames(spark))


# --- a row a unit


COLUMNS = (
    Metric(name="back", kind="column", value="back", covariate="before"),
    Metric(name="rate", kind="column", value="clicks", denominator="shown"),
)


def unit_rows(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    return spark.createDataFrame(rows, UNITS)


def test_a_row_a_unit_gives_the_same_table(spark: SparkSession) -> None:
    draw = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "id": np.arange(400),
            "arm": draw.choice(["control", "treatment"], 400),
            "on": [START.date()] * 400,
            "clicks": draw.integers(0, 4, 400),
            "shown": draw.integers(0, 9, 400),
            "back": draw.random(400) < 0.4,
            "before": draw.normal(size=400),
            "country": draw.choice(["KR", "US"], 400),
        }
    )
    table = spark.createDataFrame(frame, UNITS)
    found = unit_outcomes(table, COLUMNS, unit="id", variant="arm", segments=["country"], assigned_at="on")
    assert checked_units(found, ["control", "treatment"]).counts == frame["arm"].value_counts().to_dict()
    sums = collected(aggregate(found), KEYS)
    assert set(sums["population"]) == {"all"}
    for segment, rows in (("all", frame), ("country=KR", frame[frame["country"] == "KR"])):
        for metric, y, d, x in (("back", "back", None, "before"), ("rate", "clicks", "shown", None)):
            arms, dates = arms_of(sums, metric, segment)
            assert dates == [START.date()]
            for arm, found_sums in arms.items():
                own = rows[rows["arm"] == arm]
                expected = Sums.of(own[y], own[d] if d else None, own[x] if x else None)
                for part in PARTS:
                    np.testing.assert_allclose(
                        getattr(found_sums, part)[0], getattr(expected, part), rtol=1e-9
                    )


def test_what_is_not_known_and_what_came_before_the_assignment(spark: SparkSession) -> None:
    schema = "id int, arm string, at timestamp, y double, w double, y_at timestamp"
    rows = [
        (1, "a", START, 2.0, 1.0, START - HOUR),  # before: counts as 0
        (2, "a", START, 3.0, 1.0, START),
        (3, "a", START, None, 1.0, START),
        (4, "a", START, 4.0, None, None),
        (5, "a", START, 5.0, 0.0, None),  # no exposure: in the ratio as it is
    ]
    metrics = [
        Metric(name="y", kind="column", value="y", value_at="y_at"),
        Metric(name="ratio", kind="column", value="y", denominator="w"),
    ]
    found = unit_outcomes(
        spark.createDataFrame(rows, schema), metrics, unit="id", variant="arm", assigned_at="at"
    )
    arms, _ = arms_of(aggregate(found).toPandas(), "y")
    assert (arms["a"].n.tolist(), arms["a"].y.tolist()) == ([4.0], [12.0])
    arms, _ = arms_of(aggregate(found).toPandas(), "ratio")
    assert [arms["a"].n[0], arms["a"].y[0], arms["a"].d[0]] == [3.0, 10.0, 2.0]


ONE = (1, "control", START.date(), 1, 2, True, 0.5, "KR")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({0: 1, 1: "control"}, "is there once.*1 unit, such as '1'"),
        ({0: 1, 1: "treatment"}, "A unit has one variant.*1 unit, such as '1'"),
        ({0: None}, "has an id and a variant"),
        ({1: None}, "has an id and a variant"),
        ({6: float("inf")}, "finite numbers.*'2'"),
        ({6: float("nan")}, "finite numbers.*'2'"),
        ({1: "gate_50"}, r"one of the plan's: control, treatment.*1 units in 'gate_50'"),
        ({1: "control"}, "of the plan has units.*'treatment'"),
    ],
)
def test_units_that_make_no_sense(spark: SparkSession, changed: dict[int, Any], said: str) -> None:
    two = (2, "treatment", *ONE[2:])
    rows = [ONE, tuple(changed.get(place, value) for place, value in enumerate(two))]
    found = unit_outcomes(unit_rows(spark, rows), COLUMNS, unit="id", variant="arm")
    with pytest.raises(DataError, match=said):
        checked_units(found, ["control", "treatment"])


def test_other_kinds_need_a_log(spark: SparkSession) -> None:
    with pytest.raises(DataError, match=r"d1 of kind retention.*--events"):
        unit_outcomes(unit_rows(spark, [ONE]), [METRICS[0]], unit="id", variant="arm")
