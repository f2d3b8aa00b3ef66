"""Exposure states: a candidate is a category in the state in which the customer has left it."""

from pyspark.sql import Column
from pyspark.sql import functions as F

NEVER, ONCE, FEW, MANY, REACTED, DISMISSED = STATES = (
    "never",
    "shown_once",
    "shown_2_3",
    "shown_4_plus",
    "reacted",
    "dismissed",
)
REACTION_LASTS = 4  # impressions


def exposure_state(unanswered: Column, last_reaction: Column, last_dismissal: Column) -> Column:
    """The state of a category with a customer at an instant; the latest thing wins.

    unanswered: impressions after the latest reaction (a click, a join, a dismissal), all of them if there was
    none. last_reaction, last_dismissal: their instants, null if there was none.

    1. There was a reaction, and fewer than REACTION_LASTS impressions have stayed unanswered since:
       `dismissed` if the latest reaction is a dismissal (also at the instant of another), else `reacted`.
    2. Otherwise the unanswered impressions count: none `never`, 1 `shown_once`, 2 or 3 `shown_2_3`, more
       `shown_4_plus`. So a reaction is forgotten when the category was shown often without another.
    """
    dismissed = F.coalesce(last_dismissal >= last_reaction, F.lit(False))
    lasting = last_reaction.isNotNull() & (unanswered < REACTION_LASTS)
    return (
        F.when(lasting & dismissed, DISMISSED)
        .when(lasting, REACTED)
        .when(unanswered >= 4, MANY)
        .when(unanswered >= 2, FEW)
        .when(unanswered == 1, ONCE)
        .otherwise(NEVER)
    )


def candidate_id(category: Column, state: Column) -> Column:
    """E.g. `loans:shown_once`; no state has a colon, so the last one divides."""
    return F.concat(category, F.lit(":"), state)
