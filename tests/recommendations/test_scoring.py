"""A ranker that was trained elsewhere scores by LightGBM's Python package, as it does on an array."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday.errors import FirstdayError
from firstday.ranking import scoring
from firstday.ranking.ranker import Ranker
from firstday.spark import synapseml

NATIVE = Path(__file__).with_name("ranker.lightgbm.txt").read_text(encoding="utf-8")
FEATURES = ("f0", "f1", "f2", "f3", "f4")
RANKER = Ranker(NATIVE, FEATURES)
ROWS, MISSING = 400, 0.2


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    """(rows, features), some of them missing; the last feature is a category's code."""
    draw = np.random.default_rng(5)
    values = draw.normal(size=(ROWS, len(FEATURES)))
    values[:, -1] = draw.integers(0, 5, ROWS)
    values[draw.uniform(size=values.shape) < MISSING] = np.nan
    return values


def scores(spark: SparkSession, numbers: np.ndarray, scorer: scoring.Scorer) -> np.ndarray:
    """By the row's number. Missing values are null in one half of the rows and NaN in the other."""
    told = [
        (place, *(None if np.isnan(value) and place % 2 else float(value) for value in row))
        for place, row in enumerate(numbers)
    ]
    schema = "place long, " + ", ".join(f"{name} double" for name in FEATURES)
    rows = spark.createDataFrame(told, schema).repartition(3)
    found = scorer(RANKER, rows, FEATURES, "score")
    assert found.columns == ["place", "score"]
    frame: Any = found.toPandas()
    return frame.set_index("place")["score"].reindex(range(len(numbers))).to_numpy()


def test_scores_are_those_of_the_predictor(spark: SparkSession, numbers: np.ndarray) -> None:
    alone = lightgbm.Booster(model_str=NATIVE).predict(numbers)
    assert np.std(alone) > 0.05
    np.testing.assert_allclose(scores(spark, numbers, scoring.by_lightgbm), alone, rtol=0, atol=1e-12)
    no_rows = spark.range(0).select("id", *(F.lit(0.0).alias(name) for name in FEATURES))
    assert scoring.by_lightgbm(RANKER, no_rows, FEATURES, "score").count() == 0


@pytest.mark.synapseml
def test_scores_are_those_of_synapseml(spark: SparkSession, numbers: np.ndarray) -> None:
    by_synapseml = scores(spark, numbers, scoring.by_synapseml)
    np.testing.assert_allclose(scores(spark, numbers, scoring.by_lightgbm), by_synapseml, rtol=0, atol=1e-9)


@pytest.mark.parametrize("master", ["local[2]", "spark://there:7077"])
def test_it_is_decided_by_what_the_executors_have(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, master: str
) -> None:
    monkeypatch.setattr(scoring, "_master", lambda spark: master)
    assert scoring.scorer(spark) is scoring.by_lightgbm
    monkeypatch.setattr(scoring, "_executors_have_lightgbm", lambda spark: False)
    monkeypatch.setattr(synapseml, "available", lambda spark: True)
    assert scoring.scorer(spark) is scoring.by_synapseml
    monkeypatch.setattr(synapseml, "available", lambda spark: False)
    with pytest.raises(FirstdayError, match="Pip install lightgbm"):
        scoring.scorer(spark)


def test_without_synapseml_what_is_missing_is_told(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synapseml, "available", lambda spark: False)
    with pytest.raises(FirstdayError) as refused:
        synapseml.require(spark, "firstday train")
    told = str(refused.value)
    assert "Firstday train needs SynapseML" in told
    assert f"com.microsoft.azure:synapseml-lightgbm_2.1{2 if spark.version < '4' else 3}:1.1.3" in told
    assert "without it work discover" in told.lower()
