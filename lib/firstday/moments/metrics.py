"""Precision, recall and their kin for every candidate at once, from the histogram of counts.

One group-by and one cumulative sum over the counts answer all thresholds; no job and no column for each.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from firstday.segments import ALL, with_segments
from firstday.tables.schemas import quoted

Z_95 = 1.959963984540054
KEYS = ("segment", "action", "threshold", "day")


def moments(
    counts: DataFrame,
    segments: Sequence[str],
    days: Sequence[int],
    *,
    thresholds: Sequence[int] = (),
    min_users: int = 30,
) -> DataFrame:
    """One row for each (segment, action, threshold, day) from moment_counts.

    users, retained: those of the segment whose Dn is known, and those of them that came back. experienced,
    both: those that reached the threshold, and of them the retained. Undefined ratios are null. Segments with
    fewer than `min_users` users are left out, `all` never. Thresholds are the counts that occur in the
    segment, or `thresholds` for every action that occurs there.
    """
    measures = [f"{kind}_d{day}" for day in days for kind in ("matured", "retained")]
    sums = [F.sum(name).alias(name) for name in measures]
    by_count = with_segments(counts.groupBy(*map(quoted, segments), "action", "count").agg(*sums), segments)
    by_count = by_count.select("segment", "action", "count", *measures)
    cohort = by_count.where(F.col("action").isNull()).groupBy("segment").agg(*sums)
    reached = by_count.where(F.col("action").isNotNull()).withColumn("wanted", F.lit(not thresholds))
    if thresholds:
        reached = reached.unionByName(_wanted(reached, thresholds, measures))
    reached = reached.groupBy("segment", "action", F.col("count").alias("threshold")).agg(
        *sums, F.max("wanted").alias("wanted")
    )
    from_here_up = (
        Window.partitionBy("segment", "action")
        .orderBy(F.col("threshold").desc())
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    reached = reached.select(
        *("segment", "action", "threshold", "wanted"),
        *(F.sum(name).over(from_here_up).alias(name) for name in measures),
    ).where("wanted")
    candidates = _by_day(reached, days, ("segment", "action", "threshold"), ("experienced", "both"))
    whole = _by_day(cohort, days, ("segment",), ("users", "retained"))
    whole = whole.where((F.col("segment") == ALL) | (F.col("users") >= min_users))
    return _ratios(candidates.join(whole, ["segment", "day"]))


def mark_frontier(rows: DataFrame) -> DataFrame:
    """`rows` with on_frontier: no candidate of the segment and day is as good in both precision and recall
    and better in one. Candidates with an undefined ratio are never on it.
    """
    everyone = Window.partitionBy("segment", "day")  # of whom recall is in proportion to `both`
    higher_recall = everyone.orderBy(F.col("both").desc()).rangeBetween(Window.unboundedPreceding, -1)
    precision = F.col("precision")
    equal_best = F.max(precision).over(Window.partitionBy("segment", "day", "both"))
    higher_best = F.coalesce(F.max(precision).over(higher_recall), F.lit(-1.0))
    known = precision.isNotNull() & F.col("recall").isNotNull()
    kept = known & (precision == equal_best) & (precision > higher_best)
    return rows.withColumn("on_frontier", F.coalesce(kept, F.lit(False)))


def _wanted(reached: DataFrame, thresholds: Sequence[int], measures: Sequence[str]) -> DataFrame:
    """A row of nobody at each threshold of each action, so that the cumulative sum has a value there.

    The thresholds are one literal: the plan is the same however many there are.
    """
    listed = F.split(F.lit(",".join(map(str, thresholds))), ",").cast("array<int>")
    return (
        reached.select("segment", "action")
        .distinct()
        .select(
            *("segment", "action", F.explode(listed).alias("count")),
            *(F.lit(0).cast("long").alias(name) for name in measures),
            F.lit(True).alias("wanted"),
        )
    )


def _by_day(rows: DataFrame, days: Sequence[int], keys: Sequence[str], names: Sequence[str]) -> DataFrame:
    """A row for each day instead of columns for each day."""
    users, retained = names
    per_day = F.array(
        *(
            F.struct(
                F.lit(day).alias("day"),
                F.col(f"matured_d{day}").alias(users),
                F.col(f"retained_d{day}").alias(retained),
            )
            for day in days
        )
    )
    return rows.select(*keys, F.inline(per_day))


def _ratios(rows: DataFrame) -> DataFrame:
    users, experienced, retained, both = (
        F.col(name).cast("double") for name in ("users", "experienced", "retained", "both")
    )
    precision, recall = F.try_divide(both, experienced), F.try_divide(both, retained)
    deviation = F.sqrt(experienced * (users - experienced) * retained * (users - retained))
    others, others_retained = users - experienced, retained - both
    return rows.select(
        *KEYS,
        *("users", "experienced", "retained", "both"),
        precision.alias("precision"),
        *_wilson(both, experienced, "precision"),
        recall.alias("recall"),
        *_wilson(both, retained, "recall"),
        F.try_divide(both * users, experienced * retained).alias("lift"),
        F.try_divide(2 * both, experienced + retained).alias("f1"),
        F.try_divide(both * users - experienced * retained, deviation).alias("phi"),
        *_newcombe(both, experienced, others_retained, others),
    )


def _wilson_bounds(part: Column, whole: Column) -> tuple[Column, Column]:
    """Wilson's score interval (1927) for a share, 95 %."""
    square = Z_95**2
    centre = part + square / 2
    margin = Z_95 * F.sqrt(F.try_divide(part * (whole - part), whole) + square / 4)
    return F.try_divide(centre - margin, whole + square), F.try_divide(centre + margin, whole + square)


def _wilson(part: Column, whole: Column, name: str) -> tuple[Column, Column]:
    low, high = _wilson_bounds(part, whole)
    low = F.when(whole > 0, F.greatest(low, F.lit(0.0)))
    return low.alias(f"{name}_low"), F.when(whole > 0, F.least(high, F.lit(1.0))).alias(f"{name}_high")


def _newcombe(part: Column, whole: Column, other_part: Column, other: Column) -> tuple[Column, ...]:
    """Difference of two shares with Newcombe's interval out of two Wilson intervals (1998, method 10)."""
    one, two = F.try_divide(part, whole), F.try_divide(other_part, other)
    (low_1, high_1), (low_2, high_2) = _wilson_bounds(part, whole), _wilson_bounds(other_part, other)
    known = (whole > 0) & (other > 0)
    low = one - two - F.sqrt((one - low_1) ** 2 + (high_2 - two) ** 2)
    high = one - two + F.sqrt((high_1 - one) ** 2 + (two - low_2) ** 2)
    return (
        (one - two).alias("difference"),
        F.when(known, low).alias("difference_low"),
        F.when(known, high).alias("difference_high"),
    )
