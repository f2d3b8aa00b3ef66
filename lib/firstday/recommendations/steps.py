"""What each step of a run of recommending did, in figures."""

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.recommendations import filters, slots, weights
from firstday.recommendations.lists import Made, Recipe

COLUMNS = ("step", "figure", "source", "reason", "value")


def figures(made: Made, categories: DataFrame, recipe: Recipe) -> tuple[pd.DataFrame, dict[str, int]]:
    """COLUMNS, in the order of the steps, a few dozen rows; and the slots by source.

    recall: candidates by source. weights: candidates, and lists whose best are others by the weights.
    filters: pairs of a customer and a category, and customers, by reason. slots: lists, full ones, and slots
    by source.
    """
    size = recipe.slots.size
    recalled = made.weighted.groupBy("source").count().orderBy("source").collect()
    rows: list[tuple[str, str, str | None, str | None, int]] = [
        ("recall", "candidates", found["source"], None, found["count"]) for found in recalled
    ]
    [changed] = weights.changed(made.weighted, size, recipe.seed).collect()
    rows += [("weights", name, None, None, changed[name]) for name in ("candidates", "customers", "lists")]
    for found in filters.counts(made.blocked, categories).orderBy("reason").collect():
        rows += [("filters", name, None, found["reason"], found[name]) for name in ("pairs", "customers")]
    [filled] = slots.counts(made.lists, made.blocked, size).collect()
    rows += [("slots", name, None, None, filled[name]) for name in ("customers", "lists", "full", "slots")]
    counted = made.lists.groupBy("source").agg(F.count(F.lit(1)).alias("slots")).orderBy("source").collect()
    by_source = {row["source"]: int(row["slots"]) for row in counted}
    rows += [("slots", "slots", source, None, slots) for source, slots in by_source.items()]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.assign(value=frame["value"].astype(float)), by_source


def metrics(steps: pd.DataFrame) -> dict[str, float]:
    """The figures by one name each: 'filters.pairs.resting: dismissed'."""
    return {
        ".".join(
            part for part in (row.step, row.figure, row.source, row.reason) if part is not None
        ): row.value
        for row in steps.itertuples(index=False)
    }
