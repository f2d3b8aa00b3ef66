"""Examples for the re-ranker out of the log: what was shown, as it was known then, and what became of it.

An example is an impression; a list is what one customer was shown at one instant. Its features are of facts
before that instant, and what recall said at a cut before it, so that nothing is learned from what came later.

Slots: what stands higher is clicked more, whatever it is. The slot is a feature while the model learns, and
the same for all (the first) when it is asked, so that a category does not get the credit of its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import pairwise

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.ranking.encoding import PREFIX, Encoding, learn
from firstday.ranking.examples import (
    CATEGORY,
    KEY,
    LABEL,
    LIST,
    ORDER,
    SHOWN_LIST,
    SPLIT,
    TIE,
    TRAIN,
    VALID,
    VECTOR,
    WEIGHT,
)
from firstday.ranking.features import at_each
from firstday.ranking.formulas import FeatureSettings
from firstday.ranking.history import CLICK, JOIN
from firstday.ranking.rates import CATEGORY_RATE, SEGMENT_RATE
from firstday.recommendations.recall.affinity import attributed
from firstday.recommendations.recall.serendipity import segmented
from firstday.recommendations.recall.sources import RECALL_FEATURES, recalled
from firstday.spark.frames import break_lineage, with_vector
from firstday.windows import timestamp_literal

SLOT = "slot"
ASKED = "firstday_asked"
FIRST_SLOT = 1.0  # what the model is asked about
SEGMENT_COLUMN = "firstday_segment"
WEEK = timedelta(days=7)
LONGEST = timedelta(days=56)  # to learn from: older habits are others
SAME_USE = "used_7d"  # categories used so lately are no cross-sell
# What recall, rates and the customer say of a category speaks for it, and a lower place against it. Clicks
# are few: what is known need not be learned, and what contradicts it is chance.
MONOTONE = {**dict.fromkeys((*RECALL_FEATURES, CATEGORY_RATE, SEGMENT_RATE, "preference"), 1), SLOT: -1}
# Few clicks are soon learned by heart: small trees in small steps, each of other features, leaves of few
# clicks shrunk, until clicks that were held out are no better foretold.
CAREFUL = {
    "num_iterations": 1_000,
    "num_leaves": 8,
    "learning_rate": 0.03,
    "feature_fraction": 0.5,
    "lambda_l2": 50.0,
    "early_stopping_round": 20,
}


@dataclass(frozen=True)
class Moment:
    """The moment of `firstday discover`: an action done at least `threshold` times within a time."""

    action: str
    threshold: int


@dataclass(frozen=True)
class Target:
    """What a label rewards. window: time after the impression. moment: reached within it, beside a click or
    join, with `share` of the label; share 0 is clicks and joins alone, 1 the moment alone.
    """

    window: timedelta = timedelta(days=7)
    moment: Moment | None = None
    share: float = 0.0


@dataclass(frozen=True)
class Periods:
    """Examples from `start` on; those from `valid` on are measured on; none whose window is open at `end`."""

    start: datetime
    valid: datetime
    end: datetime

    @property
    def weeks(self) -> list[tuple[datetime, datetime]]:
        """Weeks from the first on, each with its end; none has rows of both splits. What is left over at the
        end is a week of its own if it is at least half of one, and else the last one's.
        """
        found: list[tuple[datetime, datetime]] = []
        for since, until in ((self.start, self.valid), (self.valid, self.end)):
            starts = [since + week * WEEK for week in range(max(1, round((until - since) / WEEK)))]
            found += pairwise([*starts, until])
        return found


def periods(first: datetime, now: datetime, target: Target, valid: timedelta) -> Periods:
    """The first third before what is measured on, at least, is for recall alone; the last `valid` to measure.

    Raises DataError where the log is too short for both.
    """
    end = now - target.window
    measured = end - valid
    start = max(first + (measured - first) / 3, measured - LONGEST)
    if first >= measured:
        raise DataError(
            "the log of impressions must be longer than the label's window and the days to measure on",
            value=f"{first:%Y-%m-%d} to {now:%Y-%m-%d}",
            next_step="shorten --label-window or --valid-days, or wait for more days",
        )
    return Periods(start, measured, end)


def asked(
    impressions: DataFrame,
    reactions: DataFrame,
    events: DataFrame | None,
    span: Periods,
    target: Target,
) -> DataFrame:
    """user_id, category, asked_at, slot, label, key: the impressions of the span with their labels."""
    within = (F.col("shown_at") >= timestamp_literal(span.start)) & (
        F.col("shown_at") < timestamp_literal(span.end)
    )
    shown = impressions.where(within)
    seconds = target.window.total_seconds()
    answers = (
        reactions.where(F.col("kind").isin(CLICK, JOIN))
        .join(shown.select("impression_id", "shown_at"), "impression_id")
        .where(_seconds("reacted_at") - _seconds("shown_at") < seconds)
        .select("impression_id")
        .distinct()
        .withColumn("answered", F.lit(1.0))
    )
    label: Column = F.coalesce("answered", F.lit(0.0))
    found = shown.join(answers, "impression_id", "left")
    if target.moment is not None and events is not None and target.share > 0:
        found = found.join(_reached(shown, events, target), ["user_id", "shown_at"], "left")
        label = (1 - target.share) * label + target.share * F.coalesce("reached", F.lit(0.0))
    return found.select(
        "user_id",
        CATEGORY,
        F.col("shown_at").alias("asked_at"),
        F.col(SLOT).cast("double").alias(SLOT),
        label.alias(LABEL),
        F.col("impression_id").alias(KEY),
    )


def _reached(shown: DataFrame, events: DataFrame, target: Target) -> DataFrame:
    """user_id, shown_at, reached: lists after which the customer came to the moment within the window."""
    assert target.moment is not None
    lists = shown.select("user_id", "shown_at").distinct()
    done = events.where(F.col("action") == target.moment.action).select("user_id", "occurred_at")
    after = _seconds("occurred_at") - _seconds("shown_at")
    inside = lists.join(done, "user_id").where((after >= 0) & (after < target.window.total_seconds()))
    counted = inside.groupBy("user_id", "shown_at").count()
    enough = counted.where(F.col("count") >= target.moment.threshold)
    return enough.select("user_id", "shown_at", F.lit(1.0).alias("reached"))


@dataclass(frozen=True)
class Learned:
    """rows: as `examples` has them, with SLOT. encoding: of the features, the slot the last of them."""

    rows: DataFrame
    encoding: Encoding


def built(
    tables: Mapping[str, DataFrame],
    facts: DataFrame,
    span: Periods,
    target: Target,
    features: FeatureSettings,
    *,
    segment: Sequence[str],
    profile: Sequence[str],
    seed: int,
) -> Learned:
    """The examples of a span. Recall is as it was at the start of each row's week: a model that learned from
    older scores than it is asked with would trust them too little.
    """
    asks = asked(tables["impressions"], tables["reactions"], tables.get("events"), span, target)
    later = F.col("asked_at") >= timestamp_literal(span.valid)
    customers = with_segment(tables["customers"], segment)
    rows = at_each(asks, facts, features, customers).withColumn(SPLIT, F.when(later, VALID).otherwise(TRAIN))
    # Cross-sell: a click on what was just used earns nothing. It is not held against the category either:
    # people use what they like.
    rows = break_lineage(rows.where(F.col(SAME_USE) == 0))
    attributes = attributed(tables["customers"])
    parts = []
    for since, until in span.weeks:
        said = recalled(
            *(tables["customers"], attributes, tables["categories"], facts, since),
            segment=segment,
            profile=profile,
            seed=seed,
        )
        inside = (F.col("asked_at") >= timestamp_literal(since)) & (
            F.col("asked_at") < timestamp_literal(until)
        )
        parts.append(said.features(rows.where(inside)))
    examples = break_lineage(reduce(DataFrame.unionByName, parts))
    names = feature_names(customers, features)
    encoding = learn(examples.where(F.col(SPLIT) == TRAIN), names)
    return Learned(_example(encoding.apply(examples), encoding, seed), encoding)


def with_segment(customers: DataFrame, segment: Sequence[str]) -> DataFrame:
    """The customers with the column SEGMENT_COLUMN, whose values have click rates of their own."""
    return customers.join(
        segmented(customers, segment).withColumnRenamed("segment", SEGMENT_COLUMN), "user_id"
    )


def feature_settings(actions: Sequence[str]) -> FeatureSettings:
    """The features that a ranker learns from and is asked with."""
    return FeatureSettings(actions=tuple(actions), segment=SEGMENT_COLUMN)


def feature_names(customers: DataFrame, features: FeatureSettings) -> tuple[str, ...]:
    """All features by name, in order; the slot comes last."""
    known = [name for name in customers.columns if name != "user_id"]
    return (*known, *features.names, *RECALL_FEATURES, SLOT)


def _example(rows: DataFrame, encoding: Encoding, seed: int) -> DataFrame:
    by_list = F.xxhash64("user_id", "asked_at")
    kept = rows.select(
        SPLIT,
        by_list.alias(LIST),
        F.concat_ws(" ", "user_id", F.date_format("asked_at", "yyyy-MM-dd'T'HH:mm:ss'Z'")).alias(SHOWN_LIST),
        LABEL,
        F.lit(1.0).alias(WEIGHT),
        CATEGORY,
        F.lit(None).cast("double").alias(ORDER),
        KEY,
        F.xxhash64(KEY, F.lit(seed)).alias(TIE),
        SLOT,
        *encoding.columns,
    )
    learned = with_vector(kept, encoding.columns, VECTOR)
    return as_asked(learned, encoding).drop(*encoding.columns)


def as_asked(encoded: DataFrame, encoding: Encoding) -> DataFrame:
    """Encoded rows with ASKED, the vector that the model is asked with: all in the first slot."""
    asked_slot = encoded.withColumn(PREFIX + SLOT, F.lit(FIRST_SLOT))
    return with_vector(asked_slot, encoding.columns, ASKED)


def _seconds(name: str) -> Column:
    return F.unix_micros(name) / 1_000_000
