"""Tell an input that cannot be read from a fault of our own, and say which file it is."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.errors import AnalysisException

from firstday.errors import DataError
from firstday.spark.failures import FAILURES

# What Spark 3.5 and 4 say when it cannot read a file; the group is the file.
FILE_PATTERNS = (
    re.compile(r"Parquet column cannot be converted in file (.+?)\. Column:"),
    re.compile(r"CSV file: (.+)"),
    re.compile(r"while reading file (.+?)\. +(?:Details|SQLSTATE|\n|$)", re.MULTILINE),
    re.compile(r"Could not read footer for file: (.+?)\. Please"),
    re.compile(r"(?:RuntimeException: )(.+?) is not a Parquet file"),
    re.compile(r"FileNotFoundException: (?:File )?(\S+)"),
)
# Faults in a compressed or binary file that Spark reports without naming it.
UNNAMED_PATTERN = re.compile(
    r"Unexpected end of input stream|not a gzip file|invalid (?:stored block|code|distance|block)|"
    r"incorrect (?:data|header) check|ZipException|not in BZip|bad block header|Illegal Parquet type|"
    r"readParquetFootersInParallel|parquet\.format\.Util\.read|parquet\.hadoop\.ParquetFileReader|"
    r"ParquetDecodingException"
)
TOO_LONG = re.compile(r"TextParsingException(?s:.)*?(?:Length of parsed input|out of bounds for length)")
WRONG_COLUMN = re.compile(r"Column: \[(.+?)\], Expected: (.+?), Found: (\w+)")


@contextmanager
def data_errors(name: str = "the inputs", source: str | None = None) -> Iterator[None]:
    """Raise DataError instead of Spark's error where an input's file is damaged, missing or of another kind.

    Spark is lazy: a damaged file may come to light in any action on the input, so jobs run theirs in here.
    """
    try:
        yield
    except FAILURES as error:
        told = explained(str(error), name, source)
        if told is None:
            raise
        raise told from error


@contextmanager
def opening(name: str, source: str) -> Iterator[None]:
    """As `data_errors`; what Spark cannot resolve while it opens the input is the input's fault, too."""
    try:
        with data_errors(name, source):
            yield
    except AnalysisException as error:
        if error.getErrorClass() == "COLUMN_ALREADY_EXISTS":
            told = re.search(r"column `.+?` already exists", str(error))
            raise DataError(
                f"columns of {name} must differ by more than case, or Spark does not tell them apart"
                + (f" ({told[0]})" if told else ""),
                value=source,
                next_step="rename one of them where the table is written",
            ) from error
        what = str(error).strip().splitlines()[0]
        raise DataError(
            f"{name} must be a table or files that Spark can open ({what})",
            value=source,
            next_step="check the name, the access rights and the format",
        ) from error


def explained(message: str, name: str, source: str | None) -> DataError | None:
    """What is wrong with an input's file, by what Spark says; None where it is no file's fault."""
    file = _file_in(message)
    value = file or source
    if TOO_LONG.search(message):
        return DataError(
            f"values of {name} in CSV must have fewer than 100,000 characters",
            value=value,
            next_step="look for a quote that is opened and never closed, or convert the file to Parquet",
        )
    if file is None and not UNNAMED_PATTERN.search(message):
        return None
    wrong = WRONG_COLUMN.search(message)
    if wrong:
        return DataError(
            f"column {wrong[1]} of {name} must have one type in all files, {wrong[2]} as in the first",
            value=f"{wrong[3]} in {file}",
            next_step="write that file again with the type of the others, or leave it out",
        )
    if "CSV header does not conform" in message:
        return DataError(
            f"all CSV files of {name} must have the same header, each name once",
            value=value,
            next_step="write that file again with the columns of the others, in their order",
        )
    return DataError(
        f"files of {name} must be whole and readable ({_cause(message)})",
        value=value,
        next_step="restore the file or leave it out" if file else "find the damaged file, restore it",
    )


def _file_in(message: str) -> str | None:
    matches = (pattern.search(message) for pattern in FILE_PATTERNS)
    return next((match[1].strip() for match in matches if match), None)


def _cause(message: str) -> str:
    """The innermost cause, without its class."""
    causes = re.findall(r"^Caused by: (?:[\w.$]+: )?(.+)$", message, re.MULTILINE)
    text = causes[-1] if causes else message.strip().splitlines()[0]
    return text.strip().rstrip(".")[:200]
