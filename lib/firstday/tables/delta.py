"""The tables of one output as Delta keeps them: folders under one root, or tables of one schema.

Here are single operations; in what order they make a run's rows the published ones is the matter of `write`.
"""

import json
import re
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from delta.tables import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from firstday.errors import OutputError, reason
from firstday.redact import redacted_values
from firstday.spark.failures import CONFLICTS, FAILURES, MADE_AT_ONCE, SAME_TRANSACTION, delta_class
from firstday.spark.hadoop import qualified
from firstday.spark.local_rows import local_rows
from firstday.tables.address import (
    delta_frame,
    delta_version,
    file_system,
    is_delta,
    is_path,
    newest_commit,
)
from firstday.tables.schemas import ATTEMPT, RUNS, column, quoted, sql_text
from firstday.windows import instant_at

RUN_ID = "run_id"
QUARANTINE_TABLE = "quarantine"
RUNS_TABLE = "runs"
ATTEMPTS_TABLE = "attempts"
TIMES = ("started_at", "published_at", "horizon")
AS_JSON = ("inputs", "settings", "row_counts", "answer")
ATTEMPTS = 5
PAUSE_S = 0.2
LOCAL = "file"
NAME = re.compile(r"\.?\w[\w-]*(\.[\w-]+)*")  # no folders, and nothing that SQL could take for more
NEEDS_MAPPING = frozenset(" ,;{}()\n\t=")  # column names with these can be kept under Delta's mapping only
Done = TypeVar("Done")


