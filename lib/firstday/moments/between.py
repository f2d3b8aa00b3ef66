"""Evidence between dates: on dates when an action rises by itself, does retention rise with it.

Changed buttons, campaigns for one feature: such shocks are instruments (Wald 1940). What moves all actions on
a date is controlled for, and a date's mean is a noisy measure of the date (its users are few): both are
dealt with at once by regressing on what the mean says of the date, not on the mean (regression calibration:
Carroll, Ruppert, Stefanski & Crainiceanu 2006, ch. 4). Hidden causes that do not change from date to date
cannot fool it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from firstday.moments.dates import DateProducts
from firstday.moments.factors import Flags, Floats, engagement_loadings
from firstday.moments.families import Families
from firstday.moments.within import EFFECTS, JACKKNIFE_ITERATIONS
from firstday.stats.jackknife import jackknife_error

# The effect between dates is expected within this range of the one within them.
EXPECTED_RANGE = (0.75, 1.0, 1.33)
MOST_LOG_FACTOR = 5.0  # what the dates may count for at most, either way
FITTED_TO_DATES = 4  # the mean, two common movements and an action's own
SHARED_SHOCKS = 0.5  # how far the size of an action's own shocks is taken from all actions'


@dataclass(frozen=True)
class Between:
    """effect, error: (actions,) slope of retention on each action over dates, adjusted for what moves all."""

    effect: Floats
    error: Floats
    dates: int

    def log_factors(self, scale: float) -> Floats:
        """(actions, effects) log Bayes factor of each of EFFECTS (times `scale`) against none."""
        degrees = max(self.dates - FITTED_TO_DATES, 1)
        ratio = self.effect / self.error
        expected = scale * EFFECTS[:, None] * np.array(EXPECTED_RANGE)
        some = stats.t.pdf(ratio[:, None, None] - expected / self.error[:, None, None], degrees).mean(axis=-1)
        factor = np.log(np.maximum(some, 1e-300)) - stats.t.logpdf(ratio, degrees)[:, None]
        return np.clip(factor, -MOST_LOG_FACTOR, MOST_LOG_FACTOR)


def between_dates(data: DateProducts, families: Families) -> Between:
    """The slopes; their error is the larger of least squares' and a jackknife's over dates."""
    together = families.together
    within, left_out = data.within(), data.within_left_out()
    if families.anchorless:
        # No factors measure engagement; how actions go with retention does, where none of them is a cause.
        moving, each = within[:-1, -1:], left_out[:, :-1, -1:]
    else:
        loadings = engagement_loadings(within[:-1, :-1], together)
        moving = _movements(loadings, data)
        each = np.array(
            [
                _movements(loadings_left_out, data.without(date))
                for date, loadings_left_out in enumerate(
                    engagement_loadings(
                        left_out[:, :-1, :-1], together, start=loadings, iterations=JACKKNIFE_ITERATIONS
                    )
                )
            ]
        )
    effect, error = _slopes(data, within, moving, together)
    slopes = np.array(
        [_slopes(data.without(date), left_out[date], each[date], together)[0] for date in range(data.dates)]
    )
    return Between(effect, np.maximum(error, jackknife_error(slopes)), data.dates)


def _movements(loadings: Floats, data: DateProducts) -> Floats:
    """(actions, 2) how actions follow where dates move everybody: by how they measure engagement, and along
    curves that differ with how often they are done.
    """
    frequency = data.mean[:-1] - np.average(data.mean[:-1], weights=loadings**2 + 1e-300)
    return np.column_stack([loadings, loadings * frequency])


def _slopes(data: DateProducts, within: Floats, moving: Floats, together: Flags) -> tuple[Floats, Floats]:
    """(actions,) slopes and least-squares errors. moving: (actions, movements), how each follows dates."""
    covariance, with_retention = within[:-1, :-1], within[:-1, -1]
    weights = data.users
    mean = data.mean
    centred = data.means - mean
    response = -np.expm1(-mean[:-1])
    shifts, common = _date_covariance(data.between(within)[:-1, :-1], covariance, moving, together, response)
    # The dates' means weighed by how much of them is the date's and not its users' chance.
    noise = covariance / weights[:, None, None]
    calibrated = np.linalg.solve(shifts + noise, centred[:, :-1, None])[..., 0]
    # The same chance moves a date's retention: what it explains is taken off.
    retention = centred[:, -1] - calibrated @ with_retention / weights
    root = np.sqrt(weights)
    tides = calibrated @ moving @ common
    own = calibrated @ shifts
    # Least squares on (1, tides, own_j), for each j at once (Frisch-Waugh).
    basis = _orthonormal(np.column_stack([np.ones_like(weights), tides]) * root[:, None])
    left = own * root[:, None]
    left = left - basis @ (basis.T @ left)
    y = retention * root
    y = y - basis @ (basis.T @ y)
    least = 1e-12 * np.maximum((own**2 * weights[:, None]).sum(axis=0), 1e-300)
    squares = np.maximum((left**2).sum(axis=0), least)
    slope = left.T @ y / squares
    residual = np.maximum((y**2).sum() - slope**2 * squares, 0.0)
    degrees = max(len(weights) - FITTED_TO_DATES, 1)
    return slope, np.maximum(np.sqrt(residual / degrees / squares), 1e-9)


def _orthonormal(columns: Floats) -> Floats:
    columns = columns / np.maximum(np.sqrt((columns**2).sum(axis=0)), 1e-300)
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, values > 1e-6 * values.max(initial=0.0)])


def _date_covariance(
    between: Floats, within: Floats, moving: Floats, together: Flags, response: Floats
) -> tuple[Floats, Floats]:
    """Covariance of the dates' own shifts of the actions, and (movements, movements) of the common ones.

    moving: (actions, movements), how each action follows each of them. Pairs out of a family give what is
    common; what an action or a family has beside it are shocks of its own. Their size is known badly, and an
    action that seems to have none would pass for a measure of the common movement without error: half of it
    is what is usual, in proportion to response, how far an action's mean answers to its rate.
    """
    actions, tides = moving.shape
    rows, columns = np.nonzero(np.triu(~together))
    pairs = [(one, other) for one in range(tides) for other in range(one, tides)]
    design = np.column_stack(
        [
            moving[rows, i] * moving[columns, j] + (moving[rows, j] * moving[columns, i] if i != j else 0)
            for i, j in pairs
        ]
    )
    fitted = np.linalg.lstsq(design, between[rows, columns], rcond=None)[0]
    common = np.zeros((tides, tides))
    for (i, j), value in zip(pairs, fitted, strict=True):
        common[i, j] = common[j, i] = value
    common = _positive(common, 0.0)
    model = moving @ common @ moving.T
    shifts = np.where(together, between, model)
    own = np.arange(actions)
    ratio = np.maximum(between[own, own] - model[own, own], 0.0) / np.maximum(response**2, 1e-12)
    ratio = (1 - SHARED_SHOCKS) * ratio + SHARED_SHOCKS * np.median(ratio)
    shifts[own, own] = model[own, own] + ratio * response**2
    return _positive((shifts + shifts.T) / 2, 1e-4 * float(np.diag(within).mean())), common


def _positive(matrix: Floats, least: float) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, least)) @ vectors.T)
