"""Evidence within dates: which covariance with retention is more than engagement explains.

Engagement drives all actions and retention, so every action's covariance with retention is in proportion to
how well it measures engagement. A cause has one of its own on top, and so has, less, what goes with it: its
own column of the covariance matrix (a vanishing-covariance argument: Spearman 1904; Bollen & Ting 1993;
with one effect on the outcome, Joreskog & Goldberger's MIMIC model 1975). A trait, a taste that drives some
actions and retention, adds to a whole family.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr, logsumexp

from firstday.moments.dates import DateProducts
from firstday.moments.factors import Floats, engagement_loadings, principal_axes
from firstday.moments.families import Families, common_loadings
from firstday.stats.jackknife import jackknife_error

# How far the covariance of an action that is a mere proxy may be from what the factors explain, as a share of
# that (and of a quarter of the usual one); which, is not known, so all count equally.
MISFITS = (0.01, 0.03, 0.06, 0.12, 0.25)
TRAIT = 0.25  # standard deviation of what a trait adds, in retention's variance times an action's deviation
TRAIT_SHARED = 0.8  # share of that variance that the family's actions have in common
EFFECTS = np.geomspace(0.05, 2.2, 40)  # of the cause, on the logit, for each unit of log(1 + count)
EFFECT_SCALE = 0.7  # of the half-normal prior of the effect
SAMPLING_SHARE = 0.75  # of the sampling correlation that theory gives; the rest is seen from date to date
JACKKNIFE_ITERATIONS = 40
LEAST_ERROR = 1e-12  # to divide by


def effect_prior() -> Floats:
    """(effects,) prior probability of each of EFFECTS: half-normal; the grid is even in the logarithm."""
    density = EFFECTS * np.exp(-0.5 * (EFFECTS / EFFECT_SCALE) ** 2)
    return np.asarray(density / density.sum())


@dataclass(frozen=True)
class Within:
    """k actions, h hypotheses on a trait (none first, then one on each family), m MISFITS, e EFFECTS.

    observed, expected: (k,) covariance with retention, and what the factors explain of it. error: (k,) its
    standard error. scale: the unit of EFFECTS as slopes of retention, its variance. log_none: (h, m) log
    likelihood of no cause. slope, curvature: (h, m, k), so that that of cause j with effect b, as a slope of
    retention, is log_none + b slope - b² curvature / 2. crossed: (m, k, k), without a trait, how far effects
    of two actions add to each other's curvature.
    """

    factors: int
    observed: Floats
    expected: Floats
    error: Floats
    scale: float
    log_none: Floats
    slope: Floats
    curvature: Floats
    crossed: Floats

    def tempered(self, power: float) -> "Within":
        """The same with likelihoods to this power."""
        names = ("log_none", "slope", "curvature", "crossed")
        return replace(self, **{name: power * getattr(self, name) for name in names})

    def log_cause(self) -> Floats:
        """(h, m, k, e) log likelihood of each action as the cause, by its effect."""
        effect = EFFECTS * self.scale
        return np.asarray(
            self.log_none[..., None, None]
            + self.slope[..., None] * effect
            - 0.5 * self.curvature[..., None] * effect**2
        )

    def log_cause_with_twin(self, twin: Floats) -> Floats:
        """(m, k, e) the same where another action is, with probability twin (k,), the only measure of a trait
        that passes it on as a cause would: the other's effect has the same prior and is integrated out.
        """
        effect = EFFECTS * self.scale
        others = twin * ~np.eye(len(twin), dtype=bool)
        # Of a half-normal prior and a quadratic log likelihood a normal integral is left.
        precision = self.curvature[0] + (EFFECT_SCALE * self.scale) ** -2
        slope = self.slope[0][:, None, None] - effect[:, None] * self.crossed[:, :, None]
        deviation = 1 / np.sqrt(precision)
        z = slope * deviation[:, None, None]
        log_twin = (
            np.log(2 * deviation / (EFFECT_SCALE * self.scale))[:, None, None] + 0.5 * z**2 + log_ndtr(z)
        )
        weighed = logsumexp(log_twin, axis=-1, b=np.broadcast_to(others[None, :, None], log_twin.shape))
        return np.asarray(self.log_cause()[0] + weighed)


def within_dates(data: DateProducts, families: Families) -> Within:
    """Fit what the factors explain, and weigh each hypothesis on the rest."""
    both = data.within()
    covariance, observed = both[:-1, :-1], both[:-1, -1]
    actions, together = len(observed), families.together
    sizes = families.sizes
    users = float(data.degrees_of_freedom.sum())
    loadings = common_loadings(covariance, users, families)
    frequency = engagement_loadings(covariance, together) * data.mean[:-1]
    # Actions that are done more often follow engagement along another curve, and retention has a curve of its
    # own: where it saturates, the covariance falls, for the same loading, with how often an action is done.
    proxies = np.column_stack([loadings, frequency])
    left_out = data.within_left_out()
    turned = _turned(left_out[:, :-1, :-1], loadings, families)
    observed_left_out = left_out[:, :-1, -1]
    error = np.maximum(jackknife_error(observed_left_out), LEAST_ERROR)
    for _ in range(2):  # the slopes depend on the errors, a little
        slopes = _fit(loadings, observed, error)
        residual = observed_left_out - turned @ slopes
        error = np.maximum(jackknife_error(residual), LEAST_ERROR)
    deviations = residual - residual.mean(axis=0)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    # From few dates alone correlations of errors cannot be estimated: most of it is what theory gives.
    directions = deviations / np.maximum(np.sqrt((deviations**2).sum(axis=0)), 1e-300)
    sampling = SAMPLING_SHARE * correlation + (1 - SAMPLING_SHARE) * (directions.T @ directions)
    np.fill_diagonal(sampling, 1.0)
    sampling = sampling * np.outer(error, error)
    expected = proxies @ _fit(proxies, observed, error)
    rough = np.abs(expected) + 0.25 * np.median(np.abs(expected))
    retained = float(np.clip(data.mean[-1], 0.0, 1.0))
    scale = max(retained * (1 - retained), 1e-9)
    # Hypotheses: no trait, or one on each family.
    traits = np.zeros((1 + len(sizes), actions, actions))
    shared = np.where(np.eye(actions, dtype=bool), 1.0, TRAIT_SHARED)
    for family in range(len(sizes)):
        of_it = np.where(families.number == family, deviation, 0.0)
        traits[1 + family] = (TRAIT * scale) ** 2 * np.outer(of_it, of_it) * shared
    misfit = np.array(MISFITS)[:, None, None] ** 2 * np.diag(rough**2)
    covariances = sampling + misfit + traits[:, None]
    inverse = np.linalg.inv(covariances)
    inverse_x = inverse @ proxies
    normal = proxies.T @ inverse_x
    kernel = inverse - inverse_x @ np.linalg.solve(normal, np.swapaxes(inverse_x, -1, -2))
    log_none = -0.5 * (
        np.linalg.slogdet(covariances)[1]
        + np.linalg.slogdet(normal)[1]
        + np.einsum("i,hmij,j->hm", observed, kernel, observed)
    )
    kernel_s = kernel @ covariance
    return Within(
        loadings.shape[1],
        observed,
        expected,
        error,
        scale,
        log_none,
        np.einsum("i,hmij->hmj", observed, kernel_s),
        np.einsum("ij,hmij->hmj", covariance, kernel_s),
        covariance @ kernel_s[0],
    )


def _fit(columns: Floats, observed: Floats, error: Floats) -> Floats:
    weight = 1 / error
    return np.asarray(np.linalg.lstsq(columns * weight[:, None], observed * weight, rcond=None)[0])


def _turned(covariances: Floats, onto: Floats, families: Families) -> Floats:
    """Loadings of each of a stack of covariances, turned to match `onto` (Procrustes: Schoenemann 1966)."""
    loadings = principal_axes(
        covariances, onto.shape[1], families.together, start=onto, iterations=JACKKNIFE_ITERATIONS
    )
    left, _, right = np.linalg.svd(np.swapaxes(loadings, -1, -2) @ onto)
    return np.asarray(loadings @ left @ right)
