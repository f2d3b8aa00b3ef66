"""The sums that `slot_count` goes by: clicks by slot, by score and by draw, and how often customers return.

All are by group of customers, so that intervals need no further look at the rows, and are small: no more rows
than groups × bins × slots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from firstday.ranking.examples import KEY, LIST, TIE
from firstday.ranking.history import CLICK
from firstday.spark.frames import cached
from firstday.windows import timestamp_literal

GROUPS = 30  # of customers
BINS = 50  # of scores
LEAST_CLICKS = 10  # of a slot; below, nothing is said of it
DRAWN_SHARE = 0.99  # of a policy's rows in a slot that have a propensity


@dataclass(frozen=True)
class Reentry:
    """How often customers come back. A list is what a customer is shown at one instant.

    lists_per_day: on days with any. lists_per_week, exposures_per_week: of customers who were shown anything,
    over the whole time of the log.
    """

    customers: int
    lists_per_day: float
    lists_per_week: float
    exposures_per_week: float


@dataclass(frozen=True)
class SlotSums:
    """clicks: by slot, of the whole log. drawn: group, slot, and sums of weight (1 / propensity), clicks_w
    (weight × click) and clicks_w2 (weight² × click). compared: group, bin, slot, shown, clicks; bins of the
    score, from 1. places: group, bin, place (in its list, by the score), lists.
    """

    clicks: dict[int, float]
    drawn: pd.DataFrame
    compared: pd.DataFrame
    places: pd.DataFrame
    reentry: Reentry


def shown(impressions: DataFrame, reactions: DataFrame, end: datetime) -> DataFrame:
    """What was shown before `end`: impression_id, user_id, shown_at, slot, policy, propensity, clicked."""
    clicks = reactions.where(F.col("kind") == CLICK).select("impression_id").distinct()
    return (
        impressions.where(F.col("shown_at") < timestamp_literal(end))
        .join(clicks.withColumn("click", F.lit(1.0)), "impression_id", "left")
        .select(
            *("impression_id", "user_id", "shown_at", F.col("slot").cast("int").alias("slot")),
            *(F.coalesce("policy", F.lit("")).alias("policy"), "propensity"),
            F.coalesce("click", F.lit(0.0)).alias("clicked"),
        )
    )


def slot_sums(log: DataFrame, measured: DataFrame, score: str) -> SlotSums:
    """Six small aggregations.

    log: of `shown`. measured: lists that the model did not learn from, with KEY (an impression_id), LIST, TIE
    and `score`, the model's of the row in the first slot; any score that rises with the chance of a click.
    """
    with cached(log) as known:
        by_slot = known.groupBy("slot").agg(F.sum("clicked").alias("clicks"))
        clicks = {row["slot"]: row["clicks"] for row in by_slot.collect()}
        rows = _measured(known, measured, score)
        return SlotSums(
            clicks=clicks,
            drawn=_drawn(known, first_slots(clicks, LEAST_CLICKS)),
            compared=_by_group(rows, ["bin", "slot"], shown=F.lit(1), clicks=F.col("clicked")),
            places=_by_group(rows, ["bin", "place"], lists=F.lit(1)),
            reentry=_reentry(known),
        )


def first_slots(clicks: Mapping[int, float], least: float) -> int:
    """How many slots, from the first on, have so many clicks each."""
    slots = 0
    while clicks.get(slots + 1, 0.0) >= least:
        slots += 1
    return slots


def _group() -> Column:
    return F.pmod(F.xxhash64("user_id"), F.lit(GROUPS)).cast("int").alias("group")


def _by_group(facts: DataFrame, keys: Sequence[str], **sums: Column) -> pd.DataFrame:
    """Sums by customers' group and `keys`."""
    totals = [F.sum(value).cast("double").alias(name) for name, value in sums.items()]
    found: pd.DataFrame = facts.groupBy(_group(), *keys).agg(*totals).toPandas()
    return found


def _reentry(log: DataFrame) -> Reentry:
    by_day = log.groupBy("user_id", F.to_date("shown_at").alias("day")).agg(
        F.count_distinct("shown_at").alias("lists"),
        F.count(F.lit(1)).alias("rows"),
        F.min("shown_at").alias("first"),
        F.max("shown_at").alias("last"),
    )
    by_user = by_day.groupBy("user_id").agg(
        F.sum("lists").alias("lists"),
        F.sum("rows").alias("rows"),
        F.count(F.lit(1)).alias("days"),
        F.min("first").alias("first"),
        F.max("last").alias("last"),
    )
    found = by_user.agg(
        F.count(F.lit(1)).alias("customers"),
        *(F.sum(name).alias(name) for name in ("lists", "rows", "days")),
        ((F.unix_micros(F.max("last")) - F.unix_micros(F.min("first"))) / 86_400e6).alias("time"),
    ).first()
    assert found is not None  # an aggregation without groups has one row
    if not found["customers"]:
        return Reentry(0, 0.0, 0.0, 0.0)
    customer_weeks = found["customers"] * max(found["time"], 1.0) / 7
    return Reentry(
        found["customers"],
        found["lists"] / found["days"],
        found["lists"] / customer_weeks,
        found["rows"] / customer_weeks,
    )


def _drawn(log: DataFrame, most: int) -> pd.DataFrame:
    """group, slot, and sums of weight, clicks_w (weight × click) and clicks_w2 (weight² × click)."""
    rows = log.where(F.col("slot") <= most).withColumn("is_drawn", F.coalesce("propensity", F.lit(0.0)) > 0)
    all_drawn = F.avg(F.col("is_drawn").cast("double")) >= DRAWN_SHARE
    by_slot = rows.groupBy("policy", "slot").agg(all_drawn.alias("all_drawn")).where("all_drawn")
    # A policy that draws in one slot only draws from what the others have left: its slots do not compare.
    policies = by_slot.groupBy("policy").agg(F.count(F.lit(1)).alias("slots")).where(F.col("slots") == most)
    weight = 1 / F.col("propensity")
    return _by_group(
        rows.where("is_drawn").join(F.broadcast(policies.select("policy")), "policy", "left_semi"),
        ["slot"],
        weight=weight,
        clicks_w=weight * F.col("clicked"),
        clicks_w2=weight * weight * F.col("clicked"),
    )


def _measured(log: DataFrame, measured: DataFrame, score: str) -> DataFrame:
    """user_id, slot, clicked, bin (of the score, from 1) and place (in its list, by the score)."""
    by_score = Window.partitionBy(LIST).orderBy(F.desc(score), TIE, KEY)
    placed = measured.select(
        F.col(KEY).alias("impression_id"),
        F.col(score).alias("score"),
        F.row_number().over(by_score).alias("place"),
    )
    shares = [number / BINS for number in range(1, BINS)]
    edges = measured.agg(F.percentile_approx(score, shares, 10_000)).first()
    assert edges is not None
    above = [(F.col("score") > edge).cast("int") for edge in sorted(set(edges[0] or ()))]
    bins = reduce(Column.__add__, above, F.lit(1)).alias("bin")
    rows = placed.join(log, "impression_id")
    return rows.select("user_id", "slot", "clicked", bins, "place")
