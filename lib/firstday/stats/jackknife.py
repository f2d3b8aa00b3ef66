"""Standard errors from leaving parts of the data out."""

import numpy as np

from firstday.stats.estimate import Floats


def jackknife_error(left_out: Floats) -> Floats:
    """Standard error of an estimate, from its values without each of the parts, (parts, ...) to (...).

    Efron & Stein 1981, Annals of Statistics 9.
    """
    parts = len(left_out)
    deviations = left_out - left_out.mean(axis=0)
    return np.asarray(np.sqrt((parts - 1) / parts * (deviations**2).sum(axis=0)))
