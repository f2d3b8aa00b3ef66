"""From a category to its banner: by the last days' click rate, and by what the customer last did with it.

What a customer has reacted to says which banner comes next, by a rule for each category:
next: another banner than those clicked; when all were, another than the one clicked last.
keep: the banner clicked last, until the customer joins (then, as if nothing had been clicked).
another: the category itself rests after a reaction (see `fatigue`); its banners are chosen as new.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import LimitError, SettingsError
from firstday.ranking.history import CLICK, JOIN
from firstday.recommendations.content_shares import COUNTS, DAYS, MEMORY_DAYS, shares
from firstday.recommendations.fatigue import micros
from firstday.recommendations.filters import live
from firstday.spark.frames import uniform_hash
from firstday.spark.local_rows import local_rows
from firstday.windows import timestamp_literal

Refresh = Literal["next", "keep", "another"]
MOST_CONTENTS = 20_000  # live ones, which reach the driver
DRAW = 13  # salt of the hash that draws


@dataclass(frozen=True)
class Refreshing:
    """The rule after a reaction: `default`, but for categories that have their own."""

    default: Refresh = "next"
    of_category: dict[str, Refresh] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for rule in (self.default, *self.of_category.values()):
            if rule not in ("next", "keep", "another"):
                raise SettingsError("the rule after a reaction is next, keep or another", value=rule)

    def resting(self, categories: DataFrame) -> DataFrame:
        """The categories that rest after a reaction."""
        return categories.select("category").where(self.rule() == "another")

    def rule(self) -> Column:
        """The rule of the row's category."""
        own = [
            F.when(F.col("category") == name, F.lit(rule)) for name, rule in sorted(self.of_category.items())
        ]
        return F.coalesce(*own, F.lit(self.default))


def reacted(impressions: DataFrame, reactions: DataFrame, now: datetime) -> DataFrame:
    """The impressions of the last MEMORY_DAYS with what became of them, by `now`: user_id, category,
    content_id, shown_at, clicked_at, joined_at (null: not).

    An impression's repeated clicks are one. One join by impression_id.
    """
    end = F.unix_micros(timestamp_literal(now))
    shown_at = F.unix_micros("shown_at")
    shown = impressions.where((shown_at > end - micros(MEMORY_DAYS)) & (shown_at <= end)).select(
        "impression_id", "user_id", "category", "content_id", "shown_at"
    )
    at = F.col("reacted_at")
    found = reactions.where((at <= timestamp_literal(now)) & F.col("kind").isin(CLICK, JOIN))
    by_impression = found.groupBy("impression_id").agg(
        F.max(F.when(F.col("kind") == CLICK, at)).alias("clicked_at"),
        F.max(F.when(F.col("kind") == JOIN, at)).alias("joined_at"),
    )
    return shown.join(by_impression, "impression_id", "left").drop("impression_id")


def content_shares(contents: DataFrame, reacted: DataFrame, now: datetime) -> DataFrame:
    """The live contents by category: category, live, an array of (content_id, weight), the best first.

    reacted: as of `reacted`. The live contents and their counts
    reach the driver. Raises LimitError above MOST_CONTENTS of them.
    """
    age = F.unix_micros(timestamp_literal(now)) - F.unix_micros("shown_at")
    recent = age < micros(DAYS)
    clicked = F.col("clicked_at").isNotNull()
    counted = reacted.groupBy("content_id").agg(
        F.count_if(recent).alias("shown"),
        F.count_if(recent & clicked).alias("clicked"),
        F.count_if(~recent).alias("shown_before"),
        F.count_if(~recent & clicked).alias("clicked_before"),
    )
    candidates = live(contents, now).select("content_id", "category")
    rows = candidates.join(counted, "content_id", "left").fillna(0, list(COUNTS))
    found = rows.limit(MOST_CONTENTS + 1).toPandas()
    if len(found) > MOST_CONTENTS:
        raise LimitError(f"at most {MOST_CONTENTS:,} live contents", next_step="end contents that are over")
    weights = shares(found)[["content_id", "category", "weight"]]
    spark = contents.sparkSession
    table = local_rows(
        spark, weights.itertuples(index=False, name=None), "content_id string, category string, weight double"
    )
    entry = F.struct((-F.col("weight")).alias("negative"), "content_id")
    ordered = F.sort_array(F.collect_list(entry))
    live_ones = F.transform(
        ordered,
        lambda each: F.struct(each["content_id"].alias("content_id"), (-each["negative"]).alias("weight")),
    )
    return table.groupBy("category").agg(live_ones.alias("live"))


