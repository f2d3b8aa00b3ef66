"""Who gets which variant, from when until when, as Spark columns; `buckets` says the same in plain Python.

A unit's place in [0, 1) is a hash of salt and id, so that an assignment depends on nothing but the plan and
the unit: not on the order of rows, the number of partitions or the day of the run. (Random assignment by
hash: Kohavi, Tang & Xu 2020, Trustworthy Online Controlled Experiments, chapter 4.)

What goes wrong: a salt that is used again gives the same people the same variant, and what the first
experiment did to them is taken for the second one's effect; units that are not what the product shows things
to (devices for users) meet both variants; a closed list assigned by strata is assigned anew with other units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from firstday.experiments.buckets import DIGITS
from firstday.settings.experiment import ExperimentPlan
from firstday.tables.schemas import column, table_schema

_TEXT, _WHOLE, _INSTANT = T.StringType(), T.IntegerType(), T.TimestampType()
# assigned_at: when the variant begins for this unit. washout_to: what happens before it is not counted.
# valid_to: when the variant ends (left out itself), null for never. sequence: what a crossover began with.
ASSIGNMENTS = table_schema(
    [
        ("unit_id", _TEXT),
        ("experiment", _TEXT),
        ("variant", _TEXT),
        ("assigned_at", _INSTANT),
        ("stage", _WHOLE),
        ("period", _WHOLE),
        ("sequence", _TEXT),
        ("stratum", _TEXT),
        ("cluster", _TEXT),
        ("washout_to", _INSTANT),
        ("valid_to", _INSTANT),
    ]
)
TABLES = {"assignments": ASSIGNMENTS}
SLICES = 256  # of a stratum, ranked apart, so that one of millions is not sorted by a single task
PLACE, FIRST = "firstday_place", "firstday_first"


@dataclass(frozen=True)
class Span:
    """A time in which nobody's variant changes: the whole experiment, a stage of a ramp, a period.

    number: of the stage or period, from 1. shares: of the variants; in a crossover, of what units begin with.
    """

    number: int | None
    starts_at: datetime
    valid_to: datetime | None
    washout_to: datetime | None
    shares: Mapping[str, float]


def spans(plan: ExperimentPlan) -> tuple[Span, ...]:
    """The stages or periods of a plan in their order; one span for a plan without."""
    if plan.crossover is not None:
        length, washout = plan.crossover.period, plan.crossover.washout
        starts = [plan.starts_at + number * length for number in range(plan.crossover.periods)]
        return tuple(
            Span(at, start, start + length, start + washout if washout else None, plan.variants)
            for at, start in enumerate(starts, start=1)
        )
    if plan.ramp:
        [treatment] = plan.treatments
        ends = [*(stage.starts_at for stage in plan.ramp[1:]), plan.ends_at]
        return tuple(
            # Treated first: a share that grows takes in more, and lets nobody go.
            Span(at, stage.starts_at, end, None, {treatment: stage.share, plan.control: 1 - stage.share})
            for at, (stage, end) in enumerate(zip(plan.ramp, ends, strict=True), start=1)
        )
    return (Span(None, plan.starts_at, plan.ends_at, None, plan.variants),)


def bucket(salt: str, unit: Column) -> Column:
    """The unit's place in [0, 1), to the last bit what `buckets.bucket` says; null for a null unit."""
    digest = F.sha2(F.concat(F.lit(f"{salt}:"), unit.cast("string")), 256)
    # Thirteen hexadecimal digits are 52 bits: exact as a long and as a double.
    return F.conv(F.substring(digest, 1, DIGITS), 16, 10).cast("long") / float(16**DIGITS)


def pick(place: Column, shares: Mapping[str, float]) -> Column:
    """The variant whose share of [0, 1) the place is in; shares follow each other in the order written."""
    *names, last = shares
    ends = accumulate(shares.values())
    picked = F.lit(last)
    for name, end in reversed([*zip(names, ends, strict=False)]):
        picked = F.when(place < end, F.lit(name)).otherwise(picked)
    return picked


