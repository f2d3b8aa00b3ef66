"""Arrays out of the histogram equal those made user by user, though what was not done has no rows."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from firstday.moments.cells import (
    Cells,
    Cohort,
    DateCells,
    activity_strata,
    date_series,
    reached,
    split,
    split_dates,
)
from tests import oracle

ACTIONS = ("like", "it's; DROP TABLE", "", "search")
THRESHOLDS = np.array([1, 2, 5])


def users(seed: int, number: int = 300, dates: int = 6) -> list[oracle.User]:
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(number):
        counts = {
            action: int(n)
            for action, n in zip(ACTIONS, draw.poisson(draw.gamma(1, 1.5), 4), strict=True)
            if n
        }
        known = {1: bool(draw.random() < 0.4)} if draw.random() < 0.9 else {}
        made.append(
            oracle.User(date(2024, 1, 1) + timedelta(days=int(draw.integers(dates))), (), counts, known)
        )
    return made


def rows_of(made: list[oracle.User]) -> pd.DataFrame:
    names = [
        "anchor_date",
        "action",
        "count",
        "total_level",
        "other_level",
        "users",
        "matured_d1",
        "retained_d1",
    ]
    rows = pd.DataFrame(oracle.histogram(made, (1,)), columns=names).sample(frac=1, random_state=3)
    return rows[rows["matured_d1"] > 0]


def cells_of(made: list[oracle.User]) -> tuple[Cohort, dict[str, Cells]]:
    rows = rows_of(made)
    return split(rows, pd.factorize(rows["anchor_date"], sort=True)[0], 1)


def date_cells_of(made: list[oracle.User]) -> tuple[DateCells, dict[str, DateCells]]:
    rows = oracle.with_level_sums(rows_of(made), (1,))
    return split_dates(rows, pd.factorize(rows["anchor_date"], sort=True)[0], 1)


def test_split_keeps_each_action_apart() -> None:
    made = users(1)
    cohort, cells = cells_of(made)
    known = [user for user in made if user.retained]
    assert list(cells) == sorted(ACTIONS)
    assert cohort.users.sum() == len(known)
    assert cohort.retained.sum() == sum(user.retained[1] for user in known)
    assert cohort.places == 6
    for action, each in cells.items():
        assert each.users.sum() == sum(action in user.counts for user in known)


def test_reached_is_the_sum_from_each_threshold_up() -> None:
    made = users(2)
    _, cells = cells_of(made)
    dates = sorted({user.anchor_date for user in made})
    for action, each in cells.items():
        found = reached(each, each.place, len(dates), THRESHOLDS, each.retained)
        for place, day in enumerate(dates):
            for column, threshold in enumerate(THRESHOLDS):
                those = [u for u in made if u.anchor_date == day and u.counts.get(action, 0) >= threshold]
                assert found[place, column] == sum(u.retained.get(1, 0) for u in those)


def test_strata_of_other_activity_hold_those_who_did_not_act_too() -> None:
    made = users(3)
    cohort, cells = cells_of(made)
    dates = sorted({user.anchor_date for user in made})
    for action, each in cells.items():
        stratum, whole, retained = activity_strata(cohort, each)
        expected: dict[tuple[int, int], list[int]] = {}
        for user in made:
            if user.retained:
                other = oracle.activity_bin(sum(user.counts.values()) - user.counts.get(action, 0))
                sums = expected.setdefault((dates.index(user.anchor_date), other), [0, 0])
                sums[0] += 1
                sums[1] += user.retained[1]
        assert sorted(zip(whole[whole > 0], retained[whole > 0], strict=True)) == sorted(
            map(tuple, expected.values())
        )
        for place, other, number in zip(each.place, each.other_level, stratum, strict=True):
            assert [whole[number], retained[number]] == expected[int(place), int(other)]


def test_series_are_sums_over_users() -> None:
    made = users(4)
    cohort, cells = date_cells_of(made)
    dates = sorted({user.anchor_date for user in made})
    assert list(cells) == sorted(ACTIONS)
    for action, each in cells.items():
        found = date_series(cohort, each, THRESHOLDS)
        for place, day in enumerate(dates):
            those = [u for u in made if u.anchor_date == day and u.retained]
            other = np.array(
                [oracle.activity_bin(sum(u.counts.values()) - u.counts.get(action, 0)) for u in those]
            )
            back = np.array([u.retained[1] for u in those], dtype=float)
            did = np.array([[u.counts.get(action, 0) >= z for z in THRESHOLDS] for u in those], dtype=float)
            assert (found.users[place], found.retained[place]) == (len(those), back.sum())
            assert_allclose(found.experienced[place], did.sum(axis=0))
            assert_allclose(found.both[place], back @ did)
            assert_allclose(found.level[place], other.sum())
            assert_allclose(found.level_squared[place], other @ other)
            assert_allclose(found.level_retained[place], other @ back)
            assert_allclose(found.level_experienced[place], other @ did)


def test_nobody_has_no_places() -> None:
    cohort, cells = cells_of([])
    assert (cohort.places, cells) == (0, {})
    of_dates, by_action = date_cells_of([])
    assert (of_dates.places, by_action) == (0, {})
