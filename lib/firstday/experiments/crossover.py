"""Crossover: every unit gets both arms, one after the other, and is compared with itself.

In a two-period crossover half of the units get the treatment first (sequence AB) and half get it second (BA),
as when odd and even customer numbers swap each week. What a week does to everybody (a holiday, pay day) and
what a customer is like cancel: the effect is half the difference of the sequences' mean change from period 1
to period 2 (Hills & Armitage 1979, British Journal of Clinical Pharmacology 8). The same in any number of
periods and sequences is the regression on unit, period and treatment (Jones & Kenward 2014, Design and
Analysis of Cross-Over Trials, 3rd ed.), here from sums, with errors clustered by unit.

What goes wrong:
- What the first period did may last into the second (carry-over): people who learned of an offer in week 1
  still know it in week 2. With two periods it cannot be told from a difference between the sequences; the
  effect is then too small by half of it. Leave days of wash-out between the periods. The test of it (Grizzle
  1965, Biometrics 21) is reported as a diagnostic only: it finds little, and a method that is chosen by its
  outcome has more false positives than it says (Freeman 1989, Statistics in Medicine 8). With three or more
  periods carry-over is a term of the model: decide before the experiment.
- Customers who are there in one period only say nothing about their own change. They are dropped from the
  estimate and counted. If one sequence loses more of them than the other, the treatment itself may have
  driven them away, and those that are left no longer compare like with like: see `left_out_p_value`.
- A treatment that cannot be undone (an app installed, a friend found) is no case for a crossover.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from firstday.errors import SettingsError
from firstday.experiments.panels import PanelSums, checked_arms, estimated, within_weights
from firstday.experiments.sums import Floats
from firstday.stats.estimate import Estimate


@dataclass(frozen=True)
class Crossover:
    """The effect of the treatment within units, and what was left out of it; entry by entry.

    carry_over: what the treatment, more than the control, leaves to the period after. With two periods
    Grizzle's comparison between units; with more, the term of the model; NaN where the design cannot tell.
    units: those in the estimate. left_out: those that say nothing in it, such as those there in one period
    only. left_out_p_value: chi-square of as large a share left out in every sequence; NaN if none is.
    """

    effect: Estimate
    carry_over: Estimate
    units: Floats
    left_out: Floats
    left_out_p_value: Floats


def crossover(
    sums: PanelSums, treated: npt.ArrayLike, *, adjust_carry_over: bool = False, alpha: float = 0.05
) -> Crossover:
    """The effect by least squares on unit and period effects, with errors clustered by unit.

    sums: a group is one sequence. treated: (groups, periods) of 0 and 1; [[1, 0], [0, 1]] is AB/BA.

    For a mean (retained, spend) d is 1 where the unit took part and 0 where it did not. Split each sequence
    by the periods that its units took part in: then the estimate is that of the regression unit by unit, also
    where units miss periods, and those there once are left out. What `treated` says of periods that a group
    has nobody in is of no consequence: its sequence is the one that agrees with it elsewhere, if it is one.
    For a ratio (clicks over impressions) a group is a sequence as a whole, and a unit without impressions in
    a period has zeros there: cells are ratios of totals, linearised by the delta method (Deng, Knoblich & Lu
    2018, KDD). So those there once count too, and nobody is left out.

    adjust_carry_over: with the term for it in the model; needs three periods. The interval is wider. Choose
    it in the plan, not by looking at `carry_over`.

    Intervals are Welch's t, each group with its own variance.

    Raises SettingsError for a design that cannot tell the effect (all sequences alike), and DataError for
    sums that are not finite. Entries whose groups are too empty to tell are NaN.
    """
    arms = checked_arms(treated, sums)
    periods = arms.shape[1]
    if adjust_carry_over and periods < 3:
        raise SettingsError(
            "carry-over is a term of the model only with three periods or more",
            value=periods,
            next_step="leave it a diagnostic (adjust_carry_over: false), or plan a third period",
        )
    _check_estimable(arms, carry_over=adjust_carry_over)
    # Who was away in a period was not treated then, and carries nothing over.
    both = np.stack([arms, _before(arms & sums.present)], axis=-1).astype(float)
    weights = within_weights(sums, both if adjust_carry_over else both[..., :1])[..., 0, :, :]
    lasting = _grizzle_weights(sums, arms) if periods == 2 else within_weights(sums, both)[..., 1, :, :]
    used = (np.nan_to_num(weights) != 0).any(-1)
    left_out = np.where(used, 0.0, sums.n)
    return Crossover(
        effect=estimated(sums, weights, alpha),
        carry_over=estimated(sums, lasting, alpha),
        units=np.where(used, sums.n, 0.0).sum(-1),
        left_out=left_out.sum(-1),
        left_out_p_value=_same_share(left_out, sums.n, _sequences(arms, sums.present)),
    )


def _before(arms: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether the period before was treated; before the first, nobody was."""
    return np.hstack([np.zeros_like(arms[:, :1]), arms[:, :-1]])


def _check_estimable(arms: npt.NDArray[np.bool_], *, carry_over: bool) -> None:
    """By the design with all cells full, to distinguish a design at fault from data at fault."""
    groups, periods = arms.shape
    full = np.ones((groups, periods))
    square = np.broadcast_to(full[..., None], (groups, periods, periods))
    complete = PanelSums(full[:, 0] * 2, full, full, square, square, square)
    terms = np.stack([arms, _before(arms)] if carry_over else [arms], axis=-1).astype(float)
    if np.isnan(within_weights(complete, terms)[0]).any():
        raise SettingsError(
            "the sequences of a crossover differ in when they are treated, so that periods and the effect"
            f"{' and carry-over' if carry_over else ''} can be told apart",
            value=["".join("BA"[int(arm)] for arm in row) for row in np.unique(arms, axis=0)],
            next_step="use AB and BA" + (", with carry-over ABB and BAA" if carry_over else ""),
        )


def _grizzle_weights(sums: PanelSums, arms: npt.NDArray[np.bool_]) -> Floats:
    """Mean sum of both periods, sequence AB less BA, over units there in both; NaN without such units."""
    complete = sums.seen.all(-1)
    weights = np.zeros(sums.y.shape)
    for first, sign in ((True, 1.0), (False, -1.0)):
        of_sequence = complete & (arms[:, 0] == first) & (arms[:, 1] != first)
        n = np.where(of_sequence, sums.n, 0.0)
        share = n / np.where(n.sum(-1, keepdims=True) > 0, n.sum(-1, keepdims=True), np.nan)
        weights = weights + sign * share[..., None]
    return weights


def _sequences(arms: npt.NDArray[np.bool_], present: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(groups, sequences): which sequence a group is of; of none where several agree with it."""
    sequences = np.unique(arms[present.all(1)], axis=0)
    agrees = (arms[:, None] == sequences) | ~present[:, None]
    member = agrees.all(-1)
    return member & (member.sum(1, keepdims=True) == 1)


def _same_share(left_out: Floats, n: Floats, member: npt.NDArray[np.bool_]) -> Floats:
    """Pearson's chi-square p-value of left_out / n being the same in all sequences."""
    out, all_units = left_out @ member, n @ member
    share = out.sum(-1, keepdims=True) / np.maximum(all_units.sum(-1, keepdims=True), 1.0)
    expected = all_units * share * (1 - share)
    squared = (out - all_units * share) ** 2
    statistic = np.divide(squared, expected, out=np.full(out.shape, np.nan), where=expected > 0)
    return np.where(member.shape[1] > 1, chi2.sf(statistic.sum(-1), max(member.shape[1] - 1, 1)), np.nan)
