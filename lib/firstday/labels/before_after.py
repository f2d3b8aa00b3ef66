"""Before and after: a model of the old label against a model of the soft labels, on the same test rows.

Of several classes one, the positive, is looked for: what is counted is that class against the rest. The test
rows never reach the driver: their scores go there as a histogram, then what both models call them, crossed
with what is known of them, as a few counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.labels import classifier, compare
from firstday.labels.decision import NOBODY, Rule
from firstday.labels.soft import DECIDED, UNKNOWN
from firstday.spark.frames import with_vector
from firstday.tables.schemas import column

# Columns of the rows: the old and the known label (a class or null); of the label model P(class) as an array,
# its label and status; and the votes that were given, as an array of classes.
OLD, KNOWN = "firstday_old", "firstday_truth"
SOFT, LABEL, STATUS, VOTES = "firstday_soft", "firstday_label", "firstday_status", "firstday_votes"
# Made of them: P(positive) by the label model, whether its label is positive, and any vote for either side.
CHANCE, POSITIVE = "firstday_chance", "firstday_positive"
ANY_POSITIVE, ANY_NEGATIVE = "firstday_any_positive", "firstday_any_negative"
BEFORE, AFTER = "before", "after"
EXAMPLE_ROWS = 5
STEPS = 2_000  # bins of the scores
CELL = [BEFORE, AFTER, STATUS, POSITIVE, ANY_POSITIVE, ANY_NEGATIVE, KNOWN]
FIGURES = ["against", "model", "measure", "value", "low", "high"]

Figure = tuple[str, str | None, str, float | None, float | None, float | None]


@dataclass(frozen=True)
class Comparison:
    """figures: FIGURES, a row each. native: LightGBM's own text of the models `before` and `after`. example:
    features of a few rows.
    """

    figures: pd.DataFrame
    native: dict[str, str]
    example: pd.DataFrame


def compare_labels(
    rows: DataFrame,
    features: Sequence[str],
    *,
    classes: int,
    positive: int,
    rule: Rule,
    total: float,
    seed: int,
) -> Comparison:
    """Train both models, let each call by `rule` on the tuning rows, against the labels that the label model
    decided there, or nobody if none can be, and count on the test rows.

    rows: row_id, the features and the columns OLD to VOTES. positive: the class that is called, of `classes`.
    total: rows that a capacity is meant for.

    Raises DataError where there is too little to learn from.
    """
    vectors = _vectors(rows, features, positive, seed).persist()
    train = vectors.where(F.col(classifier.PART) == classifier.TRAIN)
    certain = F.array(*((F.col(OLD) == at).cast("double") for at in range(classes)))
    targets = {
        BEFORE: train.where(F.col(OLD).isNotNull()).withColumn(classifier.TARGET, certain),
        AFTER: train.where(F.col(STATUS) != UNKNOWN).withColumn(classifier.TARGET, F.col(SOFT)),
    }
    models = {
        name: classifier.train(target, features, classes=classes, positive=positive, seed=seed)
        for name, target in targets.items()
    }
    scored = vectors.where(F.col(classifier.PART) != classifier.TRAIN)
    for name, model in models.items():
        scored = model.scored(scored, name)
    scored = scored.drop(classifier.VECTOR).persist()
    decided = scored.where(F.col(STATUS) == DECIDED)
    histograms = {name: _histogram(decided, name) for name in models}
    thresholds = {name: _threshold(found, rule, total) for name, found in histograms.items()}
    cells = _cells(scored.where(F.col(classifier.PART) == classifier.TEST), thresholds)
    numbers = (column(name).cast("double").alias(name) for name in features)
    example: pd.DataFrame = rows.orderBy("row_id").select(*numbers).limit(EXAMPLE_ROWS).toPandas()
    scored.unpersist()
    vectors.unpersist()
    figures: list[Figure] = []
    for name, found in histograms.items():
        test = found[found[classifier.PART] == classifier.TEST]
        error = compare.calibration(test["score"], test["soft"], weights=test["rows"]).error
        figures += [
            ("label model", name, "threshold", thresholds[name], None, None),
            ("label model", name, "calibration error", error, None, None),
        ]
    figures += [*_models(cells), *_confusions(cells)]
    return Comparison(
        pd.DataFrame(figures, columns=FIGURES),
        {name: model.native for name, model in models.items()},
        example,
    )


def _vectors(rows: DataFrame, features: Sequence[str], positive: int, seed: int) -> DataFrame:
    """The rows as the models and the counts need them; features, whatever their names, are in the vector."""
    placed = rows.withColumn(classifier.PART, classifier.part(seed))
    return with_vector(placed, features, classifier.VECTOR).select(
        "row_id",
        classifier.PART,
        classifier.VECTOR,
        *(OLD, SOFT, STATUS),
        (F.col(KNOWN) == positive).cast("int").alias(KNOWN),
        F.col(SOFT)[positive].alias(CHANCE),
        (F.col(LABEL) == positive).cast("int").alias(POSITIVE),
        F.array_contains(VOTES, positive).cast("int").alias(ANY_POSITIVE),
        F.exists(VOTES, lambda vote: vote != positive).cast("int").alias(ANY_NEGATIVE),
    )


def _histogram(rows: DataFrame, name: str) -> pd.DataFrame:
    """By part and bin of the score: rows, their least score, mean P(positive), share of positive labels."""
    binned = F.floor(F.col(name) * STEPS)
    grouped = rows.groupBy(classifier.PART, binned).agg(
        F.count("*").alias("rows"),
        F.min(name).alias("score"),
        F.avg(CHANCE).alias("soft"),
        F.avg(POSITIVE).alias("positive"),
    )
    frame: pd.DataFrame = grouped.toPandas()
    return frame.sort_values([classifier.PART, "score"], ignore_index=True)


def _threshold(histogram: pd.DataFrame, rule: Rule, total: float) -> float:
    """One half without a rule; else, on the tuning rows, the lowest score that holds the precision, the one
    that costs least, or the lowest that calls no more than the capacity's share of all rows; NOBODY where
    there is none.
    """
    if not rule.is_given:
        return 0.5
    tune = histogram[histogram[classifier.PART] == classifier.TUNE].sort_values("score", ascending=False)
    if rule.precision is not None:
        found = compare.threshold_for(tune["score"], tune["positive"], rule.precision, weights=tune["rows"])
        return NOBODY if found is None else found
    called, hits = tune["rows"].cumsum(), (tune["rows"] * tune["positive"]).cumsum()
    if rule.cost_ratio is not None:
        saved = hits - rule.cost_ratio * (called - hits)
        return float(tune["score"][saved.idxmax()]) if saved.max() > 0 else NOBODY
    assert rule.capacity is not None
    within = tune["score"][called <= rule.capacity / total * tune["rows"].sum()]
    return float(within.min()) if len(within) else NOBODY


def _cells(rows: DataFrame, thresholds: dict[str, float]) -> pd.DataFrame:
    """Counts of the test rows by CELL."""
    called = {name: (F.col(name) >= at).cast("int").alias(name) for name, at in thresholds.items()}
    others = (F.col(name) for name in CELL if name not in called)
    grouped = rows.select(*called.values(), *others).groupBy(*CELL)
    frame: pd.DataFrame = grouped.agg(F.count("*").alias("rows")).toPandas()
    return frame.sort_values(CELL, ignore_index=True)


def _models(cells: pd.DataFrame) -> Iterator[Figure]:
    """The 2×2 of the models, and of the newly called the three types."""
    shares = compare.disagreement(cells[BEFORE], cells[AFTER], cells["rows"])
    for one in shares.index:
        for other in shares.columns:
            yield "models", None, f"{one} to {other}", float(shares.loc[one, other]), None, None
    decided = np.where(cells[POSITIVE] == 1, "positive", "negative")
    status = np.where(cells[STATUS] == DECIDED, decided, "unknown")
    types = compare.newly_called(
        cells[BEFORE], cells[AFTER], status, cells[ANY_POSITIVE], cells[ANY_NEGATIVE], cells["rows"]
    )
    for row in types.itertuples(index=False):
        for measure in ("share", "any_positive", "any_negative"):
            yield f"newly positive, {row.status}", None, measure, _known(getattr(row, measure)), None, None


def _confusions(cells: pd.DataFrame) -> Iterator[Figure]:
    """Both models against the labels that the label model decided, and against the known ones.

    The first favours the model that learned from the label model.
    """
    decided, known = cells[cells[STATUS] == DECIDED], cells[cells[KNOWN].notna()]
    for against, rows, labels in (("label model", decided, POSITIVE), ("gold", known, KNOWN)):
        for name in (BEFORE, AFTER):
            if len(rows):
                yield from _confusion(against, name, rows[labels], rows)


def _confusion(against: str, name: str, labels: Any, rows: pd.DataFrame) -> Iterator[Figure]:
    found = compare.confusion(labels.astype(float), rows[name], rows["rows"])
    for measure in ("tp", "fp", "fn", "tn"):
        yield against, name, measure, getattr(found, measure), None, None
    intervals = {
        "precision": found.precision_interval(),
        "recall": found.recall_interval(),
        "f1": found.f1_interval(),
    }
    for measure, (low, high) in intervals.items():
        yield against, name, measure, _known(getattr(found, measure)), _known(low), _known(high)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
