"""What units seen in several periods come down to: sums per group and period, and products between periods.

A group holds the units that are treated alike: all of one crossover sequence, or all that a ramp switches at
the same stage. Units are the independent draws, and a unit's periods move together: so every variance here
is clustered by unit (Liang & Zeger 1986, Biometrika 73), and needs nothing but the products between periods.
"""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from firstday.errors import DataError, SettingsError
from firstday.experiments.sums import Floats, common_centre, is_constant
from firstday.stats.estimate import Estimate, welch

# Below this share of the squares themselves, what is left of them after centring is rounding, not variation.
ROUNDING = 1e-10


@dataclass(frozen=True)
class PanelSums:
    """Sums over the units of a group; shapes (..., groups), then + periods, then + periods × periods.

    y[p] is what is measured of a unit in period p (retained: 0 or 1; clicks), d[p] what it is a share of: 1
    where the unit took part in p (0 where it did not), or its impressions in p. One row a unit with a column
    of y and of d a period, grouped once, gives all: n = count(*), y = sum(y_p), d = sum(d_p), yy = sum(y_p *
    y_q), yd = sum(y_p * d_q), dd = sum(d_p * d_q). A unit without a row in a period has y = d = 0 there.
    Sets of units that share nobody add up. Days of wash-out are left out before.

    y is counted from centre × d, for the reason that `Sums` gives: one centre for all cells. Differences of
    rates are what they would be from 0 on.
    """

    n: Floats
    y: Floats
    d: Floats
    yy: Floats
    yd: Floats
    dd: Floats
    centre: float = 0.0

    def __post_init__(self) -> None:
        shape, periods = np.shape(self.y), np.shape(self.y)[-1:]
        right = {"n": shape[:-1], "y": shape, "d": shape}
        right |= dict.fromkeys(("yy", "yd", "dd"), (*shape, *periods))
        for part, expected in right.items():
            values = getattr(self, part)
            if np.shape(values) != expected or not np.isfinite(values).all():
                raise DataError(
                    f"the sums {part} are finite numbers of shape {expected}",
                    value=np.shape(values),
                    next_step="look for infinite or missing values in the metric, and for a missing period",
                )

    def __add__(self, other: Self) -> Self:
        other = other.about(self.centre)
        return replace(self, **{part: getattr(self, part) + getattr(other, part) for part in PARTS})

    def about(self, centre: float) -> Self:
        """The same sums, counted from another centre."""
        over = self.centre - centre
        if not over:
            return self
        crossed = self.yd + np.swapaxes(self.yd, -1, -2)
        return replace(
            self,
            y=self.y + over * self.d,
            yy=self.yy + over * crossed + over**2 * self.dd,
            yd=self.yd + over * self.dd,
            centre=centre,
        )

    def without_constants(self) -> Self:
        """Counted from 0 where nothing varies: about a centre there is but rounding left."""
        yy, dd = (float(np.trace(part, axis1=-2, axis2=-1).sum()) for part in (self.yy, self.dd))
        return self.about(0.0) if is_constant(yy, dd, self.centre) else self

    @classmethod
    def of(
        cls,
        y: npt.ArrayLike,
        d: npt.ArrayLike | None = None,
        *,
        group: npt.NDArray[np.int_],
        groups: int,
    ) -> Self:
        """From units: y and d are (..., units, periods); group[unit] is 0 .. groups - 1."""
        outcome = np.asarray(y, dtype=float)
        base = np.ones_like(outcome) if d is None else np.asarray(d, dtype=float)
        centre = common_centre(outcome, base)
        outcome = outcome - centre * base

        members = [np.flatnonzero(group == g) for g in range(groups)]

        def total(values: Floats) -> Floats:
            return np.stack([values[..., who, :].sum(-2) for who in members], axis=-2)

        def products(one: Floats, other: Floats) -> Floats:
            each = [np.swapaxes(one[..., who, :], -1, -2) @ other[..., who, :] for who in members]
            return np.stack(each, axis=-3)

        n = np.broadcast_to([float(len(who)) for who in members], (*outcome.shape[:-2], groups))
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused with its reason
            yy, yd, dd = products(outcome, outcome), products(outcome, base), products(base, base)
            return cls(n, total(outcome), total(base), yy, yd, dd, centre)

    def since(self, period: int) -> Self:
        """Without the periods before this place."""
        y, d = (part[..., period:] for part in (self.y, self.d))
        yy, yd, dd = (part[..., period:, period:] for part in (self.yy, self.yd, self.dd))
        return type(self)(self.n, y, d, yy, yd, dd, self.centre)

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """(..., groups, periods): cells that say something. One unit alone has no variance: it does not."""
        return (self.d > 0) & (self.n[..., None] > 1)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """(groups, periods): cells that any entry has somebody in."""
        return (self.d > 0).any(axis=tuple(range(self.d.ndim - 2)))

    def residual_products(self, rates: Floats) -> Floats:
        """Sums over a group's units of (y_p - rate_p d_p)(y_q - rate_q d_q), about their mean, × n / (n - 1).

        rates: (..., groups, periods), what y / d is expected to be in each cell. Shape as yy. This is n × the
        covariance of a cell's total residual: the delta method (Deng, Knoblich & Lu 2018, KDD).
        """
        down, across = rates[..., :, None], rates[..., None, :]
        crossed = self.yy - across * self.yd - down * np.swapaxes(self.yd, -1, -2) + down * across * self.dd
        total = self.y - rates * self.d
        n = np.where(self.n > 1, self.n, np.nan)[..., None, None]
        centred = (crossed - total[..., :, None] * total[..., None, :] / n) * (n / (n - 1))
        own, raw = (np.diagonal(each, axis1=-2, axis2=-1) for each in (centred, self.yy))
        varies = own > ROUNDING * (raw + rates**2 * np.diagonal(self.dd, axis1=-2, axis2=-1))
        return np.where(varies[..., :, None] & varies[..., None, :], centred, 0.0)

    def rates(self) -> Floats:
        """Outcome over denominator per cell, less the centre; 0, not NaN, where nothing was seen: its weight
        is 0.
        """
        return np.divide(self.y, self.d, out=np.zeros(self.y.shape), where=self.d > 0)


