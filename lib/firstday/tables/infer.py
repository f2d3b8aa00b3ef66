"""Types of columns that nobody has declared, in inputs that are text: CSV and JSON Lines.

A column is of a type only where all its values are, and none would lose a part of itself: of 007 a number
would keep 7. Where one value is something else, all stay text.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from firstday.tables.read import TEXT_FORMATS, Input
from firstday.tables.schemas import NUMBER_TEXT, column, with_columns
from firstday.tables.values import LEADING_ZERO, is_nan, number, present, truth

Kind = Literal["whole number", "number", "truth value"]
WHOLE = r"^\s*[+-]?\d{1,18}\s*$"
MOST_NAMES = 8  # that a note shows


def inferred(source: Input, names: Sequence[str]) -> dict[str, Kind]:
    """The types of those of the columns that have one; of text inputs only. One pass over the rows."""
    texts = [
        each.name
        for each in source.frame.schema
        if each.name in names and isinstance(each.dataType, StringType) and source.format in TEXT_FORMATS
    ]
    if not texts:
        return {}
    parts = []
    for at, name in enumerate(texts):
        text = present(column(name))
        plain = text.rlike(NUMBER_TEXT) & number(text).isNotNull() & ~text.rlike(LEADING_ZERO) | is_nan(text)
        parts += [
            F.count(text).alias(f"known_{at}"),
            F.coalesce(F.bool_and(plain), F.lit(False)).alias(f"number_{at}"),
            F.coalesce(F.bool_and(text.rlike(WHOLE)), F.lit(False)).alias(f"whole_{at}"),
            F.coalesce(F.bool_and(truth(text).isNotNull() | text.isNull()), F.lit(False)).alias(
                f"truth_{at}"
            ),
        ]
    row = source.frame.agg(*parts).first()
    assert row is not None  # an aggregate of all rows
    found: dict[str, Kind] = {}
    for at, name in enumerate(texts):
        if row[f"number_{at}"]:
            found[name] = "whole number" if row[f"whole_{at}"] else "number"
        elif row[f"truth_{at}"] and row[f"known_{at}"]:
            found[name] = "truth value"
    return found


def typed(source: Input, kinds: dict[str, Kind]) -> Input:
    """The input with these columns as what they are."""

    def value(name: str) -> Column:
        text = present(column(name))
        if kinds[name] == "truth value":
            return truth(text)
        if kinds[name] == "whole number":
            return F.when(text.rlike(WHOLE), F.trim(text).cast("long"))
        return F.when(~is_nan(text), number(text))

    return replace(source, frame=with_columns(source.frame, {name: value(name) for name in kinds}))


def note(source: Input, kinds: dict[str, Kind]) -> str | None:
    """What was inferred, in a sentence."""
    if not kinds:
        return None
    shown = [f"{name} ({kind})" for name, kind in list(kinds.items())[:MOST_NAMES]]
    more = f" and {len(kinds) - MOST_NAMES} more" if len(kinds) > MOST_NAMES else ""
    return f"Columns of {source.name} read as what all their values are: {', '.join(shown)}{more}."
