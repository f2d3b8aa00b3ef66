"""An invented bank with customers of hidden tastes, and weeks of a log by its old, hand-made targeting.

What a customer clicks follows taste (in part determined by demographics and payments), the category's
popularity, the content, the slot, fatigue and what is held already. The parameters are the modules'
constants, written before any recommender was; docs/simulate.md says why they are what they are.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.errors import SettingsError
from firstday.simulation.bank_catalog import DAY, NAMES, make_contents
from firstday.simulation.bank_customers import Population, make_population
from firstday.simulation.bank_lists import Lists
from firstday.simulation.bank_log import CATEGORY_NAMES, START, instants
from firstday.simulation.bank_policies import click_rates
from firstday.simulation.bank_random import Stream, uniforms
from firstday.simulation.bank_world import Bank

HISTORY_SLOTS = 4
HISTORY_POLICY = "segment"
EXPLORING = 0.2  # share of the history's lists that are drawn at random, whole
SPOKEN_SHARE = 0.04  # of the customers, who have said what they like
SPOKEN_NOISE = 0.7  # standard deviation of what moves a statement beside taste


def simulate_bank(
    *, customers: int = 5_000, strength: float = 1.0, seed: int = 1, history_days: int = 56
) -> Bank:
    """A bank with a history, at the first instant after it; the same arguments give the same world.

    strength: standard deviation, over customers, of the interest in a category, on the logit of a click; with
    0 categories differ by popularity only. history_days: days that the old policy is logged.

    Raises SettingsError for no customers, no days, or a negative strength.
    """
    if customers < 1 or history_days < 1:
        raise SettingsError(
            "a bank needs customers and a history",
            value=(customers, history_days),
            next_step="give 1 or more",
        )
    if not 0 <= strength < np.inf:
        raise SettingsError("a strength of taste is not negative", value=strength, next_step="give 0 or more")
    draw = np.random.default_rng(seed)
    contents = make_contents(draw, history_days)
    people = make_population(draw, customers, strength, history_days, START)
    preferences = _preferences(draw, people, strength, history_days)
    bank = Bank(seed=seed, strength=strength, people=people, contents=contents, preferences=preferences)
    while bank.day < history_days:
        ranking = _segment_scores(bank)
        bank.play(
            min(7, history_days - bank.day),
            lambda user, second, scores=ranking: _old_policy(bank, scores, user, second),  # type: ignore[misc]
        )
    return bank


def _segment_scores(bank: Bank) -> NDArray[np.float64]:
    """What the bank targets a week by, segments x categories: the log of last month, or holdings at first."""
    segment = bank.people.segment
    if bank.day > 0:
        return click_rates(bank, segment)
    held = np.zeros((segment.max() + 1, len(NAMES)))
    np.add.at(held, segment, bank.held())
    return held


def _old_policy(
    bank: Bank, scores: NDArray[np.float64], user: NDArray[np.int64], second: NDArray[np.int64]
) -> Lists:
    """A list for each visit: the segment's best categories or, for a share of the lists, any categories.

    The propensity is that of the content in its slot, whatever the rest of the list, and exact: the k-th best
    category is in slot k of a targeted list, each is there equally often in a random one, and the content is
    drawn among the category's live ones.
    """
    offerable = bank.offerable(user, second)
    best = np.where(offerable, -scores[bank.people.segment[user]], np.inf)
    keys = (user[:, None], second[:, None], np.arange(len(NAMES)))
    luck = np.where(offerable, uniforms(bank.seed, Stream.EXPLORE_ORDER, *keys), np.inf)
    explores = uniforms(bank.seed, Stream.EXPLORE, user, second) < EXPLORING
    targeted = np.argsort(best, axis=1, kind="stable")[:, :HISTORY_SLOTS]
    random = np.argsort(luck, axis=1)[:, :HISTORY_SLOTS]
    category = np.where(explores[:, None], random, targeted)
    filled = np.take_along_axis(offerable, category, axis=1)
    content, count = _any_live(bank, category, user, second)
    choices = np.maximum(offerable.sum(axis=1, keepdims=True), 1)
    chance = (1 - EXPLORING) * (category == targeted) + EXPLORING / choices
    return Lists(
        np.where(filled, content, -1),
        np.where(filled, chance / np.maximum(count, 1), np.nan),
        np.where(filled, np.array(HISTORY_POLICY, object), np.array(None, object)),
    )


def _any_live(
    bank: Bank, category: NDArray[np.int64], user: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each visit and slot one of the category's live contents, drawn, and how many there are."""
    live = bank.live_contents(second)[1]
    draws = uniforms(bank.seed, Stream.CONTENT, user[:, None], second[:, None], np.arange(category.shape[1]))
    content, count = np.full(category.shape, -1), np.zeros(category.shape, np.int64)
    first = np.searchsorted(bank.banners.category, np.arange(len(NAMES)))
    most = np.bincount(bank.banners.category).max()
    sizes = np.bincount(bank.banners.category, minlength=len(NAMES))
    # Contents are sorted by category: the n-th of a category is `first + n`.
    is_live = np.zeros((*category.shape, most), bool)
    for number in range(most):
        place = np.minimum(first[category] + number, len(bank.banners.ids) - 1)
        is_live[..., number] = (number < sizes[category]) & np.take_along_axis(live, place, axis=1)
    count = is_live.sum(axis=2)
    wanted = (draws * count).astype(np.int64)
    nth = np.argmax(is_live & (is_live.cumsum(axis=2) == wanted[..., None] + 1), axis=2)
    content = np.where(count > 0, first[category] + nth, -1)
    return content, count


def _preferences(
    draw: np.random.Generator, people: Population, strength: float, history_days: int
) -> pd.DataFrame:
    """One to three statements each of a few customers, at any time from their joining, or the start, on."""
    speaks = np.flatnonzero(draw.random(len(people.joined)) < SPOKEN_SHARE)
    user = np.repeat(speaks, draw.integers(1, 4, len(speaks)))
    category = draw.integers(0, len(NAMES), len(user))
    noisy = strength * people.taste[user, category] + draw.normal(0, SPOKEN_NOISE, len(user))
    since: NDArray[np.int64] = np.maximum(people.joined[user], 0)
    left = history_days * DAY - since
    second = since + (draw.random(len(user)) * left).astype(np.int64)
    frame = pd.DataFrame(
        {
            "user_id": people.customers["user_id"].to_numpy(object)[user],
            "category": CATEGORY_NAMES[category],
            "stated_at": instants(second),
            "strength": np.tanh(noisy).round(1),
        }
    )
    frame = frame.drop_duplicates(["user_id", "category"])
    return frame.sort_values(["stated_at", "user_id"], ignore_index=True)
