"""A noise-aware classifier: LightGBM on the probabilities themselves, by SynapseML.

Of two classes the cross-entropy objective takes P(positive) as the label, so that rows need not be doubled.
Of more, each row stands there once for each class, weighted by P(class): to LightGBM's one against all that
is the same loss for each class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, NumericType

from firstday.errors import DataError, SettingsError
from firstday.spark.frames import not_adaptive

TARGET, VECTOR, PART = "firstday_target", "firstday_vector", "firstday_part"
CLASS, WEIGHT = "firstday_class", "firstday_weight"
TRAIN, TUNE, TEST = "train", "tune", "test"
TENTHS = {TRAIN: range(7), TUNE: range(7, 8), TEST: range(8, 10)}  # of the rows
FEWEST_ROWS = 50
FEWEST_IN_LEAF = 20  # rows
LEAST_WEIGHT = 1e-3  # P(class) from which a row is worth standing there for the class


@dataclass(frozen=True)
class Classifier:
    """A trained model. `fitted`: SynapseML's, of P(positive) for two classes, for more of each class against
    the rest, so that the probabilities of a row add up to 1 but roughly.
    """

    fitted: Any
    classes: int
    positive: int

    @property
    def native(self) -> str:
        """LightGBM's own text of the model: it predicts P(positive), (n,), or P(class), (n, k)."""
        return str(self.fitted.getNativeModel())

    def scored(self, rows: DataFrame, name: str) -> DataFrame:
        """The rows, which have VECTOR, with P(positive) in the column `name`."""
        from pyspark.ml.functions import vector_to_array

        if self.classes == 2:
            return self.fitted.setPredictionCol(name).transform(rows)
        every = f"{name}_{CLASS}"
        only = self.fitted.setProbabilityCol(every).setPredictionCol("").setRawPredictionCol("")
        found: DataFrame = only.transform(rows)
        return found.withColumn(name, vector_to_array(F.col(every))[self.positive]).drop(every)


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


def train(rows: DataFrame, features: Sequence[str], *, classes: int, positive: int, seed: int) -> Classifier:
    """A model of TARGET, an array of P(class) for each of the classes, of rows with VECTOR.

    Raises DataError where there are fewer than FEWEST_ROWS rows, or all have the same P(positive): LightGBM
    would train to a constant in silence.
    """
    chance = F.col(TARGET)[positive]
    possible = F.size(F.filter(TARGET, lambda share: share >= LEAST_WEIGHT))
    summary = rows.agg(F.count("*"), F.min(chance), F.max(chance), F.avg(possible)).first()
    assert summary is not None
    if summary[0] < FEWEST_ROWS or summary[1] == summary[2]:
        raise DataError(
            f"a classifier needs {FEWEST_ROWS} rows to learn from, and labels that differ",
            value=f"{summary[0]:,} rows, P(positive) from {summary[1]} to {summary[2]}",
            next_step="give more rows, name another --positive, or look at the coverage in label_summary",
        )
    spark = rows.sparkSession
    tasks = spark.sparkContext.defaultParallelism
    labelled = _of_two(rows, positive) if classes == 2 else _of_many(rows, classes)
    # By id, and sorted: the trees depend on the order of the rows.
    placed = labelled.repartition(tasks, "row_id").sortWithinPartitions("row_id", CLASS)
    learner = _learner(
        classes,
        labelCol=CLASS,
        featuresCol=VECTOR,
        slotNames=[f"f{at}" for at in range(len(features))],
        numIterations=100,
        learningRate=0.1,
        numLeaves=31,
        # A row counts for a leaf as often as it stands there.
        minDataInLeaf=FEWEST_IN_LEAF if classes == 2 else round(FEWEST_IN_LEAF * summary[3]),
        seed=seed,
        deterministic=True,
        numTasks=tasks,
        # Without barriers the fit hangs when a task of it has to wait for another.
        useBarrierExecutionMode=True,
        dataTransferMode="bulk",
    )
    with not_adaptive(spark):
        return Classifier(learner.fit(placed), classes, positive)


def _learner(classes: int, **settings: Any) -> Any:
    from synapse.ml.lightgbm import LightGBMClassifier, LightGBMRegressor

    if classes == 2:
        return LightGBMRegressor(objective="cross_entropy", **settings)
    # Each class against the rest, in one fit and one text: what is called is one class against the rest, and
    # in trials the softmax ranked its rows worse (average precision less by 0.005 to 0.01) at the same cost.
    return LightGBMClassifier(objective="multiclassova", weightCol=WEIGHT, **settings)


def _of_two(rows: DataFrame, positive: int) -> DataFrame:
    """row_id, VECTOR, and CLASS: P(positive) as it is."""
    return rows.select("row_id", VECTOR, F.col(TARGET)[positive].alias(CLASS))


def _of_many(rows: DataFrame, classes: int) -> DataFrame:
    """row_id, VECTOR, CLASS and its WEIGHT: a row for each class that is not next to impossible."""
    every = rows.select("row_id", VECTOR, F.posexplode(TARGET).alias(CLASS, WEIGHT))
    # Without it the number of classes would be that of the highest one that occurs.
    named = {"ml_attr": {"type": "nominal", "num_vals": classes}}
    of_class = F.col(CLASS).cast("double").alias(CLASS, metadata=named)
    return every.where(F.col(WEIGHT) >= LEAST_WEIGHT).select("row_id", VECTOR, of_class, WEIGHT)
