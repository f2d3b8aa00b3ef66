"""CSV and JSON Lines as rows of texts, whatever system wrote them; what cannot be read is kept whole."""

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from firstday.addresses import EXTENSION
from firstday.errors import DataError
from firstday.tables.schemas import column, quoted, table_schema

# In inputs read from text: the whole row, where it could not be split into columns, otherwise null.
UNREADABLE = "firstday_unreadable_row"

UTF8 = "utf-8"
ROW_TEXT = '(?:[^"\\r\\n]++|"[^"]*+")++'  # up to a line's end that is not between quotes
SEPARATORS = ",;\t|"  # the first one that is in a header which is one name otherwise
MOST_HEADERS = 1_000  # files whose headers are looked at one by one; more are taken to have the same
# RFC 4180: quotes are doubled and a quoted value may hold line ends. The limit on a value is there so that a
# quote which is never closed stops the job, instead of taking the rest of the file for one value.
CSV_OPTIONS = {"header": "true", "multiLine": "true", "escape": '"', "maxCharsPerColumn": "100000"}


def literal_path(path: str) -> str:
    """Spark takes paths for globs: escape what a folder's name may hold."""
    return re.sub(r"([{}\[\]*?\\])", r"\\\1", path)


def read_csv(spark: SparkSession, path: str, options: Mapping[str, str]) -> DataFrame:
    """All values as text: what a value has to be is the contract's matter, which says why it is not.

    All columns that any of the files has; where a file has not got one, it is null.
    """
    options = CSV_OPTIONS | dict(options)
    by_header: dict[tuple[str, ...], list[str]] = {}
    files = spark.read.text(path).inputFiles()
    if len(files) > MOST_HEADERS:  # with a header of another order, columns would be mixed up in silence
        options |= {"enforceSchema": "false"}
    elif len(files) > 1:
        for file in sorted(files):
            own = literal_path(unquote(file))
            by_header.setdefault(tuple(spark.read.options(**options).csv(own).columns), []).append(own)
    if len(by_header) <= 1:
        return _read_csv_alike(spark, [path], options)
    root = {"basePath": path} if not re.search(EXTENSION, path.lower()) else {}
    parts = [_read_csv_alike(spark, own, options | root) for own in by_header.values() if own]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)


def _read_csv_alike(spark: SparkSession, paths: list[str], options: Mapping[str, str]) -> DataFrame:
    """Files of one header. A line's end is no data, whichever system it is of."""
    options = options if _of_old_macs(spark, paths, options) else {**options, "lineSep": "\n"}
    names = spark.read.options(**options).csv(paths).columns
    others = [each for each in SEPARATORS if each != options["sep"] and each in names[0]] if names else []
    if len(names) == 1 and others:
        return _read_csv_alike(spark, paths, {**options, "sep": others[0]})
    schema = table_schema((name, StringType()) for name in [*names, UNREADABLE])
    reader = spark.read.options(**options, columnNameOfCorruptRecord=UNREADABLE)
    frame = reader.schema(schema).csv(paths)
    if _has_lone_returns(spark, paths):
        frame = _with_rows_within(frame, options)
    told = _header(spark, paths, options, names)
    plain = (_without_line_end(column(name)).alias(own) for name, own in zip(names, told, strict=True) if own)
    return frame.select(*plain, column(UNREADABLE))


def _header(
    spark: SparkSession, paths: list[str], options: Mapping[str, str], names: Sequence[str]
) -> list[str]:
    """The columns' names as they are written, without blanks at their ends; '' where there is none, as
    pandas writes its index. `names` are Spark's, which numbers what has no name or that of another.

    Raises DataError where a name is there twice, also but for case.
    """
    told: Sequence[str | None] = names
    if any(name.endswith(str(at)) for at, name in enumerate(names)):
        told = spark.read.options(**{**options, "header": "false"}).csv(paths).first() or names
    own = [(name or "").strip() for name in told]
    lower = [name.lower() for name in own]
    again = sorted({name for name in lower if name and lower.count(name) > 1})
    if again:
        raise DataError(
            "a header has each name once, whatever its case, as Spark does not tell them apart",
            value=again,
            next_step="rename one of them where the file is written",
        )
    return own


def _has_lone_returns(spark: SparkSession, paths: list[str]) -> bool:
    """Whether a carriage return stands within a line: a file joined from an old Mac's and others."""
    lines = spark.read.option("lineSep", "\n").text(paths)
    return not lines.where(F.col("value").rlike("\r.*[^\r]")).isEmpty()


def _with_rows_within(frame: DataFrame, options: Mapping[str, str]) -> DataFrame:
    """Rows that could not be read as they hold other line ends than the rest, row by row.

    A line's end between quotes is part of a value. Where a quote is never closed, a row stays as it is.
    """
    whole = column(UNREADABLE)
    closed = F.length(F.regexp_replace(whole, '[^"]', "")) % 2 == 0
    several = F.coalesce(whole.rlike("[\\r\\n]") & closed, F.lit(False))
    lines = F.regexp_extract_all(whole, F.lit(ROW_TEXT), F.lit(0))
    own = {"sep": options["sep"], "escape": options["escape"], "columnNameOfCorruptRecord": UNREADABLE}
    schema = ", ".join(f"{quoted(each.name)} string" for each in frame.schema)
    parsed = F.transform(lines, lambda line: F.from_csv(line, schema, own))
    as_they_are = F.array(F.struct(*(column(each).alias(each) for each in frame.columns)))
    rows = F.explode(F.when(several, parsed).otherwise(as_they_are)).alias("row")
    return frame.select(rows).select("row.*")


def _without_line_end(text: Column) -> Column:
    """A value without what is left of its line's end; nothing but that is nothing. Ends of lines within it
    are of one kind.
    """
    plain = F.replace(F.regexp_replace(text, "\r$", ""), F.lit("\r\n"), F.lit("\n"))
    return F.when(text != "\r", plain)


def _of_old_macs(spark: SparkSession, paths: list[str], options: Mapping[str, str]) -> bool:
    """Whether lines end with a carriage return alone: then all of a file would be its header."""
    names = spark.read.options(**{**options, "lineSep": "\n"}).csv(paths).columns
    return any("\r" in name.rstrip("\r") for name in names)


def read_json(spark: SparkSession, path: str, encoding: str) -> DataFrame:
    """Plain values as text; a line that is no JSON object is kept whole in the column UNREADABLE."""
    options = {} if encoding == UTF8 else {"encoding": encoding, "lineSep": "\n"}
    reader = spark.read.options(primitivesAsString="true", mode="DROPMALFORMED", **options)
    found = reader.json(path).schema
    schema = StructType([*found, StructField(UNREADABLE, StringType())])
    again = spark.read.schema(schema).options(columnNameOfCorruptRecord=UNREADABLE, **options)
    return again.json(path)
