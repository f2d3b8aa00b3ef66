"""The publishing protocol: killed at any instant, or two runs at once in any order, it leaves one run's rows.

Here it runs on tables in memory that do what Delta does, so that every order can be tried; test_write.py tries
some of the orders on Delta itself.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pyspark.sql import DataFrame
from pyspark.sql.types import LongType, StructType

from firstday.errors import ConflictError
from firstday.tables import Output, Run
from firstday.tables.delta import Store
from firstday.tables.schemas import table_schema

NOW = datetime(2024, 6, 1, tzinfo=UTC)
SCHEMAS = {name: table_schema([("x", LongType())]) for name in ("a", "b", "c")}


class Killed(BaseException):
    """A process that is killed runs no handler: the tests do not let this reach `with`."""


class Memory:
    """What `Store` does, in memory. `step` is called before and after each change: it may end the process."""

    is_folder = True

    def __init__(self) -> None:
        self.tables: dict[str, list[tuple[str, Any]]] = {}
        self.runs: list[Run] = []
        self.taken: dict[str, int] = defaultdict(int)
        self.step: Callable[[], None] = lambda: None

    def require(self) -> None:
        pass

    def exists(self, name: str) -> bool:
        return name in self.tables

    def schema(self, name: str) -> StructType:
        return SCHEMAS.get(name) or StructType([])

    def location(self, name: str) -> str:
        return name

    def create(self, name: str, schema: StructType) -> None:
        self.change(lambda: self.tables.setdefault(name, []))

    def append(self, name: str, frame: Iterable[Any], run_id: str) -> None:
        self.change(lambda: self.tables[name].extend((run_id, row) for row in frame))

    def census(self, names: Iterable[str]) -> dict[str, dict[str, int]]:
        census: dict[str, dict[str, int]] = {name: defaultdict(int) for name in names if name in self.tables}
        for name, counts in census.items():
            for run_id, _ in self.tables[name]:
                counts[run_id] += 1
        return census

    def remove(self, name: str, run_ids: Collection[str]) -> None:
        kept = [row for row in self.tables[name] if row[0] not in run_ids]
        self.change(lambda: self.tables.__setitem__(name, kept))

    def latest_run(self, *, job: str | None = None, table: str | None = None) -> Run | None:
        runs = [run for run in self.runs if run.job == job or (table and table in run.row_counts)]
        return max(runs, key=lambda run: run.sequence, default=None)

    def unpublished(self, run_ids: Collection[str]) -> set[str]:
        return set(run_ids) - {run.run_id for run in self.runs}

    def quarantined(self, job: str) -> set[str]:
        return {run_id for run_id, row in self.tables["quarantine"] if row[0] == job}

    def publish(self, run: Run) -> bool:
        def add() -> None:
            if self.taken[run.job] < run.sequence:  # as Delta takes a (txnAppId, txnVersion)
                self.taken[run.job] = run.sequence
                self.runs.append(run)

        self.change(add)
        return run in self.runs

    def change(self, change: Callable[[], Any]) -> None:
        self.step()
        change()
        self.step()

    def naive(self) -> dict[str, list[Any]]:
        """The rows that a reader sees who does not ask for the published run."""
        return {name: sorted(row for _, row in self.tables.get(name, [])) for name in SCHEMAS}

    def published(self) -> dict[str, list[Any]]:
        run = self.latest_run(job="discover")
        return {
            name: sorted(row for run_id, row in self.tables.get(name, []) if run and run_id == run.run_id)
            for name in SCHEMAS
        }


def output(memory: Memory, run_id: str, job: str = "discover") -> Output:
    return Output(cast(Store, memory), job=job, run_id=run_id, schemas=SCHEMAS, clock=lambda: NOW)


def frame(*rows: Any) -> DataFrame:
    return cast(DataFrame, rows)


def steps(out: Output, label: str) -> Generator[None, None, None]:
    """One run that writes rows told by `label`, in steps between which another run may go on."""
    out.begin()
    yield
    for name in ("a", "b"):
        out.store.create(name, SCHEMAS[name])
        out._append(name, frame(f"{name} of {label}", f"{name} of {label} too"))
        yield
    out._append("quarantine", frame((out.job, f"bad in {label}")))
    yield
    out.publish(inputs=(), settings={})


def run_whole(memory: Memory, run_id: str, label: str) -> None:
    for _ in steps(output(memory, run_id), label):
        pass


def clean(label: str) -> dict[str, list[str]]:
    return {name: [f"{name} of {label}", f"{name} of {label} too"] for name in ("a", "b")} | {"c": []}


def killed_after(memory: Memory, changes: int, run_id: str, label: str) -> bool:
    """Run, and be killed at the given half step; whether that came before the end."""
    counter = itertools.count(1)

    def step() -> None:
        if next(counter) > changes:
            raise Killed

    memory.step = step
    try:
        run_whole(memory, run_id, label)
    except Killed:
        return True
    finally:
        memory.step = lambda: None
    return False


@pytest.mark.parametrize("history", [0, 1, 2])
def test_killed_at_any_instant_and_run_again_it_leaves_what_a_clean_run_leaves(history: int) -> None:
    for instant in itertools.count():
        memory = Memory()
        for number in range(history):
            run_whole(memory, f"old {number}", f"old {number}")
        before = memory.published()
        killed = killed_after(memory, instant, "killed", "new")
        between = memory.published()
        assert between in (before, clean("new"))
        run_whole(memory, "again", "new")
        assert memory.naive() == memory.published() == clean("new")
        bad = sorted(row[1] for _, row in memory.tables["quarantine"])
        published_first = ["bad in new"] if between == clean("new") else []
        assert bad == ["bad in new", *published_first, *(f"bad in old {number}" for number in range(history))]
        if not killed:
            break
    assert instant > 20  # else the changes are not where the kills were


@pytest.mark.parametrize("history", [0, 1])
def test_two_runs_at_once_in_any_order_publish_one_and_never_a_mixture(history: int) -> None:
    length = 5  # steps of a run
    for first in itertools.combinations(range(2 * length), length):
        memory = Memory()
        for number in range(history):
            run_whole(memory, f"old {number}", f"old {number}")
        outs = {label: output(memory, label) for label in "xy"}
        runs = {label: steps(outs[label], label) for label in "xy"}
        refused = set()
        allowed = [memory.published(), clean("x"), clean("y")]
        for position in range(2 * length):
            label = "x" if position in first else "y"
            try:
                next(runs[label], None)
            except ConflictError:
                outs[label].discard()
                refused.add(label)
            assert memory.published() in allowed
        overlapped = not (first == tuple(range(length)) or first == tuple(range(length, 2 * length)))
        assert len(refused) == overlapped
        winner = ({"x", "y"} - refused).pop() if refused else ("y" if first[0] == 0 else "x")
        assert memory.naive() == memory.published() == clean(winner), first


def test_an_error_removes_the_rows_of_the_run_but_for_quarantine() -> None:
    memory = Memory()
    with pytest.raises(ZeroDivisionError), output(memory, "failing") as out:
        out.store.create("a", SCHEMAS["a"])
        out._append("a", frame("x"))
        out._append("quarantine", frame(("discover", "bad")))
        raise ZeroDivisionError
    assert memory.tables == {"quarantine": [("failing", ("discover", "bad"))], "runs": [], "a": []}
    with output(memory, "forgetful") as out:
        out._append("a", frame("x"))
    assert memory.naive()["a"] == []


def test_rows_stay_when_it_is_not_known_whether_they_were_published() -> None:
    """The commit of an interrupted publish may come through when the rows are being removed."""
    memory = Memory()
    out = output(memory, "interrupted")
    with pytest.raises(KeyboardInterrupt), out:
        out.store.create("a", SCHEMAS["a"])
        out._append("a", frame("x"))
        late: list[Run] = []

        def interrupted(run: Run) -> bool:
            late.append(run)
            raise KeyboardInterrupt

        memory.publish = interrupted  # type: ignore[method-assign]
        out.publish(inputs=(), settings={})
    memory.runs += late
    assert memory.published()["a"] == ["x"]


def test_a_failing_clean_up_does_not_hide_the_error() -> None:
    memory = Memory()

    def unreachable(name: str, run_ids: Collection[str]) -> None:
        raise ConnectionError("storage is away")

    memory.remove = unreachable  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError) as raised, output(memory, "failing") as out:
        out.store.create("a", SCHEMAS["a"])
        out._append("a", frame("x"))
        raise ZeroDivisionError
    assert "the next run does it" in raised.value.__notes__[0]


def test_jobs_that_share_an_output_do_not_disturb_one_another() -> None:
    memory = Memory()
    other = output(memory, "other", job="label")
    other.begin()
    other._append("quarantine", frame(("label", "bad")))
    run_whole(memory, "mine", "mine")
    assert ("other", ("label", "bad")) in memory.tables["quarantine"]
    schemas: Mapping[str, StructType] = {}
    other.schemas = dict(schemas)
    assert other.publish(inputs=(), settings={}).sequence == 1


def test_a_conflict_names_the_run_that_was_quicker_or_the_rows_that_are_gone() -> None:
    memory = Memory()
    slow = output(memory, "slow")
    slow.begin()
    run_whole(memory, "quick", "quick")
    with pytest.raises(
        ConflictError, match="run quick, published at 2024-06-01 00:00:00 UTC.*Next: Use its results"
    ):
        slow.publish(inputs=(), settings={})
    memory.runs.clear()  # someone deletes rows of `runs`: Delta still remembers their transactions
    later = output(memory, "later")
    later.begin()
    with pytest.raises(ConflictError, match="must keep all its rows.*name another --out"):
        later.publish(inputs=(), settings={})
