"""Outputs on Delta itself, in a folder and in a schema of the catalog."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import LongType, StringType, StructType

from firstday.errors import ConflictError, DataError, OutputError, UserError
from firstday.tables import Input, Output, check, delta, open_output, open_table, read_published
from firstday.tables.delta import RUN_ID, Run, Store
from firstday.tables.published import published_answer
from firstday.tables.schemas import RUNS, events, moment_counts, moment_products, table_schema
from tests.tables import independent
from tests.tables.independent import folder
from tests.tables.memory import Killed

NOW = datetime(2024, 6, 1, 12, 30, 0, 5, tzinfo=UTC)
ODD = 'a "b", c;\n`d`.e\\ 😀 DROP TABLE users;--'
NUMBERS = table_schema([("number", LongType())])
NAMES = table_schema([(ODD, StringType()), ("number", LongType())])
SCHEMAS = {"numbers": NUMBERS, "names": NAMES, "unwritten": NUMBERS}


def opened(
    spark: SparkSession, out: str, run_id: str, schemas: dict[str, StructType] | None = None
) -> Output:
    return open_output(
        spark, out, job="discover", run_id=run_id, schemas=schemas or SCHEMAS, clock=lambda: NOW
    )


def numbers(spark: SparkSession, *values: int) -> DataFrame:
    return spark.createDataFrame([(value,) for value in values], NUMBERS)


def write_all(spark: SparkSession, output: Output, *values: int) -> None:
    output.write("numbers", numbers(spark, *values))
    output.write("names", spark.createDataFrame([(ODD, value) for value in values], NAMES))


def rows(frame: DataFrame) -> list[tuple]:
    return sorted(tuple(row) for row in frame.collect())


def naive(output: Output, name: str) -> list[tuple]:
    """The rows that a reader sees who does not ask for the published run."""
    found = independent.rows(folder(output.store), name).drop(columns=RUN_ID)
    return sorted(found.itertuples(index=False, name=None))


def checked_log(spark: SparkSession, bad: int, good: int) -> Any:
    values = [("u", "a", NOW)] * good + [(None, ODD, NOW)] * bad
    frame = spark.createDataFrame(values, "user_id string, action string, occurred_at timestamp")
    return check(Input("events", "here", "delta", "Delta version 3", frame, None), events(), now=NOW)


def test_a_run_is_published_whole_and_supersedes_the_one_before(spark: SparkSession, tmp_path: Path) -> None:
    out = str(tmp_path / "out [1] é")
    log = checked_log(spark, bad=1, good=3)
    with opened(spark, out, "first") as first:
        assert first.previous("numbers") is None
        first.quarantine(log, max_bad_share=0.25)
        write_all(spark, first, 1, 2)
        with pytest.raises(DataError, match="published run with the table numbers"):
            read_published(spark, out, "numbers")
        run = first.publish(inputs=[log.source], settings={"days": [1, 7]}, horizon=NOW)
    assert (run.sequence, run.row_counts) == (1, {"numbers": 2, "names": 2, "unwritten": 0})
    assert run == first.store.latest_run(job="discover")
    assert run.inputs == {"events": {"source": "here", "format": "delta", "version": "Delta version 3"}}
    assert (run.settings, run.horizon, run.published_at) == ({"days": [1, 7]}, NOW, NOW)
    old = read_published(spark, out, "numbers")

    with opened(spark, out, "second") as second:
        before = second.previous("numbers")
        assert before is not None
        write_all(spark, second, 2, 3, 4)
        assert rows(read_published(spark, out, "numbers")) == [(1,), (2,)]
        assert naive(second, "numbers") == [(1,), (2,), (2,), (3,), (4,)]
        second.publish(inputs=[], settings={})
    assert independent.run_ids(out, "numbers") == {"second"}
    for name, expected in (("numbers", [(2,), (3,), (4,)]), ("unwritten", [])):
        assert rows(read_published(spark, out, name)) == naive(second, name) == expected
    assert rows(read_published(spark, out, "names")) == [(ODD, 2), (ODD, 3), (ODD, 4)]
    for address in (out, second.location("numbers")):  # its rows, and which run's they are
        opened_again = open_table(spark, address, "numbers", name="labels")
        assert (opened_again.version, rows(opened_again.frame)) == ("run second", [(2,), (3,), (4,)])
    assert open_table(spark, second.location("names"), "numbers", name="labels").version != "run second"
    assert rows(old) == rows(before) == [(1,), (2,)]  # whoever has opened a run's rows keeps them

    other = open_output(spark, out, job="measure", run_id="other", schemas={"fresh": NUMBERS, "names": NAMES})
    with pytest.raises(OutputError, match="must not overwrite the table names of firstday discover"):
        other.begin()
    assert not other.store.exists("fresh")
    numbers(spark, 1).write.format("delta").save(other.store.location("theirs"))
    stranger = open_output(spark, out, job="measure", run_id="other", schemas={"theirs": NUMBERS})
    with pytest.raises(OutputError, match="theirs that no firstday job has made"):
        stranger.begin()

    [kept] = independent.rows(out, "quarantine").to_dict("records")
    assert (kept["table"], kept["reason"], kept["job"]) == ("events", "user_id is null", "discover")
    assert json.loads(kept["row"])["action"] == ODD
    runs = independent.rows(out, "runs").sort_values("sequence")[["job", "sequence", "status"]]
    assert runs.to_numpy().tolist() == [["discover", 1, "published"], ["discover", 2, "published"]]


def test_killed_at_an_operation_and_run_again(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path)

    def run(run_id: str, number: int) -> Output:
        output = opened(spark, out, run_id, {"numbers": NUMBERS})
        output.begin()
        output.write("numbers", numbers(spark, number, number))
        output.publish(inputs=[], settings={})
        return output

    def kill(operation: str, after: bool, number: int) -> None:
        original = getattr(Store, operation)

        def killing(*arguments: Any) -> None:
            if after:
                original(*arguments)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Store, operation, killing)
            with pytest.raises(Killed):
                run(f"killed {number}", number)

    run("old", 0)
    kill("remove", False, 1)  # it is published, but the old rows are still there
    assert rows(read_published(spark, out, "numbers")) == [(1,), (1,)]
    kill("append", True, 2)
    assert rows(read_published(spark, out, "numbers")) == [(1,), (1,)]
    again = run("again", 2)
    assert naive(again, "numbers") == rows(read_published(spark, out, "numbers")) == [(2,), (2,)]


def together(*works: Callable[[], Any]) -> list[BaseException | None]:
    """Do all at once, in threads, and return what they raise."""
    errors: list[BaseException | None] = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def do(number: int) -> None:
        barrier.wait()
        try:
            works[number]()
        except Exception as error:  # noqa: BLE001 - the caller looks at it
            errors[number] = error

    threads = [threading.Thread(target=do, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_of_two_runs_at_once_one_is_published_and_the_other_leaves_nothing(
    spark: SparkSession, out: str
) -> None:
    outputs = {run_id: opened(spark, out, run_id, {"numbers": NUMBERS}) for run_id in ("x", "y", "late")}
    begun = threading.Barrier(2, timeout=60)  # where one fails to begin, the other must not wait for ever

    def run(run_id: str, number: int) -> None:
        with outputs[run_id] as output:  # both create the tables
            begun.wait()
            output.write("numbers", numbers(spark, number))
            output.publish(inputs=[], settings={})

    outputs["late"].store.require()  # it begins, too, when nothing is published
    errors = together(lambda: run("x", 1), lambda: run("y", 2))
    refused = [error for error in errors if error is not None]
    assert [type(error) for error in refused] == [ConflictError], errors
    with pytest.raises(ConflictError, match="Use its results, or run again"):
        outputs["late"].publish(inputs=[], settings={})  # later: Delta skips the commit in silence
    winner = outputs["x"].store.latest_run(job="discover")
    assert winner is not None
    assert independent.rows(folder(outputs["x"].store), "runs")["sequence"].to_list() == [1]
    expected = [({"x": 1, "y": 2}[winner.run_id],)]
    assert naive(outputs["x"], "numbers") == expected
    assert rows(read_published(spark, out, "numbers")) == expected

    if outputs["x"].store.is_folder:
        return  # where the test above goes on
    with opened(spark, out, "next", {"numbers": NUMBERS, "names": NAMES}) as following:
        before = following.previous("numbers")
        write_all(spark, following, 3)
        following.publish(inputs=[], settings={})
    assert before is not None
    assert rows(before) == expected
    assert naive(following, "numbers") == rows(read_published(spark, out, "numbers")) == [(3,)]
    alone = spark.table(f"{out}.names").drop(RUN_ID)
    assert rows(alone) == rows(read_published(spark, out, "names")) == [(ODD, 3)]


def test_a_table_that_another_run_makes_at_the_same_instant_is_appended_to(
    spark: SparkSession, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delta refuses the one who comes second, however late it looks: here twice."""
    store, append, refused = Store(spark, out), Store._append, list[str]()

    def overtaken(self: Store, name: str, frame: DataFrame, *rest: Any) -> None:
        if refused.count(name) < 2:
            refused.append(name)
            raise PySparkException("[DELTA_PROTOCOL_CHANGED] The protocol version has been changed")
        append(self, name, frame, *rest)

    monkeypatch.setattr(Store, "_append", overtaken)
    monkeypatch.setattr(delta, "PAUSE_S", 0)
    if not store.is_folder:
        store.create("runs", RUNS)
    assert store.append("numbers", numbers(spark, 1, 2), "x", NUMBERS) == 2
    assert store.publish(Run("x", "discover", 1, NOW, NOW))
    assert refused == ["numbers", "numbers", "runs", "runs"]
    assert rows(store.read("numbers", "x")) == [(1,), (2,)]
    latest = store.latest_run(job="discover")
    assert latest is not None
    assert latest.run_id == "x"
    assert not store.publish(Run("y", "discover", 1, NOW, NOW))
    other = Run("z", "label", 1, NOW, NOW)
    assert store.publish(other)
    assert store.is_latest(latest)  # of its job: the newest commit is another's
    monkeypatch.delattr(Store, "_runs")
    assert store.is_latest(other)  # of which the commit alone tells


