"""What an experiment's units come down to: how many, and the sums and products of what they did."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from firstday.stats.estimate import Floats

CONSTANT = 1e-14  # of a level: what varies less is rounding
LARGE_LEVEL = 30.0  # standard deviations: from so large a mean on, squares lose the digits that vary


@dataclass(frozen=True)
class Sums:
    """Sums over units of an outcome y, its denominator d (1 each for a mean) and a covariate x (0 without).

    y is what is measured of a unit (retained: 0 or 1; clicks), d what it is a share of (1; impressions),
    x what was known of it before its assignment. n: units. All have one shape, an entry an experiment,
    segment or date; every function of this package works entry by entry. Two sets of units that share
    nobody add up: `one + other`.

    y is counted from `y_centre` × d on and x from `x_centre`, which are 0 unless a level is large against its
    spread: of squares of 100,000 ± 1 a double keeps too few digits.
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
    y_centre: Floats = field(default_factory=lambda: np.zeros(()))
    x_centre: Floats = field(default_factory=lambda: np.zeros(()))

    def __add__(self, other: Self) -> Self:
        other = other.about(self.y_centre, self.x_centre)
        return replace(self, **{part: getattr(self, part) + getattr(other, part) for part in PARTS})

    def __getitem__(self, at: Any) -> Self:
        """The entries `at`, of the parts' own shape."""
        shape = np.shape(self.n)
        every = {name: np.broadcast_to(getattr(self, name), shape) for name in CENTRES}
        return type(self)(
            *(getattr(self, part)[at] for part in PARTS), *(each[at] for each in every.values())
        )

    def sum(self, axis: int = -1) -> Self:
        """Over an axis along which the centres are the same."""
        return self._along(axis, lambda values: values.sum(axis), keep=False)

    def cumulative(self, axis: int = -1) -> Self:
        """What had been seen until each entry along the axis."""
        return self._along(axis, lambda values: values.cumsum(axis), keep=True)

    def _along(self, axis: int, total: Callable[[Floats], Floats], *, keep: bool) -> Self:
        centres = [np.asarray(getattr(self, name)) for name in CENTRES]
        if not keep:
            centres = [each.take(0, axis) if each.ndim else each for each in centres]
        every = [total(getattr(self, part)) for part in PARTS]
        return type(self)(*every, *centres)

    def about(self, y_centre: npt.ArrayLike, x_centre: npt.ArrayLike) -> Self:
        """The same sums, counted from other centres."""
        over, across = (
            np.asarray(own) - np.asarray(new)
            for own, new in ((self.y_centre, y_centre), (self.x_centre, x_centre))
        )
        if not over.any() and not across.any():
            return self
        return type(self)(
            n=self.n,
            y=self.y + over * self.d,
            d=self.d,
            x=self.x + across * self.n,
            yy=self.yy + 2 * over * self.yd + over**2 * self.dd,
            dd=self.dd,
            xx=self.xx + 2 * across * self.x + across**2 * self.n,
            yd=self.yd + over * self.dd,
            yx=self.yx + across * self.y + over * self.dx + over * across * self.d,
            dx=self.dx + across * self.d,
            y_centre=np.asarray(y_centre, dtype=float),
            x_centre=np.asarray(x_centre, dtype=float),
        )

    @classmethod
    def of(cls, y: Floats, d: Floats | None = None, x: Floats | None = None, axis: int = -1) -> Self:
        """From units: y, d and x have a unit an entry along the axis."""
        y = np.asarray(y, dtype=float)
        x = np.zeros_like(y) if x is None else np.asarray(x, dtype=float)
        d = np.ones_like(y) if d is None else np.asarray(d, dtype=float)
        y_centre, x_centre = common_centre(y, d), common_centre(x, np.ones_like(x))
        y, x = y - y_centre * d, x - x_centre
        each = (np.ones_like(y), y, d, x, y * y, d * d, x * x, y * d, y * x, d * x)
        every = [part.sum(axis) for part in each] + [np.asarray(y_centre), np.asarray(x_centre)]
        return cls(*every)


CENTRES = ("y_centre", "x_centre")
PARTS = tuple(each.name for each in fields(Sums) if each.name not in CENTRES)


def centre_for(mean: float, deviation: float, zero_one: bool) -> float:
    """What values of this mean and standard deviation are to be counted from: 0 unless the mean is large.

    Values of 0 and 1 keep their own methods, and so their 0; whole numbers stay whole.
    """
    if zero_one or not deviation > 0 or abs(mean) <= LARGE_LEVEL * deviation:
        return 0.0
    whole = float(np.rint(mean))
    return whole if abs(mean - whole) <= LARGE_LEVEL * deviation / 2 else float(mean)


def common_centre(y: Floats, d: Floats) -> float:
    """What y is counted from for a unit of d: one for all entries, so that sums of any of them add up."""
    y, d = np.broadcast_arrays(y, d)
    known = np.isfinite(y) & np.isfinite(d) & (d != 0)
    if known.sum() < 2:
        return 0.0
    y, d = y[known], d[known]
    squares = (d**2).sum()
    ratio = float((y * d).sum() / squares)
    deviation = float(np.sqrt(((y - ratio * d) ** 2).sum() / squares))
    # Nothing but rounding is left of what is one ratio for all.
    if deviation <= CONSTANT * abs(ratio):
        return 0.0
    zero_one = bool(np.isin(y, (0.0, 1.0)).all() and (d == 1).all())
    return centre_for(ratio, deviation, zero_one)


def centre_of_sums(y: float, d: float, yy: float, yd: float, dd: float) -> float:
    """`common_centre` of units whose sums these are, from 0 on."""
    if not dd > 0 or (y == yy and d == dd):
        return 0.0
    ratio = yd / dd
    # The difference of such squares is no more exact than this; what it is exactly, centred sums say.
    squares = max(yy - ratio * yd, (CONSTANT * ratio) ** 2 * dd)
    return centre_for(ratio, float(np.sqrt(squares / dd)), False)


def is_constant(yy: float, dd: float, centre: float) -> bool:
    """Whether sums that are counted from a centre hold nothing but rounding."""
    return bool(centre) and yy <= (CONSTANT * centre) ** 2 * dd
