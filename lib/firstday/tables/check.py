"""Check an input: good rows, bad rows with a reason, and what the rows amount to.

A check reads the log as little as it can. Where there are no bad rows, Parquet and Delta answer the search
for them from their statistics, the profile reads the instant's column alone, and good rows are all rows. The
log is not shuffled or cached.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.tables.contract import (
    NO_CHOICE,
    NO_CLASS,
    NO_NUMBER,
    NO_TIME,
    NO_ZONE,
    NOT_UTF8,
    UNREADABLE_ROW,
    Binding,
    bind,
    dates_of,
)
from firstday.tables.faults import data_errors
from firstday.tables.read import UNREADABLE, Input
from firstday.tables.repeats import has_repeats
from firstday.tables.schemas import Contract, column
from firstday.tables.values import DIGITS
from firstday.windows import instant_at, timestamp_literal

VALUES, DIFFER = "firstday_values", "firstday_differ"  # columns beside those of an input
JSON_OPTIONS = {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}
CONTRADICTING = "is given more than once, with different values"
NEXT_STEPS = {
    UNREADABLE_ROW: "mend the file: a row has as many values as the header, or is one JSON object on a line",
    NOT_UTF8: "say how the file is written, as in --encoding latin-1",
    NO_ZONE: "declare the zone of such times with --input-time-zone",
    NO_TIME: "write times as 2024-05-31T13:00:00Z",
    NO_NUMBER: "write numbers as 1234.5: digits, a point, no unit and nothing between thousands",
    NO_CLASS: "classes are 0, 1, ... and -1 abstains; say how many there are with --classes",
    CONTRADICTING: "keep one row of each",
}


class OfDate(NamedTuple):
    """Good rows of a date (UTC): how many, and the instant of the latest."""

    rows: int
    latest: datetime


@dataclass(frozen=True)
class Profile:
    """What the rows of an input amount to.

    `rows` counts all that were read, `bad_rows` those that broke a rule (`reasons`: which one, how many),
    `repeated` the surplus copies of users that are equal in all columns. `earliest` and `latest` are of good
    rows, and None without any; `dates`: the same by the date of the instant, unless that may lie ahead.
    """

    rows: int
    bad_rows: int
    earliest: datetime | None
    latest: datetime | None
    reasons: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    dates: Mapping[date, OfDate] = field(default_factory=dict, compare=False)

    @property
    def bad_share(self) -> float:
        return self.bad_rows / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Checked:
    """A checked input: `good` has the contract's columns in its order; `bad`: table, reason, row (JSON).
    `notes`: sentences on what was made of it.
    """

    source: Input
    good: DataFrame
    bad: DataFrame
    profile: Profile
    notes: tuple[str, ...] = ()


def latest_instant(inputs: Iterable[Checked]) -> datetime | None:
    """The latest instant of good rows of any input; None where they have none."""
    return max((each.profile.latest for each in inputs if each.profile.latest is not None), default=None)


def check(source: Input, contract: Contract, *, now: datetime, since: datetime | None = None) -> Checked:
    """Check `source` against `contract`; with `since`, only its rows from that instant on.

    `since` reaches the scan, as does the contract's date column, so that older files are not read. Of users
    given more than once, equal rows count as one; where rows differ, none is good.
    Raises DataError where a column is missing or of the wrong type, or a file is damaged; not for bad rows.
    """
    with data_errors(source.name, source.source):
        binding = bind(source, contract, now)
        rows = source.frame if since is None else source.frame.where(_from(since, contract, binding))
        bad = _told(rows.where(binding.broken), binding.reason, source)
        reasons = _reasons(bad)
        # Without bad rows there is nothing to filter: whoever reads on reads no column for its rules' sake.
        kept = rows.where(binding.kept) if reasons else rows
        good = kept.select(*binding.selected)
        _refuse_choices(source, contract, binding, reasons, rows)
        extent = _extent(good, contract)
        repeated = 0
        if contract.unique is not None and has_repeats(good, contract.unique, extent.rows):
            good, contradicting, repeated = _settled(kept, binding, contract.unique)
            told = _told(contradicting, F.lit(f"{contract.unique} {CONTRADICTING}"), source)
            reasons |= _reasons(told)
            bad = bad.unionByName(told)
            extent = _extent(good, contract)
    bad_rows = sum(reasons.values())
    profile = Profile(
        *(extent.rows + repeated + bad_rows, bad_rows, extent.earliest, extent.latest),
        *(reasons, repeated, extent.dates),
    )
    return Checked(source, good, bad, profile)


def made_of(source: Input, good: DataFrame, contract: Contract, notes: tuple[str, ...] = ()) -> Checked:
    """Rows that were made of a checked input, as an input of their own: all of them are good."""
    extent = _extent(good, contract)
    nothing = good.limit(0).select(*(F.lit("").alias(name) for name in ("table", "reason", "row")))
    profile = Profile(extent.rows, 0, extent.earliest, extent.latest, dates=extent.dates)
    return Checked(replace(source, name=contract.table), good, nothing, profile, notes)


def _refuse_choices(
    source: Input, contract: Contract, binding: Binding, reasons: Mapping[str, int], rows: DataFrame
) -> None:
    """Raise DataError where a column holds names that mean nothing here: rows set aside would be missed."""
    for item in contract.fields:
        count = sum(reasons[reason] for reason in reasons if reason.startswith(f"{item.name} {NO_CHOICE}"))
        if not count:
            continue
        others = binding.values[item.name]
        unknown = rows.where(binding.broken & ~others.isin(*item.choices)).select(others.alias("name"))
        names = [row["name"] for row in unknown.distinct().orderBy("name").limit(10).collect()]
        raise DataError(
            f"{item.name} of {source.name} is one of {', '.join(item.choices)}, in any case; "
            f"{count:,} rows have another",
            value=names,
            next_step="rename these in a view of the table, or leave them out there",
        )


def refuse_beyond(checked: Checked, max_bad_share: float) -> None:
    """Raise DataError when a larger share of the rows than `max_bad_share` is bad."""
    profile = checked.profile
    if profile.bad_share <= max_bad_share:
        return
    reasons = sorted(profile.reasons.items(), key=lambda item: -item[1])
    told = "; ".join(f"{reason}: {count:,}" for reason, count in reasons)
    hints = (hint for part, hint in NEXT_STEPS.items() if part in reasons[0][0])
    shown = _example(checked, reasons[0][0])
    raise DataError(
        f"at most {max_bad_share:.1%} of the rows of {checked.source.name} may be bad, "
        f"but {profile.bad_rows:,} of {profile.rows:,} are ({told})",
        value=[checked.source.source, shown.row],
        next_step=f"{shown.hint or next(hints, 'mend the input, or raise --max-bad-share')}; "
        "quarantine has such rows",
    )


class _Example(NamedTuple):
    row: str
    hint: str | None


def _example(checked: Checked, reason: str) -> _Example:
    """A row that breaks this rule, and what to do where its time is a number."""
    row = checked.bad.where(F.col("reason") == reason).select("row").first()
    text = row["row"] if row is not None else ""
    if NO_TIME not in reason or not text.startswith("{"):
        return _Example(text, None)
    value = json.loads(text).get(reason.removesuffix(f" {NO_TIME}"))
    if not isinstance(value, str) or re.fullmatch(DIGITS.strip("^$"), value) is None:
        return _Example(text, None)
    told = f"or say the unit of {value} with --time-unit: {dates_of(float(value))}"
    return _Example(text, f"write times as 2024-05-31T13:00:00Z, {told}")


def _from(since: datetime, contract: Contract, binding: Binding) -> Column:
    assert contract.instant is not None  # else nothing is asked for since an instant
    recent = binding.values[contract.instant] >= timestamp_literal(since)
    if contract.date is None:
        return recent
    return recent & (binding.values[contract.date] >= F.lit(since.astimezone(UTC).date()))


def _told(rows: DataFrame, reason: Column, source: Input) -> DataFrame:
    """Raw rows as quarantine keeps them."""
    names = [name for name in rows.columns if name != UNREADABLE]
    row = F.to_json(F.struct(*map(column, names)), JSON_OPTIONS)
    if UNREADABLE in rows.columns:
        row = F.coalesce(column(UNREADABLE), row)
    return rows.select(F.lit(source.name).alias("table"), reason.alias("reason"), row.alias("row"))


def _reasons(bad: DataFrame) -> dict[str, int]:
    return {row["reason"]: row["count"] for row in bad.groupBy("reason").count().collect()}


def _settled(rows: DataFrame, binding: Binding, key: str) -> tuple[DataFrame, DataFrame, int]:
    """One row for each `key` whose rows are equal; the raw rows of the others; the number of equal copies."""
    values = F.struct(*binding.selected)
    same_key = Window.partitionBy(binding.values[key])
    differ = ~F.min(values).over(same_key).eqNullSafe(F.max(values).over(same_key))
    marked = rows.select("*", values.alias(VALUES), differ.alias(DIFFER))
    equal = marked.where(~column(DIFFER)).select(f"{VALUES}.*")
    good = equal.dropDuplicates([key])
    contradicting = marked.where(column(DIFFER)).drop(VALUES, DIFFER)
    return good, contradicting, equal.count() - good.count()


class _Extent(NamedTuple):
    rows: int
    earliest: datetime | None
    latest: datetime | None
    dates: dict[date, OfDate]


def _extent(good: DataFrame, contract: Contract) -> _Extent:
    """Number of rows, earliest and latest instant, and the same by date. As microseconds: Python's own times
    have a local zone.
    """
    if contract.instant is None:
        return _Extent(good.count(), None, None, {})
    ahead = next(item.future for item in contract.fields if item.name == contract.instant)
    micros = F.unix_micros(column(contract.instant))
    on = F.lit(None).cast("date") if ahead else column(contract.instant).cast("date")
    found = good.groupBy(on.alias("date")).agg(
        F.count("*").alias("rows"), F.min(micros).alias("first"), F.max(micros).alias("last")
    )
    rows = found.collect()
    known = [row for row in rows if row["last"] is not None]
    return _Extent(
        sum(row["rows"] for row in rows),
        min((instant_at(row["first"]) for row in known), default=None),
        max((instant_at(row["last"]) for row in known), default=None),
        {
            row["date"]: OfDate(row["rows"], instant_at(row["last"]))
            for row in known
            if row["date"] is not None
        },
    )
