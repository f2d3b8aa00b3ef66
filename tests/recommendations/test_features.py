"""Features are of what was before the instant: equal to reading every fact, in both ways, in any order."""

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.ranking.features import FeatureSettings, at_each, at_once
from firstday.ranking.history import KINDS
from tests.recommendations.features_oracle import START, Ask, Customers, Fact, features_of

FACTS = "user_id string, category string, kind string, at timestamp, value double"
ASKS = "ask_id long, user_id string, category string, asked_at timestamp"
CUSTOMERS = "user_id string, joined_at timestamp, `seg.ment` string"
SETTINGS = FeatureSettings(actions=("log in", "log-in", "c1"), segment="seg.ment")
SETTINGS_PLAIN = FeatureSettings(actions=SETTINGS.actions)
# Steps of 12 h: many ties with asks and with the edges of windows of 7 and 28 days.
STEP, STEPS = timedelta(hours=12), 100


def drawn_facts(seed: int, count: int) -> list[Fact]:
    draw = np.random.default_rng(seed)
    kinds = ["shown"] * 8 + [kind for kind in KINDS if kind != "shown"]
    found = []
    for _ in range(count):
        kind = str(draw.choice(kinds))
        name = str(draw.choice(SETTINGS.actions)) if kind == "action" else f"c{draw.integers(4)}"
        value = round(float(draw.uniform(-1, 1)), 3) if kind in ("preference", "transaction") else None
        if kind == "transaction" and draw.random() < 0.2:
            value = None
        at = START + STEP * int(draw.integers(STEPS))
        found.append(Fact(f"u{draw.integers(6)}", name, kind, at, value))
    return found


def drawn_asks(seed: int, count: int) -> list[Ask]:
    draw = np.random.default_rng(seed)
    # c9 and u9 have no facts.
    return [
        Ask(
            place,
            str(draw.choice(["u0", "u1", "u2", "u3", "u9"])),
            str(draw.choice(["c0", "c1", "c2", "c9"])),
            START + STEP * int(draw.integers(-2, STEPS + 80)),
        )
        for place in range(count)
    ]


def people() -> Customers:
    rows = {
        f"u{place}": {
            "joined_at": START - timedelta(days=place),
            "seg.ment": None if place == 2 else "ab"[place % 2],
        }
        for place in range(5)
    }
    rows["u1"]["joined_at"] = START + timedelta(days=20)
    rows["u3"]["joined_at"] = None
    return rows


def customer_rows(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([(user, *row.values()) for user, row in people().items()], CUSTOMERS)


def by_id(found: DataFrame) -> dict[int, dict[str, Any]]:
    # Instants leave Spark as numbers: Python's have no zone of their own.
    plain = found.drop("joined_at").withColumn("asked_at", F.unix_micros("asked_at"))
    return {row["ask_id"]: row.asDict() for row in plain.collect()}


def assert_equal(found: dict[str, Any], expected: dict[str, Any], names: Sequence[str]) -> None:
    for name in names:
        value, wanted = found[name], expected[name]
        if isinstance(wanted, float) and value is not None:
            assert math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9), (name, value, wanted)
        else:
            assert value == wanted, (name, found, expected)


@pytest.fixture(scope="module")
def log() -> list[Fact]:
    return drawn_facts(1, 700)


@pytest.fixture(scope="module")
def facts(spark: SparkSession, log: list[Fact]) -> DataFrame:
    return spark.createDataFrame(log, FACTS).cache()


NOW = START + STEP * 55  # when all is asked at once


@pytest.fixture(scope="module")
def asks() -> list[Ask]:
    """At any instant, and from 1000 on all of NOW."""
    now = [Ask(1000 + 4 * user + other, f"u{user}", f"c{other}", NOW) for user, other in np.ndindex(7, 4)]
    return [*drawn_asks(2, 300), *now, Ask(1099, "u0", "unseen", NOW)]


@pytest.fixture(scope="module")
def answers(spark: SparkSession, facts: DataFrame, asks: list[Ask]) -> dict[int, dict[str, Any]]:
    found = at_each(spark.createDataFrame(asks, ASKS), facts, SETTINGS, customer_rows(spark))
    assert found.columns[:6] == ["ask_id", "user_id", "category", "asked_at", "joined_at", "seg.ment"]
    assert set(found.columns[6:]) == {*SETTINGS.names, "candidate_id"} - {"category"}
    return by_id(found)


def test_each_ask_is_answered_as_by_reading_every_fact(
    log: list[Fact], asks: list[Ask], answers: dict[int, dict[str, Any]]
) -> None:
    assert len(answers) == len(asks)
    for ask in asks:
        row = answers[ask.ask_id]
        assert_equal(row, features_of(ask, log, SETTINGS, people()), SETTINGS.names)
        assert row["candidate_id"] == f"{ask.category}:{row['state']}"
    states = {row["state"] for row in answers.values()}
    assert states == {"never", "shown_once", "shown_2_3", "shown_4_plus", "reacted", "dismissed"}