def retried(do: Callable[[], Done], after: Set[str] = CONFLICTS) -> Done:
    """What `do` gives, which is done again, ATTEMPTS times in all, after these of Delta's error classes."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return do()
        except FAILURES as error:
            if delta_class(error) not in after:
                raise
            time.sleep(PAUSE_S * attempt)
    return do()


@dataclass(frozen=True)
class Run:
    """A published run: one row of the table `runs`. `sequence` numbers the runs of a job from 1.

    answer: as `firstday.answer.Answer.as_dict` gives it; empty of a run that kept none.
    """

    run_id: str
    job: str
    sequence: int
    started_at: datetime
    published_at: datetime
    horizon: datetime | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    row_counts: Mapping[str, int] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)


class Store:
    """The tables at `out`, a folder or a schema. Each is partitioned by run_id, but for `runs`."""

    def __init__(self, spark: SparkSession, out: str) -> None:
        self.spark = spark
        self.out = out
        self.is_folder = is_path(out)

    def location(self, name: str) -> str:
        """Where a table or file of the output is; ValueError where it would not lie in it, but elsewhere."""
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a table or file of an output")
        return f"{self.out.rstrip('/')}/{name}" if self.is_folder else f"{self.out}.{name}"

    def in_sql(self, name: str) -> str:
        """The table as a statement names it: `delta.` before a path, which must be absolute there."""
        where = self.location(name)
        return f"delta.{quoted(qualified(self.spark, where))}" if self.is_folder else where

    def require(self) -> None:
        """Raise OutputError where no tables can be."""
        if not self.is_folder:
            if not self._schema_exists():
                raise OutputError(
                    "the output's schema must exist",
                    value=self.out,
                    next_step=f"CREATE SCHEMA {self.out}; for a folder of this name, write ./{self.out}",
                )
        elif is_delta(self.spark, self.out):
            raise OutputError(
                "the output must not lie inside a Delta table, whose clean-up would delete it",
                value=self.out,
                next_step="name another folder",
            )

    def exists(self, name: str) -> bool:
        if self.is_folder:
            return is_delta(self.spark, self.location(name))
        return self.spark.catalog.tableExists(self.location(name))

    def holds_runs(self) -> bool:
        """Whether jobs have written here."""
        if self.is_folder:  # Delta refuses to look for tables inside of one
            return not is_delta(self.spark, self.out) and self.exists(RUNS_TABLE)
        return self._schema_exists() and self.exists(RUNS_TABLE)

    def schema(self, name: str) -> StructType:
        """The columns of an existing table, without run_id."""
        fields = delta_frame(self.spark, self.location(name)).schema.fields
        return StructType([item for item in fields if item.name != RUN_ID])

    def is_ours(self, name: str) -> bool:
        """Whether an existing table has the column that every table of a run has."""
        return RUN_ID in delta_frame(self.spark, self.location(name)).schema.names

    def writers(self) -> dict[str, set[str]]:
        """By table, the jobs that have published rows of it here."""
        tables = F.explode(F.map_keys(F.from_json("row_counts", "map<string,bigint>"))).alias("name")
        found: dict[str, set[str]] = {}
        for row in self._runs().select("job", tables).distinct().collect():
            found.setdefault(row["name"], set()).add(row["job"])
        return found

    def create(self, name: str, schema: StructType) -> None:
        """Create the table unless it exists. Of two runs that do so at once, the second finds the first's."""
        for attempt in range(ATTEMPTS):
            if self.exists(name):
                return
            try:
                self._create(name, schema)
            except FAILURES as error:
                # The other may be half way: Delta then says many things, but not that the table is there.
                failure = error
                time.sleep(PAUSE_S * attempt)
        raise OutputError(
            f"the output must be a place for Delta tables ({reason(failure)})",
            value=self.location(name),
            next_step="check that it can be written and holds nothing else of this name",
        ) from failure

    def append(self, name: str, frame: DataFrame, run_id: str, schema: StructType) -> int:
        """Append rows, to a new table if there is none yet; returns how many they were."""
        if not self.is_folder:
            self.create(name, schema)
        is_new = not self.exists(name)
        try:
            # A table is there for Delta from its log's folder on, before the first commit.
            return retried(lambda: self._counted_append(name, frame, run_id), MADE_AT_ONCE)
        except FAILURES:
            if not (is_new and self.exists(name)):
                raise
        return self._counted_append(name, frame, run_id)  # another run made the table at the same instant

    def read(self, name: str, run_id: str) -> DataFrame:
        """One run's rows as they are now: pinned to the table's version, whatever is deleted later."""
        version = delta_version(self.spark, self.location(name))
        rows = delta_frame(self.spark, self.location(name), version)
        return rows.where(column(RUN_ID) == run_id).drop(RUN_ID)

    def remove(self, name: str, run_ids: Collection[str]) -> None:
        """Delete these runs' rows, whole partitions. Others may be deleting the same ones."""
        if not run_ids or not self.exists(name):
            return
        retried(lambda: self._delete(name, sorted(run_ids)))

    def latest_run(self, *, job: str | None = None, table: str | None = None) -> Run | None:
        """The latest published run of `job`, or of the job that writes `table`."""
        wanted = F.lit(True)
        if job is not None:
            wanted &= F.col("job") == job
        if table is not None:
            wanted &= F.map_contains_key(F.from_json("row_counts", "map<string,bigint>"), table)
        found = self._runs().where(wanted).orderBy(F.desc("sequence")).limit(1)
        # As microseconds: Python's own times would be in the local zone.
        times = {name: F.unix_micros(name) for name in TIMES}
        return next((_run_of(row.asDict()) for row in found.withColumns(times).collect()), None)

    def is_latest(self, run: Run) -> bool:
        """Whether `run` is the latest published one of its job."""
        return self._has_just_published(run.run_id) or self.latest_run(job=run.job) == run

    def unpublished(self, run_ids: Collection[str]) -> set[str]:
        """Those of `run_ids` that are not published."""
        if not run_ids:
            return set()
        found = self._runs().where(column(RUN_ID).isin(list(run_ids))).select(RUN_ID).collect()
        return set(run_ids) - {row[RUN_ID] for row in found}

    def attempt(self, job: str, run_id: str, started_at: datetime) -> None:
        """Note that the run may have rows in the tables of `job` from now on."""
        row = local_rows(self.spark, [(job, started_at)], ATTEMPT)
        self.append(ATTEMPTS_TABLE, row, run_id, ATTEMPT)

    def attempts(self, job: str, *, but: str) -> dict[str, datetime]:
        """The runs of `job`, but for that one, that may have rows in its tables, published or not, and when
        they began.
        """
        if newest_commit(self.spark, self.location(ATTEMPTS_TABLE)) == (0, but):  # the output is new
            return {}
        began = F.unix_micros("started_at").alias("began")
        others = (column("job") == job) & (column(RUN_ID) != but)
        found = self._frame(ATTEMPTS_TABLE).where(others).select(RUN_ID, began).collect()
        return {row[RUN_ID]: instant_at(row["began"]) for row in found}

    def publish(self, run: Run) -> bool:
        """Add the run to `runs`, in one commit. False if its sequence number is taken already."""
        told = {name: redacted_values(getattr(run, name)) for name in ("inputs", "settings", "answer")}
        values = {**vars(run), **told, "status": "published"}
        for key in AS_JSON:
            values[key] = json.dumps(values[key], ensure_ascii=False, sort_keys=True)
        frame = local_rows(self.spark, [[values[name] for name in RUNS.names]], RUNS)
        # Delta takes a (txnAppId, txnVersion) once. Another of the same is refused while the first is being
        # committed, and later skipped in silence: so look whether the row is there.
        transaction = {"txnAppId": f"firstday.publish.{run.job}", "txnVersion": str(run.sequence)}
        transaction["mergeSchema"] = "true"  # an earlier version's table has fewer columns
        try:
            retried(lambda: self._append(RUNS_TABLE, frame, run.run_id, transaction), MADE_AT_ONCE)
        except FAILURES as error:
            if delta_class(error) not in SAME_TRANSACTION:
                raise
        return self._has_just_published(run.run_id) or not self.unpublished([run.run_id])

    def write_file(self, name: str, content: bytes) -> str:
        """Put a file beside the tables, whole or not at all, and return where it is. For folders only."""
        files, target = file_system(self.spark, self.location(name))
        _, unfinished = file_system(self.spark, self.location(f".{name}.{uuid.uuid4().hex}"))
        if files.getScheme() == LOCAL:
            # Hadoop's local files have checksums beside them and are not replaced in one step.
            local = Path(unfinished.toUri().getPath())
            local.write_bytes(content)
            local.replace(target.toUri().getPath())
            return self.location(name)
        stream = files.create(unfinished, True)
        try:
            stream.write(bytearray(content))
        finally:
            stream.close()
        files.delete(target, False)  # on most file systems a rename does not replace
        files.rename(unfinished, target)
        return self.location(name)

    def write_folder(self, name: str, frame: DataFrame, form: str) -> str:
        """Put rows beside the tables as a folder of files, whole or not at all, and return where it is.

        form: parquet or jsonl. The folder before is deleted first: a reader sees the new one, or none.
        """
        files, target = file_system(self.spark, self.location(name))
        _, unfinished = file_system(self.spark, self.location(f".{name}.{uuid.uuid4().hex}"))
        frame.write.format("json" if form == "jsonl" else form).save(unfinished.toString())
        files.delete(target, True)
        files.rename(unfinished, target)
        return self.location(name)

    def _has_just_published(self, run_id: str) -> bool:
        return newest_commit(self.spark, self.location(RUNS_TABLE)).note == run_id

    def _frame(self, name: str) -> DataFrame:
        return delta_frame(self.spark, self.location(name))

    def _schema_exists(self) -> bool:
        try:
            return self.spark.catalog.databaseExists(self.out)
        except AnalysisException:  # no name of a schema at all
            return False

    def _create(self, name: str, schema: StructType) -> None:
        properties, keys = _properties(schema), _partitioned_by(name)
        schema = StructType([*schema, StructField(RUN_ID, StringType())])
        if self.is_folder:
            builder = DeltaTable.createIfNotExists(self.spark).addColumns(schema)
            builder = builder.location(self.location(name))
            for key, value in properties.items():
                builder = builder.property(key, value)
            builder.partitionedBy(*keys).execute()
            return
        columns = ", ".join(f"{quoted(item.name)} {item.dataType.simpleString()}" for item in schema)
        statement = f"CREATE TABLE IF NOT EXISTS {self.location(name)} ({columns}) USING delta"
        if keys:
            statement += f" PARTITIONED BY ({', '.join(keys)})"
        if properties:
            told = ", ".join(f"'{key}' = '{value}'" for key, value in properties.items())
            statement += f" TBLPROPERTIES ({told})"
        self.spark.sql(statement)

    def _delete(self, name: str, run_ids: list[str]) -> None:
        told = f"{self.in_sql(name)} WHERE {RUN_ID} IN ({', '.join(map(sql_text, run_ids))})"
        self.spark.sql(f"DELETE FROM {told}")  # noqa: S608 - run ids are hexadecimal, names are quoted or checked

    def _counted_append(self, name: str, frame: DataFrame, run_id: str) -> int:
        written = Observation()
        self._append(name, frame, run_id, {}, written)
        return int(written.get["rows"])

    def _append(
        self,
        name: str,
        frame: DataFrame,
        run_id: str,
        options: Mapping[str, str],
        written: Observation | None = None,
    ) -> None:
        rows = frame.withColumn(RUN_ID, F.lit(run_id))
        if written is not None:  # of whole rows: what comes after an observation copies each of them
            rows = rows.observe(written, F.count(F.lit(1)).alias("rows"))
        writer = rows.write.format("delta").mode("append")
        writer = writer.options(userMetadata=run_id, **options)  # by which a commit says whose it is
        if self.is_folder:  # the first append makes the table
            writer = writer.options(**_properties(frame.schema)).partitionBy(*_partitioned_by(name))
            writer.save(self.location(name))
        else:
            writer.saveAsTable(self.location(name))

    def _runs(self) -> DataFrame:
        if self.exists(RUNS_TABLE):
            return self._frame(RUNS_TABLE)
        return local_rows(self.spark, [], StructType([*RUNS, StructField(RUN_ID, StringType())]))


def _properties(schema: StructType) -> dict[str, str]:
    mapped = any(NEEDS_MAPPING & set(name) for name in schema.names)
    return {"delta.columnMapping.mode": "name"} if mapped else {}


def _partitioned_by(name: str) -> list[str]:
    return [] if name == RUNS_TABLE else [RUN_ID]


def _run_of(row: dict[str, Any]) -> Run:
    for key in AS_JSON:
        row[key] = json.loads(row.get(key) or "{}")
    for key in TIMES:
        row[key] = None if row[key] is None else instant_at(row[key])
    del row["status"]
    return Run(**row)
