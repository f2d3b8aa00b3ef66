"""The contracts: which rows are bad and why, what a check costs, and where it refuses at once."""

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.tables import Input, Profile, check, column, open_input
from firstday.tables.check import refuse_beyond
from firstday.tables.schemas import Contract, Field, events, users

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ODD = 'a "b"\n`c`; DROP TABLE users;-- 😀'


def opened(frame: DataFrame, name: str, zone: str | None = None) -> Input:
    return Input(name, "memory", "table", "", frame, zone)


def told(frame: DataFrame) -> list[tuple[str, dict]]:
    return [(row["reason"], json.loads(row["row"])) for row in frame.collect()]


def test_bad_events_are_told_apart_by_reason_and_kept_whole(spark: SparkSession) -> None:
    rows = [
        ("u1", "a", NOON, "e1", "kept"),
        ("u2", ODD, NOON + timedelta(hours=1), None, "no event_id is allowed"),
        (None, "a", NOON, "e2", "x"),
        ("u3", None, NOON, "e3", "x"),
        ("u4", "a", None, "e4", "x"),
        ("u5", "a", datetime(1970, 1, 1, tzinfo=UTC), "e5", "x"),
        ("u6", "a", NOW + timedelta(days=1), "e6", "one day ahead is a clock that runs fast"),
        ("u7", "a", NOW + timedelta(days=1, microseconds=1), "e7", ODD),
        (None, None, None, None, None),
    ]
    frame = spark.createDataFrame(
        rows, "user_id string, action string, occurred_at timestamp, event_id string, note string"
    )
    checked = check(opened(frame, "events"), events(), now=NOW)
    assert checked.good.columns == ["user_id", "action", "occurred_at", "event_id"]
    assert [row["user_id"] for row in checked.good.orderBy("user_id").collect()] == ["u1", "u2", "u6"]
    assert checked.profile == Profile(
        rows=9,
        bad_rows=6,
        earliest=NOON,
        latest=NOW + timedelta(days=1),
        reasons={
            "user_id is null": 2,
            "action is null": 1,
            "occurred_at is null": 1,
            "occurred_at is before 1990": 1,
            "occurred_at is more than a day ahead of now": 1,
        },
    )
    assert checked.bad.columns == ["table", "reason", "row"]
    kept = dict(told(checked.bad.where("reason != 'user_id is null'")))
    assert kept["occurred_at is more than a day ahead of now"] == {
        "user_id": "u7",
        "action": "a",
        "occurred_at": "2024-06-02T00:00:00.000001Z",
        "event_id": "e7",
        "note": ODD,
    }
    assert kept["occurred_at is null"]["occurred_at"] is None


def test_users_given_twice_count_once_or_not_at_all(spark: SparkSession) -> None:
    rows = [
        ("same", NOON, "KR", None),
        ("same", NOON, "KR", None),
        ("same", NOON, "KR", None),
        ("other anchor", NOON, "KR", "f"),
        ("other anchor", NOON + timedelta(days=1), "KR", "f"),
        ("other segment", NOON, "KR", "f"),
        ("other segment", NOON, None, "f"),
        ("once", NOON, None, None),
        (None, NOON, "KR", "f"),
    ]
    frame = spark.createDataFrame(
        rows, f"user_id string, anchored_at timestamp, country string, `{ODD.replace('`', '``')}` string"
    )
    contract = users(["country", ODD])
    for shuffled in (frame, frame.orderBy(F.desc("user_id")).repartition(5)):
        checked = check(opened(shuffled, "users"), contract, now=NOW)
        assert checked.good.columns == ["user_id", "anchored_at", "country", ODD]
        assert sorted(row["user_id"] for row in checked.good.collect()) == ["once", "same"]
        assert checked.profile.rows == 9
        assert checked.profile.repeated == 2
        assert checked.profile.reasons == {
            "user_id is null": 1,
            "user_id is given more than once, with different values": 4,
        }
        assert checked.profile.latest == NOON
        assert {row["user_id"] for _, row in told(checked.bad)} == {None, "other anchor", "other segment"}


