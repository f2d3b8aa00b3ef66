"""What each step of a run of recommending did, in figures."""

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.recommendations import filters, slots, weights
from firstday.recommendations.lists import Made, Recipe

COLUMNS = ("step", "figure", "value")


def figures(made: Made, categories: DataFrame, recipe: Recipe) -> tuple[pd.DataFrame, dict[str, int]]:
    """COLUMNS, in the order of the steps, a few dozen rows; and the slots by source.

    recall: candidates by source. weights: candidates, and lists whose best are others by the weights.
    filters: pairs of a customer and a category, and customers, by reason. slots: lists, full ones, and slots
    by source.
    """
    size = recipe.slots.size
    recalled = made.weighted.groupBy("source").count().orderBy("source").collect()
    rows = [("recall", f"candidates by {found['source']}", found["count"]) for found in recalled]
    [changed] = weights.changed(made.weighted, size, recipe.seed).collect()
    rows += [("weights", name, changed[name]) for name in ("candidates", "customers", "lists")]
    for found in filters.counts(made.blocked, categories).orderBy("reason").collect():
        rows += [("filters", f"{name}: {found['reason']}", found[name]) for name in ("pairs", "customers")]
    [filled] = slots.counts(made.lists, made.blocked, size).collect()
    rows += [("slots", name, filled[name]) for name in ("customers", "lists", "full", "slots")]
    counted = made.lists.groupBy("source").agg(F.count(F.lit(1)).alias("slots")).orderBy("source").collect()
    by_source = {row["source"]: int(row["slots"]) for row in counted}
    rows += [("slots", f"slots by {source}", slots) for source, slots in by_source.items()]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.assign(value=frame["value"].astype(float)), by_source
