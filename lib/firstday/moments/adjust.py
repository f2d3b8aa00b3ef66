"""A difference in retention, adjusted for strata by standardisation, and how robust it is.

Arrays are (strata, thresholds) unless said otherwise; strata are segments, or segments x bin of all other
activity. Plain NumPy over small arrays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Standardised:
    """Each (thresholds,); null (NaN) where no stratum holds both kinds of users.

    difference: experienced less others, each stratum weighed by its users, with its standard error. coverage:
    share of users in strata that hold both kinds. risk, other_risk: retention of the two, standardised.
    """

    difference: Floats
    error: Floats
    coverage: Floats
    risk: Floats
    other_risk: Floats

    @property
    def low(self) -> Floats:
        return self.difference - Z_95 * self.error

    @property
    def high(self) -> Floats:
        return self.difference + Z_95 * self.error


def standardise(users: Floats, retained: Floats, experienced: Floats, both: Floats) -> Standardised:
    """Direct standardisation to the users of the strata that hold both kinds (Rothman, Greenland & Lash,
    Modern Epidemiology, 3rd ed., ch. 3 and 15). users, retained: (strata,).

    The variance takes each stratum's shares with one success and one failure added (Agresti & Caffo 2000), so
    that a stratum with one user is not taken for certain.
    """
    others = users[:, None] - experienced
    others_retained = retained[:, None] - both
    overlap = (experienced > 0) & (others > 0)
    weights = np.where(overlap, users[:, None], 0.0)
    total = weights.sum(axis=0)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    share, other_share = _share(both, experienced), _share(others_retained, others)
    variance = _variance(both, experienced) + _variance(others_retained, others)
    unknown = np.where(total > 0, 0.0, np.nan)
    risk = (weights * share).sum(axis=0) + unknown
    other_risk = (weights * other_share).sum(axis=0) + unknown
    return Standardised(
        risk - other_risk,
        np.sqrt((weights**2 * variance).sum(axis=0)) + unknown,
        total / max(users.sum(), 1.0),
        risk,
        other_risk,
    )


def stratified_phi(users: Floats, retained: Floats, experienced: Floats, both: Floats) -> Floats:
    """Correlation of experienced and retained within strata, (thresholds,): phi of the deviations from the
    strata's shares. A step at the right threshold correlates best, so this finds the threshold.
    """
    share = _share(experienced, users[:, None])
    retention = _share(retained, users)
    covariance = (both - experienced * retention[:, None]).sum(axis=0)
    variance = (experienced * (1 - share)).sum(axis=0) * (retained * (1 - retention)).sum()
    return np.divide(covariance, np.sqrt(variance), out=np.full_like(covariance, np.nan), where=variance > 0)


def p_values(difference: Floats, error: Floats) -> Floats:
    """Two-sided, of no difference, by the normal approximation."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(2 * stats.norm.sf(np.abs(difference / error)))


def e_value(risk: Floats, other_risk: Floats) -> Floats:
    """How strongly a hidden confounder would have to be associated with both (as risk ratios) to explain
    the difference away (VanderWeele & Ding 2017). 1: there is none; NaN where a risk is 0 or unknown.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = risk / other_risk
        ratio = np.where(ratio < 1, 1 / ratio, ratio)
        value = ratio + np.sqrt(ratio * (ratio - 1))
    return np.where(np.isfinite(value), value, np.nan)


def simpson(low: Floats, high: Floats, adjusted_low: Floats, adjusted_high: Floats) -> NDArray[np.bool_]:
    """Whether adjusting for strata turns the sign round, both intervals being clear of 0 (Simpson 1951)."""
    return ((low > 0) & (adjusted_high < 0)) | ((high < 0) & (adjusted_low > 0))


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)


def _variance(part: Floats, whole: Floats) -> Floats:
    share = (part + 1) / (whole + 2)
    return share * (1 - share) / np.maximum(whole, 1)
