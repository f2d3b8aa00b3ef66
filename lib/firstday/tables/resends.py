"""What a log delivers twice counts once, in every job that reads one.

A delivery is known by its id, together with whose it is and what: the same id, user and action at another
time is a re-send, and the first stands. An id that several users or actions have is none: a column that holds
the event's type, say, would make one event of all of a kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.tables.check import Checked
from firstday.tables.schemas import column

SAMPLED = 20_000_000  # rows; of a larger log the ids of a sample are looked at
FIRST = 100_000  # rows in which an id that many rows have shows, whatever its hash
ALONE = "firstday_alone"


@dataclass(frozen=True)
class Ids:
    """What an id column holds: rows with an id, those of ids that others have too, and surplus deliveries
    (None where only a sample was looked at); two rows that share an id and are not alike.
    """

    rows: int
    shared: int
    repeated: int | None
    example: str | None

    @property
    def share(self) -> float:
        return self.shared / self.rows if self.rows else 0.0


def once(
    checked: Checked, name: str, of: Sequence[str], *, max_bad_share: float, drop: bool = True
) -> Checked:
    """The input with each delivery once, the first. name: the column with the id; null is no id, and where
    there is no such column all stays. of: whose and what it is, such as user_id and action.

    drop: False only looks, for who drops surplus deliveries in an exchange of its own.
    Raises DataError where more than `max_bad_share` of the rows with an id share it with other users or
    actions.
    """
    good = checked.good
    if name not in good.columns:
        return checked
    found = _ids(good, name, of, checked.profile.rows)
    if found.share > max_bad_share:
        raise DataError(
            f"{name} of {checked.source.name} must be the id of one row each: of "
            f"{' and '.join(of)} together it may be given again, as by a sender that tries once more",
            value=f"{found.shared:,} of {found.rows:,} rows share theirs, such as {found.example}",
            next_step="give the column with the id, or say that there is none with --event-id none"
            if name == "event_id"
            else f"give each row an {name} of its own",
        )
    notes = []
    if found.shared:
        notes.append(
            f"{found.shared:,} of {found.rows:,} rows of {checked.source.name} share their {name} with other "
            f"rows, such as {found.example}: each of these counts."
        )
    if found.repeated:
        notes.append(
            f"{found.repeated:,} rows of {checked.source.name} were delivered before, by their {name}: "
            "the first of each counts."
        )
    if found.repeated == 0 or not drop:
        return replace(checked, notes=(*checked.notes, *notes))
    first = _first(good, name, of, _instant_of(good))
    return replace(checked, good=first, notes=(*checked.notes, *notes))


def _ids(good: DataFrame, name: str, of: Sequence[str], rows: int) -> Ids:
    whole = rows <= SAMPLED
    known = good.where(column(name).isNotNull()).select(
        column(name).alias("id"), F.xxhash64(*map(column, of)).alias("of")
    )
    if whole:
        looked = known
    else:
        parts = -(-rows // SAMPLED)
        looked = known.where(F.pmod(F.xxhash64("id", F.lit(1)), F.lit(parts)) == 0)
        looked = looked.unionByName(known.limit(FIRST))
    by_id = looked.groupBy("id").agg(
        F.count("*").alias("rows"), F.min("of").alias("least"), F.max("of").alias("most")
    )
    shared = F.col("least") != F.col("most")
    row = by_id.agg(
        F.sum("rows"), F.sum(F.when(shared, F.col("rows"))), F.sum(F.when(~shared, F.col("rows") - 1)),
        F.min(F.when(shared, F.col("id"))),
    ).first()  # fmt: skip
    assert row is not None  # an aggregate of all rows
    example = None
    if row[3] is not None:
        alike = good.where(column(name) == F.lit(row[3])).select(*map(column, of)).distinct()
        two = ["/".join(map(str, each)) for each in alike.orderBy(*map(column, of)).limit(2).collect()]
        example = f"{row[3]!r} of {' and of '.join(map(repr, two))}"
    # Of contradicting ids some rows may be delivered twice, too: they stay.
    repeated = (row[2] or 0) if whole else None
    return Ids(row[0] or 0, row[1] or 0, repeated, example)


def _instant_of(good: DataFrame) -> str:
    return next(item.name for item in good.schema if item.dataType.typeName() == "timestamp")


def _first(good: DataFrame, name: str, of: Sequence[str], instant: str) -> DataFrame:
    """The first row of each delivery; rows without an id stay, each for itself."""
    alone = F.when(column(name).isNull(), F.monotonically_increasing_id())
    keys = [name, *of]
    others = [instant, *(each for each in good.columns if each not in (*keys, instant))]
    first = F.min(F.struct(*map(column, others)))
    rows = good.withColumn(ALONE, alone).groupBy(*map(column, keys), ALONE).agg(first.alias("first"))
    picked = {each: F.col("first").getField(each) for each in others}
    return rows.select(*(picked.get(each, column(each)).alias(each) for each in good.columns))
