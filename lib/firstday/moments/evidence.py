"""Which action is a cause of retention and which only goes with it: one posterior over all explanations.

The users of one date (`within`) and the dates (`between`) are independent kinds of evidence; `families` says
which actions follow from one another. An explanation is one of: nothing but engagement; a trait on a family;
a twin, a trait that one action measures as a cause would, so that only dates can tell it from a cause; one
action as the cause, with or without a trait. What is said of each is its probability, given a share of apps
that have a cause.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from firstday.moments.between import between_dates
from firstday.moments.dates import DateProducts, Floats
from firstday.moments.families import Families, Timing, families
from firstday.moments.within import EFFECTS, Within, effect_prior, within_dates

FEWEST_ACTIONS = 4  # with fewer there is nothing to be out of proportion with
FEWEST_DATES = 3
LEAST_VARIANCE = 0.005  # of log(1 + count): about one user in a hundred did it; rarer actions can't be judged
CAUSE_SHARE = 0.5  # of apps
# Prior of a trait that drives retention too: for a family of two or more actions, for all of these together
# at most, and for a lone action. Half of it is a pattern over the family, half a twin of one action.
FAMILY_TRAIT = 0.12
MOST_FAMILY_TRAITS = 0.6
LONE_TRAIT = 0.01
PASSING_ON = 0.8  # of an action that leads to a cause: that pushing it brings the cause about
# Learned on invented apps, on which the posterior is too cautious in the middle: the power that makes it true
# (temperature scaling: Guo, Pleiss, Sun & Weinberger 2017), at CAUSE_SHARE.
SHARPENING = 1.5
# Where no factors measure engagement their misfit is larger than any that is averaged over: the power of the
# likelihood within dates (a tempered posterior: Grunwald & van Ommen 2017).
ANCHORLESS_POWER = 0.25


@dataclass(frozen=True)
class ActionEvidence:
    """Arrays are (actions,) unless said otherwise; an effect is a slope of retention on log(1 + count).

    observed, expected: covariance with retention and what the common factors explain of it. effect: expected
    a posteriori, if the action is the cause. effects, effect_weights: (effects,) and (actions, effects), the
    posterior of the effect. within_factor, trend_factor: Bayes factors of a cause against engagement alone,
    from within dates and what the dates multiply it by. trend_effect, trend_error: the slope between dates.
    p_cause: that the action is the cause, all traits considered; p_trait: of a trait and no cause; p_none:
    that nothing but engagement is at work; these add up to 1. p_works: that pushing the action works.
    """

    actions: tuple[str, ...]
    factors: int
    families: Families
    observed: Floats
    expected: Floats
    effect: Floats
    effects: Floats
    effect_weights: Floats
    within_factor: Floats
    trend_effect: Floats
    trend_error: Floats
    trend_factor: Floats
    p_cause: Floats
    p_trait: float
    p_none: float
    cause_share: float
    passing_on: float

    @property
    def p_works(self) -> Floats:
        """As a cause, or by leading to one."""
        return np.minimum(1.0, self.p_cause + self.passed_on @ self.p_cause)

    @property
    def passed_on(self) -> Floats:
        """(actions, actions) that pushing the first brings about the second, which it leads to."""
        lead = self.families.lead
        return self.passing_on * ((lead > 0) & (lead >= lead.T))

    def with_share(self, cause_share: float) -> "ActionEvidence":
        """The same with another prior share of apps with a cause."""
        old, new = (share / (1 - share) for share in (self.cause_share, cause_share))
        cause = self.p_cause * new / old
        total = cause.sum() + self.p_trait + self.p_none
        changed = (self.p_trait / total, self.p_none / total)
        return replace(
            self, p_cause=cause / total, p_trait=changed[0], p_none=changed[1], cause_share=cause_share
        )


def assess(
    data: DateProducts,
    timing: Timing | None = None,
    *,
    cause_share: float = CAUSE_SHARE,
    passing_on: float = PASSING_ON,
) -> ActionEvidence | None:
    """Evidence for each action that is not too rare; None where actions or dates are too few."""
    data = data.only(np.flatnonzero(np.diag(data.within())[:-1] >= LEAST_VARIANCE).tolist())
    if len(data.actions) < FEWEST_ACTIONS or data.dates < FEWEST_DATES:
        return None
    known = None if timing is None else timing.only(data.actions)
    related = families(data.within()[:-1, :-1], float(data.degrees_of_freedom.sum()), known)
    inside, dates = within_dates(data, related), between_dates(data, related)
    if related.anchorless:
        inside = inside.tempered(ANCHORLESS_POWER)
    factors = dates.log_factors(inside.scale)
    log_none, log_trait, by_effect = _joint(inside, factors, related)
    log_cause = logsumexp(by_effect, axis=1)
    # The odds of CAUSE_SHARE are in all of these.
    p_cause, p_none, p_trait = _posterior(
        log_cause + np.log(CAUSE_SHARE),
        log_none + np.log1p(-CAUSE_SHARE),
        log_trait + np.log1p(-CAUSE_SHARE),
        1.0 if related.anchorless else SHARPENING,
    )
    weights = np.exp(by_effect - log_cause[:, None])
    within_factor, trend_factor = _bayes_factors(inside, factors)
    return ActionEvidence(
        data.actions,
        inside.factors,
        related,
        inside.observed,
        inside.expected,
        weights @ EFFECTS * inside.scale,
        EFFECTS * inside.scale,
        weights,
        within_factor,
        dates.effect,
        dates.error,
        trend_factor,
        p_cause,
        p_trait,
        p_none,
        CAUSE_SHARE,
        passing_on,
    ).with_share(cause_share)


def _posterior(
    log_cause: Floats, log_none: float, log_trait: float, power: float
) -> tuple[Floats, float, float]:
    """P of each action as the cause, of nothing but engagement, and of a trait and no cause. Logs of prior
    times likelihood; the power is of each cause and of no cause.
    """
    log_free = np.logaddexp(log_none, log_trait)
    powered = power * np.append(log_cause, log_free)
    p = np.exp(powered - logsumexp(powered))
    none = float(p[-1] * np.exp(log_none - log_free))
    return p[:-1], none, float(p[-1]) - none


def _joint(inside: Within, date_factors: Floats, related: Families) -> tuple[float, float, Floats]:
    """Log of prior times likelihood, given no cause: of engagement alone and of all traits; given a cause:
    (actions, effects) of each action and effect. Prior weights add up to 1 within either.
    """
    sizes, actions = related.sizes, len(date_factors)
    trait = np.where(sizes > 1, FAMILY_TRAIT, LONE_TRAIT)
    if related.anchorless:  # all of them are in one
        trait = np.full(actions, MOST_FAMILY_TRAITS / actions)
    of_families = trait[sizes > 1].sum()
    if of_families > MOST_FAMILY_TRAITS:
        trait = np.where(sizes > 1, trait * MOST_FAMILY_TRAITS / of_families, trait)
    trait = trait / max(1.0, trait.sum() / 0.9)  # some of it is left for engagement alone
    misfits = np.log(inside.log_none.shape[1])
    log_none = logsumexp(inside.log_none, axis=1) - misfits  # (hypotheses,)
    log_effect = np.log(effect_prior())
    log_cause = logsumexp(inside.log_cause(), axis=1) - misfits  # (hypotheses, actions, effects)
    each_twin = (trait / 2)[related.number] * _twin_shares(related)
    pattern = np.log(trait / 2) + log_none[1:]
    twin = np.log(each_twin) + logsumexp(log_cause[0] + log_effect, axis=-1)
    # A cause's own twin is the cause: what is left of the traits' weight is no trait at all.
    without = 1 - trait.sum() / 2 - (each_twin.sum() - each_twin)
    with_trait = np.broadcast_to((trait / 2)[:, None], (len(trait), actions))
    weight = np.log(np.concatenate([without[None], with_trait]))
    with_twin = logsumexp(inside.log_cause_with_twin(each_twin), axis=0) - misfits
    cause = (
        np.logaddexp(logsumexp(weight[..., None] + log_cause, axis=0), with_twin) + log_effect + date_factors
    )
    return (
        float(np.log(1 - trait.sum()) + log_none[0]),
        float(logsumexp(np.concatenate([pattern, twin]))),
        cause - np.log(actions),
    )


def _twin_shares(related: Families) -> Floats:
    """(actions,) which member of its family measures a trait as a cause would: half of the time one that
    nothing leads to, as what people like shows in what they begin; else any.
    """
    led = ((related.lead > 0) & (related.lead >= related.lead.T) & related.together).any(axis=0)
    begins = np.bincount(related.number, ~led)[related.number]
    of_any = 1 / related.sizes[related.number]
    return np.where(begins > 0, of_any / 2 + ~led / np.maximum(begins, 1) / 2, of_any)


def _bayes_factors(inside: Within, date_factors: Floats) -> tuple[Floats, Floats]:
    """(actions,) of a cause against engagement alone, no trait considered, from within and between dates."""
    log_effect = np.log(effect_prior())
    by_effect = logsumexp(inside.log_cause()[0], axis=0) - logsumexp(inside.log_none[0]) + log_effect
    within = logsumexp(by_effect, axis=-1)
    both = logsumexp(by_effect + date_factors, axis=-1)
    return np.exp(np.clip(within, -50, 50)), np.exp(both - within)
