"""The publishing protocol: killed at any instant, or two at once in any order, it leaves one run's rows.

Here it runs on tables in memory that do what Delta does, so that every order can be tried. test_write.py
tries some of the orders on Delta itself.
"""

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import pytest
from pyspark.sql import DataFrame
from pyspark.sql.types import LongType, StructType

from firstday.errors import ConflictError, DataError
from firstday.tables import Output, Run
from firstday.tables.delta import Store
from firstday.tables.schemas import table_schema
from firstday.tables.write import published_rows

NOW = datetime(2024, 6, 1, tzinfo=UTC)
SCHEMA = table_schema([("x", LongType())])
SCHEMAS = dict.fromkeys(("a", "b", "c"), SCHEMA)


class Killed(BaseException):
    """Stands for a process that is killed: no `with` is left by it."""


class Rows(list):
    """Rows that stand for a DataFrame."""

    schema = SCHEMA


class Memory:
    """What `Store` does, in memory. `at` is called before each operation: it may end or suspend the run."""

    out = "memory"
    is_folder = True

    def __init__(self, runs_before: int = 0) -> None:
        self.files: dict[str, bytes] = {}
        self.tables: dict[str, list[tuple[str, Any]]] = {}
        self.schemas: dict[str, StructType] = {}
        self.runs: list[Run] = []
        self.taken: dict[str, int] = defaultdict(int)
        self.at: Callable[[str], None] = lambda operation: None
        for number in range(runs_before):
            run_whole(self, f"old {number}")

    def require(self) -> None:
        pass

    def exists(self, name: str) -> bool:
        return name in self.tables

    def schema(self, name: str) -> StructType:
        return self.schemas[name]

    def location(self, name: str) -> str:
        return name

    def create(self, name: str, schema: StructType) -> None:
        self.at("create")
        self.tables.setdefault(name, [])
        self.schemas.setdefault(name, schema)

    def append(self, name: str, frame: Iterable[Any], run_id: str, schema: StructType) -> int:
        self.at("append")
        rows = [(run_id, row) for row in frame]
        self.tables.setdefault(name, []).extend(rows)
        self.schemas.setdefault(name, schema)
        return len(rows)

    def attempt(self, job: str, run_id: str, started_at: datetime) -> None:
        self.at("attempt")
        self.tables["attempts"].append((run_id, (job, started_at)))

    def attempts(self, job: str) -> dict[str, datetime]:
        self.at("attempts")
        return {run_id: began for run_id, (other, began) in self.tables["attempts"] if other == job}

    def remove(self, name: str, run_ids: Collection[str]) -> None:
        self.at("remove")
        if name in self.tables:
            self.tables[name] = [row for row in self.tables[name] if row[0] not in run_ids]

    def latest_run(self, *, job: str | None = None, table: str | None = None) -> Run | None:
        self.at("latest_run")
        runs = [run for run in self.runs if run.job == job or table in run.row_counts]
        return max(runs, key=lambda run: run.sequence, default=None)

    def read(self, name: str, run_id: str) -> DataFrame:
        self.at("read")
        return cast(DataFrame, [row for other, row in self.tables[name] if other == run_id])

    def write_file(self, name: str, content: bytes) -> str:
        self.files[name] = content
        return name

    def unpublished(self, run_ids: Collection[str]) -> set[str]:
        return set(run_ids) - {run.run_id for run in self.runs}

    def publish(self, run: Run) -> bool:
        self.at("publish")
        if self.taken[run.job] < run.sequence:  # as Delta takes a (txnAppId, txnVersion)
            self.taken[run.job] = run.sequence
            self.runs.append(run)
        return run in self.runs

    def naive(self) -> dict[str, list[Any]]:
        """The rows that a reader sees who does not ask for the published run."""
        return {name: sorted(row for _, row in self.tables.get(name, [])) for name in SCHEMAS}

    def published(self) -> dict[str, list[Any]]:
        run = max(self.runs, key=lambda run: run.sequence, default=None)
        return {
            name: sorted(row for run_id, row in self.tables.get(name, []) if run and run_id == run.run_id)
            for name in SCHEMAS
        }


def output(memory: Memory, run_id: str, job: str = "discover") -> Output:
    return Output(cast(Store, memory), job=job, run_id=run_id, schemas=SCHEMAS, clock=lambda: NOW)


def write(out: Output, name: str, *rows: Any) -> None:
    out.write(name, cast(DataFrame, Rows(rows)))


def quarantine(out: Output, row: str) -> None:
    out._append("quarantine", cast(DataFrame, Rows([(out.job, row)])), SCHEMA)


