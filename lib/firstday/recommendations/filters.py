"""What must not be shown: held, not eligible, without a live content, resting.

The answer is one row a customer with the categories that are blocked, each with its first reason in this
order and when it ends. All else is made from that: the side table, the counts, the candidates that are left.
"""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.ranking.history import SINCE, UNTIL
from firstday.recommendations.eligibility import Eligibility
from firstday.recommendations.fatigue import Fatigue, placed, relevant, summaries, verdicts
from firstday.windows import timestamp_literal

HELD, NOT_ELIGIBLE, NO_CONTENT = "held", "not_eligible", "no_content"  # then what rests
ENTRY = "struct<category:string,reason:string,until:timestamp>"
ENTRIES = f"array<{ENTRY}>"


def blocked(
    customers: DataFrame,
    categories: DataFrame,
    contents: DataFrame,
    facts: DataFrame,
    now: datetime,
    *,
    eligibility: Eligibility,
    fatigue: Fatigue | None = None,
    another: DataFrame | None = None,
) -> DataFrame:
    """What each customer must not be shown: user_id, blocked, an array of (category, reason, until).

    One row a customer, blocked sorted by category, empty where all is allowed. Of several reasons the first
    one in the order held, not_eligible, no_content, 'resting: ...'. until: when it ends, null where that is
    not known. facts, of the past up to `now` and of holdings' ends: user_id, category, kind, at; those of
    other customers and of unknown categories are passed over. eligibility was checked against `customers`.
    another: as in `resting`. One exchange of the facts and one of the customers, both by user_id.
    """
    known = facts.join(F.broadcast(categories.select("category").distinct()), "category", "left_semi")
    lacking = categories.join(live(contents, now), "category", "left_anti")
    none_live = lacking.agg(F.collect_set("category").alias("none_live"))
    own = customers.select("user_id", eligibility.ineligible.alias("ineligible"))
    joined = own.join(_of_facts(known, now, fatigue or Fatigue(), another), "user_id", "left")
    joined = joined.crossJoin(F.broadcast(none_live))
    return joined.select("user_id", F.sort_array(_entries()).alias("blocked"))


def live(contents: DataFrame, now: datetime) -> DataFrame:
    """The contents with starts_at <= now < ends_at; a null ends_at is an open end."""
    ended = F.coalesce(F.col("ends_at") <= timestamp_literal(now), F.lit(False))
    return contents.where((F.col("starts_at") <= timestamp_literal(now)) & ~ended)


def blocked_rows(blocked: DataFrame) -> DataFrame:
    """The side table of what is not shown and why: user_id, category, reason, until."""
    return blocked.select("user_id", F.inline("blocked"))


def counts(blocked: DataFrame, categories: DataFrame) -> DataFrame:
    """The step in figures, one small table: reason, pairs, customers.

    pairs: of a customer and a category. reason: 'all' of them, each reason, 'allowed' for what is left, and
    'nothing allowed' for customers that get no list.
    """
    size = categories.agg(F.count_distinct("category").alias("size"))
    left = F.col("size") - F.size("blocked")
    sums = F.array(
        _counted("all", F.col("size")),
        _counted("allowed", left),
        _counted("nothing allowed", F.when(left == 0, F.col("size"))),
    )
    reasons = F.col("blocked.reason")
    by_reason = F.transform(
        F.array_distinct(reasons),
        lambda reason: _counted(reason, F.size(F.filter(reasons, lambda each: each == reason))),
    )
    rows = blocked.crossJoin(F.broadcast(size)).select(F.inline(F.concat(sums, by_reason)))
    return (
        rows.where("pairs > 0")
        .groupBy("reason")
        .agg(F.sum("pairs").alias("pairs"), F.count(F.lit(1)).alias("customers"))
    )


def _counted(reason: Column | str, pairs: Column) -> Column:
    named = F.lit(reason) if isinstance(reason, str) else reason
    return F.struct(named.alias("reason"), pairs.cast("long").alias("pairs"))


def _of_facts(facts: DataFrame, now: datetime, fatigue: Fatigue, another: DataFrame | None) -> DataFrame:
    """By customer: held and resting, arrays of entries."""
    holdings = F.col("kind").isin(SINCE, UNTIL)
    kept = facts.select("user_id", "category", "kind", "at").where(holdings | relevant(now, fatigue))
    summed = (
        placed(kept.repartition("user_id"))
        .groupBy("user_id", "category")
        .agg(*summaries(fatigue), *_of_holdings(now))
    )
    judged = verdicts(summed, now, fatigue, another)
    # Without an open end, as many end at any time as begin.
    held_until = F.when(F.col("beginning") == F.col("ending"), F.col("last_end"))
    holds, rests = F.col("begun") > F.col("ended"), F.col("reason").isNotNull()
    held, resting = _entry(F.lit(HELD), held_until), _entry(F.col("reason"), F.col("until"))
    # Most pairs are neither: they need not be collected.
    by_user = judged.where(holds | rests).groupBy("user_id")
    return by_user.agg(
        F.collect_list(F.when(holds, held)).alias("held"),
        F.collect_list(F.when(rests, resting)).alias("resting"),
    )


def _of_holdings(now: datetime) -> list[Column]:
    """Held now is what began more often than it has ended: the same category may be held twice."""
    kind, at = F.col("kind"), F.col("at")
    past = at <= timestamp_literal(now)
    return [
        F.count_if((kind == SINCE) & past).alias("begun"),
        F.count_if((kind == UNTIL) & past).alias("ended"),
        F.count_if(kind == SINCE).alias("beginning"),
        F.count_if(kind == UNTIL).alias("ending"),
        F.max(F.when(kind == UNTIL, at)).alias("last_end"),
    ]


def _entry(reason: Column, until: Column, category: Column | None = None) -> Column:
    named = F.col("category") if category is None else category
    return F.struct(named.alias("category"), reason.alias("reason"), until.alias("until")).cast(ENTRY)


def _entries() -> Column:
    """All entries of a customer, each category once, with the first reason that holds."""
    held = F.coalesce("held", F.array().cast(ENTRIES))
    resting = F.coalesce("resting", F.array().cast(ENTRIES))
    names = F.coalesce(F.col("held.category"), F.array().cast("array<string>"))
    ineligible = F.array_except("ineligible", names)
    none_live = F.array_except(F.array_except("none_live", names), "ineligible")
    before = F.concat(names, F.col("ineligible"), F.col("none_live"))
    rests = F.filter(resting, lambda entry: ~F.array_contains(before, entry["category"]))
    return F.concat(held, _entries_of(ineligible, NOT_ELIGIBLE), _entries_of(none_live, NO_CONTENT), rests)


def _entries_of(categories: Column, reason: str) -> Column:
    return F.transform(categories, lambda category: _entry(F.lit(reason), F.lit(None), category))
