"""What tables and files hold in the wild: other writers' types, folders, Delta with all it may have."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from firstday.errors import DataError
from firstday.tables import Input, check, open_input
from firstday.tables.faults import explained
from firstday.tables.infer import inferred, typed
from firstday.tables.read import Reading
from firstday.tables.schemas import Contract, Field, events

NOW = datetime(2024, 6, 1, tzinfo=UTC)
TWO = "VALUES ('u1', 'a', timestamp '2024-03-01 10:00:00'), ('u2', 'b', timestamp '2024-03-02 10:00:00')"
ROWS = [("u1", "a"), ("u2", "b")]


def rows(spark: SparkSession, source: object, contract: Contract, **how: Any) -> list[tuple]:
    opened = open_input(spark, str(source), name=contract.table, reading=Reading(**how))
    checked = check(opened, contract, now=NOW)
    assert not checked.profile.bad_rows, checked.profile.reasons
    return sorted(tuple(row) for row in checked.good.collect())


def test_tables_of_delta_with_what_they_may_have(spark: SparkSession) -> None:
    spark.sql("CREATE DATABASE as_it_comes")
    columns = "user_id {0}, {1} {0}, occurred_at timestamp"
    mapping = "'delta.columnMapping.mode'='name', 'delta.minReaderVersion'='2', 'delta.minWriterVersion'='5'"
    made = {
        "mapped": (columns.format("string", "act"), f"TBLPROPERTIES ({mapping})"),
        "deleted": (
            columns.format("string", "action"),
            "TBLPROPERTIES ('delta.enableDeletionVectors'='true')",
        ),
        "padded": (columns.format("char(8)", "action"), ""),
        "clustered": (columns.format("string", "action"), "CLUSTER BY (user_id)"),
    }
    for name, (of_type, more) in made.items():
        spark.sql(f"CREATE TABLE as_it_comes.{name} ({of_type}) USING delta {more}")
        spark.sql(f"INSERT INTO as_it_comes.{name} {TWO}")
    spark.sql("ALTER TABLE as_it_comes.mapped RENAME COLUMN act TO action")
    spark.sql("INSERT INTO as_it_comes.deleted VALUES ('u3', 'c', timestamp '2024-03-03 10:00:00')")
    spark.sql("DELETE FROM as_it_comes.deleted WHERE user_id = 'u3'")
    for name in made:
        found = rows(spark, f"as_it_comes.{name}", events())
        assert [row[:2] for row in found] == ROWS, name
    spark.sql(
        "CREATE TABLE as_it_comes.odd USING delta AS "
        "SELECT cast(7 AS decimal(20, 0)) AS user_id, array('a') AS action, "
        "cast('12.345' AS decimal(38, 18)) AS amount, map('plan', 'x') AS tags, "
        "named_struct('in', named_struct('q', 3)) AS more"
    )
    contract = Contract(
        "odd",
        (Field("user_id", "id"), Field("amount", "number"), Field("plan", "text"), Field("q", "number")),
    )
    paths = {"plan": ("tags.plan",), "q": ("more.in.q",)}
    assert rows(spark, "as_it_comes.odd", contract, columns=paths) == [("7", 12.345, "x", 3.0)]
    with pytest.raises(DataError, match="plain values"):
        rows(spark, "as_it_comes.odd", Contract("odd", (Field("action", "text"),)))
    spark.sql("DROP DATABASE as_it_comes CASCADE")


def test_folders_are_text_and_dates_of_partitions_are_dates(spark: SparkSession, tmp_path: Path) -> None:
    for day in (1, 2):
        at = pa.array([datetime(2024, 3, day, 12, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
        folder = tmp_path / "log" / f"dt=2024030{day}" / f"category=0{day}"
        folder.mkdir(parents=True)
        pq.write_table(
            pa.table({"user_id": [f"0{day}"], "action": ["x"], "occurred_at": at}), folder / "a.parquet"
        )
    opened = open_input(spark, str(tmp_path / "log"), name="events")
    contract = Contract("events", (*events("dt").fields, Field("category", "text")))
    checked = check(opened, contract, now=NOW, since=datetime(2024, 3, 2, tzinfo=UTC))
    [row] = checked.good.select("user_id", "dt", "category").collect()
    assert tuple(row) == ("02", date(2024, 3, 2), "02")
    # Whole numbers in one file and nanoseconds in another are two types.
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    pd.DataFrame({"occurred_at": [1709287200000000]}).to_parquet(mixed / "a.parquet")
    pd.DataFrame({"occurred_at": [pd.Timestamp("2024-03-01", tz="UTC")]}).to_parquet(mixed / "b.parquet")
    with pytest.raises(DataError, match=r"(?s)one type in all files.*(a|b)\.parquet.*(a|b)\.parquet"):
        open_input(spark, str(mixed), name="events")


def test_plain_notations_only(spark: SparkSession, tmp_path: Path) -> None:
    good = {
        "2024-03-01T12:00:00+0900": 3, "2024-03-01 12:00:00+00": 12, "2024-03-01 12:00:00 UTC": 12,
        "2024-03-01T12:00Z": 12, "2024-03-01T12:00:00 Europe/Berlin": 11,
    }  # fmt: skip
    bad = ["2024-03-01 12:00:00 EST", "2024-03-01T12:00:00 PST", "01/03/2024", "1709287200000"]
    texts = [*good, *bad]
    numbers = ["1e3", ".5", "-1.", "true", "FALSE", "NaN", "10d", "0x1p3", "1e400"]
    frame = pd.DataFrame(
        {"k": range(9), "at": texts, "v": numbers, "b": ["True", "0", "\\N", "NULL", *["1"] * 5]}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    fields = (Field("k", "id"), Field("at", "instant"), Field("v", "number", nullable=True))
    source = open_input(spark, str(tmp_path / "t.csv"), name="t")
    checked = check(source, Contract("t", (fields[0], fields[1])), now=NOW)
    hours = [row["at"].astimezone(UTC).hour for row in checked.good.orderBy("k").collect()]
    assert hours == list(good.values())
    assert checked.profile.reasons == {"at is not an ISO 8601 time": len(bad)}
    contract = Contract("t", (fields[0], fields[2], Field("b", "truth", nullable=True)))
    checked = check(source, contract, now=NOW)
    values = [row["v"] for row in checked.good.orderBy("k").collect()]
    assert values == [1000.0, 0.5, -1.0, 1.0, 0.0, None]
    assert checked.profile.reasons == {"v is not a number": 3}
    assert [row["b"] for row in checked.good.orderBy("k").collect()] == [True, False, None, None, True, True]


def test_a_type_is_inferred_where_all_values_have_it(spark: SparkSession) -> None:
    values = [
        ("1", "1.5", "true", "007", "a", "9", None),
        ("22", "1e3", "False", "12", "2", "n/a", None),
        (None, "NaN", None, "3", "3", "1", None),
    ]
    names = ("whole", "number", "truth", "code", "word", "odd", "nothing")
    frame = spark.createDataFrame(values, ", ".join(f"{name} string" for name in names))
    source = Input("rows", "memory", "csv", "", frame, None)
    kinds = inferred(source, names)
    assert kinds == {"whole": "whole number", "number": "number", "truth": "truth value"}
    found = typed(source, kinds).frame
    assert dict(found.dtypes) | {"whole": "bigint", "number": "double", "truth": "boolean"} == dict(
        found.dtypes
    )
    assert [row["whole"] for row in found.collect()] == [1, 22, None]
    assert inferred(Input("rows", "memory", "parquet", "", frame, None), names) == {}


LINES = ["user_id,action,occurred_at", *(f"u{n},a{n},2024-03-0{n}T10:00:00Z" for n in range(1, 9))]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(LINES[:3]) + "\r\n" + "\r".join(LINES[3:6]) + "\r" + "\n".join(LINES[6:]) + "\n",
        "\r".join(LINES[:4]) + "\r" + "\n".join(LINES[4:]),
        LINES[0] + "\r" + "\r\n".join(LINES[1:]) + "\r\n",
        "\n".join(LINES[:-1]) + "\r" + LINES[-1],
    ],
)
def test_a_line_s_end_is_no_data_in_a_file_of_several_systems(
    spark: SparkSession, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "log.csv"
    file.write_bytes(text.encode())
    found = rows(spark, file, events())
    assert [row[:2] for row in found] == [(f"u{n}", f"a{n}") for n in range(1, 9)]
    # A row that is too short or too long stays one bad row, and a quoted value keeps what is in it.
    more = text.rstrip() + '\nu9,"a,\rb",2024-03-09T10:00:00Z\nu9,a\ru9,a,2024-03-09T10:00:00Z,more\n'
    file.write_bytes(more.encode())
    checked = check(open_input(spark, str(file), name="events"), events(), now=NOW)
    assert checked.profile.reasons == {"the row cannot be read": 2}
    assert "a,\rb" in {row["action"] for row in checked.good.collect()}


def test_files_of_writers_that_differ_in_precision_are_one_log(spark: SparkSession, tmp_path: Path) -> None:
    at = [datetime(2024, 3, day, 12) for day in (1, 2)]
    for zone, name in (("UTC", "zoned"), (None, "local")):
        folder = tmp_path / name
        folder.mkdir()
        for unit, one, more in (("ns", at[0], {}), ("us", at[1], {"event_id": ["e"]})):
            times = pa.array([pd.Timestamp(one)], pa.timestamp(unit, tz=zone))
            table = {"user_id": ["u"], "action": ["a"], "occurred_at": times, **more}
            pq.write_table(pa.table(table), folder / f"{unit}.parquet")
        found = rows(spark, folder, events(), time_zone="UTC")
        assert found == [("u", "a", at[0], None), ("u", "a", at[1], "e")]
    (tmp_path / "zoned" / "ns.parquet").rename(tmp_path / "local" / "ns.parquet")
    with pytest.raises(DataError, match="one type in all files"):
        rows(spark, tmp_path / "local", events(), time_zone="UTC")


def test_names_of_columns_in_any_case_but_once(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("USER_ID,Event,OCCURRED_AT,X1,x2\nu,a,2024-03-01T10:00:00Z,1,2\n")
    [found] = rows(spark, file, events(), columns={"action": ("event",)})
    assert found[:2] == ("u", "a")
    # Said of this table, a place must be there; said of all, it is named where the column is missed.
    with pytest.raises(DataError, match="evnt"):
        rows(spark, file, events(), columns={"action": ("evnt",)}, needed=frozenset({"action"}))
    with pytest.raises(DataError, match="evnt"):
        rows(spark, file, events(), columns={"action": ("evnt",)})
    file.write_text("user_id,action,Action ,occurred_at\nu,a,b,2024-03-01T10:00:00Z\n")
    with pytest.raises(DataError, match="action"):
        open_input(spark, str(file), name="events")
    file.write_text("user_id,action,Action,occurred_at\nu,a,b,2024-03-01T10:00:00Z\n")
    with pytest.raises(DataError, match="action"):
        open_input(spark, str(file), name="events")
    for name, text in (("16.csv", LINES), ("latin.jsonl", ['{"user_id": "é", "action": "é"}'] * 3)):
        other = tmp_path / name
        other.write_bytes("\n".join(text).encode("utf-16" if name == "16.csv" else "latin-1"))
        with pytest.raises(DataError, match="--encoding"):
            rows(spark, other, events())


@pytest.mark.parametrize(
    "text",
    [
        ",user_id,action,occurred_at\n0,u1,a;b,{0}\n1,u2,b,{0}\n",
        "user_id, action , occurred_at,\r\nu1,a;b,{0},\r\nu2,b,{0},\r\n",
        "user_id;action;occurred_at\nu1;a,b;{0}\nu2;b;{0}\n",
        "user_id|action|occurred_at|note\nu1|a,b|{0}|\nu2|b|{0}|x;y\n",
        "user_id\taction\toccurred_at\nu1\ta,b\t{0}\nu2\tb\t{0}\n",
    ],
)
def test_headers_as_tools_write_them(spark: SparkSession, tmp_path: Path, text: str) -> None:
    """pandas' index has no name, a spreadsheet's rows end with a comma, and Europe's have semicolons."""
    text = text.format("2024-03-01T10:00:00Z")
    (tmp_path / "log").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "log" / name).write_bytes(text.encode())
    for place, times in (("log/a.csv", 1), ("log", 2)):
        found = rows(spark, tmp_path / place, events())
        assert [row[0] for row in found] == ["u1"] * times + ["u2"] * times
        assert {row[1] for row in found} == {"a;b" if "a;b" in text else "a,b", "b"}
        assert "" not in open_input(spark, str(tmp_path / place), name="events").columns


def test_a_damaged_footer_is_the_file_s_fault() -> None:
    """As Spark says it where a byte of the footer's Thrift is another: it names no file."""
    said = (
        "An error occurred while calling o77.parquet.\n: org.apache.spark.SparkException: Job aborted\n"
        "\tat org.apache.spark.sql.execution.datasources.parquet.ParquetFileFormat$."
        "readParquetFootersInParallel(ParquetFileFormat.scala:443)\n"
        "Caused by: shaded.parquet.org.apache.thrift.transport.TTransportException: Socket is closed.\n"
        "\tat org.apache.parquet.format.Util.readFileMetaData(Util.java:334)"
    )
    told = explained(said, "units", "units.parquet")
    assert told is not None
    assert told.exit_status == 2
    assert "units.parquet" in str(told)
    assert explained("java.lang.NullPointerException", "units", "units.parquet") is None
