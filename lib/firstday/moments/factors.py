"""How strongly each action follows what all of them have in common: the hidden engagement.

Principal-axis factor analysis (Harman, Modern Factor Analysis, 3rd ed., ch. 8) of a small covariance matrix.
Pairs of actions that follow from one another have a covariance of their own, which the factors must not
explain: such pairs are left free (correlated uniquenesses: Marsh 1989).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOST_FACTORS = 3
ACTIONS_PER_FACTOR = 4
# Chi-square a degree of freedom above which one more factor is taken; sampling noise alone gives 1.
MISFIT_LIMIT = 3.2
HIGHEST_COMMUNALITY = 0.95  # keeps each action some noise of its own (a Heywood case has none)
NEAR = 1e-6  # change of a fitted correlation at which the iterations stop


def principal_axes(
    covariance: Floats,
    factors: int,
    free: Flags | None = None,
    *,
    start: Floats | None = None,
    iterations: int = 500,
    near: float = NEAR,
) -> Floats:
    """Loadings (..., actions, factors) so that covariance = loadings loadings' + what is free, nearly.

    covariance: (..., actions, actions), positive diagonal: one matrix or a stack. free: (actions, actions),
    pairs that the loadings need not explain; the diagonal always is. start: loadings to begin with. The units
    of the loadings are the actions'.
    """
    scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    correlation = covariance / (scale[..., :, None] * scale[..., None, :])
    actions = scale.shape[-1]
    diagonal = np.eye(actions, dtype=bool)
    apart = np.zeros_like(diagonal) if free is None else free & ~diagonal
    if start is None:
        # The squared multiple correlation, the usual start; a little is added so that twins can be inverted.
        inverse = np.linalg.inv(correlation + 1e-6 * np.eye(actions))
        communality = np.clip(1 - 1 / np.diagonal(inverse, axis1=-2, axis2=-1), 0.001, HIGHEST_COMMUNALITY)
        fitted = np.zeros_like(correlation)
        fitted[..., diagonal] = communality
    else:
        fitted = _fitted(np.broadcast_to(start / scale[..., None], (*scale.shape, factors)))
    kept = ~(apart | diagonal)
    loadings = np.zeros((*scale.shape, factors))
    for _ in range(iterations):
        values, vectors = np.linalg.eigh(np.where(kept, correlation, fitted))
        loadings = vectors[..., -factors:] * np.sqrt(np.maximum(values[..., None, -factors:], 1e-9))
        updated = _fitted(loadings)
        change = np.abs(updated - fitted)[..., ~kept].max()
        fitted = updated
        if change < near:
            break
    return np.asarray(loadings * scale[..., None])


def _fitted(loadings: Floats) -> Floats:
    """Correlations that the loadings explain; each action keeps some noise of its own."""
    fitted = loadings @ np.swapaxes(loadings, -1, -2)
    own = np.arange(fitted.shape[-1])
    fitted[..., own, own] = np.clip(fitted[..., own, own], 0.001, HIGHEST_COMMUNALITY)
    return np.asarray(fitted)


def engagement_loadings(
    covariance: Floats, free: Flags | None = None, *, start: Floats | None = None, iterations: int = 500
) -> Floats:
    """Loadings (..., actions) on one factor, signed so that most actions rise with it."""
    start = None if start is None else start[:, None]
    loadings = principal_axes(covariance, 1, free, start=start, iterations=iterations)[..., 0]
    sign = np.where(loadings.sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
    return np.asarray(loadings * sign)


def residual_correlation(covariance: Floats, free: Flags | None = None) -> Floats:
    """Correlations less what one factor explains, (actions, actions), 0 on the diagonal."""
    loadings = engagement_loadings(covariance, free)
    scale = np.sqrt(np.diag(covariance))
    residual = (covariance - np.outer(loadings, loadings)) / np.outer(scale, scale)
    np.fill_diagonal(residual, 0.0)
    return np.asarray(residual)


def number_of_factors(
    covariance: Floats, users: float, free: Flags | None = None, most: int | None = None
) -> int:
    """The fewest factors that leave residual correlations near their sampling noise.

    More than one is needed where actions measure more than one thing, and where they follow the same
    engagement along different curves. Never so many that an action could have a factor to itself: at most one
    for ACTIONS_PER_FACTOR actions, or `most`.
    """
    actions = len(covariance)
    limit = max(1, min(MOST_FACTORS, actions // ACTIONS_PER_FACTOR if most is None else most))
    for factors in range(1, limit):
        if _misfit(covariance, principal_axes(covariance, factors, free), users, free) < MISFIT_LIMIT:
            return factors
    return limit


def unexplained(covariance: Floats, loadings: Floats, free: Flags) -> float:
    """Root mean square of the correlations that the loadings leave, divided by that of those they explain,
    over pairs that are not free: how far, in proportion, what they say of another variable may be wrong.
    """
    actions, factors = loadings.shape
    scale = np.sqrt(np.diag(covariance))
    explained = loadings @ loadings.T / np.outer(scale, scale)
    left = covariance / np.outer(scale, scale) - explained
    pairs = np.triu(~free, 1)
    degrees = pairs.sum() - factors * actions + factors * (factors - 1) / 2
    if degrees <= 0:
        return np.inf
    return float(np.sqrt((left[pairs] ** 2).sum() / degrees / max((explained[pairs] ** 2).mean(), 1e-12)))


def _misfit(covariance: Floats, loadings: Floats, users: float, free: Flags | None) -> float:
    """Sum of squared residual correlations in units of their sampling variance, a degree of freedom."""
    actions, factors = loadings.shape
    scale = np.sqrt(np.diag(covariance))
    residual = (covariance - loadings @ loadings.T) / np.outer(scale, scale)
    pairs = np.triu(np.ones((actions, actions), dtype=bool), 1)
    if free is not None:
        pairs &= ~free
    degrees = pairs.sum() - factors * actions + factors * (factors - 1) / 2
    return float(users * (residual[pairs] ** 2).sum() / max(degrees, 1.0))
