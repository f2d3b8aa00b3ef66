"""Levels of activity: numbers of events, binned in half octaves."""

import numpy as np
from numpy.typing import NDArray

# 1, 2, 3, 4, 6, 8, 11, 16, 23, ...: powers of the square root of two, rounded. The first of bin k is
# BIN_STARTS[k - 1]; bin 0 is no event at all.
BIN_STARTS = np.unique(np.rint(2.0 ** (np.arange(80) / 2)).astype(np.int64))


def activity_bin(events: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of BIN_STARTS that are not above each number of events, in its shape."""
    return np.searchsorted(BIN_STARTS, events, side="right")