PARTS = tuple(field.name for field in fields(PanelSums) if field.name != "centre")


def combined(sums: PanelSums, weights: Floats) -> tuple[Floats, Floats]:
    """A weighted sum of the cells' rates, and its standard error clustered by unit.

    weights: (..., groups, periods). Both answers: (...).
    """
    return (weights * sums.rates()).sum((-2, -1)), np.sqrt(_group_variances(sums, weights).sum(-1))


def estimated(sums: PanelSums, weights: Floats, alpha: float) -> Estimate:
    """The weighted sum of the cells' rates with Welch's t."""
    return welch((weights * sums.rates()).sum((-2, -1)), _group_variances(sums, weights), sums.n, alpha)


def _group_variances(sums: PanelSums, weights: Floats) -> Floats:
    """What each group adds to the variance of a weighted sum of the cells' rates: (..., groups)."""
    scaled = weights / np.where(sums.seen, sums.d, np.inf)
    products = sums.residual_products(sums.rates())
    return np.maximum(np.einsum("...gp,...gpq,...gq->...g", scaled, products, scaled), 0.0)


def within_weights(sums: PanelSums, terms: Floats) -> Floats:
    """What each cell's rate adds to each coefficient of a regression on terms, groups and periods.

    terms: (groups, periods, terms). Least squares with an effect a group and a period, cells weighted by
    units: for a mean this is the regression on unit and period effects, unit by unit, to the last digit,
    because terms do not differ between the units of a group. Shape (..., terms, groups, periods); NaN where
    the cells that were seen do not determine the coefficient.
    """
    groups, periods, count = terms.shape
    group_effects = np.repeat(np.eye(groups), periods, axis=0)
    period_effects = np.tile(np.eye(periods), (groups, 1))
    columns = np.hstack([terms.reshape(-1, count), group_effects, period_effects])
    root = np.sqrt(np.where(sums.seen, sums.n[..., None], 0.0))
    root = root.reshape(*root.shape[:-2], groups * periods)
    # Scaled, so that one tolerance serves ten units and ten million.
    root = root / np.maximum(root.max(-1, keepdims=True), 1.0)
    seen = root[..., None] * columns
    # Group and period effects are collinear; the generalised inverse keeps the coefficients of the terms.
    inverse = np.linalg.pinv(seen, rcond=1e-10)[..., :count, :]
    determined = np.abs(inverse @ seen - np.eye(count, columns.shape[1])).max(-1) < 1e-6
    weights = inverse * root[..., None, :]
    weights = np.where(np.abs(weights) < 1e-12, 0.0, weights)
    weights = np.where(determined[..., None], weights, np.nan)
    return weights.reshape(*weights.shape[:-1], groups, periods)


def checked_arms(treated: npt.ArrayLike, sums: PanelSums) -> npt.NDArray[np.bool_]:
    """(groups, periods), who is treated when, as booleans. Raises SettingsError for anything else.

    What is said of a group in a period that it has nobody in is of no consequence.
    """
    arms = np.asarray(treated)
    if arms.shape != sums.y.shape[-2:]:
        raise SettingsError(
            "the design says of each group and period of the sums whether it is treated",
            value=f"{arms.shape} for sums of {sums.y.shape[-2:]}",
            next_step="give one row a group and one column a period",
        )
    if not np.isin(arms, (0, 1)).all():
        raise SettingsError(
            "a group is treated in a period (1) or is not (0)",
            value=arms[~np.isin(arms, (0, 1))].tolist(),
            next_step="write 1 where the group saw the treatment and 0 where it saw the control",
        )
    return arms.astype(bool)