def run_whole(memory: Memory, run_id: str, label: str | None = None) -> None:
    """A run whose rows tell its label. It writes no rows to c."""
    label = label or run_id
    out = output(memory, run_id)
    out.begin()
    quarantine(out, f"bad in {label}")
    for name in ("a", "b"):
        write(out, name, f"{name} of {label}", f"{name} of {label} too")
    out.publish(inputs=(), settings={})


def clean(label: str) -> dict[str, list[str]]:
    return {name: [f"{name} of {label}", f"{name} of {label} too"] for name in ("a", "b")} | {"c": []}


@pytest.mark.parametrize("history", [0, 1, 2])
def test_killed_at_any_instant_and_run_again_it_leaves_what_a_clean_run_leaves(history: int) -> None:
    for instant in itertools.count():
        memory = Memory(history)
        before = memory.published()
        left = itertools.count(instant, -1)

        def kill(operation: str, left: itertools.count = left) -> None:
            if next(left) == 0:
                raise Killed(operation)

        memory.at = kill
        try:
            run_whole(memory, "killed", "new")
            break
        except Killed:
            memory.at = lambda operation: None
        between = memory.published()
        assert between in (before, clean("new"))
        run_whole(memory, "again", "new")
        assert memory.naive() == memory.published() == clean("new")
        bad = [row[1] for _, row in memory.tables["quarantine"]]
        runs = [f"old {number}" for number in range(history)] + ["new"] * (1 + (between == clean("new")))
        assert bad == [f"bad in {run}" for run in runs]
    assert instant >= 10  # as many operations a run has


class Turns:
    """Lets two threads take their operations in a given order."""

    def __init__(self, order: list[str], check: Callable[[], None]) -> None:
        self.order = order
        self.check = check
        self.holder: str | None = None
        self.changed = threading.Condition()

    def take(self, label: str) -> None:
        """End this thread's operation and wait until its next one is due."""
        with self.changed:
            self._release(label)
            due = self.changed.wait_for(lambda: self.holder is None and label == self.order[0], timeout=10)
            assert due, "the threads wait for each other"
            self.holder = label

    def end(self, label: str) -> None:
        with self.changed:
            self._release(label)
            self.order = [other for other in self.order if other != label]
            self.changed.notify_all()

    def _release(self, label: str) -> None:
        if self.holder == label:
            self.check()
            self.holder = None
            self.order.pop(0)
            self.changed.notify_all()


# The operations at which it matters who comes first; what else a run does goes with the one before.
OPERATIONS = ("latest_run", "attempt", "append", "attempts", "publish", "remove")
TURNS = 7  # of one run


@pytest.mark.parametrize("history", [0, 1])
def test_two_runs_at_once_in_any_order_publish_one_and_never_a_mixture(history: int) -> None:
    for places in itertools.combinations(range(2 * TURNS), TURNS):
        if places[0] != 0:
            continue  # x begins; that y does is the same with the names exchanged
        memory = Memory(history)
        allowed = [memory.published(), clean("x"), clean("y")]
        order = ["x" if place in places else "y" for place in range(2 * TURNS)]
        turns = Turns(order + ["x", "y"] * 20, partial(check_published, memory, allowed))
        refused = run_both(memory, turns)
        y_began_after = memory.runs[-1].sequence == history + 2
        assert len(refused) == (not y_began_after), order
        assert memory.naive() == memory.published() == clean(memory.runs[-1].run_id), order


def check_published(memory: Memory, allowed: list[dict[str, list[Any]]]) -> None:
    assert memory.published() in allowed


