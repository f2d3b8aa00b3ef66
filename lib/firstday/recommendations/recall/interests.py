"""How much each customer has had to do with each category until an instant."""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.ranking.history import MET
from firstday.recommendations.recall.catalog import PLACE, Catalog
from firstday.windows import timestamp_literal

UNIT = 1 << 20  # strengths are added as whole multiples of 1 / UNIT: their sum depends on no order
DAY = 86_400.0  # seconds
# What one fact counts when it is new, and the days after which it counts half. A holding does not age while
# the customer has it, and from its end on as others do.
TRANSACTION, CLICK, JOIN, HELD = 1.0, 1.0, 3.0, 3.0
HALF_LIFE_DAYS = 90.0


def before(facts: DataFrame, until: datetime) -> DataFrame:
    """The facts that were known at `until`."""
    return facts.where(F.col("at") < timestamp_literal(until))


def interests(facts: DataFrame, catalog: Catalog, until: datetime) -> DataFrame:
    """user_id, place, weight: a row for each category of the catalog that the customer met before `until`.

    The weight is log(1 + the aged strengths of its facts), so that a thousand transactions do not drown the
    rest.
    """
    known = before(facts, until).where(F.col("kind").isin(*MET, "until"))
    aged = F.lit(0.5) ** (_seconds(until, F.col("at")) / (DAY * HALF_LIFE_DAYS))
    worth = (
        F.when(F.col("kind") == "transaction", TRANSACTION)
        .when(F.col("kind") == "click", CLICK)
        .when(F.col("kind") == "join", JOIN)
    )
    summed = (
        catalog.placed(known.select("user_id", "category", "kind", "at"))
        .groupBy("user_id", PLACE)
        .agg(
            F.sum(F.rint(worth * aged * UNIT).cast("long")).alias("acted"),
            F.count(F.when(F.col("kind") != "until", 1)).alias("facts"),
            F.count(F.when(F.col("kind") == "since", 1)).alias("begun"),
            F.count(F.when(F.col("kind") == "until", 1)).alias("ended"),
            F.max(F.when(F.col("kind") == "until", F.col("at"))).alias("ended_at"),
        )
        .where(F.col("facts") > 0)
    )
    age = F.when(F.col("begun") > F.col("ended"), 0.0).otherwise(_seconds(until, F.col("ended_at")))
    held = F.when(F.col("begun") > 0, HELD * F.lit(0.5) ** (age / (DAY * HALF_LIFE_DAYS)))
    strength = F.coalesce(F.col("acted"), F.lit(0)) / UNIT + F.coalesce(held, F.lit(0.0))
    return summed.select("user_id", PLACE, F.log1p(strength).alias("weight"))


def by_customer(interests: DataFrame) -> DataFrame:
    """user_id and `met`, array<struct<place, weight>> by place, of the interests above 0."""
    met = F.sort_array(F.collect_list(F.struct(PLACE, "weight")))
    return interests.where(F.col("weight") > 0).groupBy("user_id").agg(met.alias("met"))


def _seconds(until: datetime, at: Column) -> Column:
    return (F.unix_micros(timestamp_literal(until)) - F.unix_micros(at)) / 1e6
