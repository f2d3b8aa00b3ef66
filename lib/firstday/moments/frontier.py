"""The Pareto frontier of precision and recall, and how often a candidate is on it."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCK = 1_000_000  # candidates x resamples looked at together: 8 MB an array


def on_frontier(precision: Floats, recall: Floats) -> NDArray[np.bool_]:
    """Which candidates no other one beats: at least as good in both and better in one.

    Both (..., candidates); an undefined candidate (NaN) is never on it. Equal ones are on it together.
    """
    precision, recall = np.broadcast_arrays(precision, recall)
    known = ~(np.isnan(precision) | np.isnan(recall))
    precision, recall = np.where(known, precision, -1.0), np.where(known, recall, -1.0)
    order = np.lexsort((-precision, -recall), axis=-1)  # recall falls, among equals precision falls
    sorted_precision = np.take_along_axis(precision, order, -1)
    sorted_recall = np.take_along_axis(recall, order, -1)
    best = np.maximum.accumulate(sorted_precision, axis=-1)
    # Beaten by one of higher recall and no lower precision, or by one of equal recall and higher precision.
    position = np.arange(precision.shape[-1])
    new_recall = np.diff(sorted_recall, axis=-1, prepend=np.inf) != 0
    first = np.maximum.accumulate(np.where(new_recall, position, 0), axis=-1)
    earlier = np.where(first > 0, np.take_along_axis(best, np.maximum(first - 1, 0), -1), -np.inf)
    top = np.take_along_axis(sorted_precision, first, -1)
    kept = (sorted_precision > earlier) & (sorted_precision == top)
    result = np.zeros_like(kept)
    np.put_along_axis(result, order, kept, -1)
    return result & known


def frontier_share(retained: Floats, experienced: Floats, both: Floats, resamples: int, seed: int) -> Floats:
    """Share of bootstrap resamples over dates in which a candidate is on the frontier, (candidates,).

    retained: (dates,); experienced, both: (dates, candidates). Dates are drawn with replacement, as users of
    one date share its shocks (block bootstrap: Kuensch 1989, with dates as blocks).
    """
    dates, candidates = experienced.shape
    if not resamples or not dates or not candidates:
        return np.full(candidates, np.nan)
    draw = np.random.default_rng(seed)
    weights = draw.multinomial(dates, np.full(dates, 1 / dates), resamples).astype(float)
    times = np.zeros(candidates)
    for block in np.array_split(weights, -(-resamples * candidates // BLOCK)):
        drawn = block @ both
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = drawn / (block @ experienced), drawn / (block @ retained)[:, None]
        times += on_frontier(precision, recall).sum(axis=0)
    return times / resamples
