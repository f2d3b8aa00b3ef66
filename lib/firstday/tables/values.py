"""What text says: numbers, truth values, instants, dates, nothing. The one place where text becomes a value.

Plain notations only, each guarded by a pattern: a cast alone takes what Java takes (`1d`, `0x1p3`), and in an
ANSI session it ends the job at the first text that is none. All functions give null for other text.
"""

from typing import get_args

from pyspark.sql import Column
from pyspark.sql import functions as F

from firstday.settings.inputs import TimeUnit
from firstday.tables.schemas import NUMBER_TEXT

TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)
MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}  # of a unit; a nanosecond is less than one
LAST_SECOND = 253_402_300_799  # of the year 9999: beyond it Python has no dates

NULLS = ("NULL", "null", "\\N")  # as databases write what is not there
NOT_A_NUMBER = ("nan",)  # in lower case; null, as a NaN is
LEADING_ZERO = r"^\s*[+-]?0\d"  # an id, a postcode: as a number it would lose a part of itself
WHOLE_TEXT = r"^\s*[+-]?\d{1,9}(?:\.0*)?\s*$"
DIGITS = r"^\s*[+-]?\d{1,18}(?:\.\d*)?\s*$"
DAY = r"\s*\d{4}-\d{1,2}-\d{1,2}"
CLOCK = r"(?:[T ]\d{1,2}(?::\d{1,2}){0,2}(?:\.\d*)?)?"
# An offset, UTC by its names, or a place: what EST or IST is depends on who reads it.
ZONE = r"\s*(?:Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2}){0,2}|[A-Z][A-Za-z_]+(?:/[A-Za-z0-9_+-]+)+)"
LOCAL_TEXT = rf"^{DAY}{CLOCK}\s*$"
INSTANT_TEXT = rf"^{DAY}{CLOCK}(?:{ZONE})?\s*$"
DAY_TEXT = rf"^{DAY}\s*$"
COMPACT_DAY = r"^\s*\d{8}\s*$"
REPLACED = "\ufffd"  # what a decoder leaves where bytes were no text


def present(text: Column) -> Column:
    """The text; null where it says that nothing is there (`NULLS`)."""
    return F.when(~text.isin(*NULLS), text)


def truth(text: Column) -> Column:
    """True and false, in any case, as booleans."""
    word = F.lower(F.trim(text))
    return F.when(word == "true", True).when(word == "false", False)


def stripped(text: Column) -> Column:
    """Without white space at its ends, as Python's str.strip has it: blanks, tabs, no-break spaces."""
    return F.regexp_replace(text, r"^[\s\p{Z}]+|[\s\p{Z}]+$", "")


def number(text: Column) -> Column:
    """Digits with sign, point and exponent as double, where it holds them; true and false are 1 and 0."""
    of_truth = truth(text).cast("double")
    value = F.when(text.rlike(NUMBER_TEXT), F.trim(text).cast("double")).otherwise(of_truth)
    return F.when(F.abs(value) < F.lit(float("inf")), value)


def is_nan(text: Column) -> Column:
    """Whether the text is NaN, in any case."""
    return F.lower(F.trim(text)).isin(*NOT_A_NUMBER)


def whole(text: Column) -> Column:
    """Whole numbers of up to nine digits, also as 1.0, as int."""
    return F.when(text.rlike(WHOLE_TEXT), F.trim(text).cast("double").cast("int"))


def instant(text: Column) -> Column:
    """ISO 8601 as a timestamp. Text without an offset (`LOCAL_TEXT`) is read as if it were in UTC."""
    # Spark wants seconds before an offset, and the colon in it.
    whole = F.regexp_replace(text, rf"^({DAY}[T ]\d{{1,2}}:\d{{1,2}})(?={ZONE}\s*$)", "$1:00")
    whole = F.regexp_replace(whole, r"([T ]\d{1,2}:[\d:.]*\s*[+-]\d{2})(\d{2})\s*$", "$1:$2")
    # Without the pattern it takes '12:30' for a time today.
    return F.when(text.rlike(INSTANT_TEXT), F.try_to_timestamp(whole))


def day(text: Column) -> Column:
    """ISO 8601 or 20240305 as a date."""
    dashed = F.regexp_replace(text, r"^\s*(\d{4})(\d{2})(\d{2})\s*$", "$1-$2-$3")
    return F.when(text.rlike(DAY_TEXT) | text.rlike(COMPACT_DAY), F.try_to_timestamp(dashed).cast("date"))


def counted(value: Column, unit: TimeUnit) -> Column:
    """The instant that lies `value` units after 1970 (UTC); null beyond the year 9999."""
    limit = LAST_SECOND * (1e9 if unit == "ns" else 1e6 / MICROSECONDS[unit])
    micros = micros_of(value) if unit == "ns" else value * MICROSECONDS[unit]
    return F.when(F.abs(value) <= limit, F.timestamp_micros(micros.cast("long")))


def micros_of(nanoseconds: Column) -> Column:
    """Whole microseconds; a double would not hold as many digits."""
    return F.call_function("div", nanoseconds.cast("long"), F.lit(1_000).cast("long"))


def counted_text(text: Column, unit: TimeUnit) -> Column:
    """`counted`, of digits with or without a decimal point."""
    exact = F.when(text.rlike(DIGITS), F.trim(text).cast("decimal(38,6)"))
    return counted(exact, unit)
