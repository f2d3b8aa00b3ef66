"""Before and after with more than two classes: one class against the rest, by a model of all."""

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.labels import before_after, classifier
from firstday.labels.columns import positive_class
from firstday.labels.decision import Rule
from firstday.labels.soft import DECIDED, UNKNOWN
from firstday.spark.frames import with_vector

CLASSES = 4  # of which nobody ever has the last
FEATURES = ("prediction", "after")  # names of columns that a model would make


def world(rows: int) -> pd.DataFrame:
    """The first feature tells the class; soft labels are right, old ones miss half of class 2."""
    draw = np.random.default_rng(1)
    truth = draw.choice(3, rows, p=[0.5, 0.3, 0.2])
    told = np.where((truth == 2) & (draw.random(rows) < 0.5), 0, truth)
    soft = np.full((rows, CLASSES), 0.0)
    soft[:, :3] = 0.05
    soft[np.arange(rows), truth] = 0.9
    silent = draw.random(rows) < 0.1
    soft[silent] = 1 / CLASSES
    return pd.DataFrame(
        {
            "row_id": [f"r{at}" for at in range(rows)],
            "prediction": truth + draw.normal(0, 0.35, rows),
            "after": draw.normal(size=rows),
            before_after.OLD: told,
            before_after.KNOWN: truth,
            before_after.SOFT: soft.tolist(),
            before_after.LABEL: np.where(silent, -1, truth),
            before_after.STATUS: np.where(silent, UNKNOWN, DECIDED),
            before_after.VOTES: [[] if none else [int(of)] for none, of in zip(silent, truth, strict=True)],
        }
    )


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(world(3_000)).withColumn(
        before_after.OLD, F.col(before_after.OLD).cast("int")
    )


@pytest.mark.synapseml
def test_one_of_several_classes_is_called_against_the_rest(rows: DataFrame) -> None:
    found = before_after.compare_labels(
        rows, FEATURES, classes=CLASSES, positive=2, rule=Rule(precision=0.8), total=3_000, seed=7
    )
    figures = found.figures.set_index(["against", "model", "measure"])["value"]
    gold = figures["gold"]
    parts: Any = rows.withColumn("part", classifier.part(7)).where("part = 'test'").toPandas()
    for model in ("before", "after"):
        assert gold[model, "tp"] + gold[model, "fn"] == (parts[before_after.KNOWN] == 2).sum()
        assert gold[model].loc[["tp", "fp", "fn", "tn"]].sum() == len(parts)
    assert gold["after", "f1"] > 0.75
    assert figures["label model", "after", "calibration error"] < 0.05
    # A negative vote is one for any other class.
    newly = figures["newly positive, negative"].droplevel("model")
    assert (newly["any_positive"], newly["any_negative"]) == (0, 1)
    # The portable text predicts every class; the one that nobody has is next to impossible.
    booster = lightgbm.Booster(model_str=found.native["after"])
    scores = np.asarray(booster.predict(found.example.to_numpy(float)))
    assert scores.shape == (len(found.example), CLASSES)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=0.3)
    assert scores[:, 3].max() < 0.05


@pytest.mark.synapseml
def test_weights_stand_for_probabilities_and_scores_are_those_of_the_text(rows: DataFrame) -> None:
    told = rows.withColumn(classifier.TARGET, F.col(before_after.SOFT))
    weighted: Any = classifier._of_many(told.withColumn(classifier.VECTOR, F.lit(0)), CLASSES).toPandas()
    by_class = weighted.groupby(classifier.CLASS)[classifier.WEIGHT].sum()
    expected = np.stack(world(3_000)[before_after.SOFT].to_list()).sum(axis=0)
    np.testing.assert_allclose(by_class, expected)
    assert len(weighted) == (np.stack(world(3_000)[before_after.SOFT].to_list()) > 0).sum()
    vectors = with_vector(told.limit(600), FEATURES, classifier.VECTOR)
    model = classifier.train(vectors, FEATURES, classes=CLASSES, positive=1, seed=7)
    scored: Any = model.scored(vectors, "score").toPandas()
    booster = lightgbm.Booster(model_str=model.native)
    predicted = booster.predict(scored[list(FEATURES)].to_numpy())
    np.testing.assert_allclose(scored["score"], np.asarray(predicted)[:, 1])
    # And nearly those of a model that knows the one class and the rest: the loss is the same.
    chance = F.col(before_after.SOFT)[1]
    two = vectors.withColumn(classifier.TARGET, F.array(1 - chance, chance))
    alone: Any = classifier.train(two, FEATURES, classes=2, positive=1, seed=7).scored(vectors, "score")
    assert np.abs(scored["score"] - alone.toPandas()["score"]).mean() < 0.03


def test_the_positive_class_is_told_by_name_or_number() -> None:
    names = ("honest", "bot", "2")
    assert [positive_class(told, names) for told in (None, "bot", "0", "2")] == [2, 1, 0, 2]
    with pytest.raises(SettingsError, match="The classes are honest, bot, 2"):
        positive_class("3", names)
