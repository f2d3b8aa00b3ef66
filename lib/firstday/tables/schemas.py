"""What the inputs must hold and what the outputs look like. No IO: stages may import this module."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DateType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

Kind = Literal["id", "text", "instant", "date", "vote", "number", "truth", "any"]


# Text that is a number: digits, sign, point, exponent, and nothing that only Java takes for one.
NUMBER_TEXT = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"
ANCHOR_ACTION = "firstday_anchor_action"  # of users: the action of the event that their clock starts with
REACTIONS = ("click", "join", "dismiss")  # kinds of reactions to what was shown


@dataclass(frozen=True)
class Field:
    """A column of an input.

    `kind` says what is accepted and what is handed on: "id" (text or whole numbers, as text), "text" (any
    plain value, as text), "instant" (a point in time, as timestamp), "date" (a date or its text, as date),
    "vote" (a whole number from -1 to `classes` - 1, as int), "number" (a number, a truth value or the text of
    a number, as double; NaN is null; from `low` to `high`), "truth" (true and false, 1 and 0, or their texts,
    as boolean), "any" (as it is). Texts that say that nothing is there are null (`values.NULLS`).
    An instant may lie in the `future` only where that is said. A text may be `trimmed` of blanks at its ends;
    with `choices` it is one of these, whatever its case.
    A `nullable` field may be null, an `optional` one may be absent; `alias` is a second accepted name.
    """

    name: str
    kind: Kind
    nullable: bool = False
    optional: bool = False
    alias: str | None = None
    classes: int | None = None
    low: float | None = None
    high: float | None = None
    future: bool = False
    trimmed: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """What the table `table` must hold. `unique` names the field whose values must not repeat."""

    table: str
    fields: tuple[Field, ...]
    unique: str | None = None

    def with_amount(self, name: str | None) -> "Contract":
        """The contract with this column as an amount, 0 or more; null where there is none."""
        if name is None:
            return self
        others = tuple(field for field in self.fields if field.name != name)
        return replace(self, fields=(*others, Field(name, "number", nullable=True, low=0)))

    @property
    def instant(self) -> str | None:
        """The field that places a row in time, if there is one."""
        return next((field.name for field in self.fields if field.kind == "instant"), None)

    @property
    def date(self) -> str | None:
        """The partition column that repeats the UTC date of the instant, if there is one."""
        return next((field.name for field in self.fields if field.kind == "date"), None)


def users(segments: Iterable[str] = ()) -> Contract:
    """Users: one row each, with the instant their clock starts and the columns to segment by."""
    return Contract(
        "users",
        (
            Field("user_id", "id"),
            Field("anchored_at", "instant", alias="signed_up_at"),
            *(Field(name, "text", nullable=True) for name in segments),
        ),
        unique="user_id",
    )


def events(date_column: str | None = None, *, segments: Iterable[str] = (), with_id: bool = True) -> Contract:
    """The log: one row an event. `date_column` is the partition column with the UTC date of occurred_at;
    `segments` are columns of it that say what its users are like; with_id: whether events may have an id.
    """
    return Contract(
        "events",
        (
            Field("user_id", "id"),
            Field("action", "text"),
            Field("occurred_at", "instant"),
            *([Field("event_id", "id", nullable=True, optional=True)] if with_id else []),
            *(Field(name, "text", nullable=True) for name in segments),
            *([Field(date_column, "date", nullable=True)] if date_column else []),
        ),
    )


def wide_votes(voters: Iterable[str], classes: int | None, others: Iterable[str] = ()) -> Contract:
    """Votes with a column for each voter; `others` are handed on as they are."""
    return Contract(
        "votes",
        (
            Field("row_id", "id"),
            *(Field(name, "vote", classes=classes) for name in voters),
            *(Field(name, "any", nullable=True) for name in others),
        ),
        unique="row_id",
    )


def long_votes(classes: int | None, others: Iterable[str] = ()) -> Contract:
    """Votes with a row for each one that was given."""
    return Contract(
        "votes",
        (
            Field("row_id", "id"),
            Field("voter", "id"),
            Field("vote", "vote", classes=classes),
            *(Field(name, "any", nullable=True) for name in others),
        ),
    )


def label_rows(columns: Iterable[str], numbers: Collection[str] = ()) -> Contract:
    """What label functions and a classifier read: one row each, the columns as they are, or `numbers`."""
    return Contract(
        "rows",
        (
            Field("row_id", "id"),
            *(Field(name, "number" if name in numbers else "any", nullable=True) for name in columns),
        ),
        "row_id",
    )


def label_answers(is_random: bool) -> Contract:
    """Rows that were checked by hand: their class in `answer`; of an audit also what it was drawn by."""
    numbers = (Field("stratum_rows", "number", low=1), Field("called", "number", low=0, high=1))
    drawn = () if is_random else (Field("stratum", "text"), *numbers)
    fields = (Field("row_id", "id"), Field("answer", "any", nullable=True), *drawn)
    return Contract("audited", fields, unique="row_id")


def user_labels() -> Contract:
    """What a label model says of users: `probabilities`, an array in class order."""
    fields = (Field("user_id", "id", alias="row_id"), Field("probabilities", "any"))
    return Contract("labels", fields, unique="user_id")


def quoted(name: str) -> str:
    """A name as SQL has it, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def sql_text(text: str) -> str:
    """A text as SQL has it, whatever is in it: no quotes and no escapes, which settings read differently.

    For statements that bind no parameters: Delta's DELETE does not on Spark 4.
    """
    return f"CAST(X'{text.encode().hex()}' AS STRING)"


