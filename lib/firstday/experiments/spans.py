"""Assignments, checked: which unit had which variant from when to when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.spark.frames import persisted, unpersist
from firstday.tables.schemas import column
from firstday.windows import local_date

Panel = Literal["stage", "period"]
NEVER = 1 << 62  # microseconds: a variant that does not end
MOST_VARIANTS = 1_000
IN_TWO = "firstday_in_two"
LEAST_SHARE = 0.01  # of the units: a variant with fewer that nobody planned is a slip of somebody's pen
RULES = {
    "null": ("each assignment has a unit, a variant and an instant", "leave out the rows without one"),
    "clash": (
        "a unit has one variant at a time",
        "raise --max-bad-share to leave these units out, or say that the design is a ramp or a crossover and "
        "number its rows",
    ),
    "swapped": ("a variant ends after it begins, wash-out included", "look for swapped dates"),
}


@dataclass(frozen=True)
class Spans:
    """One row a unit, in a ramp or crossover one row a unit and stage or period.

    frame, cached: unit_id, variant, assigned_on (date), the `keys` (the panel's number and `sequence`, where
    there are), segment_0, ..., covariate_0, ... and, in microseconds: `start`, from which things count (the
    assignment, or the end of the wash-out), `end`, before which they count, and `first`, the unit's first
    assignment, before which its past lies. rows: by variant. after_horizon: rows that begin behind the end
    of the log and are left out. in_two: units that had two variants at once, left out too. in_cache: what
    `frame` is made of.
    """

    frame: DataFrame
    panel: Panel | None
    keys: tuple[str, ...]
    segments: tuple[str, ...]
    covariates: tuple[str, ...]
    time_zone: str
    rows: Mapping[str, int]
    after_horizon: int
    in_cache: DataFrame
    in_two: int = 0

    @classmethod
    def of(
        cls,
        assignments: DataFrame,
        *,
        horizon: int,
        panel: Panel | None = None,
        segments: Sequence[str] = (),
        covariates: Sequence[str] = (),
        variants: Sequence[str] | None = None,
        time_zone: str = "UTC",
        max_bad_share: float = 0.0,
    ) -> "Spans":
        """Prepare `assignments` (unit_id, variant, assigned_at [, washout_to, valid_to, stage or period,
        sequence, segments, covariates]).

        panel: the column that numbers a unit's rows, for ramps and crossovers. variants: those of the plan.
        The same assignment twice is one, the earliest. Where valid_to is null a row of a panel ends with the
        unit's next one. Raises DataError where a larger share of the units than `max_bad_share` is in two
        variants at once (the others of these are left out), for a variant that is not in the
        plan, one of it that nobody has, and rows that end before they begin.
        """
        keys = (
            [panel, "sequence"] if panel and "sequence" in assignments.columns else [panel] if panel else []
        )
        rows = _first_rows(assignments, panel, keys, segments, covariates)
        rows = _with_ends(rows, panel).withColumn("assigned_on", local_date(F.col("assigned"), time_zone))
        of_unit = Window.partitionBy("unit_id")
        rows = rows.withColumn(IN_TWO, F.max(F.col("clash") | F.col("overlap")).over(of_unit))
        rows = persisted(rows)
        try:
            counts, after_horizon, in_two = _checked(rows, horizon, variants, max_bad_share)
        except DataError:
            unpersist(rows)
            raise
        kept = rows.where((F.col("start") <= F.lit(horizon)) & ~F.col(IN_TWO))
        columns = [name for name in rows.columns if name not in ("assigned", "clash", "overlap", IN_TWO)]
        return cls(
            kept.select(*columns),
            panel,
            tuple(key for key in keys if key),
            tuple(segments),
            tuple(covariates),
            time_zone,
            counts,
            after_horizon,
            rows,
            in_two,
        )

    def release(self) -> None:
        """Drop everything from Spark's cache that hangs on the assignments."""
        unpersist(self.in_cache)  # `frame` is made of it: to unpersist that would drop nothing


def _first_rows(
    assignments: DataFrame,
    panel: Panel | None,
    keys: Sequence[str | None],
    segments: Sequence[str],
    covariates: Sequence[str],
) -> DataFrame:
    """The earliest row of each unit and panel number, and whether another row has another variant."""

    def instant(name: str) -> Column:
        return F.unix_micros(column(name)) if name in assignments.columns else F.lit(None).cast("long")

    values = {
        "assigned": instant("assigned_at"),
        "variant": column("variant").cast("string"),
        "washout": instant("washout_to"),
        "valid_to": instant("valid_to"),
        **{key: column(key).cast("string") for key in keys if key and key != panel},
        **{f"segment_{at}": column(name).cast("string") for at, name in enumerate(segments)},
        **{f"covariate_{at}": column(name).cast("double") for at, name in enumerate(covariates)},
    }
    unit = [column("unit_id").cast("string").alias("unit_id")]
    unit += [column(panel).cast("int").alias(panel)] if panel else []
    rows = assignments.select(
        *unit, F.struct(*(value.alias(name) for name, value in values.items())).alias("row")
    )
    by_unit = rows.groupBy("unit_id", *([panel] if panel else [])).agg(
        F.min("row").alias("row"),
        (F.min("row.variant") != F.max("row.variant")).alias("clash"),
    )
    return by_unit.select("unit_id", *([panel] if panel else []), "clash", "row.*")


