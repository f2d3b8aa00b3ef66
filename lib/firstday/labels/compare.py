"""Before and after: how well two classifiers call, where they differ, and what the label model says there.

Arrays are one-dimensional and of one length n. `weights` are how many rows each element stands for: 1 if
None, so counts of equal rows do as well as the rows. Labels are hard (0, 1) or soft, P(positive) in [0, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from firstday.errors import DataError
from firstday.stats.shares import wilson

Floats = NDArray[np.float64]
Interval = tuple[float, float]
POSITIVE, NEGATIVE, UNKNOWN = STATUSES = ("positive", "negative", "unknown")


@dataclass(frozen=True)
class Confusion:
    """Rows called positive and negative by their labels. Ratios over nothing are NaN, and so their intervals.

    Soft labels make expected counts; the intervals hold for labels that are drawn from their probabilities,
    and know nothing of an error in the probabilities themselves.
    """

    tp: float
    fp: float
    fn: float
    tn: float

    @property
    def total(self) -> float:
        return self.tp + self.fp + self.fn + self.tn

    @property
    def precision(self) -> float:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def precision_interval(self) -> Interval:
        """Wilson's, of tp among the rows called positive."""
        return _interval(self.tp, self.tp + self.fp)

    def recall_interval(self) -> Interval:
        """Wilson's, of tp among the positive rows."""
        return _interval(self.tp, self.tp + self.fn)

    def f1_interval(self) -> Interval:
        """Wilson's interval of J = tp / (tp + fp + fn), carried over by F = 2 J / (1 + J), rising with J.

        Of the rows that are positive or called so, tp are binomial with the share J. Within [0, 1], never
        without width, and for many rows the same as by the delta method, which is too narrow for few. For a
        comparison of F1's intervals see Lam, Gopal and Qian (2023), arXiv 2309.14621.
        """
        low, high = _interval(self.tp, self.tp + self.fp + self.fn)
        return 2 * low / (1 + low), 2 * high / (1 + high)


@dataclass(frozen=True)
class Calibration:
    """`table`: low, high (a bin's bounds), weight, mean_score, mean_label; `error`: the expected one, ECE."""

    table: pd.DataFrame
    error: float


def confusion(labels: ArrayLike, called: ArrayLike, weights: ArrayLike | None = None) -> Confusion:
    """The four counts; a row with the soft label p counts p to the positive and 1 - p to the negative.

    called: 0 or 1, or booleans. Raises DataError for arrays of unlike length and for what is out of range.
    """
    rows, weight = _rows({"labels": labels, "called": called}, weights)
    positive, yes = _within(rows, "labels"), _flags(rows, "called")
    return Confusion(
        tp=float((weight * positive)[yes].sum()),
        fp=float((weight * (1 - positive))[yes].sum()),
        fn=float((weight * positive)[~yes].sum()),
        tn=float((weight * (1 - positive))[~yes].sum()),
    )


def disagreement(before: ArrayLike, after: ArrayLike, weights: ArrayLike | None = None) -> pd.DataFrame:
    """Shares of the rows by what two models call, 0 or 1: a row for what `before` calls, negative and
    positive, a column for what `after` does. NaN without rows. Raises DataError as `confusion` does.
    """
    rows, weight = _rows({"before": before, "after": after}, weights)
    cell = 2 * _flags(rows, "before") + _flags(rows, "after")
    counts = _sums(cell, weight, 4).reshape(2, 2)
    names = [NEGATIVE, POSITIVE]
    return pd.DataFrame(
        _ratios(counts, np.full((2, 2), weight.sum())),
        index=pd.Index(names, name="before"),
        columns=pd.Index(names, name="after"),
    )


def newly_called(
    before: ArrayLike,
    after: ArrayLike,
    label_status: ArrayLike,
    any_positive: ArrayLike,
    any_negative: ArrayLike,
    weights: ArrayLike | None = None,
) -> pd.DataFrame:
    """Of the rows that `after` calls positive and `before` did not: a row for each status, all three always.

    label_status: what the label model says of a row, one of STATUSES. any_positive, any_negative: 0 or 1,
    whether any label function voted so on it. Columns: status; rows; share of the newly called; any_positive
    and any_negative, shares of the status' rows, NaN where there are none. Raises DataError as `confusion`
    does, and for another status.
    """
    flags = {"before": before, "after": after, "any_positive": any_positive, "any_negative": any_negative}
    status = np.asarray(label_status)
    unknown = sorted({str(each) for each in pd.unique(status.ravel())} - set(STATUSES))
    if unknown:
        raise DataError(
            "a label status is one of " + ", ".join(STATUSES), value=unknown, next_step="translate the others"
        )
    place = pd.Index(STATUSES).get_indexer(status)
    rows, weight = _rows({**flags, "label_status": place}, weights)
    weight = weight * (_flags(rows, "after") & ~_flags(rows, "before"))
    counts, positive, negative = (
        _sums(place, weight * hit, len(STATUSES))
        for hit in (np.ones(len(weight)), _flags(rows, "any_positive"), _flags(rows, "any_negative"))
    )
    return pd.DataFrame(
        {
            "status": list(STATUSES),
            "rows": counts,
            "share": _ratios(counts, np.full(len(STATUSES), counts.sum())),
            "any_positive": _ratios(positive, counts),
            "any_negative": _ratios(negative, counts),
        }
    )


