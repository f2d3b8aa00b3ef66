"""What pushing an action is worth: the effect of reaching a threshold, the lift of a test, the expected gain.

The posterior of an effect is a slope on log(1 + count). A team pushes users over a threshold; both are joined
by what the threshold explains of the count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from firstday.moments.evidence import ActionEvidence
from firstday.moments.factors import Floats
from firstday.moments.families import Timing
from firstday.moments.power import UPTAKE

INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class Reach:
    """How users of all counts of an action lie about a threshold. share: reached it. slope_to_step: the
    difference in retention between the two sides for each unit of slope on log(1 + count). added: events
    that reaching it adds to a user who had not, on average.
    """

    share: float
    slope_to_step: float
    added: float

    @classmethod
    def of(cls, count: Floats, users: Floats, threshold: int) -> "Reach":
        """count, users: (cells,), the users of each count, those who did not do it at all included."""
        x, there, total = np.log1p(count), count >= threshold, users.sum()
        share = float(users[there].sum() / total)
        if not 0 < share < 1:
            return cls(share, 0.0, 0.0)
        above, below = (np.average(x[side], weights=users[side]) for side in (there, ~there))
        variance = np.average(x**2, weights=users) - np.average(x, weights=users) ** 2
        short = threshold - np.average(count[~there], weights=users[~there])
        return cls(share, float(variance / (share * (1 - share) * (above - below))), float(short))


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
    action: str, reach: Reach, found: ActionEvidence, timing: Timing | None, mean_counts: Mapping[str, float]
) -> Worth:
    """Of an action with evidence. mean_counts: events a user of each action that it may lead to."""
    place = found.actions.index(action)
    # (lift a unit of effect on reaching it, probability) of each effect, by each way in which it works.
    values = [found.effects * reach.slope_to_step]
    weights = [found.p_cause[place] * found.effect_weights[place]]
    known = None if timing is None else timing.only(found.actions)
    for other in np.flatnonzero(found.passed_on[place] > 0):
        if known is None or not known.events[place]:
            continue
        net = known.before[other, place] - known.after[other, place]
        passed = max(0.0, float(net / known.events[place])) * reach.added
        mean = mean_counts.get(found.actions[other], 0.0)
        values.append(found.effects * (np.log1p(mean + passed) - np.log1p(mean)))
        probability = found.passed_on[place, other] * found.p_cause[other]
        weights.append(probability * found.effect_weights[other])
    value, weight = np.concatenate(values), np.concatenate(weights)
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