def test_text_that_is_no_time_and_rows_that_cannot_be_read_are_bad(
    spark: SparkSession, tmp_path: Path
) -> None:
    times = [
        "2024-05-01T12:00:00Z",
        "01/05/2024",
        "12:30",
        "2024",
        "1714564800",
        "2024-02-30",
        "",
        "2024-05-01 12:00:00",
    ]
    with (tmp_path / "log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "action", "occurred_at"])
        writer.writerows([str(number), ODD, text] for number, text in enumerate(times))
        writer.writerows([["too", "few"], ["too", "many", times[0], "values"]])
    checked = check(open_input(spark, str(tmp_path / "log.csv"), name="events"), events(), now=NOW)
    expected = {
        "occurred_at is not an ISO 8601 time": 5,
        "occurred_at is null": 1,
        "occurred_at has no time zone": 1,
        "the row cannot be read": 2,
    }
    assert checked.profile == Profile(10, 9, NOON, NOON, expected)
    assert [tuple(row)[:2] for row in checked.good.collect()] == [("0", ODD)]
    unread = checked.bad.where("reason = 'the row cannot be read'").select("row").collect()
    assert {row["row"] for row in unread} == {"too,few", f"too,many,{times[0]},values"}

    lines = [
        json.dumps({"user_id": 7, "action": ODD, "occurred_at": times[0], "more": {"a": [1]}}),
        '{"user_id": "cut", "action": "a", "occ',
        "no json",
        "[1, 2]",
        json.dumps({"user_id": "8", "action": "a"}),
        json.dumps({"user_id": "9", "action": "a", "occurred_at": 1714564800}),
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    checked = check(open_input(spark, str(tmp_path / "log.jsonl"), name="events"), events(), now=NOW)
    expected = {
        "the row cannot be read": 3,
        "occurred_at is null": 1,
        "occurred_at is not an ISO 8601 time": 1,
    }
    assert checked.profile == Profile(6, 5, NOON, NOON, expected)
    assert [tuple(row)[:2] for row in checked.good.collect()] == [("7", ODD)]
    unread = checked.bad.where("reason = 'the row cannot be read'").select("row").collect()
    assert {row["row"] for row in unread} == set(lines[1:4])


def test_missing_columns_are_told_with_those_found_and_the_nearest(spark: SparkSession) -> None:
    frame = spark.createDataFrame([], "User_Id string, acton string, `time.of.event` timestamp")
    with pytest.raises(DataError) as raised:
        check(opened(frame, "events"), events("date"), now=NOW)
    message = str(raised.value)
    assert "must have the columns 'action', 'occurred_at', 'date'" in message
    assert "has 'User_Id', 'acton', 'time.of.event'" in message
    assert "'action': 'acton'" in message
    with pytest.raises(DataError, match=r"the column 'anchored_at' \(or 'signed_up_at'\)"):
        check(opened(spark.createDataFrame([], "user_id string"), "users"), users(), now=NOW)
    with pytest.raises(DataError, match="has none at all"):
        check(opened(spark.createDataFrame([], "firstday_unreadable_row string"), "users"), users(), now=NOW)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            "user_id double, action string, occurred_at timestamp",
            "user_id of events must be text or whole numbers.*double",
        ),
        ("user_id decimal(10,2), action string, occurred_at timestamp", r"user_id.*decimal\(10,2\)"),
        ("user_id binary, action string, occurred_at timestamp", "user_id.*binary"),
        (
            "user_id string, action array<string>, occurred_at timestamp",
            "action of events must be plain values.*array",
        ),
        (
            "user_id string, action string, occurred_at bigint",
            "occurred_at of events must be timestamps.*bigint",
        ),
        ("user_id string, action string, occurred_at timestamp_ntz", "timestamp_ntz.*--input-time-zone"),
        ("user_id string, action string, occurred_at date", "date in memory.*--input-time-zone"),
        (
            "user_id string, action string, occurred_at timestamp, date int",
            "date of events must be dates.*int",
        ),
    ],
)
def test_wrong_types_are_refused(spark: SparkSession, schema: str, message: str) -> None:
    contract = events("date") if "date int" in schema else events()
    with pytest.raises(DataError, match=f"(?i){message}"):
        check(opened(spark.createDataFrame([], schema), "events"), contract, now=NOW)


@pytest.mark.parametrize("contract", [events(), users()])
def test_an_empty_input_is_allowed(spark: SparkSession, contract: Contract) -> None:
    frame = spark.createDataFrame(
        [], "user_id bigint, action string, occurred_at timestamp, signed_up_at timestamp"
    )
    checked = check(opened(frame, contract.table), contract, now=NOW)
    assert checked.profile == Profile(0, 0, None, None)
    assert checked.profile.bad_share == 0
    assert checked.good.schema["user_id"].dataType.simpleString() == "string"


