"""The cross products of a cohort by anchor date, with the segments' own differences taken out.

Everything that distinguishes a cause from its proxies is computed from these few small arrays. Actions are
measured as log(1 + count); the last column of every array is retention (0 or 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.moments.products import SCALE

Floats = NDArray[np.float64]
MEASURED_SHARE = 0.9  # of the users, on whose dates an action must be among the leading ones


@dataclass(frozen=True)
class DateProducts:
    """`dates` anchor dates, `actions` names; arrays end with retention as an (actions + 1)-th variable.

    users: (dates,) matured users. means: (dates, actions + 1), net of what segments differ by. products:
    (dates, actions + 1, actions + 1), sums of products of deviations from the date's and the segment's mean.
    """

    actions: tuple[str, ...]
    users: Floats
    means: Floats
    products: Floats

    @property
    def dates(self) -> int:
        return len(self.users)

    @property
    def mean(self) -> Floats:
        """(actions + 1,) over all users."""
        return np.asarray(self.users @ self.means / self.users.sum())

    @property
    def degrees_of_freedom(self) -> Floats:
        """(dates,) degrees of freedom of `products`."""
        return np.maximum(self.users - 1, 0)

    def without(self, date: int) -> "DateProducts":
        keep = np.arange(self.dates) != date
        return DateProducts(self.actions, self.users[keep], self.means[keep], self.products[keep])

    def within(self) -> Floats:
        """Covariance within dates, (actions + 1, actions + 1)."""
        return np.asarray(self.products.sum(axis=0) / max(self.degrees_of_freedom.sum(), 1.0))

    def within_left_out(self) -> Floats:
        """(dates, actions + 1, actions + 1) `within` without each date in turn."""
        degrees = np.maximum(self.degrees_of_freedom.sum() - self.degrees_of_freedom, 1.0)
        return np.asarray((self.products.sum(axis=0) - self.products) / degrees[:, None, None])

    def between(self, within: Floats | None = None) -> Floats:
        """Covariance of the dates' means without the sampling noise that users of one date share.

        A date's mean action and its mean retention come from the same users, so a plain covariance of the
        means holds the covariance within dates, divided by the users a date. Taking that off is, on average
        over worlds, the same as taking products over pairs of different users (leave one out); where all
        dates have as many users it is so exactly.
        """
        weights = self.users / self.users.sum()
        centred = self.means - weights @ self.means
        plain = (centred * weights[:, None]).T @ centred
        within = self.within() if within is None else within
        noise = within * (self.dates - 1) / self.users.sum()
        return np.asarray(plain - noise)

    def only(self, keep: Sequence[int]) -> "DateProducts":
        """The same for some of the actions, by position."""
        columns = np.array([*keep, len(self.actions)])
        return DateProducts(
            tuple(self.actions[i] for i in keep),
            self.users,
            self.means[:, columns],
            self.products[np.ix_(np.arange(self.dates), columns, columns)],
        )


def date_products(rows: pd.DataFrame, segments: Sequence[str]) -> DateProducts:
    """From rows of moment_products of one day: anchor_date, segment columns, users, retained, actions, sum_x,
    sum_xr, sum_xx (upper triangle by rows). Only actions that are measured on nearly all dates are kept, and
    only dates on which all of these are.
    """
    actions, kept = _measured_throughout(rows)
    rows = rows[kept]
    sums, squares = _expand(rows, actions)
    users = rows["users"].to_numpy(dtype=float)
    segment = _numbered(rows, segments)
    date = _numbered(rows, ["anchor_date"])
    # Take the segments' means out of every user's values, by way of the sums.
    mean = _mean_by(segment, sums, users)[segment]
    cross = sums[:, :, None] * mean[:, None, :]
    net_squares = squares - cross - cross.transpose(0, 2, 1)
    net_squares += users[:, None, None] * mean[:, :, None] * mean[:, None, :]
    means = _mean_by(date, sums - users[:, None] * mean, users)
    products = _sum_by(date, net_squares)
    date_users = _sum_by(date, users)
    products -= date_users[:, None, None] * means[:, :, None] * means[:, None, :]
    return DateProducts(actions, date_users, means + sums.sum(axis=0) / max(users.sum(), 1.0), products)


def _measured_throughout(rows: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """As many actions as all lead on dates with MEASURED_SHARE of the users, and the rows of these dates.

    What is not among a date's leading actions was not measured there; it is not 0.
    """
    users = rows["users"].to_numpy(dtype=float)
    leading = [frozenset(names) for names in rows["actions"]]
    measured = {
        action: np.array([action in names for names in leading])
        for action in frozenset[str]().union(*leading)
    }
    kept, together = [], users > 0
    for action in sorted(measured, key=lambda name: (-users[measured[name]].sum(), name)):
        if users[together & measured[action]].sum() < MEASURED_SHARE * users.sum():
            break
        kept.append(action)
        together &= measured[action]
    return tuple(sorted(kept)), together


def _numbered(rows: pd.DataFrame, segments: Sequence[str]) -> NDArray[np.int64]:
    """(rows,) the segment of each row, from 0; null is a value like others."""
    if not segments or rows.empty:
        return np.zeros(len(rows), dtype=np.int64)
    return rows.groupby(list(segments), dropna=False).ngroup().to_numpy(dtype=np.int64)


def _expand(rows: pd.DataFrame, actions: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Dense sums (rows, actions + 1) and products (rows, actions + 1, actions + 1), in natural units."""
    width = len(actions) + 1
    position = {action: i for i, action in enumerate(actions)}
    sums = np.zeros((len(rows), width))
    squares = np.zeros((len(rows), width, width))
    columns = (rows[name] for name in ("actions", "sum_x", "sum_xr", "sum_xx", "retained"))
    for row, (names, x, xr, xx, retained) in enumerate(zip(*columns, strict=True)):
        there = np.array([i for i, name in enumerate(names) if name in position], dtype=int)
        target = np.array([position[names[i]] for i in there], dtype=int)
        full = np.zeros((len(names), len(names)))
        full[np.triu_indices(len(names))] = xx
        full = full + np.triu(full, 1).T
        sums[row, target] = np.asarray(x, dtype=float)[there] / SCALE
        squares[row][np.ix_(target, target)] = full[np.ix_(there, there)] / SCALE**2
        squares[row, target, -1] = squares[row, -1, target] = np.asarray(xr, dtype=float)[there] / SCALE
        sums[row, -1] = squares[row, -1, -1] = retained
    return sums, squares


def _sum_by(group: NDArray[np.int64], values: Floats) -> Floats:
    """Sums of rows of `values` by group, (groups, ...)."""
    total = np.zeros((int(group.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(total, group, values)
    return total


def _mean_by(group: NDArray[np.int64], sums: Floats, users: Floats) -> Floats:
    return _sum_by(group, sums) / _sum_by(group, users)[:, None]
