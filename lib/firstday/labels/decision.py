"""Which rows are called: by P > 1/2, a wished precision, what a wrong call costs, or the most likely few.

A `Distribution` is how many rows have which P(positive), the same for rows that no voter speaks on: all that
a threshold and what is expected of it follow from. What is expected is as good as the probabilities are.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.labels.models.base import Floats
from firstday.labels.soft import DECIDED, UNKNOWN

DIGITS = 6  # of a probability: those that are equal to so many decimals are called together
STAKE, KNOWN = "firstday_stake", "firstday_truth"  # columns of rows
STEPS = 200  # thresholds that the table shows
NOBODY = 2.0  # a threshold that no probability reaches


@dataclass(frozen=True)
class Rule:
    """At most one is given; none stands for P > 1/2.

    precision: expected of the called. cost_ratio: how many misses a wrong call costs as much as. capacity:
    rows that can be called.
    """

    precision: float | None = None
    cost_ratio: float | None = None
    capacity: int | None = None

    @property
    def described(self) -> str:
        """In words."""
        if self.precision is not None:
            return f"an expected precision of {self.precision:.0%}"
        if self.cost_ratio is not None:
            return f"a wrong call costs as much as {self.cost_ratio:g} misses"
        if self.capacity is not None:
            return f"the most likely {self.capacity:,} rows"
        return "more likely than not"

    @property
    def is_given(self) -> bool:
        return not (self.precision is None and self.cost_ratio is None and self.capacity is None)


@dataclass(frozen=True)
class Distribution:
    """Of rows with votes: distinct P(positive) from the greatest down, to DIGITS decimals, (d,), and the rows
    that have it, (d,). silent: P(positive) of a row without votes; silent_rows: their number.
    """

    probability: Floats
    rows: Floats
    silent: float
    silent_rows: float

    @property
    def total(self) -> float:
        return float(self.rows.sum() + self.silent_rows)

    @property
    def positives(self) -> float:
        """Expected among all rows."""
        return float(self.probability @ self.rows + self.silent * self.silent_rows)


@dataclass(frozen=True)
class Decision:
    """threshold: P(positive) from which rows with votes are called; NOBODY where none is. rest: of the rows
    that have just the threshold, how many are called; None for all. called: rows; precision: expected share
    of positives among them, NaN without any; missed: expected positives among all others, silent ones too.
    """

    threshold: float
    rest: int | None
    called: float
    precision: float
    missed: float


def distribution(answered: DataFrame, positive: int, silent: float) -> Distribution:
    """Of the patterns that `soft.label_patterns` answered. At most 10 ** DIGITS numbers reach the driver."""
    probability = F.round(F.col("probabilities")[positive], DIGITS)
    is_silent = F.col("status") == UNKNOWN
    grouped = answered.groupBy(probability.alias("p"), is_silent.alias("silent")).agg(
        F.sum("rows").cast("double").alias("rows")
    )
    frame: pd.DataFrame = grouped.toPandas()
    frame = frame.sort_values("p", ascending=False)
    spoken = frame[~frame["silent"]]
    return Distribution(
        spoken["p"].to_numpy(float),
        spoken["rows"].to_numpy(float),
        silent,
        float(frame.loc[frame["silent"], "rows"].sum()),
    )


def decide(found: Distribution, rule: Rule) -> Decision:
    """The threshold, and what is expected of it. No row is called that is less likely positive than one that
    nobody speaks on.
    """
    probability, rows = found.probability, found.rows
    called, hits = np.cumsum(rows), np.cumsum(rows * probability)
    may_be = probability > found.silent if rule.is_given else probability > 0.5
    rest = None
    if rule.precision is not None:
        # The mean of the greatest falls as more are taken: the last place that holds is the threshold.
        may_be &= hits >= rule.precision * called * (1 - 1e-12)
    elif rule.cost_ratio is not None:
        may_be &= probability >= rule.cost_ratio / (1 + rule.cost_ratio)
    elif rule.capacity is not None:
        before = called - rows
        may_be &= before < rule.capacity
    last = int(may_be.sum()) - 1
    if last < 0:
        return Decision(NOBODY, None, 0.0, np.nan, found.positives)
    number, positives = float(called[last]), float(hits[last])
    if rule.capacity is not None and number > rule.capacity:
        rest = int(rule.capacity - (number - rows[last]))
        positives -= float((rows[last] - rest) * probability[last])
        number = float(rule.capacity)
    return Decision(float(probability[last]), rest, number, positives / number, found.positives - positives)


def thresholds(found: Distribution) -> pd.DataFrame:
    """What is expected as the threshold moves: at most STEPS rows of threshold, called, precision, recall and
    missed.
    """
    called, hits = np.cumsum(found.rows), np.cumsum(found.rows * found.probability)
    if not len(called):
        return pd.DataFrame(columns=["threshold", "called", "precision", "recall", "missed"])
    # Evenly along the logarithm of the called: the head of the list is where thresholds are chosen.
    at = np.unique(np.searchsorted(called, np.geomspace(called[0], called[-1], STEPS) * (1 - 1e-12)))
    recall = hits[at] / max(found.positives, 1e-12)
    return pd.DataFrame(
        {
            "threshold": found.probability[at],
            "called": called[at],
            "precision": hits[at] / called[at],
            "recall": recall,
            "missed": found.positives - hits[at],
        }
    )


def with_labels(answered: DataFrame, decision: Decision, positive: int) -> DataFrame:
    """The patterns, their label decided anew: positive from the threshold on, else the likeliest other class;
    -1 where nobody votes. Of the rows that have just the threshold, `first_ones` says who is not called.
    """
    is_called = F.round(F.col("probabilities")[positive], DIGITS) >= decision.threshold
    silent = F.col("status") == UNKNOWN
    label = F.when(silent, F.col("label")).when(is_called, positive).otherwise(_likeliest_other(positive))
    status = F.when(silent, F.col("status")).otherwise(F.lit(DECIDED))
    named = {"label": label.cast("int"), "status": status}
    return answered.select(*(named.get(name, F.col(name)).alias(name) for name in answered.columns))


def first_ones(labelled: DataFrame, decision: Decision, positive: int) -> DataFrame:
    """The rows, where a capacity ends among rows that are equally likely: of these a hash of row_id keeps so
    many as are left, the others are of the likeliest other class.
    """
    if decision.rest is None:
        return labelled
    at_edge = F.round(F.col("probabilities")[positive], DIGITS) == decision.threshold
    at_edge &= F.col("label") == positive
    key = F.xxhash64("row_id")
    ranked = labelled.where(at_edge).select(key.alias("key"), "row_id").orderBy("key", "row_id")
    kept = ranked.limit(decision.rest + 1).tail(1)
    beyond = (key > kept[0]["key"]) | ((key == kept[0]["key"]) & (F.col("row_id") >= kept[0]["row_id"]))
    label = F.when(at_edge & beyond, _likeliest_other(positive)).otherwise(F.col("label"))
    return labelled.select(
        *(label.alias(name) if name == "label" else F.col(name) for name in labelled.columns)
    )


@dataclass(frozen=True)
class RowFigures:
    """What is known of rows beside their votes. stakes: the amounts that are expected to be positives', of
    the called rows and of all others; None without amounts. known, positive, called, hits: rows with a known
    label, and of these the positive, the called and both.
    """

    stakes: tuple[float, float] | None = None
    known: int = 0
    positive: int = 0
    called: int = 0
    hits: int = 0

    @property
    def share(self) -> float | None:
        """Of positives among the rows with a known label."""
        return self.positive / self.known if self.known else None

    @property
    def precision(self) -> float | None:
        """Of the called ones among these."""
        return self.hits / self.called if self.called else None

    @property
    def recall(self) -> float | None:
        """Called ones among the positives."""
        return self.hits / self.positive if self.positive else None


def row_figures(labelled: DataFrame, positive: int) -> RowFigures:
    """Of rows with `probabilities`, `label`, and STAKE (an amount, or null for none) or KNOWN (the class, or
    null where it is not known), or both.
    """
    stake, known = (F.col(name) if name in labelled.columns else None for name in (STAKE, KNOWN))
    if stake is None and known is None:
        return RowFigures()
    is_called = F.col("label") == positive
    amount = (F.lit(0.0) if stake is None else F.coalesce(stake, F.lit(0.0))) * F.col("probabilities")[
        positive
    ]
    truth = F.lit(None).cast("int") if known is None else known
    sums = (
        F.sum(F.when(is_called, amount).otherwise(0.0)),
        F.sum(F.when(is_called, 0.0).otherwise(amount)),
        F.count(truth),
        F.count_if(truth == positive),
        F.count_if(truth.isNotNull() & is_called),
        F.count_if((truth == positive) & is_called),
    )
    row = labelled.agg(*(each.alias(f"figure_{at}") for at, each in enumerate(sums))).first()
    assert row is not None
    amounts = None if stake is None else (float(row[0] or 0.0), float(row[1] or 0.0))
    return RowFigures(amounts, *map(int, row[2:]))


def _likeliest_other(positive: int) -> Column:
    """Of equally likely ones the first."""
    ranked = F.transform(
        F.col("probabilities"),
        lambda p, at: F.struct(F.when(at != positive, p).otherwise(-1.0).alias("p"), (-at).alias("place")),
    )
    return (-F.array_max(ranked)["place"]).cast("int")
