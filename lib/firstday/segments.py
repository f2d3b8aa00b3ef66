"""The cube of segments: `all`, each value of each segment column, and each combination of them."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import LimitError
from firstday.tables.schemas import quoted, with_columns

ALL = "all"
ESCAPED = ("\\", ",", "=")  # by a backslash; it comes first, as those that follow add more
MOST_COLUMNS = 6  # the cube has two to this power subsets


def with_segments(rows: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Each row once for every segment it belongs to, named in a new column `segment`."""
    if len(columns) > MOST_COLUMNS:
        raise LimitError(
            f"a cube has at most {MOST_COLUMNS} segment columns",
            value=list(columns),
            next_step="leave some out of --segments, or combine them into one column",
        )
    # Each value is escaped once, and not anew in every subset that holds it.
    parts = [segment_label({name: F.col(quoted(name))}) for name in columns]
    names = [f"firstday_segment_{place}" for place in range(len(parts))]
    subsets = [subset for size in range(len(names) + 1) for subset in combinations(names, size)]
    labels = (F.concat_ws(",", *subset) if subset else F.lit(ALL) for subset in subsets)
    rows = with_columns(rows, dict(zip(names, parts, strict=True)))
    return rows.withColumn("segment", F.explode(F.array(*labels))).drop(*names)


def segment_label(values: Mapping[str, Column]) -> Column:
    r"""E.g. `country=KR,gender=f`; commas, equals signs and backslashes in it are escaped, null is \N."""
    if not values:
        return F.lit(ALL)
    parts = [F.concat(F.lit(escape(name) + "="), _escaped(value)) for name, value in values.items()]
    return F.concat_ws(",", *parts)


def _escaped(value: Column) -> Column:
    escaped = value.cast("string")
    for sign in ESCAPED:
        escaped = F.replace(escaped, F.lit(sign), F.lit("\\" + sign))
    return F.coalesce(escaped, F.lit("\\N"))


def escape(text: str) -> str:
    """What `segment_label` writes for a name or a value."""
    for sign in ESCAPED:
        text = text.replace(sign, "\\" + sign)
    return text
