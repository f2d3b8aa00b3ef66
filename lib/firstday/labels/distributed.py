"""Patterns that are too many for the driver: the same sums, added up by Spark.

Only what the sums are made of reaches the driver: its size follows voters and classes, not patterns.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.labels.models.base import Adding, Floats, Sums, VotePatterns
from firstday.labels.patterns import Packing
from firstday.labels.votes import KNOWN, ROWS, Votes, words_of
from firstday.spark.frames import uniform_hash

PARTIAL = "numbers array<double>"
PRIORITY = "firstday_priority"


class Distributed(VotePatterns):
    """`frame`: the words, ROWS and KNOWN (array of rows by known class) of each pattern, in Spark's cache."""

    def __init__(self, votes: Votes, frame: DataFrame) -> None:
        self.voters, self.classes = votes.voters, votes.classes
        self.packing, self.words, self.frame = votes.packing, votes.words, frame

    def add(self, function: Adding) -> Sums:
        """One Spark job; each partition sends its sums."""
        packing, words = self.packing, self.words

        def partition(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
            sums: Sums | None = None
            for batch in batches:
                added = function(*_read(batch, packing, words))
                sums = added if sums is None else tuple(map(np.add, sums, added))
            if sums is not None:
                flat = np.concatenate([np.ravel(part) for part in sums])
                yield pa.RecordBatch.from_pydict({"numbers": [flat]}, PARTIAL_SCHEMA)

        rows = self.frame.mapInArrow(partition, PARTIAL).collect()
        nothing = function(*_read(_empty(words), packing, words))
        total = np.sum([row["numbers"] for row in rows], axis=0)
        cuts = np.cumsum([np.size(part) for part in nothing])[:-1]
        return tuple(
            part.reshape(np.shape(like)) for part, like in zip(np.split(total, cuts), nothing, strict=True)
        )

    def sample(self, most: int) -> tuple[sp.csr_matrix, Floats]:
        """`most` patterns, drawn with a chance that grows with their rows, and how many rows each stands for.

        Priority sampling (Duffield, Lund & Thorup 2007): of the priorities rows / u, for u uniform, the
        greatest; the next priority is the least that a pattern stands for, so that sums are unbiased. u is a
        hash of the votes: the sample depends on nothing else.
        """
        priority = (F.col(ROWS) / (1 - uniform_hash(*self.words))).alias(PRIORITY)
        ranked = self.frame.select(*self.words, ROWS, priority).orderBy(F.desc(PRIORITY), *self.words)
        kept: pd.DataFrame = ranked.limit(most + 1).toPandas()
        least = kept[PRIORITY].iloc[most] if len(kept) > most else 0.0
        kept = kept.iloc[:most]
        rows = np.maximum(kept[ROWS].to_numpy(float), least)
        return self.packing.unpack(kept[self.words].to_numpy(np.int64)), rows


PARTIAL_SCHEMA = pa.schema([("numbers", pa.list_(pa.float64()))])


def _read(
    batch: pa.RecordBatch, packing: Packing, words: list[str]
) -> tuple[sp.csr_matrix, Floats, Floats | None]:
    known = batch.column(KNOWN)
    gold = None
    if not known.null_count or len(known) == 0:
        gold = known.flatten().to_numpy(zero_copy_only=False).reshape(len(known), packing.classes)
    return (
        packing.unpack(words_of(batch, words)),
        batch.column(ROWS).to_numpy(zero_copy_only=False).astype(float),
        gold,
    )


def _empty(words: list[str]) -> pa.RecordBatch:
    fields = [*((name, pa.int64()) for name in words), (ROWS, pa.int64()), (KNOWN, pa.list_(pa.float64()))]
    return pa.RecordBatch.from_pylist([], pa.schema(fields))
