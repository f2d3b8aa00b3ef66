"""What new lists would earn where the log has drawn what it showed, before anyone is shown them.

Judged are the impressions with a propensity: the exploring slot, all slots where some customers have random
lists, or whatever another policy drew. The estimand is the click rate that ranked lists, made at the start of
those days by what was known then, would have had in these slots at these visits. So no list knows the clicks
that it is judged by; rests, tastes and contents are as they were logged.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, IntegerType

from firstday.errors import DataError
from firstday.ranking.history import CLICK
from firstday.recommendations.off_policy import LEAST_EFFECTIVE, OffPolicy, estimate
from firstday.recommendations.off_policy_sums import table_sums
from firstday.spark.frames import break_lineage, from_pandas, uniform_hash
from firstday.tables.schemas import table_schema
from firstday.windows import timestamp_literal

JUDGED = 20_000  # customers at most, by a hash
FOLDS = 5
SAMPLE_SALT, FOLD_SALT = 31, 32
SCALES = table_schema([("fold", IntegerType()), ("slot", IntegerType()), ("scale", DoubleType())])
Odds = Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class PolicyValue:
    """estimate: None where it is refused. sentences: the figures or the refusal, then what limits them.

    drawn: impressions of the window with a propensity, of at most JUDGED customers; judged: those of them
    whose slot the new lists have, too.
    """

    estimate: OffPolicy | None
    sentences: tuple[str, ...]
    drawn: int
    judged: int


def policy_value(
    tables: Mapping[str, DataFrame],
    now: datetime,
    window: timedelta,
    odds: Odds,
    *,
    learned_until: datetime | None = None,
) -> PolicyValue:
    """The click rate that new lists would have had in the drawn impressions of [now - window, now).

    odds: adds to rows (user_id, slot, category, content_id, ...) what ranked lists of now - window would show
    there, as `lists.odds`. Self-normalised and doubly robust: the reward model is the lists' score times a
    scale by slot, which is clicks over scores among the customers of other folds. Customers are the
    independent units. learned_until: the latest of what the ranker learned from, where that is known.

    Where it is refused (no drawn impressions, no support, a propensity that is none, fewer than
    LEAST_EFFECTIVE effective rows) the estimate is None, and the first sentence says why.
    """
    since = now - window
    shown = break_lineage(_drawn(tables, since, now))
    if shown.isEmpty():
        return PolicyValue(
            None,
            (
                "No estimate: in these days no category was drawn by chance, so that nothing says what "
                "others would have earned. An exploring slot or a random share of customers "
                "(--random-share 0.05) changes that.",
            ),
            *(0, 0),
        )
    rows = break_lineage(odds(shown))
    counts = rows.agg(F.count(F.lit(1)).alias("drawn"), F.count("expected").alias("judged")).first()
    assert counts is not None  # an aggregation without groups has one row
    found, sentences = _estimated(rows.where(F.col("expected").isNotNull()), counts)
    if found is not None and learned_until is not None and learned_until > since:
        sentences += (
            f"The ranker learned from days until {learned_until:%Y-%m-%d}, some of which it is judged by: "
            "the figure may be too high.",
        )
    return PolicyValue(found, sentences, counts["drawn"], counts["judged"])


def _drawn(tables: Mapping[str, DataFrame], since: datetime, now: datetime) -> DataFrame:
    """user_id, slot, category, content_id, propensity, reward: the impressions that were drawn."""
    within = (F.col("shown_at") >= timestamp_literal(since)) & (F.col("shown_at") < timestamp_literal(now))
    rows = tables["impressions"].where(within & F.col("propensity").isNotNull())
    customers = rows.agg(F.approx_count_distinct("user_id")).collect()[0][0]
    if customers > JUDGED:
        rows = rows.where(uniform_hash("user_id", SAMPLE_SALT) < JUDGED / customers)
    clicked = (
        tables["reactions"]
        .where((F.col("kind") == CLICK) & (F.col("reacted_at") < timestamp_literal(now)))
        .select("impression_id", F.lit(1.0).alias("clicked"))
        .distinct()
    )
    return rows.join(clicked, "impression_id", "left").select(
        *("user_id", "slot", "category", "content_id", "propensity"),
        F.coalesce("clicked", F.lit(0.0)).alias("reward"),
    )


def _estimated(rows: DataFrame, counts: Row) -> tuple[OffPolicy | None, tuple[str, ...]]:
    judged, absent = counts["judged"], counts["drawn"] - counts["judged"]
    left_out: tuple[str, ...] = ()
    if absent:
        left_out = (
            f"{absent:,} drawn impressions are left out: the new lists of these customers do not have that "
            "slot.",
        )
    if not judged:
        return None, (f"No estimate: none of the {absent:,} drawn impressions can be compared.", *left_out)
    try:
        sums = table_sums(_modelled(rows), unit="user_id", predicted="predicted", expected="expected")
        found = estimate(sums)
    except DataError as refusal:
        return None, (f"No estimate. {refusal}", *left_out)
    if found.effective_sample_size < LEAST_EFFECTIVE:
        return None, (
            f"No estimate: of {judged:,} drawn impressions too few are of what the new lists would show "
            f"({found.effective_sample_size:.0f} effective rows, {LEAST_EFFECTIVE} needed). More customers "
            "with random lists (--random-share), or more days, bring more.",
            *left_out,
        )
    value = found.self_normalised_doubly_robust
    assert value is not None  # a reward model is given
    sentence = (
        f"In the slots that were drawn, {judged:,} impressions, the new lists would have had a click rate of "
        f"{value.value:.2%} ({value.low:.2%} to {value.high:.2%}), where {found.logged.value:.2%} was "
        f"clicked: a gain of {100 * value.gain:+.2f} points ({100 * value.gain_low:+.2f} to "
        f"{100 * value.gain_high:+.2f}). Self-normalised and doubly robust, "
        f"{found.effective_sample_size:,.0f} effective rows."
    )
    return found, (sentence, *found.warnings, *left_out)


def _modelled(rows: DataFrame) -> DataFrame:
    """The rows with predicted, the reward that is expected of what was shown, and expected, of what the new
    lists would show.
    """
    fold = F.floor(uniform_hash("user_id", FOLD_SALT) * FOLDS).cast("int")
    rows = rows.withColumn("fold", fold)
    by_fold: pd.DataFrame = (
        rows.where(F.col("score").isNotNull())
        .groupBy("fold", "slot")
        .agg(F.sum("reward").alias("reward"), F.sum("score").alias("score"))
        .toPandas()
    )
    scale_table = from_pandas(rows.sparkSession, scales(by_fold), SCALES)
    scaled = rows.join(F.broadcast(scale_table), ["fold", "slot"], "left")
    scale = F.coalesce("scale", F.lit(0.0))
    return scaled.withColumns(
        {
            "predicted": scale * F.coalesce("score", F.lit(0.0)),
            "expected": scale * F.col("expected"),
        }
    )


def scales(by_fold: pd.DataFrame) -> pd.DataFrame:
    """fold, slot, scale: clicks over scores in the slot among the customers of the other folds.

    by_fold: fold, slot, reward, score; (folds x slots) rows.
    """
    sums = by_fold.sort_values(["slot", "fold"]).set_index(["slot", "fold"])
    others = sums.groupby(level="slot").transform("sum") - sums
    scale = others["reward"] / others["score"].where(others["score"] > 0)
    return scale.fillna(0.0).clip(lower=0.0).rename("scale").reset_index()[SCALES.names]
