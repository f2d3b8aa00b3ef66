"""Inputs are opened in every format and by every kind of name; nothing in their data is taken for code."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from firstday.errors import DataError, FirstdayError, UserError
from firstday.tables import Input, check, open_input
from firstday.tables.address import is_path
from firstday.tables.contract import bind
from firstday.tables.schemas import Contract, events, users

NOW = datetime(2024, 6, 1, tzinfo=UTC)
ODD_NAME = 'a "b", c;\n`d`.e\\ 😀 DROP TABLE users;--'
ROWS = [
    ("u1", "like", datetime(2024, 3, 1, 12, tzinfo=UTC)),
    ("u1", ODD_NAME, datetime(2024, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)),
    ("'; DROP TABLE x; --", "новый 😀", datetime(2024, 3, 3, 12, tzinfo=UTC)),
]
TABLE = pa.table(
    {
        "user_id": [row[0] for row in ROWS],
        "action": [row[1] for row in ROWS],
        "occurred_at": pa.array([row[2] for row in ROWS], pa.timestamp("us", tz="UTC")),
    }
)


def write_csv(path: Path, rows: Sequence[tuple[str, ...]], separator: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows(rows)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def write_parquet(path: Path, **columns: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


def seen(spark: SparkSession, source: str, contract: Contract, zone: str | None = None) -> list[tuple]:
    return rows_of(open_input(spark, source, name=contract.table, time_zone=zone), contract)


def rows_of(opened: Input, contract: Contract) -> list[tuple]:
    """The fields of the contract, without looking for bad rows, and with instants as datetimes in UTC."""
    rows = opened.frame.select(*bind(opened, contract, NOW).selected).collect()
    return sorted(
        tuple(value.astimezone(UTC) if isinstance(value, datetime) else value for value in row)
        for row in rows
    )


def test_every_format_by_path_and_by_name_gives_the_same_rows(spark: SparkSession, tmp_path: Path) -> None:
    text = [("user_id", "action", "occurred_at"), *((row[0], row[1], row[2].isoformat()) for row in ROWS)]
    lines = "\n".join(json.dumps(dict(zip(text[0], row, strict=True))) for row in text[1:])
    (tmp_path / "log.jsonl").write_text(lines)
    (tmp_path / "log.json.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "bom.csv").write_bytes(
        b"\xef\xbb\xbf" + Path(write_csv(tmp_path / "plain.csv", text)).read_bytes()
    )
    odd_folder = tmp_path / "da[ta] {x}, 'q' #1?"
    odd_folder.mkdir()
    pq.write_table(TABLE, odd_folder / "part 1.parquet")
    frame = spark.read.parquet(str(odd_folder).replace("[", "\\[").replace("{", "\\{").replace("?", "\\?"))
    frame.write.format("delta").save(str(tmp_path / "delta table"))
    spark.sql("CREATE DATABASE IF NOT EXISTS inputs_test")
    frame.write.format("delta").mode("overwrite").saveAsTable("inputs_test.log")
    frame.write.format("parquet").mode("overwrite").saveAsTable("inputs_test.log_parquet")
    spark.sql("CREATE OR REPLACE VIEW inputs_test.log_view AS SELECT * FROM inputs_test.log")
    sources = {
        str(tmp_path / "plain.csv"): "csv",
        write_csv(tmp_path / "log.tsv", text, "\t"): "csv",
        write_csv(tmp_path / "log.csv.gz", text): "csv",
        str(tmp_path / "bom.csv"): "csv",
        str(tmp_path / "log.jsonl"): "json",
        str(tmp_path / "log.json.gz"): "json",
        str(odd_folder): "parquet",
        str(tmp_path / "delta table"): "delta",
        "inputs_test.log": "delta",
        "spark_catalog.inputs_test.log": "delta",
        "inputs_test.log_parquet": "table",
        "inputs_test.log_view": "table",
    }
    for source, kind in sources.items():
        opened = open_input(spark, source, name="events")
        assert rows_of(opened, events()) == sorted(ROWS), source
        assert (opened.format, opened.source) == (kind, source)


def test_whole_numbers_are_ids_and_segments_may_have_any_name(spark: SparkSession, tmp_path: Path) -> None:
    anchor = pa.array([ROWS[0][2]], pa.timestamp("us", tz="UTC"))
    source = write_parquet(
        tmp_path / "users.parquet",
        **{"user_id": pa.array([7]), "signed_up_at": anchor, ODD_NAME: [ODD_NAME], "age.group": [18.5]},
    )
    assert seen(spark, source, users([ODD_NAME, "age.group"])) == [("7", ROWS[0][2], ODD_NAME, "18.5")]
    both = write_parquet(
        tmp_path / "both.parquet", user_id=["u"], signed_up_at=["never"], anchored_at=anchor, é=["x"]
    )
    assert seen(spark, both, users()) == [("u", ROWS[0][2])]


SPRING = datetime(2024, 3, 31, 3, 30)  # in Berlin the clock went from 2 to 3 that night
AUTUMN = datetime(2023, 10, 29, 2, 30)  # and occurred twice here


def test_times_without_a_zone_are_taken_in_the_declared_one_or_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    local = [SPRING, AUTUMN]
    parquet = write_parquet(
        tmp_path / "a.parquet", user_id=["1", "2"], anchored_at=pa.array(local, pa.timestamp("us"))
    )
    spark.read.parquet(parquet).write.format("delta").save(str(tmp_path / "delta"))
    dates = write_parquet(
        tmp_path / "d.parquet", user_id=["1", "2"], anchored_at=pa.array([day.date() for day in local])
    )
    berlin = [datetime(2024, 3, 31, 1, 30, tzinfo=UTC), datetime(2023, 10, 29, 0, 30, tzinfo=UTC)]
    for source in (parquet, str(tmp_path / "delta")):
        expected = [("1", SPRING.replace(tzinfo=UTC)), ("2", AUTUMN.replace(tzinfo=UTC))]
        assert seen(spark, source, users(), "UTC") == expected
        assert seen(spark, source, users(), "Europe/Berlin") == [("1", berlin[0]), ("2", berlin[1])]
    midnights = [datetime(2024, 3, 30, 23, tzinfo=UTC), datetime(2023, 10, 28, 22, tzinfo=UTC)]
    assert seen(spark, dates, users(), "Europe/Berlin") == [("1", midnights[0]), ("2", midnights[1])]
    for source, kind in (
        (parquet, "timestamp_ntz"),
        (str(tmp_path / "delta"), "timestamp_ntz"),
        (dates, "date"),
    ):
        with pytest.raises(DataError, match=rf"{kind} in .*--input-time-zone"):
            seen(spark, source, users())


def test_text_with_an_offset_is_an_instant_and_text_without_needs_a_zone(
    spark: SparkSession, tmp_path: Path
) -> None:
    texts = {
        "2024-03-31T01:30:00Z": datetime(2024, 3, 31, 1, 30, tzinfo=UTC),
        "2024-03-31T01:30:00+09:00": datetime(2024, 3, 30, 16, 30, tzinfo=UTC),
        "2024-03-31 01:30:00.5 Europe/Berlin": datetime(2024, 3, 31, 0, 30, 0, 500_000, tzinfo=UTC),
        "2024-03-31 03:30:00": datetime(2024, 3, 31, 1, 30, tzinfo=UTC),
        "2024-1-2": datetime(2024, 1, 1, 23, tzinfo=UTC),
    }
    source = write_csv(
        tmp_path / "users.csv",
        [("user_id", "anchored_at"), *((str(i), text) for i, text in enumerate(texts))],
    )
    assert seen(spark, source, users(), "Europe/Berlin") == [
        (str(i), at) for i, at in enumerate(texts.values())
    ]
    checked = check(open_input(spark, source, name="users"), users(), now=NOW)
    assert checked.profile.reasons == {"anchored_at has no time zone": 2}


def test_partitions_keep_their_columns_and_are_pruned(spark: SparkSession, tmp_path: Path) -> None:
    for day in (1, 2, 3):
        times = pa.array([datetime(2024, 3, day, 12)], pa.timestamp("us"))
        write_parquet(
            tmp_path / f"date=2024-03-0{day}" / "a.parquet", user_id=[day], action=["x"], occurred_at=times
        )
    opened = open_input(spark, str(tmp_path), name="events", time_zone="UTC")
    checked = check(opened, events("date"), now=NOW, since=datetime(2024, 3, 2, 13, tzinfo=UTC))
    assert checked.good.columns == ["user_id", "action", "occurred_at", "date"]
    assert [(row["user_id"], row["date"]) for row in checked.good.collect()] == [("3", date(2024, 3, 3))]
    assert checked.profile.rows == 1
    plan = checked.good._jdf.queryExecution().executedPlan().toString()
    assert re.search(r"PartitionFilters: \[[^\]]*date#", plan)
    assert "GreaterThanOrEqual(occurred_at" in plan


def test_the_version_says_what_was_read(spark: SparkSession, tmp_path: Path) -> None:
    first = write_parquet(tmp_path / "log" / "a.parquet", user_id=["1"])
    folder = str(Path(first).parent)
    one = open_input(spark, folder, name="events").version
    assert one.startswith("1 files, ")
    assert open_input(spark, folder, name="events").version == one
    alone = open_input(spark, first, name="events").version
    assert alone.split(", ")[:2] == one.split(", ")[:2]  # one file of as many bytes
    assert open_input(spark, first, name="events").version == alone
    write_parquet(tmp_path / "log" / "b.parquet", user_id=["1"])
    assert open_input(spark, folder, name="events").version != one
    assert open_input(spark, first, name="events").version == alone
    write_parquet(tmp_path / "log" / "a.parquet", user_id=["2"])
    assert open_input(spark, first, name="events").version != alone

    delta = str(tmp_path / "delta")
    spark.range(3).write.format("delta").save(delta)
    opened = open_input(spark, delta, name="events")
    spark.range(4).write.format("delta").mode("append").save(delta)
    assert opened.version == "Delta version 0"
    assert opened.frame.count() == 3  # pinned
    assert open_input(spark, delta, name="events").version == "Delta version 1"


def test_what_is_not_there_or_of_no_known_format_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_parquet(tmp_path / "mixed" / "a.parquet", user_id=["1"])
    write_csv(tmp_path / "mixed" / "b.csv", [("user_id",)])
    (tmp_path / "notes.txt").write_text("hello")
    write_parquet(tmp_path / "_hidden.parquet", user_id=["1"])
    write_parquet(tmp_path / "case.parquet", user_id=["1"], User_ID=["2"])
    cases = {
        str(tmp_path / "nowhere"): "must exist, as a file, a folder or a table",
        str(tmp_path / "empty"): "no file in",
        str(tmp_path / "mixed"): "1 csv, 1 parquet in",
        str(tmp_path / "notes.txt"): "1 other in",
        str(tmp_path / "_hidden.parquet"): "begin with neither _ nor .*no file in",
        str(tmp_path / "case.parquet"): "column `user_id` already exists",
        "no_schema.no_table": r"a folder is written with a slash: \./no_schema.no_table",
        "a.b.c": "requires a single-part namespace|must exist",
        "x y.z; DROP TABLE t": "table or files that Spark can open",
    }
    for source, message in cases.items():
        with pytest.raises(DataError, match=f"(?is){message}"):
            open_input(spark, source, name="events")
    unreached = {
        "s3://bucket/events.parquet": r"scheme .*needs its connector",
        "a:b/events.parquet": "Relative path in absolute URI",
        "hdfs://nowhere.invalid/events": "UnknownHost",
    }
    for source, message in unreached.items():
        with pytest.raises(UserError, match=f"(?is)where this Spark can look .*{message}"):
            open_input(spark, source, name="events")


def test_paths_are_told_from_table_names() -> None:
    for path in (
        "/data/users",
        "s3://bucket/users",
        "./users",
        "users",
        "users.parquet",
        "log.csv.gz",
        "..",
        __file__,
    ):
        assert is_path(path), path
    for table in ("sales.users", "main.sales.users", "`my catalog`.sales.users"):
        assert not is_path(table), table


def test_a_session_in_another_zone_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", user_id=["1"])
    spark.conf.set("spark.sql.session.timeZone", "Asia/Seoul")
    try:
        with pytest.raises(FirstdayError, match="must be in UTC"):
            open_input(spark, source, name="users")
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


def damaged_parquet(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:-2000] = np.random.default_rng(0).bytes(len(data) - 2100)
    path.write_bytes(data)


def junk(path: Path) -> None:
    path.write_bytes(b"this is no such file")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def other_type(path: Path) -> None:
    write_parquet(path, user_id=["1"], action=["a"], occurred_at=["2024-03-01"])


def open_quote(path: Path) -> None:
    path.write_text(
        'user_id,action,occurred_at\n1,"a,2024-03-01T00:00:00Z\n' + "2,b,2024-03-01T00:00:00Z\n" * 5000
    )


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("b.parquet", damaged_parquet, r"whole and readable.*b\.parquet.*restore the file or leave it out"),
        ("b.parquet", junk, r"whole and readable \(.*is not a Parquet file.*b\.parquet"),
        ("b.parquet", cut, r"whole and readable.*b\.parquet"),
        ("b.parquet", emptied, r"whole and readable.*b\.parquet"),
        (
            "b.parquet",
            other_type,
            r"occurred_at of events must have one type.*string in .*b\.parquet.*a\.parq",
        ),
        ("b.csv", open_quote, r"fewer than 100,000 characters.*a quote that is opened and never closed"),
        ("b.csv.gz", cut, r"whole and readable \(Unexpected end of input stream"),
        ("b.csv.gz", junk, r"whole and readable \(not a gzip file"),
        ("b.jsonl.gz", cut, r"whole and readable \(Unexpected end of input stream"),
    ],
)
def test_a_damaged_file_is_named(
    spark: SparkSession, tmp_path: Path, file: str, damage: Callable[[Path], None], message: str
) -> None:
    stamps = [ROWS[0][2] + timedelta(seconds=i) for i in range(5000)]
    ids = [str(i * 7919 % 5000) for i in range(5000)]
    kind = file.split(".", 1)[1]
    for name in ("a", "b"):
        path = tmp_path / f"{name}.{kind}"
        if kind == "parquet":
            write_parquet(
                path,
                user_id=ids,
                action=["x"] * 5000,
                occurred_at=pa.array(stamps, pa.timestamp("us", tz="UTC")),
            )
        elif kind.startswith("csv"):
            text = [
                ("user_id", "action", "occurred_at"),
                *((i, "x", at.isoformat()) for i, at in zip(ids, stamps, strict=True)),
            ]
            write_csv(path, text)
        else:
            lines = [
                json.dumps({"user_id": i, "action": "x", "occurred_at": at.isoformat()})
                for i, at in zip(ids, stamps, strict=True)
            ]
            path.write_bytes(gzip.compress("\n".join(lines).encode()))
    damage(tmp_path / file)
    with pytest.raises(DataError, match=f"(?is){message}"):
        check(open_input(spark, str(tmp_path), name="events"), events(), now=NOW)
