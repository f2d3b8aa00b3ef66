"""The rule of a moment, run: whatever an action is called, it is data."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.moments.rule import literal, sentence, sql

NASTY = [
    *(
        "like",
        "",
        " ",
        "it's",
        '"quoted"',
        "`tick`",
        "two\nlines",
        "\r\n",
        "tab\t",
        "\0",
        "🎉 party",
        "naïve é",
        "null",
    ),
    *("back\\slash", "\\", "\\'", "ends in \\", "\\\\'", "\\%", "\\_", "\\u0041", "\\101", "\\${env:HOME}"),
    *("'; DROP TABLE users; --", "' OR 1=1 --", "/* comment */", "-- comment"),
    *("${spark.app.name}", "${env:HOME}", "$1", ":named", "?", "{name}", "%s", "100%", "a_b"),
]
ANCHOR = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def log(spark: SparkSession) -> Iterator[None]:
    """Users, and events of each nasty name: `twice` in the window; `late` once in it and once at its end."""
    spark.createDataFrame(
        [("twice", ANCHOR), ("late", ANCHOR), ("early", ANCHOR), ("other", ANCHOR)],
        "user_id string, anchored_at timestamp",
    ).createOrReplaceTempView("users")
    rows: list[tuple[str, str, datetime, str | None]] = []
    for number, name in enumerate(NASTY):
        times = {
            "twice": [ANCHOR, ANCHOR + HOUR],
            "late": [ANCHOR, ANCHOR + 24 * HOUR],
            "early": [ANCHOR - HOUR, ANCHOR],
        }
        rows += [(user, name, at, f"{number} {user}") for user, those in times.items() for at in those]
        rows += [("other", f"{name}!", ANCHOR, None), ("other", f"{name}!", ANCHOR, None)]
    schema = "user_id string, action string, occurred_at timestamp, event_id string"
    spark.createDataFrame(rows, schema).createOrReplaceTempView("events")
    yield
    spark.catalog.dropTempView("users")
    spark.catalog.dropTempView("events")


def reached(spark: SparkSession, names: list[str], threshold: int, **options: bool) -> dict[str, set[str]]:
    """By name, the users that the rule gives; one job for all names."""
    queries = [
        spark.sql(sql(name, threshold, 24 * HOUR, **options)).select(F.lit(number).alias("name"), "user_id")
        for number, name in enumerate(names)
    ]
    found: dict[str, set[str]] = {name: set() for name in names}
    for row in reduce(DataFrame.union, queries).collect():
        found[names[row["name"]]].add(row["user_id"])
    return found


def test_the_rule_gives_exactly_those_who_reached_it(spark: SparkSession, log: None) -> None:
    assert reached(spark, NASTY, 2) == {name: {"twice"} for name in NASTY}


def test_events_with_an_id_count_once(spark: SparkSession, log: None) -> None:
    names = ["like", "it's", "${env:HOME}"]
    assert reached(spark, names, 1, with_event_id=True) == {
        name: {"twice", "late", "early"} for name in names
    }
    assert reached(spark, names, 2, with_event_id=True) == {name: set() for name in names}


def test_literals_are_read_back_as_they_were(spark: SparkSession) -> None:
    row = spark.sql("SELECT " + ", ".join(f"{literal(name)} AS c{n}" for n, name in enumerate(NASTY))).first()
    assert row is not None
    assert list(row) == NASTY


def test_sentences() -> None:
    assert sentence("friend", 3, timedelta(hours=24)) == "within 24 h of sign-up, did friend at least 3 times"
    assert sentence("it's", 1, timedelta(minutes=90)) == "within 90 m of sign-up, did it's at least once"
    assert sentence("x", 2, timedelta(days=7)) == "within 7 d of sign-up, did x at least 2 times"
