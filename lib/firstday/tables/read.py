"""Open an input: Delta, Parquet, CSV or JSON Lines, by path or by table name."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import NamedTuple
from urllib.parse import unquote

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    LongType,
    NullType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from firstday.errors import DataError, FirstdayError
from firstday.spark.failures import FAILURES
from firstday.tables.address import (
    EXTENSION,
    FORMATS,
    delta_frame,
    delta_version,
    file_system,
    is_delta,
    is_path,
    parquet_integers,
)
from firstday.tables.faults import opening
from firstday.tables.paths import leads_somewhere, mapped
from firstday.tables.schemas import column
from firstday.tables.text_files import MOST_HEADERS, UNREADABLE, UTF8, literal_path, read_csv, read_json
from firstday.tables.values import TimeUnit, micros_of

TEXT_FORMATS = ("csv", "json")
NANOS = "spark.sql.legacy.parquet.nanosAsLong"
UTC_NAMES = frozenset({"UTC", "Etc/UTC", "GMT", "Z"})


# Spark's answers to what files may hold; of the session, as Spark has no other place for them.
SESSION = {
    NANOS: "true",  # nanoseconds as whole numbers, which are made timestamps here
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",  # days before 1582 as they were written
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.legacy.javaCharsets": "true",  # all encodings that Java has, as before Spark 4
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",  # category=01/ is 01, not 1
}


@dataclass(frozen=True)
class Reading:
    """How an input is to be read.

    time_zone: of times that carry none. time_unit: of times that are numbers. encoding: of text files.
    columns: for a column that the jobs know, those that it is taken from: names, or paths into nested columns
    (`properties.plan`); the first that is not null counts. needed: those of them that are said of this input,
    so that one of their paths must be there.
    """

    time_zone: str | None = None
    time_unit: TimeUnit | None = None
    encoding: str = UTF8
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Input:
    """An input that is open. Of its rows nothing has been read yet.

    `version` pins what is read: a Delta version, or a fingerprint of the files' names, sizes and times.
    Timestamps in `frame` are instants, but for TIMESTAMP_NTZ where no `time_zone` was declared; numbers that
    are times are of `time_unit`.
    """

    name: str
    source: str
    format: str
    version: str
    frame: DataFrame
    time_zone: str | None
    time_unit: TimeUnit | None = None
    mapped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # as `Reading.columns`

    @property
    def described(self) -> str:
        """Where it is, its format and its version, for a report."""
        return f"{self.source} ({self.format}, {self.version})"

    @property
    def columns(self) -> list[str]:
        """The columns that it has itself."""
        return [name for name in self.frame.columns if name != UNREADABLE]


def open_input(
    spark: SparkSession,
    source: str,
    *,
    name: str,
    time_zone: str | None = None,
    reading: Reading | None = None,
) -> Input:
    """Open the input `name` ("users", "events") at `source`, a path or a table name.

    `time_zone` is the declared zone of timestamps that carry none, `reading` that and all else that may be
    declared. Raises DataError where there is nothing to open, or it is not of one of the formats; UserError
    where Spark cannot look.
    """
    _require_utc(spark)
    how = reading or Reading(time_zone)
    with opening(name, source):
        _prepare(spark)
        if not is_path(source):
            kind, version, frame = _open_table(spark, source, name)
        elif is_delta(spark, source):
            kind, version, frame = _open_delta(spark, source)
        else:
            kind, version, frame = _open_files(spark, source, name, how)
        frame = _as_declared(frame, name, how)
    return Input(name, source, kind, version, frame, how.time_zone, how.time_unit, how.columns)


def of_frame(spark: SparkSession, frame: DataFrame, source: str, name: str, how: Reading) -> Input:
    """A DataFrame as the input `name`, read as an address would be; `source` is what reports call it."""
    _require_utc(spark)
    with opening(name, source):
        frame = _as_declared(frame, name, how)
    handed_over = ("DataFrame", "as handed over")
    return Input(name, source, *handed_over, frame, how.time_zone, how.time_unit, how.columns)


def _as_declared(frame: DataFrame, name: str, how: Reading) -> DataFrame:
    """With the columns and the zone that are declared. Raises DataError where a column is not there."""
    for each in how.needed:
        if not leads_somewhere(frame, how.columns[each]):
            places = " or ".join(how.columns[each])
            raise DataError(
                f"{each} of {name} is to be taken from {places}, which must be there",
                value=frame.columns,
                next_step="mend --columns",
            )
    frame = _without_void(mapped(frame, how.columns))
    return frame if how.time_zone is None else _with_instants(frame, how.time_zone)


def _without_void(frame: DataFrame) -> DataFrame:
    """A column without any value is text, as it is in CSV: Spark 4 reads Parquet's as of the type void."""
    void = [each.name for each in frame.schema if isinstance(each.dataType, NullType)]
    return frame.withColumns({name: column(name).cast("string") for name in void}) if void else frame


def _prepare(spark: SparkSession) -> None:
    """Set SESSION, but for what a managed platform keeps for itself: there files are read as it says."""
    for key, value in SESSION.items():
        try:
            spark.conf.set(key, value)
        except PySparkException:
            continue


