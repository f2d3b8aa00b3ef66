"""Draws that belong to what they decide: each is a hash of the seed, a stream and its keys, not of an order.

So two policies played in one world meet the same visits, and the same content in the same slot of the same
visit gets the same draw: a comparison of policies is paired.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Stream(IntEnum):
    """What a draw decides; draws of different streams are independent of one another."""

    VISIT = 1
    VISIT_TIME = 2
    RE_ENTRY = 3
    RE_ENTRY_GAP = 4
    CLICK = 5
    DISMISS = 6
    JOIN = 7
    REACTION_TIME = 8
    JOIN_TIME = 9
    EXPLORE = 10
    EXPLORE_ORDER = 11
    CONTENT = 12
    PAYMENTS = 13
    PAYMENT_CATEGORY = 14
    PAYMENT_TIME = 15
    PAYMENT_AMOUNT = 16
    FOLLOW_UP = 17
    FOLLOW_UP_TIME = 18
    FOLLOW_UP_AMOUNT = 19
    APP_ACTION = 20
    APP_ACTION_TIME = 21
    POLICY = 22


def uniforms(seed: int, stream: Stream, *keys: ArrayLike) -> NDArray[np.float64]:
    """Uniform draws in [0, 1), one for each combination of the keys (whole numbers, broadcast together)."""
    state = _mixed(np.array([seed], np.uint64) + _GOLDEN * np.array([stream], np.uint64))
    for key in keys:
        state = _mixed(state + _GOLDEN + np.atleast_1d(key).astype(np.uint64) * _GOLDEN)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def whole(draws: NDArray[np.float64], low: int, high: int) -> NDArray[np.int64]:
    """Whole numbers from `low` to `high`, both included, from uniform draws."""
    return (low + draws * (high - low + 1)).astype(np.int64)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014, OOPSLA); arrays wrap around in silence."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
