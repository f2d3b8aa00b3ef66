"""The arrays of one segment and day, out of rows of the histogram."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.moments.trends import Series

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LEVEL_SUMS = ("other_level", "level_change", "level_change_retained", "level_change_squared")


@dataclass(frozen=True)
class Cohort:
    """All users of a segment whose Dn is known, by place (a stratum) and bin of all activity."""

    place: Integers
    level: Integers
    users: Floats
    retained: Floats

    @property
    def places(self) -> int:
        return _places(self.place)


@dataclass(frozen=True)
class Cells:
    """Users that did one action, by place, count, bin of all activity and of other activity; all (cells,)."""

    place: Integers
    count: Integers
    total_level: Integers
    other_level: Integers
    users: Floats
    retained: Floats


@dataclass(frozen=True)
class DateCells:
    """Users by date (place) and count of one action, or all users of each date; all (cells,).

    `other_level`: sum over the users of the bin of other activity. `level_change`: sum of what that is more
    than the bin of all activity; `level_change_retained`: over the retained; `level_change_squared`: of the
    squares. For all users other activity is none: their change is what is to be taken away.
    """

    place: Integers
    count: Integers
    users: Floats
    retained: Floats
    other_level: Floats
    level_change: Floats
    level_change_retained: Floats
    level_change_squared: Floats

    @property
    def places(self) -> int:
        return _places(self.place)


def _places(place: Integers) -> int:
    return int(place.max(initial=-1)) + 1


def split(rows: pd.DataFrame, place: Integers, day: int) -> tuple[Cohort, dict[str, Cells]]:
    """All users, and by action. rows: action, count, total_level, other_level, matured_dn, retained_dn;
    place: (rows,) from 0.
    """
    users = rows[f"matured_d{day}"].to_numpy(dtype=float)
    retained = rows[f"retained_d{day}"].to_numpy(dtype=float)
    total_level = rows["total_level"].to_numpy(dtype=np.int64)
    whole = rows["action"].isna().to_numpy()
    cohort = Cohort(place[whole], total_level[whole], users[whole], retained[whole])
    other_level = pd.to_numeric(rows["other_level"]).fillna(0).to_numpy(dtype=np.int64)
    count = rows["count"].to_numpy(dtype=np.int64)
    cells = {
        action: Cells(
            place=place[index],
            count=count[index],
            total_level=total_level[index],
            other_level=other_level[index],
            users=users[index],
            retained=retained[index],
        )
        for action, index in _groups(rows["action"], ~whole)
    }
    return cohort, cells


def split_dates(rows: pd.DataFrame, place: Integers, day: int) -> tuple[DateCells, dict[str, DateCells]]:
    """All users, and by action. rows: action, count, matured_dn, retained_dn and, for each of LEVEL_SUMS,
    a column that ends in _dn; place: (rows,) from 0.
    """
    count = rows["count"].to_numpy(dtype=np.int64)
    names = ("matured", "retained", *LEVEL_SUMS)
    values = [rows[f"{name}_d{day}"].to_numpy(dtype=float) for name in names]
    whole = rows["action"].isna().to_numpy()

    def at(index: NDArray[Any]) -> DateCells:
        return DateCells(place[index], count[index], *(value[index] for value in values))

    return at(whole), {action: at(index) for action, index in _groups(rows["action"], ~whole)}


def _groups(actions: pd.Series, among: NDArray[np.bool_]) -> Iterator[tuple[str, Integers]]:
    positions = np.flatnonzero(among)
    codes, names = pd.factorize(actions.to_numpy()[positions], sort=True)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    for number, name in enumerate(names):
        yield str(name), positions[order[bounds[number] : bounds[number + 1]]]


def sums(place: Integers, values: Floats, places: int) -> Floats:
    """Sum of `values` by place, (places,)."""
    return np.bincount(place, values, places).astype(np.float64)


def reached(
    cells: Cells | DateCells, place: Integers, places: int, thresholds: Integers, values: Floats
) -> Floats:
    """Sum of `values` over the cells at or above each threshold, (places, thresholds); thresholds rise."""
    column = np.searchsorted(thresholds, cells.count, side="right") - 1
    there = column >= 0
    table = np.zeros((places, len(thresholds)))
    np.add.at(table, (place[there], column[there]), values[there])
    return np.cumsum(table[:, ::-1], axis=1)[:, ::-1]


def activity_strata(cohort: Cohort, cells: Cells) -> tuple[Integers, Floats, Floats]:
    """Strata of place x bin of other activity: the stratum of each cell, and users and retained, (strata,).

    For those that did not do the action other activity is all activity: the cohort less the action's users,
    by the bin of all activity. So the histogram needs no rows for what did not happen.
    """
    bins = int(max(cohort.level.max(initial=0), cells.other_level.max(initial=0))) + 1
    at_total = cells.place * bins + cells.total_level
    at_other = cells.place * bins + cells.other_level
    of_cohort = cohort.place * bins + cohort.level
    known, codes = np.unique(np.concatenate([of_cohort, at_total, at_other]), return_inverse=True)
    bounds = np.cumsum([len(of_cohort), len(at_total)])
    of_cohort, at_total, at_other = np.split(codes, bounds)
    size = len(known)

    def strata(whole: Floats, part: Floats) -> Floats:
        return sums(of_cohort, whole, size) - sums(at_total, part, size) + sums(at_other, part, size)

    return at_other, strata(cohort.users, cells.users), strata(cohort.retained, cells.retained)


def date_series(cohort: DateCells, cells: DateCells, thresholds: Integers) -> Series:
    """Sums by date and threshold over all users; `level` is the bin of other activity.

    For those that did not do the action other activity is all activity, as in `activity_strata`.
    """
    dates = cohort.places

    def of_all(name: str) -> Floats:
        added, taken = (sums(each.place, getattr(each, name), dates) for each in (cells, cohort))
        return added - taken

    def at(values: Floats) -> Floats:
        return reached(cells, cells.place, dates, thresholds, values)

    return Series(
        users=sums(cohort.place, cohort.users, dates),
        retained=sums(cohort.place, cohort.retained, dates),
        experienced=at(cells.users),
        both=at(cells.retained),
        level=of_all("level_change"),
        level_retained=of_all("level_change_retained"),
        level_squared=of_all("level_change_squared"),
        level_experienced=at(cells.other_level),
    )