def _require_utc(spark: SparkSession) -> None:
    zone = spark.conf.get("spark.sql.session.timeZone")
    if zone != "UTC":
        raise FirstdayError(
            "the Spark session must be in UTC, or times would be read wrongly",
            value=f"spark.sql.session.timeZone={zone}",
            next_step="get the session from firstday.spark.session.get_session",
        )


Opened = tuple[str, str, DataFrame]  # format, version, rows


def _open_table(spark: SparkSession, source: str, name: str) -> Opened:
    if not spark.catalog.tableExists(source):
        raise DataError(
            f"{name} must exist, as a table of the catalog or as a file",
            value=source,
            next_step=f"check the name; a folder is written with a slash: ./{source}",
        )
    try:
        return _open_delta(spark, source)
    except AnalysisException:  # a view, or a table of another format
        frame = spark.read.table(source)
    names = sorted(frame.inputFiles())
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return "table", f"{len(names)} files, fingerprint of their names {digest}", frame


def _open_delta(spark: SparkSession, source: str) -> Opened:
    """Pinned to the latest version, so that all passes over a table that grows read the same rows."""
    version = delta_version(spark, source)
    return "delta", f"Delta version {version}", delta_frame(spark, source, version)


def _open_files(spark: SparkSession, source: str, name: str, how: Reading) -> Opened:
    path = literal_path(source)
    listing = _single_file(spark, source) or _listing(spark, path, name, source)
    kind = _format_of(listing, name, source)
    if kind == "parquet":
        frame = _read_parquet(spark, path, name, how.time_zone)
    elif kind == "csv":
        separator = "\t" if "tsv" in {each.extension for each in listing} else ","
        frame = read_csv(spark, path, {"sep": separator, "encoding": how.encoding})
    else:
        frame = read_json(spark, path, how.encoding)
    return kind, _fingerprint(listing), frame


class Files(NamedTuple):
    """Files of one extension ("" for all others): how many, their bytes and mixed hashes."""

    extension: str
    files: int
    bytes: int
    hash: int


def _single_file(spark: SparkSession, source: str) -> list[Files]:
    """As `_listing`, which takes Spark two jobs, where `source` is one file that it would read."""
    files, path = file_system(spark, source)
    if path.getName()[:1] in "_." or not files.isFile(path):
        return []
    status = files.getFileStatus(path)
    told = status.getPath().toString(), status.getLen(), status.getModificationTime()
    extension = re.search(EXTENSION, told[0].lower())
    mixed = int.from_bytes(hashlib.sha256(repr(told).encode()).digest()[:8])
    return [Files(extension[1] if extension else "", 1, told[1], mixed)] if told[1] else []


def _listing(spark: SparkSession, path: str, name: str, source: str) -> list[Files]:
    """The files under `path`; none is read."""
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    try:
        files = reader.load(path)
    except AnalysisException as error:
        if error.getErrorClass() != "PATH_NOT_FOUND":
            raise
        raise DataError(
            f"{name} must exist, as a file, a folder or a table",
            value=source,
            next_step="check the path; a table is written schema.table or catalog.schema.table",
        ) from error
    by_extension = files.groupBy(F.regexp_extract(F.lower("path"), EXTENSION, 1).alias("extension"))
    listed = by_extension.agg(
        F.count("*").alias("files"),
        F.sum("length").alias("bytes"),
        F.bit_xor(F.xxhash64("path", "length", "modificationTime")).alias("hash"),
    )
    return [Files(*row) for row in listed.collect()]


def _format_of(listing: list[Files], name: str, source: str) -> str:
    formats = {FORMATS[each.extension] for each in listing if each.extension}
    if len(formats) == 1:
        return formats.pop()
    found = ", ".join(sorted(f"{each.files} {each.extension or 'other'}" for each in listing))
    raise DataError(
        f"{name} must be a Delta table, or files of one format told by their extension: "
        f"{', '.join(FORMATS)}, also compressed as in .csv.gz, with names that begin with neither _ nor .",
        value=f"{found or 'no file'} in {source}",
        next_step="name the folder or file that holds the table, and nothing else",
    )


def _fingerprint(listing: list[Files]) -> str:
    """One word for names, sizes and times of the files, in whatever order they are listed."""
    mixed = reduce(xor, (each.hash for each in listing), 0) % 2**64
    count, size = sum(each.files for each in listing), sum(each.bytes for each in listing)
    return f"{count} files, {size} bytes, fingerprint {mixed:016x}"


def _read_parquet(spark: SparkSession, path: str, name: str, time_zone: str | None) -> DataFrame:
    """All columns that any of the files has; where a file has not got one, it is null.

    Read as if they were in UTC, zoneless timestamps cost nothing; a cast costs as much as the scan.
    """
    try:
        return _read_parquet_alike(spark, [path], {}, name, time_zone)
    except FAILURES as error:
        if not re.search("(?i)failed to merge|failed merging", str(error)):
            raise
        parts = _by_precision(spark, path)
        if len(parts) == 1:
            raise _other_types(spark, path, name) from error
        root = {"basePath": path}
        try:  # zoneless times stay so, to be alike
            frames = [_read_parquet_alike(spark, own, root, name, None) for own in parts]
        except FAILURES:
            raise _other_types(spark, path, name) from error
        _refuse_two_types(name, [*zip(frames, parts, strict=True)])
        return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


