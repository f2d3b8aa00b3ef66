"""A noise-aware classifier of two classes: LightGBM on P(positive) itself, by SynapseML.

The cross-entropy objective takes probabilities as labels, so that rows need not be doubled.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, NumericType

from firstday.errors import DataError, SettingsError
from firstday.tables.schemas import column

if TYPE_CHECKING:
    from synapse.ml.lightgbm import LightGBMRegressionModel

TARGET, VECTOR, PART = "firstday_target", "firstday_vector", "firstday_part"
TRAIN, TUNE, TEST = "train", "tune", "test"
TENTHS = {TRAIN: range(7), TUNE: range(7, 8), TEST: range(8, 10)}  # of the rows
ADAPTIVE = "spark.sql.adaptive.enabled"
FEWEST_ROWS = 50


def part(seed: int) -> Column:
    """The part of a row, by a hash of its id: train, tune or test. Order and partitions change nothing."""
    tenth = F.pmod(F.xxhash64(F.col("row_id"), F.lit(seed)), F.lit(10))
    return F.when(tenth < TENTHS[TRAIN].stop, TRAIN).when(tenth < TENTHS[TUNE].stop, TUNE).otherwise(TEST)


def refuse_features(rows: DataFrame, features: Sequence[str]) -> None:
    """Raise SettingsError where a feature is no number."""
    kinds = {item.name: item.dataType for item in rows.schema}
    wrong = [name for name in features if not isinstance(kinds[name], NumericType | BooleanType)]
    if wrong:
        raise SettingsError(
            "features must be numbers",
            value=[f"{name}: {kinds[name].simpleString()}" for name in wrong],
            next_step="leave them out of --features, or encode them as numbers",
        )


def with_vector(rows: DataFrame, features: Sequence[str]) -> DataFrame:
    """The rows with VECTOR; null and NaN are missing values, which LightGBM takes as they are."""
    from pyspark.ml.feature import VectorAssembler

    names = [f"firstday_feature_{at}" for at in range(len(features))]
    missing = F.lit(float("nan"))
    numbers = [
        F.coalesce(column(name).cast("double"), missing).alias(safe)
        for name, safe in zip(features, names, strict=True)
    ]
    assembler = VectorAssembler(inputCols=names, outputCol=VECTOR, handleInvalid="keep")
    return assembler.transform(rows.select("*", *numbers)).drop(*names)


def train(rows: DataFrame, features: Sequence[str], seed: int) -> "LightGBMRegressionModel":
    """A model of TARGET, P(positive) from 0 to 1, of rows with VECTOR.

    Raises DataError where there are fewer than FEWEST_ROWS rows, or all have the same target: LightGBM would
    train to a constant in silence.
    """
    from synapse.ml.lightgbm import LightGBMRegressor

    told = rows.agg(F.count("*"), F.min(TARGET), F.max(TARGET)).first()
    assert told is not None
    if told[0] < FEWEST_ROWS or told[1] == told[2]:
        raise DataError(
            f"a classifier needs {FEWEST_ROWS} rows to learn from, and labels that differ",
            value=f"{told[0]:,} rows, labels from {told[1]} to {told[2]}",
            next_step="give more rows, or look at the label functions' coverage in label_summary",
        )
    spark = rows.sparkSession
    tasks = spark.sparkContext.defaultParallelism
    # By id, and sorted: the trees depend on the order of the rows.
    placed = rows.select("row_id", TARGET, VECTOR).repartition(tasks, "row_id").sortWithinPartitions("row_id")
    learner = LightGBMRegressor(
        objective="cross_entropy",
        labelCol=TARGET,
        featuresCol=VECTOR,
        slotNames=[f"f{at}" for at in range(len(features))],
        numIterations=100,
        learningRate=0.1,
        numLeaves=31,
        minDataInLeaf=20,
        seed=seed,
        deterministic=True,
        numTasks=tasks,
        # Without barriers the fit hangs when a task of it has to wait for another.
        useBarrierExecutionMode=True,
        dataTransferMode="bulk",
    )
    with _not_adaptive(spark):
        return learner.fit(placed)


def scored(rows: DataFrame, model: Any, name: str) -> DataFrame:
    """The rows with P(positive) in the column `name`."""
    return model.setPredictionCol(name).transform(rows)


@contextmanager
def _not_adaptive(spark: SparkSession) -> Iterator[None]:
    """Adaptive execution changes the number of partitions, and the fit waits for tasks that never come."""
    before = spark.conf.get(ADAPTIVE)
    spark.conf.set(ADAPTIVE, "false")
    try:
        yield
    finally:
        spark.conf.set(ADAPTIVE, before or "true")
