"""Who gets which variant, in plain Python: what a backend copies to decide at once, as Spark will say later.

Nothing but the standard library. `firstday.experiments.assign` says the same in Spark's built-in functions.
A unit is its id as text: 12, not 12.0 or 012.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import accumulate

DIGITS = 13  # hexadecimal: 52 bits, which a double holds exactly


def bucket(salt: str, unit: str) -> float:
    """The unit's place in [0, 1), as good as drawn evenly; another salt gives an independent one."""
    return int(sha256(f"{salt}:{unit}".encode()).hexdigest()[:DIGITS], 16) / 16**DIGITS


def pick(place: float, shares: Mapping[str, float]) -> str:
    """The variant whose share of [0, 1) the place is in; shares follow each other in the order written."""
    ends = accumulate(shares.values())
    return next((name for name, end in zip(shares, ends, strict=True) if place < end), list(shares)[-1])


def treated(salt: str, unit: str, share: float) -> bool:
    """Whether a ramp has reached the unit: whoever is treated at a share is treated at every larger one."""
    return bucket(salt, unit) < share


def in_layer(name: str, unit: str, start: float, end: float) -> bool:
    """Whether the unit is in the experiment that has this range of the layer."""
    return start <= bucket(name, unit) < end


def held_out(salt: str, unit: str, share: float) -> bool:
    """Whether the unit is in no experiment at all."""
    return bucket(salt, unit) < share


def in_period(first: str, variants: Iterable[str], period: int) -> str:
    """What a unit of a crossover has in a period (1 is the first), where `first` is what it began with."""
    other = next(name for name in variants if name != first)
    return first if period % 2 else other


def by_number(unit: str, variants: Iterable[str]) -> str:
    """What a unit of a crossover by odd_even begins with: even numbers the variant that is written first."""
    return tuple(variants)[int(unit) % 2]
