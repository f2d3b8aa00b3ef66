"""The re-ranker: LightGBM by SynapseML, distributed; kept as LightGBM's own text, which any LightGBM reads.

LambdaRank (Burges 2010) learns the order within lists. The binary objective learns P(label = 1) with the
cross-entropy of probabilities, so that labels between 0 and 1 (a click mixed with a moment) are taken too.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.ranking.examples import IN_ORDER, LABEL, LAMBDARANK, LIST, SPLIT, TRAIN, VECTOR, WEIGHT
from firstday.settings.train import Boosting
from firstday.spark.frames import not_adaptive, uniform_hash

MOST_TOGETHER = 56  # values of a category that several workers learn from together
TUNING, TUNED, TUNE_SALT = "firstday_tuning", 0.15, 17  # lists that say when to stop
# SynapseML's names of LightGBM's parameters, where they are not the same in camel case.
NAMES = {
    "num_iterations": "numIterations",
    "num_leaves": "numLeaves",
    "learning_rate": "learningRate",
    "min_data_in_leaf": "minDataInLeaf",
    "min_sum_hessian_in_leaf": "minSumHessianInLeaf",
    "max_depth": "maxDepth",
    "max_bin": "maxBin",
    "lambda_l1": "lambdaL1",
    "lambda_l2": "lambdaL2",
    "min_gain_to_split": "minGainToSplit",
    "feature_fraction": "featureFraction",
    "bagging_fraction": "baggingFraction",
    "bagging_freq": "baggingFreq",
    "cat_smooth": "catSmooth",
    "early_stopping_round": "earlyStoppingRound",
}


@dataclass(frozen=True)
class Ranker:
    """A trained ranker. native: LightGBM's text of it. features: in the vector's order. note: what to know
    of how it was trained, or ''.
    """

    native: str
    features: tuple[str, ...]
    note: str = ""

    @property
    def trees(self) -> int:
        """How many there are: fewer than num_iterations where they no longer helped."""
        return sum(line.startswith("Tree=") for line in self.native.splitlines())

    def scored(self, rows: DataFrame, name: str, vector: str = VECTOR) -> DataFrame:
        """The rows, which have `vector`, with the score in the column `name`, by LightGBM's own scorer."""
        from synapse.ml.lightgbm import LightGBMRegressionModel

        model = LightGBMRegressionModel.loadNativeModelFromString(self.native)
        return model.setFeaturesCol(vector).setPredictionCol(name).transform(rows)


def fit(
    rows: DataFrame,
    features: Sequence[str],
    *,
    objective: str,
    parameters: Boosting,
    seed: int,
    categorical: Sequence[str] = (),
    monotone: Mapping[str, int] | None = None,
) -> Ranker:
    """Train on the rows of TRAIN, which have VECTOR and which `examples` has looked through.

    monotone: features whose score may only rise (1) or only fall (-1) with them, all else equal.

    With early stopping, a share of the lists (TUNED, by a hash) is not learned from, but says when trees no
    longer help. In local mode all rows are one task's and LightGBM has all cores: the same rows give the same
    trees. On a cluster each core is a worker; two fits may then differ slightly, as sums are added up in
    another order. A text of many values is learned by one worker; see `tasks_for`.
    """
    spark = rows.sparkSession
    slots = [at for at, name in enumerate(features) if name in set(categorical)]
    tasks = tasks_for(rows, slots, workers(spark))
    tuned = uniform_hash(LIST, TUNE_SALT) < (TUNED if parameters.early_stopping_round else 0.0)
    kept = rows.where(F.col(SPLIT) == TRAIN).select(*IN_ORDER, LABEL, WEIGHT, VECTOR, tuned.alias(TUNING))
    # Whole lists, in order: LambdaRank breaks ties of the first trees by it.
    placed = kept.repartition(tasks, LIST).sortWithinPartitions(*IN_ORDER)
    learner = _learner(objective, tasks, features, parameters, seed)
    if slots:
        learner = learner.setCategoricalSlotIndexes(slots)
    if monotone:
        learner = learner.setMonotoneConstraints([monotone.get(name, 0) for name in features])
    with not_adaptive(spark):
        fitted = learner.fit(placed)
    note = f"A feature has more than {MOST_TOGETHER} values: one worker learned from all rows."
    return Ranker(str(fitted.getNativeModel()), tuple(features), note if tasks < workers(spark) else "")


def workers(spark: SparkSession) -> int:
    """How many tasks train at once: all the cluster's; in local mode one, which has all cores."""
    context = spark.sparkContext
    master = str(context.master)
    return 1 if master == "local" or master.startswith("local[") else context.defaultParallelism


def tasks_for(rows: DataFrame, slots: Sequence[int], most: int) -> int:
    """How many tasks train at once, of `most`: one where a category (by its place in VECTOR) has more than
    MOST_TOGETHER values, as SynapseML 1.1.3 ends the executors with a native crash there (at 100 values on
    two workers; 56 train).
    """
    if most == 1 or not slots:
        return most
    values = vector_to_array(F.col(VECTOR))
    highest = rows.agg(F.greatest(F.lit(-1.0), *(F.max(F.nanvl(values[at], F.lit(-1.0))) for at in slots)))
    row = highest.first()
    assert row is not None  # an aggregate of all rows
    return most if row[0] + 1 <= MOST_TOGETHER else 1  # codes are counted from 0


@contextmanager
def watched(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """Call `end` if the block takes longer: a fit that lost a worker waits for ever, uncancelled."""
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _learner(objective: str, tasks: int, features: Sequence[str], parameters: Boosting, seed: int) -> Any:
    from synapse.ml.lightgbm import LightGBMRanker, LightGBMRegressor

    named = {NAMES[name]: value for name, value in parameters.model_dump().items() if value is not None}
    if parameters.early_stopping_round:
        named["validationIndicatorCol"] = TUNING
    shared: dict[str, Any] = {
        **named,
        "labelCol": LABEL,
        "featuresCol": VECTOR,
        "weightCol": WEIGHT,
        "slotNames": [f"f{at}" for at in range(len(features))],
        "seed": seed,
        "deterministic": True,
        "numTasks": tasks,
        # Without barriers a fit hangs when a task of it has to wait for another.
        "useBarrierExecutionMode": True,
        # Streaming, the default, gives lists the wrong limits.
        "dataTransferMode": "bulk",
    }
    if objective == LAMBDARANK:
        grouped = {"groupCol": LIST, "repartitionByGroupingColumn": False}
        return LightGBMRanker(objective="lambdarank", **grouped, **shared)
    return LightGBMRegressor(objective="cross_entropy", **shared)
