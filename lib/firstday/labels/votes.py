"""Votes, wide or long, packed into words; and from them the patterns.

Everything is one projection of the rows and, for the patterns, one small aggregation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError, LimitError
from firstday.labels.patterns import ABSTAIN, Packing, Patterns
from firstday.settings.label import MOST_CLASSES
from firstday.spark.local_rows import local_rows
from firstday.tables.schemas import NUMBER_TEXT, column

WORD = "firstday_word_"
GOLD = "firstday_gold"
ROWS, KNOWN = "firstday_rows", "firstday_known"  # of a pattern: its rows, and those of each known class
CHUNK = 16  # digits that one expression adds up: the compiler's stack is not endless
MOST_VOTERS = 5_000  # 3,000 voters on six classes are 137 words


@dataclass(frozen=True)
class Votes:
    """`rows`: row_id, the words and whatever columns the rows had; `voters` in the order of the digits."""

    rows: DataFrame
    voters: tuple[str, ...]
    classes: int

    @property
    def packing(self) -> Packing:
        return Packing(len(self.voters), self.classes)

    @property
    def words(self) -> list[str]:
        return [f"{WORD}{number}" for number in range(self.packing.words)]


def words_of(batch: pa.RecordBatch, words: Sequence[str]) -> NDArray[np.int64]:
    """The words of a batch, rows × words."""
    return np.column_stack([batch.column(word).to_numpy(zero_copy_only=False) for word in words])


def nothing(votes: Votes) -> sp.csr_matrix:
    """One row on which nobody votes, 1 × (m · k)."""
    return sp.csr_matrix((1, len(votes.voters) * votes.classes))


def classes_shown(votes: DataFrame, columns: Sequence[str]) -> int:
    """The number of classes that checked votes show: one more than the highest, and at least 2.

    Raises DataError beyond MOST_CLASSES: a single stray number would make that many classes.
    """
    # Where no vote is higher, as mostly, Parquet and Delta know it from their statistics.
    more = votes.where(reduce(or_, (column(name) > 1 for name in columns)))
    row = more.agg(*(F.max(column(name)).alias(f"most_{at}") for at, name in enumerate(columns))).first()
    assert row is not None
    highest = [ABSTAIN if vote is None else vote for vote in row]
    most, name = max(zip(highest, columns, strict=True))
    if most >= MOST_CLASSES:
        raise DataError(
            f"votes are for at most {MOST_CLASSES} classes, numbers from 0 to {MOST_CLASSES - 1}",
            value=f"{most} in the column {name}",
            next_step="say how many classes there are with --classes: votes beyond go to quarantine",
        )
    return max(2, int(most) + 1)


@dataclass(frozen=True)
class Strangers:
    """Votes by voters whom a model does not know: their number, the voters' number and the name of one; and
    the number of all votes.
    """

    votes: int
    voters: int
    name: str | None
    of: int


def strangers(rows: DataFrame, voters: Sequence[str]) -> Strangers:
    """Who votes in long votes and is none of the `voters`."""
    known = local_rows(rows.sparkSession, ((name, 1) for name in voters), f"voter string, {KNOWN} int")
    votes = rows.where(column("vote") != ABSTAIN).join(F.broadcast(known), "voter", "left")
    stranger = F.when(column(KNOWN).isNull(), column("voter"))
    row = votes.agg(F.count(stranger), F.count_distinct(stranger), F.min(stranger), F.count("*")).first()
    assert row is not None
    return Strangers(*row)


def from_wide(rows: DataFrame, voters: Sequence[str], classes: int) -> Votes:
    """Votes with a column for each voter; the other columns stay.

    Raises LimitError above MOST_VOTERS voters.
    """
    _refuse_many(len(voters))
    packing = Packing(len(voters), classes)
    digits: list[list[Column]] = [[] for _ in range(packing.words)]
    for number, name in enumerate(voters):
        place = F.lit(packing.place(number)).cast("long")
        vote = F.coalesce(column(name).cast("long"), F.lit(ABSTAIN))  # an empty cell abstains
        digits[number // packing.places].append((vote + 1) * place)
    others = [column(name) for name in rows.columns if name not in set(voters)]
    packed = (_sum(part).alias(f"{WORD}{number}") for number, part in enumerate(digits))
    return Votes(rows.select(*others, *packed), tuple(voters), classes)


def from_long(
    rows: DataFrame, classes: int, voters: Sequence[str] | None = None, others: Sequence[str] = ()
) -> Votes:
    """Votes with a row for each: row_id, voter, vote. Of a voter's repeats on a row equal ones are one vote,
    contradicting ones abstain. `voters`: those to take, the others are passed over; all, if not given.

    `others` are columns that are the same on all rows of a row_id. Raises LimitError above MOST_VOTERS.
    """
    names = tuple(voters) if voters is not None else _voters(rows)
    _refuse_many(len(names))
    packing = Packing(len(names), classes)
    votes = rows.where(column("vote") != ABSTAIN).groupBy("row_id", "voter")
    least, most = F.min("vote"), F.max("vote")
    settled = votes.agg(F.when(least == most, least).otherwise(ABSTAIN).alias("vote"))
    spark = rows.sparkSession
    places = local_rows(
        spark,
        ((name, number // packing.places, packing.place(number)) for number, name in enumerate(names)),
        "voter string, word int, place long",
    )
    digits = settled.join(F.broadcast(places), "voter").withColumn(
        "digit", (F.col("vote").cast("long") + 1) * F.col("place")
    )
    words = [
        F.sum(F.when(F.col("word") == number, F.col("digit")).otherwise(0)).alias(f"{WORD}{number}")
        for number in range(packing.words)
    ]
    packed = digits.groupBy("row_id").agg(*words)
    # Rows on which everybody abstains are rows too.
    everyone = rows.groupBy("row_id").agg(F.count("*"), *(F.max(_known(name)).alias(name) for name in others))
    joined = everyone.join(packed, "row_id", "left")
    filled = (F.coalesce(F.col(f"{WORD}{n}"), F.lit(0)).alias(f"{WORD}{n}") for n in range(packing.words))
    return Votes(joined.select("row_id", *map(column, others), *filled), names, classes)


def class_of(name: str, class_names: Sequence[str] = ()) -> Column:
    """A column of known classes, by number or by name, as int; null where it is null, NaN or -1."""
    raw = column(name)
    number = _number(raw).cast("int")
    by_name = [F.when(raw.cast("string") == F.lit(text), at) for at, text in enumerate(class_names)]
    found = F.coalesce(*by_name, number)
    return F.when(found != ABSTAIN, found)


def refuse_other_classes(rows: DataFrame, name: str, classes: int, class_names: Sequence[str] = ()) -> None:
    """Raise DataError where the column holds something that is none of the classes."""
    raw, found = column(name), class_of(name, class_names)
    text = raw.cast("string")
    unknown = text.isin("-1", "-1.0", "NaN", "") | raw.isNull()
    number = _number(raw)
    broken = number.isNotNull() & (number != F.floor(number))
    wrong = ~unknown & (found.isNull() | (found < 0) | (found >= classes) | broken)
    row = rows.select(F.max(F.when(wrong, text))).first()
    if row is not None and row[0] is not None:
        raise DataError(
            f"the column {name!r} must hold classes: numbers from 0 to {classes - 1}"
            + (f", or {', '.join(class_names)}" if class_names else "")
            + "; -1 or null where unknown",
            value=row[0],
            next_step="say how many classes there are with --classes, or mend the column",
        )


def refuse_other_votes(rows: DataFrame, voters: Sequence[str], classes: int) -> None:
    """Raise DataError where a voter's column holds what is no vote."""
    beyond = (~column(name).between(ABSTAIN, classes - 1) for name in voters)
    found = rows.agg(*map(F.bool_or, beyond)).first()
    assert found is not None
    wrong = [name for name, is_beyond in zip(voters, found, strict=True) if is_beyond]
    if wrong:
        raise DataError(
            f"label functions must vote for classes from 0 to {classes - 1}, or -1 to abstain",
            value=wrong,
            next_step="mend these functions: on some row they vote for another number",
        )


