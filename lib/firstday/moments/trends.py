"""Whether retention moves with the share that experienced a candidate, from anchor date to anchor date.

Arrays are (dates,) or (dates, thresholds). A date's share and its retention come from the same users: their
sampling noise alone would tie the two, so every product of two means leaves each user out of its own pair.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.tsa.stattools import grangercausalitytests

Floats = NDArray[np.float64]

SIMILAR, DIFFERS, TOO_LITTLE = "similar", "differs", "not enough data"
LAGS = range(-3, 4)
GRANGER_LAG = 2
GRANGER_DATES = 30


@dataclass(frozen=True)
class Series:
    """One segment's dates: users, retained (dates,); experienced, both (dates, thresholds).

    other_level is the level of a user's other activity; its sums over users: level, level_retained,
    level_squared (dates,), level_experienced (dates, thresholds). It stands for what moves everybody.
    """

    users: Floats
    retained: Floats
    experienced: Floats
    both: Floats
    level: Floats
    level_retained: Floats
    level_squared: Floats
    level_experienced: Floats


def date_effect(series: Series) -> tuple[Floats, Floats]:
    """Slope of retention on the share experienced over dates, the mean level of other activity held, and its
    standard error; both (thresholds,). A date's shock to one action is the instrument (Wald 1940); the error
    is from leaving out a date at a time (Efron & Stein 1981).
    """
    pairs = _pairs(series)
    estimate = _slope(*(part.sum(axis=0) for part in pairs))
    dates = len(pairs[0])
    left_out = np.array([_slope(*(part.sum(axis=0) - part[date] for part in pairs)) for date in range(dates)])
    deviations = left_out - left_out.mean(axis=0)
    return estimate, np.sqrt((dates - 1) / dates * (deviations**2).sum(axis=0))


def _pairs(series: Series) -> tuple[Floats, ...]:
    """By date: weight, weighted means and weighted products of means of different users, (dates, thresholds)."""
    keep = series.users >= 2
    n = series.users[keep][:, None]
    retained, experienced = series.retained[keep][:, None], series.experienced[keep]
    level = series.level[keep][:, None]
    pairs = n * (n - 1)
    weight = n * np.ones_like(experienced)
    products = (
        experienced * retained - series.both[keep],
        experienced * (experienced - 1),
        experienced * level - series.level_experienced[keep],
        level * retained - series.level_retained[keep][:, None],
        level**2 - series.level_squared[keep][:, None],
    )
    means = (experienced, retained, level)
    return (weight, *(m * np.ones_like(weight) for m in means), *(p / pairs * weight for p in products))


def _slope(
    weight: Floats, experienced: Floats, retained: Floats, level: Floats, *products: Floats
) -> Floats:
    share, retention, mean_level = experienced / weight, retained / weight, level / weight
    with_retention, own, with_level, level_retention, level_own = (p / weight for p in products)
    covariance = with_retention - share * retention
    variance = own - share**2
    share_level = with_level - share * mean_level
    # Where hardly anything moves everybody, this variance is near 0 and may be negative: nothing to hold.
    common = np.maximum(level_own - mean_level**2, 1e-4)
    covariance = covariance - share_level * (level_retention - mean_level * retention) / common
    own_variance = variance - share_level**2 / common
    least = np.maximum(0.1 * variance, 1e-6)
    return np.asarray(covariance / np.maximum(own_variance, least))


def verdicts(
    effect: Floats, error: Floats, adjusted: Floats, adjusted_error: Floats, dates: int, min_dates: int
) -> NDArray[np.str_]:
    """Do the dates bear out the adjusted difference? (thresholds,), one of SIMILAR, DIFFERS, TOO_LITTLE.

    DIFFERS: the dates' effect lies below the adjusted difference, at 2.5 % one-sided. SIMILAR only where the
    dates could have told: the difference is at least two standard errors of the dates' effect.
    """
    if dates < min_dates:
        return np.full(effect.shape, TOO_LITTLE)
    limit = stats.t.ppf(0.975, max(dates - 3, 1))
    with np.errstate(invalid="ignore"):
        below = effect < adjusted - limit * np.sqrt(error**2 + adjusted_error**2)
        could_tell = np.abs(adjusted) >= 2 * error
    return np.where(below & could_tell, DIFFERS, np.where(could_tell, SIMILAR, TOO_LITTLE))


@dataclass(frozen=True)
class Movement:
    """How two series move together: weighted correlations, and Granger's p-value where dates are enough."""

    levels: float
    differences: float
    lag: int  # dates by which retention follows the share, where their correlation is highest
    lag_correlation: float
    granger_p: float


def movement(users: Floats, share: Floats, retention: Floats) -> Movement:
    """All (dates,), in the order of the dates. Dates weigh by their users (differences: harmonic mean)."""
    pairs = {lag: _lagged(users, share, retention, lag) for lag in LAGS}
    known = {lag: value for lag, value in pairs.items() if not np.isnan(value)}
    best = max(known, key=lambda lag: (known[lag], -abs(lag)), default=0)
    return Movement(
        _correlation(users, share, retention),
        _correlation(2 / (1 / users[1:] + 1 / users[:-1]), np.diff(share), np.diff(retention)),
        best,
        known.get(best, np.nan),
        _granger(share, retention),
    )


def _lagged(users: Floats, share: Floats, retention: Floats, lag: int) -> float:
    size = len(users) - abs(lag)
    if size < 4:
        return np.nan
    first, second = (slice(0, size), slice(lag, lag + size)) if lag >= 0 else (slice(-lag, -lag + size), slice(0, size))
    return _correlation(np.sqrt(users[first] * users[second]), share[first], retention[second])


def _correlation(weight: Floats, one: Floats, other: Floats) -> float:
    if len(weight) < 3 or weight.sum() <= 0:
        return np.nan
    weight = weight / weight.sum()
    one, other = one - weight @ one, other - weight @ other
    spread = (weight @ one**2) * (weight @ other**2)
    return float(weight @ (one * other) / np.sqrt(spread)) if spread > 1e-18 else np.nan


def _granger(share: Floats, retention: Floats) -> float:
    """p-value that past shares say nothing of retention beyond its own past (Granger 1969), on differences."""
    if len(share) < GRANGER_DATES:
        return np.nan
    moves = pd.DataFrame({"retention": np.diff(retention), "share": np.diff(share)})
    if (moves.std() < 1e-12).any():
        return np.nan
    tests = grangercausalitytests(moves[["retention", "share"]], maxlag=[GRANGER_LAG])
    return float(tests[GRANGER_LAG][0]["ssr_ftest"][1])
