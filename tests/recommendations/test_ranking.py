"""NDCG against scikit-learn's and against every order of the ties; AUC against its definition."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import ndcg_score

from firstday.ranking import ranking
from firstday.ranking.examples import LABEL, LIST, SPLIT
from firstday.ranking.ranking import NDCG, PLACES

MODELS = ("model", "rounded", "constant")


@pytest.fixture(scope="module")
def lists() -> pd.DataFrame:
    """Lists of 1 to 14 rows with grades 0 to 3, scores with and without ties; two without a grade above 0."""
    draw = np.random.default_rng(4)
    sizes = np.concatenate([[1, 2], draw.integers(2, 15, 60)])
    which = np.repeat(np.arange(len(sizes)), sizes)
    label = draw.choice([0, 0, 1, 2, 3], len(which)).astype(float)
    label[np.isin(which, (5, 6))] = 0
    score = label + draw.normal(0, 1.5, len(which))
    return pd.DataFrame(
        {
            SPLIT: np.where(which % 3 == 0, "valid", "train"),
            LIST: which.astype(np.int64),
            LABEL: label,
            "model": score,
            "rounded": np.round(score),
            "constant": 0.0,
        }
    )


@pytest.fixture(scope="module")
def figures(spark: SparkSession, lists: pd.DataFrame) -> pd.DataFrame:
    return ranking.ndcg(spark.createDataFrame(lists), MODELS).set_index(["split", "model", "metric"])


def test_ndcg_is_scikit_learns(lists: pd.DataFrame, figures: pd.DataFrame) -> None:
    for split, rows in lists.groupby(SPLIT):
        kept = [rows_of for _, rows_of in rows.groupby(LIST) if rows_of[LABEL].max() > 0 and len(rows_of) > 1]
        alone = sum(len(one) == 1 and one[LABEL].max() > 0 for _, one in rows.groupby(LIST))
        for model in MODELS:
            for place in PLACES:
                each = [ndcg_score([2 ** one[LABEL] - 1], [one[model]], k=place) for one in kept] + [
                    1.0
                ] * alone
                assert figures.loc[(split, model, f"ndcg@{place}"), "value"] == pytest.approx(np.mean(each))


def test_lists_without_a_label_above_0_are_left_out_and_counted(
    lists: pd.DataFrame, figures: pd.DataFrame
) -> None:
    best = lists.groupby([SPLIT, LIST])[LABEL].max()
    for split in ("train", "valid"):
        row = figures.loc[(split, "model", "ndcg@1")]
        assert row["lists"] == (best[split] > 0).sum()
        assert row["lists_left_out"] == (best[split] == 0).sum()


def test_ties_get_the_mean_of_all_orders(spark: SparkSession) -> None:
    labels, scores = [3.0, 0.0, 1.0, 2.0, 0.0], [1.0, 1.0, 0.0, 1.0, 0.0]
    gains = np.exp2(labels) - 1
    discounts = 1 / np.log2(np.arange(2, 7))
    best = (np.sort(gains)[::-1] * discounts)[:3].sum()
    orders = [order for order in permutations(range(5)) if all(np.diff(np.take(scores, order)) <= 0)]
    mean = np.mean([(gains[list(order)] * discounts)[:3].sum() / best for order in orders])
    frame = pd.DataFrame({SPLIT: "valid", LIST: 1, LABEL: labels, "model": scores})
    found = ranking.ndcg(spark.createDataFrame(frame), ["model"]).set_index("metric")["value"]
    assert found["ndcg@3"] == pytest.approx(mean)


def test_intervals_and_gains_are_students_over_lists(lists: pd.DataFrame, figures: pd.DataFrame) -> None:
    from scipy import stats

    valid = lists[lists[SPLIT] == "valid"]
    own, other = (
        np.array(
            [
                ndcg_score([2 ** one[LABEL] - 1], [one[model]], k=10)
                for _, one in valid.groupby(LIST)
                if one[LABEL].max() > 0 and len(one) > 1
            ]
        )
        for model in ("model", "constant")
    )
    if ((valid.groupby(LIST).size() == 1) & (valid.groupby(LIST)[LABEL].max() > 0)).any():
        own, other = np.append(own, 1.0), np.append(other, 1.0)
    gain = stats.ttest_rel(own, other).confidence_interval(0.95)
    row = figures.loc[("valid", "constant", "ndcg@10")]
    assert row["gain"] == pytest.approx(np.mean(own - other))
    assert (row["gain_low"], row["gain_high"]) == (pytest.approx(gain.low), pytest.approx(gain.high))
    value = stats.ttest_1samp(own, 0).confidence_interval(0.95)
    row = figures.loc[("valid", "model", "ndcg@10")]
    assert (row["low"], row["high"]) == (pytest.approx(value.low), pytest.approx(value.high))


def test_the_order_of_rows_and_partitions_change_nothing(spark: SparkSession, lists: pd.DataFrame) -> None:
    shuffled = spark.createDataFrame(lists.sample(frac=1, random_state=1)).repartition(3)
    again = ranking.ndcg(shuffled, MODELS).set_index(["split", "model", "metric"])
    first = ranking.ndcg(spark.createDataFrame(lists), MODELS).set_index(["split", "model", "metric"])
    pd.testing.assert_frame_equal(first, again, rtol=1e-12)


def test_lists_are_exchanged_once(spark: SparkSession, lists: pd.DataFrame) -> None:
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    try:
        frame: DataFrame = ranking._by_list(spark.createDataFrame(lists).repartition(3), MODELS)
        plan = frame._jdf.queryExecution().executedPlan().toString()
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "1")
    assert plan.count("Exchange hashpartitioning") == 1


def test_auc_is_the_chance_of_the_right_order(spark: SparkSession) -> None:
    draw = np.random.default_rng(8)
    label = draw.integers(0, 2, 200).astype(float)
    score = np.round(label + draw.normal(0, 1, 200), 1)
    ones, zeros = score[label == 1], score[label == 0]
    pairs = np.sign(ones[:, None] - zeros[None, :])
    frame = spark.createDataFrame(pd.DataFrame({LABEL: label, "model": score}))
    assert ranking.auc(frame, ["model"])["model"] == pytest.approx((pairs.mean() + 1) / 2)


def test_all_places_are_told() -> None:
    assert NDCG == ("ndcg@1", "ndcg@3", "ndcg@5", "ndcg@10")
