"""Cross products by date: from rows of moment_products, and net of what users share."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from firstday.moments.dates import DateProducts, date_products
from firstday.moments.products import SCALE
from tests import oracle
from tests.oracle import product_rows

ACTIONS = ("comment", "it's", "like")


def made_up(users: int = 400, dates: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    x = np.rint(SCALE * np.log1p(draw.poisson(1.5, (users, 3)))).astype(int)
    segment = draw.choice(np.array(["KR", "US", None], dtype=object), users)
    return x, draw.integers(0, 2, users), np.arange(users) % dates, segment


def test_they_are_those_of_the_users_net_of_their_segments() -> None:
    x, retained, day, segment = made_up()
    rows = product_rows(ACTIONS, x, retained, day, segment, dict.fromkeys(range(5), ACTIONS))
    found = date_products(rows.sample(frac=1, random_state=1), ["country"])
    values = np.column_stack([x / SCALE, retained]).astype(float)
    codes = pd.factorize(segment, use_na_sentinel=False)[0]
    values += values.mean(axis=0) - np.array([values[codes == code].mean(axis=0) for code in range(3)])[codes]
    expected = oracle.products(values[:, :3], values[:, 3], day, ACTIONS)
    assert found.actions == ACTIONS
    assert_allclose(found.users, expected.users)
    assert_allclose(found.means, expected.means, atol=1e-9)
    assert_allclose(found.products, expected.products, atol=1e-6)
    one = date_products(rows, [])  # segments summed over
    assert_allclose(one.within(), oracle.products(x / SCALE, retained, day, ACTIONS).within(), atol=1e-6)


def test_an_action_that_seldom_leads_is_left_out_and_a_date_that_lacks_one_too() -> None:
    """What does not lead on a date was not measured there. Taken for 0, it would look like a shock."""
    x, retained, day, segment = made_up(users=800, dates=20)
    leading: dict[int, tuple[str, ...]] = dict.fromkeys(range(20), ACTIONS)
    leading |= dict.fromkeys(range(12), ("comment", "like")) | {19: ("comment", "it's")}
    found = date_products(product_rows(ACTIONS, x, retained, day, segment, leading), ["country"])
    assert found.actions == ("comment", "like")
    assert found.dates == 19
    assert (found.means - found.mean)[:, 1].min() > -0.5


def test_all_actions_stay_where_each_lacks_another_date() -> None:
    x, retained, day, segment = made_up(users=800, dates=40)
    leading = dict.fromkeys(range(40), ACTIONS) | {
        3: ("it's", "like"),
        5: ("comment", "like"),
        7: ("comment",),
    }
    found = date_products(product_rows(ACTIONS, x, retained, day, segment, leading), [])
    assert (found.actions, found.dates) == (ACTIONS, 37)


def test_no_rows_have_no_dates() -> None:
    rows = product_rows(ACTIONS, *made_up(), leading=dict.fromkeys(range(5), ACTIONS))
    found = date_products(rows[:0], ["country"])
    assert (found.actions, found.dates) == ((), 0)
    rows["users"] = 0
    assert date_products(rows, []).dates == 0


def test_a_single_date_and_a_single_user() -> None:
    x, retained, _, segment = made_up(users=1, dates=1)
    rows = product_rows(ACTIONS, x, retained, np.zeros(1, int), segment, {0: ACTIONS})
    found = date_products(rows, ["country"])
    assert (found.dates, found.degrees_of_freedom.tolist()) == (1, [0.0])
    assert_allclose(found.products, 0, atol=1e-9)
    assert_allclose(found.within(), 0, atol=1e-9)


def naive_between(values: np.ndarray, date_of: np.ndarray) -> np.ndarray:
    """Over pairs of different users: the mean product within dates less that of the overall means."""
    dates = np.unique(date_of)
    within, noise = [], []
    for place in dates:
        those = values[date_of == place]
        pairs = [
            np.outer(one, other) for i, one in enumerate(those) for j, other in enumerate(those) if i != j
        ]
        within.append(np.mean(pairs, axis=0))
        noise.append(np.cov(those.T) / len(those))
    whole = values.mean(axis=0)
    own = np.mean(noise, axis=0) / len(dates)  # of the overall means
    return np.mean(within, axis=0) - (np.outer(whole, whole) - own)


def test_between_dates_leaves_each_user_out_of_his_own_pairs() -> None:
    draw = np.random.default_rng(2)
    date_of = np.repeat(np.arange(6), 8)
    values = draw.normal(size=(48, 3)) + draw.normal(size=(6, 3))[date_of]
    found = oracle.products(values[:, :2], values[:, 2], date_of, ("a", "b")).between()
    assert_allclose(found, naive_between(values, date_of))


def test_between_dates_there_is_nothing_where_dates_do_not_differ() -> None:
    """The plain covariance of the dates' means has users' own ties in it."""
    draw = np.random.default_rng(3)
    found, plain = [], []
    for _ in range(200):
        engaged = draw.normal(size=800)
        values = np.column_stack([engaged, engaged]) + draw.normal(size=(800, 2))
        data = oracle.products(values[:, :1], values[:, 1], draw.integers(0, 40, 800), ("a",))
        found.append(data.between()[0, 1])
        plain.append(np.cov(data.means.T)[0, 1])
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(200)
    assert np.mean(plain) == pytest.approx(1 / 20, rel=0.2)


def test_some_of_the_actions_and_all_but_one_date() -> None:
    x, retained, day, _ = made_up()
    data = oracle.products(x / SCALE, retained, day, ACTIONS)
    assert_same(data.only([2, 0]), oracle.products(x[:, [2, 0]] / SCALE, retained, day, ("like", "comment")))
    rest = day != 3
    assert_same(data.without(3), oracle.products(x[rest] / SCALE, retained[rest], day[rest], ACTIONS))


def assert_same(one: DateProducts, other: DateProducts) -> None:
    assert one.actions == other.actions
    for name in ("users", "means", "products"):
        assert_allclose(getattr(one, name), getattr(other, name))
