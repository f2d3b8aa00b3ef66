"""Policies to compare with: random, popularity, hand targeting, and the oracle that knows the truth.

All leave out what is held, ineligible or without a live content. Only `uniform` draws and has a propensity.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.simulation.bank_catalog import DAY, NAMES
from firstday.simulation.bank_log import CATEGORY_NAMES
from firstday.simulation.bank_random import Stream, uniforms
from firstday.simulation.bank_world import Bank

Floats = NDArray[np.float64]

MONTH = 28  # days of the log that popularity and hand targeting look back at
PRIOR = 100.0  # exposures at the overall rate that a click rate is smoothed with


def uniform(bank: Bank, slots: int = 4) -> pd.DataFrame:
    """A random list for each customer, drawn anew each day that it is asked for."""
    user, category = np.indices((len(bank.user_ids), len(NAMES)))
    scores = uniforms(bank.seed, Stream.POLICY, user, category, bank.day)
    content = uniforms(bank.seed, Stream.POLICY, user, len(NAMES), bank.day)[:, 0]
    return _lists(bank, scores, "uniform", slots, pick=content)


def popularity(bank: Bank, slots: int = 4) -> pd.DataFrame:
    """The categories of the best click rates of last month, the same for all who may have them."""
    everybody = np.zeros(len(bank.user_ids), np.int64)
    return _lists(bank, click_rates(bank, everybody)[everybody], "popularity", slots)


def hand_targeting(bank: Bank, slots: int = 4) -> pd.DataFrame:
    """The categories of the best click rates of last month in the customer's segment: region by age band."""
    segment = bank.people.segment
    return _lists(bank, click_rates(bank, segment)[segment], "hand_targeting", slots)


def oracle(bank: Bank, slots: int = 4, *, rested: bool = False) -> pd.DataFrame:
    """The categories that are most likely clicked now, by the truth; `rested`: blind for fatigue."""
    chance = bank.click_chances(rested=rested)
    return _lists(bank, chance, "oracle", slots, appeal=bank.banners.appeal)


POLICIES: dict[str, Callable[[Bank], pd.DataFrame]] = {
    "uniform": uniform,
    "popularity": popularity,
    "hand_targeting": hand_targeting,
    "oracle": oracle,
}


def click_rates(bank: Bank, segment: NDArray[np.int64]) -> Floats:
    """Smoothed click rates of last month, segments x categories; a segment's toward its category's."""
    log = bank.exposures(max(bank.day - MONTH, 0))
    shape = (int(segment.max()) + 1, len(NAMES))
    place = segment[log["user"]] * shape[1] + log["category"]
    shown = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    clicked = np.bincount(place, log["click"] > 0, minlength=shape[0] * shape[1]).reshape(shape)
    overall = clicked.sum() / max(shown.sum(), 1)
    category = (clicked.sum(axis=0) + PRIOR * overall) / (shown.sum(axis=0) + PRIOR)
    return np.asarray((clicked + PRIOR * category) / (shown + PRIOR))


def content_rates(bank: Bank) -> Floats:
    """Smoothed click rates of last month by content, toward the category's."""
    log = bank.exposures(max(bank.day - MONTH, 0))
    contents = len(bank.banners.ids)
    shown = np.bincount(log["content"], minlength=contents)
    clicked = np.bincount(log["content"], log["click"] > 0, minlength=contents)
    category = click_rates(bank, np.zeros(len(bank.user_ids), np.int64))[0][bank.banners.category]
    return np.asarray((clicked + PRIOR * category) / (shown + PRIOR))


def _lists(
    bank: Bank,
    scores: Floats,
    policy: str,
    slots: int,
    *,
    appeal: Floats | None = None,
    pick: Floats | None = None,
) -> pd.DataFrame:
    """The best categories by `scores` (customers x categories), ties by their order.

    Contents: the live one of the greatest `appeal` (of the best click rate, if not given) or, with `pick`,
    uniform draws by customer, any live one.
    """
    customers = np.arange(len(bank.user_ids))
    offerable = bank.offerable(customers, np.full(len(customers), bank.day * DAY))
    order = np.argsort(np.where(offerable, -scores, np.inf), axis=1, kind="stable")[:, :slots]
    row, place = np.nonzero(np.take_along_axis(offerable, order, axis=1))
    category = order[row, place]
    live = [np.flatnonzero(_live(bank) & (bank.banners.category == number)) for number in range(len(NAMES))]
    propensity = np.full(len(row), np.nan)
    if pick is None:
        rate = content_rates(bank) if appeal is None else appeal
        best = np.array([found[np.argmax(rate[found])] if len(found) else -1 for found in live])
        content = best[category]
    else:
        count = np.array([len(found) for found in live])
        padded = np.full((len(live), count.max()), -1)
        for number, found in enumerate(live):
            padded[number, : len(found)] = found
        content = padded[category, (pick[row] * count[category]).astype(np.int64)]
        propensity = 1 / (offerable.sum(axis=1)[row] * count[category])
    return pd.DataFrame(
        {
            "user_id": bank.user_ids[row],
            "slot": place + 1,
            "category": CATEGORY_NAMES[category],
            "content_id": bank.banners.ids[content],
            "policy": policy,
            "propensity": propensity,
        }
    )


def _live(bank: Bank) -> NDArray[np.bool_]:
    return bank.banners.live(bank.day * DAY)
