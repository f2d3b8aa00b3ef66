"""Rates with intervals for which customers are what is drawn, since the rows of one customer move together.

A rate is a sum of parts over a sum of wholes, clicks over impressions. With c and n a customer's sums, the
variance of the rate p is m / (m - 1) Σ (c - p n)² / (Σ n)² over m customers. The design effect is that over
p (1 - p) / Σ n, the variance of rows that are independent; Wilson's interval (1927) is then of that many
fewer rows (as Korn & Graubard 1998, Survey Methodology 24, do for the exact one; Dean & Pagano 2015, Journal
of Survey Statistics and Methodology 3, for Wilson's). It is not let below 1. Where no row, or each one, is a
click, nothing says how rows move together, and (Σ n)² / Σ n² customers count instead of the rows.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

NORMAL = 1.959963984540054  # the normal distribution's 97.5 % quantile
MOST_VALUES = 1_000  # of a dimension, those with the most impressions
SUMS = ("part", "whole", "part_squared", "whole_squared", "product", "customers")


def summed(rows: DataFrame, figures: Sequence[str]) -> DataFrame:
    """dimension, value, figure and SUMS, MOST_VALUES of a dimension at most.

    rows: user_id, dimension, value, whole and a column for the parts of each of `figures`, all whole
    numbers, so that the sums depend on no order.
    """
    totals = [F.sum(name).alias(name) for name in ("whole", *figures)]
    of_customers = rows.groupBy("user_id", "dimension", "value").agg(*totals)
    of_values = of_customers.groupBy("dimension", "value").agg(
        F.count(F.lit(1)).alias("customers"),
        F.sum(F.col("whole") * F.col("whole")).alias("whole_squared"),
        *(F.sum(F.col(name) * F.col(name)).alias(f"{name}_squared") for name in figures),
        *(F.sum(F.col(name) * F.col("whole")).alias(f"{name}_product") for name in figures),
        *totals,
    )
    most_first = Window.partitionBy("dimension").orderBy(F.desc("whole"), "value")
    kept = of_values.withColumn("rank", F.row_number().over(most_first)).where(F.col("rank") <= MOST_VALUES)
    told = [
        F.struct(
            F.lit(name).alias("figure"),
            F.col(name).alias("part"),
            "whole",
            F.col(f"{name}_squared").alias("part_squared"),
            "whole_squared",
            F.col(f"{name}_product").alias("product"),
            "customers",
        )
        for name in figures
    ]
    return kept.select("dimension", "value", F.inline(F.array(*told)))


def with_intervals(sums: pd.DataFrame) -> pd.DataFrame:
    """SUMS (of at least one row each) with amount, low and high of shares, within [0, 1]."""
    told = sums.astype(dict.fromkeys(SUMS, float))
    rate = told["part"] / told["whole"]
    alone = rate * (1 - rate) / told["whole"]
    known = (alone > 0) & (told["customers"] > 1)
    effect = (_variance(told, rate) / alone.where(known)).clip(lower=1)
    rows = (told["whole"] / effect).where(known, told["whole"] ** 2 / told["whole_squared"])
    low, high = wilson(rate, rows)
    return sums.assign(amount=rate, low=low, high=high)


def with_means(sums: pd.DataFrame) -> pd.DataFrame:
    """SUMS with amount, low and high of a mean, by the normal distribution; null for a single customer."""
    told = sums.astype(dict.fromkeys(SUMS, float))
    rate = told["part"] / told["whole"]
    reach = NORMAL * np.sqrt(_variance(told, rate).clip(lower=0))
    return sums.assign(amount=rate, low=(rate - reach).clip(lower=0), high=rate + reach)


def wilson(rate: pd.Series, rows: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Bounds of the shares `rate` of so many independent rows."""
    square = NORMAL**2
    centre = (rate + square / (2 * rows)) / (1 + square / rows)
    spread = np.sqrt((rate * (1 - rate)).clip(lower=0) / rows + square / (4 * rows**2))
    reach = NORMAL * spread / (1 + square / rows)
    return (centre - reach).clip(lower=0), (centre + reach).clip(upper=1)


def _variance(told: pd.DataFrame, rate: pd.Series) -> pd.Series:
    """NaN for a single customer."""
    squares = told["part_squared"] - 2 * rate * told["product"] + rate**2 * told["whole_squared"]
    customers = told["customers"]
    return customers / (customers - 1).where(customers > 1) * squares / told["whole"] ** 2
