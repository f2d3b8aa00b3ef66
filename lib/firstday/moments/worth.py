"""What pushing an action is worth: the effect of reaching a threshold, the lift of a test, the expected gain.

The posterior of an effect is a slope on log(1 + count), over all users. A team pushes users over a threshold
who are below it, and the log does not say whether reaching it does something or each further event: either is
as likely. Those below come back less often, so that the same push on the logit moves fewer of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from firstday.moments.evidence import ActionEvidence
from firstday.moments.factors import Floats
from firstday.moments.families import Timing
from firstday.moments.power import UPTAKE

INTERVAL = (0.05, 0.95)


# Standard deviation of the logarithm of the estimate over the truth, beside the slope's own error: of the
# curves by which retention may follow a count. Learned on invented apps (`benchmarks.gains`).
MISFIT = 0.2
MISFITS = np.exp(MISFIT * np.array([-1.645, -0.842, -0.253, 0.253, 0.842, 1.645]))  # equally likely ones


@dataclass(frozen=True)
class Spread:
    """How often users do an action: count, users and retained users of each count, all (cells,), those who
    did not do it at all included.
    """

    count: Floats
    users: Floats
    retained: Floats


@dataclass(frozen=True)
class Reach:
    """How users lie about a threshold of an action. share: reached it. at_once, each_time: what reaching it
    adds to the retention of those below for each unit of slope on log(1 + count), if the threshold itself
    does it, and if each event does. added: events that reaching it adds to them, on average. below: how much
    less a push on the logit moves them than users on average.
    """

    share: float
    at_once: float
    each_time: float
    added: float
    below: float

    @classmethod
    def of(cls, spread: Spread, threshold: int) -> "Reach":
        count, users = spread.count, spread.users
        x, there, total = np.log1p(count), count >= threshold, users.sum()
        share = float(users[there].sum() / total)
        if not 0 < share < 1:
            return cls(share, 0.0, 0.0, 0.0, 1.0)
        above, below = (np.average(x[side], weights=users[side]) for side in (there, ~there))
        variance = np.average(x**2, weights=users) - np.average(x, weights=users) ** 2
        short = threshold - np.average(count[~there], weights=users[~there])
        # Of a logit's slope: p(1 - p).
        p_all = spread.retained.sum() / total
        p_below = spread.retained[~there].sum() / users[~there].sum()
        less = float(p_below * (1 - p_below) / (p_all * (1 - p_all))) if 0 < p_all < 1 else 1.0
        step = variance / (share * (1 - share) * (above - below))
        return cls(share, float(step) * less, float(np.log1p(threshold) - below) * less, float(short), less)


@dataclass(frozen=True)
class Worth:
    """p_works: as a cause or by leading to one. effect, low, high: of reaching the threshold on retention, if
    pushing it works at all: the median and a 90 % interval; mean_effect: its mean. lift: of a test in which
    UPTAKE of those who would not have reached it do. gain: lift times p_works.
    """

    p_works: float
    effect: float
    mean_effect: float
    low: float
    high: float
    lift: float
    gain: float


def worth(
    action: str, reach: Reach, found: ActionEvidence, timing: Timing | None, spreads: Mapping[str, Spread]
) -> Worth:
    """Of an action with evidence. spreads: of each action that it may lead to."""
    place = found.actions.index(action)
    # (lift a unit of effect on reaching it, probability) of each effect, by each way in which it works.
    values = [found.effects * reach.at_once, found.effects * reach.each_time]
    weights = [found.p_cause[place] * found.effect_weights[place] / 2] * 2
    known = None if timing is None else timing.only(found.actions)
    for other in np.flatnonzero(found.passed_on[place] > 0):
        if known is None or not known.events[place]:
            continue
        net = known.before[other, place] - known.after[other, place]
        passed = max(0.0, float(net / known.events[place])) * reach.added
        spread = spreads[found.actions[other]]
        more = np.log1p(spread.count + passed) - np.log1p(spread.count)
        values.append(found.effects * float(np.average(more, weights=spread.users)) * reach.below)
        probability = found.passed_on[place, other] * found.p_cause[other]
        weights.append(probability * found.effect_weights[other])
    value = np.multiply.outer(MISFITS, np.concatenate(values)).ravel()
    weight = np.tile(np.concatenate(weights) / len(MISFITS), len(MISFITS))
    order = np.argsort(value, kind="stable")
    value, weight = value[order], weight[order]
    total = float(weight.sum())
    share = np.cumsum(weight) / max(total, 1e-300)
    low, high = (float(value[min(np.searchsorted(share, at), len(value) - 1)]) for at in INTERVAL)
    effect = float(value @ weight / max(total, 1e-300))
    middle = float(value[min(np.searchsorted(share, 0.5), len(value) - 1)])
    p_works = float(found.p_works[place])
    lift = UPTAKE * (1 - reach.share) * effect
    return Worth(p_works, middle, effect, low, high, lift, p_works * lift)


def followers(action: str, found: ActionEvidence) -> Sequence[tuple[str, float, float]]:
    """Actions that this one leads to: name, share of its events that have this one before, P(cause)."""
    place = found.actions.index(action)
    others = np.flatnonzero(found.passed_on[place] > 0)
    return [(found.actions[i], float(found.families.lead[place, i]), float(found.p_cause[i])) for i in others]
