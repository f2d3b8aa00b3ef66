"""Soft labels: P(class) of each pattern, hence of each row, and which votes decided."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from firstday.labels.models.base import Floats, LabelModel
from firstday.labels.outputs import LABEL_PATTERNS, SOFT_LABELS
from firstday.labels.patterns import ABSTAIN
from firstday.labels.votes import ROWS, Votes, words_of
from firstday.tables.schemas import table_schema

DECIDED, TIE, UNKNOWN = "decided", "tie", "unknown"
SAME = 1e-9  # probabilities that differ by less are tied


@dataclass(frozen=True)
class Answers:
    """What a model says of patterns: P(class), patterns × classes; label; status; and of each vote, in the
    order of the votes, what it adds to the log odds of the label against the next likely class (for majority
    vote 1 for the label and -1 against it).
    """

    probabilities: Floats
    label: NDArray[np.int32]
    status: NDArray[np.str_]
    weights: Floats


def answers(model: LabelModel, votes: sp.csr_matrix) -> Answers:
    """The answers to patterns, the rows of `votes`."""
    posterior = model.posterior(votes)
    order = np.argsort(-posterior, axis=1, kind="stable")
    everyone = np.arange(len(posterior))
    first, second = order[:, 0], order[:, 1]
    tied = posterior[everyone, first] - posterior[everyone, second] <= SAME
    silent = np.diff(votes.indptr) == 0
    status = np.where(silent, UNKNOWN, np.where(tied, TIE, DECIDED))
    row = np.repeat(everyone, np.diff(votes.indptr))
    if model.scores is None:
        weights = np.where(votes.indices % model.classes == first[row], 1.0, -1.0)
    else:
        added = model.scores.joint(votes)[row] - model.scores.without(votes)
        given = np.arange(len(row))
        weights = added[given, first[row]] - added[given, second[row]]
    label = np.where(status == DECIDED, first, ABSTAIN).astype(np.int32)
    return Answers(posterior, label, status, weights)


def label_patterns(model: LabelModel, votes: Votes, patterns: DataFrame) -> DataFrame:
    """LABEL_PATTERNS of the patterns of `votes.counted`, and their words. A pattern's number is a hash of its
    votes: the same in every run.
    """
    packing, words = votes.packing, votes.words

    def answered(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        names = pa.array(model.voters, pa.string())
        for batch in batches:
            packed = words_of(batch, words)
            cast = packing.unpack(packed)
            found = answers(model, cast)
            voter, vote = np.divmod(cast.indices, model.classes)
            each = pa.array(cast.indptr, pa.int32())
            ends = pa.array(np.arange(len(packed) + 1) * model.classes, pa.int32())
            columns = {
                "pattern": batch.column("pattern"),
                "rows": batch.column(ROWS),
                "voters": pa.ListArray.from_arrays(each, names.take(pa.array(voter))),
                "votes": pa.ListArray.from_arrays(each, pa.array(vote, pa.int32())),
                "weights": pa.ListArray.from_arrays(each, pa.array(found.weights)),
                "probabilities": pa.ListArray.from_arrays(ends, pa.array(found.probabilities.ravel())),
                "label": pa.array(found.label),
                "status": pa.array(found.status),
                **{word: batch.column(word) for word in words},
            }
            yield pa.RecordBatch.from_pydict(columns)

    schema = T.StructType([*LABEL_PATTERNS, *table_schema((name, T.LongType()) for name in words)])
    numbered = patterns.select(F.xxhash64(*words).alias("pattern"), ROWS, *words)
    return numbered.mapInArrow(answered, schema)


def soft_labels(votes: Votes, patterns: DataFrame, *, few: bool) -> DataFrame:
    """SOFT_LABELS of the rows, from `label_patterns`, by a join on the words: a broadcast where `few`."""
    answered = patterns.select(*votes.words, *(name for name in SOFT_LABELS.names if name != "row_id"))
    return joined(votes, F.broadcast(answered) if few else answered).select(*SOFT_LABELS.names)


def joined(votes: Votes, answered: DataFrame, others: Sequence[Column] = ()) -> DataFrame:
    """The rows' row_id and `others` with the patterns' answers; the rows' further columns, which may be named
    as the answers are, are left out.
    """
    rows = votes.rows.select("row_id", *others, *votes.words)
    return rows.join(answered, votes.words)
