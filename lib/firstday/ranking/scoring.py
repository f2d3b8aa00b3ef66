"""Score rows by a trained ranker: by LightGBM's Python package on Arrow batches, or by SynapseML.

Both run LightGBM's own code on the same text and give the same scores. The Python package needs no jars, so
that it runs on any Spark, and is the faster one; the executors must have it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import DoubleType, StructField, StructType

from firstday.errors import FirstdayError
from firstday.ranking.ranker import Ranker
from firstday.spark import synapseml
from firstday.spark.frames import with_vector

if TYPE_CHECKING:
    import lightgbm

# The rows with a column of scores instead of the features' columns, which are in the order of the ranker's.
Scorer = Callable[[Ranker, DataFrame, Sequence[str], str], DataFrame]
VECTOR = "firstday_scored"
PROBES = 64  # tasks that ask whether their executor has LightGBM


def scorer(spark: SparkSession) -> Scorer:
    """How this session scores: LightGBM's Python package where all executors have it, else SynapseML.

    One small job at most. Raises FirstdayError where there is neither.
    """
    if _executors_have_lightgbm(spark):
        return by_lightgbm
    if synapseml.available(spark):
        return by_synapseml
    raise FirstdayError(
        "scoring needs LightGBM's Python package on all executors, or SynapseML in the session",
        value="neither",
        next_step="pip install lightgbm (and the machine's libgomp1) where the executors run",
    )


def by_lightgbm(ranker: Ranker, rows: DataFrame, features: Sequence[str], name: str) -> DataFrame:
    """Scores by the Python package. Null and NaN are missing values. The text travels with the function and
    is parsed once a worker.
    """
    others = [column for column in rows.columns if column not in set(features)]
    kept = rows.select(*others)
    native, asked = ranker.native, list(features)

    def scored(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            scores = predicted(native, [batch.column(feature) for feature in asked])
            columns = [batch.column(other) for other in others]
            yield pa.RecordBatch.from_arrays([*columns, pa.array(scores)], names=[*others, name])

    schema = StructType([*kept.schema.fields, StructField(name, DoubleType())])
    numbers = [rows[feature].cast("double").alias(feature) for feature in asked]
    return rows.select(*others, *numbers).mapInArrow(scored, schema)


def by_synapseml(ranker: Ranker, rows: DataFrame, features: Sequence[str], name: str) -> DataFrame:
    """Scores by SynapseML, of the same rows the same."""
    others = [column for column in rows.columns if column not in set(features)]
    vectors = with_vector(rows, features, VECTOR).select(*others, VECTOR)
    return ranker.scored(vectors, name, VECTOR).drop(VECTOR)


def predicted(native: str, columns: Sequence[pa.Array]) -> np.ndarray:
    """(rows,) scores of columns of doubles, which are in the order of the ranker's features."""
    matrix = np.empty((len(columns[0]), len(columns)))
    for place, values in enumerate(columns):
        matrix[:, place] = values.to_numpy(zero_copy_only=False)  # null becomes NaN
    return np.asarray(booster(native).predict(matrix, num_threads=1))  # a task has one core


@lru_cache(4)
def booster(native: str) -> "lightgbm.Booster":
    """The ranker of LightGBM's text."""
    import lightgbm

    return lightgbm.Booster(model_str=native)


def importable() -> bool:
    """Whether LightGBM can be imported here: its package, and the machine's OpenMP library."""
    try:
        import lightgbm  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def _master(spark: SparkSession) -> str:
    return spark.conf.get("spark.master", "") or ""


def _executors_have_lightgbm(spark: SparkSession) -> bool:
    if _master(spark).startswith("local"):
        return importable()  # workers are of this machine, and of this Python

    def asked(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"able": [importable()] * len(batch)})

    answers = spark.range(0, PROBES, 1, PROBES).mapInArrow(asked, "able boolean").distinct().collect()
    return [row["able"] for row in answers] == [True]
