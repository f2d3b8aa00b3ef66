"""How much each customer has had to do with each category until an instant."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.ranking.history import MET
from firstday.recommendations.recall.catalog import PLACE, Catalog

UNIT = 1 << 20  # strengths are added as whole multiples of 1 / UNIT: their sum depends on no order
DAY = 86_400.0  # seconds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Strengths:
    """What one fact counts when it is new, and the days after which it counts half. `held` is a holding's:
    it does not age while the customer has it, and from its end on as others do.
    """

    transaction: float = 1.0
    click: float = 1.0
    join: float = 3.0
    held: float = 3.0
    half_life_days: float = 90.0

    def __post_init__(self) -> None:
        values = (self.transaction, self.click, self.join, self.held)
        if not all(0 <= value <= 1000 for value in values) or not self.half_life_days > 0:
            raise SettingsError(
                "strengths are from 0 to 1000 and the half-life is above 0 days",
                value=[*values, self.half_life_days],
                next_step="change the strengths of recall",
            )


def moment(instant: datetime) -> Column:
    """The instant as a timestamp, whatever the session's time zone. Raises SettingsError without a zone."""
    if instant.tzinfo is None:
        raise SettingsError("instants have a time zone", value=instant.isoformat(), next_step="give UTC")
    return F.timestamp_micros(F.lit((instant - EPOCH) // timedelta(microseconds=1)))


def before(facts: DataFrame, until: datetime) -> DataFrame:
    """The facts that were known at `until`."""
    return facts.where(F.col("at") < moment(until))


def interests(
    facts: DataFrame, catalog: Catalog, until: datetime, strengths: Strengths | None = None
) -> DataFrame:
    """user_id, place, weight: a row for each category of the catalog that the customer met before `until`.

    The weight is log(1 + the aged strengths of its facts), so that a thousand transactions do not drown the
    rest; it is 0 only where the strengths are.
    """
    given = strengths or Strengths()
    known = before(facts, until).where(F.col("kind").isin(*MET, "until"))
    aged = F.lit(0.5) ** (_seconds(until, F.col("at")) / (DAY * given.half_life_days))
    worth = (
        F.when(F.col("kind") == "transaction", given.transaction)
        .when(F.col("kind") == "click", given.click)
        .when(F.col("kind") == "join", given.join)
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
    held = F.when(F.col("begun") > 0, given.held * F.lit(0.5) ** (age / (DAY * given.half_life_days)))
    strength = F.coalesce(F.col("acted"), F.lit(0)) / UNIT + F.coalesce(held, F.lit(0.0))
    return summed.select("user_id", PLACE, F.log1p(strength).alias("weight"))


def by_customer(interests: DataFrame) -> DataFrame:
    """user_id and `met`, array<struct<place, weight>> by place, of the interests above 0."""
    met = F.sort_array(F.collect_list(F.struct(PLACE, "weight")))
    return interests.where(F.col("weight") > 0).groupBy("user_id").agg(met.alias("met"))


def _seconds(until: datetime, at: Column) -> Column:
    return (F.unix_micros(moment(until)) - F.unix_micros(at)) / 1e6
