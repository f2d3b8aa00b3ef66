"""Relevance: how well a category goes with what a customer has met so far.

Two views of the same `interests`. Implicit ALS (Hu, Koren & Volinsky 2008, ICDM) gives customers and
categories a few latent factors; co-occurrence adds up how often categories are met by the same customers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.recommendation import ALS
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from firstday.recommendations.recall.catalog import PLACE, Catalog, matrix, numbers
from firstday.recommendations.recall.interests import by_customer

Floats = NDArray[np.float64]
SMOOTHING = 20.0  # customers
BUCKETS = 256  # of customers, numbered within each in parallel
# Of implicit ALS: confidence = 1 + ALPHA × weight. Of dozens of categories more iterations change little, and
# deepen the lineage. How customers are split into blocks is part of the result's last digits.
RANK, ALPHA, REGULARISATION, ITERATIONS, BLOCKS = 8, 10.0, 0.1, 6, 8
GRAIN = 1e-5  # of an ALS score: its factors are floats, whose last digits depend on the order of sums


def als(interests: DataFrame, catalog: Catalog, seed: int) -> DataFrame:
    """user_id and `als`, array<double>: about 1 for a category that fits, about 0 for one that does not.

    Fits at once, over the `interests`; customers without any have no row, and the scores of a category that
    nobody has met are 0. Customers are numbered by the hash of their id, so the result depends on who is
    there but not on the order of the rows. Each customer's rows are in one partition and sorted, so the last
    solve, of customers' factors, adds in one order. The sums over blocks of customers for the categories'
    factors arrive in any order: that moves a score by 1e-7 or so, and scores are rounded to 1e-5. So equal
    runs give equal scores, but for a score that lies within 1e-7 of a rounding edge.
    """
    numbered = _numbered(interests)
    if not interests.where(F.col("weight") > 0).take(1):
        return interests.select("user_id", F.array().cast("array<double>").alias("als")).limit(0)
    rated = (
        numbered.join(interests.where(F.col("weight") > 0), "user_id")
        .select("number", PLACE, F.col("weight").cast("float").alias("weight"))
        .repartition(BLOCKS, "number")
        .sortWithinPartitions("number", PLACE)
    )
    model = ALS(
        rank=RANK,
        alpha=ALPHA,
        regParam=REGULARISATION,
        maxIter=ITERATIONS,
        numUserBlocks=BLOCKS,
        numItemBlocks=1,
        implicitPrefs=True,
        userCol="number",
        itemCol=PLACE,
        ratingCol="weight",
        seed=seed,
    ).fit(rated)
    factors_of = np.zeros((RANK, len(catalog)))
    for row in model.itemFactors.collect():
        factors_of[:, row["id"]] = row["features"]
    scores = weighted_rows(
        F.sequence(F.lit(0), F.lit(RANK - 1)),
        factors_of,
        lambda place: (place, F.element_at("features", place + 1).cast("double")),
    )
    known = numbered.join(model.userFactors.withColumnRenamed("id", "number"), "number")
    return known.select("user_id", rounded(scores).alias("als"))


def _numbered(interests: DataFrame) -> DataFrame:
    """user_id, number: a whole number of each customer, the same for the same set of customers."""
    bucket = F.pmod(F.xxhash64("user_id"), F.lit(BUCKETS))
    users = interests.where(F.col("weight") > 0).select("user_id").distinct().withColumn("bucket", bucket)
    within = F.row_number().over(Window.partitionBy("bucket").orderBy("user_id"))
    return users.select("user_id", ((within - 1) * BUCKETS + F.col("bucket")).cast("int").alias("number"))


def rounded(scores: Column) -> Column:
    """To whole multiples of GRAIN."""
    return F.transform(scores, lambda score: F.rint(score / GRAIN) * GRAIN + 0.0)  # never -0


def weighted_rows(terms: Column, table: Floats, term: Callable[[Column], tuple[Column, Column]]) -> Column:
    """The sum over an array of a weight times a row of the table; `term` gives the row's number and weight.

    Added in the array's order.
    """
    rows = matrix(table)

    def added(total: Column, each: Column) -> Column:
        row, weight = term(each)
        return F.zip_with(total, F.element_at(rows, row + 1), lambda one, other: one + weight * other)

    return F.aggregate(terms, numbers([0.0] * table.shape[1]), added)


@dataclass(frozen=True)
class CoOccurrence:
    """similarity: categories × categories, from 0 to 1, symmetric, 0 on the diagonal. met: customers who have
    met each category.
    """

    similarity: Floats
    met: NDArray[np.int64]


def co_occurrence(interests: DataFrame, catalog: Catalog) -> CoOccurrence:
    """Smoothed cosine of the categories' customers: both / sqrt((one + SMOOTHING) × (other + SMOOTHING)).

    Runs at once: one pass over the customers; categories² rows reach the driver.
    """
    baskets = interests.groupBy("user_id").agg(F.collect_list(PLACE).alias("met"))
    pairs = baskets.select(F.explode("met").alias("one"), "met").select(
        "one", F.explode("met").alias("other")
    )
    both = np.zeros((len(catalog), len(catalog)), dtype=np.int64)
    for row in pairs.groupBy("one", "other").count().collect():
        both[row["one"], row["other"]] = row["count"]
    met = np.diag(both).copy()
    scale = np.sqrt(met + SMOOTHING)
    cosine = np.divide(both, np.outer(scale, scale), out=np.zeros(both.shape), where=both > 0)
    np.fill_diagonal(cosine, 0.0)
    return CoOccurrence(cosine, met)


def co_occurrence_scores(interests: DataFrame, found: CoOccurrence) -> DataFrame:
    """user_id, `co_occurrence` array<double>, from 0 to 1, and `met`, array<struct<place, weight>> by place.

    The score is the mean similarity of what the customer has met to the category, weighted by interest. A
    category itself adds nothing to its score.
    """
    lists = by_customer(interests)
    summed = weighted_rows(F.col("met"), found.similarity, lambda each: (each[PLACE], each["weight"]))
    total = F.aggregate("met", F.lit(0.0), lambda sum_, each: sum_ + each["weight"])
    # The division is by a lambda of one array, so that the total is taken once a customer.
    shares = F.aggregate(
        F.array(total), summed, lambda sums, whole: F.transform(sums, lambda sum_: sum_ / whole)
    )
    return lists.select("user_id", shares.alias("co_occurrence"), "met")


def because(met: Column, place: Column, found: CoOccurrence) -> Column:
    """The place of what the customer has met that adds most to the category at `place`; null if nothing does.

    met: as co_occurrence_scores has it. Of equal shares the first place's counts.
    """
    similar = F.element_at(matrix(found.similarity), place + 1)
    shares = F.transform(
        met,
        lambda each: F.struct(
            (each["weight"] * F.element_at(similar, each[PLACE] + 1)).alias("share"),
            (-each[PLACE]).alias("place"),
        ),
    )
    best = F.array_max(shares)
    return F.when(best["share"] > 0, -best["place"])
