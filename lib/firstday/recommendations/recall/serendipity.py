"""Serendipity: a Thompson bandit (Thompson 1933, Biometrika 25) over click rates by segment and category.

A category's click rate in a segment has a beta posterior: the clicks and impressions of the last days there,
and a prior at the category's rate over all segments, itself shrunk to the rate over all categories. For each
segment DRAWS joint draws are made once a day, a row with one draw of every category; a customer takes the row
that a hash of seed, user and date picks. So draws are exact, a customer's stay for the day, and recall runs
no Python on rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import LimitError
from firstday.recommendations.recall.catalog import PLACE, Catalog
from firstday.recommendations.recall.interests import before
from firstday.spark.local_rows import local_rows
from firstday.tables.schemas import column
from firstday.windows import timestamp_literal

Floats = NDArray[np.float64]
DRAWS = 512
MOST_SEGMENTS = 200  # each is 160 kB of draws for 40 categories, on every executor
# Days of impressions that count; impressions that each prior is worth; the click rate without impressions.
DAYS, STRENGTH, RATE = 28.0, 100.0, 0.01
ALL = "all"  # the segment of customers whose own has no impressions


@dataclass(frozen=True)
class Draws:
    """values: segments × DRAWS × categories, click rates. segments[0] is ALL. day: ISO date of the draws."""

    segments: tuple[str, ...]
    values: Floats
    seed: int
    day: str


def segmented(customers: DataFrame, names: Sequence[str]) -> DataFrame:
    """user_id, segment: `gender f, region south`, ALL where no columns are named."""
    parts = [
        F.concat(F.lit(f"{name} "), F.coalesce(column(name).cast("string"), F.lit("unknown")))
        for name in names
    ]
    return customers.select("user_id", (F.concat_ws(", ", *parts) if parts else F.lit(ALL)).alias("segment"))


def draws(
    segments: DataFrame,
    facts: DataFrame,
    catalog: Catalog,
    until: datetime,
    seed: int,
) -> Draws:
    """The day's draws. segments: user_id, segment. `until` is also the date that the draws are of, in UTC.

    Runs at once: segments × categories rows reach the driver. Raises LimitError for more than MOST_SEGMENTS.
    """
    since = timestamp_literal(until - timedelta(days=DAYS))
    shown_or_clicked = F.col("kind").isin("shown", "click") & (F.col("at") >= since)
    recent = catalog.placed(
        before(facts, until).where(shown_or_clicked).select("user_id", "category", "kind")
    )
    # Summed by customer first: the log is exchanged as sums, and a customer of 100,000 rows is one.
    of_users = recent.groupBy("user_id", PLACE).agg(*_counts(F.lit(1)))
    rows = of_users.join(segments, "user_id").groupBy("segment", PLACE).agg(F.sum("shown"), F.sum("clicks"))
    found = rows.limit((MOST_SEGMENTS + 1) * len(catalog) + 1).collect()
    names = sorted({row[0] for row in found} - {ALL})
    if len(names) >= MOST_SEGMENTS:
        raise LimitError(
            f"there may be at most {MOST_SEGMENTS} segments",
            value=f"{len(names):,} or more",
            next_step="segment by fewer columns",
        )
    places = {name: number for number, name in enumerate([ALL, *names])}
    shown, clicks = np.zeros((2, len(places), len(catalog)))
    for segment, place, impressions, clicked in found:
        shown[places[segment], place] = impressions
        clicks[places[segment], place] = clicked
    day = until.astimezone(UTC).date().isoformat()
    alpha, beta = posterior(shown, clicks)
    return Draws(tuple(places), _drawn(tuple(places), alpha, beta, seed, day), seed, day)


def _counts(value: Column) -> list[Column]:
    shown = F.sum(F.when(F.col("kind") == "shown", value).otherwise(0)).alias("shown")
    return [shown, F.sum(F.when(F.col("kind") == "click", value).otherwise(0)).alias("clicks")]


def posterior(shown: Floats, clicks: Floats) -> tuple[Floats, Floats]:
    """alpha, beta of each segment × category. The first segment's is the posterior of all rows together.

    More clicks than impressions, as after a window's start, count as many impressions.
    """
    shown = np.maximum(shown, clicks)
    all_shown, all_clicks = shown.sum(axis=0), clicks.sum(axis=0)
    overall = (all_clicks.sum() + STRENGTH * RATE) / (all_shown.sum() + STRENGTH)
    of_category = (all_clicks + STRENGTH * overall) / (all_shown + STRENGTH)
    alpha, beta = STRENGTH * of_category + clicks, STRENGTH * (1 - of_category) + shown - clicks
    alpha[0] = STRENGTH * overall + all_clicks
    beta[0] = STRENGTH * (1 - overall) + all_shown - all_clicks
    return alpha, beta


def _drawn(segments: tuple[str, ...], alpha: Floats, beta: Floats, seed: int, day: str) -> Floats:
    """A segment's draws depend on seed, day and its name, not on which others there are."""
    values = np.empty((len(segments), DRAWS, alpha.shape[1]))
    for place, segment in enumerate(segments):
        key = blake2b(f"{seed} {day} {segment}".encode(), digest_size=16).digest()
        generator = np.random.default_rng(int.from_bytes(key, "big"))
        values[place] = generator.beta(alpha[place], beta[place], (DRAWS, alpha.shape[1]))
    return values


def serendipity(segments: DataFrame, drawn: Draws) -> DataFrame:
    """user_id, `serendipity` array<double>: the customer's draw of each category's click rate, for recall."""
    spark = segments.sparkSession
    rows = [(name, values.tolist()) for name, values in zip(drawn.segments, drawn.values, strict=True)]
    table = local_rows(spark, rows, "segment string, rows array<array<double>>")
    names = local_rows(spark, ((name, name) for name in drawn.segments), "segment string, known string")
    known = segments.join(F.broadcast(names), "segment", "left")
    placed = known.select("user_id", F.coalesce("known", F.lit(ALL)).alias("segment"))
    joined = placed.join(F.broadcast(table), "segment")
    return joined.select("user_id", F.element_at("rows", _row(drawn) + 1).alias("serendipity"))


def _row(drawn: Draws) -> Column:
    """Which row of the draws is the customer's, from 0."""
    keys = (F.lit(drawn.seed), F.lit("recall"), F.col("user_id"), F.lit(drawn.day))
    return F.pmod(F.xxhash64(*keys), F.lit(DRAWS)).cast("int")
