"""Encouragement: what *reaching* the moment does, from what being pushed towards it does.

Nobody can be made to reach a moment; some can be pushed towards it. Those who reach it by themselves differ
from the others, so comparing the two shows what they are like, not what the moment does. The push is drawn
at random: its effect on the outcome, divided by its effect on reaching the moment, is the effect of reaching
it on those whom the push moves, the compliers (Wald 1940; Angrist, Imbens & Rubin 1996, JASA 91): the
instrumental-variable estimate, the same as two-stage least squares with one instrument.

It rests on what no data can show: the push was drawn at random; it changes the outcome only by making people
reach the moment, not by reminding, rewarding or annoying them; it keeps nobody from the moment who would have
reached it without; and one person's push changes nothing for another. And a push that moves few divides by
nearly nothing: then the usual interval is too short and in the wrong place. The one to read is Anderson &
Rubin's (1949), here as Fieller's (1954): all effects that the data do not contradict. It holds however weak
the push is, and says so by having no bounds when the data contradict no large effect, on either side.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from firstday.errors import DataError
from firstday.experiments.sums import Floats, Sums
from firstday.stats.estimate import Estimate

LEAST_F = 10.0  # Staiger & Stock 1997, Econometrica 65: below, the push is a weak instrument


@dataclass(frozen=True)
class Encouragement:
    """The effect of reaching the moment on those whom the push moves, entry by entry.

    on_outcome: effect of the push on the outcome (intention to treat), whoever reached the moment.
    on_reaching: effect of the push on reaching it: the share of people that the push moves.
    effect: their ratio, with Anderson & Rubin's bounds; -inf and inf where `bounded` is false. Its statistic
    and p_value are those of on_outcome: reaching has no effect exactly if the push has none.
    by_delta_method: the same ratio with the usual interval, for comparison; wrong where the push is weak.
    first_stage_f: the square of on_reaching in standard errors; weak: below LEAST_F, or nothing to divide by.
    """

    on_outcome: Estimate
    on_reaching: Estimate
    effect: Estimate
    by_delta_method: Estimate
    bounded: npt.NDArray[np.bool_]
    first_stage_f: Floats
    weak: npt.NDArray[np.bool_]


def encouragement(pushed: Sums, not_pushed: Sums, *, alpha: float = 0.05) -> Encouragement:
    """The instrumental-variable estimate: y is the outcome, d is 1 for units that reached the moment, else 0.

    All units of an arm count, those who were never shown the push too. The bounds of `effect` are the effects
    t for which on_outcome - t × on_reaching is not significantly different from 0, with each arm's own
    variance: a quadratic inequality in t. Where the push is weak the answer may be "all t" or "all but those
    between two values"; both are given as -inf to inf. See `refusal` for what to say of a weak push.

    Raises DataError where d is not 0 or 1. Arms of fewer than two units give NaN.
    """
    for arm in (pushed, not_pushed):
        if not np.allclose(arm.d, arm.dd, rtol=1e-9):
            raise DataError(
                "a unit reached the moment (1) or did not (0)",
                value=f"sum {arm.d}, sum of squares {arm.dd}",
                next_step="give whether the threshold was reached, not how often the action was done",
            )
    outcome, reaching, of_outcome, of_reaching, of_both = _effects(pushed, not_pushed)
    divisor = np.where(reaching != 0, reaching, np.nan)
    effect = outcome / divisor
    variance = of_outcome - 2 * effect * of_both + effect**2 * of_reaching
    delta = Estimate.normal(effect, np.sqrt(np.maximum(variance, 0.0)) / abs(divisor), alpha)
    on_outcome = Estimate.normal(outcome, np.sqrt(of_outcome), alpha)
    low, high, bounded = _not_contradicted(outcome, reaching, of_outcome, of_reaching, of_both, alpha)
    known = np.isfinite(of_outcome) & np.isfinite(of_reaching)
    strength = np.divide(
        reaching**2, of_reaching, out=np.full(reaching.shape, np.inf), where=of_reaching != 0
    )
    strength = np.where((reaching == 0) & known, 0.0, strength)
    return Encouragement(
        on_outcome=on_outcome,
        on_reaching=Estimate.normal(reaching, np.sqrt(of_reaching), alpha),
        effect=Estimate(
            effect,
            np.where(known, low, np.nan),
            np.where(known, high, np.nan),
            delta.standard_error,
            on_outcome.statistic,
            on_outcome.p_value,
        ),
        by_delta_method=delta,
        bounded=bounded,
        first_stage_f=strength,
        weak=~(strength >= LEAST_F),
    )


def refusal(first_stage_f: float, on_reaching: float) -> str | None:
    """Why one effect of reaching the moment must not be quoted, in a sentence; None if it may be."""
    if not first_stage_f >= LEAST_F:
        return (
            f"The push hardly moved people towards the moment ({on_reaching:+.2%}, F = {first_stage_f:.1f}, "
            f"at least {LEAST_F:.0f} is needed), so this experiment cannot tell what reaching it does. "
            "The effect of the push itself holds. Push harder, or push more people."
        )
    if on_reaching < 0:
        return (
            f"The push kept people from the moment ({on_reaching:+.2%}): it did the opposite of what it is "
            "for, so it says nothing of those whom it was to move. Look at what the pushed were shown."
        )
    return None


def _effects(pushed: Sums, not_pushed: Sums) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Differences of the means of y and d, their variances, and the covariance of the two differences."""
    y, d, yy, dd, yd = (
        np.zeros(np.broadcast_shapes(np.shape(pushed.n), np.shape(not_pushed.n))) for _ in range(5)
    )
    for arm, sign in ((pushed, 1.0), (not_pushed, -1.0)):
        n = np.where(np.asarray(arm.n) > 1, arm.n, np.nan)
        mean_y, mean_d = arm.y / n, arm.d / n
        y, d = y + sign * mean_y, d + sign * mean_d
        # Rounding can leave the variance of a constant a little below 0.
        yy = yy + np.maximum(arm.yy / n - mean_y**2, 0.0) / (n - 1)
        dd = dd + np.maximum(arm.dd / n - mean_d**2, 0.0) / (n - 1)
        yd = yd + (arm.yd / n - mean_y * mean_d) / (n - 1)
    return y, d, yy, dd, yd


def _not_contradicted(
    outcome: Floats, reaching: Floats, of_outcome: Floats, of_reaching: Floats, of_both: Floats, alpha: float
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """The t with (outcome - t reaching)² <= z² × its variance: a t² - 2 b t + c <= 0."""
    squared = ndtri(alpha / 2) ** 2
    a = reaching**2 - squared * of_reaching
    b = outcome * reaching - squared * of_both
    c = outcome**2 - squared * of_outcome
    bounded = a > 0
    root = np.sqrt(np.maximum(b**2 - a * c, 0.0))
    divisor = np.where(bounded, a, np.nan)
    low = np.where(bounded, (b - root) / divisor, -np.inf)
    high = np.where(bounded, (b + root) / divisor, np.inf)
    return low, high, bounded
