"""Affinity: the interest in each category that is expected of who a customer is and of the other interests.

Ridge regression (Hoerl & Kennard 1970, Technometrics 12) of each category's interest on indicators of the
customers' texts and of their numbers' bins, and on the interests in all other categories. With the second
part alone it is EASE (Steck 2019, WWW), with both EASE with side information (Jeunen et al. 2020, RecSys).
Of customers without interests yet it is expected of the attributes alone, as at a cold start (Gantner et al.
2010, ICDM). ALS and co-occurrence go by what a customer did: with few doings they say little. What interests
people only beside something else is not found: effects add up.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import LimitError
from firstday.ranking.encoding import learn, unfit
from firstday.recommendations.recall.catalog import PLACE, Catalog
from firstday.recommendations.recall.interests import by_customer
from firstday.recommendations.recall.labelled import labelled
from firstday.recommendations.recall.relevance import rounded, weighted_rows
from firstday.spark.frames import break_lineage

Floats = NDArray[np.float64]
MOST_ATTRIBUTES = 1_000  # values of all columns: with the categories the side of what the driver inverts
# Interests are whole multiples of 1 / GRID: sums of their products, exact up to 85 million customers with an
# interest of 10, depend on no order.
GRID = 1 << 10
ATTRIBUTES = "attributes"
BINS, VALUES = 10, 30  # of a number, by its quantiles; of a text, the most frequent
# The ridge's penalty: as many customers of no difference from the mean shrink each attribute and interest.
STRENGTH = 20.0


@dataclass(frozen=True)
class Attributed:
    """rows: user_id and the array `attributes`, numbers below `count`; the last number is everybody's."""

    rows: DataFrame
    count: int


def attributed(customers: DataFrame) -> Attributed:
    """What is known of customers, by number: of those columns that a ranker's features may be (no ids, no
    instants). Runs at once. Raises LimitError for more than MOST_ATTRIBUTES / 2 columns.
    """
    names = [f.name for f in customers.schema if f.name != "user_id" and not unfit(f.name, f.dataType)]
    if not names:
        nobody = customers.select("user_id", F.array(F.lit(0)).alias(ATTRIBUTES))
        return Attributed(nobody, 1)
    if len(names) > MOST_ATTRIBUTES // 2:
        raise LimitError(
            f"customers may have at most {MOST_ATTRIBUTES // 2} columns of attributes",
            value=len(names),
            next_step="leave out the columns that tell least of interests",
        )
    labels = {f"column_{at}": label for at, label in enumerate(labelled(customers, names, BINS))}
    rows = customers.select("user_id", *(label.alias(name) for name, label in labels.items()))
    most = max(2, min(VALUES, MOST_ATTRIBUTES // len(names)))
    encoding = learn(rows, list(labels), most=most)
    numbers, count = [], 0
    for name, feature in zip(encoding.columns, encoding.features, strict=True):
        numbers.append(F.col(name).cast("int") + count)
        count += len(feature.values or ())
    held = F.array_compact(F.array(*numbers, F.lit(count)))
    encoded = encoding.apply(rows).select("user_id", held.alias(ATTRIBUTES))
    return Attributed(break_lineage(encoded), count + 1)


def affinity(attributes: Attributed, interests: DataFrame, catalog: Catalog) -> DataFrame:
    """user_id and `affinity` array<double>, for all customers: the interest in each category that is expected
    of their attributes and, where they have any, of their interests in the others.

    Fits at once, over the `interests` of customers who have any; (attributes + categories)² sums reach the
    driver.
    """
    rows = break_lineage(attributes.rows.join(by_customer(interests), "user_id", "left"))
    sums, count = _sums(rows, attributes.count, len(catalog)), attributes.count
    of_attributes = _of_attributes(sums, count)
    of_both = _of_both(sums, count)

    def expected(table: Floats, terms: Column) -> Column:
        return weighted_rows(terms, table, lambda term: (term["number"], term["weight"]))

    own = F.transform(ATTRIBUTES, lambda number: _term(number, F.lit(1.0)))
    met = F.transform("met", lambda each: _term(count + each[PLACE], each["weight"]))
    known = expected(of_both, F.concat(own, met))
    scores = F.when(F.col("met").isNull(), expected(of_attributes, own)).otherwise(known)
    return rows.select("user_id", rounded(scores).alias("affinity"))


def _term(number: Column, weight: Column) -> Column:
    return F.struct(number.alias("number"), weight.alias("weight"))


def _sums(rows: DataFrame, count: int, categories: int) -> Floats:
    """(Attributes + categories)², over customers with interests: the products of what they are, 1 for an
    attribute, and of their interests. Symmetric.
    """
    width = count + categories

    def kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        total = np.zeros((width, width))
        for batch in batches:
            own, met = batch.column(ATTRIBUTES), batch.column("met")
            columns, each = np.asarray(own.flatten()), met.flatten()
            weights = np.rint(np.asarray(each.field("weight")) * GRID)
            who = _sparse(own, columns, np.ones(len(columns)), count)
            what = _sparse(met, np.asarray(each.field(PLACE)), weights, categories)
            both = sp.hstack([who, what], format="csr")
            total += (both.T @ both).toarray()
        total = np.triu(total)
        cell = np.flatnonzero(total)
        yield pa.RecordBatch.from_pydict({"cell": pa.array(cell), "total": pa.array(total.ravel()[cell])})

    parts = (
        rows.where("met is not null").select(ATTRIBUTES, "met").mapInArrow(kernel, "cell long, total double")
    )
    frame: pd.DataFrame = parts.groupBy("cell").agg(F.sum("total").alias("total")).toPandas()
    sums = np.zeros(width * width)
    sums[frame["cell"].to_numpy()] = frame["total"].to_numpy()
    sums = sums.reshape(width, width)
    unit = np.r_[np.ones(count), np.full(categories, 1 / GRID)]
    return (sums + np.triu(sums, 1).T) * np.outer(unit, unit)


def _sparse(lists: pa.ListArray, columns: NDArray[np.int32], values: Floats, width: int) -> sp.csr_matrix:
    """Rows × width; `columns` and `values` are of the lists' entries, in their order."""
    ends = np.concatenate([[0], np.cumsum(np.asarray(lists.value_lengths()))])
    return sp.csr_matrix((values, columns, ends), shape=(len(lists), width))


def _of_attributes(sums: Floats, count: int) -> Floats:
    """Attributes × categories: what each adds to the expected interest; everybody's is not shrunk."""
    normal, right = sums[:count, :count], sums[:count, count:]
    if normal[-1, -1] == 0:  # nobody has any interest
        return np.zeros_like(right)
    found: Floats = np.linalg.solve(normal + np.diag(_penalty(count, count)), right)
    return found


def _of_both(sums: Floats, count: int) -> Floats:
    """(Attributes + categories) × categories, 0 where a category meets itself.

    All regressions of one column on all the others are in one inverse: -inverse[i, j] / inverse[j, j].
    """
    if sums[count - 1, count - 1] == 0:
        return np.zeros((len(sums), len(sums) - count))
    inverse = np.linalg.inv(sums + np.diag(_penalty(len(sums), count)))
    found: Floats = -inverse[:, count:] / np.diag(inverse)[count:]
    found[count:][np.diag_indices(len(sums) - count)] = 0.0
    return found


def _penalty(size: int, count: int) -> Floats:
    penalty = np.full(size, STRENGTH)
    penalty[count - 1] = 0.0
    return penalty
