"""What the last lists did in the world: how they were taken, and how varied they were.

A row of the log is an impression; the customer may have clicked on it, joined or dismissed it until `now`.
Late impressions have had little time for it, so that rates of a short window are a little low. Rates by
policy, slot or category compare what was shown to whom, not what would happen otherwise: only slots that
were drawn (`monitoring_policy`) or an experiment can say that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.ranking.history import CLICK, DISMISS, JOIN, MET
from firstday.recommendations.monitoring_lists import NEW, SHOWN, varied
from firstday.recommendations.monitoring_outputs import RECOMMEND_MONITORING
from firstday.recommendations.monitoring_rates import GROUP, group_of, summed, with_intervals, with_means
from firstday.recommendations.recall.serendipity import segmented
from firstday.recommendations.slots import EXPLORING, REFILL
from firstday.spark.frames import cached
from firstday.windows import timestamp_literal

WEEK = timedelta(days=7)
RATES = {CLICK: "click_rate", JOIN: "join_rate", DISMISS: "dismiss_rate"}
SERENDIPITY, MET_PER_CUSTOMER = "serendipity", "categories_per_customer"
DIMENSIONS = (SHOWN, "policy", "source", "slot", "category", "segment", NEW)
DIGITS = 12  # sums of fractions may differ in the last ones with the order of rows


@dataclass(frozen=True)
class MonitoringTables:
    """monitoring: the columns of RECOMMEND_MONITORING, sorted by dimension and figure. notes: sentences."""

    monitoring: pd.DataFrame
    notes: tuple[str, ...]


def monitored(
    tables: Mapping[str, DataFrame],
    facts: DataFrame,
    now: datetime,
    *,
    window: timedelta = WEEK,
    recommendations: DataFrame | None = None,
    lists: DataFrame | None = None,
    segment: Sequence[str] = (),
) -> MonitoringTables:
    """All figures of the impressions of [now - window, now), and those of new lists that need no click.

    tables: impressions, reactions, customers, categories, contents. facts: of `history.facts`, from as early
    as there are. recommendations: earlier ones (user_id, category, slot, source, valid_from, valid_to); an
    impression has the source of the last one that held then, null if there is none. lists: new ones
    (user_id, slot, category, content_id, source). segment: columns of customers. A dimension for which
    nothing is given is left out.

    By policy, source, slot, category and segment, and over all: click_rate, join_rate, dismiss_rate, the
    share of impressions with such a reaction; 95 % intervals with customers as what is drawn
    (`monitoring_rates`). Over all, further: serendipity, the share of clicks in categories that the customer
    had not met before that click (not clicked, joined, used or held); categories_per_customer, distinct
    categories clicked, a mean over the customers who were shown anything; the figures of
    `monitoring_lists`. Of new lists: these, and refilled_share and exploring_share of their slots.

    One Spark job over the window's impressions, which are kept in Spark's cache meanwhile; the driver gets
    MOST_VALUES values of a dimension at most.
    """
    shown = _shown(tables, now, window, recommendations, segment)
    with cached(shown) as rows:
        found = _figures(rows, tables, facts, now, window, lists, recommendations is not None, segment)
        summed: pd.DataFrame = found.toPandas()
    table = finished(summed)
    return MonitoringTables(table, _notes(table, now, window))


def _shown(
    tables: Mapping[str, DataFrame],
    now: datetime,
    window: timedelta,
    recommendations: DataFrame | None,
    segment: Sequence[str],
) -> DataFrame:
    """The window's impressions with what came of them, by customer."""
    since = now - window
    columns = ("impression_id", "user_id", "category", "content_id", "slot", "shown_at", "policy")
    rows = tables["impressions"].select(*columns)
    rows = rows.where(
        (F.col("shown_at") >= timestamp_literal(since)) & (F.col("shown_at") < timestamp_literal(now))
    )
    answered = (
        tables["reactions"]
        .where(F.col("kind").isin(*RATES) & (F.col("reacted_at") < timestamp_literal(now)))
        .groupBy("impression_id")
        .agg(
            F.min(F.when(F.col("kind") == CLICK, F.col("reacted_at"))).alias("click"),
            *(F.max((F.col("kind") == kind).cast("long")).alias(name) for kind, name in RATES.items()),
        )
    )
    rows = rows.join(answered, "impression_id", "left")
    if recommendations is None:
        rows = rows.withColumn("source", F.lit(None).cast("string"))
    else:
        rows = rows.join(_sources(rows, recommendations), "impression_id", "left")
    segments = segmented(tables["customers"], segment)
    return (
        rows.repartition(F.col("user_id"))  # what follows is by customer
        .join(segments, "user_id", "left")
        .select(
            *("user_id", "category", "content_id", "shown_at", "policy", "source", "segment"),
            F.col("slot").cast("string").alias("slot"),
            group_of("user_id"),
            F.greatest("click", F.when(F.col("click").isNotNull(), F.col("shown_at"))).alias("clicked_at"),
            *(F.coalesce(name, F.lit(0)).cast("long").alias(name) for name in RATES.values()),
        )
    )


def _sources(rows: DataFrame, recommendations: DataFrame) -> DataFrame:
    """impression_id, source: of the last recommendation that held for the impression."""
    keys = ["user_id", "category", "slot"]
    shown = rows.select("impression_id", "shown_at", *keys)
    past = recommendations.select(*keys, "source", "valid_from", "valid_to")
    over = F.coalesce(F.col("valid_to") <= F.col("shown_at"), F.lit(False))
    held = shown.join(past, keys).where((F.col("valid_from") <= F.col("shown_at")) & ~over)
    last = F.max(F.struct("valid_from", "source"))["source"]
    return held.groupBy("impression_id").agg(last.alias("source"))


