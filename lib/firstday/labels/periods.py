"""How often each voter votes for each class, period by period."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray
from pyspark.sql import functions as F

from firstday.errors import LimitError
from firstday.labels.models.base import Floats
from firstday.labels.votes import ROWS, Votes, words_of
from firstday.tables.schemas import column

MOST_PERIODS = 1_000
NUMBERS = pa.schema([("period", pa.string()), ("numbers", pa.list_(pa.float64()))])


def by_period(votes: Votes, period: str) -> tuple[list[str], NDArray[np.float64], Floats]:
    """The periods in their order; (periods, m, k): rows on which each votes for each class; rows of each.

    `period` is a column of the rows; null is a period, 'unknown'. Only sums reach the driver. Raises
    LimitError above MOST_PERIODS periods.
    """
    name = F.coalesce(column(period).cast("string"), F.lit("unknown")).alias("period")
    taken = votes.rows.select(name, *votes.words)
    found = taken.select("period").distinct().limit(MOST_PERIODS + 1).count()
    if found > MOST_PERIODS:
        raise LimitError(
            f"--period may have at most {MOST_PERIODS:,} values",
            value=f"more, in {period}",
            next_step="name a coarser column, such as the week",
        )
    packing, words = votes.packing, votes.words

    def added(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        sums: dict[str, Floats] = {}  # rows, then the votes of each voter for each class
        for batch in batches:
            named, place = np.unique(
                batch.column("period").to_numpy(zero_copy_only=False), return_inverse=True
            )
            rows = batch.column(ROWS).to_numpy().astype(float)
            each = sp.csr_matrix((rows, (place, np.arange(len(rows)))), shape=(len(named), len(rows)))
            given = (each @ packing.unpack(words_of(batch, words))).toarray()
            numbers = np.column_stack([np.bincount(place, rows), given])
            for at, one in zip(named, numbers, strict=True):
                sums[at] = sums.get(at, 0) + one
        yield pa.RecordBatch.from_pydict({"period": list(sums), "numbers": list(sums.values())}, NUMBERS)

    patterns = taken.groupBy("period", *words).agg(F.count("*").alias(ROWS))
    frame: pd.DataFrame = patterns.mapInArrow(added, "period string, numbers array<double>").toPandas()
    periods, place = np.unique(frame["period"].to_numpy(str), return_inverse=True)
    total = np.zeros((len(periods), 1 + len(votes.voters) * votes.classes))
    np.add.at(total, place, np.stack(frame["numbers"].to_list()))
    given = total[:, 1:].reshape(len(periods), len(votes.voters), votes.classes)
    return [str(name) for name in periods], given, total[:, 0]
