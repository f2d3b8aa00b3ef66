"""Remove people from the tables that runs have written to an output.

Where a row is a person's, by a column of PERSON_COLUMNS, it is deleted. Quarantine keeps raw rows as JSON: a
row goes where a value in it is one of the ids. Where a row counts users, there is no id to find it by; of
such tables it is told how many rows count a single user, since those say something of one person.

Delta's DELETE writes files without the rows and keeps the old ones for those who read earlier versions, until
VACUUM deletes what is older than the retention. `purge` does so at once. What goes wrong then: a reader that
has begun before finds its files gone, and a job that is writing loses what it has not committed yet.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Literal

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from firstday import logs
from firstday.settings import ForgetSettings
from firstday.spark.local_rows import local_rows
from firstday.tables.delta import QUARANTINE_TABLE, Store, retried
from firstday.tables.owned import at_work, folders, hours, owned_tables, sql
from firstday.tables.read import literal_path
from firstday.tables.schemas import column, quoted, sql_text, table_schema
from firstday.tables.write import Output

PERSON_COLUMNS = ("user_id", "row_id", "unit_id", "customer_id", "account_id", "person_id")
# A list of training has no column for the person: the id, a blank and the instant it was shown at.
LISTS, SHOWN_AT = {"ranker_scores": "list"}, r" \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
USER_COUNTS = ("users", "units", "rows")  # how many users, units or rows a row stands for
EXPORT = "_export"  # folders of files beside the tables end so
FORMS = {"parquet": "parquet", "json": "jsonl"}  # of such files, by extension
RETENTION_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"
DELETION_VECTORS = "delta.enableDeletionVectors"

Kind = Literal["rows", "export", "counts", "other"]
FORGOTTEN = table_schema(
    [
        ("table", T.StringType()),
        ("kind", T.StringType()),
        ("rows", T.LongType()),
        ("of_one_user", T.LongType()),
    ]
)
TABLES = {"forgotten": FORGOTTEN}


@dataclass(frozen=True)
class Found:
    """One table or export of an output, and what of it is the people's.

    kind: rows (a row may be one person's), export (the same, in files), counts (a row counts users), other
    (neither). rows: that are theirs. of_one_user: rows of counts that count a single user, whoever it is.
    """

    table: str
    kind: Kind
    rows: int = 0
    of_one_user: int | None = None


PURGED_LATER = (
    "Their files stay for readers of earlier versions until the next VACUUM after the retention of 7 days: "
    "run firstday maintain then, or purge now with --vacuum when nothing is at work there."
)


class Forgetting:
    """The job `forget` on one output; see `firstday.runner.Task`."""

    tables = TABLES

    def __init__(
        self,
        store: Store,
        settings: ForgetSettings,
        schemas: Mapping[str, T.StructType],
        others: Collection[str],
    ) -> None:
        self.store, self.settings = store, settings
        with logs.step("Looking for them") as step:
            self.found = find(store, settings.user, {*schemas, *others})
            step.note(tables=len(self.found), rows=sum(each.rows for each in self.found))
        self.busy = at_work(store, datetime.now(UTC))

    def recorded(self) -> dict[str, object]:
        """The settings as they may be kept: what is to be forgotten is not written down again."""
        kept = self.settings.model_dump(mode="json", exclude={"user"})
        return kept | {"users": len(self.settings.user)}

    def preview(self) -> None:
        """Say what would be done."""
        self._summary()

    def work(self, output: Output) -> Mapping[str, float]:
        """Remove the people; returns how many rows went, by table."""
        with logs.step("Removing their rows") as step:
            self.found = remove(self.store, self.found, self.settings.user)
            step.note(**{each.table: each.rows for each in self.found if each.rows})
        rows = [(each.table, each.kind, each.rows, each.of_one_user) for each in self.found]
        output.write("forgotten", local_rows(self.store.spark, rows, FORGOTTEN))
        return {f"removed.{each.table}": each.rows for each in self.found}

    def finish(self) -> None:
        """After it is published: purge, if that is wanted, and say what was done."""
        if self.settings.vacuum:
            with logs.step("Purging earlier versions"):
                # All that hold rows of people: an earlier run may have removed rows without purging them.
                purge(self.store, [each.table for each in self.found if each.kind == "rows"])
        self._summary()

    def _summary(self) -> None:
        settings, found = self.settings, self.found
        verb = "would be removed" if settings.dry_run else "removed"
        theirs = [each for each in found if each.rows]
        for each in theirs:
            logs.log.info(f"{each.table}: {each.rows:,} rows {verb}.")
        if not theirs:
            logs.log.info("Nothing was found: no row of this output carries such an id.")
        elif not settings.dry_run:
            logs.log.info("Earlier versions are purged." if settings.vacuum else PURGED_LATER)
        counted = [each for each in found if each.kind == "counts"]
        if counted:
            of_one = sum(each.of_one_user or 0 for each in counted)
            logs.log.info(
                f"{', '.join(each.table for each in counted)} count users and carry no id: no row can be "
                f"told to be theirs; {of_one:,} rows count one user, whoever it is. To count anew without "
                "them, remove them from the inputs and run the jobs again, discover without --daily."
            )
        if self.busy:
            logs.log.warning(
                f"{self.busy} other runs may be at work on this output: what they have read may hold these "
                "people, and is written later. Run this again when they are done."
            )


def find(store: Store, people: Sequence[str], known: Collection[str]) -> tuple[Found, ...]:
    """Look for the people, by id, in all that runs have written; nothing is changed.

    Raises DataError where no job has written to the output.
    """
    tables = [_in_table(store, name, people) for name in owned_tables(store, known).tables]
    exports = [name for name in folders(store) if name.endswith(EXPORT)]
    return (*tables, *(_in_export(store, name, people) for name in exports))


def remove(store: Store, found: Sequence[Found], people: Sequence[str]) -> tuple[Found, ...]:
    """Delete their rows where `find` has seen some; returns the same with the number of rows that went."""
    return tuple(_removed(store, each, people) if each.rows else each for each in found)


def purge(store: Store, tables: Collection[str]) -> None:
    """Delete the files of all earlier versions of the tables at once: no retention protects a reader."""
    with unchecked_retention(store.spark):
        for name in tables:
            properties = sql(store, "DESCRIBE DETAIL {table}", name).collect()[0]["properties"]
            if properties.get(DELETION_VECTORS) == "true":  # a DELETE has only marked rows
                sql(store, "REORG TABLE {table} APPLY (PURGE)", name)
            sql(store, f"VACUUM {{table}} RETAIN {hours(timedelta(0))} HOURS", name)


@contextmanager
def unchecked_retention(spark: SparkSession) -> Iterator[None]:
    """Let this session VACUUM what is younger than Delta's week; afterwards the check is as it was."""
    before = spark.conf.get(RETENTION_CHECK, "true")
    spark.conf.set(RETENTION_CHECK, "false")
    try:
        yield
    finally:
        spark.conf.set(RETENTION_CHECK, str(before))


def _in_table(store: Store, name: str, people: Sequence[str]) -> Found:
    columns = store.schema(name).names
    condition = _condition(name, columns, people)
    if condition is not None:
        return Found(name, "rows", _count(store, name, condition))
    counted = next((each for each in USER_COUNTS if each in columns), None)
    if counted is None:
        return Found(name, "other")
    return Found(name, "counts", of_one_user=_count(store, name, f"{quoted(counted)} = 1"))


def _in_export(store: Store, name: str, people: Sequence[str]) -> Found:
    theirs = _theirs(_read_export(store, name)[0], people)
    return Found(name, "other" if theirs is None else "export", 0 if theirs is None else theirs.count())


def _removed(store: Store, found: Found, people: Sequence[str]) -> Found:
    if found.kind == "export":
        rows, form = _read_export(store, found.table)
        kept = rows.where(~_person(rows.columns, people))
        store.write_folder(found.table, kept, form)
        return found
    condition = _condition(found.table, store.schema(found.table).names, people)
    assert condition is not None
    statement = f"DELETE FROM {{table}} WHERE {condition}"  # noqa: S608 - values are hexadecimal, names quoted
    # A run may publish meanwhile, and delete the rows of the one before.
    done = retried(lambda: sql(store, statement, found.table).collect())
    return replace(found, rows=int(done[0]["num_affected_rows"]))


def _condition(name: str, columns: Sequence[str], people: Sequence[str]) -> str | None:
    """SQL for "this row is one of theirs"; None where rows are not of one person."""
    ids = ", ".join(map(sql_text, people))
    if name == QUARANTINE_TABLE:
        words = sql_text(_words(people))
        values = "from_json(`row`, 'map<string,string>')"
        inside = f"(substring(value, 1, 1) IN ('{{', '[') AND value RLIKE {words})"  # arrays, structs
        # A null among the values is not one of theirs; null as a whole is no JSON, an unreadable line.
        known = f"exists(map_values({values}), value -> coalesce(value IN ({ids}) OR {inside}, false))"
        return f"coalesce({known}, `row` RLIKE {words}, false)"
    told = [f"CAST({quoted(each)} AS STRING) IN ({ids})" for each in columns if each in PERSON_COLUMNS]
    if LISTS.get(name) in columns:
        told.append(f"regexp_replace({quoted(LISTS[name])}, {sql_text(SHOWN_AT)}, '') IN ({ids})")
    return " OR ".join(told) or None


def _words(people: Sequence[str]) -> str:
    """A pattern of their ids as words of a text."""
    return rf"(?<![\w-])(?:{'|'.join(''.join(map(_written, person)) for person in people)})(?![\w-])"


def _written(character: str) -> str:
    """A pattern of what may stand for a character: itself or, inside of JSON, one of its escapes."""
    if character.isalnum() and character.isascii():
        return character
    units = character.encode("utf-16-be").hex()  # beyond 16 bits two escapes
    numbered = "".join(rf"\\u(?i:{units[at : at + 4]})" for at in range(0, len(units), 4))
    short = json.dumps(character, ensure_ascii=False)[1:-1]
    forms = {re.escape(character), re.escape(short), numbered} | ({r"\\/"} if character == "/" else set())
    return f"(?:{'|'.join(sorted(forms))})"


def _count(store: Store, name: str, condition: str) -> int:
    statement = f"SELECT count(*) FROM {{table}} WHERE {condition}"  # noqa: S608 - as above
    return int(sql(store, statement, name).collect()[0][0])


def _read_export(store: Store, name: str) -> tuple[DataFrame, str]:
    """The rows of an export, and its form; no columns where it holds no file of a known form."""
    where = literal_path(store.location(name))
    files = store.spark.read.format("binaryFile").load(where).select("path").collect()
    extensions = {row["path"].rpartition(".")[2] for row in files}
    kind = next((kind for kind in FORMS if kind in extensions), None)
    if kind is None:
        return store.spark.createDataFrame([], T.StructType([])), ""
    return store.spark.read.format(kind).load(where), FORMS[kind]


def _theirs(rows: DataFrame, people: Sequence[str]) -> DataFrame | None:
    """The people's rows; None where no column says whose a row is."""
    if not set(PERSON_COLUMNS) & set(rows.columns):
        return None
    return rows.where(_person(rows.columns, people))


def _person(columns: Sequence[str], people: Sequence[str]) -> Column:
    """Whether a row is one of theirs; never null."""
    told = [column(each).cast("string").isin(list(people)) for each in columns if each in PERSON_COLUMNS]
    return reduce(or_, (F.coalesce(each, F.lit(False)) for each in told))
