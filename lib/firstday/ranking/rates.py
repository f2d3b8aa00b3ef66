"""Click rates of categories, and of segments of customers in them, as they were known on a day.

A day's rates are of the 28 whole UTC days before it: the same for all that is asked on that day, so that a
small table is broadcast, and no window runs over all rows of a category.
"""

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.ranking.history import CLICK, SHOWN

DAYS = 28
PRIOR_WEIGHT = 100.0  # impressions that the prior of a click rate is worth
DAY, SEGMENT, PRIOR = "rate_day", "rate_segment", "prior_rate"
CATEGORY_RATE, SEGMENT_RATE = "category_click_rate", "segment_click_rate"


@dataclass(frozen=True)
class Rates:
    """`overall`: DAY, PRIOR. `categories`: category, DAY, CATEGORY_RATE. `segments`: SEGMENT, category, DAY,
    SEGMENT_RATE; None where no segments are given.
    """

    overall: DataFrame
    categories: DataFrame
    segments: DataFrame | None

    def join(self, asks: DataFrame, asked_on: Column) -> DataFrame:
        """Asks with the rates of the day `asked_on`; with segments they have the column SEGMENT, which goes.

        Where a category (a segment) wasn't shown, its rate is that of all (of the category); null where
        nothing was shown.
        """
        found = _looked_up(asks.withColumn(DAY, asked_on), self.overall, [DAY])
        found = _looked_up(found, self.categories, [DAY, "category"])
        found = found.withColumn(CATEGORY_RATE, F.coalesce(CATEGORY_RATE, PRIOR))
        if self.segments is not None:
            found = _looked_up(found, self.segments, [DAY, "category", SEGMENT])
            found = found.withColumn(SEGMENT_RATE, F.coalesce(SEGMENT_RATE, CATEGORY_RATE)).drop(SEGMENT)
        return found.drop(DAY)


def rates(facts: DataFrame, segments: DataFrame | None = None) -> Rates:
    """The rates of each day that has any. segments: user_id, SEGMENT; a null is one too.

    A rate is (clicks + PRIOR_WEIGHT × prior) / (impressions + PRIOR_WEIGHT), the mean of a beta distribution:
    the prior is the rate of all categories for a category, the category's rate for a segment in it. Clicks
    count on their own day, so that a rate may be above 1 where impressions are older than the window.
    """
    rows = facts.where(F.col("kind").isin(SHOWN, CLICK))
    keys = ["category"]
    if segments is not None:
        rows = rows.join(segments, "user_id", "left")
        keys = ["category", SEGMENT]
    daily = rows.groupBy(*keys, F.to_date("at").alias("date")).agg(
        F.count_if(F.col("kind") == SHOWN).alias("shown"), F.count_if(F.col("kind") == CLICK).alias("clicks")
    )
    known_on = F.explode(F.sequence(F.date_add("date", 1), F.date_add("date", DAYS))).alias(DAY)
    windows = daily.select(*keys, known_on, "shown", "clicks")
    # What nobody was shown has no rate, whatever late clicks say.
    overall = _summed(windows, [DAY]).where(F.col("shown") > 0)
    overall = overall.select(DAY, (F.col("clicks") / F.col("shown")).alias(PRIOR))
    of_category = _summed(windows, [DAY, "category"])
    of_category = _looked_up(of_category, overall, [DAY])
    of_category = of_category.withColumn(CATEGORY_RATE, smoothed("clicks", "shown", PRIOR))
    categories = of_category.select("category", DAY, CATEGORY_RATE)
    if segments is None:
        return Rates(overall, categories, None)
    of_segment = _summed(windows, [DAY, "category", SEGMENT])
    of_segment = _looked_up(of_segment, categories, [DAY, "category"])
    rate = smoothed("clicks", "shown", CATEGORY_RATE)
    return Rates(overall, categories, of_segment.select(SEGMENT, "category", DAY, rate.alias(SEGMENT_RATE)))


def smoothed(clicks: str, shown: str, prior: str) -> Column:
    """The columns' click rate, with PRIOR_WEIGHT more impressions that are clicked as the prior says."""
    return (F.col(clicks) + PRIOR_WEIGHT * F.col(prior)) / (F.col(shown) + PRIOR_WEIGHT)


def _summed(windows: DataFrame, keys: list[str]) -> DataFrame:
    return windows.groupBy(*keys).agg(F.sum("shown").alias("shown"), F.sum("clicks").alias("clicks"))


def _looked_up(rows: DataFrame, small: DataFrame, keys: list[str]) -> DataFrame:
    """`rows` with the other columns of `small`, null where it has no row.

    Keys are the same if both are null: Spark then adds no filter below the sums, and so sees that all rates
    are made of the same sums by day, which it computes once.
    """
    other = small.withColumnsRenamed({key: f"{key}_there" for key in keys})
    same = reduce(Column.__and__, (F.col(key).eqNullSafe(F.col(f"{key}_there")) for key in keys))
    return rows.join(F.broadcast(other), same, "left").drop(*(f"{key}_there" for key in keys))
