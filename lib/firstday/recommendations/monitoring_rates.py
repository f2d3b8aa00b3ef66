"""Rates with intervals for which customers are what is drawn, since the rows of one customer move together.

A rate is a sum of parts over a sum of wholes, clicks over impressions. Customers fall into GROUPS random
groups by a hash, so that their sums take little room whatever the customers (random groups: Hansen, Hurwitz &
Madow 1953; Wolter 2007, Introduction to Variance Estimation). With c and n a group's sums, the variance of
the rate p is m / (m - 1) Σ (c - p n)² / N² over the m groups that have rows, N all rows. The design effect is
that over p (1 - p) / N, the variance of rows that are independent; Wilson's interval (1927) is then of that
many fewer rows (as Korn & Graubard 1998, Survey Methodology 24, do for the exact one; Dean & Pagano 2015,
Journal of Survey Statistics and Methodology 3, for Wilson's). It is not let below 1. Where no row, or each
one, is a click, nothing says how rows move together, and customers count instead of rows: N² / Σ n² over
customers, whose Σ n² is estimated from the groups: they scatter by it around N / GROUPS.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from firstday.stats.shares import wilson

NORMAL = 1.959963984540054  # the normal distribution's 97.5 % quantile
MOST_VALUES = 1_000  # of a dimension, those with the most impressions
GROUPS = 1_024
GROUP = "customers"  # the number of the group
SUMS = ("part", "whole", "part_squared", "whole_squared", "product", "groups")


def group_of(user: str) -> Column:
    """The customer's group as GROUP."""
    return F.pmod(F.xxhash64(user), F.lit(GROUPS)).cast("int").alias(GROUP)


def summed(rows: DataFrame, figures: Sequence[str]) -> DataFrame:
    """dimension, value, figure and SUMS, MOST_VALUES of a dimension at most.

    rows: GROUP, dimension, value, whole and a column for the parts of each of `figures`, all whole
    numbers, so that the sums depend on no order.
    """
    totals = [F.sum(name).alias(name) for name in ("whole", *figures)]
    of_groups = rows.groupBy(GROUP, "dimension", "value").agg(*totals)
    of_values = of_groups.groupBy("dimension", "value").agg(
        F.count(F.lit(1)).alias("groups"),
        F.sum(F.col("whole") * F.col("whole")).alias("whole_squared"),
        *(F.sum(F.col(name) * F.col(name)).alias(f"{name}_squared") for name in figures),
        *(F.sum(F.col(name) * F.col("whole")).alias(f"{name}_product") for name in figures),
        *totals,
    )
    most_first = Window.partitionBy("dimension").orderBy(F.desc("whole"), "value")
    kept = of_values.withColumn("rank", F.row_number().over(most_first)).where(F.col("rank") <= MOST_VALUES)
    per_figure = [
        F.struct(
            F.lit(name).alias("figure"),
            F.col(name).alias("part"),
            "whole",
            F.col(f"{name}_squared").alias("part_squared"),
            "whole_squared",
            F.col(f"{name}_product").alias("product"),
            "groups",
        )
        for name in figures
    ]
    return kept.select("dimension", "value", F.inline(F.array(*per_figure)))


def with_intervals(sums: pd.DataFrame) -> pd.DataFrame:
    """SUMS (of at least one row each) with amount, low and high of shares, within [0, 1]."""
    numbers = sums.astype(dict.fromkeys(SUMS, float))
    rate = numbers["part"] / numbers["whole"]
    alone = rate * (1 - rate) / numbers["whole"]
    known = (alone > 0) & (numbers["groups"] > 1)
    effect = (_variance(numbers, rate) / alone.where(known)).clip(lower=1)
    rows = (numbers["whole"] / effect).where(known, _customers(numbers))
    low, high = wilson(rate, rows)
    return sums.assign(amount=rate, low=low, high=high)


def with_means(sums: pd.DataFrame) -> pd.DataFrame:
    """SUMS with amount, low and high of a mean, by the normal distribution; null for a single group."""
    numbers = sums.astype(dict.fromkeys(SUMS, float))
    rate = numbers["part"] / numbers["whole"]
    margin = NORMAL * np.sqrt(_variance(numbers, rate).clip(lower=0))
    return sums.assign(amount=rate, low=(rate - margin).clip(lower=0), high=rate + margin)


def _variance(sums: pd.DataFrame, rate: pd.Series) -> pd.Series:
    """NaN for a single group."""
    squares = sums["part_squared"] - 2 * rate * sums["product"] + rate**2 * sums["whole_squared"]
    groups = sums["groups"]
    return groups / (groups - 1).where(groups > 1) * squares / sums["whole"] ** 2


def _customers(sums: pd.DataFrame) -> pd.Series:
    """How many customers with equally many rows would be as good; at most the rows."""
    even = sums["whole"] ** 2 / GROUPS
    scattered = (sums["whole_squared"] - even).clip(lower=1e-9) / (1 - 1 / GROUPS)
    return (sums["whole"] ** 2 / scattered).clip(upper=sums["whole"])
