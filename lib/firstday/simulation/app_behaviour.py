"""What users of the app do: visit, act by themselves, click what is shown, and act on what they clicked.

Time counts in users' days: day n of a user is the n-th 24 hours from the sign-up, so that a visit on it is
what Dn retention counts. What happens on a day stays within it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from firstday.simulation.app_catalog import LEADS_TO
from firstday.simulation.app_people import Floats, People, Plan, Whole, first_day_rates, seed_of
from firstday.simulation.bank_log import START
from firstday.simulation.bank_random import Stream, uniforms, whole
from firstday.simulation.world import ACTIONS

SLOTS = 4
EXAMINED = (1.0, 0.8, 0.65, 0.5)  # share of the visits in which a slot is looked at
CLICK_LEVEL = -2.0  # logit of a click on what was looked at, of average taste
TASTE = 0.8  # standard deviation of the taste for a category, on that logit
ENGAGED_CLICKS = 0.2  # what engagement adds to it
DISMISS_LEVEL, DISMISS_TASTE = -4.5, -0.5  # logit of dismissing what was looked at and not clicked
LED = 5.0  # mean number of actions that a click leads to

MOST_VISITS = 3  # a day
FIRST_VISIT = (0, 12 * 3_600)  # seconds from the day's start; on the first day it is the sign-up
GAP = (3_600, 5 * 3_600)  # seconds to the next visit of the day
AGAIN_LEVEL, AGAIN_LOADING = -0.6, 0.5  # logit of another visit on the same day, and what engagement adds
LATER = 0.5  # factor on the rates of actions on the days after the first
SESSION = (20, 2_700)  # seconds after the visit in which its actions are done
REACTION = (3, 60)  # seconds from the showing to the reaction
FOLLOW_UP = (10, 3_600)  # seconds from the click to what it leads to
DECAY = 0.6  # what the logarithm of the day takes off the logit of coming back
REMEMBERED = 7  # days that reaching the moment on a later day counts
BOT_RETURNS = 0.95
BOT_RATE = 0.3  # factor on the rates of all but what bots farm
FARMED_A_DAY = (15, 45)


@dataclass(frozen=True)
class Reactions:
    """Seconds from the showing to a click or dismissal, 0 where there was none, and the actions it led to."""

    click: Whole
    dismiss: Whole
    led: Whole


def date_lift(seed: int, day: int) -> tuple[float, float]:
    """What a date adds to the engagement of those who sign up on it, and to everybody's logit of coming."""
    draw = seed_of(seed, 2, day)
    weekend = (START.dayofweek + day) % 7 >= 5
    return draw.normal(0, 0.2) + 0.2 * weekend, draw.normal(0, 0.1)


def return_chance(
    plan: Plan, people: People, day: int, first: NDArray[np.bool_], reached_on: Whole
) -> Floats:
    """The chance that each user visits on the own day that starts on the date `day`; 1 on the first.

    first: reached the moment on the first day; reached_on: the latest date whose own day reached it.
    """
    age = day - people.day
    remembered = first | (day - reached_on <= REMEMBERED)
    logit = plan.base + plan.loading * people.level + people.stays + date_lift(plan.seed, day)[1]
    logit = logit + plan.effect * remembered - DECAY * np.log(np.maximum(age, 1))
    chance = np.where(people.bot, BOT_RETURNS, expit(logit))
    return np.where(age == 0, 1.0, chance)


def comes(plan: Plan, chance: Floats, age: Whole) -> NDArray[np.bool_]:
    """Who visits on the own day of this number."""
    return uniforms(plan.seed, Stream.VISIT, np.arange(len(age)), age) < chance


def visit_offsets(plan: Plan, people: People, user: Whole, age: Whole) -> Whole:
    """(users, MOST_VISITS): seconds from the start of the user's day to each visit, -1 for none."""
    first = whole(uniforms(plan.seed, Stream.VISIT_TIME, user, age), *FIRST_VISIT)
    number = np.arange(1, MOST_VISITS)
    keys = (user[:, None], age[:, None], number)
    chance = expit(AGAIN_LEVEL + AGAIN_LOADING * people.level[user])
    again = np.cumprod(uniforms(plan.seed, Stream.RE_ENTRY, *keys) < chance[:, None], axis=1)
    gap = np.cumsum(whole(uniforms(plan.seed, Stream.RE_ENTRY_GAP, *keys), *GAP), axis=1)
    first = np.where(age == 0, 0, first)[:, None]
    return np.hstack([first, np.where(again == 1, first + gap, -1)])