def test_too_many_bad_rows_are_refused_with_the_likely_way_out(spark: SparkSession) -> None:
    texts = [("1", "a", "2024-05-01 12:00:00")] * 3 + [(None, "a", "2024-05-01T12:00:00Z")] * 2
    frame = spark.createDataFrame(texts, "user_id string, action string, occurred_at string")
    checked = check(opened(frame, "events"), events(), now=NOW)
    refuse_beyond(checked, 1.0)
    with pytest.raises(DataError) as raised:
        refuse_beyond(checked, 0.99)
    message = str(raised.value)
    assert "At most 99.0% of the rows of events may be bad" in message
    assert "5 of 5 are (occurred_at has no time zone: 3; user_id is null: 2)" in message
    assert "--input-time-zone" in message


def test_a_check_of_a_clean_log_neither_shuffles_nor_reads_more_than_it_must(
    spark: SparkSession, tmp_path: Path
) -> None:
    log = spark.range(1000).select(
        F.col("id").cast("string").alias("user_id"),
        F.lit("a").alias("action"),
        F.timestamp_micros(F.lit(int(NOON.timestamp() * 1e6)) + F.col("id")).alias("occurred_at"),
    )
    log.write.parquet(str(tmp_path / "log"))
    checked = check(open_input(spark, str(tmp_path / "log"), name="events"), events(), now=NOW)
    plan = checked.good._jdf.queryExecution().executedPlan().toString()
    assert "Exchange" not in plan
    assert "InMemoryTableScan" not in plan
    assert "PushedFilters: []" in plan  # all rows are good: nobody reads a column for its rules' sake
    search = checked.bad._jdf.queryExecution().executedPlan().toString()
    assert re.search(r"PushedFilters: \[(Or\()+IsNull\(user_id", search.replace("(3)", ""))


def test_any_name_is_a_column(spark: SparkSession) -> None:
    for name in (ODD, "a.b", "``", "x`; SELECT 1", "*", " "):
        frame = spark.range(1).withColumnRenamed("id", name)
        assert frame.select(column(name)).columns == [name]


def test_what_may_be_null_is_kept_where_it_is(spark: SparkSession) -> None:
    """A comparison with null is neither true nor false: such a row must not be lost in between."""
    contract = Contract(
        "shop",
        (
            Field("item", "id"),
            Field("ends_at", "instant", nullable=True, future=True),
            Field("seen_at", "instant", nullable=True),
            Field("price", "number", nullable=True, low=0, high=10),
            Field("weight", "number", low=0),
        ),
        unique="item",
    )
    far = "2999-01-01T00:00:00Z"
    rows = [
        ("all", "2024-05-01T00:00:00Z", "2024-05-01T00:00:00Z", "3.5", "1"),
        ("nothing", None, None, None, "0"),
        ("nan", far, None, "NaN", "2e0"),
        ("ahead", None, far, None, "1"),
        ("words", None, None, "dear", "1"),
        ("no time", "soon", None, None, "1"),
        ("low", None, None, "-1", "1"),
        ("high", None, None, "10.5", "1"),
        ("weightless", None, None, None, None),
        ("weight nan", None, None, None, "NaN"),
        ("weight below", None, None, None, "-2"),
    ]
    names = ["item", "ends_at", "seen_at", "price", "weight"]
    frame = spark.createDataFrame(rows, ", ".join(f"{name} string" for name in names))
    checked = check(opened(frame, "shop"), contract, now=NOW)
    good = {row["item"]: (row["price"], row["weight"]) for row in checked.good.collect()}
    assert good == {"all": (3.5, 1.0), "nothing": (None, 0.0), "nan": (None, 2.0)}
    assert checked.profile.rows == len(rows)
    assert checked.profile.reasons == {
        "seen_at is more than a day ahead of now": 1,
        "price is not a number": 1,
        "ends_at is not an ISO 8601 time": 1,
        "price is below 0": 1,
        "price is above 10": 1,
        "weight is null": 1,
        "weight is NaN": 1,
        "weight is below 0": 1,
    }
    typed = frame.select(
        "item",
        *(F.expr(f"try_cast({name} AS timestamp) AS {name}") for name in names[1:3]),
        "price",
        "weight",
    )
    assert check(opened(typed, "shop"), contract, now=NOW).profile.rows == len(rows)
