"""Assignments in Spark against the naive way: unit by unit in plain Python, strata sorted in a list."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.experiments import assign, buckets
from firstday.experiments.buckets import bucket, pick
from firstday.settings import ExperimentPlan

START, DAY = datetime(2024, 6, 1, tzinfo=UTC), timedelta(days=1)
HALVES = {"control": 0.5, "treatment": 0.5}
THIRDS = {"control": 0.5, "a": 0.2, "b": 0.3}
RAMP = [{"share": share, "starts_at": START + at * DAY} for share, at in ((0.1, 0), (0.3, 2), (0.5, 7))]
CROSSOVER = {"period": 7 * DAY, "periods": 3, "washout": DAY}


def plan(name: str, variants: dict[str, float] = HALVES, **others: Any) -> ExperimentPlan:
    return ExperimentPlan.model_validate(
        {"experiment": name, "variants": variants, "unit": "number", "starts_at": START} | others
    )


PLANS = {
    each.experiment: each
    for each in (
        plan("plain", THIRDS, ends_at=START + 14 * DAY),
        plan("some", layer={"name": "l", "range": [0.2, 0.7]}, holdout={"share": 0.1}),
        plan("clusters", THIRDS, cluster="city"),
        plan("ramp", ramp=RAMP, ends_at=START + 9 * DAY),
        plan("by number", crossover=CROSSOVER | {"by": "odd_even"}),
        plan("by hash", crossover=CROSSOVER),
        plan("strata", THIRDS, strata=["country", "size"]),
        plan("strata again", THIRDS, salt="strata", strata=["country", "size"]),
        plan("ramp in strata", ramp=RAMP, strata="country"),
    )
}
COMES_IN = {"ramp", "by hash", "plain"}  # assigned with the column came


PEOPLE: list[dict[str, Any]] = [
    {
        "number": str(number if number % 7 else number + 10**20),  # some beyond a long
        "city": f"city {number % 23}",
        "country": ("DE", "JP", None)[number % 3] if number % 20 else f"rare {number}",
        "size": "large" if number % 4 else "small",
        "came": START + (number % 40 - 20) * timedelta(hours=20),
    }
    for number in range(1, 401)
]


@pytest.fixture(scope="module")
def units(spark: SparkSession) -> DataFrame:
    schema = "number string, city string, country string, size string, came timestamp"
    return spark.createDataFrame(PEOPLE, schema)


@pytest.fixture(scope="module")
def assigned(units: DataFrame) -> dict[str, pd.DataFrame]:
    """The assignments of all plans, by experiment."""
    found = {}
    for name, each in PLANS.items():
        rows = units.repartition(5) if name == "strata again" else units
        found[name] = assign.assign(rows, each, "came" if name in COMES_IN else None).toPandas()
    return found


def by_hand(found: ExperimentPlan) -> Iterator[tuple[Any, ...]]:
    """unit, variant, assigned_at, stage or period, sequence, stratum, washout_to, valid_to."""
    strata = defaultdict(list)
    for row in PEOPLE:
        told = {name: row[name] for name in found.strata}
        strata[json.dumps(told, separators=(",", ":"))].append(row["number"])
    for row in PEOPLE:
        unit = row["number"]
        layer = (found.layer.name, *found.layer.range) if found.layer else None
        if layer and not buckets.in_layer(layer[0], unit, *layer[1:]):
            continue
        if found.holdout and buckets.held_out(found.holdout.salt, unit, found.holdout.share):
            continue
        place, stratum = bucket(found.salt, row["city"] if found.cluster else unit), None
        if found.strata:
            stratum = json.dumps({name: row[name] for name in found.strata}, separators=(",", ":"))
            order = sorted(strata[stratum], key=lambda other: bucket(found.salt, other))
            place = (order.index(unit) + bucket(found.salt, stratum)) / len(order)
        came = row["came"] if found.experiment in COMES_IN else START - DAY
        for number, starts, ends in times(found):
            first, washout = None, None
            if found.crossover:
                by_number = found.crossover.by == "odd_even"
                first = buckets.by_number(unit, HALVES) if by_number else pick(place, HALVES)
                variant = buckets.in_period(first, HALVES, number)
                washout = max(starts + DAY, came)
            elif found.ramp:
                variant = "treatment" if place < found.ramp[number - 1].share else "control"
            else:
                variant = pick(place, found.variants)
            if ends is None or came < ends:
                yield unit, variant, max(starts, came), number, first, stratum, washout, ends


def times(found: ExperimentPlan) -> list[tuple[int, datetime, datetime | None]]:
    if found.crossover:
        return [(at + 1, START + at * 7 * DAY, START + (at + 1) * 7 * DAY) for at in range(3)]
    if found.ramp:
        ends = [START + 2 * DAY, START + 7 * DAY, found.ends_at]
        return [(at + 1, stage.starts_at, ends[at]) for at, stage in enumerate(found.ramp)]
    return [(0, START, found.ends_at)]


@pytest.mark.parametrize("name", PLANS)
def test_spark_deals_as_plain_python_does(name: str, assigned: dict[str, pd.DataFrame]) -> None:
    rows = assigned[name]
    number = rows["stage"].fillna(rows["period"]).fillna(0).astype(int)
    told = [
        tuple(None if pd.isna(value) else value for value in row)
        for row in zip(
            rows["unit_id"], rows["variant"], utc(rows["assigned_at"]), number, rows["sequence"],
            rows["stratum"], utc(rows["washout_to"]), utc(rows["valid_to"]), strict=True,
        )
    ]  # fmt: skip
    assert sorted(told, key=by_unit) == sorted(by_hand(PLANS[name]), key=by_unit)
    assert set(rows["experiment"]) == {name}
    assert rows["stage"].notna().all() == bool(PLANS[name].ramp)
    assert rows["period"].notna().all() == bool(PLANS[name].crossover)


def by_unit(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[0], row[3]


def utc(instants: pd.Series) -> pd.Series:
    return instants.dt.tz_localize("UTC").astype(object)


def test_a_cluster_has_one_variant(assigned: dict[str, pd.DataFrame]) -> None:
    rows = assigned["clusters"]
    assert len(rows) == len(PEOPLE)
    assert (rows.groupby("cluster")["variant"].nunique() == 1).all()
    assert rows["cluster"].nunique() == 23


def test_strata_are_assigned_exactly_and_alike_in_any_partitioning(assigned: dict[str, pd.DataFrame]) -> None:
    rows = assigned["strata"]
    for _, stratum in rows.groupby("stratum"):
        counts = Counter(stratum["variant"])
        for variant, share in THIRDS.items():
            exact = share * len(stratum)
            assert math.floor(exact - 1e-9) <= counts[variant] <= math.ceil(exact + 1e-9)
    # Strata of one are no variant's by habit.
    alone = rows[rows.groupby("stratum")["unit_id"].transform("size") == 1]
    assert alone["variant"].nunique() > 1
    again = assigned["strata again"]
    assert dict(zip(again["unit_id"], again["variant"], strict=True)) == dict(
        zip(rows["unit_id"], rows["variant"], strict=True)
    )


@pytest.mark.parametrize("name", ["ramp", "ramp in strata"])
def test_later_stages_keep_the_treated(name: str, assigned: dict[str, pd.DataFrame]) -> None:
    rows = assigned[name]
    treats = rows["variant"] == "treatment"
    treated = [set(rows.loc[treats & (rows["stage"] == stage), "unit_id"]) for stage in (1, 2, 3)]
    for fewer, more in pairwise(treated):
        assert fewer
        assert fewer < more
    assert len(treated[0]) / (rows["stage"] == 1).sum() == pytest.approx(0.1, abs=0.05)


def test_what_is_counted(units: DataFrame, spark: SparkSession) -> None:
    found = PLANS["some"]
    row = assign.left_out(units, found).first()
    held = sum(buckets.held_out("holdout", row["number"], 0.1) for row in PEOPLE)
    taking_part = sum(1 for _ in by_hand(found))
    assert row is not None
    assert row.asDict() == {
        "taking_part": taking_part, "held_out": held, "outside_layer": len(PEOPLE) - held - taking_part,
    }  # fmt: skip
    counted: pd.DataFrame = assign.counts(
        assign.assign(units, PLANS["clusters"]), PLANS["clusters"]
    ).toPandas()
    assert counted["units"].sum() == len(PEOPLE)
    assert counted["assigned"].sum() == 23
    ids = spark.createDataFrame([("7",), ("-7",), ("7a",), ("",), ("7.0",)], "number string")
    odd = sorted(row[0] for row in assign.without_number(ids, PLANS["by number"]).collect())
    assert odd == ["", "7.0", "7a"]


def test_changes_are_found_where_a_variant_has_begun(spark: SparkSession) -> None:
    schema = "unit_id string, variant string, assigned_at timestamp, valid_to timestamp"
    earlier = [
        ("same", "a", START, None),
        ("other", "a", START, None),
        ("gone", "a", START, None),
        ("next stage", "a", START, None),
        ("staged before", "a", START, START + DAY),
        ("not begun", "a", START + 3 * DAY, None),
    ]
    now = [
        ("same", "a", START, None),
        ("other", "b", START, None),
        ("new", "b", START, None),
        ("next stage", "a", START, START + DAY),
        ("next stage", "b", START + DAY, None),
        ("staged before", "b", START - DAY, None),
        ("not begun", "b", START + 3 * DAY, None),
    ]
    frames = [spark.createDataFrame(rows, schema) for rows in (now, earlier)]
    found = assign.changed(frames[0], frames[1], START + 2 * DAY).collect()
    assert sorted(map(tuple, found)) == [("other", "a", "b"), ("staged before", "a", "b")]
