"""The schemas of a simulated world's tables, without run_id."""

import pandas as pd
from pyspark.sql.types import (
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from firstday.simulation.world import SEGMENTS


def _schema(**columns: type) -> StructType:
    return StructType([StructField(name, kind()) for name, kind in columns.items()])


TABLES = {
    "users": _schema(user_id=StringType, anchored_at=TimestampType, **dict.fromkeys(SEGMENTS, StringType)),
    "events": _schema(user_id=StringType, action=StringType, occurred_at=TimestampType),
    "truth": _schema(
        action=StringType, threshold=IntegerType, effect=DoubleType, seed=LongType, common_shocks=BooleanType
    ),
}

BANK_TABLES = {
    "customers": _schema(
        user_id=StringType,
        joined_at=TimestampType,
        age=IntegerType,
        gender=StringType,
        region=StringType,
        income_band=StringType,
        channel=StringType,
        occupation=StringType,
        household=IntegerType,
        balance=DoubleType,
    ),
    "categories": _schema(category=StringType, category_group=StringType, weight=DoubleType),
    "eligibility": _schema(category=StringType, rule=StringType),
    "contents": _schema(
        content_id=StringType, category=StringType, starts_at=TimestampType, ends_at=TimestampType
    ),
    "holdings": _schema(user_id=StringType, category=StringType, since=TimestampType, until=TimestampType),
    "transactions": _schema(
        user_id=StringType, category=StringType, occurred_at=TimestampType, amount=DoubleType
    ),
    "preferences": _schema(
        user_id=StringType, category=StringType, stated_at=TimestampType, strength=DoubleType
    ),
    "impressions": _schema(
        impression_id=StringType,
        user_id=StringType,
        category=StringType,
        content_id=StringType,
        slot=IntegerType,
        shown_at=TimestampType,
        policy=StringType,
        propensity=DoubleType,
    ),
    "reactions": _schema(impression_id=StringType, kind=StringType, reacted_at=TimestampType),
    "events": _schema(user_id=StringType, action=StringType, occurred_at=TimestampType),
    "truth": _schema(
        user_id=StringType,
        category=StringType,
        interest=DoubleType,
        eligible=BooleanType,
        held=BooleanType,
        tired=DoubleType,
        click_probability=DoubleType,
    ),
}

# An app that the whole loop is played in; `accounts` has the schema of its frame.
LOOP_TABLES = {
    "users": TABLES["users"],
    "customers": _schema(
        user_id=StringType, joined_at=TimestampType, **dict.fromkeys(SEGMENTS, StringType)
    ),
    **{
        name: BANK_TABLES[name]
        for name in (
            "categories", "eligibility", "contents", "holdings", "transactions", "preferences",
            "impressions", "reactions", "events",
        )
    },
    "truth": _schema(
        action=StringType,
        threshold=IntegerType,
        effect=DoubleType,
        decoy=StringType,
        farmed=StringType,
        bots=IntegerType,
        seed=LongType,
        pushed_action_d1=DoubleType,
        pushed_action_d1_error=DoubleType,
        pushed_decoy_d1=DoubleType,
        pushed_decoy_d1_error=DoubleType,
    ),
}  # fmt: skip


def accounts(frame: pd.DataFrame) -> StructType:
    """The schema of a fraud world's accounts: text, whole numbers and fractions, as they are in `frame`."""
    kinds = {"i": LongType, "f": DoubleType}
    return _schema(**{name: kinds.get(kind.kind, StringType) for name, kind in frame.dtypes.items()})
