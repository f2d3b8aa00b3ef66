"""Where nothing is to be tested: what of users, dates, actions or shocks is too little, and how much more it
takes.

All figures are of the leading candidate, the likeliest to work of those that came furthest. A standard error
falls with the root of users, and of dates as they are now: so many more bring it to where it has to be.
"""

from dataclasses import dataclass
from math import ceil, isnan

import numpy as np
import pandas as pd
from scipy import stats

from firstday.moments.adjust import Z_95
from firstday.moments.evidence import FEWEST_ACTIONS, LEAST_VARIANCE, ActionEvidence
from firstday.moments.power import Traffic
from firstday.moments.split import Split
from firstday.rounding import points

USERS, DATES, ACTIONS, SHOCKS = "users", "dates", "actions", "shocks"
# Standard errors of a difference that 80 % of logs would show.
TO_BE_CLEAR = Z_95 + float(stats.norm.ppf(0.8))
TO_SPEAK = 2.0  # standard errors of an effect from which the dates can speak for or against it
MOST_DAYS = 3_650  # of waiting: a longer time is nothing to plan with
MOST_TOLD = 10  # times as far: more is nothing to plan with
MOST_TIMES = 4.0  # so many times the dates are more than anybody waits for: then shocks are what is missing


@dataclass(frozen=True)
class Shortage:
    """too_little: USERS, DATES, ACTIONS or SHOCKS; None where the log was enough and spoke against. more: so
    many more of them (users a day where a test takes too long); of shocks how many times as far the action
    has to move from date to date. None where no number can be given. sentence: that in words.
    """

    too_little: str | None
    more: float | None
    sentence: str


def of_dates(split: Split, min_dates: int) -> Shortage:
    """Fewer choosing dates than trends need."""
    # The choosing dates are a share of all: of each further date only that share is one.
    share = split.choosing.dates / max(split.dates, 1)
    more = ceil((min_dates - split.choosing.dates) / share) if share else min_dates
    return Shortage(
        DATES,
        more,
        f"Dates are too few: the choice is made on {split.choosing.dates:,}, and trends need {min_dates:,}. "
        f"Come back in {_days(more)}, give an older log, or lower --min-dates.",
    )


def of_actions(known: int) -> Shortage:
    """Fewer actions than can be compared with one another."""
    more = max(FEWEST_ACTIONS - known, 1)
    return Shortage(
        ACTIONS,
        more,
        f"Actions are too few: {known:,} are done by enough users, on nearly all dates, to be compared "
        f"(variance of log(1 + count) of {LEAST_VARIANCE:g}), and it takes {FEWEST_ACTIONS}. Log {more:,} "
        "more kinds of them: what new users see, open, send and receive.",
    )


def of_sides(candidates: pd.DataFrame, split: Split, min_users: int, users_a_day: float) -> Shortage:
    """No candidate has enough users that did it and enough that did not."""
    sides = np.minimum(candidates["experienced"], candidates["users"] - candidates["experienced"])
    best = float(sides.max()) if len(sides) else 0.0
    if best <= 0:
        return Shortage(
            USERS,
            None,
            "No action has users that did it beside users that did not: look at --window and at the names of "
            "actions.",
        )
    more = ceil(split.users * (min_users / best - 1))
    return Shortage(
        USERS,
        more,
        f"Users are too few: of no action did {min_users:,} users do it and {min_users:,} not (--min-users). "
        f"{_more_users(more, users_a_day)} would bring the most frequent one there.",
    )


