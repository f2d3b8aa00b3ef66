"""Soft labels: P(class) of each pattern, hence of each row, and which votes decided."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import scipy.sparse as sp
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from firstday.labels.models.base import LabelModel
from firstday.labels.outputs import LABEL_PATTERNS, SOFT_LABELS
from firstday.labels.patterns import ABSTAIN
from firstday.labels.votes import ROWS, Votes
from firstday.tables.schemas import table_schema

DECIDED, TIE, UNKNOWN = "decided", "tie", "unknown"
SAME = 1e-9  # probabilities that differ by less are tied


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


def label_patterns(model: LabelModel, votes: Votes, patterns: DataFrame) -> DataFrame:
    """LABEL_PATTERNS of the patterns of `votes.counted`, and their words. A pattern's number is a hash of its
    votes: the same in every run.
    """
    packing, words = votes.packing, votes.words

    def answered(batches: Iterable[pd.DataFrame]) -> Iterable[pd.DataFrame]:
        for batch in batches:
            found = answers(model, packing.unpack(batch[words].to_numpy(np.int64)))
            kept = batch[["pattern", ROWS, *words]].rename(columns={ROWS: "rows"})
            yield pd.concat([kept.reset_index(drop=True), found], axis=1)[names]

    schema = T.StructType([*LABEL_PATTERNS, *table_schema((name, T.LongType()) for name in words)])
    names = schema.names
    numbered = patterns.select(F.xxhash64(*words).alias("pattern"), ROWS, *words)
    return numbered.mapInPandas(answered, schema)


def soft_labels(votes: Votes, patterns: DataFrame, *, few: bool) -> DataFrame:
    """SOFT_LABELS of the rows, from `label_patterns`, by a join on the words: a broadcast where `few`."""
    answered = patterns.select(*votes.words, *(name for name in SOFT_LABELS.names if name != "row_id"))
    return votes.rows.join(F.broadcast(answered) if few else answered, votes.words).select(*SOFT_LABELS.names)
