"""Who signs up to the app, and the world's figures: what drives actions, clicks and coming back."""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.simulation.bank_catalog import DAY
from firstday.simulation.bank_log import START, instants
from firstday.simulation.fraud import simulate_fraud
from firstday.simulation.world import ACTIONS, SEGMENTS

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_LOG_RATE = 4.0
BY_SEGMENT = 0.4  # share of the variance of tastes that the segment columns determine
LIKING = 0.3  # what liking an action's categories adds to the log of its rate
BOT_SHARE = 0.05
WEEKEND = 1.2  # factor on sign-ups


@dataclass(frozen=True)
class Plan:
    """What is fixed for a world. Actions, categories and segments' values are numbers, in their order.

    cause, threshold: reached on a user's day, it adds `effect` to the logit of coming back. decoy: the
    action that predicts coming back best, the cause aside; it causes nothing. farmed: what bots do.
    Arrays: rates (actions,) and loadings (actions,), of log rates on a first day; popularity (categories,);
    by segment column, engaged and stays (values,), tastes (values, categories).
    """

    seed: int
    effect: float
    rates: Floats
    loadings: Floats
    base: float  # logit of coming back on D1, without the moment
    loading: float  # of engagement, on that logit
    popularity: Floats
    engaged: dict[str, Floats]
    stays: dict[str, Floats]
    tastes: dict[str, Floats]
    cause: int = 0
    threshold: int = 1
    decoy: int = 0
    farmed: int = 0


@dataclass(frozen=True)
class People:
    """Those who have signed up, in the order of their numbers; arrays (users, ...).

    day, second: of the sign-up, since START and since that day's midnight. level: engagement. stays: what the
    segment adds to the logit of coming back. taste: (users, categories), of variance 1.
    """

    day: Whole
    second: Whole
    level: Floats
    stays: Floats
    taste: Floats
    bot: NDArray[np.bool_]
    segment: Whole  # (users, segment columns)

    def __len__(self) -> int:
        return len(self.day)

    def followed_by(self, others: "People") -> "People":
        parts = [(getattr(self, field.name), getattr(others, field.name)) for field in fields(self)]
        return People(*(np.concatenate(both) for both in parts))

    def liking(self, user: Whole) -> Floats:
        """(users, actions): the mean taste for the categories that lead to each action."""
        pairs = self.taste[user].reshape(len(user), len(ACTIONS), -1)
        return np.asarray(pairs.mean(axis=2))


def draw_people(plan: Plan, draw: np.random.Generator, users: int, day: int, lift: float) -> People:
    """Users who sign up on `day`, bots among them. lift: what the date adds to everybody's engagement."""
    segment = {name: draw.integers(0, len(values), users) for name, values in SEGMENTS.items()}
    second = (draw.beta(3, 2, users) * DAY).astype(np.int64)  # more in the evening than at night
    level = draw.normal(0, 1, users) + lift + _by_segment(plan.engaged, segment)
    by_segment = _by_segment(plan.tastes, segment) / np.sqrt(len(SEGMENTS))
    own = draw.normal(0, 1, by_segment.shape)
    return People(
        np.full(users, day),
        second,
        level,
        _by_segment(plan.stays, segment),
        np.sqrt(BY_SEGMENT) * by_segment + np.sqrt(1 - BY_SEGMENT) * own,
        draw.random(users) < BOT_SHARE,
        np.stack(list(segment.values()), axis=1),
    )


def first_day_rates(plan: Plan, people: People, user: Whole, shock: Floats) -> Floats:
    """(users, actions): how often they do what on a first day. shock: (actions,) or (users, actions)."""
    follows = people.level[user][:, None] * plan.loadings
    log_rate = plan.rates + follows + LIKING * people.liking(user) + shock
    return np.asarray(np.exp(np.minimum(log_rate, MOST_LOG_RATE)))


def weekday_weights(days: int) -> Floats:
    """How many sign up on each day, in proportion."""
    return np.where((START.dayofweek + np.arange(days)) % 7 >= 5, WEEKEND, 1.0)


def users_table(people: People) -> pd.DataFrame:
    """user_id, anchored_at and the segment columns."""
    columns = {
        name: np.array(values, object)[people.segment[:, place]]
        for place, (name, values) in enumerate(SEGMENTS.items())
    }
    anchored = instants(people.day * DAY + people.second)
    return pd.DataFrame({"user_id": user_ids(np.arange(len(people))), "anchored_at": anchored, **columns})


def user_ids(number: Whole) -> NDArray[np.object_]:
    """Ids are numbered in the order of days of sign-up: those of later users are known before they come."""
    distinct, place = np.unique(number, return_inverse=True)
    return np.array([f"user-{each:07d}" for each in distinct], object)[place]


def accounts_table(seed: int, people: People) -> pd.DataFrame:
    """Signals of each account as in `simulate_fraud`, row_id being the user_id, week that of the sign-up.

    account_age_days is the age of the account (mail, shop) that somebody signs up with.
    """
    monday = instants(people.day // 7 * 7 * DAY).strftime("%Y-%m-%d").to_numpy(object)
    parts = []
    for day in np.unique(people.day):
        user = np.flatnonzero(people.day == day)
        bot = people.bot[user]
        chance = int(seed_of(seed, 4, day).integers(2**31))
        made = simulate_fraud(users=len(user), fraud_share=bot.mean(), weeks=1, seed=chance).rows
        fraud = made["is_fraud"].to_numpy() == 1
        place = np.empty(len(user), np.int64)
        place[bot], place[~bot] = np.flatnonzero(fraud), np.flatnonzero(~fraud)
        parts.append(made.iloc[place].assign(row_id=user_ids(user), week=monday[user]))
    return pd.concat(parts, ignore_index=True)


def seed_of(seed: int, *keys: int) -> np.random.Generator:
    """A generator of its own for what the keys name."""
    return np.random.default_rng([seed, *keys])


def _by_segment(effects: dict[str, Floats], segment: dict[str, Whole]) -> Floats:
    return np.asarray(sum(effects[name][index] for name, index in segment.items()))
