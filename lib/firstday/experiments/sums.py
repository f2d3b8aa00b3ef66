"""What an experiment's units come down to: how many, and the sums and products of what they did."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Sums over units of an outcome y, its denominator d (1 each for a mean) and a covariate x (0 without).

    y is what is measured of a unit (retained: 0 or 1; clicks), d what it is a share of (1; impressions),
    x what was known of it before its assignment. n: units. All have one shape, an entry an experiment,
    segment or date; every function of this package works entry by entry. Two sets of units that share
    nobody add up: `one + other`. Sums of doubles: a mean thousands of times the spread costs digits.
    """

    n: Floats
    y: Floats
    d: Floats
    x: Floats
    yy: Floats
    dd: Floats
    xx: Floats
    yd: Floats
    yx: Floats
    dx: Floats

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, part) + getattr(other, part) for part in PARTS))

    def __getitem__(self, at: object) -> Self:
        return type(self)(*(getattr(self, part)[at] for part in PARTS))

    def sum(self, axis: int = -1) -> Self:
        return type(self)(*(getattr(self, part).sum(axis) for part in PARTS))

    def cumulative(self, axis: int = -1) -> Self:
        """What had been seen until each entry along the axis."""
        return type(self)(*(getattr(self, part).cumsum(axis) for part in PARTS))

    @classmethod
    def of(cls, y: Floats, d: Floats | None = None, x: Floats | None = None, axis: int = -1) -> Self:
        """From units: y, d and x have a unit an entry along the axis."""
        y = np.asarray(y, dtype=float)
        d = np.ones_like(y) if d is None else np.asarray(d, dtype=float)
        x = np.zeros_like(y) if x is None else np.asarray(x, dtype=float)
        each = (np.ones_like(y), y, d, x, y * y, d * d, x * x, y * d, y * x, d * x)
        return cls(*(part.sum(axis) for part in each))


PARTS = tuple(field.name for field in fields(Sums))