def test_attempts_are_those_of_others_and_none_are_looked_for_in_a_new_output(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(spark, str(tmp_path))
    store.attempt("discover", "x", NOW)
    with monkeypatch.context() as patch:
        patch.delattr(Store, "_frame")  # its only commit tells
        assert store.attempts("discover", but="x") == {}
    assert store.attempts("discover", but="y") == {"x": NOW}  # as after a first run that was killed
    store.attempt("label", "y", NOW)
    assert store.attempts("discover", but="y") == {"x": NOW}
    assert store.attempts("label", but="y") == {}


def test_an_output_with_another_schema_is_refused_before_anything_is_written(
    spark: SparkSession, tmp_path: Path
) -> None:
    out = str(tmp_path)
    days = {
        "moment_counts": moment_counts(["country"], [1, 7]),
        "moment_products": moment_products(["country"]),
    }
    old = opened(spark, out, "old", days)
    for name, schema in days.items():
        old.store.create(name, schema)
    others = {"moment_counts": moment_counts(["country", ODD], [1]), "fresh": NUMBERS}
    output = opened(spark, out, "new", others)
    with pytest.raises(OutputError) as raised:
        output.begin()
    message = str(raised.value)
    assert f"moment_counts has no {ODD!r}, 'matured_d7' in addition, 'retained_d7' in addition" in message
    assert "another --out" in message
    assert not output.store.exists("fresh")
    output.store.create("numbers", NUMBERS)
    with pytest.raises(OutputError, match="'number' as bigint, not string"):
        opened(spark, out, "new", {"numbers": table_schema([("number", StringType())])}).begin()
    with pytest.raises(ValueError, match="fresh has"):
        output.write("fresh", spark.createDataFrame([], NAMES))


def test_too_many_bad_rows_stop_the_run_and_leave_quarantine_only(
    spark: SparkSession, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")

    def run(run_id: str, bad: int) -> None:
        with opened(spark, out, run_id, {"numbers": NUMBERS}) as output:
            output.quarantine(checked_log(spark, bad=bad, good=1), max_bad_share=0.5)
            output.publish(inputs=[], settings={})

    with pytest.raises(DataError, match=r"2 of 3 are \(user_id is null: 2\)"):
        run("stopped", 2)
    assert sorted(path.name for path in Path(out).iterdir()) == ["attempts", "quarantine", "runs"]
    kept = independent.rows(out, "quarantine")
    assert kept[[RUN_ID, "reason"]].to_numpy().tolist() == [["stopped", "user_id is null"]] * 2
    assert kept["seen_at"].to_list() == [NOW] * 2
    run("mended", 1)
    kept = independent.rows(out, "quarantine")
    assert kept[RUN_ID].to_list() == ["mended"]  # the stopped run's are settled


def test_places_where_no_output_can_be_are_refused(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "PAUSE_S", 0)
    numbers(spark, 1).write.format("delta").save(str(tmp_path / "table"))
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "runs").mkdir(parents=True)
    (tmp_path / "taken" / "runs" / "data.csv").write_text("x")
    cases = {
        str(tmp_path / "table" / "out"): "must not lie inside a Delta table",
        str(tmp_path / "file"): "must be a place for Delta tables",
        str(tmp_path / "taken"): "must be a place for Delta tables.*holds nothing else of this name",
        "spark_catalog.nowhere": "schema must exist.*CREATE SCHEMA spark_catalog.nowhere",
        "x y.z; DROP": "schema must exist",
    }
    for out, message in cases.items():
        with pytest.raises(OutputError, match=f"(?s){message}"):
            opened(spark, out, "run").begin()
    with pytest.raises(UserError, match="where this Spark can look"):
        opened(spark, "s3://bucket/out", "run").begin()


def test_a_file_beside_the_tables_is_replaced_whole(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(spark, str(tmp_path))
    report = tmp_path / "report.html"
    for content in (b"one", b"two \x00\xff"):
        assert store.write_file("report.html", content) == str(report)
        assert report.read_bytes() == content
    assert list(tmp_path.iterdir()) == [report]
    monkeypatch.setattr("firstday.tables.delta.LOCAL", "none")  # as on any other file system of Hadoop
    assert store.write_file("report.html", b"three \x00\xff") == str(report)
    assert report.read_bytes() == b"three \x00\xff"
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".crc"] == ["report.html"]


def test_an_output_of_an_earlier_version_is_read_and_gets_the_answers(spark: SparkSession, out: str) -> None:
    store = Store(spark, out)
    earlier = StructType([item for item in RUNS if item.name != "answer"])
    store.create("runs", earlier)
    kept = dict.fromkeys(("inputs", "settings"), "{}") | {"row_counts": '{"numbers": 0}', "job": "discover"}
    row = kept | {"sequence": 1, "status": "published", "started_at": NOW, "published_at": NOW}
    before = spark.createDataFrame([[row.get(name) for name in earlier.names]], earlier)
    store.append("runs", before, "old", earlier)
    assert published_answer(spark, out, "discover") is None
    answer = {"verdict": "none", "headline": 'of "x"', "facts": [{"value": 1.5}], "warnings": []}
    for run_id in ("first", "second"):
        output = opened(spark, out, run_id)
        output.begin()
        write_all(spark, output, 7)
        output.publish(inputs=(), settings={}, answer=answer)
    assert published_answer(spark, out, "discover") == answer
    found = independent.rows(folder(store), "runs").set_index(RUN_ID)
    assert found["sequence"].to_dict() == {"old": 1, "first": 2, "second": 3}
    assert found["answer"].isna().to_dict() == {"old": True, "first": False, "second": False}