def own_counts(plan: Plan, people: People, user: Whole, age: Whole, day: int) -> Whole:
    """(users, actions): what users do by themselves on their day that starts on the date `day`."""
    shock = seed_of(plan.seed, 3, day).normal(0, 0.35, len(ACTIONS))
    factor = np.where(age == 0, 1.0, LATER) * np.where(people.bot[user], BOT_RATE, 1.0)
    rate = first_day_rates(plan, people, user, shock) * factor[:, None]
    keys = (user[:, None], age[:, None], np.arange(len(ACTIONS)))
    counts = poisson(uniforms(plan.seed, Stream.APP_ACTION, *keys), rate)
    farmed = whole(uniforms(plan.seed, Stream.APP_ACTION, user, age, len(ACTIONS)), *FARMED_A_DAY)
    counts[:, plan.farmed] += np.where(people.bot[user], farmed, 0)
    return counts


def own_events(
    plan: Plan, user: Whole, age: Whole, counts: Whole, offsets: Whole
) -> tuple[Whole, Whole, Whole]:
    """Row of `user`, action and seconds from the start of the day, in sessions.

    Each visit begins by browsing. counts: (users, actions), offsets: (users, MOST_VISITS).
    """
    row, action = np.nonzero(counts)
    times = counts[row, action]
    row, action = np.repeat(row, times), np.repeat(action, times)
    repeat = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    keys = (user[row], age[row], action, repeat)
    visits = (offsets >= 0).sum(axis=1)[row]
    visit = (uniforms(plan.seed, Stream.APP_ACTION_TIME, *keys, 0) * visits).astype(np.int64)
    within = whole(uniforms(plan.seed, Stream.APP_ACTION_TIME, *keys, 1), *SESSION)
    there, number = np.nonzero(offsets >= 0)
    return (
        np.concatenate([there, row]),
        np.concatenate([np.full(len(there), ACTIONS.index("browse")), action]),
        np.concatenate([offsets[there, number], offsets[row, visit] + within]),
    )


def click_chance(
    plan: Plan, people: People, user: Whole, category: Whole, appeal: Floats | float, slot: Whole
) -> Floats:
    """The chance of a click; slot: from 1. Bots look at nothing."""
    logit = CLICK_LEVEL + plan.popularity[category] + TASTE * people.taste[user, category] + appeal
    looked = np.array(EXAMINED)[slot - 1] * ~people.bot[user]
    return np.asarray(looked * expit(logit + ENGAGED_CLICKS * people.level[user]))


def react(
    plan: Plan, people: People, user: Whole, second: Whole, slot: Whole, category: Whole, appeal: Floats
) -> Reactions:
    """Drawn with what belongs to this visit and category: wherever it stands, it meets the same luck."""
    keys = (user, second, category)
    chance = click_chance(plan, people, user, category, appeal, slot)
    click = uniforms(plan.seed, Stream.CLICK, *keys) < chance
    annoyed = expit(DISMISS_LEVEL + DISMISS_TASTE * people.taste[user, category])
    looked = np.array(EXAMINED)[slot - 1] * ~people.bot[user]
    dismiss = ~click & (uniforms(plan.seed, Stream.DISMISS, *keys) < looked * annoyed)
    wait = whole(uniforms(plan.seed, Stream.REACTION_TIME, *keys), *REACTION)
    led = poisson(uniforms(plan.seed, Stream.FOLLOW_UP, *keys), np.full(len(user), LED))
    return Reactions(wait * click, wait * dismiss, led * click)


def led_events(
    plan: Plan, user: Whole, second: Whole, category: Whole, done: Reactions
) -> tuple[Whole, Whole, Whole]:
    """User, action and second of what clicks led to."""
    row = np.repeat(np.arange(len(user)), done.led)
    repeat = np.arange(len(row)) - np.repeat(np.cumsum(done.led) - done.led, done.led)
    keys = (user[row], second[row], category[row], repeat)
    later = whole(uniforms(plan.seed, Stream.FOLLOW_UP_TIME, *keys), *FOLLOW_UP)
    return user[row], LEADS_TO[category[row]], second[row] + done.click[row] + later


def poisson(draws: Floats, mean: Floats) -> Whole:
    """Poisson numbers from uniform draws by inversion: more where the mean is higher, for the same draw.

    As `scipy.stats.poisson.ppf`, in a twentieth of its time for means as small as these.
    """
    count = np.zeros(draws.shape, np.int64)
    flat, draw, rate = count.reshape(-1), draws.reshape(-1), mean.reshape(-1)
    left = np.flatnonzero(draw >= np.exp(-rate))
    probability = np.exp(-rate[left])
    cumulated = probability.copy()
    number = 0
    while len(left):
        number += 1
        probability = probability * rate[left] / number
        cumulated = cumulated + probability
        flat[left] = number
        on = (draw[left] >= cumulated) & ((probability > 1e-17) | (number < rate[left]))
        left, probability, cumulated = left[on], probability[on], cumulated[on]
    return count
