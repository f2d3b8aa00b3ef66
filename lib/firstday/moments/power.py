"""The experiment that would prove the moment: how many users, for how long."""

import math
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from firstday.rounding import per_day

# Of the users who would not have reached the moment, the share whom the treatment is expected to bring to it.
UPTAKE = 0.2
RECENT_DAYS = 28  # whole weeks: new users come unevenly over one


@dataclass(frozen=True)
class Traffic:
    """New users a calendar day, and the anchor dates that this is of: None where nobody came or a user of
    firstday said what to expect.
    """

    users_a_day: float
    first: date | None
    last: date | None

    @property
    def described(self) -> str:
        """'83 new users a day, as from 2024-03-01 to 2024-03-28'"""
        source = "as --users-a-day says" if self.first is None else f"as from {self.first} to {self.last}"
        return f"{per_day(self.users_a_day)}, {source}"

    def figures(self) -> dict[str, object]:
        """As columns of the table `hypotheses`."""
        return {
            "users_a_day": self.users_a_day,
            "users_a_day_first": self.first,
            "users_a_day_last": self.last,
        }


def recent_traffic(cohorts: pd.DataFrame) -> Traffic:
    """Of the RECENT_DAYS days before the last anchor date, in which the log may end. Dates without
    users count; a log that is shorter counts from its first date.

    cohorts: anchor_date and users, in any order. Not the mean of the whole log: a test is made of users who
    come now, and apps grow and shrink. Whether their day n is known yet does not matter here.
    """
    come = cohorts[cohorts["users"] > 0]
    if come.empty:
        return Traffic(0.0, None, None)
    begin, end = come["anchor_date"].min(), come["anchor_date"].max()
    last = max(end - timedelta(1), begin)
    first = max(last - timedelta(RECENT_DAYS - 1), begin)
    users = come.loc[come["anchor_date"].between(first, last), "users"].sum()
    return Traffic(float(users) / ((last - first).days + 1), first, last)


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
