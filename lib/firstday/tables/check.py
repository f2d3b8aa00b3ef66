"""Check an input: good rows, bad rows with a reason, and what the rows amount to.

A check reads the log as little as it can. Where there are no bad rows, Parquet and Delta answer the search
for them from their statistics, the profile reads the instant's column alone, and good rows are all rows. The
log is not shuffled or cached.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.tables.contract import EPOCH, NO_CLASS, NO_TIME, NO_ZONE, UNREADABLE_ROW, Binding, bind, literal
from firstday.tables.faults import data_errors
from firstday.tables.read import UNREADABLE, Input
from firstday.tables.repeats import has_repeats
from firstday.tables.schemas import Contract, column

VALUES, DIFFER = "firstday_values", "firstday_differ"  # columns beside those of an input
JSON_OPTIONS = {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}
CONTRADICTING = "is given more than once, with different values"
NEXT_STEPS = {
    UNREADABLE_ROW: "mend the file: a row has as many values as the header, or is one JSON object on a line",
    NO_ZONE: "declare the zone of such times with --input-time-zone",
    NO_TIME: "write times as 2024-05-31T13:00:00Z",
    NO_CLASS: "classes are 0, 1, ... and -1 abstains; say how many there are with --classes",
    CONTRADICTING: "keep one row of each",
}


@dataclass(frozen=True)
class Profile:
    """What the rows of an input amount to.

    `rows` counts all that were read, `bad_rows` those that broke a rule (`reasons`: which one, how many),
    `repeated` the surplus copies of users that are equal in all columns. `earliest` and `latest` are of good
    rows, and None without any.
    """

    rows: int
    bad_rows: int
    earliest: datetime | None
    latest: datetime | None
    reasons: dict[str, int] = field(default_factory=dict)
    repeated: int = 0

    @property
    def bad_share(self) -> float:
        return self.bad_rows / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Checked:
    """A checked input: `good` has the contract's columns in its order; `bad`: table, reason, row (JSON)."""

    source: Input
    good: DataFrame
    bad: DataFrame
    profile: Profile


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
        extent = _extent(good, contract.instant)
        repeated = 0
        if contract.unique is not None and has_repeats(good, contract.unique, extent[0]):
            good, contradicting, repeated = _settled(kept, binding, contract.unique)
            told = _told(contradicting, F.lit(f"{contract.unique} {CONTRADICTING}"), source)
            reasons |= _reasons(told)
            bad = bad.unionByName(told)
            extent = _extent(good, contract.instant)
        count, earliest, latest = extent
    bad_rows = sum(reasons.values())
    profile = Profile(count + repeated + bad_rows, bad_rows, earliest, latest, reasons, repeated)
    return Checked(source, good, bad, profile)


def refuse_beyond(checked: Checked, max_bad_share: float) -> None:
    """Raise DataError when a larger share of the rows than `max_bad_share` is bad."""
    profile = checked.profile
    if profile.bad_share <= max_bad_share:
        return
    reasons = sorted(profile.reasons.items(), key=lambda item: -item[1])
    told = "; ".join(f"{reason}: {count:,}" for reason, count in reasons)
    hints = (hint for part, hint in NEXT_STEPS.items() if part in reasons[0][0])
    raise DataError(
        f"at most {max_bad_share:.1%} of the rows of {checked.source.name} may be bad, "
        f"but {profile.bad_rows:,} of {profile.rows:,} are ({told})",
        value=checked.source.source,
        next_step=f"{next(hints, 'mend the input, or raise --max-bad-share')}; quarantine has such rows",
    )


def _from(since: datetime, contract: Contract, binding: Binding) -> Column:
    assert contract.instant is not None  # else nothing is asked for since an instant
    recent = binding.values[contract.instant] >= literal(since)
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


def _extent(good: DataFrame, instant: str | None) -> tuple[int, datetime | None, datetime | None]:
    """Number of rows, earliest and latest instant. As microseconds: Python's own times have a local zone."""
    micros = F.lit(None).cast("long") if instant is None else F.unix_micros(column(instant))
    row = good.agg(F.count("*"), F.min(micros), F.max(micros)).collect()[0]
    earliest, latest = (None if value is None else EPOCH + timedelta(microseconds=value) for value in row[1:])
    return row[0], earliest, latest
