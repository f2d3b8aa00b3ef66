"""Interference: where what one unit gets changes what others do, clusters or blocks of time get an arm.

Where people share a pool (matched partners, drivers, a budget) a treated unit takes from the control or
brings it something, and a comparison of units counts that twice or hides it. So arms are given to clusters
that hardly touch one another (cities, schools), or the whole pool swaps arms from one block of time to the
next, at random (switchback; Bojinov, Simchi-Levi & Zhao 2023, Management Science 69). Then the cluster or
block is the unit of all statistics, however many people are in it: ten cities are ten draws.

Here a cluster comes as its totals: y, the sum of outcomes, and d, what it is a share of (people, impressions,
requests). The effect is the difference of the arms' y over d. For thousands of small clusters (households)
use `difference` with Sums in which a unit is a cluster; with few, or of very different size, use these.

What goes wrong:
- Few clusters: with 3 against 3 no result can be significant at 5 %, whatever happens: 20 assignments are
  possible, and 2 of them are as extreme. Have 4 against 4 at the very least, better ten or more.
- One cluster that is most of its arm: the interval is wide, and rightly so.
- In a switchback, what a block did lasts into the next one: make blocks longer than that lasts and leave the
  first part of each block out (wash-out). Else the effect is too small.
- Clusters that touch, blocks of one pool that were given arms by hand and not at random.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firstday.errors import DataError, SettingsError
from firstday.experiments.sums import Floats
from firstday.stats.estimate import Estimate, welch

ASSIGNED_BY = ("unit", "cluster", "switchback")


def interference_warning(*, shared_pool: bool, assigned_by: str) -> str | None:
    """What is wrong with the design of an experiment on units that share a pool, in a sentence; else None."""
    if assigned_by not in ASSIGNED_BY:
        raise SettingsError(
            f"an experiment assigns by {', '.join(ASSIGNED_BY)}",
            value=assigned_by,
            next_step="say what gets an arm as a whole",
        )
    if not shared_pool or assigned_by != "unit":
        return None
    return (
        "Units share a pool, but arms were given to single units: what the treated took, the control could "
        "not have, so the difference between the arms is not what would happen if everybody were treated, "
        "and may be displacement alone. Give arms to clusters that hardly touch, or switch the whole pool in "
        "blocks of time."
    )


def cluster_difference(
    y: npt.ArrayLike, d: npt.ArrayLike, treated: npt.ArrayLike, *, alpha: float = 0.05
) -> Estimate:
    """Treatment less control in y over d, with errors clustered by cluster; all (..., clusters).

    Standard errors are the leave-one-cluster-out jackknife (Bell & McCaffrey 2002, Survey Methodology 28;
    MacKinnon, Nielsen & Webb 2023, Journal of Applied Econometrics 38, call it CV3), each arm with its own,
    and t with Welch & Satterthwaite's degrees of freedom. In simulation with 3 to 40 clusters an arm, of
    equal to very different sizes, 4 to 7 % of experiments without an effect came out significant, 8 % with 3
    clusters against 15; the delta method had up to 13 % with clusters - 2 degrees, and 17 % with Welch's.
    With few clusters read `randomisation_test` beside it. Blocks may depend on one another (a rush hour, a
    storm) as long as each one's arm was drawn by itself; clusters that were drawn in pairs make this too
    wide.

    NaN where an arm has fewer than two clusters with d > 0.
    """
    y, d, arms = _checked(y, d, treated)
    (rate_t, variance_t, n_t), (rate_c, variance_c, n_c) = (_jackknife(y, d, arm) for arm in (arms, ~arms))
    variances, n = np.stack([variance_t, variance_c], axis=-1), np.stack([n_t, n_c], axis=-1)
    return welch(rate_t - rate_c, variances, n, alpha)


def _jackknife(y: Floats, d: Floats, arm: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """An arm's y over d, the variance of it, and its number of clusters; NaN with fewer than two."""
    within = arm & (d > 0)
    n = within.sum(-1).astype(float)
    n = np.where(n > 1, n, np.nan)
    own_y, own_d = np.where(within, y, 0.0), np.where(within, d, 0.0)
    whole = np.where(n > 1, own_d.sum(-1), np.nan)
    rate = own_y.sum(-1) / whole
    residual = np.where(within, own_y - rate[..., None] * own_d, 0.0)
    # By how much the rate moves when the cluster is left out.
    moves = residual / (whole[..., None] - own_d)
    return rate, (moves**2).sum(-1) * (n - 1) / n, n


@dataclass(frozen=True)
class Randomisation:
    """The difference with bounds and p-value from the assignment alone; standard_error and statistic are NaN.

    assignments: how many were looked at; exact: these are all there are. least_p_value: no outcome could
    have had a smaller one; where it is above alpha, bounds are -inf and inf.
    """

    effect: Estimate
    assignments: int
    exact: bool
    least_p_value: Floats


