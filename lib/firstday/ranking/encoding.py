"""What a model reads of a table: numbers as they are, texts as codes, in an order that is the model's own.

LightGBM takes a code as a category, and null or NaN as missing. A model and the encoding that it was trained
with belong together: kept as JSON, an encoding says whether a table or another model has the same features.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, NumericType, StringType

from firstday.errors import DataError
from firstday.tables.schemas import column

MOST_VALUES = 250  # of a text; LightGBM's histograms have 255 bins
PREFIX = "f_"  # of encoded columns, which stand beside those that they are made of
VERSION = 1


@dataclass(frozen=True)
class Feature:
    """A column that the model reads. `values`: a text's, whose places are its codes; None for a number."""

    name: str
    values: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Encoding:
    """Features in the model's order; `left_out`: columns that can't be features, each with the reason."""

    features: tuple[Feature, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `apply` adds, in order."""
        return tuple(PREFIX + name for name in self.names)

    @property
    def categorical(self) -> tuple[int, ...]:
        """The places of texts among the features."""
        return tuple(place for place, feature in enumerate(self.features) if feature.values is not None)

    def apply(self, rows: DataFrame) -> DataFrame:
        """All rows with all their columns and, as doubles, `columns`. A value that was not seen when the
        encoding was learned is null, as null is.

        Raises DataError where a feature's column is missing or has become text or number.
        """
        kinds = {field.name: field.dataType for field in rows.schema.fields}
        missing = [name for name in self.names if name not in kinds]
        if missing:
            raise DataError(
                "the table has the columns that the model was trained on",
                value=missing,
                next_step="add them, or train a model without them",
            )
        other = [f.name for f in self.features if (_kind(kinds[f.name]) == "text") != (f.values is not None)]
        if other:
            raise DataError(
                "columns are text or numbers as they were when the model was trained",
                value=other,
                next_step="cast them, or train anew",
            )
        return rows.select(
            "*", *(_encoded(feature).alias(PREFIX + feature.name) for feature in self.features)
        )

    def refuse_other(self, names: Sequence[str]) -> None:
        """Raise DataError unless these are the names of the features, in this order."""
        if tuple(names) == self.names:
            return
        absent = [name for name in self.names if name not in names]
        further = [name for name in names if name not in self.names]
        difference = {"missing": absent, "further": further} if absent or further else "another order"
        raise DataError(
            "the model was trained on the features that it is given",
            value=difference,
            next_step="train on these features, or choose the model that belongs to them",
        )

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Encoding":
        """Raises DataError where the text is not what `to_json` writes."""
        try:
            saved = json.loads(text)
            if saved["version"] != VERSION:
                raise ValueError(f"version {saved['version']}")
            features = tuple(
                Feature(str(one["name"]), None if one["values"] is None else tuple(map(str, one["values"])))
                for one in saved["features"]
            )
            return cls(features, tuple((str(name), str(why)) for name, why in saved["left_out"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"an encoding is JSON of version {VERSION} as firstday writes it",
                value=f"{type(error).__name__}: {error}",
                next_step="give the file that was kept with the model",
            ) from error


def learn(
    rows: DataFrame,
    names: Sequence[str],
    known: Mapping[str, Sequence[str]] | None = None,
    most: int = MOST_VALUES,
) -> Encoding:
    """The encoding of the columns `names`, in this order, from the rows to train on.

    Of a text the `most` frequent values (of equally frequent ones the first by name) get codes in order of
    name; `known`: texts whose values are given, in their order. Instants, ids (user_id and all that ends in
    _id) and nested columns are left out. One Spark job; what reaches the driver is bounded by the number of
    texts. Raises DataError where a column is missing or none is left.
    """
    kinds = {field.name: field.dataType for field in rows.schema.fields}
    missing = [name for name in names if name not in kinds]
    if missing:
        raise DataError("features are columns of the table", value=missing, next_step="check the names")
    reasons = {name: reason for name in names if (reason := unfit(name, kinds[name]))}
    used = [name for name in dict.fromkeys(names) if name not in reasons]
    if not used:
        raise DataError("there is at least one feature", value=reasons, next_step="give numbers or texts")
    given = known or {}
    texts = [name for name in used if _kind(kinds[name]) == "text"]
    values = _frequent(rows, [name for name in texts if name not in given], most)
    values |= {name: tuple(given[name]) for name in texts if name in given}
    return Encoding(tuple(Feature(name, values.get(name)) for name in used), tuple(reasons.items()))


def _kind(kind: DataType) -> str:
    if isinstance(kind, StringType):
        return "text"
    return "number" if isinstance(kind, NumericType | BooleanType) else "other"


def unfit(name: str, kind: DataType) -> str | None:
    """Why such a column is no feature; None where it is one."""
    if name.lower().endswith("_id"):
        return "an id"
    return f"of type {kind.simpleString()}" if _kind(kind) == "other" else None


def _frequent(rows: DataFrame, texts: Sequence[str], most: int) -> dict[str, tuple[str, ...]]:
    if not texts:
        return {}
    pairs = F.array(
        *(
            F.struct(F.lit(place).alias("place"), column(name).alias("value"))
            for place, name in enumerate(texts)
        )
    )
    counts = rows.select(F.inline(pairs)).where(F.col("value").isNotNull()).groupBy("place", "value").count()
    most_first = Window.partitionBy("place").orderBy(F.desc("count"), "value")
    kept = counts.withColumn("rank", F.row_number().over(most_first)).where(F.col("rank") <= most)
    found: dict[str, list[str]] = {name: [] for name in texts}
    for row in kept.select("place", "value").collect():
        found[texts[row["place"]]].append(row["value"])
    return {name: tuple(sorted(values)) for name, values in found.items()}


def _encoded(feature: Feature) -> Column:
    if feature.values is None:
        return column(feature.name).cast("double")
    if not feature.values:
        return F.lit(None).cast("double")
    # One literal array: looked through in 0.5 µs for 250 values, without a branch for each.
    values = F.array(*map(F.lit, feature.values))
    place = F.call_function("array_position", values, column(feature.name))
    return (F.nullif(place, F.lit(0)) - 1).cast("double")
