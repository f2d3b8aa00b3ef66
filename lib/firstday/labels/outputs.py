"""The tables that labelling writes, without run_id."""

from collections.abc import Sequence

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from firstday.labels.models import fitting
from firstday.labels.models.base import LabelModel
from firstday.spark.frames import from_pandas
from firstday.spark.local_rows import local_rows
from firstday.tables.schemas import table_schema

_TEXT, _WHOLE, _NUMBER = T.StringType(), T.LongType(), T.DoubleType()
_ANSWER = [
    ("probabilities", T.ArrayType(_NUMBER)),
    ("label", T.IntegerType()),
    ("status", _TEXT),
]
SOFT_LABELS = table_schema([("row_id", _TEXT), *_ANSWER, ("pattern", _WHOLE)])
# `weights`: what each vote adds to the log odds of the label against the next likely class.
LABEL_PATTERNS = table_schema(
    [
        ("pattern", _WHOLE),
        ("rows", _WHOLE),
        ("voters", T.ArrayType(_TEXT)),
        ("votes", T.ArrayType(T.IntegerType())),
        ("weights", T.ArrayType(_NUMBER)),
        *_ANSWER,
    ]
)
# `model` holds all of it as JSON, to be applied to other rows.
LABEL_MODEL = table_schema(
    [
        ("kind", _TEXT),
        ("voters", _WHOLE),
        ("classes", T.IntegerType()),
        ("class_names", T.ArrayType(_TEXT)),
        ("balance", T.ArrayType(_NUMBER)),
        ("notes", T.ArrayType(_TEXT)),
        ("iterations", _WHOLE),
        ("converged", T.BooleanType()),
        ("model", _TEXT),
    ]
)
LABEL_SUMMARY = table_schema(
    [
        ("function", _TEXT),
        ("polarity", T.ArrayType(T.IntegerType())),
        *((name, _NUMBER) for name in ("coverage", "overlaps", "conflicts")),
        *((name, _NUMBER) for name in ("correct", "incorrect", "empirical_accuracy")),
        *((name, _NUMBER) for name in ("learned_accuracy", "likelihood_ratio", "agreement", "changed")),
        ("copies", T.ArrayType(_TEXT)),
        ("verdict", _TEXT),
    ]
)
LABEL_PAIRS = table_schema(
    [("function", _TEXT), ("other", _TEXT), ("rows", _WHOLE), ("agreement", _NUMBER), ("dependency", _NUMBER)]
)
LABEL_DRIFT = table_schema(
    [
        ("period", _TEXT),
        ("function", _TEXT),
        ("rows", _WHOLE),
        ("votes", _WHOLE),
        ("coverage", _NUMBER),
        ("p_value", _NUMBER),
    ]
)
LABEL_COMPARISON = table_schema(
    [
        ("against", _TEXT),
        ("model", _TEXT),
        ("measure", _TEXT),
        *((name, _NUMBER) for name in ("value", "low", "high")),
    ]
)
# How many rows are called, from which P(positive) on, and what is expected of them; what the votes, or rows
# checked by hand, say of the class's share of all rows: limits are null where they do not, for share_doubt.
LABEL_DECISION = table_schema(
    [
        ("positive", _TEXT),
        ("rule", _TEXT),
        ("threshold", _NUMBER),
        ("called", _WHOLE),
        *((name, _NUMBER) for name in ("precision", "missed", "missed_without_votes")),
        *((name, _NUMBER) for name in ("stake_called", "stake_missed")),
        *((name, _NUMBER) for name in ("share", "share_low", "share_high")),
        ("share_doubt", _TEXT),
    ]
)
LABEL_THRESHOLDS = table_schema(
    [(name, _NUMBER) for name in ("threshold", "called", "precision", "recall", "missed")]
)
LABEL_AUDIT = table_schema(
    [
        ("row_id", _TEXT),
        ("stratum", _TEXT),
        ("stratum_rows", _WHOLE),
        ("called", T.IntegerType()),
        ("probability", _NUMBER),
        ("votes", _TEXT),
    ]
)
# `stratum` is null in the figures of all rows: share, precision, recall.
LABEL_AUDITED = table_schema(
    [
        ("figure", _TEXT),
        ("stratum", _TEXT),
        *((name, _WHOLE) for name in ("rows", "answered", "positive")),
        *((name, _NUMBER) for name in ("value", "low", "high", "told", "recalibrated")),
    ]
)
TABLES = {
    "label_decision": LABEL_DECISION,
    "label_thresholds": LABEL_THRESHOLDS,
    "label_audit": LABEL_AUDIT,
    "label_audited": LABEL_AUDITED,
    "label_model": LABEL_MODEL,
    "label_summary": LABEL_SUMMARY,
    "label_pairs": LABEL_PAIRS,
    "label_drift": LABEL_DRIFT,
    "label_comparison": LABEL_COMPARISON,
    "label_patterns": LABEL_PATTERNS,
    "soft_labels": SOFT_LABELS,
}


def label_model(spark: SparkSession, model: LabelModel, notes: Sequence[str]) -> DataFrame:
    """The model, in one row; `notes` are of this run and go with the model's own."""
    row = (
        model.kind,
        len(model.voters),
        model.classes,
        list(model.class_names),
        model.balance.tolist(),
        [*model.notes, *notes],
        model.iterations,
        model.converged,
        fitting.to_json(model),
    )
    return local_rows(spark, [row], LABEL_MODEL)


def small(spark: SparkSession, name: str, frame: pd.DataFrame) -> DataFrame:
    """A table of results that fits the driver: NaN becomes null."""
    return from_pandas(spark, frame, TABLES[name])
