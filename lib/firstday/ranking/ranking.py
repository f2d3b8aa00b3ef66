"""How well scores order lists: NDCG, and AUC, of a model and of baselines side by side.

NDCG@k (Järvelin & Kekäläinen 2002): the sum of (2^label - 1) / log2(1 + place) over the first k places, over
the same sum in the best order. Rows of equal scores share their places: each gets the mean of what they would
get in all orders (McSherry & Najork 2008, ECIR), so that a constant score has exactly what chance has and no
figure depends on the order of rows. Lists without a label above 0 have no best order; they are left out and
counted. (LightGBM counts these as 1, and ties by the order of rows; otherwise its figures are the same.)

Intervals are Student's over lists, as independent draws: lists of one user are not quite, so that a few users
with very many lists make them too narrow. A gain is the mean difference on the same lists.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from scipy.special import stdtrit

from firstday.ranking.examples import LABEL, LIST, SPLIT

PLACES = (1, 3, 5, 10)
NDCG = tuple(f"ndcg@{place}" for place in PLACES)
IDEAL = "ideal"
ALPHA = 0.05  # intervals hold at 1 - ALPHA
COLUMNS = (
    *("split", "model", "metric", "value", "low", "high"),
    *("gain", "gain_low", "gain_high", "lists", "lists_left_out"),
)


def ndcg(rows: DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """NDCG by split, model and place, as COLUMNS. rows: SPLIT, LIST, LABEL and a column of scores a model.

    gain: what the first of `models` has over this one. One exchange, by list.
    """
    by_list = _by_list(rows, models)
    return _figures(by_list, models)


def auc(rows: DataFrame, models: Sequence[str]) -> dict[str, float]:
    """The chance that a row of label 1 is scored above one of label 0, ties by half, over all lists."""
    from pyspark.ml.evaluation import BinaryClassificationEvaluator

    measure = BinaryClassificationEvaluator(labelCol=LABEL, metricName="areaUnderROC")
    return {name: float(measure.setRawPredictionCol(name).evaluate(rows)) for name in models}


def _by_list(rows: DataFrame, models: Sequence[str]) -> DataFrame:
    """One row a list: SPLIT, LIST and, for each model, NDCG at PLACES, or nulls where no order is best."""
    named = [F.struct(F.lit(at).alias("model"), F.col(name).alias("score")) for at, name in enumerate(models)]
    named.append(F.struct(F.lit(len(models)).alias("model"), F.col(LABEL).alias("score")))
    gain = F.pow(F.lit(2.0), F.col(LABEL)) - 1
    long = (
        rows.repartition(SPLIT, LIST)
        .select(SPLIT, LIST, gain.alias("gain"), F.explode(F.array(*named)).alias("scored"))
        .select(SPLIT, LIST, "gain", "scored.*")
    )
    ties = long.groupBy(SPLIT, LIST, "model", "score").agg(
        F.count("*").alias("rows"), F.avg("gain").alias("gain")
    )
    before = Window.partitionBy(SPLIT, LIST, "model").orderBy(F.desc("score"))
    placed = ties.withColumn("last", F.sum("rows").over(before)).withColumn(
        "first", F.col("last") - F.col("rows")
    )
    sums = [F.sum(F.col("gain") * _discounts(place)).alias(f"at_{place}") for place in PLACES]
    by_model = placed.groupBy(SPLIT, LIST, "model").agg(*sums)
    gained = [
        F.max(F.when(F.col("model") == at, F.array(*(F.col(f"at_{place}") for place in PLACES)))).alias(name)
        for at, name in enumerate([*models, IDEAL])
    ]
    wide = by_model.groupBy(SPLIT, LIST).agg(*gained)
    return wide.select(SPLIT, LIST, *(_shares(name) for name in models))


def _discounts(places: int) -> Column:
    """The discounts of places first + 1 to last, as far as they are within `places`, by cumulative sums."""
    sums = F.array(*(F.lit(0.0), *map(F.lit, accumulate(1 / np.log2(np.arange(2.0, places + 2))))))

    def until(place: str) -> Column:
        return F.element_at(sums, (F.least(F.col(place), F.lit(places)) + 1).cast("int"))

    return until("last") - until("first")


def _shares(model: str) -> Column:
    own, best = F.col(model), F.col(IDEAL)
    parts = [F.when(best[at] > 0, own[at] / best[at]) for at in range(len(PLACES))]
    return F.array(*parts).alias(model)


def _figures(by_list: DataFrame, models: Sequence[str]) -> pd.DataFrame:
    def sums_of(name: str, value: Column) -> list[Column]:
        return [
            F.avg(value).alias(f"{name}_mean"),
            F.stddev_samp(value).alias(f"{name}_deviation"),
        ]

    own = models[0]
    aggregates = [F.count("*").alias("all"), F.count(F.col(own)[0]).alias("lists")]
    for at, name in enumerate(models):
        for index in range(len(PLACES)):
            aggregates += sums_of(f"value_{at}_{index}", F.col(name)[index])
            aggregates += sums_of(f"gain_{at}_{index}", F.col(own)[index] - F.col(name)[index])
    rows = []
    for found in by_list.groupBy(SPLIT).agg(*aggregates).orderBy(SPLIT).collect():
        for at, name in enumerate(models):
            for index, metric in enumerate(NDCG):
                lists = found["lists"]
                value = _interval(found, f"value_{at}_{index}", lists)
                gain = _interval(found, f"gain_{at}_{index}", lists) if at else (None,) * 3
                left_out = found["all"] - lists
                rows.append((found[SPLIT], name, metric, *value, *gain, lists, left_out))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _interval(
    found: "dict[str, float] | object", name: str, lists: int
) -> tuple[float | None, float | None, float | None]:
    mean, deviation = found[f"{name}_mean"], found[f"{name}_deviation"]  # type: ignore[index]
    if mean is None or lists < 2:
        return mean, None, None
    margin = float(stdtrit(lists - 1, 1 - ALPHA / 2)) * deviation / lists**0.5
    return mean, mean - margin, mean + margin
