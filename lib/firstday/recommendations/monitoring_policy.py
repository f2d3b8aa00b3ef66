"""What new lists would earn in the slots that the log filled by a draw, before anyone is shown them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.ranking.history import CLICK
from firstday.recommendations.off_policy import LEAST_EFFECTIVE, OffPolicy, estimate
from firstday.recommendations.off_policy_sums import table_sums
from firstday.spark.frames import cached
from firstday.windows import timestamp_literal


@dataclass(frozen=True)
class PolicyValue:
    """estimate: None where it is refused. sentences: the figures or the refusal, then what limits them.

    drawn: impressions of the window with a propensity; judged: those of them for which the new lists say
    what they would show there.
    """

    estimate: OffPolicy | None
    sentences: tuple[str, ...]
    drawn: int
    judged: int


def policy_value(
    tables: Mapping[str, DataFrame], now: datetime, window: timedelta, lists: DataFrame
) -> PolicyValue:
    """The click rate that new lists would have, by the drawn impressions of [now - window, now).

    lists: user_id, slot, category, content_id, propensity. An impression with a propensity is compared with
    what the new list has in the same slot for the same customer: the new policy's probability of the logged
    category and content is 1 if that is the same, else 0. Customers are the independent units.

    What it cannot say:
    - Slots that the log filled without a draw hold nothing of what else could have been clicked there.
    - Of a slot that the new lists draw themselves only the outcome is known, not the probabilities: such
      slots are left out. With the same exploring slot before and now, nothing is left, and that is said.
    - Slots are judged one by one, under the logged lists' other slots.
    - The lists know the clicks that they are judged by: rests after a click alone move the figure. The
      sentences say so; lists made by what was known at now - window are without it.
    - Customers without a drawn impression, or without the slot in their new list, are not in it.

    Where it is refused (no such impressions, no support, a propensity that is none, fewer than
    LEAST_EFFECTIVE effective rows) the estimate is None, and the first sentence says why. Three Spark jobs.
    """
    with cached(_rows(tables, now, window, lists)) as rows:
        counts = rows.agg(
            F.count(F.lit(1)).alias("drawn"),
            F.count_if("judged").alias("judged"),
            F.count_if("drawn_again").alias("drawn_again"),
        ).first()
        assert counts is not None  # an aggregation without groups has one row
        found, sentences = _estimated(rows.where("judged"), counts)
    if found is not None:
        sentences += (
            "The lists know reactions of the days that they are judged by: rests after a click alone move "
            "the figure. Only lists that were made by what was known before these days are judged fairly.",
        )
    return PolicyValue(found, sentences, counts["drawn"], counts["judged"])


def _rows(tables: Mapping[str, DataFrame], now: datetime, window: timedelta, lists: DataFrame) -> DataFrame:
    """user_id, propensity, reward, probability, judged, drawn_again: the impressions that were drawn."""
    within = (F.col("shown_at") >= timestamp_literal(now - window)) & (
        F.col("shown_at") < timestamp_literal(now)
    )
    drawn = tables["impressions"].where(within & F.col("propensity").isNotNull())
    clicked = (
        tables["reactions"]
        .where((F.col("kind") == CLICK) & (F.col("reacted_at") < timestamp_literal(now)))
        .select("impression_id", F.lit(1.0).alias("clicked"))
        .distinct()
    )
    listed = lists.select(
        *("user_id", "slot"),
        F.col("category").alias("new_category"),
        F.col("content_id").alias("new_content"),
        F.col("propensity").alias("new_propensity"),
    )
    # A list has a category in each slot that it fills.
    there, again = F.col("new_category").isNotNull(), F.col("new_propensity").isNotNull()
    same = (F.col("category") == F.col("new_category")) & (F.col("content_id") == F.col("new_content"))
    return (
        drawn.join(clicked, "impression_id", "left")
        .join(listed, ["user_id", "slot"], "left")
        .select(
            *("user_id", "propensity"),
            F.coalesce("clicked", F.lit(0.0)).alias("reward"),
            F.coalesce(same, F.lit(False)).cast("double").alias("probability"),
            (there & ~again).alias("judged"),
            again.alias("drawn_again"),
        )
    )


def _estimated(rows: DataFrame, counts: Row) -> tuple[OffPolicy | None, tuple[str, ...]]:
    drawn, judged = counts["drawn"], counts["judged"]
    if not drawn:
        return None, ("No estimate: no impression of these days was drawn, so that none has a propensity.",)
    left_out = _left_out(counts)
    if not judged:
        return None, (f"No estimate: none of the {drawn:,} drawn impressions can be compared.", *left_out)
    try:
        found = estimate(table_sums(rows, unit="user_id"))
    except DataError as refusal:
        return None, (f"No estimate. {refusal}", *left_out)
    if found.effective_sample_size < LEAST_EFFECTIVE:
        return None, (
            f"No estimate: of {judged:,} drawn impressions too few are of what the new lists would show "
            f"({found.effective_sample_size:.0f} effective rows, {LEAST_EFFECTIVE} needed).",
            *left_out,
        )
    value = found.snips
    sentence = (
        f"In the slots that were drawn, {judged:,} impressions, the new lists would have a click rate of "
        f"{value.value:.2%} ({value.low:.2%} to {value.high:.2%}), where {found.logged.value:.2%} was "
        f"clicked: a gain of {100 * value.gain:+.2f} points ({100 * value.gain_low:+.2f} to "
        f"{100 * value.gain_high:+.2f}). Self-normalised, {found.effective_sample_size:,.0f} effective rows."
    )
    return found, (sentence, *found.warnings, *left_out)


def _left_out(counts: Row) -> tuple[str, ...]:
    again = counts["drawn_again"]
    absent = counts["drawn"] - counts["judged"] - again
    sentences = []
    if again:
        sentences.append(
            f"{again:,} drawn impressions are left out: the new lists draw that slot too, and only the "
            "outcome is known."
        )
    if absent:
        sentences.append(
            f"{absent:,} drawn impressions are left out: the new lists of these customers do not have that "
            "slot."
        )
    return tuple(sentences)
