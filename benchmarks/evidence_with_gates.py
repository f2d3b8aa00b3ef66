"""The evidence as it was up to November 2026, with gates, kept to compare with: which action is a cause.

Two independent kinds of evidence, for each action:

* Within dates. Engagement drives all actions and retention, so every action is tied to retention in
  proportion to how well it measures engagement. A cause has a tie of its own on top. The ties that the common
  factors explain are fitted to all actions; the cause is the one that stands out (a vanishing-covariance
  argument: Spearman 1904; Bollen & Ting 1993; with one effect of an action on the outcome, Joreskog &
  Goldberger's MIMIC model 1975). It is fooled by a second hidden cause that only one action measures.
* Between dates. On some dates an action rises by itself: a changed button, a campaign for it. Such shocks are
  instruments (Wald 1940): retention must rise with them by as much as the first kind of evidence says, once
  the common movement of all other actions is held. Hidden causes that do not change from date to date cannot
  fool it.

Odds join the two: each is bounded, so that neither alone can carry what the other contradicts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from firstday.moments.dates import DateProducts, Floats
from firstday.moments.factors import engagement_loadings, number_of_factors, principal_axes

MOST_P, LEAST_ODDS = 0.1, 10.0
FEWEST_ACTIONS = 4  # with fewer there is nothing to be out of proportion with
FEWEST_DATES = 3
LEAST_VARIANCE = 0.005  # of log(1 + count): about one user in a hundred did it; rarer actions can't be judged
MOST_ODDS = 50.0  # what one kind of evidence may count for at most
LEAST_TREND_ODDS = 1 / 150
# The between-date effect is expected within this range of the within-date one.
EXPECTED_RANGE = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class ActionEvidence:
    """All arrays are (actions,). A tie is a covariance with retention, an effect a slope of it, on
    log(1 + count).

    observed, expected: the tie with retention and what the common factors explain of it. effect: the slope
    left over. proportion_t, proportion_p: its t statistic and p-value, times the number of actions
    (Bonferroni). trend_effect, trend_error: the slope between dates and its standard error. odds: of a cause,
    joined.
    """

    actions: tuple[str, ...]
    factors: int
    observed: Floats
    expected: Floats
    effect: Floats
    proportion_t: Floats
    proportion_p: Floats
    proportion_odds: Floats
    trend_effect: Floats
    trend_error: Floats
    trend_odds: Floats

    @property
    def odds(self) -> Floats:
        return np.asarray(self.proportion_odds * self.trend_odds)


def assess(data: DateProducts) -> ActionEvidence | None:
    """Evidence for each action that is not too rare; None where actions or dates are too few to tell."""
    data = data.only(np.flatnonzero(np.diag(data.within())[:-1] >= LEAST_VARIANCE).tolist())
    if len(data.actions) < FEWEST_ACTIONS or data.dates < FEWEST_DATES:
        return None
    within = data.within()
    covariance, tie = within[:-1, :-1], within[:-1, -1]
    factors = number_of_factors(covariance, data.degrees_of_freedom.sum())
    loadings = principal_axes(covariance, factors)
    error = _tie_error(data, tie, loadings)
    companions = _companions(data, covariance, loadings)
    effect, t = _stands_out(tie, covariance, companions, error)
    p = np.minimum(len(tie) * stats.t.sf(t, 2 * _freedom(companions)), 1.0)
    trend_effect, trend_error = _jackknife(data, lambda part: _between_effect(part, within))
    return ActionEvidence(
        data.actions,
        factors,
        tie,
        companions @ _fit(companions, tie, error),
        effect,
        t,
        p,
        proportion_odds(p),
        trend_effect,
        trend_error,
        trend_odds(trend_effect, trend_error, effect, data.dates),
    )


def proportion_odds(p: Floats) -> Floats:
    """Odds that a p-value can give at most: 1 / (-e p ln p) (Sellke, Bayarri & Berger 2001), bounded."""
    p = np.clip(p, 1e-12, 1 / np.e)
    return np.asarray(np.minimum(1 / (-np.e * p * np.log(p)), MOST_ODDS))


def trend_odds(estimate: Floats, error: Floats, expected: Floats, dates: int) -> Floats:
    """Likelihood of the between-date estimate if the action has the expected effect, against none, bounded.

    Near 1 where the dates cannot tell; all arrays (actions,).
    """
    error = np.maximum(error, 1e-9)
    freedom = max(dates - 3, 1)
    none = stats.t.logpdf(estimate / error, freedom)
    some = [stats.t.pdf((estimate - m * np.maximum(expected, 0)) / error, freedom) for m in EXPECTED_RANGE]
    ratio = np.log(np.maximum(np.mean(some, axis=0), 1e-300)) - none
    return np.exp(np.clip(ratio, np.log(LEAST_TREND_ODDS), np.log(MOST_ODDS)))


def _fit(columns: Floats, tie: Floats, error: Floats) -> Floats:
    weight = 1 / error
    return np.asarray(np.linalg.lstsq(columns * weight[:, None], tie * weight, rcond=None)[0])


def _companions(data: DateProducts, covariance: Floats, loadings: Floats) -> Floats:
    """What the ties of mere companions are made of, (actions, factors + 1): the factors, and engagement times
    how often an action is done.

    Actions that are done more often follow engagement along another curve, and retention has a curve of its
    own: where it saturates, the tie falls, for the same loading, with how often an action is done.
    """
    return np.column_stack([loadings, engagement_loadings(covariance) * data.mean[:-1]])


def _freedom(companions: Floats) -> int:
    """Actions less what is fitted to them: the companions' slopes and one action's."""
    actions, columns = companions.shape
    return actions - columns - 1


def _tie_error(data: DateProducts, tie: Floats, loadings: Floats) -> Floats:
    """Standard error of each tie less what the factors explain of it, (actions,).

    Both ties and loadings are estimated: jackknife over dates, the slopes on the factors held (with slopes
    fitted anew, each action would draw the fit to itself and look surer than it is). Loadings are turned to
    match those of all dates (orthogonal Procrustes: Schoenemann 1966).
    """
    error = _jackknife(data, lambda part: part.within()[:-1, -1])[1]
    turned = np.array([_turned(data.without(date), loadings) for date in range(data.dates)])
    ties = np.array([data.without(date).within()[:-1, -1] for date in range(data.dates)])
    for _ in range(2):  # the slopes depend on the errors, a little
        error = _spread(ties - turned @ _fit(loadings, tie, error))
    return error


def _turned(data: DateProducts, onto: Floats) -> Floats:
    loadings = principal_axes(data.within()[:-1, :-1], onto.shape[1], iterations=100)
    left, _, right = np.linalg.svd(loadings.T @ onto)
    return np.asarray(loadings @ left @ right)


def _stands_out(tie: Floats, covariance: Floats, companions: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Slope and t of each action as the only cause beside its companions, in turn.

    The others' misfit is the yardstick: how far from proportion a mere companion can be. As they are few, it
    is averaged with what sampling alone gives, 1, with equal weight, which doubles the degrees of freedom (a
    moderated t: Smyth 2004).
    """
    without = (((tie - companions @ _fit(companions, tie, error)) / error) ** 2).sum()
    freedom = _freedom(companions)
    effect, t = np.zeros(len(tie)), np.zeros(len(tie))
    for action in range(len(tie)):
        columns = np.column_stack([companions, covariance[:, action]])
        slopes = _fit(columns, tie, error)
        misfit = (((tie - columns @ slopes) / error) ** 2).sum()
        scale = (freedom + misfit) / (2 * freedom)
        effect[action] = slopes[-1]
        t[action] = np.sign(slopes[-1]) * np.sqrt(max(without - misfit, 0.0) / scale)
    return effect, t


