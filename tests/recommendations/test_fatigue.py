"""Rest periods: by hand at their bounds, as plain loops have them, and lasting once begun."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.errors import SettingsError
from firstday.recommendations.fatigue import Fatigue, placed, relevant, summaries, verdicts
from tests.recommendations.bank_worlds import NOW, Fact, ago, by_hash, facts_of, rest

GIVEN = Fatigue(ignored_times=4, ignored_rest=14)
SHORT = Fatigue(3, 3, 4, 3, 4, 3, 2, 1)
# By customer: days ago of what was shown and done, and the reason and days from now until the end.
CASES: dict[str, tuple[list[tuple[str, float]], tuple[str, float] | None]] = {
    "nothing": ([("transaction", 1)], None),
    "five in a week, one clicked": ([*(("shown", d) for d in (0, 1, 2, 3, 4)), ("click", 0)], None),
    "six in a week": ([*(("shown", d / 2) for d in range(6)), ("click", 0)], ("seen too often", 7)),
    "a week is over for the first": ([*(("shown", d) for d in (0, 1, 2, 3, 4, 7)), ("click", 0)], None),
    "four ignored": ([("shown", d) for d in (3, 4, 5, 30)], ("ignored", 11)),
    "one of four is too old": ([("shown", d) for d in (3, 4, 5, 31)], None),
    "a click between": ([*(("shown", d) for d in (3, 4, 5, 6)), ("click", 5.5)], None),
    "a click before": ([*(("shown", d) for d in (3, 4, 5, 6)), ("click", 7)], ("ignored", 11)),
    "a click on the first": ([*(("shown", d) for d in (3, 4, 5, 6)), ("click", 6)], None),
    "the rest is over": ([("shown", 14 + d) for d in range(4)], None),
    "the rest is nearly over": ([("shown", 13.999 + d) for d in range(4)], ("ignored", 0.001)),
    "dismissed": ([("dismiss", 59)], ("dismissed", 1)),
    "dismissed long ago": ([("dismiss", 60)], None),
    "both: the longer": ([("dismiss", 55), *(("shown", d) for d in (0, 1, 2, 3))], ("ignored", 14)),
    "both: as long": ([("dismiss", 46), *(("shown", d) for d in (0, 1, 2, 3))], ("dismissed", 14)),
    "what is to come": ([("dismiss", -0.001), *(("shown", -d) for d in range(1, 9))], None),
    "now": ([("dismiss", 0)], ("dismissed", 60)),
}


def resting(facts: DataFrame, now: datetime, fatigue: Fatigue, another: DataFrame | None = None) -> DataFrame:
    """What rests now: user_id, category, reason, until (resting while now < until).

    facts: user_id, category, kind, at. another: the categories (column category) that rest after a reaction.
    Where several rules hold, the one that rests longest is told; of equal ones the first of
    dismissed, reacted, ignored, seen too often.
    One exchange by user_id.
    """
    kept = facts.where(relevant(now, fatigue)).repartition("user_id")
    summed = placed(kept).groupBy("user_id", "category").agg(*summaries(fatigue))
    return verdicts(summed, now, fatigue, another).where("reason is not null")


def found(frame: DataFrame) -> dict[Any, Any]:
    rows = frame.selectExpr("user_id", "category", "reason", "unix_micros(until) as until").collect()
    assert len({row[:2] for row in rows}) == len(rows)
    return {(row["user_id"], row["category"]): (row["reason"], row["until"]) for row in rows}


def micros(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def test_by_hand(spark: SparkSession) -> None:
    facts: list[Fact] = [(u, "a", kind, ago(days)) for u, (rows, _) in CASES.items() for kind, days in rows]
    expected = {
        (user, "a"): (f"resting: {told[0]}", micros(NOW + timedelta(days=told[1])))
        for user, (_, told) in CASES.items()
        if told
    }
    assert found(resting(facts_of(spark, facts), NOW, GIVEN)) == expected


def test_another_category_after_a_reaction(spark: SparkSession) -> None:
    facts = [
        ("u", category, kind, ago(2)) for category, kind in (("a", "click"), ("b", "join"), ("c", "click"))
    ]
    another = spark.createDataFrame([("a",), ("b",), ("a",)], "category string")
    told = found(resting(facts_of(spark, facts), NOW, GIVEN, another))
    assert told == {("u", name): ("resting: reacted", micros(NOW + timedelta(days=12))) for name in "ab"}


@pytest.mark.parametrize("seed", [0, 1])
def test_as_plain_loops(spark: SparkSession, seed: int) -> None:
    """In 150 worlds of 20 to 40 facts, of two customers and two categories."""
    draw = np.random.default_rng(seed)
    kinds = ["shown"] * 8 + ["click", "join", "dismiss", "transaction"]
    facts: list[Fact] = [
        (f"{world}-{draw.choice(2)}", str(draw.choice(["a", "b"])), str(draw.choice(kinds)), ago(days / 2))
        for world in range(150)
        for days in draw.integers(-2, 21, draw.integers(20, 41)).tolist()
    ]
    by_pair: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        by_pair.setdefault(fact[:2], []).append(fact)
    expected = {}
    for (user, category), own in by_pair.items():
        told = rest(own, SHORT, another=category == "b")
        if told:
            expected[user, category] = (told[0], micros(told[1] or NOW))
    assert {reason for reason, _ in expected.values()} == {
        f"resting: {why}" for why in ("ignored", "seen too often", "dismissed", "reacted")
    }
    another = spark.createDataFrame([("b",)], "category string")
    assert found(resting(by_hash(facts_of(spark, facts), seed), NOW, SHORT, another)) == expected


def test_a_rest_lasts_its_days(spark: SparkSession) -> None:
    """Nothing more is shown: what rests rests until the end that was told, and not longer.

    Customer n has seen what customer 0 has, n days earlier.
    """
    done = [("click", 0), *(("shown", day) for day in range(6))]
    facts = [(str(n), "a", kind, ago(day + n)) for n in range(9) for kind, day in done]
    resting_now = found(resting(facts_of(spark, facts), NOW, Fatigue(often_rest=7)))
    assert sorted(resting_now) == [(str(n), "a") for n in range(7)]


def test_one_customer_with_100_000_impressions(spark: SparkSession) -> None:
    shown = spark.range(100_000).selectExpr(
        "'u' as user_id",
        "'a' as category",
        "'shown' as kind",
        f"timestamp_seconds({NOW.timestamp():.0f} - id) as at",
    )
    assert found(resting(shown, NOW, GIVEN)) == {
        ("u", "a"): ("resting: ignored", micros(NOW + timedelta(days=14)))
    }


@pytest.mark.parametrize("wrong", [{"ignored_times": 0}, {"often_rest": -1}, {"dismissed_rest": 4_000}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong)).capitalize()):
        Fatigue(**wrong)


def test_an_instant_without_a_zone_is_refused(spark: SparkSession) -> None:
    with pytest.raises(SettingsError, match="time zone"):
        resting(facts_of(spark, []), NOW.replace(tzinfo=None), GIVEN)