def choose(
    lists: DataFrame,
    content_shares: DataFrame,
    reacted: DataFrame,
    refreshing: Refreshing,
    *,
    seed: int,
    occasion: str,
) -> DataFrame:
    """The lists (of `slots.fill`) with content_id, and with the propensity of that content in that slot.

    The propensity is the category's there times the content's given the category; null where the category
    was not drawn, whatever else its content could have been. A content is drawn where the customer may get
    several; one draw a customer, category and occasion. Rows of a category without a live content are left
    out: `filters.blocked` keeps them from lists.
    """
    rows = _pooled(lists, content_shares, reacted, refreshing).where(F.col("pool").isNotNull())
    number = uniform_hash("user_id", "category", F.lit(occasion), seed, DRAW)
    rows = rows.withColumn("chosen", _drawn_of("pool", number))
    return rows.select(
        *(name for name in lists.columns if name != "propensity"),
        F.col("chosen.content_id").alias("content_id"),
        (F.col("propensity") * F.col("chosen.weight") / _total("pool")).alias("propensity"),
    )


def odds(rows: DataFrame, content_shares: DataFrame, reacted: DataFrame, refreshing: Refreshing) -> DataFrame:
    """The rows (user_id, category, content_id, ...) with content_odds: the probability of that content where
    its category is shown, before it is drawn; 0 where the customer cannot get it.
    """
    pooled = _pooled(rows, content_shares, reacted, refreshing)
    asked = F.filter("pool", lambda each: each["content_id"] == F.col("content_id"))
    weight = F.coalesce(F.get(asked, F.lit(0))["weight"], F.lit(0.0))
    return pooled.select(*rows.columns, (weight / _total("pool")).alias("content_odds"))


def _pooled(
    rows: DataFrame, content_shares: DataFrame, reacted: DataFrame, refreshing: Refreshing
) -> DataFrame:
    """The rows with `pool`, the contents that the customer may get of the category, with their weights."""
    rule = refreshing.rule().alias("rule")
    joined = rows.join(F.broadcast(content_shares), "category", "left")
    joined = joined.join(_remembered(reacted), ["user_id"], "left")
    position = F.call_function("array_position", F.col("memory.category"), F.col("category")).cast("int")
    known = joined.select(*rows.columns, "live", rule, F.get("memory", position - 1).alias("past"))
    return known.withColumn("pool", _pool())


def _remembered(reacted: DataFrame) -> DataFrame:
    """By customer: memory, an array of (category, clicked, last, kept), the banners that were clicked.

    kept: the one clicked last, if that was after the last join.
    """
    of_content = (
        reacted.where("clicked_at is not null or joined_at is not null")
        .repartition("user_id")
        .groupBy("user_id", "category", "content_id")
        .agg(F.max("clicked_at").alias("clicked_at"), F.max("joined_at").alias("joined_at"))
    )
    click = F.when(F.col("clicked_at").isNotNull(), F.struct("clicked_at", "content_id"))
    of_category = of_content.groupBy("user_id", "category").agg(
        F.collect_list(F.when(F.col("clicked_at").isNotNull(), F.col("content_id"))).alias("clicked"),
        F.max(click).alias("last"),
        F.max("joined_at").alias("joined_at"),
    )
    over = F.coalesce(F.col("joined_at") >= F.col("last.clicked_at"), F.lit(False))
    entry = F.struct(
        "category",
        "clicked",
        F.col("last.content_id").alias("last"),
        F.when(~over, F.col("last.content_id")).alias("kept"),
    )
    return of_category.groupBy("user_id").agg(F.collect_list(entry).alias("memory"))


def _pool() -> Column:
    """The live contents that the customer may get, by the rule of the category."""
    every, past, rule = F.col("live"), F.col("past"), F.col("rule")
    clicked = F.coalesce(past["clicked"], F.array().cast("array<string>"))
    kept = F.filter(every, lambda each: each["content_id"] == past["kept"])
    fresh = F.filter(every, lambda each: ~F.array_contains(clicked, each["content_id"]))
    others = F.filter(every, lambda each: each["content_id"] != past["last"])
    found = F.when(rule == "keep", kept).when(
        rule == "next", F.when(F.size(fresh) > 0, fresh).otherwise(others)
    )
    return F.when(F.size(found) > 0, found).otherwise(every)


def _total(pool: str) -> Column:
    return F.aggregate(pool, F.lit(0.0), lambda total, each: total + each["weight"])


def _drawn_of(pool: str, number: Column) -> Column:
    """The first content whose weight and those before it are more than `number` of all."""
    nothing = F.struct(
        F.lit(0.0).alias("through"),
        F.lit(None).cast("struct<content_id:string,weight:double>").alias("found"),
    )
    target = number * _total(pool)

    def add(found: Column, each: Column) -> Column:
        through = found["through"] + each["weight"]
        here = found["found"].isNull() & (target < through)
        return F.struct(through.alias("through"), F.when(here, each).otherwise(found["found"]).alias("found"))

    return F.aggregate(pool, nothing, add, lambda found: found["found"])
