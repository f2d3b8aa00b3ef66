"""Write a run's results so that they become visible at once, or not at all.

Delta has no transaction over several tables. So every row carries its run_id, and one row in `runs`, written
last, publishes a run:

1. begin: check the existing tables, note the job's latest published run (its sequence number, S), then add
   the own run_id to `attempts`, the list of runs that may have rows;
2. write: append rows under the own run_id; nobody who reads published rows sees them;
3. publish: read the other runs in `attempts`, add the row S + 1 to `runs` (Delta takes that number once: of
   the runs that began after S only one is published), then delete the others' rows and their attempts.

A reader that asks `runs` sees one run's rows, always. After a publish each table holds that run's rows only,
so a reader that does not ask sees the same. What a killed run leaves is deleted by the next run that
publishes; its attempt stays for LONGEST_RUN, as it may be at work still. Attempts are read before publishing,
and made after S was noted, so they are of earlier runs, of killed ones or of such as will be refused, never
of a run that begins after this one. Quarantine keeps published runs' rows. (To look for the others' rows in
the tables themselves would take longer than to write.)
"""

from collections.abc import Callable, Iterable, Mapping, Set
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from firstday import logs
from firstday.errors import ConflictError, OutputError
from firstday.parallel import side_by_side
from firstday.spark.failures import FAILURES
from firstday.tables.check import Checked, refuse_beyond
from firstday.tables.delta import ATTEMPTS_TABLE, QUARANTINE_TABLE, RUNS_TABLE, Run, Store
from firstday.tables.faults import data_errors
from firstday.tables.read import Input
from firstday.tables.schemas import ATTEMPT, QUARANTINE, RUNS

SHARED = {QUARANTINE_TABLE: QUARANTINE, RUNS_TABLE: RUNS, ATTEMPTS_TABLE: ATTEMPT}
LONGEST_RUN = timedelta(days=7)  # after which a run that was never published is no longer at work
LATER_COLUMNS = {RUNS_TABLE: {"answer"}}  # that an output of an earlier version lacks until a run publishes
BEYOND_SAMPLE = 1_000  # rows of an input kept for the user to look at, when too many are bad to go on


def utc_now() -> datetime:
    """The clock of a run, unless a test brings its own."""
    return datetime.now(UTC)


def open_output(
    spark: SparkSession,
    out: str,
    *,
    job: str,
    run_id: str,
    schemas: Mapping[str, StructType],
    clock: Callable[[], datetime] = utc_now,
) -> "Output":
    """The output of one run of `job` at `out`, a folder or catalog.schema; see `Output`."""
    return Output(Store(spark, out), job=job, run_id=run_id, schemas=schemas, clock=clock)


