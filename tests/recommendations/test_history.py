"""Facts are what the tables say, each at its own instant, and what can't be a fact is counted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.ranking.history import LARGEST, facts

START = datetime(2024, 3, 1, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.fixture(scope="module")
def impressions(spark: SparkSession) -> DataFrame:
    rows = [("i1", "u1", "loans", 1, at(0)), ("i2", "u1", "cards", 2, at(0)), ("i3", "u2", "loans", 3, at(5))]
    return spark.createDataFrame(
        rows, "impression_id string, user_id string, category string, slot int, shown_at timestamp"
    )


@pytest.fixture(scope="module")
def reactions(spark: SparkSession) -> DataFrame:
    rows = [
        ("i1", "click", at(2)),
        ("i1", "click", at(1)),
        ("i1", "join", at(9)),
        ("i3", "dismiss", at(4)),
        ("i3", "looked", at(6)),
        ("i3", None, at(6)),
        ("lost", "click", at(7)),
    ]
    return spark.createDataFrame(rows, "impression_id string, kind string, reacted_at timestamp")


def told(found: DataFrame) -> list[tuple[Any, ...]]:
    """Rows with minutes for instants, in order."""
    minutes = ((F.unix_micros("at") / 60_000_000) - int(START.timestamp()) // 60).cast("int")
    rows = found.withColumn("at", minutes).collect()
    return sorted((tuple(row) for row in rows), key=str)


def test_every_table_gives_its_facts(
    spark: SparkSession, impressions: DataFrame, reactions: DataFrame
) -> None:
    amounts = [12.5, None, float("nan"), float("inf"), -LARGEST, 2 * LARGEST]
    transactions = spark.createDataFrame(
        [("u1", "cards", at(10 + place), amount) for place, amount in enumerate(amounts)],
        "user_id string, category string, occurred_at timestamp, amount double",
    )
    holdings = spark.createDataFrame(
        [("u1", "cards", at(20), None), ("u1", "loans", at(21), at(30)), ("u1", "funds", at(22), at(3))],
        "user_id string, category string, since timestamp, until timestamp",
    )
    preferences = spark.createDataFrame(
        [("u2", "cards", at(40), -0.5), ("u2", "cards", at(41), None), ("u2", "cards", at(42), float("nan"))],
        "user_id string, category string, stated_at timestamp, strength double",
    )
    events = spark.createDataFrame(
        [("u1", "log in", at(50)), ("u1", "scroll", at(51))],
        "user_id string, action string, occurred_at timestamp",
    )
    found = facts(
        impressions=impressions,
        reactions=reactions,
        transactions=transactions,
        holdings=holdings,
        preferences=preferences,
        events=events,
        actions=["log in"],
    )
    assert found.schema.simpleString() == (
        "struct<user_id:string,category:string,kind:string,at:timestamp,value:double>"
    )
    assert told(found) == sorted(
        [
            ("u1", "loans", "shown", 0, 1.0),
            ("u1", "cards", "shown", 0, 2.0),
            ("u2", "loans", "shown", 5, 3.0),
            ("u1", "loans", "click", 1, 1.0),
            ("u1", "loans", "join", 9, 1.0),
            # Its clock was behind: it counts from its impression.
            ("u2", "loans", "dismiss", 5, 3.0),
            ("u1", "cards", "transaction", 10, 12.5),
            *(("u1", "cards", "transaction", minute, None) for minute in (11, 12, 13, 15)),
            ("u1", "cards", "transaction", 14, -LARGEST),
            ("u1", "cards", "since", 20, None),
            ("u1", "loans", "since", 21, None),
            ("u1", "loans", "until", 30, None),
            ("u1", "funds", "since", 22, None),
            ("u1", "funds", "until", 22, None),
            ("u2", "cards", "preference", 40, -0.5),
            ("u1", "log in", "action", 50, None),
        ],
        key=str,
    )


def test_facts_need_a_table(reactions: DataFrame) -> None:
    with pytest.raises(DataError, match="at least one table"):
        facts()
    with pytest.raises(DataError, match="Reactions come with the impressions"):
        facts(reactions=reactions)
