"""Trends: a planted slope is recovered, and what only looks like one is not."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.stats import linregress
from statsmodels.tsa.stattools import grangercausalitytests

from firstday.moments import trends
from firstday.moments.trends import DIFFERS, SIMILAR, TOO_LITTLE, Series, date_effect, movement, verdicts

Floats = NDArray[np.float64]


def series(date: NDArray[np.int64], reached: Floats, retained: Floats, level: Floats) -> Series:
    """From users: date, retained, level (users,), reached (users, thresholds)."""

    def by_date(values: Floats) -> Floats:
        table = np.zeros((date.max() + 1, *values.shape[1:]))
        np.add.at(table, date, values)
        return table

    return Series(
        users=by_date(np.ones(len(date))),
        retained=by_date(retained),
        experienced=by_date(reached),
        both=by_date(reached * retained[:, None]),
        level=by_date(level),
        level_retained=by_date(level * retained),
        level_squared=by_date(level**2),
        level_experienced=by_date(reached * level[:, None]),
    )


def dated_users(
    draw: np.random.Generator,
    *,
    users_a_date: int,
    dates: int,
    effect: float,
    everybody: float,
    shocks: float = 0.6,
) -> Series:
    """Engagement drives an action, other activity and retention; dates move the action, and everybody."""
    date = np.repeat(np.arange(dates), users_a_date)
    engaged = draw.normal(size=len(date)) + draw.normal(0, 1, dates)[date] * everybody
    reached = engaged + draw.normal(0, shocks, dates)[date] + draw.normal(size=len(date)) > 0.3
    level = np.round(4 + 2 * engaged + draw.normal(0, 0.5, len(date))).clip(0)
    retained = (
        draw.random(len(date)) < np.clip(0.35 + 0.12 * engaged + effect * reached, 0.02, 0.98)
    ).astype(float)
    return series(date, reached[:, None].astype(float), retained, level)


@dataclass(frozen=True)
class Repeated:
    """(apps,): estimates and their errors, slopes of the two series as they stand and their p-values."""

    estimate: Floats
    error: Floats
    plain: Floats
    plain_p: Floats

    def significant(self, truth: float) -> float:
        return float(np.mean(np.abs(self.estimate - truth) > 2.02 * self.error))


def repeated(apps: int, **options: float) -> Repeated:
    draw = np.random.default_rng(7)
    rows = []
    for _ in range(apps):
        given = dated_users(draw, **options)  # type: ignore[arg-type]
        plain = linregress(given.experienced[:, 0] / given.users, given.retained / given.users)
        rows.append((*np.ravel(date_effect(given)), plain.slope, plain.pvalue))
    return Repeated(*np.array(rows).T)


@pytest.mark.parametrize("everybody", [0.0, 0.4])
def test_an_effect_is_recovered_whether_dates_move_everybody_or_not(everybody: float) -> None:
    found = repeated(150, users_a_date=300, dates=40, effect=0.2, everybody=everybody)
    assert abs(np.mean(found.estimate) - 0.2) < 0.015
    assert found.significant(0.2) < 0.13
    assert np.median(found.error) < 0.05
    if everybody:
        assert np.mean(found.plain) > 0.3  # the common movement passes for an effect of the action


def test_a_world_without_an_effect_stays_so_with_fifty_users_a_date() -> None:
    """The same users make both series: engagement ties their noise, and a plain comparison sees it."""
    found = repeated(300, users_a_date=50, dates=40, effect=0.0, everybody=0.0, shocks=0.6)
    assert abs(np.mean(found.estimate)) < 4 * np.std(found.estimate) / np.sqrt(300)
    assert found.significant(0.0) < 0.08  # nominally 0.05
    assert np.mean(found.plain) > 5 * np.std(found.plain) / np.sqrt(300)


def test_a_decoy_passes_a_plain_comparison_and_not_this_one() -> None:
    """No effect, and dates that lift everybody."""
    found = repeated(150, users_a_date=300, dates=40, effect=0.0, everybody=0.4)
    assert np.mean((found.plain > 0) & (found.plain_p < 0.05)) > 0.85
    assert abs(np.mean(found.estimate)) < 0.015
    assert found.significant(0.0) < 0.1


def test_correlations_without_an_effect_are_nought_on_average() -> None:
    draw = np.random.default_rng(3)
    found, plain = [], []
    for _ in range(300):
        each = dated_users(draw, users_a_date=50, dates=40, effect=0.0, everybody=0.0, shocks=0.0)
        told = movement(each.users, each.experienced[:, 0], each.retained, each.both[:, 0])
        found.append((told.levels, told.differences))
        share, retention = each.experienced[:, 0] / 50, each.retained / 50
        plain.append(
            (np.corrcoef(share, retention)[0, 1], np.corrcoef(np.diff(share), np.diff(retention))[0, 1])
        )
    assert np.all(np.abs(np.mean(found, axis=0)) < 0.03)
    assert np.all(np.mean(plain, axis=0) > 0.1)


def test_leaving_a_user_out_of_his_own_pairs_counted_user_by_user() -> None:
    """The sums behind the slope, against loops over pairs of users."""
    draw = np.random.default_rng(5)
    date = np.repeat([0, 1, 2], [4, 5, 3])
    reached, retained = (draw.random((2, 12)) < 0.5).astype(float)
    level = draw.integers(0, 5, 12).astype(float)
    rows = trends._by_date(series(date, reached[:, None], retained, level))[:, :, 0]
    products = ((reached, retained), (reached, reached), (reached, level), (level, retained), (level, level))
    for number, (one, other) in enumerate(products):
        for day in range(3):
            those = np.flatnonzero(date == day)
            pairs = [one[i] * other[j] for i in those for j in those if i != j]
            assert_allclose(rows[4 + 2 * number, day], len(those) * np.mean(pairs), atol=1e-12)
            same = len(those) * np.cov(one[those], other[those])[0, 1]
            assert_allclose(rows[5 + 2 * number, day], same, atol=1e-12)


def test_the_error_is_that_of_leaving_out_a_date() -> None:
    given = dated_users(np.random.default_rng(6), users_a_date=60, dates=12, effect=0.1, everybody=0.2)
    left_out = [
        date_effect(
            Series(**{name: np.delete(values, date, axis=0) for name, values in vars(given).items()})
        )[0][0]
        for date in range(12)
    ]
    assert_allclose(date_effect(given)[1][0], np.sqrt(11 / 12 * np.sum((left_out - np.mean(left_out)) ** 2)))


@pytest.mark.parametrize("users_a_date", [1, 40])
def test_dates_that_say_nothing_give_no_slope(users_a_date: int) -> None:
    """One user a date; and a share that is the same on all dates."""
    date = np.repeat(np.arange(20), users_a_date)
    reached = np.tile([1.0, 0.0], len(date))[: len(date), None]
    given = series(date, reached, np.ones(len(date)), np.zeros(len(date)))
    effect, error = date_effect(given)
    assert np.isnan([effect[0], error[0]]).all()
    assert verdicts(effect, error, np.array([0.1]), np.array([0.01]), 20, 14).tolist() == [TOO_LITTLE]


def test_an_effect_is_estimable_where_the_share_moves_and_not_where_it_hardly_does() -> None:
    """Where a share hardly moves, the slope's denominator is nearly 0 without some date."""
    draw = np.random.default_rng(3)
    moving = [dated_users(draw, users_a_date=300, dates=40, effect=0.2, everybody=0.2) for _ in range(20)]
    assert all(trends.estimable(date_effect(given)[1])[0] for given in moving)
    whole = moving[0]

    def moved(how_far: float) -> Series:
        """The same users, of whom the share that does it moves so much less from date to date."""
        share = whole.experienced.sum() / whole.users.sum()
        return replace(
            whole,
            **{
                name: how_far * getattr(whole, name) + (1 - how_far) * share * of_all[:, None]
                for name, of_all in (
                    ("experienced", whole.users), ("both", whole.retained), ("level_experienced", whole.level)
                )
            },
        )  # fmt: skip

    too_little, enough = 0.0, 1.0
    while enough - too_little > 1e-6:  # to where the share moves a hair more than by chance
        middle = (too_little + enough) / 2
        known = np.isfinite(date_effect(moved(middle))[0][0])
        too_little, enough = (too_little, middle) if known else (middle, enough)
    assert not trends.estimable(date_effect(moved(enough))[1])[0]
    assert not trends.estimable(np.array([np.nan, np.inf, 0.52])).any()


