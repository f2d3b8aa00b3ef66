"""Whether retention moves with the share that experienced a candidate, from anchor date to anchor date.

Arrays are (dates,) or (dates, thresholds). A date's share and its retention come from the same users: their
sampling noise alone would tie the two, so every product of two means leaves each user out of its own pair.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]

SIMILAR, DIFFERS, TOO_LITTLE = "similar", "differs", "not enough data"
FEWEST_DATES = 3
Z_95 = 1.959963984540054
MOST_EFFECT = 1.0  # nobody comes back, or everybody
LAGS = range(-3, 4)
GRANGER_LAG = 2
GRANGER_DATES = 30


@dataclass(frozen=True)
class Series:
    """One segment's dates: users, retained (dates,); experienced, both (dates, thresholds).

    other_level is the bin of a user's other activity; its sums over users: level, level_retained,
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
    """Slope of retention on the share experienced over dates, controlling for the mean of other activity, and
    its standard error; both (thresholds,), NaN where the share moves no more than by chance. A date's shock
    to one action is the instrument (Wald 1940); the error is from leaving out a date at a time (Efron & Stein
    1981).
    """
    by_date = _by_date(series)
    dates = by_date.shape[1]
    if dates < FEWEST_DATES:
        unknown = np.full(by_date.shape[2], np.nan)
        return unknown, unknown
    total = by_date.sum(axis=1)
    left_out = _slope(total[:, None] - by_date, dates - 1)
    deviations = left_out - left_out.mean(axis=0)
    error = np.sqrt((dates - 1) / dates * (deviations**2).sum(axis=0))
    return np.where(np.isnan(error), np.nan, _slope(total, dates)), error


def estimable(error: Floats) -> NDArray[np.bool_]:
    """Whether the 95 % interval of an effect between dates says anything: it reaches less than MOST_EFFECT to
    either side.

    The slope's denominator is how far the share moves from date to date beyond sampling noise. Near 0, as of
    an action that nearly everybody does, the slope may be anything, and without one of the dates a million
    times as much. But an effect is one retention less another: none is larger than MOST_EFFECT.
    """
    return np.asarray(Z_95 * error < MOST_EFFECT)  # False where it is NaN


def _by_date(series: Series) -> Floats:
    """What `_slope` takes sums of, (sums, dates, thresholds), of the dates with at least two users."""
    keep = series.users >= 2
    users, retained, level, level_retained, level_squared = (
        values[keep][:, None]
        for values in (
            series.users,
            series.retained,
            series.level,
            series.level_retained,
            series.level_squared,
        )
    )
    experienced, both, level_experienced = (
        values[keep] for values in (series.experienced, series.both, series.level_experienced)
    )
    rows = [users, experienced, retained, level]
    for one, other, same in (
        (experienced, retained, both),
        (experienced, experienced, experienced),
        (experienced, level, level_experienced),
        (level, retained, level_retained),
        (level, level, level_squared),
    ):
        rows += _pairs(users, one, other, same)
    return np.stack(np.broadcast_arrays(*rows))


def _pairs(users: Floats, one: Floats, other: Floats, same: Floats) -> tuple[Floats, Floats]:
    """By date, from sums over its users: the product of two means over pairs of different users, times users,
    and the covariance of two values of the same user, times users. same: sum of products of these.
    """
    product = one * other / users
    covariance = (same - product) / (users - 1)
    return product - covariance, users * covariance


def _slope(sums: Floats, dates: int) -> Floats:
    """From sums over dates of the rows of `_by_date`."""
    users, experienced, retained, level, *pairs = sums
    share, retention, mean_level = experienced / users, retained / users, level / users
    means = (
        share * retention,
        share**2,
        share * mean_level,
        mean_level * retention,
        mean_level**2,
    )
    noise = [
        same / users**2 for same in pairs[1::2]
    ]  # of the overall means; a date's is `dates` times as much
    # The products of the overall means hold users' own pairs too, the fewer the more dates there are.
    covariance, variance, share_level, level_retention, level_own = (
        different / users - mean + own for different, mean, own in zip(pairs[::2], means, noise, strict=True)
    )
    # What sampling noise shows at most (two standard errors) of a variance over dates that is 0.
    _, least_variance, _, _, least_common = (np.sqrt(8 * dates) * own + 1e-9 for own in noise)
    common = np.maximum(level_own, least_common)  # where nothing moves everybody there is little to control
    covariance = covariance - share_level * level_retention / common
    own_variance = np.maximum(variance - share_level**2 / common, 0.1 * variance)
    moves = variance > least_variance
    return np.divide(covariance, own_variance, out=np.full_like(covariance, np.nan), where=moves)


