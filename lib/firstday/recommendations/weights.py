"""From a click probability to a score to order by: the category's domain weight and stated preferences."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.spark.frames import uniform_hash
from firstday.tables.schemas import column

UNWEIGHTED = "unweighted"
TIE = 11  # salt of the hash that orders equal scores
MOST_BOOST = 10.0


def weighted(scored: DataFrame, categories: DataFrame, boost: float = 0.5) -> DataFrame:
    """Candidates (user_id, category, score, preference, ...) with their weighted score.

    score = click probability × weight of the category × (1 + boost × preference). weight lifts categories of
    the long tail: 2 places a click there like two elsewhere; null is 1. preference is what the customer said,
    faded by then, within [-1, 1]; null is 0. At a boost of 1 what was fully refused gets a score of 0; above,
    no score is negative. The score may be above 1: it is an order, no probability, which UNWEIGHTED keeps.
    A probability that is null or NaN becomes a null score, which `fill` takes for none at all. Raises
    SettingsError for a boost outside [0, 10].
    """
    if not 0 <= boost <= MOST_BOOST:
        raise SettingsError(f"the boost of preferences is from 0 to {MOST_BOOST:g}", value=boost)
    weights = categories.select("category", _known("weight", 1.0).alias("firstday_weight"))
    stated = F.least(F.greatest(_known("preference", 0.0), F.lit(-1.0)), F.lit(1.0))
    factor = F.greatest(1 + boost * stated, F.lit(0.0))
    probability = F.when(~F.isnan("score"), F.col("score"))
    weight = F.coalesce("firstday_weight", F.lit(1.0))
    joined = scored.join(F.broadcast(weights), "category", "left")
    return joined.select(
        *(column(name) for name in scored.columns if name != "score"),
        probability.alias(UNWEIGHTED),
        (probability * weight * factor).alias("score"),
    )


def changed(weighted: DataFrame, size: int, seed: int) -> DataFrame:
    """What the weights did, in one row: candidates, customers, and `lists`, the customers whose top `size`
    of candidates are others than without weights.
    """
    tie = uniform_hash("user_id", "category", seed, TIE)
    places = {
        name: F.row_number().over(
            Window.partitionBy("user_id").orderBy(F.col(name).desc_nulls_last(), tie, "category")
        )
        for name in (UNWEIGHTED, "score")
    }
    placed = weighted.select("user_id", *((place <= size).alias(name) for name, place in places.items()))
    by_user = placed.groupBy("user_id").agg(
        F.count(F.lit(1)).alias("candidates"),
        F.bool_or(F.col(UNWEIGHTED) != F.col("score")).alias("other"),
    )
    return by_user.agg(
        F.coalesce(F.sum("candidates"), F.lit(0)).alias("candidates"),
        F.count(F.lit(1)).alias("customers"),
        F.count_if("other").alias("lists"),
    )


def _known(name: str, otherwise: float) -> Column:
    """The column's value, `otherwise` where it is null or NaN."""
    return F.coalesce(F.nanvl(F.col(name), F.lit(otherwise)), F.lit(otherwise))