def _figures(
    rows: DataFrame,
    tables: Mapping[str, DataFrame],
    facts: DataFrame,
    now: datetime,
    window: timedelta,
    lists: DataFrame | None,
    sourced: bool,
    segment: Sequence[str],
) -> DataFrame:
    """All sums and amounts, to be finished in pandas."""
    given = {"source": sourced, "segment": bool(segment)}
    named = [name for name in DIMENSIONS[1:-1] if given.get(name, True)]
    places = F.array(_place(SHOWN, F.lit(None)), *(_place(name, F.col(name)) for name in named))
    whole = F.lit(1).cast("long").alias("whole")
    rates = summed(rows.select(GROUP, F.inline(places), whole, *RATES.values()), list(RATES.values()))
    listed = rows.select(
        F.lit(SHOWN).alias("of"), "user_id", F.col("shown_at").alias("listed_at"), "category", "content_id"
    )
    if lists is not None:
        at_once = timestamp_literal(now).alias("listed_at")
        new = lists.select(F.lit(NEW).alias("of"), "user_id", at_once, "category", "content_id")
        listed = listed.unionByName(new)
    since = now - window
    found = rates.unionByName(_of_customers(rows, facts, now), allowMissingColumns=True)
    variety = varied(listed, tables["categories"], tables["contents"], since, now)
    found = found.unionByName(variety, allowMissingColumns=True)
    return found if lists is None else found.unionByName(_filled(lists), allowMissingColumns=True)


def _place(name: str, value: Column) -> Column:
    return F.struct(F.lit(name).alias("dimension"), value.cast("string").alias("value"))


def _of_customers(rows: DataFrame, facts: DataFrame, now: datetime) -> DataFrame:
    """The sums of serendipity and of categories_per_customer."""
    everyone = F.inline(F.array(_place(SHOWN, F.lit(None))))
    one = F.lit(1).cast("long").alias("whole")
    met = facts.where(F.col("kind").isin(*MET) & (F.col("at") < timestamp_literal(now)))
    first = met.groupBy("user_id", "category").agg(F.min("at").alias("met_at"))
    clicked = rows.where(F.col("clicked_at").isNotNull())
    earlier = F.coalesce(F.col("met_at") < F.col("clicked_at"), F.lit(False))
    new = clicked.join(first, ["user_id", "category"], "left").select(
        GROUP, everyone, one, (~earlier).cast("long").alias(SERENDIPITY)
    )
    category = F.when(F.col("clicked_at").isNotNull(), F.col("category"))
    of_customers = rows.groupBy("user_id").agg(F.count_distinct(category).alias(MET_PER_CUSTOMER))
    means = of_customers.select(group_of("user_id"), everyone, one, MET_PER_CUSTOMER)
    return summed(new, [SERENDIPITY]).unionByName(summed(means, [MET_PER_CUSTOMER]))


def _filled(lists: DataFrame) -> DataFrame:
    """dimension, figure, amount, whole: the slots of new lists by how they were filled."""
    slots = F.count(F.lit(1))
    by_source = lists.agg(
        slots.alias("whole"),
        *(
            (F.count_if(F.col("source") == source) / F.nullif(slots, F.lit(0))).alias(name)
            for source, name in ((REFILL, "refilled_share"), (EXPLORING, "exploring_share"))
        ),
    )
    figures = F.array(
        *(
            F.struct(F.lit(name).alias("figure"), F.col(name).alias("amount"))
            for name in ("refilled_share", "exploring_share")
        )
    )
    return by_source.select(F.lit(NEW).alias("dimension"), "whole", F.inline(figures))


def finished(sums: pd.DataFrame) -> pd.DataFrame:
    """The table of RECOMMEND_MONITORING. sums: dimension, value, figure, amount, SUMS of the rates."""
    amounts = ["amount", "low", "high"]
    found = sums.assign(amount=sums["amount"].astype(float), low=np.nan, high=np.nan)
    shares, means = sums["figure"].isin([*RATES.values(), SERENDIPITY]), sums["figure"] == MET_PER_CUSTOMER
    found.loc[shares, amounts] = with_intervals(sums[shares])[amounts]
    found.loc[means, amounts] = with_means(sums[means])[amounts]
    found = found[found["amount"].notna()]
    rates = found["figure"].isin(RATES.values())
    totals = {
        SHOWN: found.loc[rates & (found["dimension"] == SHOWN), "whole"].max(),
        NEW: found.loc[found["dimension"] == NEW, "whole"].max(),
    }
    impressions = found["whole"].where(rates, found["dimension"].map(totals)).fillna(0).astype("int64")
    found = found.assign(impressions=impressions)
    found[amounts] = found[amounts].round(DIGITS)
    place = found["dimension"].map({name: at for at, name in enumerate(DIMENSIONS)})
    found = found.assign(place=place).sort_values(
        ["place", "figure", "impressions", "value"], ascending=[True, True, False, True]
    )
    return found[RECOMMEND_MONITORING.names].reset_index(drop=True)


def _notes(table: pd.DataFrame, now: datetime, window: timedelta) -> tuple[str, ...]:
    rates = table[table["figure"] == RATES[CLICK]]
    if rates.empty:
        return (
            f"Nothing was shown from {now - window:%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M} UTC: there are no "
            "rates.",
        )
    sources = rates[rates["dimension"] == "source"]
    unknown = sources.loc[sources["value"].isna(), "impressions"].sum()
    if unknown:
        share = unknown / sources["impressions"].sum()
        return (
            f"{share:.1%} of the impressions are not of an earlier recommendation for that customer, "
            "category and slot: their source is not known.",
        )
    return ()