class Output:
    """The results of one run of a job. Use it in a `with`: leaving it unpublished removes the run's rows.

    `schemas` are all tables of the job, by name and without run_id, whether this run writes them or not.
    """

    def __init__(
        self,
        store: Store,
        *,
        job: str,
        run_id: str,
        schemas: Mapping[str, StructType],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.job = job
        self.run_id = run_id
        self.schemas = dict(schemas)
        self.clock = clock
        self.started_at = clock()
        self.base: Run | None = None  # the job's latest published run when this one began
        self.run: Run | None = None  # this run, once it is published
        self._rows: dict[str, int] = {}  # written so far, by table
        self._perhaps_published = False

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.discard()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"Rows of run {self.run_id} could not be removed; the next run does it. {failure}")
        if isinstance(error, FAILURES):
            # Spark is lazy: a damaged file of an input may come to light in any step of the job.
            with data_errors():
                raise error

    def begin(self) -> None:
        """Raise OutputError where an existing table is another job's, not of firstday, or has other columns;
        nothing has been written then.
        """
        with logs.step("Opening the output"):
            self._begin()

    def _begin(self) -> None:
        self.store.require()
        schemas = {**self.schemas, **SHARED}
        existing = [name for name in schemas if self.store.exists(name)]
        self.base = self.store.latest_run(job=self.job) if RUNS_TABLE in existing else None
        self._require_own([name for name in existing if name not in SHARED])
        for name in existing:
            self._require_same(name, schemas[name])
        # Attempts are made by the first one, as the job's tables are by their first rows.
        self._create({QUARANTINE_TABLE: QUARANTINE, RUNS_TABLE: RUNS})
        self.store.attempt(self.job, self.run_id, self.started_at)

    def previous(self, name: str) -> DataFrame | None:
        """The rows of the run that was the published one when this began, if any; they stay as they are."""
        if self.base is None or name not in self.base.row_counts:
            return None
        return self.store.read(name, self.base.run_id)

    def write(self, name: str, frame: DataFrame) -> None:
        """Append the rows of one of the job's tables. Readers of published rows do not see them yet."""
        if _types(frame.schema) != _types(self.schemas[name]):
            raise ValueError(f"{name} has {_types(frame.schema)}, not {_types(self.schemas[name])}")
        self._append(name, frame, self.schemas[name])

    def write_all(self, frames: Mapping[str, DataFrame]) -> None:
        """The same for several tables side by side: of a small one's commit most is waiting."""
        side_by_side(*(partial(self.write, name, frame) for name, frame in frames.items()))

    def quarantine(self, *inputs: Checked, max_bad_share: float) -> None:
        """Keep the inputs' bad rows. Raises DataError when they are more than `max_bad_share` of one."""
        for checked in inputs:
            profile = checked.profile
            if profile.bad_rows:
                beyond = profile.bad_share > max_bad_share
                rows = checked.bad.limit(BEYOND_SAMPLE) if beyond else checked.bad
                added = {"job": F.lit(self.job), "seen_at": F.lit(self.started_at)}
                self._append(QUARANTINE_TABLE, rows.withColumns(added), QUARANTINE)
        for checked in inputs:
            refuse_beyond(checked, max_bad_share)

    def publish(
        self,
        *,
        inputs: Iterable[Input],
        settings: Mapping[str, Any],
        horizon: datetime | None = None,
        answer: Mapping[str, Any] | None = None,
    ) -> Run:
        """Make this run's rows the published ones. Raises ConflictError when another run was quicker."""
        with logs.step("Publishing"):
            return self._publish(inputs, settings, horizon, answer or {})

    def _publish(
        self,
        inputs: Iterable[Input],
        settings: Mapping[str, Any],
        horizon: datetime | None,
        answer: Mapping[str, Any],
    ) -> Run:
        # A table without rows, too, is there to be read.
        self._create({name: schema for name, schema in self.schemas.items() if name not in self._rows})
        began = self.store.attempts(self.job, but=self.run_id)
        base = {self.base.run_id} if self.base else set()
        others = began.keys() | base
        unpublished = self.store.unpublished(others - base)
        run = Run(
            run_id=self.run_id,
            job=self.job,
            sequence=self.base.sequence + 1 if self.base else 1,
            started_at=self.started_at,
            published_at=self.clock(),
            horizon=horizon,
            inputs={item.name: _provenance(item) for item in inputs},
            settings=settings,
            row_counts={name: self._rows.get(name, 0) for name in self.schemas},
            answer=answer,
        )
        self._perhaps_published = True
        if not self.store.publish(run):
            self._perhaps_published = False
            raise self._conflict()
        self.run = run
        self.store.remove(QUARANTINE_TABLE, unpublished)
        side_by_side(*(partial(self.store.remove, name, others) for name in self._perhaps_with_rows(others)))
        # One that is not published may be at work still, and write rows after these were deleted.
        over = {
            other
            for other in others
            if other not in unpublished or began[other] < self.started_at - LONGEST_RUN
        }
        self.store.remove(ATTEMPTS_TABLE, over)
        return run

    def discard(self) -> None:
        """Remove this run's rows, but for quarantine, unless it is published.

        A commit of `publish` that was interrupted may still come through: the rows stay then. If it does not,
        the next run removes them.
        """
        if self._perhaps_published:
            return
        for name in sorted(self._rows.keys() - {QUARANTINE_TABLE}):
            self.store.remove(name, [self.run_id])
        self._rows.clear()

    def write_file(self, name: str, content: bytes) -> str | None:
        """Put a file, such as the report, beside the tables of a folder and return where it is.

        After `publish`; None when the output is a schema, or a later run has been published already.
        """
        return self.store.write_file(name, content) if self._may_write_beside() else None

    def write_folder(self, name: str, frame: DataFrame, form: str) -> str | None:
        """Put the rows beside the tables as files, in the form parquet or jsonl; else as `write_file`."""
        return self.store.write_folder(name, frame, form) if self._may_write_beside() else None

    def location(self, name: str) -> str:
        return self.store.location(name)

    def _may_write_beside(self) -> bool:
        """Whether this run's files may lie beside the tables. RuntimeError before it is published."""
        if self.run is None:
            raise RuntimeError("a file beside the tables belongs to a published run: publish first")
        return self.store.is_folder and self.store.is_latest(self.run)

    def _perhaps_with_rows(self, others: Set[str]) -> list[str]:
        """The tables in which these runs may have rows, also such as this run does not write."""
        before = self.base.row_counts if self.base else {}
        if self.base and others == {self.base.run_id}:  # a published run says what it wrote
            return sorted(name for name, rows in before.items() if rows)
        return sorted(self.schemas.keys() | before.keys())

    def _create(self, schemas: Mapping[str, StructType]) -> None:
        """Tables without rows, side by side; not those that are there."""
        side_by_side(*(partial(self.store.create, name, schema) for name, schema in schemas.items()))

    def _append(self, name: str, frame: DataFrame, schema: StructType) -> None:
        self._rows.setdefault(name, 0)  # also where it fails half-way
        with data_errors():
            self._rows[name] += self.store.append(name, frame, self.run_id, schema)

    def _require_own(self, existing: Iterable[str]) -> None:
        """A job that has published here has been through this already: its tables are its own."""
        existing = sorted(existing)
        if self.base is not None or not existing:
            return
        writers = self.store.writers()
        for name in existing:
            others = sorted(writers.get(name, set()) - {self.job})
            if others:
                raise OutputError(
                    f"firstday {self.job} must not overwrite the table {name} of firstday {others[0]}",
                    value=self.store.location(name),
                    next_step="name another --out",
                )
            if not self.store.is_ours(name):
                raise OutputError(
                    f"firstday {self.job} must not write to a table {name} that no firstday job has made",
                    value=self.store.location(name),
                    next_step="name another --out, or move that table away",
                )

    def _require_same(self, name: str, schema: StructType) -> None:
        existing, wanted = _types(self.store.schema(name)), _types(schema)
        for later in LATER_COLUMNS.get(name, set()) - existing.keys():
            del wanted[later]
        if existing == wanted:
            return
        differences = [f"no {key!r}" for key in wanted if key not in existing]
        differences += [f"{key!r} in addition" for key in existing if key not in wanted]
        differences += [
            f"{key!r} as {existing[key]}, not {kind}"
            for key, kind in wanted.items()
            if existing.get(key, kind) != kind
        ]
        raise OutputError(
            f"the output must be new or have the columns that this run writes, but {name} has "
            + ", ".join(differences),
            value=self.store.location(name),
            next_step="name another --out (other segments or days need one); where only columns are missing "
            "that a newer version writes: firstday maintain --add-columns",
        )

    def _conflict(self) -> ConflictError:
        latest = self.store.latest_run(job=self.job)
        if latest is None or latest == self.base:
            return ConflictError(
                f"the table {RUNS_TABLE} must keep all its rows, but some have been deleted",
                value=self.store.location(RUNS_TABLE),
                next_step="name another --out",
            )
        return ConflictError(
            f"no other run of {self.job} may be published to this output while one is at work",
            value=f"run {latest.run_id}, published at {latest.published_at:%Y-%m-%d %H:%M:%S} UTC",
            next_step="use its results, or run again",
        )


def _types(schema: StructType) -> dict[str, str]:
    return {item.name: item.dataType.simpleString() for item in schema}


def _provenance(item: Input) -> dict[str, str]:
    return {"source": item.source, "format": item.format, "version": item.version}
