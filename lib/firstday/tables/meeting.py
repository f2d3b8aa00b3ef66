"""Whether the ids of two inputs meet: `7` and `0007` are nobody's to a join, and nothing says so."""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.tables.check import Checked
from firstday.tables.schemas import column
from firstday.tables.values import stripped

MANY = 10  # times as many that meet when written alike: they are the same ids, written otherwise
FEW = 0.01  # of either side's ids: so few are worth a word
LOOKED_AT = 200_000  # ids of a side, about: of more, a sample that is the same on both sides


@dataclass(frozen=True)
class Side:
    """One side: its checked input and the column with the ids."""

    checked: Checked
    column: str

    @property
    def name(self) -> str:
        return f"{self.column} of {self.checked.source.name}"


def alike(value: Column) -> Column:
    """An id without what writing adds to it: blanks, case, leading zeros, a final `.0`."""
    plain = F.regexp_replace(F.lower(stripped(value)), r"\.0+$", "")
    return F.regexp_replace(plain, r"^0+(?=.)", "")


def meet(one: Side, other: Side, *, quietly: bool = False) -> str | None:
    """A sentence where few ids meet, or more would if written alike; else None. quietly: say nothing
    of few, as in a part of a log.

    Raises DataError where none meet, or MANY times as many would if they were written alike.
    """
    rows = max(one.checked.profile.rows, other.checked.profile.rows)
    parts = max(1, rows // (10 * LOOKED_AT))
    left, right = (
        _ids(side, parts).withColumnRenamed("id", name) for side, name in ((one, "a"), (other, "b"))
    )
    by_key = (
        left.groupBy("key")
        .agg(F.collect_set("a").alias("as"))
        .join(right.groupBy("key").agg(F.collect_set("b").alias("bs")), "key", "full")
    )
    both = F.size(F.array_intersect("as", "bs"))
    written = F.col("as").isNotNull() & F.col("bs").isNotNull()
    row = by_key.agg(
        F.sum(F.when(F.col("as").isNotNull(), F.size("as"))),
        F.sum(F.when(F.col("bs").isNotNull(), F.size("bs"))),
        F.sum(F.when(written, both)),
        F.sum(F.when(written, F.least(F.size("as"), F.size("bs")))),
        F.min(F.when(written & (both == 0), F.struct(F.array_min("as"), F.array_min("bs")))),
        F.min(F.array_min("as")),
        F.min(F.array_min("bs")),
    ).first()  # fmt: skip
    assert row is not None  # an aggregate of all rows
    ones, others, met, alike_met = (value or 0 for value in row[:4])
    if not ones or not others:
        return None
    if alike_met >= MANY * max(met, 1) or (alike_met and not met):
        raise DataError(
            f"{one.name} and {other.name} must be written alike: {met:,} meet, and {alike_met:,} would "
            "without blanks, case, leading zeros and a final .0",
            value=list(row[4]),
            next_step="write them alike on one side, in the table or in a view of it",
        )
    if not met:
        raise DataError(
            f"{one.name} and {other.name} must meet, but of {ones:,} and {others:,} none do",
            value=[row[5], row[6]],
            next_step="check that both hold the same kind of id; --columns names another column",
        )
    if alike_met > met * (1 + FEW) and row[4] is not None:
        return (
            f"{met:,} ids of {one.name} and {other.name} meet, and {alike_met:,} would without blanks, case, "
            "leading zeros and a final .0: if these are the same, write them alike."
        )
    if quietly or min(met / ones, met / others) >= FEW:
        return None
    about = "About " if parts > 1 else ""
    return (
        f"{about}{met * parts:,} ids meet, of {ones * parts:,} of {one.name} and {others * parts:,} of "
        f"{other.name}: that is right where few convert, or where the log is everybody's."
    )


def _ids(side: Side, parts: int) -> DataFrame:
    """Distinct ids with what they are when written alike; of many a sample by the latter."""
    ids = side.checked.good.select(column(side.column).alias("id")).where(F.col("id").isNotNull())
    keyed = ids.withColumn("key", alike(F.col("id")))
    if parts > 1:
        keyed = keyed.where(F.pmod(F.xxhash64("key"), F.lit(parts)) == 0)
    return keyed.distinct()