def of_evidence(row: pd.Series, evidence: ActionEvidence, split: Split, users_a_day: float) -> Shortage:
    """The leading candidate (a row of the choosing dates) is not likely enough to work."""
    name, difference = f"{row['action']} ≥ {row['threshold']}", float(row["adjusted"])
    error = (float(row["adjusted_high"]) - difference) / Z_95
    if isnan(difference) or isnan(error):
        return _against(f"{name} cannot be compared among equally active users")
    if difference <= 0:
        return _against(
            f"with equally active users compared nothing is left of the advantage of {name} "
            f"({points(difference)})"
        )
    if difference < Z_95 * error:
        more = ceil(split.users * ((TO_BE_CLEAR * error / difference) ** 2 - 1))
        return Shortage(
            USERS,
            more,
            f"Users are too few: the {points(difference)} by which {name} leads among equally active users "
            f"may be chance. {_more_users(more, users_a_day)} would show such a difference in 4 of 5 logs.",
        )
    if row["action"] not in evidence.actions:
        return _against(f"{name} is too rare for the dates to tell")
    place = evidence.actions.index(row["action"])
    effect, error = float(evidence.effect[place]), float(evidence.trend_error[place])
    times = TO_SPEAK * error / effect if effect > 0 else float("nan")
    if isnan(times) or times <= 1:
        return _against(f"users and dates are enough to judge {name}, and what they show is engagement")
    more = ceil(split.dates * (times**2 - 1))
    if times**2 <= MOST_TIMES:
        return Shortage(
            DATES,
            more,
            f"Dates are too few: the share that does {row['action']} moves so little from date to date that "
            f"they cannot tell a cause from a sign of engagement. {more:,} more dates like these could.",
        )
    enough = (
        f"It would have to move {times:,.1f} times as far (or it takes {more:,} more dates like these)"
        if times <= MOST_TOLD
        else f"Even {MOST_TOLD} times such moves would not do"
    )
    return Shortage(
        SHOCKS,
        round(times, 1),
        f"Shocks are too few: what moves {row['action']} alone from date to date is too little to tell a "
        f"cause from a sign of engagement. {enough}: promote or change {row['action']}, and nothing else, on "
        "some dates.",
    )


def of_later(row: pd.Series, later: pd.DataFrame, split: Split, users_a_day: float) -> Shortage:
    """The leading candidate does not hold on the later dates."""
    there = later[(later["action"] == row["action"]) & (later["threshold"] == row["threshold"])]
    name, difference = f"{row['action']} ≥ {row['threshold']}", float(row["adjusted"])
    if not len(there) or isnan(float(there["adjusted"].iloc[0])):
        return Shortage(
            USERS,
            None,
            f"Users of the later dates are too few: none of the {split.later.users:,} can be compared for "
            f"{name}. Lower --choose-share, or come back with more users.",
        )
    found = float(there["adjusted"].iloc[0])
    error = (float(there["adjusted_high"].iloc[0]) - found) / Z_95
    gone = _against(f"on the later dates the advantage of {name} is gone ({points(found)})")
    if difference <= 0 or found + Z_95 * error < difference:
        return gone
    more = ceil(split.later.users * ((TO_BE_CLEAR * error / difference) ** 2 - 1))
    if more <= 0:
        return gone
    return Shortage(
        USERS,
        more,
        f"Users of the later dates are too few to confirm the {points(difference)} of {name}: "
        f"{_more_users(more, users_a_day)} of later dates would, or a lower --choose-share.",
    )


def of_test(row: pd.Series, days: float, most: int, traffic: Traffic) -> Shortage:
    """No test fits. days: of the leading candidate's (row), NaN where none can be planned."""
    if isnan(days):
        return _against("no positive effect is to be expected of what may work")
    more = ceil(traffic.users_a_day * (days / most - 1))
    return Shortage(
        USERS,
        more,
        f"New users are too few: with {traffic.described}, a test of {row['action']} ≥ {row['threshold']} "
        f"takes {days:,.0f} days. It would fit in {most:,} days (--most-test-days) with about {more:,} more "
        "a day. If others are to be expected, say so with --users-a-day.",
    )


def _against(why: str) -> Shortage:
    return Shortage(
        None,
        None,
        f"More of the same log would hardly change this: {why}. What may: actions that the log does not hold "
        "today (what users see and receive, not only what they do), or another --window.",
    )


def _more_users(more: int, users_a_day: float) -> str:
    if users_a_day <= 0:
        return f"{more:,} more users"
    days = ceil(more / users_a_day)
    when = f"about {_days(days)} as they come now" if days <= MOST_DAYS else "more than come in ten years"
    return f"{more:,} more users ({when})"


def _days(number: int) -> str:
    return f"{number:,} day{'' if number == 1 else 's'}"
