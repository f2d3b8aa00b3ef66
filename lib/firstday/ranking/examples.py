"""Examples that a ranker learns from, looked through before any fit.

LightGBM on Spark fails in silence or for ever on some of them: it trains to a constant where labels do not
differ, and hangs on lists that are too long. So each such case is looked for first, and said in words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from firstday.errors import DataError, SettingsError

# Columns of examples. A list is the rows that were shown, or are ranked, together: a long, since SynapseML
# gives every text the same one. ORDER, KEY and TIE put the rows of a list in order.
SPLIT, LIST, SHOWN_LIST, LABEL, WEIGHT = "split", "firstday_list", "list", "label", "firstday_weight"
ORDER, KEY, TIE, CATEGORY, VECTOR = "firstday_order", "key", "firstday_tie", "category", "firstday_vector"
IN_ORDER = (LIST, ORDER, KEY, TIE)
TRAIN, VALID = "train", "valid"
LAMBDARANK, BINARY = "lambdarank", "binary"
HIGHEST_LABEL = 30  # LightGBM's table of gains, 2^label - 1, ends there
LONGEST_LIST = 10_000  # rows; LightGBM does not return from much longer ones


@dataclass(frozen=True)
class Sizes:
    """What the examples of one split amount to. mixed: lists whose labels differ."""

    rows: int
    lists: int
    longest: int
    mixed: int
    least_label: float
    greatest_label: float
    whole_labels: bool
    greatest_weight: float


def sizes(rows: DataFrame) -> dict[str, Sizes]:
    """The sizes of each split; one aggregation."""
    by_list = rows.groupBy(SPLIT, LIST).agg(
        F.count("*").alias("rows"),
        F.min(LABEL).alias("least"),
        F.max(LABEL).alias("greatest"),
        F.bool_and(F.col(LABEL) == F.floor(LABEL)).alias("whole"),
        F.max(WEIGHT).alias("weight"),
    )
    by_split = by_list.groupBy(SPLIT).agg(
        F.sum("rows").alias("rows"),
        F.count("*").alias("lists"),
        F.max("rows").alias("longest"),
        F.count_if(F.col("least") < F.col("greatest")).alias("mixed"),
        F.min("least").alias("least_label"),
        F.max("greatest").alias("greatest_label"),
        F.bool_and("whole").alias("whole_labels"),
        F.max("weight").alias("greatest_weight"),
    )
    return {row[SPLIT]: Sizes(**_without(row.asDict(), SPLIT)) for row in by_split.collect()}


def alike(sizes: Mapping[str, Sizes]) -> tuple[str, ...]:
    """A note where no list can tell one order from another: then no model is better than chance there."""
    if VALID not in sizes or sizes[VALID].mixed:
        return ()
    return (
        "In no list to measure on do labels differ, so the order within lists cannot be measured: a moment "
        "is reached after a whole list. Mix in clicks: --moment-share 0.5.",
    )


def refuse_unfit(found: Mapping[str, Sizes], objective: str) -> None:
    """Raise DataError where a fit on these examples would not end, or end in a constant."""
    for split, whose in ((TRAIN, "to learn from"), (VALID, "to measure on")):
        if split not in found:
            raise DataError(
                f"there must be examples {whose}",
                value=f"{sum(size.rows for size in found.values()):,} rows in all",
                next_step="give more rows, or another --valid or --valid-share",
            )
        _refuse_labels(found[split], objective, whose)
    if found[TRAIN].greatest_weight == 0:
        raise DataError(
            "some weights must be above 0", value=0.0, next_step="check --weight, or leave it out"
        )


def _refuse_labels(size: Sizes, objective: str, whose: str) -> None:
    span = f"{size.least_label:g} to {size.greatest_label:g}"
    if objective == LAMBDARANK and (not size.whole_labels or size.greatest_label > HIGHEST_LABEL):
        raise DataError(
            f"labels of lambdarank must be whole numbers from 0 to {HIGHEST_LABEL}",
            value=span if size.whole_labels else f"{span}, with fractions",
            next_step="number the grades 0, 1, 2, ..., or take --objective binary for probabilities",
        )
    if objective == BINARY and size.greatest_label > 1:
        raise DataError(
            "labels of the objective binary must be from 0 to 1",
            value=span,
            next_step="take --objective lambdarank for grades",
        )
    if size.least_label == size.greatest_label:
        raise DataError(
            f"labels of the rows {whose} must differ",
            value=f"all {size.rows:,} are {size.greatest_label:g}",
            next_step="check --label, or give rows of a longer time",
        )
    if objective == LAMBDARANK and size.mixed == 0:
        raise DataError(
            f"some lists {whose} must have rows with different labels",
            value=f"{size.lists:,} lists, each with one label",
            next_step="check that --group names the lists; a list of one row has nothing to order",
        )


def capped(rows: DataFrame, found: Mapping[str, Sizes]) -> tuple[DataFrame, tuple[str, ...]]:
    """The rows with at most LONGEST_LIST of a list, by a hash, and a sentence on it if a list was longer."""
    if max(size.longest for size in found.values()) <= LONGEST_LIST:
        return rows, ()
    place = "firstday_place"
    by_hash = Window.partitionBy(SPLIT, LIST).orderBy(TIE, ORDER, KEY)
    kept = rows.withColumn(place, F.row_number().over(by_hash)).where(F.col(place) <= LONGEST_LIST)
    longest = max(size.longest for size in found.values())
    note = (
        f"Of lists of more than {LONGEST_LIST:,} rows (the longest has {longest:,}) that many are kept, "
        "drawn by a hash: LightGBM does not return from longer ones."
    )
    return kept.drop(place), (note,)


def refuse_session(spark: SparkSession) -> None:
    """Raise SettingsError where the cluster may take workers away or double them while LightGBM waits."""
    for key in ("spark.dynamicAllocation.enabled", "spark.speculation"):
        value = str(spark.sparkContext.getConf().get(key, "false"))
        if value.lower() == "true":
            raise SettingsError(
                f"{key} must be off: LightGBM's workers wait for each other",
                value=value,
                next_step=f"submit this job with --conf {key}=false and a fixed number of executors",
            )


def _without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}
