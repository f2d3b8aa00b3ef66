"""What of the results goes to the driver: small tables, each with a limit that it cannot pass in silence."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.errors import LimitError
from firstday.moments.counts import sum_of_arrays
from firstday.moments.families import Timing
from firstday.spark import frames
from firstday.tables.schemas import quoted

MOST_NUMBERS = 8_000_000  # in the cross products that are looked at together: 64 MB
MOST_ROWS = 500_000


def to_driver(rows: DataFrame, what: str, limit: int = MOST_ROWS) -> pd.DataFrame:
    """The rows as pandas; LimitError where there are more than `limit`."""
    next_step = "give fewer --segments or --thresholds, or lower --count-cap"
    return frames.to_driver(rows, what, limit, next_step)


def cohorts_by_date(counts: DataFrame, days: Sequence[int]) -> pd.DataFrame:
    """The whole cohorts of moment_counts, in the order of the dates: anchor_date, users and, for each n,
    matured_dn and retained_dn.
    """
    names = ["users", *(f"{kind}_d{day}" for day in days for kind in ("matured", "retained"))]
    sums = (F.sum(name).alias(name) for name in names)
    rows = counts.where(F.col("action").isNull()).groupBy("anchor_date").agg(*sums)
    return to_driver(rows, "anchor dates").sort_values("anchor_date", ignore_index=True)


def products_by_date(
    products: DataFrame, segments: Sequence[str], day: int, until: date
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows of moment_products up to an anchor date, and the segment columns that they keep.

    Where dates times segments are too many for the driver, the last segment columns are summed over. The rows
    are sorted: sums of floats over them depend on their order.
    """
    rows = products.where((F.col("day") == day) & (F.col("anchor_date") <= F.lit(until)))
    adjusted_for = tuple(segments)
    while True:
        size = rows.agg(F.count("*").alias("rows"), F.max(F.size("sum_xx")).alias("width")).first()
        if size is None or (size["rows"] or 0) * (size["width"] or 1) <= MOST_NUMBERS:
            frame = to_driver(rows, "cross products")
            return frame.sort_values(["anchor_date", *adjusted_for], ignore_index=True), adjusted_for
        if not adjusted_for:
            raise LimitError(
                f"cross products may have at most {MOST_NUMBERS:,} numbers",
                value=f"{size['rows']:,} dates with {size['width']:,} numbers each",
                next_step="lower --leading-actions",
            )
        adjusted_for = adjusted_for[:-1]
        rows = summed(rows, adjusted_for)


def timing_until(timing: DataFrame, until: date) -> Timing | None:
    """Rows of moment_timing up to an anchor date, added up; None where there are none."""
    names = ("events", "after", "before")
    rows = timing.where(F.col("anchor_date") <= F.lit(until)).groupBy("leader", "action")
    table = to_driver(rows.agg(*(F.sum(name).alias(name) for name in names)), "pairs of actions in time")
    if table.empty:
        return None
    actions = tuple(sorted(set(table["action"])))
    place = {action: position for position, action in enumerate(actions)}
    leader, action = (table[name].map(place).to_numpy(dtype=int) for name in ("leader", "action"))
    events = np.zeros(len(actions))
    after, before = np.zeros((2, len(actions), len(actions)))
    alone = leader == action
    events[action[alone]] = table["events"].to_numpy(dtype=float)[alone]
    after[leader, action], before[leader, action] = (table[name].to_numpy(dtype=float) for name in names[1:])
    return Timing(actions, events, after, before)


def summed(products: DataFrame, segments: Sequence[str]) -> DataFrame:
    """Rows of moment_products added up over all but these segment columns."""
    return products.groupBy("anchor_date", *map(quoted, segments), "day").agg(
        *(F.sum(name).alias(name) for name in ("users", "retained")),
        F.first("actions").alias("actions"),
        *(sum_of_arrays(name).alias(name) for name in ("sum_x", "sum_xr", "sum_xx")),
    )