def in_layer(plan: ExperimentPlan, unit: Column) -> Column:
    """Whether the unit is in the plan's range of its layer; true without a layer."""
    if plan.layer is None:
        return F.lit(True)
    start, end = plan.layer.range
    place = bucket(plan.layer.name, unit)
    return (place >= start) & (place < end)


def held_out(plan: ExperimentPlan, unit: Column) -> Column:
    """Whether the unit is in no experiment; false without a holdout."""
    if plan.holdout is None:
        return F.lit(False)
    return bucket(plan.holdout.salt, unit) < plan.holdout.share


def assign(units: DataFrame, plan: ExperimentPlan, instant_column: str | None = None) -> DataFrame:
    """The table `assignments`: a row for each unit that takes part, or for each stage or period of it.

    units: the plan's unit (text, each once), cluster and strata. instant_column: when a unit comes in; its
    variant begins then, if that is later, and stages or periods that were over by then have no row of it.
    """
    known = _known(units, plan, instant_column)
    placed = (
        stratified(known, plan.salt)
        if plan.strata
        else known.withColumn(PLACE, bucket(plan.salt, _assigned_whole(plan)))
    )
    rows = placed.withColumn(FIRST, _first(plan)).select("*", F.explode(_each_span(plan)).alias("span"))
    came, ends = F.col("came_at"), F.col("span.valid_to")
    number = F.col("span.number")
    washout = F.col("span.washout_to")
    return rows.where(came.isNull() | ends.isNull() | (came < ends)).select(
        "unit_id",
        F.lit(plan.experiment).alias("experiment"),
        "span.variant",
        F.greatest("span.starts_at", came).alias("assigned_at"),
        (number if plan.ramp else F.lit(None).cast("int")).alias("stage"),
        (number if plan.crossover else F.lit(None).cast("int")).alias("period"),
        (F.col(FIRST) if plan.crossover else F.lit(None).cast("string")).alias("sequence"),
        "stratum",
        "cluster",
        F.when(washout.isNotNull(), F.greatest(washout, came)).alias("washout_to"),
        "span.valid_to",
    )


def _known(units: DataFrame, plan: ExperimentPlan, instant_column: str | None) -> DataFrame:
    """Those who take part: unit_id, cluster, stratum (JSON) and came_at, null where the plan has none."""
    strata = F.to_json(F.struct(*map(column, plan.strata)), {"ignoreNullFields": "false"})
    return units.where(~held_out(plan, column(plan.unit)) & in_layer(plan, column(plan.unit))).select(
        column(plan.unit).cast("string").alias("unit_id"),
        (column(plan.cluster) if plan.cluster else F.lit(None)).cast("string").alias("cluster"),
        (strata if plan.strata else F.lit(None).cast("string")).alias("stratum"),
        (column(instant_column) if instant_column else F.lit(None)).cast("timestamp").alias("came_at"),
    )


def _assigned_whole(plan: ExperimentPlan) -> Column:
    """What gets a variant as a whole."""
    return F.col("cluster" if plan.cluster else "unit_id")


def _first(plan: ExperimentPlan) -> Column:
    """The variant that a unit begins with."""
    if plan.crossover is None or plan.crossover.by == "hash":
        return pick(F.col(PLACE), plan.variants)
    # The last digit decides, also of a number that is too great for a long.
    odd = F.substring("unit_id", -1, 1).cast("int") % 2 == 1
    even_first, odd_first = plan.variants
    return F.when(odd, F.lit(odd_first)).otherwise(F.lit(even_first))


