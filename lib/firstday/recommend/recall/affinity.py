"""Affinity: what a customer of these attributes has to do with each category, whatever this one has done.

Ridge regression (Hoerl & Kennard 1970, Technometrics 12) of interests on indicators of the customers' texts
and of their numbers' bins; so are latent factors told from attributes at a cold start (Gantner et al. 2010,
ICDM). ALS and co-occurrence go by what a customer did, affinity by who the customer is: with few doings the
first say little. An attribute that interests people only beside another one is not found: effects add up.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.errors import LimitError, SettingsError
from firstday.frames import cut
from firstday.recommend.encoding import learn, unfit
from firstday.recommend.recall.catalog import PLACE, Catalog
from firstday.recommend.recall.interests import by_customer
from firstday.recommend.recall.labelled import labelled
from firstday.recommend.recall.relevance import rounded, weighted_rows

Floats = NDArray[np.float64]
MOST_ATTRIBUTES = 1_000  # values of all columns: the driver solves for so many coefficients a category
GRID = 1 << 16  # interests are added as whole multiples of 1 / GRID: their sums depend on no order
ATTRIBUTES = "attributes"


@dataclass(frozen=True)
class Attributes:
    """bins: of a number, by its quantiles. values: of a text, the most frequent. strength: customers of no
    difference from the mean that each attribute is shrunk by, the ridge's penalty.
    """

    bins: int = 10
    values: int = 30
    strength: float = 20.0

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= self.values or not self.strength > 0:
            raise SettingsError(
                "affinity needs 2 bins or more, as many values or more, and a strength above 0",
                value=[self.bins, self.values, self.strength],
                next_step="change the settings of affinity",
            )


@dataclass(frozen=True)
class Attributed:
    """rows: user_id and the array `attributes`, numbers below `count`; the last number is everybody's."""

    rows: DataFrame
    count: int
    strength: float


def attributed(customers: DataFrame, settings: Attributes | None = None) -> Attributed:
    """What is known of customers, by number: of those columns that a ranker's features may be (no ids, no
    instants). Runs at once. Raises LimitError for more than MOST_ATTRIBUTES / 2 columns.
    """
    given = settings or Attributes()
    names = [f.name for f in customers.schema if f.name != "user_id" and not unfit(f.name, f.dataType)]
    if not names:
        nobody = customers.select("user_id", F.array(F.lit(0)).alias(ATTRIBUTES))
        return Attributed(nobody, 1, given.strength)
    if len(names) > MOST_ATTRIBUTES // 2:
        raise LimitError(
            f"customers may have at most {MOST_ATTRIBUTES // 2} columns of attributes",
            value=len(names),
            next_step="leave out the columns that tell least of interests",
        )
    labels = {f"column_{at}": label for at, label in enumerate(labelled(customers, names, given.bins))}
    rows = customers.select("user_id", *(label.alias(name) for name, label in labels.items()))
    most = max(2, min(given.values, MOST_ATTRIBUTES // len(names)))
    encoding = learn(rows, list(labels), most=most)
    numbers, count = [], 0
    for name, feature in zip(encoding.columns, encoding.features, strict=True):
        numbers.append(F.col(name).cast("int") + count)
        count += len(feature.values or ())
    held = F.array_compact(F.array(*numbers, F.lit(count)))
    told = encoding.apply(rows).select("user_id", held.alias(ATTRIBUTES))
    return Attributed(cut(told), count + 1, given.strength)


def affinity(attributes: Attributed, interests: DataFrame, catalog: Catalog) -> DataFrame:
    """user_id and `affinity` array<double>, for all customers: the interest in each category that is expected
    of their attributes.

    Fits at once, over the `interests` of customers who have any; attributes × (attributes + categories) sums
    reach the driver.
    """
    sums = _sums(attributes, interests, len(catalog))
    expected = _solved(sums, attributes.count, attributes.strength)
    scores = weighted_rows(F.col(ATTRIBUTES), expected, lambda number: (number, F.lit(1.0)))
    return attributes.rows.select("user_id", rounded(scores).alias("affinity"))


def _sums(attributes: Attributed, interests: DataFrame, categories: int) -> Floats:
    """Attributes × (attributes + categories): customers who have both attributes, and the interest of those
    who have the one.
    """
    count = attributes.count
    width = count + categories

    def kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        total = np.zeros((count, width))
        for batch in batches:
            own, met = batch.column(ATTRIBUTES), batch.column("met")
            columns, each = np.asarray(own.flatten()), met.flatten()
            who = _sparse(own, columns, np.ones(len(columns)), count)
            weights = np.rint(np.asarray(each.field("weight")) * GRID)
            what = _sparse(met, np.asarray(each.field(PLACE)), weights, categories)
            total[:, :count] += (who.T @ who).toarray()
            total[:, count:] += (who.T @ what).toarray()
        cell = np.flatnonzero(total)
        yield pa.RecordBatch.from_pydict({"cell": pa.array(cell), "total": pa.array(total.ravel()[cell])})

    together = attributes.rows.join(by_customer(interests), "user_id").select(ATTRIBUTES, "met")
    parts = together.mapInArrow(kernel, "cell long, total double")
    frame: pd.DataFrame = parts.groupBy("cell").agg(F.sum("total").alias("total")).toPandas()
    sums = np.zeros(count * width)
    sums[frame["cell"].to_numpy()] = frame["total"].to_numpy()
    sums = sums.reshape(count, width)
    sums[:, count:] /= GRID
    return sums


def _sparse(lists: pa.ListArray, columns: NDArray[np.int32], values: Floats, width: int) -> sp.csr_matrix:
    """Rows × width; `columns` and `values` are of the lists' entries, in their order."""
    ends = np.concatenate([[0], np.cumsum(np.asarray(lists.value_lengths()))])
    return sp.csr_matrix((values, columns, ends), shape=(len(lists), width))


def _solved(sums: Floats, count: int, strength: float) -> Floats:
    """Attributes × categories: what each adds to the expected interest; everybody's is not shrunk."""
    normal, right = sums[:, :count], sums[:, count:]
    if normal[-1, -1] == 0:  # nobody has any interest
        return np.zeros_like(right)
    penalty = np.full(count, strength)
    penalty[-1] = 0.0
    found: Floats = np.linalg.solve(normal + np.diag(penalty), right)
    return found
