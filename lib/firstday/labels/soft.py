"""Soft labels: P(class) of each pattern, hence of each row, and which votes decided."""

import numpy as np
import pandas as pd
import scipy.sparse as sp
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from firstday.labels.models.base import LabelModel
from firstday.labels.patterns import ABSTAIN, Patterns
from firstday.labels.votes import Votes
from firstday.tables.schemas import table_schema

DECIDED, TIE, UNKNOWN = "decided", "tie", "unknown"
SAME = 1e-9  # probabilities that differ by less are tied

_ANSWER = [
    ("probabilities", T.ArrayType(T.DoubleType())),
    ("label", T.IntegerType()),
    ("status", T.StringType()),
    ("pattern", T.LongType()),
]
SOFT_LABELS = table_schema([("row_id", T.StringType()), *_ANSWER])
LABEL_PATTERNS = table_schema(
    [
        ("pattern", T.LongType()),
        ("rows", T.LongType()),
        ("voters", T.ArrayType(T.StringType())),
        ("votes", T.ArrayType(T.IntegerType())),
        ("weights", T.ArrayType(T.DoubleType())),
        *_ANSWER[:3],
    ]
)


def answers(model: LabelModel, votes: sp.csr_matrix) -> pd.DataFrame:
    """For each row of `votes`: probabilities, label, status, and the votes with their weights.

    weights: what a vote adds to the log odds of the label against the next likely class; for majority vote 1
    for the label and -1 against it.
    """
    posterior = model.posterior(votes)
    order = np.argsort(-posterior, axis=1, kind="stable")
    everyone = np.arange(len(posterior))
    first, second = order[:, 0], order[:, 1]
    tied = posterior[everyone, first] - posterior[everyone, second] <= SAME
    silent = np.diff(votes.indptr) == 0
    status = np.where(silent, UNKNOWN, np.where(tied, TIE, DECIDED))
    row = np.repeat(everyone, np.diff(votes.indptr))
    voter, vote = np.divmod(votes.indices, model.classes)
    if model.weights is None:
        weights = np.where(vote == first[row], 1.0, -1.0)
    else:
        table = model.weights.votes
        weights = table[votes.indices, first[row]] - table[votes.indices, second[row]]
    cuts = votes.indptr[1:-1]
    names = np.array(model.voters, dtype=object)[voter]
    return pd.DataFrame(
        {
            "voters": np.split(names, cuts),
            "votes": np.split(vote.astype(np.int32), cuts),
            "weights": np.split(weights, cuts),
            "probabilities": list(posterior),
            "label": np.where(status == DECIDED, first, ABSTAIN).astype(np.int32),
            "status": status,
        }
    )


def label_patterns(model: LabelModel, votes: Votes, patterns: Patterns) -> DataFrame:
    """The patterns with their answers, LABEL_PATTERNS and the words."""
    frame = answers(model, patterns.votes)
    frame.insert(0, "rows", patterns.rows.astype(np.int64))
    frame.insert(0, "pattern", np.arange(len(frame)))
    for number, name in enumerate(votes.words):
        frame[name] = patterns.words[:, number]
    schema = T.StructType([*LABEL_PATTERNS, *table_schema((name, T.LongType()) for name in votes.words)])
    return votes.rows.sparkSession.createDataFrame(frame, schema)


def soft_labels(votes: Votes, patterns: DataFrame) -> DataFrame:
    """SOFT_LABELS of the rows, from `label_patterns`, by a join on the words."""
    answered = F.broadcast(patterns.select(*votes.words, *(name for name, _ in _ANSWER)))
    return votes.rows.join(answered, votes.words).select(*(item.name for item in SOFT_LABELS))