def test_order_partitions_and_the_way_of_asking_change_nothing(
    spark: SparkSession, log: list[Fact], asks: list[Ask], answers: dict[int, dict[str, Any]]
) -> None:
    """To the last digit, at once as at each."""
    people = customer_rows(spark)
    turned = spark.createDataFrame(log[::-1], FACTS).repartition(5)
    at_now = [ask for ask in asks[::-1] if ask.ask_id >= 1000]
    candidates = spark.createDataFrame(at_now, ASKS).drop("asked_at").repartition(3)
    now = NOW.replace(tzinfo=None)  # UTC is meant
    spark.conf.set("spark.sql.shuffle.partitions", "3")
    try:
        each = by_id(at_each(spark.createDataFrame(asks[::-1], ASKS), turned, SETTINGS, people))
        once = by_id(at_once(candidates, turned, now, SETTINGS, people))
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "1")
    assert each == answers
    assert once == {ask.ask_id: answers[ask.ask_id] for ask in at_now}


def test_what_is_at_the_instant_or_after_it_is_not_known(spark: SparkSession) -> None:
    now = START + timedelta(days=40)
    own = [Fact("u", "c", kind, now, 0.5) for kind in KINDS]
    later = [Fact("u", "c", kind, now + timedelta(microseconds=1), 0.5) for kind in KINDS]
    log = spark.createDataFrame([*own, *later], FACTS)
    asks = spark.createDataFrame([Ask(0, "u", "c", now)], ASKS)
    settings = FeatureSettings(actions=("c",))
    nothing = by_id(at_each(asks, log, settings))[0]
    assert by_id(at_once(asks.drop("asked_at"), log, now, settings))[0] == nothing
    assert_equal(nothing, features_of(Ask(0, "u", "c", now), [], settings), settings.names)
    numbers = {name: nothing[name] for name in settings.names if name not in ("category", "state")}
    assert {name for name, value in numbers.items() if value is not None} == {
        name
        for name in numbers
        if not name.startswith(("days_since", "preference", "tenure", "user_click_r"))
    } - {"category_click_rate"}
    assert set(numbers.values()) == {0, None}
    assert nothing["candidate_id"] == "c:never"


def test_a_customer_with_100_000_impressions(spark: SparkSession) -> None:
    count = 100_000
    minutes = F.timestamp_micros(F.lit(int(START.timestamp()) * 10**6) + F.col("id") * 60_000_000)
    log = spark.range(count).select(
        F.lit("u").alias("user_id"),
        F.lit("c").alias("category"),
        F.lit("shown").alias("kind"),
        minutes.alias("at"),
        F.lit(1.0).alias("value"),
    )
    asks = log.select("user_id", "category", F.col("at").alias("asked_at"))
    found = (
        at_each(asks, log).agg(F.sum("shown"), F.max("shown_7d"), F.max("shown_28d"), F.count("*")).first()
    )
    assert found is not None
    assert tuple(found) == (count * (count - 1) // 2, 7 * 1440, 28 * 1440, count)


def shuffled_by(found: DataFrame) -> list[str]:
    """The first key of each shuffle in the plan; one that is used again is there once."""
    plan = found._jdf.queryExecution().executedPlan().toString()
    return sorted(re.findall(r"^[ :+-]*Exchange hashpartitioning\((\w+)", plan, re.MULTILINE))


def test_the_log_is_shuffled_once(spark: SparkSession, facts: DataFrame) -> None:
    """Beside it candidates, once, and what rates are made of: sums by category and day, by day, by both."""
    asks = spark.createDataFrame([Ask(0, "u", "c", START)], ASKS)
    people = customer_rows(spark)
    spark.conf.set("spark.sql.shuffle.partitions", "3")
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")  # none is small, but in a test
    try:
        each = shuffled_by(at_each(asks, facts, SETTINGS_PLAIN, people))
        once = shuffled_by(at_once(asks.drop("asked_at"), facts, START, SETTINGS_PLAIN, people))
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "1")
        spark.conf.unset("spark.sql.autoBroadcastJoinThreshold")
    assert each == ["category", "rate_day", "rate_day", "user_id"]
    assert [key for key in once if key != "rate_day"] == ["category", "user_id", "user_id"]


@pytest.mark.parametrize(
    ("asks", "segment", "told"),
    [
        ("ask_id long, user_id string, category string, asked_at timestamp, Shown long", None, "'shown'"),
        (
            "ask_id long, user_id string, category string, asked_at timestamp, joined_at long",
            None,
            "'joined_at'",
        ),
        (ASKS, "gender", "The segment is a column.*'gender'.*joined_at, seg.ment"),
    ],
)
def test_columns_that_clash_are_refused(
    spark: SparkSession, facts: DataFrame, asks: str, segment: str | None, told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        at_each(
            spark.createDataFrame([], asks), facts, FeatureSettings(segment=segment), customer_rows(spark)
        )


def test_an_action_is_counted_once() -> None:
    with pytest.raises(SettingsError, match="once"):
        FeatureSettings(actions=("a", "a"))


def test_names_are_told_without_spark() -> None:
    names = FeatureSettings(actions=("log in", "log-in"), segment="s").names
    assert names[:2] == ("category", "state")
    assert {"action_log_in_7d", "action_log_in__7d", "segment_click_rate"} <= set(names)
    assert len(set(names)) == len(names)
