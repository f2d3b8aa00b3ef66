"""The publishing protocol: killed at any instant, or two at once in any order, it leaves one run's rows.

Here it runs on tables in memory that do what Delta does, so that every order can be tried. test_write.py
tries some of the orders on Delta itself.
"""

import itertools
import threading
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest

from firstday.errors import ConflictError, DataError
from firstday.tables import Run
from firstday.tables.delta import Store
from firstday.tables.published import published_rows
from tests.tables.memory import NOW, SCHEMA, Killed, Memory, clean, output, quarantine, run_whole, write


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
def test_two_runs_at_once_in_any_order_publish_one_and_never_a_mixture(
    history: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a run does side by side is done in its own thread here, so that its operations can be given turns.
    monkeypatch.setattr("firstday.tables.write.side_by_side", lambda *calls: [call() for call in calls])
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


def test_the_run_before_is_superseded_also_where_its_attempt_is_not_on_the_list() -> None:
    memory = Memory(1)
    memory.tables["attempts"].clear()  # as in an output that was written before there was such a list
    run_whole(memory, "new")
    assert memory.naive() == clean("new")


def test_tables_without_rows_of_the_run_before_are_not_searched_unless_another_may_have_written() -> None:
    memory = Memory(1)  # it wrote no rows to c
    searched: list[str] = []
    remove = memory.remove

    def heard(name: str, run_ids: Collection[str]) -> None:
        if run_ids:
            searched.append(name)
        remove(name, run_ids)

    memory.remove = heard  # type: ignore[method-assign]
    run_whole(memory, "next")
    assert sorted(searched) == ["a", "attempts", "b"]
    killed = output(memory, "killed")
    killed.begin()
    write(killed, "c", "x")
    run_whole(memory, "after it")
    assert "c" in searched
    assert memory.naive() == clean("after it")


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
    assert cast(list, published_rows(store, "a")[1]) == clean("second")["a"]

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
