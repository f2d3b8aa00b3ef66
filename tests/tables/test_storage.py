"""What a session's storage tells of paths: the same through Hadoop and, on Spark Connect, without it."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import LongType

from firstday.errors import DataError, OutputError
from firstday.spark import storage as module
from firstday.spark.connect import on_connect
from firstday.spark.storage import storage
from firstday.tables import open_output
from firstday.tables.schemas import table_schema

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NUMBERS = table_schema([("number", LongType())])
ODD = "a b[1] é"


@pytest.fixture
def folder(spark: SparkSession, tmp_path: Path) -> Path:
    """A table, a folder of files and an empty one, under a name with what Spark takes for a pattern."""
    where = tmp_path / ODD
    (where / "empty").mkdir(parents=True)
    spark.range(3).write.format("delta").save(str(where / "table"))
    spark.range(3).write.parquet(str(where / "files"))
    return where


def test_what_lies_at_a_path(spark: SparkSession, folder: Path) -> None:
    files = storage(spark)
    there = {name: files.exists(str(folder / name)) for name in ("table", "files", "empty", "nothing")}
    assert there == {"table": True, "files": True, "empty": True, "nothing": False}
    tables = {name: files.is_delta(str(folder / name)) for name in ("table", "table/x", "files", "x/y", "")}
    assert tables == {"table": True, "table/x": True, "files": False, "x/y": False, "": False}
    assert files.folders(str(folder)) == ["empty", "files", "table"]
    assert files.absolute(str(folder)).endswith(str(folder))
    assert files.absolute("x").endswith(str(Path.cwd() / "x"))


def test_files_beside_tables(spark: SparkSession, folder: Path) -> None:
    files = storage(spark)
    assert files.is_open(str(folder))
    for content in (b"one", b"two"):
        files.put(str(folder / "page"), str(folder / ".page"), content)
        assert (folder / "page").read_bytes() == content
    for _ in range(2):
        spark.range(1).write.json(str(folder / ".rows"))
        files.rename(str(folder / ".rows"), str(folder / "rows"))
    assert sorted(each.name for each in folder.iterdir() if each.suffix != ".crc") == [
        "empty", "files", "page", "rows", "table",
    ]  # fmt: skip


def test_nanoseconds_are_told_from_whole_numbers(spark: SparkSession, tmp_path: Path) -> None:
    times = pd.to_datetime(["2024-01-01"])
    frame = pd.DataFrame({"n": [1], "t": ["x"], "zoneless": times, "instant": times.tz_localize("UTC")})
    frame.astype({"zoneless": "datetime64[ns]", "instant": "datetime64[ns, UTC]"}).to_parquet(
        tmp_path / "x y.pq"
    )
    [file] = spark.read.format("binaryFile").load(str(tmp_path)).inputFiles()
    found = storage(spark).parquet_integers(file)
    assert found == {"n": None, "zoneless": "timestamp_ntz", "instant": "timestamp"}


def test_a_place_that_only_spark_sees(
    spark: SparkSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a server of Spark Connect is another machine."""
    if not on_connect(spark):
        pytest.skip("of Spark Connect: make test-connect")
    monkeypatch.setattr(module, "_is_local", lambda _: False)
    assert storage(spark).folders(str(folder)) == ["files", "table"]  # of an empty one nothing shows
    output = open_output(
        spark, str(folder), job="discover", run_id="x", schemas={"n": NUMBERS}, clock=lambda: NOW
    )
    with output:
        output.write("n", spark.createDataFrame([(1,)], NUMBERS))
        output.publish(inputs=[], settings={})
    assert output.write_file("discover.html", b"x") is None
    assert not (folder / "discover.html").exists()
    with pytest.raises(OutputError):
        output.store.write_folder("n_export", spark.range(1), "parquet")
    [file] = (
        spark.read.format("binaryFile")
        .load(str(folder / "files").replace("[", "\\[").replace("]", "\\]"))
        .inputFiles()[:1]
    )
    with pytest.raises(DataError):
        storage(spark).parquet_integers(file)
