"""How strongly each action follows what all of them have in common: the hidden engagement.

Principal-axis factor analysis (Harman, Modern Factor Analysis, 3rd ed., ch. 8) of a small covariance matrix.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_FACTORS = 3
ACTIONS_PER_FACTOR = 4
# Chi-square a degree of freedom above which one more factor is taken; sampling noise alone gives 1.
MISFIT_LIMIT = 3.2
HIGHEST_COMMUNALITY = 0.95  # keeps each action some noise of its own (a Heywood case has none)


def principal_axes(covariance: Floats, factors: int, iterations: int = 500) -> Floats:
    """Loadings (actions x factors) so that covariance = loadings loadings' + a diagonal, nearly.

    covariance: (actions, actions), positive diagonal. The units of the loadings are the actions'.
    """
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    # The squared multiple correlation, the usual start; a little is added so that twins can be inverted.
    inverse = np.linalg.inv(correlation + 1e-6 * np.eye(len(scale)))
    communality = np.clip(1 - 1 / np.diag(inverse), 0.001, HIGHEST_COMMUNALITY)
    loadings = np.zeros((len(scale), factors))
    for _ in range(iterations):
        reduced = correlation.copy()
        np.fill_diagonal(reduced, communality)
        values, vectors = np.linalg.eigh(reduced)
        loadings = vectors[:, -factors:] * np.sqrt(np.maximum(values[-factors:], 1e-9))
        updated = np.clip((loadings**2).sum(axis=1), 0.001, HIGHEST_COMMUNALITY)
        if np.abs(updated - communality).max() < 1e-6:
            break
        communality = updated
    return np.asarray(loadings * scale[:, None])


def engagement_loadings(covariance: Floats) -> Floats:
    """Loadings (actions,) on one factor, signed so that most actions rise with it."""
    loadings = principal_axes(covariance, 1)[:, 0]
    return np.asarray(loadings * (np.sign(loadings.sum()) or 1.0))


def number_of_factors(covariance: Floats, users: float) -> int:
    """The fewest factors that leave residual correlations near their sampling noise.

    More than one is needed where actions measure more than one thing, and where they follow the same
    engagement along different curves. Never so many that an action could have a factor to itself.
    """
    actions = len(covariance)
    most = max(1, min(MOST_FACTORS, actions // ACTIONS_PER_FACTOR))
    for factors in range(1, most):
        if _misfit(covariance, principal_axes(covariance, factors), users) < MISFIT_LIMIT:
            return factors
    return most


def _misfit(covariance: Floats, loadings: Floats, users: float) -> float:
    """Sum of squared residual correlations in units of their sampling variance, a degree of freedom."""
    actions, factors = loadings.shape
    scale = np.sqrt(np.diag(covariance))
    residual = (covariance - loadings @ loadings.T) / np.outer(scale, scale)
    freedom = ((actions - factors) ** 2 - (actions + factors)) / 2
    squares = residual[np.triu_indices(actions, 1)] ** 2
    return float(users * squares.sum() / max(freedom, 1.0))
