"""The cross products of a cohort by anchor date, with the segments' own differences taken out.

Everything that tells a cause from its companions is computed from these few small arrays. Actions are
measured as log(1 + count); the last column of every array is retention (0 or 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.moments.products import SCALE

Floats = NDArray[np.float64]



@dataclass(frozen=True)
class DateProducts:
    """`dates` anchor dates, `actions` names; arrays end with retention as an (actions + 1)-th variable.

    users: (dates,) matured users. means: (dates, actions + 1), net of segments. products: (dates, actions + 1,
    actions + 1), sums of products of deviations from the date's and the segment's mean.
    """

    actions: tuple[str, ...]
    users: Floats
    means: Floats
    products: Floats

    @property
    def dates(self) -> int:
        return len(self.users)

    @property
    def freedom(self) -> Floats:
        """(dates,) degrees of freedom of `products`."""
        return np.maximum(self.users - 1, 0)

    def without(self, date: int) -> "DateProducts":
        keep = np.arange(self.dates) != date
        return DateProducts(self.actions, self.users[keep], self.means[keep], self.products[keep])

    def within(self) -> Floats:
        """Covariance within dates, (actions + 1, actions + 1)."""
        return np.asarray(self.products.sum(axis=0) / max(self.freedom.sum(), 1.0))

    def between(self) -> Floats:
        """Covariance of the dates' means without the sampling noise that users of one date share.

        A date's mean action and its mean retention come from the same users, so a plain covariance of the
        means holds the covariance within dates, divided by the users a date. Taking that off is the same as
        averaging over pairs of different users (leave one out).
        """
        weights = self.users / self.users.sum()
        centred = self.means - weights @ self.means
        plain = (centred * weights[:, None]).T @ centred
        noise = self.within() * (self.dates - 1) / self.users.sum()
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
    sum_xr, sum_xx (upper triangle by rows). Only actions that are measured on nearly all dates are kept.
    """
    rows = rows[rows["users"] > 0]
    actions = _measured_throughout(rows)
    width = len(actions) + 1
    sums, squares = _expand(rows, actions)
    users = rows["users"].to_numpy(dtype=float)
    segment = rows.groupby(list(segments), dropna=False).ngroup().to_numpy() if segments else np.zeros(len(rows), int)
    dates, date = np.unique(rows["anchor_date"].to_numpy(), return_inverse=True)
    # Take the segments' means out of every user's values, by way of the sums.
    segment_users = np.bincount(segment, users)
    segment_means = _sum_by(segment, sums) / segment_users[:, None]
    mean = segment_means[segment]
    cross = sums[:, :, None] * mean[:, None, :]
    net_squares = squares - cross - cross.transpose(0, 2, 1)
    net_squares += users[:, None, None] * mean[:, :, None] * mean[:, None, :]
    date_users = np.bincount(date, users)
    means = _sum_by(date, sums - users[:, None] * mean) / date_users[:, None]
    products = _sum_by(date, net_squares.reshape(len(rows), -1)).reshape(len(dates), width, width)
    products -= date_users[:, None, None] * means[:, :, None] * means[:, None, :]
    return DateProducts(actions, date_users, means, products)


def _measured_throughout(rows: pd.DataFrame, share: float = 0.9) -> tuple[str, ...]:
    """Actions that lead on dates that hold at least `share` of the users."""
    measured = rows[["users", "actions"]].explode("actions").groupby("actions")["users"].sum()
    kept = measured[measured >= share * rows["users"].sum()]
    return tuple(sorted(map(str, kept.index)))


def _expand(rows: pd.DataFrame, actions: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Dense (rows, actions + 1) sums and (rows, actions + 1, actions + 1) cross products, in natural units."""
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
    total = np.zeros((int(group.max()) + 1, values.shape[1]))
    np.add.at(total, group, values)
    return total
