"""The categories, in the one order that all arrays of recall have."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError, LimitError

MOST_CATEGORIES = 500  # arrays, and expressions with a term a category, are made for dozens
PLACE = "place"


@dataclass(frozen=True)
class Catalog:
    """Names of the categories, each once, sorted; `groups` has the category group of each."""

    names: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def place_of(self, category: Column) -> Column:
        """Where the category stands in an array, from 0; null for an unknown one.

        A search in dozens of names, which spares the job that a join with them would be.
        """
        found = F.call_function("array_position", texts(self.names), category).cast("int")
        return F.when(found > 0, found - 1)

    def placed(self, rows: DataFrame) -> DataFrame:
        """The rows with the `place` of their category instead of it; without those of unknown categories."""
        placed = rows.withColumn(PLACE, self.place_of(F.col("category"))).drop("category")
        return placed.where(F.col(PLACE).isNotNull())

    def name_of(self, place: Column) -> Column:
        return F.element_at(texts(self.names), place + 1)


def catalog_of(categories: DataFrame) -> Catalog:
    """The catalog of a table with category and category_group.

    Raises DataError where a category is null or is listed twice or where there is none, LimitError for more
    than MOST_CATEGORIES.
    """
    rows = sorted(
        categories.select("category", "category_group").limit(MOST_CATEGORIES + 1).collect(),
        key=lambda row: (row[0] or "", row[1] or ""),
    )
    names = [row[0] for row in rows]
    if not rows or None in names or len(set(names)) < len(names):
        raise DataError(
            "each category has one row in the categories, and there is at least one",
            value=[name for place, name in enumerate(names) if name is None or name in names[:place]],
            next_step="list each category once",
        )
    if len(rows) > MOST_CATEGORIES:
        raise LimitError(
            f"there may be at most {MOST_CATEGORIES} categories",
            value=f"more than {MOST_CATEGORIES}",
            next_step="recommend at a coarser level, and choose among contents within a category",
        )
    return Catalog(tuple(names), tuple(row[1] or row[0] for row in rows))


def by_place(rows: DataFrame, catalog: Catalog, value: Column, name: str) -> DataFrame:
    """user_id and the array `name` of the sums of `value` at each place, null where there is no row.

    rows: user_id, place. Sums are exact, whatever the order, for whole numbers.
    """
    sums = [F.sum(F.when(F.col(PLACE) == place, value)) for place in range(len(catalog))]
    return rows.groupBy("user_id").agg(F.array(*sums).alias(name))


def flags(rows: DataFrame, catalog: Catalog, name: str) -> DataFrame:
    """user_id and the array<boolean> `name`: whether there is a row of the customer with that category."""
    placed = catalog.placed(rows.select("user_id", "category"))
    found = [F.max(F.col(PLACE) == place) for place in range(len(catalog))]
    return placed.groupBy("user_id").agg(F.array(*found).alias(name))


def texts(values: Sequence[str]) -> Column:
    """An array of these texts."""
    return _constant(list(values), "array<string>")


def numbers(values: Sequence[float]) -> Column:
    """An array of these numbers, as doubles."""
    return _constant([float(value) for value in values], "array<double>")


def matrix(rows: NDArray[np.float64]) -> Column:
    """An array of the rows, each an array of doubles."""
    return _constant(rows.astype(float).tolist(), "array<array<double>>")


def _constant(values: list[Any], kind: str) -> Column:
    """One expression instead of one a value, which Spark would take longer to read than to use; the shortest
    decimal that stands for a double is that double again.
    """
    return F.from_json(F.lit(json.dumps(values)), kind)