def run_both(memory: Memory, turns: Turns) -> list[str]:
    """The labels of the runs that were refused."""
    refused: list[str] = []
    failures: list[BaseException] = []

    def at(operation: str) -> None:
        if operation in OPERATIONS:
            turns.take(threading.current_thread().name)

    def work() -> None:
        label = threading.current_thread().name
        try:
            with output(memory, label) as out:
                for name in ("a", "b"):
                    write(out, name, f"{name} of {label}", f"{name} of {label} too")
                out.publish(inputs=(), settings={})
        except ConflictError:
            refused.append(label)
        except BaseException as error:  # noqa: BLE001 - it is raised in the test's own thread
            failures.append(error)
        finally:
            turns.end(label)

    memory.at = at
    threads = [threading.Thread(target=work, name=label) for label in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return refused


def test_an_error_removes_the_rows_of_the_run_but_for_quarantine() -> None:
    memory = Memory()

    def fail() -> None:
        with output(memory, "failing") as out:
            write(out, "a", "x")
            quarantine(out, "bad")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    rows = {name: rows for name, rows in memory.tables.items() if rows}
    assert rows == {
        "quarantine": [("failing", ("discover", "bad"))],
        "attempts": [("failing", ("discover", NOW))],  # the next run that is published settles it
    }
    with output(memory, "forgets to publish") as out:
        write(out, "a", "x")
    assert memory.tables["a"] == []


def test_a_run_that_writes_on_after_another_was_published_and_is_killed_leaves_nothing() -> None:
    memory = Memory()
    slow = output(memory, "slow")
    slow.begin()
    write(slow, "a", "early")
    run_whole(memory, "quick")
    write(slow, "a", "late")  # and then it is killed
    run_whole(memory, "next")
    assert memory.naive() == clean("next")
    assert [run_id for run_id, _ in memory.tables["attempts"]] == ["slow", "next"]
    later = output(memory, "later")
    later.clock = lambda: NOW + timedelta(days=8)
    later.started_at = later.clock()
    later.begin()
    later.publish(inputs=(), settings={})
    assert [run_id for run_id, _ in memory.tables["attempts"]] == ["later"]


def test_rows_stay_when_it_is_not_known_whether_they_were_published() -> None:
    """The commit of an interrupted publish may come through when the rows are being removed."""
    memory = Memory()
    late: list[Run] = []

    def interrupted(run: Run) -> bool:
        late.append(run)
        raise KeyboardInterrupt

    def run() -> None:
        with output(memory, "interrupted") as out:
            write(out, "a", "x")
            out.publish(inputs=(), settings={})

    memory.publish = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run()
    memory.runs += late
    assert memory.published()["a"] == ["x"]


def test_a_failing_clean_up_does_not_hide_the_error() -> None:
    memory = Memory()

    def at(operation: str) -> None:
        if operation == "remove":
            raise ConnectionError("the storage is away")

    def fail() -> None:
        with output(memory, "failing") as out:
            write(out, "a", "x")
            raise ZeroDivisionError

    memory.at = at
    with pytest.raises(ZeroDivisionError) as raised:
        fail()
    assert "the next run does it. the storage is away" in raised.value.__notes__[0]


def test_jobs_that_share_an_output_do_not_disturb_one_another() -> None:
    memory = Memory()
    other = output(memory, "other", job="label")
    other.schemas = {"d": SCHEMA}
    other.begin()
    quarantine(other, "bad")
    run_whole(memory, "mine")
    assert ("other", ("label", "bad")) in memory.tables["quarantine"]
    assert other.publish(inputs=(), settings={}).sequence == 1
    assert memory.latest_run(job="discover") != memory.latest_run(job="label")


def test_a_conflict_names_the_run_that_was_quicker_or_the_rows_that_are_gone() -> None:
    memory = Memory()
    slow = output(memory, "slow")
    slow.begin()
    run_whole(memory, "quick")
    message = r"run quick, published at 2024-06-01 00:00:00 UTC.*Next: Use its results"
    with pytest.raises(ConflictError, match=message):
        slow.publish(inputs=(), settings={})
    memory.runs.clear()  # somebody deletes rows of `runs`: Delta still remembers their transactions
    later = output(memory, "later")
    later.begin()
    with pytest.raises(ConflictError, match=r"must keep all its rows.*another --out"):
        later.publish(inputs=(), settings={})


def test_a_read_that_is_overtaken_takes_the_newer_run() -> None:
    memory = Memory()
    store = cast(Store, memory)
    with pytest.raises(DataError, match="published run with the table a"):
        published_rows(store, "a")
    run_whole(memory, "first")
    overtaking = iter(["second"])

    def overtake(operation: str) -> None:
        if operation == "read":
            for run_id in overtaking:
                run_whole(memory, run_id)

    memory.at = overtake
    assert cast(list, published_rows(store, "a")) == clean("second")["a"]

    def always(operation: str) -> None:
        if operation == "read":
            memory.at = lambda operation: None
            run_whole(memory, f"run {len(memory.runs)}")
            memory.at = always

    memory.at = always
    with pytest.raises(ConflictError, match="overtaken again and again"):
        published_rows(store, "a")


def test_files_are_written_once_the_run_is_published_and_while_it_is_the_latest() -> None:
    memory = Memory()
    early, late = output(memory, "early"), output(memory, "late")
    early.begin()
    with pytest.raises(RuntimeError, match="publish first"):
        early.write_file("report.html", b"early")
    early.publish(inputs=(), settings={})
    assert early.write_file("report.html", b"in time") == "report.html"
    late.begin()
    late.publish(inputs=(), settings={})
    assert early.write_file("report.html", b"outdated") is None
    assert memory.files == {"report.html": b"in time"}
    memory.is_folder = False
    assert late.write_file("report.html", b"nowhere to put it") is None