def _with_ends(rows: DataFrame, panel: Panel | None) -> DataFrame:
    start = F.greatest("assigned", "washout")
    if not panel:
        return rows.select(
            *_without(rows, "washout", "valid_to"),
            start.alias("start"),
            F.coalesce("valid_to", F.lit(NEVER)).alias("end"),
            F.col("assigned").alias("first"),
            F.lit(False).alias("overlap"),
        )
    of_unit = Window.partitionBy("unit_id")
    following = F.lead("assigned").over(of_unit.orderBy("assigned", panel))
    end = F.coalesce("valid_to", following, F.lit(NEVER))
    return rows.select(
        *_without(rows, "washout", "valid_to"),
        start.alias("start"),
        end.alias("end"),
        F.min("assigned").over(of_unit).alias("first"),
        F.coalesce(end > following, F.lit(False)).alias("overlap"),
    )


def _without(rows: DataFrame, *names: str) -> list[str]:
    return [name for name in rows.columns if name not in names]


def _checked(
    rows: DataFrame, horizon: int, variants: Sequence[str] | None, max_bad_share: float
) -> tuple[dict[str, int], int, int]:
    """Rows by variant, how many begin after the horizon, and units in two variants at once, which are in
    neither; DataError for what breaks the design.
    """
    alone = ~F.col(IN_TWO)
    wrong = {
        "null": F.col("variant").isNull() | F.col("assigned").isNull() | F.col("unit_id").isNull(),
        "clash": F.col("clash") | F.col("overlap"),
        "swapped": (F.col("end") <= F.col("start")) & alone,
    }
    late = (F.col("start") > F.lit(horizon)) & alone
    found = (
        rows.groupBy("variant")
        .agg(
            F.count_if(alone).alias("rows"),
            F.count_if(late).alias("late"),
            F.count_distinct("unit_id").alias("units"),
            F.count_distinct(F.when(~alone, F.col("unit_id"))).alias("in_two"),
            *(F.count_if(rule).alias(name) for name, rule in wrong.items()),
            *(F.min(F.when(rule, F.col("unit_id"))).alias(f"{name}_unit") for name, rule in wrong.items()),
        )
        .limit(MOST_VARIANTS)
        .collect()
    )
    in_two = max((row["in_two"] for row in found), default=0)  # of a panel's unit rows may be in both
    units = sum(row["units"] for row in found)
    few = in_two <= max_bad_share * units
    refuse_wrong(found, {name: rule for name, rule in RULES.items() if name != "clash" or not few})
    counts = {row["variant"]: row["rows"] for row in found}
    refuse_unplanned(counts, variants)
    return counts, sum(row["late"] for row in found), in_two


def refuse_wrong(found: Sequence[Row], rules: Mapping[str, tuple[str, str]]) -> None:
    """DataError for the first rule, (what must hold, what to do), that units break.

    found: rows with a count under the rule's name, and under that with _unit a unit's id.
    """
    for name, (rule, next_step) in rules.items():
        if number := sum(row[name] for row in found):
            example = next((row[f"{name}_unit"] for row in found if row[name]), None)
            units = "1 unit" if number == 1 else f"{number:,} units"
            raise DataError(rule, value=f"{units}, such as {example!r}", next_step=next_step)


def refuse_unplanned(counts: Mapping[str, int], variants: Sequence[str] | None) -> None:
    """DataError for variants that are not in the plan, or of it and empty; counts: units by variant."""
    if not counts:
        raise DataError(
            "an experiment has units", value=0, next_step="look at the assignments' filter and date"
        )
    if variants is None:
        total = sum(counts.values())
        stray = {name: count for name, count in counts.items() if count < LEAST_SHARE * total}
        if stray:
            raise DataError(
                f"a variant with under {LEAST_SHARE:.0%} of the units must be planned",
                value=", ".join(f"{name!r}: {count:,} of {total:,}" for name, count in stray.items()),
                next_step="leave its units out by naming the others with --variants, or name all variants "
                "with their planned --shares",
            )
        return
    if others := {name: count for name, count in counts.items() if name not in variants}:
        raise DataError(
            f"each variant is one of the plan's: {', '.join(variants)}",
            value=", ".join(f"{count:,} units in {name!r}" for name, count in others.items()),
            next_step=f"leave these units out with --variants {','.join(variants)}, or correct the plan",
        )
    if empty := [name for name in variants if not counts.get(name)]:
        raise DataError(
            "each variant of the plan has units",
            value=empty,
            next_step="check how units were assigned: there is nothing to compare with",
        )
