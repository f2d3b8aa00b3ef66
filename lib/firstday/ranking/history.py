"""One log of facts out of all that is known of customers and categories.

A fact: user_id, category, kind, at (timestamp) and value (double): the slot of what was shown and reacted to,
the amount of a transaction, the strength of a preference, else null. An app action stands in the same log,
with its name as the category and the kind `action`; it says nothing of a category.
"""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError

SHOWN, CLICK, JOIN, DISMISS = "shown", "click", "join", "dismiss"
TRANSACTION, SINCE, UNTIL, PREFERENCE, ACTION = "transaction", "since", "until", "preference", "action"
REACTIONS = (CLICK, JOIN, DISMISS)
USED = (JOIN, TRANSACTION, SINCE)  # the customer has made use of the category
MET = (CLICK, *USED)  # the customer has come to know the category
KINDS = (SHOWN, *REACTIONS, TRANSACTION, SINCE, UNTIL, PREFERENCE, ACTION)
LARGEST = 1e15  # of an amount in size, so that sums in decimals stay exact
COLUMNS = ("user_id", "category", "kind", "at", "value")


def facts(
    *,
    impressions: DataFrame | None = None,
    reactions: DataFrame | None = None,
    transactions: DataFrame | None = None,
    holdings: DataFrame | None = None,
    preferences: DataFrame | None = None,
    events: DataFrame | None = None,
    actions: Sequence[str] = (),
) -> DataFrame:
    """All facts that the tables given hold; of `events` only those of `actions`.

    A reaction has the customer and the category of its impression and an instant of its own, never before its
    impression's: a wrong clock would give the answer before the question. Of several reactions of one
    kind to one impression the first counts. A holding begins and ends (`since`, `until`), and doesn't end
    before it began. Amounts that are no number, or above LARGEST in size, are null; preferences without a
    finite strength are no facts. Raises DataError where there is no table, or reactions without impressions.
    """
    found = []
    if impressions is not None:
        found.append(_facts(impressions, SHOWN, "shown_at", F.col("slot")))
    if reactions is not None:
        found.append(_reactions(_impressions_of(impressions), reactions))
    if transactions is not None:
        amount = F.when(F.abs("amount") <= LARGEST, F.col("amount"))
        found.append(_facts(transactions, TRANSACTION, "occurred_at", amount))
    if holdings is not None:
        ended = holdings.where(F.col("until").isNotNull())
        found.append(_facts(holdings, SINCE, "since"))
        found.append(_facts(ended.withColumn("until", F.greatest("since", "until")), UNTIL, "until"))
    if preferences is not None:
        stated = preferences.where(F.abs("strength") < float("inf"))
        found.append(_facts(stated, PREFERENCE, "stated_at", F.col("strength")))
    if events is not None and actions:
        leading = events.where(F.col("action").isin(*actions)).withColumn("category", F.col("action"))
        found.append(_facts(leading, ACTION, "occurred_at"))
    if not found:
        raise DataError(
            "facts are made of at least one table",
            value="none",
            next_step="give impressions, transactions, holdings, preferences or events",
        )
    return reduce(DataFrame.unionByName, found)


def _facts(rows: DataFrame, kind: str, at: str, value: Column | None = None) -> DataFrame:
    number = F.lit(None) if value is None else value
    return rows.select(
        "user_id",
        "category",
        F.lit(kind).alias("kind"),
        F.col(at).cast("timestamp").alias("at"),
        number.cast("double").alias("value"),
    )


def _reactions(impressions: DataFrame, reactions: DataFrame) -> DataFrame:
    shown = impressions.select("impression_id", "user_id", "category", "slot", "shown_at")
    known = reactions.where(F.col("kind").isin(*REACTIONS))
    at = F.min(F.greatest("reacted_at", "shown_at").cast("timestamp"))
    # Grouped by the join's key and what follows from it: the log is not shuffled once more.
    return (
        known.select("impression_id", "kind", "reacted_at")
        .join(shown, "impression_id")
        .groupBy("impression_id", "user_id", "category", "slot", "kind")
        .agg(at.alias("at"))
        .select("user_id", "category", "kind", "at", F.col("slot").cast("double").alias("value"))
    )


def _impressions_of(impressions: DataFrame | None) -> DataFrame:
    if impressions is None:
        raise DataError(
            "reactions come with the impressions that they answer",
            value="reactions only",
            next_step="give the impressions too",
        )
    return impressions
