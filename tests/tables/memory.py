"""The store of an output in memory: it does what Delta does, so that every order of things can be tried."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any, cast

from pyspark.sql import DataFrame
from pyspark.sql.types import LongType, StructType

from firstday.tables import Output, Run
from firstday.tables.delta import Store
from firstday.tables.schemas import ATTEMPT, table_schema

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

    def is_ours(self, name: str) -> bool:
        return name in self.tables

    def writers(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for run in self.runs:
            for name in run.row_counts:
                found[name].add(run.job)
        return found

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
        self.tables.setdefault("attempts", []).append((run_id, (job, started_at)))
        self.schemas.setdefault("attempts", ATTEMPT)

    def attempts(self, job: str, *, but: str) -> dict[str, datetime]:
        self.at("attempts")
        return {
            run_id: began
            for run_id, (other, began) in self.tables["attempts"]
            if other == job and run_id != but
        }

    def remove(self, name: str, run_ids: Collection[str]) -> None:
        self.at("remove")
        if name in self.tables:
            self.tables[name] = [row for row in self.tables[name] if row[0] not in run_ids]

    def latest_run(self, *, job: str | None = None, table: str | None = None) -> Run | None:
        self.at("latest_run")
        runs = [run for run in self.runs if run.job == job or table in run.row_counts]
        return max(runs, key=lambda run: run.sequence, default=None)

    def is_latest(self, run: Run) -> bool:
        return self.latest_run(job=run.job) == run

    def read(self, name: str, run_id: str) -> DataFrame:
        self.at("read")
        return cast(DataFrame, [row for other, row in self.tables[name] if other == run_id])

    def holds_files(self) -> bool:
        return True

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
