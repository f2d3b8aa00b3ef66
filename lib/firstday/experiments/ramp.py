"""Ramp-up: the treated share grows by stages (1, 5, 25, 50 %), while everything else moves too.

A plain difference over the whole ramp compares late days of the treated with early days of the control: the
treated are few at first and many at the end, so whatever moves everybody (a holiday, an update) is taken for
the effect; this is Simpson's paradox (Kohavi, Tang & Xu 2020, Trustworthy Online Controlled Experiments,
ch. 3 and 15; Crook, Frasca, Kohavi & Longbotham 2009, KDD). So treated and control are compared inside each
stage, and the stages' differences are averaged.

The weights are the effective numbers n_t n_c / (n_t + n_c) of treated and control units. They come from the
plan, not from the outcomes: an average weighted by estimated errors leans towards stages that chance made
quiet. For a mean with everybody in every stage this is least squares on treatment and stages. There are no
effects of groups in it as in a crossover: groups are drawn at random, and comparing a group with its own past
would also take those treated long ago as the control of those treated now, which misleads when an effect
grows (Goodman-Bacon 2021, Journal of Econometrics 225).

One unit is in many stages, first as control and then treated: errors are clustered by unit, across stages.

What goes wrong:
- The effect may not be the same in every stage: it wears off or builds up, or (in a shared pool) it depends
  on how many are treated. The estimate then is the average with the weights given, and
  `same_effect_p_value` is small: read the stages instead.
- A stage of which all or none are treated has no comparison and weighs nothing.
- Units that are in some stages only, because the treatment drove them away, bias this like any comparison.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from firstday.errors import SettingsError
from firstday.experiments.panels import PanelSums, checked_arms
from firstday.experiments.sums import Floats
from firstday.stats.estimate import Estimate, welch


@dataclass(frozen=True)
class Ramp:
    """The effect over the whole ramp, (...), and what it is made of by stage, (..., stages): the ramp plot.

    share: of the stage's units that are treated. treatment_rate, control_rate: outcome over denominator of
    all that were in the arm then. difference: of the rates, each stage by itself. weights add up to 1.
    same_effect_p_value: Wald's test of the same difference in all stages, (...); NaN with fewer than two.
    """

    effect: Estimate
    same_effect_p_value: Floats
    share: Floats
    treatment_rate: Floats
    control_rate: Floats
    difference: Estimate
    weights: Floats


def ramp(sums: PanelSums, treated: npt.ArrayLike, *, alpha: float = 0.05) -> Ramp:
    """The stage-weighted difference of treated and control, with errors clustered by unit.

    sums: a group is all units that switch at the same stage, one group never; periods are the stages.
    Units that joined on the way form groups of their own, with zeros in the stages before. treated:
    (groups, stages) of 0 and 1, and what is 1 stays 1. A mean and a ratio alike: rates are ratios of an arm's
    totals in a stage, linearised by the delta method (Deng, Knoblich & Lu 2018, KDD). Intervals are Welch's
    t, each group with its own variance: a first stage of twenty treated units is given a wide one.

    Raises SettingsError where the treated do not stay treated, or where no stage has both arms; DataError for
    sums that are not finite. Entries without a unit in both arms of some stage are NaN.
    """
    arms = checked_arms(treated, sums)
    _check_ramp(arms, sums.present)
    n = np.where(sums.seen, sums.n[..., None], 0.0)
    n_treated, n_control = (n * arms).sum(-2), (n * ~arms).sum(-2)
    n_both = n_treated + n_control
    effective = n_treated * n_control / np.maximum(n_both, 1.0)
    whole = effective.sum(-1, keepdims=True)
    weights = effective / np.where(whole > 0, whole, np.nan)
    treatment_rate, control_rate = _rate(sums, arms), _rate(sums, ~arms)
    difference = treatment_rate - control_rate
    by_group = _group_covariances(sums, arms, treatment_rate, control_rate)
    of_stages = np.swapaxes(np.diagonal(by_group, axis1=-2, axis2=-1), -1, -2)
    of_effect = np.einsum("...p,...gpq,...q->...g", weights, by_group, weights)
    # Stages without a comparison weigh nothing; NaN times 0 would be NaN.
    known = np.nan_to_num(difference)
    return Ramp(
        effect=welch((weights * known).sum(-1), np.maximum(of_effect, 0.0), sums.n, alpha),
        same_effect_p_value=_same_effect(known, by_group.sum(-3), effective > 0),
        share=n_treated / np.where(n_both > 0, n_both, np.nan),
        treatment_rate=treatment_rate + sums.centre,
        control_rate=control_rate + sums.centre,
        difference=welch(difference, np.maximum(of_stages, 0.0), sums.n[..., None, :], alpha),
        weights=weights,
    )


def _check_ramp(arms: npt.NDArray[np.bool_], present: npt.NDArray[np.bool_]) -> None:
    treated_until = np.maximum.accumulate(arms & present, axis=1)
    if (treated_until & ~arms & present).any():
        raise SettingsError(
            "in a ramp the treated stay treated",
            value=arms.astype(int).tolist(),
            next_step="order the stages by time, or measure it as a crossover",
        )
    if not (arms.any(0) & ~arms.all(0)).any():
        raise SettingsError(
            "at least one stage of a ramp has both treated and control units",
            value=arms.astype(int).tolist(),
            next_step="keep a control group until the effect is measured",
        )


def _rate(sums: PanelSums, arm: npt.NDArray[np.bool_]) -> Floats:
    """Outcome over denominator of an arm by stage, less the centre; NaN where the arm has nobody."""
    of_arm = arm & sums.seen
    d = (sums.d * of_arm).sum(-2)
    return (sums.y * of_arm).sum(-2) / np.where(d > 0, d, np.nan)


def _group_covariances(
    sums: PanelSums, arms: npt.NDArray[np.bool_], treatment_rate: Floats, control_rate: Floats
) -> Floats:
    """What each group adds to the covariance of the stages' differences: (..., groups, stages, stages)."""
    rates = np.nan_to_num(np.where(arms, treatment_rate[..., None, :], control_rate[..., None, :]))
    treated_d = (sums.d * (arms & sums.seen)).sum(-2, keepdims=True)
    control_d = (sums.d * (~arms & sums.seen)).sum(-2, keepdims=True)
    compared = sums.seen & (treated_d > 0) & (control_d > 0)
    own = np.where(arms, treated_d, -control_d)
    scale = 1 / np.where(compared, own, np.inf)
    return np.einsum("...gp,...gpq,...gq->...gpq", scale, sums.residual_products(rates), scale)


def _same_effect(difference: Floats, covariance: Floats, compared: npt.NDArray[np.bool_]) -> Floats:
    """Wald's chi-square: distance of the differences from their best common value, by the covariance."""
    pair = compared[..., :, None] & compared[..., None, :]
    # pinv leaves out stages without a comparison, whose rows are 0.
    inverse = np.linalg.pinv(np.where(pair, covariance, 0.0), rcond=1e-10, hermitian=True)
    precision = inverse.sum((-2, -1))
    common = np.einsum("...pq,...q->...", inverse, difference) / np.where(precision > 0, precision, np.nan)
    apart = np.where(compared, difference - common[..., None], 0.0)
    statistic = np.einsum("...p,...pq,...q->...", apart, inverse, apart)
    degrees = compared.sum(-1) - 1
    return np.where(degrees > 0, chi2.sf(statistic, np.maximum(degrees, 1)), np.nan)
