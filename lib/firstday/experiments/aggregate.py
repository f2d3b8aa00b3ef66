"""The units' outcomes as a small table of sums per variant, segment, date of assignment and metric.

One grouped aggregation over the units; the segments, and the population of those that met the change, are
made of its cells. Sums of whole numbers are the same for any order and partitioning of the rows, to the last
bit; sums of fractions up to rounding.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DateType, DoubleType, LongType, StringType, StructType

from firstday.errors import DataError
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.sums import PARTS, Sums
from firstday.segments import ALL, segment_label
from firstday.settings.metrics import Metric
from firstday.tables.schemas import table_schema

EVERYONE, TRIGGERED = "all", "triggered"
MOST_MET = 4  # categories met; more are told as 4+
VALUES = ("y", "d", "x")


def aggregate_schema(keys: dict[str, DataType] | None = None) -> StructType:
    """The table of `aggregate`; keys: those of the outcomes, if any (stage, period, sequence)."""
    return table_schema(
        [
            ("metric", StringType()),
            ("variant", StringType()),
            ("segment", StringType()),
            ("population", StringType()),
            ("assigned_on", DateType()),
            *(keys or {}).items(),
            ("units", LongType()),
            *((part, DoubleType()) for part in PARTS),
        ]
    )


def aggregate(outcomes: Outcomes) -> DataFrame:
    """metric, variant, segment ('all' or 'country=KR'), population ('all', and 'triggered' where it is known
    who met the change), assigned_on (date), the outcomes' keys, units, and of `Sums` its parts as doubles.

    n counts the units whose outcome is known; units - n are left out of that metric, so far or for good.
    """
    segments = [f"segment_{at}" for at in range(len(outcomes.segments))]
    by = ["variant", "assigned_on", *outcomes.keys]
    sums = (
        total.alias(f"{part}_{at}")
        for at, metric in enumerate(outcomes.metrics)
        for part, total in _totals(metric, at).items()
    )
    cells = outcomes.frame.groupBy(*by, *segments, "met").agg(F.count(F.lit(1)).alias("units"), *sums)
    each = F.array(*(_as_sums(metric, at) for at, metric in enumerate(outcomes.metrics)))
    labels = [F.lit(ALL)]
    labels += [segment_label({name: F.col(f"segment_{at}")}) for at, name in enumerate(outcomes.segments)]
    populations = F.array(F.lit(EVERYONE))
    if outcomes.triggered:
        populations = F.when(F.col("met"), F.array(F.lit(EVERYONE), F.lit(TRIGGERED))).otherwise(populations)
    rows = cells.withColumns({"segment": F.array(*labels), "population": populations, "sums": each})
    for name in ("segment", "population", "sums"):
        rows = rows.withColumn(name, F.explode(name))
    keys = ["variant", "segment", "population", "assigned_on", *outcomes.keys]
    rows = rows.select("sums.metric", *keys, "units", *(f"sums.{part}" for part in PARTS))
    return rows.groupBy("metric", *keys).agg(
        F.sum("units").alias("units"), *(F.sum(part).alias(part) for part in PARTS)
    )


def _totals(metric: Metric, at: int) -> dict[str, Column]:
    """Aggregates over units, of those parts only that are not told by others."""
    value = {name: F.col(f"{name}_{at}") for name in VALUES}
    held = ["y", *(["d"] if metric.is_ratio else []), *(["x"] if metric.covariate else [])]
    # A covariate is known of all; those without an outcome take no part in its sums either.
    value["x"] = F.when(value["y"].isNotNull(), value["x"]) if metric.covariate else value["x"]
    found = {"n": F.count(value["y"])}
    for place, one in enumerate(held):
        found[one] = F.sum(value[one])
        for other in held[place:]:
            name = {"xd": "dx", "xy": "yx"}.get(one + other, one + other)
            found[name] = F.sum(value[one] * value[other])
    return found


def _as_sums(metric: Metric, at: int) -> Column:
    """All parts of a metric's sums: without a denominator it is 1 a unit, without a covariate 0."""
    told = set(_totals(metric, at))
    same = {} if metric.is_ratio else {"d": "n", "dd": "n", "yd": "y", "dx": "x"}

    def part(name: str) -> Column:
        name = same.get(name, name)
        return F.coalesce(F.col(f"{name}_{at}").cast("double"), F.lit(0.0)) if name in told else F.lit(0.0)

    return F.struct(F.lit(metric.name).alias("metric"), *(part(name).alias(name) for name in PARTS))


def sums_of(rows: pd.DataFrame, dates: Sequence[date] | None = None) -> Sums:
    """The rows of one metric, variant, segment and population as `Sums` along dates of assignment.

    dates: those to tell of, in order; 0 units at those without a row. By default those of the rows.
    """
    by_date = rows.groupby("assigned_on", sort=True)[list(PARTS)].sum()
    if dates is not None:
        by_date = by_date.reindex(list(dates), fill_value=0.0)
    return Sums(*(by_date[part].to_numpy(dtype=float) for part in PARTS))


def arms_of(
    table: pd.DataFrame, metric: str, segment: str = ALL, population: str = EVERYONE
) -> tuple[dict[str, Sums], list[date]]:
    """`Sums` by variant along the same dates, and these dates; empty where the table has no such rows."""
    wanted = {"metric": metric, "segment": segment, "population": population}
    rows = table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])]
    dates = sorted(rows["assigned_on"].unique())
    return {str(name): sums_of(part, dates) for name, part in rows.groupby("variant", sort=True)}, dates


def retention_by_categories(outcomes: Outcomes, categories: str, retention: str) -> DataFrame:
    """variant, categories_met ('0' .. '3', '4+'), units, retained: of units for which both are known.

    categories, retention: names of the metrics. Give the first a window that ends before the day of the
    second: those who come back meet more categories because they came back.
    """
    place = {metric.name: at for at, metric in enumerate(outcomes.metrics)}
    if missing := [name for name in (categories, retention) if name not in place]:
        raise DataError("retention by categories met needs both metrics", value=missing)
    met, back = F.col(f"y_{place[categories]}"), F.col(f"y_{place[retention]}")
    label = F.when(met >= MOST_MET, f"{MOST_MET}+").otherwise(met.cast("int").cast("string"))
    known = outcomes.frame.where(met.isNotNull() & back.isNotNull())
    return known.groupBy("variant", label.alias("categories_met")).agg(
        F.count(F.lit(1)).alias("units"), F.sum(back).cast("long").alias("retained")
    )