def _each_span(plan: ExperimentPlan) -> Column:
    """An array with a struct for each stage or period, and the unit's variant in it."""
    first_name, *_, last_name = plan.variants
    other = F.when(F.col(FIRST) == first_name, F.lit(last_name)).otherwise(F.lit(first_name))
    variants = []
    for span in spans(plan):
        if plan.crossover is None:
            variant = pick(F.col(PLACE), span.shares)
        else:
            assert span.number is not None
            variant = F.col(FIRST) if span.number % 2 else other
        variants.append(
            F.struct(
                F.lit(span.number).cast("int").alias("number"),
                F.lit(span.starts_at).cast("timestamp").alias("starts_at"),
                F.lit(span.valid_to).cast("timestamp").alias("valid_to"),
                F.lit(span.washout_to).cast("timestamp").alias("washout_to"),
                variant.alias("variant"),
            )
        )
    return F.array(*variants)


def stratified(units: DataFrame, salt: str) -> DataFrame:
    """The units, with places spread evenly within each stratum, not drawn: (rank + offset) / size.

    rank: the unit's, from 0, in the order of the hash; offset: the stratum's own hash, in [0, 1). So a share
    of [0, 1) has its part of a stratum rounded up or down, and each unit has each variant with the
    probability of its share, in a stratum of one too (systematic sampling: Madow & Madow 1944, Annals of
    Mathematical Statistics 15). Exact for this list of units; with others the assignment is another.
    """
    hashed = units.withColumns({"hash": bucket(salt, column("unit_id"))})
    sliced = hashed.withColumn("slice", F.floor(F.col("hash") * SLICES).cast("int"))
    stratum = Window.partitionBy("stratum")
    sizes = sliced.groupBy("stratum", "slice").agg(F.count("*").alias("rows"))
    sizes = sizes.withColumns(
        {
            "before": F.sum("rows").over(stratum.orderBy("slice")) - F.col("rows"),
            "size": F.sum("rows").over(stratum),
        }
    ).drop("rows")
    order = Window.partitionBy("stratum", "slice").orderBy("hash", "unit_id")
    rank = F.col("before") + F.row_number().over(order) - 1
    place = (rank + bucket(salt, F.col("stratum"))) / F.col("size")
    return (
        sliced.join(sizes, ["stratum", "slice"])
        .withColumn(PLACE, place)
        .drop("hash", "slice", "before", "size")
    )


def counts(assignments: DataFrame, plan: ExperimentPlan) -> DataFrame:
    """stage, period, variant, units; assigned: clusters or units, whichever gets a variant as a whole."""
    return (
        assignments.groupBy("stage", "period", "variant")
        .agg(F.count("*").alias("units"), F.countDistinct(_assigned_whole(plan)).alias("assigned"))
        .orderBy("stage", "period", "variant")
    )


def left_out(units: DataFrame, plan: ExperimentPlan) -> DataFrame:
    """One row: taking_part, held_out and outside_layer, which are units."""
    unit = column(plan.unit)
    in_holdout, inside = held_out(plan, unit), in_layer(plan, unit)
    return units.agg(
        F.count_if(~in_holdout & inside).alias("taking_part"),
        F.count_if(in_holdout).alias("held_out"),
        F.count_if(~in_holdout & ~inside).alias("outside_layer"),
    )


def without_number(units: DataFrame, plan: ExperimentPlan) -> DataFrame:
    """Units that odd_even cannot assign: their id is no whole number."""
    return units.where(~column(plan.unit).rlike(r"^-?[0-9]+$")).select(column(plan.unit).alias("unit_id"))


def changed(assignments: DataFrame, earlier: DataFrame, now: datetime) -> DataFrame:
    """unit_id, had and variant, where a unit would have another variant than an earlier run gave it.

    Asked of each variant that has begun by now, at the instant it began: so a ramp may get another stage.
    """
    before = earlier.where(F.col("assigned_at") <= F.lit(now)).select(
        "unit_id", F.col("assigned_at").alias("began"), F.col("variant").alias("had")
    )
    after = assignments.select("unit_id", "variant", "assigned_at", "valid_to")
    in_force = (F.col("assigned_at") <= F.col("began")) & (
        F.col("valid_to").isNull() | (F.col("began") < F.col("valid_to"))
    )
    both = before.join(after, "unit_id").where(in_force & (F.col("had") != F.col("variant")))
    return both.select("unit_id", "had", "variant")
