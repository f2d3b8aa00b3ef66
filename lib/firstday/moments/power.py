"""The experiment that would prove the moment: how many users, for how long."""

import math
from dataclasses import dataclass

from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

# Of the users who would not have reached the moment, the share whom the treatment is expected to bring to it.
UPTAKE = 0.2


@dataclass(frozen=True)
class PlannedTest:
    """Two equal arms of new users. baseline: retention without treatment; detectable_effect: the rise in the
    treated arm's retention that is found with probability `power` at the two-sided level `alpha`.
    """

    baseline: float
    detectable_effect: float
    users_per_arm: int
    days_needed: int
    alpha: float
    power: float


def plan_test(
    *,
    baseline: float,
    share_experienced: float,
    effect: float,
    users_a_day: float,
    day: int,
    alpha: float,
    power: float,
) -> PlannedTest | None:
    """Sample size for two proportions on Cohen's arcsine scale (1988, ch. 6), by statsmodels.

    effect: what reaching the moment adds to retention. The arms differ in who is brought to it: UPTAKE of
    those who would not have reached it. None where there is no positive effect to find. days_needed: until
    both arms are full at `users_a_day` new users, and the last of them have had their day n.
    """
    lift = min(UPTAKE * (1 - share_experienced) * effect, 0.999 - baseline)
    if not (0 < baseline < 1 and lift > 1e-6 and users_a_day > 0):
        return None
    size = proportion_effectsize(baseline + lift, baseline)
    users = math.ceil(NormalIndPower().solve_power(size, alpha=alpha, power=power, ratio=1.0))
    days = math.ceil(2 * users / users_a_day) + day + 1
    return PlannedTest(baseline, lift, users, days, alpha, power)
