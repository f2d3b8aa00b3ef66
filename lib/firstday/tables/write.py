"""Write a run's results so that they become visible at once, or not at all.

Delta has no transaction over several tables. So every row carries its run_id, and one row in `runs`, written
last, publishes a run:

1. begin: check the existing tables, note the job's latest published run (its sequence number, S);
2. write: append rows under the own run_id; nobody who reads published rows sees them;
3. publish: list the other runs' rows, add the row S + 1 to `runs` (Delta takes that number once: of the runs
   that began after S only one is published), then delete the rows that were listed.

A reader that asks `runs` sees one run's rows, always. After a publish each table holds that run's rows only,
so a reader that does not ask sees the same. What a killed run leaves is listed and deleted by the next run
that publishes. Rows are listed before publishing, so that they belong to earlier runs, to killed ones or to
such as will be refused, never to a run that begins after this one. Quarantine keeps published runs' rows.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from firstday.errors import ConflictError, DataError, OutputError
from firstday.tables.check import Checked, refuse_beyond
from firstday.tables.delta import ATTEMPTS, QUARANTINE_TABLE, RUNS_TABLE, Run, Store
from firstday.tables.faults import data_errors
from firstday.tables.read import Input
from firstday.tables.schemas import QUARANTINE, RUNS

SHARED = {QUARANTINE_TABLE: QUARANTINE, RUNS_TABLE: RUNS}
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
        self._written: set[str] = set()
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

    def begin(self) -> None:
        """Raise OutputError where an existing table has other columns; nothing has been written then."""
        self.store.require()
        for name, schema in {**self.schemas, **SHARED}.items():
            if self.store.exists(name):
                self._require_same(name, schema)
        for name, schema in SHARED.items():
            self.store.create(name, schema)
        self.base = self.store.latest_run(job=self.job)

    def previous(self, name: str) -> DataFrame | None:
        """The rows of the run that was the published one when this began, if any; they stay as they are."""
        if self.base is None or name not in self.base.row_counts:
            return None
        return self.store.read(name, self.base.run_id)

    def write(self, name: str, frame: DataFrame) -> None:
        """Append the rows of one of the job's tables. Readers of published rows do not see them yet."""
        if _types(frame.schema) != _types(self.schemas[name]):
            raise ValueError(f"{name} has {_types(frame.schema)}, not {_types(self.schemas[name])}")
        self.store.create(name, self.schemas[name])
        self._append(name, frame)

    def written(self, name: str) -> DataFrame:
        """The rows that this run has written so far, without run_id."""
        return self.store.read(name, self.run_id)

    def quarantine(self, *inputs: Checked, max_bad_share: float) -> None:
        """Keep the inputs' bad rows. Raises DataError when they are more than `max_bad_share` of one."""
        for checked in inputs:
            profile = checked.profile
            if profile.bad_rows:
                beyond = profile.bad_share > max_bad_share
                rows = checked.bad.limit(BEYOND_SAMPLE) if beyond else checked.bad
                added = {"job": F.lit(self.job), "seen_at": F.lit(self.started_at)}
                self._append(QUARANTINE_TABLE, rows.withColumns(added))
        for checked in inputs:
            refuse_beyond(checked, max_bad_share)

    def publish(
        self,
        *,
        inputs: Iterable[Input],
        settings: Mapping[str, Any],
        horizon: datetime | None = None,
    ) -> Run:
        """Make this run's rows the published ones. Raises ConflictError when another run was quicker."""
        for name, schema in self.schemas.items():
            self.store.create(name, schema)  # a table without rows, too, is there to be read
        census = self.store.census(self.schemas)
        superseded = {name: set(rows) - {self.run_id} for name, rows in census.items()}
        superseded[QUARANTINE_TABLE] = self.store.unpublished(
            self.store.quarantined(self.job) - {self.run_id}
        )
        run = Run(
            run_id=self.run_id,
            job=self.job,
            sequence=self.base.sequence + 1 if self.base else 1,
            started_at=self.started_at,
            published_at=self.clock(),
            horizon=horizon,
            inputs={item.name: _provenance(item) for item in inputs},
            settings=settings,
            row_counts={name: census.get(name, {}).get(self.run_id, 0) for name in self.schemas},
        )
        self._perhaps_published = True
        if not self.store.publish(run):
            self._perhaps_published = False
            raise self._conflict()
        self.run = run
        for name, run_ids in superseded.items():
            if run_ids:
                self.store.remove(name, run_ids)
        return run

    def discard(self) -> None:
        """Remove this run's rows, but for quarantine, unless it is published.

        A commit of `publish` that was interrupted may still come through: the rows stay then. If it does not,
        the next run removes them.
        """
        if self._perhaps_published:
            return
        for name in sorted(self._written - {QUARANTINE_TABLE}):
            self.store.remove(name, [self.run_id])
        self._written.clear()

    def write_file(self, name: str, content: bytes) -> str | None:
        """Put a file, such as the report, beside the tables of a folder and return where it is.

        After `publish`; None when the output is a schema, or a later run has been published already.
        """
        if self.run is None:
            raise RuntimeError("a file beside the tables belongs to a published run: publish first")
        if not self.store.is_folder or self.store.latest_run(job=self.job) != self.run:
            return None
        return self.store.write_file(name, content)

    def location(self, name: str) -> str:
        return self.store.location(name)

    def _append(self, name: str, frame: DataFrame) -> None:
        self._written.add(name)
        with data_errors():
            self.store.append(name, frame, self.run_id)

    def _require_same(self, name: str, schema: StructType) -> None:
        existing, wanted = _types(self.store.schema(name)), _types(schema)
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
            next_step="name another --out (other segments or days need one), or delete the old results",
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


def read_published(spark: SparkSession, out: str, name: str) -> DataFrame:
    """The rows of table `name` from the latest published run, without run_id; they stay as they are.

    Raises DataError when nothing is published there.
    """
    return published_rows(Store(spark, out), name)


def published_rows(store: Store, name: str) -> DataFrame:
    """As `read_published`. A run that publishes meanwhile may delete the rows before they are pinned."""
    for _ in range(ATTEMPTS):
        run = store.latest_run(table=name)
        if run is None:
            raise DataError(
                f"there must be a published run with the table {name}",
                value=store.out,
                next_step="run the job that writes it, or check the address",
            )
        rows = store.read(name, run.run_id)
        if store.latest_run(table=name) == run:
            return rows
    raise ConflictError(
        "a read must not be overtaken again and again by runs that publish",
        value=store.location(name),
        next_step="read again",
    )


def _types(schema: StructType) -> dict[str, str]:
    return {item.name: item.dataType.simpleString() for item in schema}


def _provenance(item: Input) -> dict[str, str]:
    return {"source": item.source, "format": item.format, "version": item.version}
