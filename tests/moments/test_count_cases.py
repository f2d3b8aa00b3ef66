"""The counts in cases that deserve a name: plans, partition columns, empty and odd input, the real log."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import DataError, LimitError
from firstday.moments import survey as surveys
from firstday.moments.counts import Counts, count, restrict
from firstday.moments.survey import survey
from firstday.windows import Windows, microseconds

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
USERS = "user_id string, anchored_at timestamp, country string"
EVENTS = "user_id string, action string, occurred_at timestamp"


def one_user(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([("u", START, "KR")], USERS)


def log_of(spark: SparkSession, *events: tuple[str, str, timedelta]) -> DataFrame:
    return spark.createDataFrame([(user, action, START + after) for user, action, after in events], EVENTS)


def cells(counts: Counts, *columns: str) -> set[tuple[object, ...]]:
    return {tuple(row) for row in counts.moment_counts.select(*columns).collect()}


def exchanges_of_the_log(counts: Counts) -> list[Any]:
    """The exchanges, in the plan behind the cached rows, that events pass through."""
    plan = counts.reduced._jdf.queryExecution().withCachedData().cacheBuilder().cachedPlan()
    return [node for node in tree(plan) if node.nodeName() == "Exchange" and reads_the_log(node)]


def tree(node: Any) -> Iterator[Any]:
    yield node
    for place in range(node.children().size()):
        yield from tree(node.children().apply(place))


def reads_the_log(node: Any) -> bool:
    return any("occurred_at" in below.toString() for below in tree(node) if "Scan" in below.nodeName())


# --- the plan


@pytest.mark.parametrize("broadcast_bytes", [0, 1 << 30])
@pytest.mark.parametrize("event_id", [False, True])
def test_the_log_is_exchanged_once_and_as_numbers(
    spark: SparkSession, tmp_path: Path, broadcast_bytes: int, event_id: bool
) -> None:
    events = log_of(spark, ("u", "view", HOUR), ("u", "view", 2 * HOUR))
    (events.withColumn("event_id", F.lit("e")) if event_id else events).write.parquet(str(tmp_path / "log"))
    counts = count(
        one_user(spark),
        spark.read.parquet(str(tmp_path / "log")),
        Windows(days=(1,)),
        ["country"],
        broadcast_bytes=broadcast_bytes,
        rows_a_partition=1,
    )
    exchanges = exchanges_of_the_log(counts)
    assert len(exchanges) == 1
    fields = exchanges[0].schema().fields()
    assert {field.dataType().typeName() for field in fields} <= {"long", "integer"}
    assert len(fields) <= 3 + 2 * event_id
    counts.release()


# --- a day of a log that is partitioned by date


def test_dates_read_only_their_partitions(spark: SparkSession, tmp_path: Path) -> None:
    users = spark.createDataFrame([(f"u{n}", START + n * DAY, "KR") for n in range(20)], USERS)
    events = users.select("user_id", F.lit("view").alias("action"), F.col("anchored_at").alias("occurred_at"))
    by_date = events.withColumn("on date", F.to_date("occurred_at"))
    by_date.write.partitionBy("on date").parquet(str(tmp_path / "log"))
    log = spark.read.parquet(str(tmp_path / "log"))
    windows, day = Windows(days=(1,)), START.date() + 10 * DAY
    read = restrict(log, windows, [day], "on date")
    spark.conf.set("spark.sql.maxMetadataStringLength", "1000")
    scan = read._jdf.queryExecution().executedPlan().toString()
    spark.conf.unset("spark.sql.maxMetadataStringLength")
    partitions = scan.split("PartitionFilters: [")[1].split("]")[0]
    # Users of the day have labels until two days later; a day on either side is read for zones.
    assert f">= {day - DAY}" in partitions
    assert f"<= {day + 4 * DAY}" in partitions
    assert "GreaterThanOrEqual(occurred_at" in scan
    part = count(
        users,
        log,
        windows,
        horizon=microseconds(START + 30 * DAY),
        dates=[day],
        event_date_column="on date",
    )
    assert part.tallies["events"] == 3
    assert part.tallies["unknown_users"] is None
    assert cells(part, "anchor_date", "action", "users") == {(day, None, 1), (day, "view", 1)}
    part.release()


# --- odd input


@pytest.mark.parametrize(("broadcast_bytes", "adaptive"), [(0, "true"), (1 << 30, "false")])
def test_empty_input(spark: SparkSession, broadcast_bytes: int, adaptive: str) -> None:
    none, one = spark.createDataFrame([], USERS), one_user(spark)
    log, empty = log_of(spark, ("u", "view", HOUR)), log_of(spark).where("false")
    spark.conf.set("spark.sql.adaptive.enabled", adaptive)
    for users, events, expected in [
        (none, empty, set()),
        (none, log, set()),
        (one, empty, {(None, 1)}),
        (one, log, {(None, 1), ("view", 1)}),
    ]:
        counts = count(users, events, Windows(days=(1,)), ["country"], broadcast_bytes=broadcast_bytes)
        assert cells(counts, "action", "users") == expected
        assert counts.moment_products.count() == 0  # nobody's D1 is known yet
        assert counts.tallies["unknown_users"] == (1 if expected == set() and events is log else 0)
        counts.release()
    spark.conf.set("spark.sql.adaptive.enabled", "false")


def test_no_dates(spark: SparkSession) -> None:
    counts = count(one_user(spark), log_of(spark, ("u", "view", HOUR)), Windows(days=(1,)), dates=[])
    assert counts.moment_counts.count() == 0
    counts.release()


def test_a_bot_changes_nothing_but_the_top_bin(spark: SparkSession) -> None:
    users = spark.createDataFrame([("u", START, "KR"), ("bot", START, "KR")], USERS)
    events = log_of(spark, ("u", "view", HOUR), ("u", "view", 30 * HOUR), ("bot", "view", 49 * HOUR))
    flood = spark.range(30_000).select(
        F.lit("bot").alias("user_id"), F.lit("view").alias("action"), F.lit(START).alias("occurred_at")
    )
    counts = count(users, events.union(flood), Windows(days=(1,)), count_cap=100, rows_a_partition=10_000)
    assert cells(counts, "action", "count", "users", "retained_d1") == {
        (None, 0, 1, 1),
        (None, 0, 1, 0),
        ("view", 1, 1, 1),
        ("view", 100, 1, 0),
    }
    assert counts.tallies["top_coded"] == 1
    assert counts.tallies["in_window"] == 30_001
    counts.release()


def test_a_user_twice_is_refused(spark: SparkSession) -> None:
    users = one_user(spark).union(one_user(spark))
    with pytest.raises(DataError, match=r"(?i)each user may be there once"):
        count(users, log_of(spark, ("u", "view", HOUR)), Windows(days=(1,)))


def test_null_segments_are_kept_apart(spark: SparkSession) -> None:
    rows = [("a", START, None, "x"), ("b", START, "x", None), ("c", START, "x", "x"), ("d", START, "", "x")]
    users = spark.createDataFrame(rows, "user_id string, anchored_at timestamp, p string, q string")
    counts = count(users, log_of(spark, ("a", "view", HOUR)), Windows(days=(1,)), ["p", "q"])
    found = cells(counts, "p", "q", "action", "users")
    assert found == {(*row[2:], None, 1) for row in rows} | {(None, "x", "view", 1)}
    counts.release()


def test_too_many_names_of_actions(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "MOST_ROWS", 1)
    with pytest.raises(LimitError, match=r"(?i)dates × actions"):
        survey(log_of(spark, ("u", "view 1", HOUR), ("u", "view 2", HOUR)))


def test_leading_actions_by_date_and_name(spark: SparkSession) -> None:
    log = log_of(spark, *(("u", action, HOUR) for action in "cbbaa"), ("u", "d", 20 * HOUR))
    found = survey(log, leading_actions=2)
    assert found.leading == {START.date(): ("a", "b"), START.date() + DAY: ("d",)}
    assert list(found.keys) == ["a", "b", "c", "d"]
    assert found.latest == START + 20 * HOUR
    assert survey(log, leading_actions=2, horizon=microseconds(START + HOUR)).after_horizon == 1


# --- the real log


@pytest.mark.real_data
def test_the_message_log(spark: SparkSession, real_data: Path) -> None:
    folder = real_data / "collegemsg"
    users = spark.read.parquet(str(folder / "users.parquet")).withColumnRenamed("signed_up_at", "anchored_at")
    events = spark.read.parquet(str(folder / "events.parquet"))
    counts = count(users, events, Windows(days=(1, 7)), ["month"])
    brute = brute_force(folder)
    sums = pd.DataFrame(counts.moment_counts.toPandas())
    whole = sums[sums["action"].isna()]
    for day, users_n, retained in ((1, 1897, 736), (7, brute["users_d7"], brute["retained_d7"])):
        assert (whole[f"matured_d{day}"].sum(), whole[f"retained_d{day}"].sum()) == (users_n, retained)
    for action, threshold, experienced, both in (("new_partner", 2, 566, 414), ("send", 3, 520, 389)):
        rows = sums[(sums["action"] == action) & (sums["count"] >= threshold)]
        assert (rows["matured_d1"].sum(), rows["retained_d1"].sum()) == (experienced, both)
    for (action, n), (users_n, retained_d1, retained_d7) in brute["cells"].items():
        rows = sums[(sums["action"] == action) & (sums["count"] == n)]
        assert rows["users"].sum() == users_n
        assert (rows["retained_d1"].sum(), rows["retained_d7"].sum()) == (retained_d1, retained_d7)
    assert sums.loc[sums["action"].notna(), "users"].sum() == sum(n for n, _, _ in brute["cells"].values())
    counts.release()


def brute_force(folder: Path) -> dict[str, Any]:
    """The same in pandas, user by user."""
    users = pd.read_parquet(folder / "users.parquet").set_index("user_id")["signed_up_at"]
    events = pd.read_parquet(folder / "events.parquet")
    horizon = events["occurred_at"].max()
    after = (events["occurred_at"] - events["user_id"].map(users)) / pd.Timedelta(days=1)
    returned = {day: set(events.loc[(after >= day) & (after < day + 1), "user_id"]) for day in (1, 7)}
    closed = {day: set(users.index[users + pd.Timedelta(days=day + 1) <= horizon]) for day in (1, 7)}
    back = {day: returned[day] & closed[day] for day in (1, 7)}
    by_user = events[(after >= 0) & (after < 1)].groupby(["action", "user_id"]).size()
    found: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for (action, user), n in by_user.items():
        cell = found[action, n]
        cell[0] += 1
        cell[1] += user in back[1]
        cell[2] += user in back[7]
    return {"users_d7": len(closed[7]), "retained_d7": len(back[7]), "cells": found}