def _read_parquet_alike(
    spark: SparkSession, paths: list[str], options: Mapping[str, str], name: str, time_zone: str | None
) -> DataFrame:
    """Files of which the times are all of one precision."""
    frame = spark.read.options(**options).option("mergeSchema", "true").parquet(*paths)
    nanoseconds = _nanoseconds(spark, name, frame)
    zoneless = _zoneless(frame)
    if time_zone is not None and zoneless:
        fields = (
            StructField(each.name, TimestampType() if each.name in zoneless else each.dataType)
            for each in frame.schema
        )
        reader = spark.read.options(**options).schema(StructType(list(fields)))
        frame = _shifted(reader.parquet(*paths), zoneless, time_zone)
    return frame.withColumns(
        {each: F.timestamp_micros(micros_of(column(each))).cast(kind) for each, kind in nanoseconds.items()}
    )


def _by_precision(spark: SparkSession, path: str) -> list[list[str]]:
    """The files by which of their columns are nanoseconds: writers of different versions differ in that."""
    found: dict[frozenset[str], list[str]] = {}
    listed = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(path).inputFiles()
    for file in sorted(listed)[:MOST_HEADERS]:
        fine = {each for each, kind in parquet_integers(spark, file).items() if kind is not None}
        found.setdefault(frozenset(fine), []).append(literal_path(unquote(file)))
    return [*found.values()] if len(listed) <= MOST_HEADERS else [[path]]


def _refuse_two_types(name: str, frames: Sequence[tuple[DataFrame, list[str]]]) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for frame, files in frames:
        for each in frame.schema:
            own = each.dataType.simpleString(), files[0]
            first = seen.setdefault(each.name.lower(), own)
            if first[0] != own[0]:
                raise _two_types(name, each.name, first, own)


def _nanoseconds(spark: SparkSession, name: str, frame: DataFrame) -> dict[str, str]:
    """Columns of nanoseconds since 1970, which Spark has read as whole numbers, and the type that they are:
    instants, or what a clock showed. Raises DataError where they are that in some of the files only.
    """
    whole = {each.name for each in frame.schema if isinstance(each.dataType, LongType)}
    found: dict[str, tuple[str | None, str]] = {}
    for file in frame.inputFiles()[:MOST_HEADERS] if whole else []:
        for each, kind in parquet_integers(spark, file).items():
            first, other = found.setdefault(each, (kind, file))
            if first != kind and each in whole:
                raise _two_types(name, each, (first or "bigint", other), (kind or "bigint", file))
    return {each: kind for each, (kind, _) in found.items() if kind is not None and each in whole}


def _other_types(spark: SparkSession, path: str, name: str) -> DataError:
    """Names two files that have a column in different types."""
    seen: dict[str, tuple[str, str]] = {}
    for file in spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(path).inputFiles():
        for each in spark.read.parquet(literal_path(unquote(file))).schema:
            kind = each.dataType.simpleString()
            first, other = seen.setdefault(each.name, (kind, file))
            if first != kind:
                return _two_types(name, each.name, (first, other), (kind, file))
    return DataError(f"the columns of {name} must have one type in all files", value=path)


def _two_types(name: str, column_name: str, one: tuple[str, str], other: tuple[str, str]) -> DataError:
    return DataError(
        f"column {column_name} of {name} must have one type in all files",
        value=f"{one[0]} in {one[1]}, {other[0]} in {other[1]}",
        next_step="write one of these files again with the type of the others, or leave it out",
    )


def _with_instants(frame: DataFrame, time_zone: str) -> DataFrame:
    """Zoneless timestamps become the instants that a clock in `time_zone` showed them at."""
    zoneless = _zoneless(frame)
    as_utc = frame.withColumns({name: column(name).cast("timestamp") for name in zoneless})
    return _shifted(as_utc, zoneless, time_zone)


def _zoneless(frame: DataFrame) -> list[str]:
    return [field.name for field in frame.schema if isinstance(field.dataType, TimestampNTZType)]


def _shifted(frame: DataFrame, names: list[str], time_zone: str) -> DataFrame:
    """Timestamps that were read as UTC, moved to what they are in `time_zone`."""
    return frame.withColumns({name: to_instant(column(name), time_zone) for name in names})


def to_instant(local: Column, time_zone: str) -> Column:
    """The instant at which a clock in `time_zone` shows `local`, a timestamp read as if it were in UTC.

    Where the clock is put back and a time occurs twice, it is the earlier one; a time that is skipped is
    moved on by the length of the gap.
    """
    return local if time_zone in UTC_NAMES else F.to_utc_timestamp(local, time_zone)
