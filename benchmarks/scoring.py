"""Scoring and slotting of many customers and 40 categories: rows a second, and how the time grows.

`python -m benchmarks.scoring [--customers 100000 1000000] [--ranker FILE] [--plan]` makes all pairs of
customers and categories with 40 features, as `firstday recommend` has them before its ranker, scores them by
LightGBM's Python package, weighs them, and fills lists of four with one slot for exploring. Printed: the
clock, rows (customer and category) a second, and the peak of memory; of the warm-up and the first number also
the parts, with the scores of SynapseML where the session has it; and LightGBM's predictor on an array.
--ranker: LightGBM's text of one, for a session that cannot train. --plan prints the plan of the lists.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.memory import peak_memory
from benchmarks.rivals import CORES
from firstday.ranking.examples import BINARY, KEY, LABEL, LIST, ORDER, SPLIT, TIE, TRAIN, VECTOR, WEIGHT
from firstday.ranking.learning import CAREFUL
from firstday.ranking.ranker import Ranker, fit
from firstday.ranking.scoring import booster, by_lightgbm, by_synapseml
from firstday.recommendations.slots import Exploring, Slots, fill
from firstday.recommendations.weights import weighted
from firstday.settings.train import Boosting
from firstday.spark import synapseml
from firstday.spark.frames import cut, with_vector
from firstday.spark.session import local_conf, start_local

CATEGORIES, GROUPS, FEATURES = 40, 8, 40
NAMES = [f"f{at}" for at in range(FEATURES)]
ARRAY = 500_000  # rows that the predictor gets as an array
EXAMPLES, TREES = 100_000, 150  # to learn from; about as many as rankers of clicks have
WARM_UP = 5_000  # customers
BLOCKED = 5  # categories that a customer must not be shown
SLOTS = Slots(4, None, Exploring(4))


def pairs(spark: SparkSession, customers: int) -> DataFrame:
    """user_id, category, source, reason, preference and NAMES, numbers, a fifth of them missing."""
    each = spark.range(customers).select(
        F.concat(F.lit("customer-"), F.col("id")).alias("user_id"), F.explode(names()).alias("category")
    )
    numbers = [F.xxhash64("user_id", "category", F.lit(at)) / F.lit(2.0**63) for at in range(FEATURES)]
    some = [
        F.when(F.abs(number) >= 0.2, number).alias(name) for name, number in zip(NAMES, numbers, strict=True)
    ]
    return each.select(
        *("user_id", "category", F.lit("relevance").alias("source"), F.lit("fits").alias("reason")),
        *(F.lit(0.0).alias("preference"), *some),
    )


def names() -> Column:
    """The categories' names, an array."""
    return F.array(*(F.lit(f"category-{at:02d}") for at in range(CATEGORIES)))


def categories(spark: SparkSession) -> DataFrame:
    """The catalogue, a few of it lifted."""
    rows = [
        (f"category-{at:02d}", f"group-{at % GROUPS}", 1.0 + 0.1 * (at % 3), 0.02) for at in range(CATEGORIES)
    ]
    return spark.createDataFrame(
        rows, "category string, category_group string, weight double, fallback double"
    )


def blocked(spark: SparkSession, customers: int) -> DataFrame:
    """A row a customer, with BLOCKED categories by a hash."""
    user = F.concat(F.lit("customer-"), F.col("id"))
    first = F.pmod(F.xxhash64(user), F.lit(CATEGORIES - BLOCKED)).cast("int") + 1
    never = F.lit(None).cast("timestamp")
    entries = F.transform(
        F.slice(names(), first, F.lit(BLOCKED)),
        lambda name: F.struct(name.alias("category"), F.lit("held").alias("reason"), never.alias("until")),
    )
    return spark.range(customers).select(user.alias("user_id"), entries.alias("blocked"))


