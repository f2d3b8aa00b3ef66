"""Intervals of shares."""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from firstday.stats.estimate import Floats


def wilson(share: npt.ArrayLike, n: npt.ArrayLike, *, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Bounds at 1 - alpha of shares of n independent rows, within [0, 1]; NaN where n is 0 (Wilson 1927, JASA
    22). Entry by entry; n need not be whole.
    """
    share, n = np.asarray(share, dtype=float), np.asarray(n, dtype=float)
    n = np.where(n > 0, n, np.nan)
    z = -ndtri(alpha / 2)
    shrink = 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / shrink
    margin = z * np.sqrt(np.maximum(share * (1 - share), 0.0) / n + z**2 / (4 * n**2)) / shrink
    return np.maximum(centre - margin, 0.0), np.minimum(centre + margin, 1.0)
