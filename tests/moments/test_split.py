"""The dates to choose on and those to report on: split by users, and told in full."""

from datetime import date, timedelta

import pandas as pd
import pytest

from firstday.moments.split import split

FIRST = date(2024, 3, 1)


def cohorts(known: list[int]) -> pd.DataFrame:
    dates = [FIRST + timedelta(days=n) for n in range(len(known))]
    return pd.DataFrame({"anchor_date": dates, "matured_d1": known})


@pytest.mark.parametrize(
    ("known", "share", "choosing"),
    [
        ([5] * 10, 0.8, 8),
        ([5] * 10, 0.01, 1),
        ([5] * 10, 0.999, 9),  # a date is left to report on
        ([5, 0, 5, 0], 0.5, 1),  # dates on which nobody's day is known are none
        ([1] * 90 + [100] * 10, 0.8, 98),  # an app that grows: 80 % of its dates had 8 % of its users
        ([100] * 10 + [1] * 90, 0.8, 9),
        ([1, 1, 98], 0.8, 2),
        ([7], 0.8, 1),
    ],
)
def test_the_choosing_dates_end_where_the_share_of_the_users_has_come(
    known: list[int], share: float, choosing: int
) -> None:
    found = split(cohorts(known).sample(frac=1, random_state=1), 1, share)
    with_users = [n for n, users in enumerate(known) if users]
    assert found.choosing.dates == choosing
    assert found.until == FIRST + timedelta(days=with_users[choosing - 1])
    assert found.dates == len(with_users)
    assert found.choosing.users == sum([users for users in known if users][:choosing])
    assert found.users == sum(known)
    if found.later.dates:
        assert found.until is not None
        assert found.later.first is not None
        assert found.later.first > found.until


def test_both_parts_are_told() -> None:
    found = split(cohorts([601, 600, 1]), 1, 0.5)
    assert found.figures() == {
        **{"choosing_users": 601, "choosing_dates": 1, "choosing_first": FIRST, "choosing_last": FIRST},
        **{"later_users": 601, "later_dates": 2, "later_first": FIRST + timedelta(days=1)},
        "later_last": FIRST + timedelta(days=2),
    }


def test_where_nobody_is_known_there_are_no_parts() -> None:
    found = split(cohorts([0, 0]), 1, 0.8)
    assert (found.until, found.users, found.dates) == (None, 0, 0)
