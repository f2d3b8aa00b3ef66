"""Open an input: Delta, Parquet, CSV or JSON Lines, by path or by table name."""

import hashlib
import re
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import NamedTuple

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType, TimestampNTZType, TimestampType

from firstday.errors import DataError, FirstdayError
from firstday.tables.address import (
    EXTENSION,
    FORMATS,
    delta_frame,
    delta_version,
    file_system,
    is_delta,
    is_path,
)
from firstday.tables.faults import opening
from firstday.tables.schemas import column, table_schema

# In inputs read from text: the whole row, where it could not be split into columns, otherwise null.
UNREADABLE = "firstday_unreadable_row"

UTC_NAMES = frozenset({"UTC", "Etc/UTC", "GMT", "Z"})
# RFC 4180: quotes are doubled and a quoted value may hold line ends. The limit on a value is there so that a
# quote which is never closed stops the job, instead of taking the rest of the file for one value.
CSV_OPTIONS = {"header": "true", "multiLine": "true", "escape": '"', "maxCharsPerColumn": "100000"}


@dataclass(frozen=True)
class Input:
    """An input that is open. Of its rows nothing has been read yet.

    `version` pins what is read: a Delta version, or a fingerprint of the files' names, sizes and times.
    Timestamps in `frame` are instants, but for TIMESTAMP_NTZ where no `time_zone` was declared.
    """

    name: str
    source: str
    format: str
    version: str
    frame: DataFrame
    time_zone: str | None

    @property
    def described(self) -> str:
        """Where it is, its format and its version, for a report."""
        return f"{self.source} ({self.format}, {self.version})"

    @property
    def columns(self) -> list[str]:
        """The columns that it has itself."""
        return [name for name in self.frame.columns if name != UNREADABLE]


def open_input(spark: SparkSession, source: str, *, name: str, time_zone: str | None = None) -> Input:
    """Open the input `name` ("users", "events") at `source`, a path or a table name.

    `time_zone` is the declared zone of timestamps that carry none. Raises DataError where there is nothing to
    open, or it is not of one of the formats; UserError where Spark cannot look.
    """
    _require_utc(spark)
    with opening(name, source):
        if not is_path(source):
            kind, version, frame = _open_table(spark, source, name)
        elif is_delta(spark, source):
            kind, version, frame = _open_delta(spark, source)
        else:
            kind, version, frame = _open_files(spark, source, name, time_zone)
        if time_zone is not None:
            frame = _with_instants(frame, time_zone)
    return Input(name, source, kind, version, frame, time_zone)


def _require_utc(spark: SparkSession) -> None:
    zone = spark.conf.get("spark.sql.session.timeZone")
    if zone != "UTC":
        raise FirstdayError(
            "the Spark session must be in UTC, or times would be read wrongly",
            value=f"spark.sql.session.timeZone={zone}",
            next_step="get the session from firstday.session.get_session",
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


def _open_files(spark: SparkSession, source: str, name: str, time_zone: str | None) -> Opened:
    path = literal_path(source)
    listing = _single_file(spark, source) or _listing(spark, path, name, source)
    kind = _format_of(listing, name, source)
    if kind == "parquet":
        frame = _read_parquet(spark, path, time_zone)
        _refuse_empty(len(frame.inputFiles()) - sum(each.files for each in listing), name, source)
    elif kind == "csv":
        frame = _read_csv(spark, path, "\t" if "tsv" in {each.extension for each in listing} else ",")
    else:
        frame = _read_json(spark, path)
    return kind, _fingerprint(listing), frame


def literal_path(path: str) -> str:
    """Spark takes paths for globs: escape what a folder's name may hold."""
    return re.sub(r"([{}\[\]*?\\])", r"\\\1", path)


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


def _read_parquet(spark: SparkSession, path: str, time_zone: str | None) -> DataFrame:
    """Read as if they were in UTC, zoneless timestamps cost nothing; a cast costs as much as the scan."""
    frame = spark.read.parquet(path)
    zoneless = _zoneless(frame)
    if time_zone is None or not zoneless:
        return frame
    fields = (
        StructField(field.name, TimestampType() if field.name in zoneless else field.dataType)
        for field in frame.schema
    )
    return _shifted(spark.read.schema(StructType(list(fields))).parquet(path), zoneless, time_zone)


def _refuse_empty(files: int, name: str, source: str) -> None:
    """Scans, also the one that made the listing, pass over files of no bytes, whatever was in them."""
    if files:
        raise DataError(
            f"files of {name} must be whole and readable",
            value=f"{files} without a byte in {source}",
            next_step="find them (find ... -size 0), restore them or leave them out",
        )


def _read_csv(spark: SparkSession, path: str, separator: str) -> DataFrame:
    """All values as text: what a value has to be is the contract's matter, which says why it is not."""
    options = CSV_OPTIONS | {"sep": separator}
    names = spark.read.options(**options).csv(path).columns
    schema = table_schema((name, StringType()) for name in [*names, UNREADABLE])
    # enforceSchema: with a header of another order, columns would be mixed up in silence.
    reader = spark.read.options(**options, enforceSchema="false", columnNameOfCorruptRecord=UNREADABLE)
    return reader.schema(schema).csv(path)


def _read_json(spark: SparkSession, path: str) -> DataFrame:
    """Plain values as text; a line that is no JSON object is kept whole in the column UNREADABLE."""
    found = spark.read.options(primitivesAsString="true", mode="DROPMALFORMED").json(path).schema
    schema = StructType([*found, StructField(UNREADABLE, StringType())])
    return spark.read.schema(schema).option("columnNameOfCorruptRecord", UNREADABLE).json(path)


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