def threshold_for(
    scores: ArrayLike, labels: ArrayLike, precision: float, weights: ArrayLike | None = None
) -> float | None:
    """The lowest score such that, of the rows with that score or more, at least the share `precision` is
    positive; None where no score is such.

    It is one of the scores. Precision need not rise with the threshold, so a higher one may fall short. Rows
    with the same score are called together. Raises DataError as `confusion` does.
    """
    rows, weight = _rows({"scores": scores, "labels": labels}, weights)
    distinct, place = np.unique(rows["scores"], return_inverse=True)
    called = _from_the_top(_sums(place, weight, len(distinct)))
    positive = _from_the_top(_sums(place, weight * _within(rows, "labels"), len(distinct)))
    reached = np.flatnonzero(_ratios(positive, called) >= precision)
    return float(distinct[reached[0]]) if len(reached) else None


def calibration(
    scores: ArrayLike, labels: ArrayLike, bins: int = 10, weights: ArrayLike | None = None
) -> Calibration:
    """Mean score and mean label in bins of equal width, the lower bound in the bin, 1 in the last; NaN in an
    empty one.

    The error is the mean over rows of |mean label - mean score| of their bin (Naeini, Cooper and Hauskrecht
    2015, AAAI); NaN without rows. Raises DataError as `confusion` does, and for scores outside [0, 1].
    """
    rows, weight = _rows({"scores": scores, "labels": labels}, weights)
    score, label = _within(rows, "scores"), _within(rows, "labels")
    bounds = np.arange(bins + 1) / bins  # 0.3 and not the next number, as linspace has it
    place = np.minimum(np.searchsorted(bounds, score, side="right") - 1, bins - 1)
    total, scored, labelled = (
        _sums(place, weight * value, bins) for value in (np.ones(len(weight)), score, label)
    )
    table = pd.DataFrame(
        {
            "low": bounds[:-1],
            "high": bounds[1:],
            "weight": total,
            "mean_score": _ratios(scored, total),
            "mean_label": _ratios(labelled, total),
        }
    )
    return Calibration(table, _ratio(float(np.abs(labelled - scored).sum()), float(total.sum())))


def _rows(arrays: Mapping[str, ArrayLike], weights: ArrayLike | None) -> tuple[dict[str, Floats], Floats]:
    """The arrays as numbers and the weights, checked."""
    found = {name: np.asarray(array, dtype=float) for name, array in arrays.items()}
    length = next(iter(found.values())).size
    found["weights"] = np.ones(length) if weights is None else np.asarray(weights, dtype=float)
    shapes = {name: array.shape for name, array in found.items() if array.shape != (length,)}
    if shapes:
        raise DataError(
            "arrays have one dimension and one length", value=shapes, next_step="give a value a row"
        )
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise DataError(
                f"each of {name} is a finite number", next_step="leave out the rows with null and NaN"
            )
    if (found["weights"] < 0).any():
        raise DataError(
            "weights are not negative", value=float(found["weights"].min()), next_step="give 0 or more"
        )
    return found, found.pop("weights")


def _within(rows: Mapping[str, Floats], name: str) -> Floats:
    wrong = rows[name][(rows[name] < 0) | (rows[name] > 1)]
    if wrong.size:
        raise DataError(
            f"each of {name} is from 0 to 1", value=float(wrong[0]), next_step=f"rescale the {name}"
        )
    return rows[name]


def _flags(rows: Mapping[str, Floats], name: str) -> NDArray[np.bool_]:
    wrong = rows[name][(rows[name] != 0) & (rows[name] != 1)]
    if wrong.size:
        raise DataError(
            f"each of {name} is 0 or 1", value=float(wrong[0]), next_step="call by a threshold first"
        )
    return rows[name] == 1


def _sums(place: NDArray[np.int64], values: Floats, size: int) -> Floats:
    """Sum of the values at each of `size` places."""
    return np.bincount(place, values, size).astype(float)


def _from_the_top(values: Floats) -> Floats:
    """Cumulative sums from the last element to each."""
    return np.cumsum(values[::-1])[::-1]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else np.nan


def _ratios(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _interval(part: float, whole: float) -> Interval:
    """Wilson's, at 95%, of part / whole; NaN where whole is 0."""
    low, high = wilson(_ratio(part, whole), whole)
    return float(low), float(high)
