"""What a customer does with a content that is shown: the truth that a recommender should find out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from firstday.simulation.bank_catalog import DAY
from firstday.simulation.bank_random import Stream, uniforms, whole

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

# Mean chance of a click in slot 1, nobody tired and the content of average appeal, over all who may have it.
BASE_RATE = 0.03
EXAMINED = (1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.25, 0.2)  # share of the visits in which a slot is looked at
SLOTS = len(EXAMINED)
TIRED = 0.25  # what each looked-at exposure without a reaction takes off the logit of a click
MOST_TIRED = 6.0  # exposures; further ones tire no more
RECOVERY = 5 * DAY  # half-life of an exposure, in seconds
DISMISSED = 4.0  # exposures that a dismissal counts as
HELD = 4.0  # what holding a category takes off the logit
DISMISS_LEVEL, DISMISS_TIRED, DISMISS_INTEREST = -6.5, 0.35, -0.3  # logit of dismissing what was looked at
JOIN_LEVEL, JOIN_INTEREST = -1.2, 0.5  # logit of joining after a click, for those who may and have it not
REACTION_SECONDS = (3, 60)  # after the content was shown
JOIN_SECONDS = (20, 110)  # after the click


@dataclass(frozen=True)
class Chances:
    """Of (click), and of (dismiss) where there was no click, arrays of one shape."""

    click: Floats
    dismiss: Floats
    join: Floats


@dataclass(frozen=True)
class Reactions:
    """Seconds from the showing to each reaction, 0 where there was none; arrays of one shape."""

    click: Whole
    dismiss: Whole
    join: Whole


def intercept(interest: Floats, offerable: NDArray[np.bool_]) -> float:
    """What has to be added to the interest for a mean chance of BASE_RATE in slot 1, by bisection.

    So a content shown at random is clicked as often in a world of strong tastes as in one of none.
    """
    logits = interest[offerable]
    low, high = -20.0, 20.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if expit(logits + middle).mean() > BASE_RATE else (middle, high)
    return (low + high) / 2


def recovered(tired: Floats, seconds: Whole) -> Floats:
    """Exposures that still count after some seconds of rest."""
    return np.asarray(tired * 0.5 ** (np.maximum(seconds, 0) / RECOVERY))


def chances(
    interest: Floats,
    *,
    level: float,
    appeal: Floats | float,
    slot: Whole,
    tired: Floats,
    held: NDArray[np.bool_],
    eligible: NDArray[np.bool_],
) -> Chances:
    """Arrays of one shape; level: the intercept; slot: from 1; tired: exposures that still count."""
    looked = np.array(EXAMINED)[slot - 1]
    weight = np.minimum(tired, MOST_TIRED)
    click = looked * expit(level + interest + appeal - TIRED * weight - HELD * held)
    dismiss = looked * expit(DISMISS_LEVEL + DISMISS_TIRED * weight + DISMISS_INTEREST * interest)
    join = expit(JOIN_LEVEL + JOIN_INTEREST * interest) * (eligible & ~held)
    return Chances(click, dismiss, join)


def react(seed: int, chance: Chances, user: Whole, second: Whole, slot: Whole, content: Whole) -> Reactions:
    """Drawn with what belongs to this visit, slot and content, and to nothing else."""
    keys = (user, second, slot, content)
    click = uniforms(seed, Stream.CLICK, *keys) < chance.click
    dismiss = ~click & (uniforms(seed, Stream.DISMISS, *keys) < chance.dismiss)
    join = click & (uniforms(seed, Stream.JOIN, *keys) < chance.join)
    wait = whole(uniforms(seed, Stream.REACTION_TIME, *keys), *REACTION_SECONDS)
    more = whole(uniforms(seed, Stream.JOIN_TIME, *keys), *JOIN_SECONDS)
    return Reactions(wait * click, wait * dismiss, (wait + more) * join)