def _between_effect(data: DateProducts, within: Floats) -> Floats:
    """Slope of retention on each action over dates, the common movement of the other actions held.

    The common movement is measured by the other actions, each weighed by how much of it follows engagement.
    Their own shocks are error in that measure and would leave part of it uncontrolled (attenuation), so its
    variance is taken from the covariances between different actions only (errors in variables: Fuller 1987).
    """
    between = data.between()
    actions_between, with_retention = between[:-1, :-1], between[:-1, -1]
    variance = np.diag(within)[:-1]
    loadings = np.maximum(engagement_loadings(within[:-1, :-1]), 0)
    effect = np.zeros(len(variance))
    for action in range(len(variance)):
        others = loadings / variance
        others[action] = 0.0
        common = max(_common_variance(actions_between, others, others * loadings), 1e-9)
        with_common = actions_between[action] @ others
        covariance = with_retention[action] - with_common * (others @ with_retention) / common
        own = actions_between[action, action] - with_common**2 / common
        # Where the action has no shocks of its own, the slope is not identified: bounded away from 0 / 0.
        least = max(1e-3 * variance[action], 0.1 * actions_between[action, action])
        effect[action] = covariance / max(own, least)
    return effect


def _common_variance(between: Floats, weights: Floats, shares: Floats) -> float:
    """Variance over dates of what the weighted actions have in common, without their own shocks.

    shares: weights times loadings, in proportion to which the common movement enters. At least half of the
    plain variance: where less of it is common, there is hardly a common movement to hold.
    """
    plain = weights @ between @ weights
    across = plain - weights**2 @ np.diag(between)
    all_pairs, same = shares.sum() ** 2, (shares**2).sum()
    return float(max(across * all_pairs / max(all_pairs - same, 1e-12), 0.5 * plain))


def _jackknife(data: DateProducts, estimate: Callable[[DateProducts], Floats]) -> tuple[Floats, Floats]:
    """Estimate and its standard error from leaving out a date at a time."""
    left_out = np.array([estimate(data.without(date)) for date in range(data.dates)])
    return estimate(data), _spread(left_out)


def _spread(left_out: Floats) -> Floats:
    """Jackknife standard error from the estimates without each date, (dates, ...) (Efron & Stein 1981)."""
    dates = len(left_out)
    squares = ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
    return np.maximum(np.sqrt((dates - 1) / dates * squares), 1e-12)


def named(found: ActionEvidence) -> int | None:
    """The action that the gates let through, by its position in the evidence."""
    convincing = (found.proportion_p <= MOST_P) & (found.odds >= LEAST_ODDS)
    return int(np.where(convincing, found.odds, 0).argmax()) if convincing.any() else None