def randomisation_test(
    y: npt.ArrayLike,
    d: npt.ArrayLike,
    treated: npt.ArrayLike,
    *,
    draws: int = 10_000,
    seed: int = 0,
    alpha: float = 0.05,
) -> Randomisation:
    """Fisher's exact test: how often would chance alone, drawing arms anew, have made so large a difference?

    y, d, treated: (..., clusters), as many treated in each entry. If the treatment changes nothing, outcomes
    are what they are whoever is treated, so the difference under every other assignment is known. p_value
    is the share of assignments whose difference is at least as large, either way: exact with any number of
    clusters, of any size, and blocks that depend on one another (Fisher 1935; for switchback Bojinov,
    Simchi-Levi & Zhao 2023). Bounds are the effects, the same for all (y grows by effect × d where treated),
    that the same test does not reject.

    All assignments are looked at if there are at most `draws`, else that many are drawn, and the observed one
    is counted in (Phipson & Smyth 2010, Statistical Applications in Genetics and Molecular Biology 9).
    """
    y, d, arms = _checked(y, d, treated)
    drawn, exact = _assignments(arms, draws, seed)
    observed = _difference(y, d, (y * arms).sum(-1), (d * arms).sum(-1))
    as_drawn = _difference(y, d, y @ drawn.T, d @ drawn.T)
    carried = _difference(d * arms, d, (d * arms) @ drawn.T, d @ drawn.T)
    low, high = _as_extreme(observed[..., None], as_drawn, carried)
    if not exact:
        low = np.concatenate([low, np.full((*low.shape[:-1], 1), -np.inf)], axis=-1)
        high = np.concatenate([high, np.full((*high.shape[:-1], 1), np.inf)], axis=-1)
    rounding = 1e-9 * abs(observed)[..., None]
    p_value = ((low <= rounding) & (high >= -rounding)).mean(-1)
    # Of an effect above the observed one, p is the share of `high` that reach it; likewise below.
    place = math.floor(alpha * low.shape[-1] + 1e-9)
    lower, upper = np.sort(low, -1)[..., place], np.sort(high, -1)[..., -1 - place]
    unknown = np.full(observed.shape, np.nan)
    lower, upper, p_value = (
        np.where(np.isfinite(observed), part, np.nan) for part in (lower, upper, p_value)
    )
    return Randomisation(
        effect=Estimate(observed, lower, upper, unknown, unknown, p_value),
        assignments=drawn.shape[0],
        exact=exact,
        least_p_value=(np.isneginf(low) & np.isposinf(high)).mean(-1),
    )


def _difference(y: Floats, d: Floats, treated_y: Floats, treated_d: Floats) -> Floats:
    """Of y over d, treated less the others; one (...) or, with totals (..., assignments), one each."""
    more = (...,) + (None,) * (treated_y.ndim - y.ndim + 1)
    rest_y, rest_d = y.sum(-1)[more] - treated_y, d.sum(-1)[more] - treated_d
    # An arm without any denominator has no rate; subtraction leaves rounding in place of 0.
    least = 1e-9 * d.sum(-1)[more]
    treated_d, rest_d = (np.where(part > least, part, np.nan) for part in (treated_d, rest_d))
    return treated_y / treated_d - rest_y / rest_d


def _as_extreme(observed: Floats, drawn: Floats, carried: Floats) -> tuple[Floats, Floats]:
    """The effects under which a drawn assignment's difference is at least as large as the observed one.

    Under an effect e they would be |drawn - e carried| and |observed - e|: as |carried| <= 1 the first is the
    larger one in an interval around the observed difference. Where carried is 1 or -1 the assignment is the
    observed one or its mirror image: that is as extreme under every e. So is a difference that is undefined.
    """
    ends = []
    for sign in (1.0, -1.0):
        rest = 1 - sign * carried
        ends.append((observed - sign * drawn) / np.where(rest > 1e-9, rest, np.nan))
    always = np.isnan(ends[0]) | np.isnan(ends[1])
    low = np.where(always, -np.inf, np.minimum(ends[0], ends[1]))
    return low, np.where(always, np.inf, np.maximum(ends[0], ends[1]))


def _assignments(arms: npt.NDArray[np.bool_], draws: int, seed: int) -> tuple[npt.NDArray[np.bool_], bool]:
    """(assignments, clusters), as many treated in each as there were; whether these are all."""
    treated, clusters = arms.sum(-1), arms.shape[-1]
    if np.ptp(treated):
        raise DataError(
            "each entry has as many treated clusters",
            value=np.unique(treated).tolist(),
            next_step="test entries with different numbers one by one",
        )
    count = int(treated.max())
    if math.comb(clusters, count) <= draws:
        chosen = np.array(list(itertools.combinations(range(clusters), count)), dtype=int)
        drawn = np.zeros((len(chosen), clusters), dtype=bool)
        np.put_along_axis(drawn, chosen, True, axis=1)
        return drawn, True
    first = np.broadcast_to(np.arange(clusters) < count, (draws, clusters))
    return np.random.default_rng(seed).permuted(first, axis=1), False


def _checked(
    y: npt.ArrayLike, d: npt.ArrayLike, treated: npt.ArrayLike
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    y, d = np.asarray(y, dtype=float), np.asarray(d, dtype=float)
    y, d, arms = np.broadcast_arrays(y, d, np.asarray(treated))
    if not (np.isfinite(y).all() and np.isfinite(d).all() and (d >= 0).all()):
        raise DataError(
            "totals of clusters are finite, and their denominators at least 0",
            value=f"{int((~np.isfinite(y) | ~np.isfinite(d) | (d < 0)).sum())} that are not",
            next_step="look for infinite or missing values in the metric",
        )
    if not np.isin(arms, (0, 1)).all():
        raise SettingsError(
            "a cluster is treated (1) or is not (0)",
            value=np.unique(arms).tolist(),
            next_step="leave clusters without an arm out",
        )
    return y, d, arms.astype(bool)
