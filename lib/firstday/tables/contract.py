"""Bind a contract to an input: which column is which field, what it becomes, and what makes a row bad."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_, or_
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    MapType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from firstday.errors import DataError
from firstday.tables.read import TEXT_FORMATS, UNREADABLE, Input, to_instant
from firstday.tables.schemas import Contract, Field, column
from firstday.tables.values import (
    LAST_SECOND,
    LOCAL_TEXT,
    MICROSECONDS,
    NULLS,
    REPLACED,
    TIME_UNITS,
    TimeUnit,
    counted,
    counted_text,
    day,
    instant,
    is_nan,
    number,
    present,
    stripped,
    whole,
)
from firstday.windows import EPOCH, timestamp_literal

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, tzinfo=UTC)  # Python has no later dates
AHEAD = timedelta(days=1)  # a device's clock may run ahead; a day ahead it is wrong

UNREADABLE_ROW = "the row cannot be read"
NO_ZONE = "has no time zone"
NO_TIME = "is not an ISO 8601 time"
NO_VOTE = "is not a whole number"
NO_NUMBER = "is not a number"
NO_CLASS = "is a vote outside of the classes"
NO_TRUTH = "is neither true nor false"
NO_DATE = "is not a date"
NO_CHOICE = "is none of"
NOT_UTF8 = "the row is not UTF-8"
CHAR_TYPE = "__CHAR_VARCHAR_TYPE_STRING"  # where Spark keeps that a text is a CHAR(n)


@dataclass(frozen=True)
class Rule:
    """`broken` is never null in a row that keeps the rules before this one."""

    reason: str
    broken: Column


@dataclass(frozen=True)
class Binding:
    """A contract's fields as expressions over an input's columns; its rules, in the order they are told."""

    values: dict[str, Column]
    rules: tuple[Rule, ...]

    @property
    def selected(self) -> list[Column]:
        return [value.alias(name) for name, value in self.values.items()]

    @property
    def broken(self) -> Column:
        """An "or" of plain comparisons: Parquet and Delta skip by it what their statistics rule out."""
        return reduce(or_, (rule.broken for rule in self.rules))

    @property
    def kept(self) -> Column:
        return reduce(and_, (~rule.broken for rule in self.rules))

    @property
    def reason(self) -> Column:
        """The first broken rule of a row."""
        return F.coalesce(*(F.when(rule.broken, F.lit(rule.reason)) for rule in self.rules))


def bind(source: Input, contract: Contract, now: datetime) -> Binding:
    """Bind `contract` to `source`. Raises DataError where a column is missing or of the wrong type."""
    types = {item.name: item for item in source.frame.schema}
    values: dict[str, Column] = {}
    found = _columns(source, contract)
    rules = []
    if source.format in TEXT_FORMATS:
        names = [name for name in found.values() if isinstance(types[name].dataType, StringType)]
        texts = [column(name) for name in (*names, *({UNREADABLE} & set(types)))]
        replaced = [_where_told(F.contains(text, F.lit(REPLACED))) for text in texts]
        rules += [Rule(NOT_UTF8, reduce(or_, replaced))] if replaced else []
    rules += [Rule(UNREADABLE_ROW, column(UNREADABLE).isNotNull())] if UNREADABLE in types else []
    for item, name in found.items():
        kind = types[name].dataType
        raw = column(name)
        if isinstance(kind, StringType) and item.kind != "any":
            raw = _text(raw, types[name].metadata)
        value, own = _bound(item, raw, kind, source, now)
        values[item.name] = value
        if not item.nullable:
            rules.append(Rule(f"{item.name} is null", column(name).isNull()))
            if isinstance(kind, StringType) and item.kind != "any":
                rules.append(Rule(f"{item.name} is null", column(name).isin(*NULLS)))
        # A null that may be there breaks no rule; without this it would be neither good nor bad.
        rules += [Rule(rule.reason, _where_told(rule.broken)) for rule in own] if item.nullable else own
    return Binding(values, tuple(rules))


def _text(raw: Column, metadata: Mapping[str, Any]) -> Column:
    """A text as it was written: without the blanks that a CHAR(n) column adds, null where it says so."""
    padded = str(metadata.get(CHAR_TYPE, "")).lower().startswith("char(")
    return present(F.rtrim(raw) if padded else raw)


def _where_told(broken: Column) -> Column:
    return F.coalesce(broken, F.lit(False))


def _columns(source: Input, contract: Contract) -> dict[Field, str]:
    """The column of each field; an optional field may have none."""
    names = source.columns
    lowered = {name.lower(): name for name in names}  # as Spark has it, case tells no columns apart
    accepted = {
        item: [
            name if name in names else lowered[name.lower()]
            for name in (item.name, item.alias)
            if name is not None and name.lower() in lowered
        ]
        for item in contract.fields
    }
    missing = [item for item, found in accepted.items() if not found and not item.optional]
    if missing:
        raise _missing(missing, names, source)
    return {item: found[0] for item, found in accepted.items() if found}


def _missing(missing: Sequence[Field], names: Sequence[str], source: Input) -> DataError:
    lowered = {name.lower(): name for name in names}
    nearest = []
    for item in missing:
        close = difflib.get_close_matches(item.name.lower(), list(lowered), n=2, cutoff=0.5)
        if close:
            nearest.append(f"{item.name!r}: " + " or ".join(repr(lowered[name]) for name in close))
    wanted = ", ".join(repr(item.name) + (f" (or {item.alias!r})" if item.alias else "") for item in missing)
    renamed = f"name them with --columns, or in a view; nearest to {'; '.join(nearest)}"
    for item in missing:
        if paths := source.mapped.get(item.name):
            nearest.append("")
            renamed = (
                f"{item.name} is to be taken from {' or '.join(paths)}, which is not there: mend --columns"
            )
    if any(REPLACED in name or "\x00" in name for name in names) or (source.format == "json" and not names):
        nearest, renamed = ["encoding"], "say how the file is written, as in --encoding utf-16 or latin-1"
    return DataError(
        f"{source.name} must have the column{'s' if len(missing) > 1 else ''} {wanted}, "
        f"but {source.source} has {', '.join(map(repr, names)) or 'none at all'}",
        next_step=renamed if nearest else "check that this is the right table",
    )


Bound = tuple[Column, list[Rule]]


def _bound(item: Field, raw: Column, kind: DataType, source: Input, now: datetime) -> Bound:
    """What the field is made of, and the rules beyond null."""
    if item.kind == "instant":
        value, rules = _instant(item, raw, kind, source)
        return value, [*rules, *_plausible(item, value, now)]
    if item.kind == "any":
        return raw, []
    if item.kind == "vote":
        return _vote(item, raw, kind, source)
    if item.kind == "number":
        return _number(item, raw, kind, source)
    if item.kind == "truth":
        return _truth(item, raw, kind, source)
    if item.kind == "date":
        return _date(item, raw, kind, source)
    if item.kind == "id":
        # No fractions: 12 kept as 12.0 reads as another text, and would be nobody's id.
        whole = isinstance(kind, IntegralType) or (isinstance(kind, DecimalType) and kind.scale == 0)
        accepted, wanted = whole or isinstance(kind, StringType), "text or whole numbers"
    else:
        accepted = not isinstance(kind, ArrayType | MapType | StructType | BinaryType)
        wanted = "plain values"
    if not accepted:
        raise _wrong_type(item, wanted, kind, source)
    return _named(item, raw.cast("string"))


def _named(item: Field, value: Column) -> Bound:
    """Names without blanks at their ends, and the known ones by what they are without regard to case."""
    if item.trimmed:
        value = stripped(value)
    if not item.choices:
        return value, []
    value = F.lower(stripped(value))
    return value, [Rule(f"{item.name} {NO_CHOICE} {', '.join(item.choices)}", ~value.isin(*item.choices))]


def _date(item: Field, raw: Column, kind: DataType, source: Input) -> Bound:
    if isinstance(kind, DateType):
        return raw, []
    if not isinstance(kind, StringType):
        raise _wrong_type(item, "dates", kind, source)
    value = day(raw)
    return value, [Rule(f"{item.name} {NO_DATE}", raw.isNotNull() & value.isNull())]


def _truth(item: Field, raw: Column, kind: DataType, source: Input) -> Bound:
    if isinstance(kind, BooleanType):
        return raw, []
    if not isinstance(kind, NumericType | StringType):
        raise _wrong_type(item, "truth values: true and false, or 1 and 0", kind, source)
    as_number = number(raw) if isinstance(kind, StringType) else raw
    value = F.when(as_number == 1, True).when(as_number == 0, False)
    return value, [Rule(f"{item.name} {NO_TRUTH}", raw.isNotNull() & value.isNull())]


def _vote(item: Field, raw: Column, kind: DataType, source: Input) -> Bound:
    if not isinstance(kind, NumericType | StringType):
        raise _wrong_type(item, "whole numbers, -1 to abstain", kind, source)
    # Where classes are not known yet, what fits no int would wrap round into one.
    highest = 2**31 if item.classes is None else item.classes
    if isinstance(kind, StringType):
        value = whole(raw)
        rules = [Rule(f"{item.name} {NO_VOTE}", raw.isNotNull() & value.isNull())]
        return value, [*rules, Rule(f"{item.name} {NO_CLASS}", (value < -1) | (value >= highest))]
    # On the raw column, so that Parquet and Delta rule it out by their statistics.
    outside = (raw < F.lit(-1)) | (raw >= F.lit(highest))
    value, rules = F.when(~outside, raw.cast("int")), []
    if not isinstance(kind, IntegralType):
        fraction = F.isnan(raw) | (raw != value) if isinstance(kind, FloatType | DoubleType) else raw != value
        rules.append(Rule(f"{item.name} {NO_VOTE}", fraction))
    return value, [*rules, Rule(f"{item.name} {NO_CLASS}", outside)]


def _number(item: Field, raw: Column, kind: DataType, source: Input) -> Bound:
    if not isinstance(kind, NumericType | BooleanType | StringType):
        raise _wrong_type(item, "numbers", kind, source)
    rules = []
    if isinstance(kind, StringType):
        value, nan = number(raw), is_nan(raw)
        rules.append(Rule(f"{item.name} {NO_NUMBER}", raw.isNotNull() & value.isNull() & ~nan))
    else:
        value = raw.cast("double")
        nan = F.isnan(value)
    if isinstance(kind, StringType | FloatType | DoubleType):
        if not item.nullable:
            rules.append(Rule(f"{item.name} is NaN", nan))
        value = F.when(~nan, value)
    if item.low is not None:
        rules.append(Rule(f"{item.name} is below {item.low:g}", value < item.low))
    if item.high is not None:
        rules.append(Rule(f"{item.name} is above {item.high:g}", value > item.high))
    return value, rules


def _instant(item: Field, raw: Column, kind: DataType, source: Input) -> Bound:
    zone = source.time_zone
    if isinstance(kind, TimestampType):
        return raw, []
    if isinstance(kind, StringType):
        return _parsed(item, raw, zone, source.time_unit)
    if isinstance(kind, NumericType):
        return _counted(item, raw, kind, source)
    if isinstance(kind, DateType) and zone is not None:
        return to_instant(raw.cast("timestamp"), zone), []
    if isinstance(kind, DateType | TimestampNTZType):
        raise DataError(
            f"{item.name} of {source.name} must be instants: times with a zone, or a declared one",
            value=f"{kind.simpleString()} in {source.source}",
            next_step="declare the zone of these times, e.g. --input-time-zone UTC",
        )
    raise _wrong_type(item, "timestamps, or text in ISO 8601", kind, source)


def _counted(item: Field, raw: Column, kind: DataType, source: Input) -> Bound:
    """Instants as numbers, of the declared unit."""
    if source.time_unit is None:
        row = source.frame.select(raw.cast("double")).where(raw.isNotNull()).first()
        raise DataError(
            f"{item.name} of {source.name} must be timestamps, text in ISO 8601, or numbers of a known unit",
            value=f"{kind.simpleString()} in {source.source}" + (f", such as {row[0]:.0f}" if row else ""),
            next_step="say the unit with --time-unit" + (f": {dates_of(row[0])}" if row else ""),
        )
    value = counted(raw, source.time_unit)
    return value, [Rule(f"{item.name} {NO_TIME}", raw.isNotNull() & value.isNull())]


def dates_of(count: float) -> str:
    """The date that a number of seconds, milliseconds, ... since 1970 is, for each unit that makes it one."""
    told = []
    for unit in TIME_UNITS:
        seconds = count * MICROSECONDS[unit] / 1e6 if unit in MICROSECONDS else count / 1e9
        if abs(seconds) <= LAST_SECOND:
            told.append(f"{unit} would make it {EPOCH + timedelta(seconds=seconds):%Y-%m-%d}")
    return ", ".join(told) or "no unit makes it a date"


def _parsed(item: Field, raw: Column, zone: str | None, unit: TimeUnit | None) -> Bound:
    """Text with an offset or a zone is an instant by itself; text without is one in the declared zone."""
    local = raw.rlike(LOCAL_TEXT)
    parsed = instant(raw)
    if unit is not None:
        parsed = F.coalesce(parsed, counted_text(raw, unit))
    rules = [Rule(f"{item.name} {NO_TIME}", raw.isNotNull() & parsed.isNull())]
    if zone is None:
        return parsed, [*rules, Rule(f"{item.name} {NO_ZONE}", local)]
    return F.when(local, to_instant(parsed, zone)).otherwise(parsed), rules


def _plausible(item: Field, value: Column, now: datetime) -> list[Rule]:
    rules = [Rule(f"{item.name} is before {EARLIEST:%Y}", value < timestamp_literal(EARLIEST))]
    if item.future:
        rules.append(Rule(f"{item.name} is after {LATEST:%Y}", value > timestamp_literal(LATEST)))
    else:
        rules.append(
            Rule(f"{item.name} is more than a day ahead of now", value > timestamp_literal(now + AHEAD))
        )
    return rules


def _wrong_type(item: Field, wanted: str, kind: DataType, source: Input) -> DataError:
    return DataError(
        f"{item.name} of {source.name} must be {wanted}",
        value=f"{kind.simpleString()} in {source.source}",
        next_step="convert the column, in the table or in a view of it",
    )
