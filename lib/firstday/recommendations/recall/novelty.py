"""Novelty: for customers with no interests yet, what customers of the same profile took up.

A profile is the customer's values of the profile columns, numbers in bins, and the groups of what they hold.
Rates of take-up back off from the whole profile to its first columns and at last to everyone: each level is
shrunk to the one before by `strength` customers' worth of it (the posterior mean of a beta prior).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import LimitError, SettingsError
from firstday.ranking.history import USED
from firstday.recommendations.recall.catalog import PLACE, Catalog, by_place, texts
from firstday.recommendations.recall.interests import before
from firstday.recommendations.recall.labelled import labelled
from firstday.spark.local_rows import local_rows

Floats = NDArray[np.float64]
MOST_CELLS = 50_000
HOLDS = "holds"


@dataclass(frozen=True)
class Profile:
    """columns: of the customers, the most telling first; the last is dropped first. bins: of a number, by its
    quantiles. few: customers with fewer interests than this get novelty. strength: customers that a level's
    rates are worth against those of the next. least: customers in a cell for the reason to name it.
    """

    columns: tuple[str, ...] = ()
    bins: int = 5
    few: int = 1
    strength: float = 50.0
    least: int = 30

    def __post_init__(self) -> None:
        if len(set(self.columns)) < len(self.columns) or self.bins < 2 or self.few < 1 or self.least < 1:
            raise SettingsError(
                "profile columns are named once, with 2 bins or more, few and least of 1 or more",
                value=[*self.columns, self.bins, self.few, self.least],
                next_step="change the settings of novelty",
            )
        if not self.strength > 0:
            raise SettingsError("strength is above 0", value=self.strength, next_step="try 50 customers")


def novelty(
    customers: DataFrame,
    facts: DataFrame,
    interests: DataFrame,
    catalog: Catalog,
    until: datetime,
    profile: Profile,
) -> DataFrame:
    """user_id, `novelty` array<double> and `profile` string, for customers with few interests only.

    The score is the profile's rate of take-up (a transaction, join or holding before `until`) over
    everyone's: 1 is as much as everyone; null where the customer has met the category. `profile` names the
    finest level with `least` customers. Runs at once: one row a profile cell reaches the driver.

    Raises SettingsError for a column that customers have not, LimitError for more than MOST_CELLS cells.
    """
    known = before(facts, until)
    labels = labelled(customers, profile.columns, profile.bins)
    names = [f"level_{level}" for level in range(len(labels))]
    celled = customers.select(
        "user_id", *(label.alias(name) for label, name in zip(labels, names, strict=True))
    )
    celled = celled.join(_held_groups(known, catalog), "user_id", "left").withColumn(
        HOLDS, F.coalesce(F.col(HOLDS), F.lit("nothing"))
    )
    cells = _cells(celled, known, catalog, [*names, HOLDS])
    rows = _rates(cells, [*names, HOLDS], catalog, profile)
    schema = ", ".join(f"{name} string" for name in [*names, HOLDS]) + ", rates array<double>, profile string"
    table = local_rows(customers.sparkSession, rows, schema)
    return (
        _for_few(celled, interests, catalog, profile)
        .join(F.broadcast(table), [*names, HOLDS])
        .select("user_id", _unmet(F.col("rates")).alias("novelty"), "profile")
    )


def _held_groups(known: DataFrame, catalog: Catalog) -> DataFrame:
    """user_id, holds: the groups of what the customer holds, in order."""
    spans = catalog.placed(known.where(F.col("kind").isin("since", "until")))
    change = F.sum(F.when(F.col("kind") == "since", 1).otherwise(-1))
    held = spans.groupBy("user_id", PLACE).agg(change.alias("open")).where(F.col("open") > 0)
    group = F.element_at(texts(catalog.groups), F.col(PLACE) + 1)
    return held.groupBy("user_id").agg(F.array_join(F.array_sort(F.collect_set(group)), " + ").alias(HOLDS))


def _cells(celled: DataFrame, known: DataFrame, catalog: Catalog, names: Sequence[str]) -> pd.DataFrame:
    """Of each cell its customers and, by category, those who took it up."""
    taken = catalog.placed(known.where(F.col("kind").isin(*USED)).select("user_id", "category"))
    once = by_place(taken.distinct(), catalog, F.lit(1), "taken")
    sums = [
        F.sum(F.coalesce(F.col("taken")[place], F.lit(0))).alias(f"{place}") for place in range(len(catalog))
    ]
    grouped = (
        celled.join(once, "user_id", "left").groupBy(*names).agg(F.count(F.lit(1)).alias("customers"), *sums)
    )
    cells: pd.DataFrame = grouped.limit(MOST_CELLS + 1).toPandas()
    if len(cells) > MOST_CELLS:
        raise LimitError(
            f"there may be at most {MOST_CELLS:,} profiles",
            value=f"more than {MOST_CELLS:,}",
            next_step="take fewer profile columns, or fewer bins",
        )
    return cells.sort_values(list(names), ignore_index=True)


def _rates(
    cells: pd.DataFrame, names: Sequence[str], catalog: Catalog, profile: Profile
) -> list[tuple[object, ...]]:
    """Rows of the cell's labels, the lifts by category and the name of its profile."""
    places = [f"{place}" for place in range(len(catalog))]
    counts = cells[["customers", *places]].to_numpy(dtype=float)
    whole = counts.sum(axis=0)
    # Half a customer: a category that nobody took up is as likely for all.
    everyone = (whole[1:] + 0.5) / (whole[0] + 1)
    rates = np.tile(everyone, (len(cells), 1))
    named = np.full(len(cells), "everyone", dtype=object)
    for level in range(1, len(names) + 1):
        keys = list(names[:level])
        sums = cells.groupby(keys)[["customers", *places]].transform("sum").to_numpy(dtype=float)
        shrunk = (sums[:, 1:] + profile.strength * rates) / (sums[:, [0]] + profile.strength)
        if names[level - 1] == HOLDS:
            shrunk = np.where(_of_held(cells[HOLDS], catalog), rates, shrunk)
        rates = shrunk
        shown = [_shown(keys, row) for row in cells[keys].itertuples(index=False)]
        named = np.where(sums[:, 0] >= profile.least, np.array(shown, dtype=object), named)
    lifts = (rates / everyone).tolist()
    return [
        (*labels, lift, name)
        for labels, lift, name in zip(cells[list(names)].itertuples(index=False), lifts, named, strict=True)
    ]


def _shown(names: Sequence[str], labels: Sequence[str]) -> str:
    shown = (f"holds {label}" if name == HOLDS else label for name, label in zip(names, labels, strict=True))
    return ", ".join(shown)


def _of_held(holds: pd.Series, catalog: Catalog) -> NDArray[np.bool_]:
    """Cells × categories: whether customers of the cell hold something of the category's group. All of them
    do by selection, so the rate says nothing on what they take up next.
    """
    held = [set(text.split(" + ")) for text in holds]
    return np.array([[group in groups for group in catalog.groups] for groups in held])


def _for_few(celled: DataFrame, interests: DataFrame, catalog: Catalog, profile: Profile) -> DataFrame:
    """The customers with few interests, with `met` by place; null if there are none."""
    met = by_place(interests.select("user_id", PLACE), catalog, F.lit(1), "met")
    joined = celled.join(met, "user_id", "left")
    number = F.size(F.array_compact("met"))  # of null: -1
    return joined.where(F.col("met").isNull() | (number < profile.few))


def _unmet(rates: Column) -> Column:
    unmet = F.zip_with(rates, F.col("met"), lambda rate, times: F.when(times.isNull(), rate))
    return F.when(F.col("met").isNull(), rates).otherwise(unmet)
