"""What customers do by themselves: open the app, use it, and pay."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from firstday.simulation.bank_catalog import CATEGORIES, DAY
from firstday.simulation.bank_customers import Population
from firstday.simulation.bank_random import Stream, uniforms, whole

Whole = NDArray[np.int64]

RE_ENTRY = 0.3  # chance of coming back after a visit, on the same day
MOST_VISITS = 4  # a day
FIRST_SECOND, LAST_SECOND = 6 * 3_600, 21 * 3_600 - 1  # of the day's first visit
GAP = (180, 2_400)  # seconds to the next visit of the day
WEEKEND = 0.8  # factor on the chance of a visit
MOST_PAYMENTS = 8  # a day
AMOUNT_SPREAD = 0.6  # standard deviation of the log of a payment
# How often a category known from a click or a joining is used, a day, and for how many days.
CLICKED_USE, CLICKED_DAYS = 0.03, 30
JOINED_USE = 0.15
# What is done in a visit beside opening the app, and how often.
APP_ACTIONS = {"check_balance": 0.6, "transfer": 0.25, "statement": 0.15, "search": 0.1, "chat": 0.03}


@dataclass(frozen=True)
class Visits:
    """user (number), second, and the visit's number within the day from 0; sorted by day, number, user."""

    user: Whole
    second: Whole
    number: Whole

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Payments:
    """user, category (numbers), second and amount, NaN where a category has none."""

    user: Whole
    category: Whole
    second: Whole
    amount: NDArray[np.float64]


def visits(seed: int, people: Population, first_day: int, days: int, weekday: int) -> Visits:
    """All visits of some days. weekday: of day 0, Monday is 0. Nobody comes before having joined."""
    user, day = (part.ravel() for part in np.indices((len(people.joined), days)))
    day = day + first_day
    chance = people.visiting[user] * np.where((weekday + day) % 7 >= 5, WEEKEND, 1.0)
    comes = uniforms(seed, Stream.VISIT, user, day) < chance
    user, day = user[comes], day[comes]
    second = day * DAY + whole(uniforms(seed, Stream.VISIT_TIME, user, day), FIRST_SECOND, LAST_SECOND)
    found = [(user, second, np.zeros(len(user), np.int64))]
    for number in range(1, MOST_VISITS):
        back = uniforms(seed, Stream.RE_ENTRY, user, second) < RE_ENTRY
        user, second = user[back], second[back]
        second = second + whole(uniforms(seed, Stream.RE_ENTRY_GAP, user, second), *GAP)
        found.append((user, second, np.full(len(user), number)))
    user, second, number_ = (np.concatenate(parts) for parts in zip(*found, strict=True))
    joined = second >= people.joined[user]
    user, second, number_ = user[joined], second[joined], number_[joined]
    order = np.lexsort((user, number_, second // DAY))
    return Visits(user[order], second[order], number_[order])


def payments(seed: int, people: Population, first_day: int, days: int) -> Payments:
    """What customers pay whatever they are shown; Poisson by day, up to MOST_PAYMENTS."""
    user, day = (part.ravel() for part in np.indices((len(people.joined), days)))
    day = day + first_day
    some = (people.payments[user] > 0) & (day * DAY > people.joined[user])
    user, day = user[some], day[some]
    draw = uniforms(seed, Stream.PAYMENTS, user, day)
    count = np.zeros(len(user), np.int64)
    term = np.exp(-people.payments[user])
    upto = term.copy()
    for number in range(1, MOST_PAYMENTS + 1):
        count += draw >= upto
        term *= people.payments[user] / number
        upto += term
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    user, day = np.repeat(user, count), np.repeat(day, count)
    shares = people.payment_shares.cumsum(axis=1)
    pick = uniforms(seed, Stream.PAYMENT_CATEGORY, user, day, place)
    category = np.minimum((pick[:, None] >= shares[user]).sum(axis=1), len(CATEGORIES) - 1)
    second = day * DAY + whole(uniforms(seed, Stream.PAYMENT_TIME, user, day, place), 0, DAY - 1)
    amount = _amounts(category, uniforms(seed, Stream.PAYMENT_AMOUNT, user, day, place))
    return Payments(user, category, second, amount)


def follow_ups(seed: int, day: int, clicked_at: Whole, joined_at: Whole, held_until: Whole) -> Payments:
    """Uses of what a customer came to know by a click or joined, on one day; arrays customers x categories.

    clicked_at and joined_at: seconds, of the last click and of the joining in this world's log.
    """
    start = day * DAY
    clicked = (clicked_at < start) & (clicked_at >= start - CLICKED_DAYS * DAY)
    joined = (joined_at < start) & (start < held_until)
    user, category = np.nonzero(clicked | joined)
    rate = np.where(joined[user, category], JOINED_USE, CLICKED_USE)
    uses = uniforms(seed, Stream.FOLLOW_UP, user, category, day) < rate
    user, category = user[uses], category[uses]
    second = start + whole(uniforms(seed, Stream.FOLLOW_UP_TIME, user, category, day), 0, DAY - 1)
    amount = _amounts(category, uniforms(seed, Stream.FOLLOW_UP_AMOUNT, user, category, day))
    return Payments(user, category, second, amount)


def app_actions(seed: int, seen: Visits) -> tuple[Whole, NDArray[np.object_], Whole]:
    """user, action and second: opening the app, and what else is done in a visit."""
    found = [(seen.user, np.full(len(seen), "open_app", object), seen.second)]
    for number, (action, chance) in enumerate(APP_ACTIONS.items()):
        done = uniforms(seed, Stream.APP_ACTION, seen.user, seen.second, number) < chance
        user, second = seen.user[done], seen.second[done]
        wait = whole(uniforms(seed, Stream.APP_ACTION_TIME, user, second, number), 5, 150)
        found.append((user, np.full(len(user), action, object), second + wait))
    user, action_, second = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return user, action_, second


def _amounts(category: Whole, draw: NDArray[np.float64]) -> NDArray[np.float64]:
    median = np.array([np.nan if entry.amount is None else entry.amount for entry in CATEGORIES])
    spread = np.exp(AMOUNT_SPREAD * ndtri(np.clip(draw, 1e-12, 1 - 1e-12)))
    return np.asarray((median[category] * spread).round(2))
