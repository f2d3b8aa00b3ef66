"""The units' outcomes as a small table of sums per variant, segment, date of assignment and metric.

One grouped aggregation over the units; the segments, and the population of those that met the change, are
made of its cells. Sums of whole numbers are the same for any order and partitioning of the rows, to the last
bit; sums of fractions up to rounding.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DateType, DoubleType, LongType, StringType, StructType

from firstday.errors import DataError
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.sums import CENTRES, PARTS, Sums, centre_for, centre_of_sums, is_constant
from firstday.rounding import amount
from firstday.segments import ALL, segment_label
from firstday.settings.metrics import Metric
from firstday.tables.schemas import table_schema

EVERYONE, TRIGGERED = "all", "triggered"
MOST_MET = 4  # categories met; more are counted as 4+
VALUES = ("y", "d", "x")
WHALE_SHARE = 0.05  # of an arm's total: so much of one unit is worth a word
WHALE_TIMES = 20  # as much as the arm's mean


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


@dataclass(frozen=True)
class Centres:
    """What y (a unit of its denominator) and x of each metric are counted from, by name; see `Sums`."""

    y: Mapping[str, float] = field(default_factory=dict)
    x: Mapping[str, float] = field(default_factory=dict)

    def of(self, sums: pd.DataFrame) -> pd.DataFrame:
        """The table of sums with the columns CENTRES."""
        columns = dict(zip(CENTRES, (self.y, self.x), strict=True))
        return sums.assign(**{name: sums["metric"].map(each).fillna(0.0) for name, each in columns.items()})


def shifted(outcomes: Outcomes, centres: Centres) -> Outcomes:
    """The outcomes counted from the centres on."""
    moved = {}
    for at, metric in enumerate(outcomes.metrics):
        if own := centres.y.get(metric.name):
            base = F.col(f"d_{at}") * own if metric.is_ratio else F.lit(own)
            moved[f"y_{at}"] = F.col(f"y_{at}") - base
        if own := centres.x.get(metric.name):
            moved[f"x_{at}"] = F.col(f"x_{at}") - own
    return replace(outcomes, frame=outcomes.frame.withColumns(moved)) if moved else outcomes


def without_constants(sums: pd.DataFrame) -> pd.DataFrame:
    """A table of sums with the metrics that do not vary counted from 0: about a centre they are rounding."""
    whole = sums[(sums["segment"] == ALL) & (sums["population"] == EVERYONE)]
    for name, own in whole[whole["y_centre"] != 0].groupby("metric"):
        if is_constant(own["yy"].sum(), own["dd"].sum(), own["y_centre"].iloc[0]):
            rows = sums["metric"] == name
            back = sums_in(sums[rows]).about(0.0, sums.loc[rows, "x_centre"].to_numpy(dtype=float))
            sums.loc[rows, [*PARTS]] = np.column_stack([getattr(back, part) for part in PARTS])
            sums.loc[rows, "y_centre"] = 0.0
    return sums


def plain(sums: pd.DataFrame) -> pd.DataFrame:
    """A table of sums as sums of the values themselves, counted from 0."""
    if not set(CENTRES) <= set(sums.columns):
        return sums
    whole = sums_in(sums).about(0.0, 0.0)
    return sums.assign(**{part: getattr(whole, part) for part in PARTS}).drop(columns=list(CENTRES))


def sums_in(rows: pd.DataFrame) -> Sums:
    """The rows of a table of sums as `Sums`, an entry each."""
    own = [rows[name].to_numpy(dtype=float) for name in CENTRES if name in rows.columns]
    return Sums(*(rows[part].to_numpy(dtype=float) for part in PARTS), *own)


def added(sums: pd.DataFrame, by: Sequence[str] | str, *, sort: bool = True) -> pd.DataFrame:
    """The sums of the rows that have the same `by`, which have the same centres."""
    groups = sums.groupby(by, sort=sort)
    totals = groups[list(PARTS)].sum()
    own = [name for name in CENTRES if name in sums.columns]
    return totals.join(groups[own].first()) if own else totals


@dataclass(frozen=True)
class Units:
    """What the units' values are like, a row a metric and variant: n, total, mean, deviation, most and
    amount (largest and sum of absolute values), least and zero_one of y; d, yy, yd and dd, sums of a ratio;
    x_mean, x_deviation and x_zero_one of its covariate.
    """

    table: pd.DataFrame

    @classmethod
    def of(cls, outcomes: Outcomes) -> Self:
        """One pass over the units."""
        parts = []
        for at, metric in enumerate(outcomes.metrics):
            y, x = F.col(f"y_{at}"), F.col(f"x_{at}") if metric.covariate else F.lit(0.0)
            known = F.when(y.isNotNull(), x)
            d = F.when(y.isNotNull(), F.col(f"d_{at}")) if metric.is_ratio else F.lit(0.0)
            figures = {
                "n": F.count(y),
                "total": F.sum(y),
                "mean": F.avg(y),
                "deviation": F.stddev_pop(y),
                "most": F.max(F.abs(y)),
                "amount": F.sum(F.abs(y)),
                "least": F.min(y),
                "zero_one": F.coalesce(F.bool_and(y.isin(0.0, 1.0)), F.lit(True)),
                "d": F.sum(d),
                "yy": F.sum(y * y),
                "yd": F.sum(y * d),
                "dd": F.sum(d * d),
                "x_mean": F.avg(known),
                "x_deviation": F.stddev_pop(known),
                "x_zero_one": F.coalesce(F.bool_and(known.isin(0.0, 1.0)), F.lit(True)),
            }
            parts.append(F.struct(*(each.alias(name) for name, each in figures.items())).alias(f"of_{at}"))
        rows = outcomes.frame.groupBy("variant").agg(*parts).collect()
        return cls(
            pd.DataFrame(
                [
                    {"metric": metric.name, "variant": row["variant"], **row[f"of_{at}"].asDict()}
                    for row in sorted(rows, key=lambda row: str(row["variant"]))
                    for at, metric in enumerate(outcomes.metrics)
                ]
            )
        )

    def centres(self, metrics: Sequence[Metric]) -> Centres:
        """Those that the metrics need: where a level is large, of an outcome or a covariate."""
        of_y: dict[str, float] = {}
        of_x: dict[str, float] = {}
        for metric in metrics:
            own = self.table[(self.table["metric"] == metric.name) & (self.table["n"] > 0)]
            if own.empty:
                continue
            sides = [(of_x, "x_"), *([] if metric.is_ratio else [(of_y, "")])]
            for centres, prefix in sides:
                mean = np.average(own[f"{prefix}mean"].astype(float), weights=own["n"])
                deviation = np.sqrt(
                    np.average(own[f"{prefix}deviation"].astype(float) ** 2, weights=own["n"])
                )
                centre = centre_for(float(mean), float(deviation), bool(own[f"{prefix}zero_one"].all()))
                if centre:
                    centres[metric.name] = centre
            if metric.is_ratio:
                total = own[["total", "d", "yy", "yd", "dd"]].astype(float).sum()
                if centre := centre_of_sums(*total):
                    of_y[metric.name] = centre
        return Centres(of_y, of_x)

    def whales(self, metrics: Sequence[Metric]) -> Iterator[str]:
        """A sentence for each arm of a metric whose total one unit carries a good part of."""
        for metric in metrics:
            if metric.is_ratio or metric.kind in ("retention", "moment"):
                continue
            own = self.table[(self.table["metric"] == metric.name) & ~self.table["zero_one"].astype(bool)]
            for row in own.to_dict("records"):
                if not row["amount"]:
                    continue
                share = row["most"] / row["amount"]
                if share >= WHALE_SHARE and share * row["n"] >= WHALE_TIMES:
                    signed = row["least"] < 0
                    yield (
                        f"{metric.name}: one unit of {row['variant']!r} carries {share:.0%} of the total of "
                        f"{row['n']:,.0f} units ({amount(row['most'])} of {amount(row['amount'])}"
                        f"{', signs aside' if signed else ''}), so the interval is as wide as that unit is "
                        f"large: {'look at that unit' if signed else 'cap what one unit may add (cap)'}."
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
    """Aggregates over units, of those parts only that do not follow from others."""
    value = {name: F.col(f"{name}_{at}") for name in VALUES}
    columns = ["y", *(["d"] if metric.is_ratio else []), *(["x"] if metric.covariate else [])]
    # A covariate is known of all; those without an outcome take no part in its sums either.
    value["x"] = F.when(value["y"].isNotNull(), value["x"]) if metric.covariate else value["x"]
    found = {"n": F.count(value["y"])}
    for place, one in enumerate(columns):
        found[one] = F.sum(value[one])
        for other in columns[place:]:
            name = {"xd": "dx", "xy": "yx"}.get(one + other, one + other)
            found[name] = F.sum(value[one] * value[other])
    return found


def _as_sums(metric: Metric, at: int) -> Column:
    """All parts of a metric's sums: without a denominator it is 1 a unit, without a covariate 0."""
    columns = set(_totals(metric, at))
    same = {} if metric.is_ratio else {"d": "n", "dd": "n", "yd": "y", "dx": "x"}

    def part(name: str) -> Column:
        name = same.get(name, name)
        return F.coalesce(F.col(f"{name}_{at}").cast("double"), F.lit(0.0)) if name in columns else F.lit(0.0)

    return F.struct(F.lit(metric.name).alias("metric"), *(part(name).alias(name) for name in PARTS))


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