def ranker(spark: SparkSession) -> Ranker:
    """Trained as `firstday train --tables` does, on clicks that follow a few of the features."""
    rows = with_vector(pairs(spark, EXAMPLES // CATEGORIES), NAMES, VECTOR)
    features = vector_to_array(F.col(VECTOR))
    logit = sum((F.nanvl(features[at], F.lit(0.0)) * (1 + at % 3) for at in range(8)), F.lit(-3.0))
    clicked = F.pmod(F.xxhash64("user_id", "category"), F.lit(10_000)) / 10_000 < 1 / (1 + F.exp(-logit))
    key = F.concat_ws(" ", "user_id", "category")
    told = rows.select(
        *(F.lit(TRAIN).alias(SPLIT), F.xxhash64("user_id").alias(LIST), clicked.cast("double").alias(LABEL)),
        *(F.lit(1.0).alias(WEIGHT), F.lit(None).cast("double").alias(ORDER), key.alias(KEY)),
        *(F.xxhash64(key).alias(TIE), VECTOR),
    )
    careful = {name: value for name, value in CAREFUL.items() if name != "early_stopping_round"}
    parameters = Boosting(num_iterations=TREES).otherwise(careful)
    return fit(told, NAMES, objective=BINARY, parameters=parameters, seed=7)


def lists(spark: SparkSession, scored: DataFrame, customers: int) -> DataFrame:
    """The lists out of the scored pairs; these are worked out once and kept, as the job keeps them."""
    offered = categories(spark)
    better = cut(weighted(scored, offered.drop("fallback")))
    return fill(better, blocked(spark, customers), offered, SLOTS, seed=7, occasion="a benchmark")


def clock(make: Callable[[], DataFrame]) -> float:
    """Seconds that it takes to have all rows of the frame."""
    began = time.perf_counter()
    make().write.format("noop").mode("overwrite").save()
    return time.perf_counter() - began


def on_an_array(model: Ranker) -> float:
    """Rows a second of LightGBM's predictor on a whole array, the better of two, on CORES threads."""
    rows = np.random.default_rng(7).uniform(-1, 1, (ARRAY, FEATURES))
    rows[np.abs(rows) < 0.2] = np.nan
    took = []
    for _ in range(2):
        began = time.perf_counter()
        booster(model.native).predict(rows, num_threads=CORES)
        took.append(time.perf_counter() - began)
    return ARRAY / min(took)


def main() -> None:
    """Each number of customers after the other, in one session."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--ranker", type=Path)
    parser.add_argument("--plan", action="store_true")
    asked = parser.parse_args()
    spark = start_local(local_conf("firstday benchmark", str(CORES)))
    model = Ranker(asked.ranker.read_text(encoding="utf-8"), tuple(NAMES)) if asked.ranker else ranker(spark)
    print(f"trees: {model.trees}, features: {FEATURES}, categories: {CATEGORIES}")
    print("| customers | rows | part | seconds | rows a second | MB at the peak |")
    print("| --- | --- | --- | --- | --- | --- |")
    for place, customers in enumerate([WARM_UP, *asked.customers]):
        made = pairs(spark, customers)
        scored = by_lightgbm(model, made, NAMES, "score")
        parts = {"rows": lambda: made, "rows, scores": lambda: scored}  # noqa: B023 - called here
        if synapseml.available(spark):
            parts["rows, scores of SynapseML"] = lambda: by_synapseml(model, made, NAMES, "score")  # noqa: B023
        whole = {"rows, scores, lists": lambda: lists(spark, scored, customers)}  # noqa: B023
        rows = customers * CATEGORIES
        for name, make in (parts | whole if place < 2 else whole).items():
            with peak_memory(os.getpid()) as peak:
                took = clock(make)
            told = f"{took:.1f} | {rows / took:,.0f} | {peak.megabytes:,.0f}"
            print(f"| {customers:,} | {rows:,} | {name} | {told} |", flush=True)
    print(f"the predictor on an array of {ARRAY:,} rows: {on_an_array(model):,.0f} rows a second")
    if asked.plan:
        lists(spark, scored, customers).explain("formatted")
    spark.stop()


if __name__ == "__main__":
    main()