def verdicts(
    effect: Floats, error: Floats, adjusted: Floats, adjusted_error: Floats, dates: int, min_dates: int
) -> NDArray[np.str_]:
    """Do the dates bear out the adjusted difference? (thresholds,), one of SIMILAR, DIFFERS, TOO_LITTLE.

    DIFFERS: the dates' effect lies below the adjusted difference, at 2.5 % one-sided. SIMILAR only where the
    dates could have shown: the difference is at least two standard errors of the dates' effect.
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


def movement(users: Floats, experienced: Floats, retained: Floats, both: Floats) -> Movement:
    """All (dates,), in the order of the dates. Dates weigh by their users (differences: harmonic mean).

    What the two shares of one date have in common because they are of the same users is taken out of their
    covariance, so that where nothing ties them the correlations are 0 on average.
    """
    share, retention = experienced / users, retained / users
    noise = (both / users - share * retention) / np.maximum(users - 1, 1)
    weight = users / users.sum()
    between = 2 / (1 / users[1:] + 1 / users[:-1])
    between = between / between.sum()
    differences = _correlation(
        between,
        np.diff(share),
        np.diff(retention),
        between @ (noise[1:] + noise[:-1]) - np.diff(between, prepend=0, append=0) ** 2 @ noise,
    )
    by_lag = {lag: _lagged(users, share, retention, lag) for lag in LAGS if lag}
    by_lag[0] = _correlation(weight, share, retention, weight * (1 - weight) @ noise)
    known = {lag: value for lag, value in by_lag.items() if not np.isnan(value)}
    best = max(known, key=lambda lag: (known[lag], -abs(lag), lag), default=0)
    return Movement(by_lag[0], differences, best, known.get(best, np.nan), _granger(share, retention))


def _lagged(users: Floats, share: Floats, retention: Floats, lag: int) -> float:
    size = len(users) - abs(lag)
    if size < FEWEST_DATES + 1:
        return np.nan
    first = slice(max(-lag, 0), max(-lag, 0) + size)
    second = slice(max(lag, 0), max(lag, 0) + size)
    weight = np.sqrt(users[first] * users[second])
    return _correlation(weight / weight.sum(), share[first], retention[second])


def _correlation(weight: Floats, one: Floats, other: Floats, shared: float = 0.0) -> float:
    """Weights add up to 1; `shared` is taken out of the covariance. NaN where a series does not move."""
    if len(weight) < FEWEST_DATES:
        return np.nan
    one, other = one - weight @ one, other - weight @ other
    variance = (weight @ one**2) * (weight @ other**2)
    if variance < 1e-18:
        return np.nan
    return float(np.clip((weight @ (one * other) - shared) / np.sqrt(variance), -1, 1))


def _granger(share: Floats, retention: Floats) -> float:
    """Granger's p-value (1969), on differences: past shares say nothing of retention beyond its own past.

    The F test of nested least squares, statsmodels' `ssr_ftest`. NaN where the dates are too few, where a
    series does not move, and where one follows from the other: there is no noise to measure it by.
    """
    if len(share) < GRANGER_DATES:
        return np.nan
    moves = np.diff(retention), np.diff(share)
    now = moves[0][GRANGER_LAG:]
    past = [series[GRANGER_LAG - lag : -lag] for series in moves for lag in range(1, GRANGER_LAG + 1)]
    columns = np.column_stack([np.ones(len(now)), *past])
    _, unexplained, rank, _ = np.linalg.lstsq(columns, now, rcond=None)
    if rank < columns.shape[1] or unexplained[0] <= 1e-15 * now.var() * len(now):
        return np.nan
    by_own_past = np.linalg.lstsq(columns[:, : 1 + GRANGER_LAG], now, rcond=None)[1]
    degrees = len(now) - rank
    f = (by_own_past[0] / unexplained[0] - 1) * degrees / GRANGER_LAG
    return float(special.fdtrc(GRANGER_LAG, degrees, max(f, 0.0)))  # rounding may take it below 0
