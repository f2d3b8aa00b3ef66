"""Bind a contract to an input: which column is which field, what it becomes, and what makes a row bad."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_, or_

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
from firstday.tables.read import UNREADABLE, Input, to_instant
from firstday.tables.schemas import Contract, Field, column

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)  # a device's clock may run ahead; a day ahead it is wrong

DAY_TEXT = r"\s*\d{4}-\d{1,2}-\d{1,2}"
LOCAL_TEXT = rf"^{DAY_TEXT}([T ]\d{{1,2}}(:\d{{1,2}}){{0,2}}(\.\d*)?)?\s*$"

UNREADABLE_ROW = "the row cannot be read"
NO_ZONE = "has no time zone"
NO_TIME = "is not an ISO 8601 time"
NO_VOTE = "is not a whole number"
NO_NUMBER = "is not a number"
NO_CLASS = "is a vote outside of the classes"
WHOLE_TEXT = r"^\s*[+-]?\d{1,9}(\.0*)?\s*$"


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
    types = {item.name: item.dataType for item in source.frame.schema}
    values: dict[str, Column] = {}
    rules = [Rule(UNREADABLE_ROW, column(UNREADABLE).isNotNull())] if UNREADABLE in types else []
    for item, name in _columns(source, contract).items():
        value, own = _bound(item, name, types[name], source, now)
        values[item.name] = value
        if not item.nullable:
            rules.append(Rule(f"{item.name} is null", column(name).isNull()))
        # A null that may be there breaks no rule; without this it would be neither good nor bad.
        rules += [Rule(rule.reason, _where_told(rule.broken)) for rule in own] if item.nullable else own
    return Binding(values, tuple(rules))


def _where_told(broken: Column) -> Column:
    return F.coalesce(broken, F.lit(False))


def literal(instant: datetime) -> Column:
    """A timestamp literal that depends on no session's time zone."""
    return F.timestamp_micros(F.lit((instant - EPOCH) // timedelta(microseconds=1)))


def _columns(source: Input, contract: Contract) -> dict[Field, str]:
    """The column of each field; an optional field may have none."""
    names = source.columns
    accepted = {item: [name for name in (item.name, item.alias) if name in names] for item in contract.fields}
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
    renamed = f"rename columns, in the table or in a view of it; nearest to {'; '.join(nearest)}"
    return DataError(
        f"{source.name} must have the column{'s' if len(missing) > 1 else ''} {wanted}, "
        f"but {source.source} has {', '.join(map(repr, names)) or 'none at all'}",
        next_step=renamed if nearest else "check that this is the right table",
    )


def _bound(item: Field, name: str, kind: DataType, source: Input, now: datetime) -> tuple[Column, list[Rule]]:
    """What the field is made of, and the rules beyond null."""
    raw = column(name)
    if item.kind == "instant":
        value, rules = _instant(item, raw, kind, source)
        return value, [*rules, *_plausible(item, value, now)]
    if item.kind == "any":
        return raw, []
    if item.kind == "vote":
        return _vote(item, raw, kind, source)
    if item.kind == "number":
        return _number(item, raw, kind, source)
    if item.kind == "date":
        accepted, wanted = isinstance(kind, DateType | StringType), "dates"
    elif item.kind == "id":
        # No fractions: 12 kept as 12.0 reads as another text, and would be nobody's id.
        whole = isinstance(kind, IntegralType) or (isinstance(kind, DecimalType) and kind.scale == 0)
        accepted, wanted = whole or isinstance(kind, StringType), "text or whole numbers"
    else:
        accepted = not isinstance(kind, ArrayType | MapType | StructType | BinaryType)
        wanted = "plain values"
    if not accepted:
        raise _wrong_type(item, wanted, kind, source)
    return raw.cast("date" if item.kind == "date" else "string"), []


def _vote(item: Field, raw: Column, kind: DataType, source: Input) -> tuple[Column, list[Rule]]:
    if not isinstance(kind, NumericType | StringType):
        raise _wrong_type(item, "whole numbers, -1 to abstain", kind, source)
    value = raw.cast("int")
    rules = []
    if isinstance(kind, StringType):
        rules.append(Rule(f"{item.name} {NO_VOTE}", ~raw.rlike(WHOLE_TEXT)))
    elif not isinstance(kind, IntegralType):
        rules.append(Rule(f"{item.name} {NO_VOTE}", raw != value))  # NaN becomes 0, and differs
    # On the raw column, so that Parquet and Delta rule it out by their statistics.
    # Where classes are not known yet, what fits no int would wrap round into one.
    outside = (raw < F.lit(-1)) | (raw >= F.lit(2**31 if item.classes is None else item.classes))
    return value, [*rules, Rule(f"{item.name} {NO_CLASS}", outside)]


def _number(item: Field, raw: Column, kind: DataType, source: Input) -> tuple[Column, list[Rule]]:
    if not isinstance(kind, NumericType | BooleanType | StringType):
        raise _wrong_type(item, "numbers", kind, source)
    value = raw.cast("double")
    rules = []
    if isinstance(kind, StringType):
        rules.append(Rule(f"{item.name} {NO_NUMBER}", raw.isNotNull() & value.isNull()))
    if isinstance(kind, StringType | FloatType | DoubleType):
        if not item.nullable:
            rules.append(Rule(f"{item.name} is NaN", F.isnan(value)))
        value = F.when(~F.isnan(value), value)
    if item.low is not None:
        rules.append(Rule(f"{item.name} is below {item.low:g}", value < item.low))
    if item.high is not None:
        rules.append(Rule(f"{item.name} is above {item.high:g}", value > item.high))
    return value, rules


def _instant(item: Field, raw: Column, kind: DataType, source: Input) -> tuple[Column, list[Rule]]:
    zone = source.time_zone
    if isinstance(kind, TimestampType):
        return raw, []
    if isinstance(kind, StringType):
        return _parsed(item, raw, zone)
    if isinstance(kind, DateType) and zone is not None:
        return to_instant(raw.cast("timestamp"), zone), []
    if isinstance(kind, DateType | TimestampNTZType):
        raise DataError(
            f"{item.name} of {source.name} must be instants: times with a zone, or a declared one",
            value=f"{kind.simpleString()} in {source.source}",
            next_step="declare the zone of these times, e.g. --input-time-zone UTC",
        )
    raise _wrong_type(item, "timestamps, or text in ISO 8601", kind, source)


def _parsed(item: Field, raw: Column, zone: str | None) -> tuple[Column, list[Rule]]:
    """Text with an offset or a zone is an instant by itself; text without is one in the declared zone."""
    local = raw.rlike(LOCAL_TEXT)
    # The pattern: without it Spark takes '12:30' for a time today, and '2024' for a new year's day.
    parsed = F.when(raw.rlike(f"^{DAY_TEXT}"), F.try_to_timestamp(raw))
    rules = [Rule(f"{item.name} {NO_TIME}", raw.isNotNull() & parsed.isNull())]
    if zone is None:
        return parsed, [*rules, Rule(f"{item.name} {NO_ZONE}", local)]
    return F.when(local, to_instant(parsed, zone)).otherwise(parsed), rules


def _plausible(item: Field, value: Column, now: datetime) -> list[Rule]:
    rules = [Rule(f"{item.name} is before {EARLIEST:%Y}", value < literal(EARLIEST))]
    if not item.future:
        rules.append(Rule(f"{item.name} is more than a day ahead of now", value > literal(now + AHEAD)))
    return rules


def _wrong_type(item: Field, wanted: str, kind: DataType, source: Input) -> DataError:
    return DataError(
        f"{item.name} of {source.name} must be {wanted}",
        value=f"{kind.simpleString()} in {source.source}",
        next_step="convert the column, in the table or in a view of it",
    )
