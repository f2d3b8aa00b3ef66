"""Outcomes of a table that has a row a unit already: its columns are the metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.spans import MOST_VARIANTS, refuse_unplanned, refuse_wrong
from firstday.settings.metrics import PRE, Metric
from firstday.tables.schemas import column
from firstday.windows import local_date

RULES = {
    "null": ("each unit has an id and a variant", "leave out the rows without one"),
    "clash": ("a unit has one variant", "leave these units out: nobody knows what they saw"),
    "twice": ("each unit is there once", "add its rows up, or keep one of them"),
    "infinite": ("metrics, denominators and covariates are finite numbers", "look for divisions by 0"),
}


def unit_outcomes(
    units: DataFrame,
    metrics: Sequence[Metric],
    *,
    unit: str,
    variant: str,
    segments: Sequence[str] = (),
    assigned_at: str | None = None,
    triggered: str | None = None,
    time_zone: str = "UTC",
) -> Outcomes:
    """Outcomes from a table of one row a unit, whose columns are the metrics (numbers or booleans).

    assigned_at: column with the date or instant of the assignment; without it all units have one date, null.
    triggered: boolean column, whether the unit met the change. A metric's null is an outcome that is not
    known; so is a null denominator; a null covariate is 0. `checked_units`
    says what is wrong with them.
    """
    assigned = column(assigned_at).cast("timestamp") if assigned_at else None
    on = F.lit(None).cast("date") if assigned is None else local_date(F.unix_micros(assigned), time_zone)
    columns = [
        value.alias(f"{part}_{at}")
        for at, metric in enumerate(metrics)
        for part, value in _of_columns(metric, assigned).items()
    ]
    frame = units.select(
        column(unit).cast("string").alias("unit_id"),
        column(variant).cast("string").alias("variant"),
        on.alias("assigned_on"),
        *(column(name).cast("string").alias(f"segment_{at}") for at, name in enumerate(segments)),
        (column(triggered).cast("boolean") if triggered else F.lit(None).cast("boolean")).alias("met"),
        *columns,
    )
    return Outcomes(frame, tuple(metrics), tuple(segments), (), triggered is not None)


def _of_columns(metric: Metric, assigned: Column | None) -> dict[str, Column]:
    if metric.kind != "column" or metric.covariate == PRE:
        raise DataError(
            "with one row a unit each metric is a column of the units",
            value=f"{metric.name} of kind {metric.kind}",
            next_step="give --events or --impressions with assignments, or a metric of kind column",
        )
    value = column(metric.value or "").cast("double")
    if metric.value_at and assigned is not None:
        before = column(metric.value_at).cast("timestamp") < assigned
        value = F.when(F.coalesce(before, F.lit(False)), F.lit(0.0)).otherwise(value)
    found = {"y": value}
    if metric.denominator:
        whole = column(metric.denominator).cast("double")
        found = {"y": F.when(whole.isNotNull(), value), "d": F.when(value.isNotNull(), whole)}
    if metric.covariate:
        found["x"] = F.coalesce(column(metric.covariate).cast("double"), F.lit(0.0))
    return found


@dataclass(frozen=True)
class CheckedUnits:
    """Units by variant, and the outcomes of those in one variant. in_two: units in two, left out."""

    counts: dict[str, int]
    outcomes: Outcomes
    in_two: int


def checked_units(
    outcomes: Outcomes, variants: Sequence[str] | None = None, max_bad_share: float = 0.0
) -> CheckedUnits:
    """The units, looked at in one job. Raises DataError for a unit that is there twice, where a larger share
    than `max_bad_share` is in two variants, for a number that is infinite or NaN, a variant that is not one
    of `variants`, one of these without units, and without `variants` one with next to none.
    """
    numbers = [name for name in outcomes.frame.columns if name.startswith(("y_", "d_", "x_"))]
    finite = F.lit(True)
    for name in numbers:
        finite &= F.coalesce(F.abs(name) < float("inf"), F.lit(True))
    by_unit = outcomes.frame.groupBy("unit_id").agg(
        F.min("variant").alias("variant"),
        (F.count("variant") < F.count(F.lit(1))).alias("no_variant"),
        (F.min("variant") != F.max("variant")).alias("clash"),
        ((F.count(F.lit(1)) > 1) & F.min("variant").eqNullSafe(F.max("variant"))).alias("twice"),
        F.bool_or(~finite).alias("infinite"),
    )
    null = F.col("unit_id").isNull() | F.col("no_variant")
    wrong = {"null": null, **{name: F.col(name) for name in RULES if name != "null"}}
    found = by_unit.groupBy("variant").agg(
        F.count(F.lit(1)).alias("units"),
        *(F.count_if(rule).alias(name) for name, rule in wrong.items()),
        *(F.min(F.when(rule, F.col("unit_id"))).alias(f"{name}_unit") for name, rule in wrong.items()),
    )
    rows = found.limit(MOST_VARIANTS).collect()
    in_two, units = (sum(row[name] for row in rows) for name in ("clash", "units"))
    few = in_two <= max_bad_share * units
    refuse_wrong(rows, {name: rule for name, rule in RULES.items() if name != "clash" or not few})
    counts = {row["variant"]: row["units"] - row["clash"] for row in rows}
    counts = {name: count for name, count in counts.items() if count}
    refuse_unplanned(counts, variants)
    if in_two:
        both = by_unit.where("clash").select("unit_id")
        outcomes = replace(outcomes, frame=outcomes.frame.join(both, "unit_id", "left_anti"))
    return CheckedUnits(counts, outcomes, in_two)