def column(name: str) -> Column:
    """The column of exactly this name: dots, quotes and backticks in it are part of it, never syntax."""
    return F.col(quoted(name))


def delivery(name: str, of: Sequence[str]) -> Column:
    """The number of a delivery, by its id and what it is of (see `resends`); null without an id."""
    return F.when(column(name).isNotNull(), F.xxhash64(column(name), *map(column, of)))


def table_schema(columns: Iterable[tuple[str, DataType]]) -> StructType:
    """A schema of nullable columns, as Delta tables have it."""
    return StructType([StructField(name, kind) for name, kind in columns])


# Every output table has run_id too; `Output` adds it. Quarantine keeps the job, since all jobs share it.
QUARANTINE = table_schema(
    [
        ("table", StringType()),
        ("reason", StringType()),
        ("row", StringType()),
        ("job", StringType()),
        ("seen_at", TimestampType()),
    ]
)
ATTEMPT = table_schema([("job", StringType()), ("started_at", TimestampType())])
RUNS = table_schema(
    [
        ("job", StringType()),
        ("sequence", LongType()),
        ("status", StringType()),
        ("started_at", TimestampType()),
        ("published_at", TimestampType()),
        ("inputs", StringType()),
        ("settings", StringType()),
        ("horizon", TimestampType()),
        ("row_counts", StringType()),
        ("answer", StringType()),
    ]
)


def moment_counts(segments: Sequence[str], days: Sequence[int]) -> StructType:
    """The histogram of the log. A null action holds the whole cohort of the anchor date."""
    return table_schema(
        [
            ("anchor_date", DateType()),
            *((name, StringType()) for name in segments),
            ("action", StringType()),
            ("count", IntegerType()),
            ("total_level", IntegerType()),
            ("other_level", IntegerType()),
            ("users", LongType()),
            *((f"matured_d{day}", LongType()) for day in days),
            *((f"retained_d{day}", LongType()) for day in days),
        ]
    )


def moment_products(segments: Sequence[str]) -> StructType:
    """Cross products of x = round(256 ln(1 + count)) over the leading actions of an anchor date."""
    sums = ArrayType(LongType())
    return table_schema(
        [
            ("anchor_date", DateType()),
            *((name, StringType()) for name in segments),
            ("day", IntegerType()),
            ("users", LongType()),
            ("retained", LongType()),
            ("actions", ArrayType(StringType())),
            ("sum_x", sums),
            ("sum_xr", sums),
            ("sum_xx", sums),
        ]
    )