def test_a_single_date_gives_no_slope() -> None:
    given = series(np.zeros(30, dtype=int), np.eye(30, 1), np.ones(30), np.ones(30))
    assert np.isnan(date_effect(given)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("retained", [0.0, 1.0])
def test_nobody_or_everybody_retained_has_a_slope_of_nought(retained: float) -> None:
    draw = np.random.default_rng(1)
    date = np.repeat(np.arange(20), 50)
    reached = (draw.random(1000) < draw.random(20)[date]).astype(float)[:, None]
    given = series(date, reached, np.full(1000, retained), draw.integers(0, 5, 1000).astype(float))
    assert_allclose(date_effect(given), 0, atol=1e-9)
    told = movement(given.users, given.experienced[:, 0], given.retained, given.both[:, 0])
    assert np.isnan([told.levels, told.differences, told.lag_correlation, told.granger_p]).all()


def test_verdicts() -> None:
    effect = np.array([0.10, -0.20, 0.05, np.nan, -0.9])
    error = np.array([0.03, 0.04, 0.30, np.nan, 0.30])
    adjusted, its_error = np.full(5, 0.12), np.full(5, 0.01)
    found = verdicts(effect, error, adjusted, its_error, dates=30, min_dates=14)
    assert found.tolist() == [SIMILAR, DIFFERS, TOO_LITTLE, TOO_LITTLE, TOO_LITTLE]


@pytest.mark.parametrize("dates", [1, 3, 13])
def test_too_few_dates_are_never_similar(dates: int) -> None:
    found = verdicts(np.array([0.1]), np.array([0.001]), np.array([0.1]), np.array([0.001]), dates, 14)
    assert found.tolist() == [TOO_LITTLE]


def shares(seed: int, dates: int) -> tuple[Floats, Floats, Floats]:
    draw = np.random.default_rng(seed)
    users = draw.integers(50, 500, dates).astype(float)
    experienced = draw.binomial(users.astype(int), 0.3).astype(float)
    return users, experienced, draw.binomial(users.astype(int), 0.4).astype(float)


def test_correlations_as_in_numpy_where_the_two_share_no_noise() -> None:
    users, experienced, retained = shares(2, dates=25)
    told = movement(users, experienced, retained, experienced * retained / users)  # as if of other users
    share, retention = experienced / users, retained / users

    def weighted(weight: Floats, one: Floats, other: Floats) -> float:
        table = np.cov(one, other, aweights=weight)
        return float(table[0, 1] / np.sqrt(table[0, 0] * table[1, 1]))

    assert_allclose(told.levels, weighted(users, share, retention))
    harmonic = 2 * users[1:] * users[:-1] / (users[1:] + users[:-1])
    assert_allclose(told.differences, weighted(harmonic, np.diff(share), np.diff(retention)))
    by_lag = {0: told.levels}
    for lag in (1, 2, 3):
        weight = np.sqrt(users[:-lag] * users[lag:])
        by_lag[lag] = weighted(weight, share[:-lag], retention[lag:])
        by_lag[-lag] = weighted(weight, share[lag:], retention[:-lag])
    assert told.lag == max(by_lag, key=lambda lag: by_lag[lag])
    assert_allclose(told.lag_correlation, by_lag[told.lag])


def test_retention_that_follows_two_dates_later_is_found() -> None:
    draw = np.random.default_rng(4)
    share = draw.uniform(0.2, 0.6, 42)
    users = np.full(40, 1000.0)
    experienced, retained = 1000 * share[2:], 1000 * share[:-2]
    told = movement(users, experienced, retained, experienced * retained / users)
    assert told.lag == 2
    assert_allclose(told.lag_correlation, 1)


def test_granger_as_in_statsmodels() -> None:
    draw = np.random.default_rng(8)
    share = draw.uniform(0.2, 0.6, 41)
    follows = 300 + 400 * np.roll(share, 1) + draw.normal(0, 20, 41)
    users = np.full(41, 1000.0)
    for retained in (follows, draw.uniform(300, 600, 41)):
        told = movement(users, 1000 * share, retained, share * retained)
        moves = np.column_stack([np.diff(retained / users), np.diff(share)])
        assert_allclose(told.granger_p, grangercausalitytests(moves, maxlag=2)[2][0]["ssr_ftest"][1])
    assert movement(users, 1000 * share, follows, share * follows).granger_p < 0.001
    assert np.isnan(
        movement(users[:29], 1000 * share[:29], follows[:29], share[:29] * follows[:29]).granger_p
    )


def test_granger_is_unknown_where_one_series_is_the_other() -> None:
    users, experienced, _ = shares(9, dates=40)
    assert np.isnan(movement(users, experienced, experienced, experienced).granger_p)


def test_granger_is_unknown_without_noise_to_measure_by() -> None:
    """One series follows from the other's past; or its own past tells the same twice."""
    users, (one, other) = np.full(40, 1000.0), np.random.default_rng(9).uniform(300, 600, (2, 40))
    for experienced, retained in ((one, np.roll(one, 1)), (np.resize([300, 400], 40), other)):
        told = movement(users, experienced, retained, experienced * retained / users)
        assert np.isnan(told.granger_p)


@pytest.mark.parametrize("dates", [1, 2])
def test_one_or_two_dates_do_not_move(dates: int) -> None:
    users, experienced, retained = shares(1, dates)
    told = movement(users, experienced, retained, np.minimum(experienced, retained))
    assert np.isnan([told.levels, told.differences, told.lag_correlation, told.granger_p]).all()
    assert told.lag == 0