def counted(votes: Votes, gold: Column | None = None) -> DataFrame:
    """The distinct patterns: words, ROWS, and KNOWN, how many of these are of each known class (an array of
    doubles, null without `gold`).
    """
    known = F.lit(None).cast("array<double>")
    if gold is not None:
        each = (F.count_if(F.col(GOLD) == at).cast("double") for at in range(votes.classes))
        known = F.array(*each)
    taken = votes.rows.select(*votes.words, *([] if gold is None else [gold.alias(GOLD)]))
    return taken.groupBy(*votes.words).agg(F.count("*").alias(ROWS), known.alias(KNOWN))


def on_driver(votes: Votes, patterns: DataFrame, limit: int) -> Patterns | None:
    """The patterns of `counted`, sorted; None where there are more than `limit`.

    Raises DataError where there is no row.
    """
    frame: pd.DataFrame = patterns.limit(limit + 1).toPandas()
    if frame.empty:
        raise DataError("votes must have rows", next_step="check the address, and that the upstream job ran")
    if len(frame) > limit:
        return None
    frame = frame.sort_values(votes.words, ignore_index=True)  # sums of floats depend on the order
    words = frame[votes.words].to_numpy(np.int64)
    gold = None if frame[KNOWN].isna().any() else np.stack(frame[KNOWN].to_list())
    rows = frame[ROWS].to_numpy(float)
    return Patterns(votes.packing.unpack(words), words, rows, votes.voters, votes.classes, gold)


def _voters(rows: DataFrame) -> tuple[str, ...]:
    found = rows.select("voter").distinct().limit(MOST_VOTERS + 1).collect()
    return tuple(sorted(row["voter"] for row in found))


def _refuse_many(voters: int) -> None:
    if voters > MOST_VOTERS:
        raise LimitError(
            f"there may be at most {MOST_VOTERS:,} voters",
            value=f"more than {MOST_VOTERS:,}" if voters == MOST_VOTERS + 1 else voters,
            next_step="leave out those who vote least",
        )


def _known(name: str) -> Column:
    """The column; NaN, which Spark takes for the greatest number, is null."""
    raw = column(name)
    return F.when(raw.cast("string") != "NaN", raw)


def _number(raw: Column) -> Column:
    """A number, or the text of one, as double; null for other text and NaN, also in an ANSI session."""
    return F.when(raw.cast("string").rlike(NUMBER_TEXT), raw.cast("double"))


def _sum(digits: Sequence[Column]) -> Column:
    """A balanced sum: hundreds of columns in a row would nest too deep."""
    while len(digits) > 1:
        digits = [reduce(Column.__add__, digits[at : at + CHUNK]) for at in range(0, len(digits), CHUNK)]
    return digits[0]
