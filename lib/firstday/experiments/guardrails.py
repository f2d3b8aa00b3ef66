"""Guardrails: metrics that the treatment need not improve, but must not harm by more than a margin."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from firstday.errors import SettingsError
from firstday.experiments.sums import Floats
from firstday.stats.estimate import Estimate

HARMED, NOT_HARMED, CANNOT_TELL = "harmed", "not harmed", "cannot tell"


@dataclass(frozen=True)
class Guardrail:
    """worst, best: the effect's bounds, turned so that below 0 is harm. p_value: one-sided, of a harm of
    the margin or more. verdict: one of 'harmed', 'not harmed', 'cannot tell'.
    """

    worst: Floats
    best: Floats
    p_value: Floats
    verdict: npt.NDArray[np.str_]


def non_inferior(
    effect: Estimate, margin: Floats | float, *, lower_is_better: npt.NDArray[np.bool_] | bool = False
) -> Guardrail:
    """Whether the effect is above -margin, from its own bounds (design: Piaggio et al. 2012, JAMA 308).

    - not harmed: even the worst bound is a smaller harm than the margin.
    - harmed: even the best bound is below 0, and a harm of the margin or more is not excluded.
    - cannot tell: anything else, NaN included. No proof of harm is no proof of none; more units decide.

    The effect may come from any method: bounds that hold while peeking make a verdict that does.
    Two-sided bounds at 0.95 make each verdict wrong in 2.5 % of the cases at most (0.90: 5 %). For a
    margin as a share of the control's value, give the relative lift. The p_value takes the effect as
    normal and is for one look: it may differ from the verdict at the very edge. A margin chosen after
    the result proves nothing.

    Raises SettingsError for a margin that is not above 0.
    """
    if not np.all(np.asarray(margin) > 0):
        raise SettingsError(
            "a margin is above 0",
            value=margin,
            next_step="give the greatest harm that would be put up with, in the metric's unit",
        )
    turned = np.where(lower_is_better, -1.0, 1.0)
    worst = np.where(lower_is_better, -effect.high, effect.low)
    best = np.where(lower_is_better, -effect.low, effect.high)
    p_value = norm.sf((turned * effect.estimate + margin) / effect.standard_error)
    verdict = np.select([worst > -margin, best < 0], [NOT_HARMED, HARMED], CANNOT_TELL)
    return Guardrail(worst, best, p_value, verdict)
