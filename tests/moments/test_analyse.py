"""What each candidate is worth: the whole way in Spark, against the same figures made user by user."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday.moments import adjust, trends
from firstday.moments.analyse import COLUMNS, COUNTS, Plan, analyse, analyse_segment
from firstday.moments.frontier import frontier_share
from firstday.stats.corrections import benjamini_hochberg
from tests import oracle
from tests.oracle import User

START, DATES = date(2024, 3, 25), 16
ACTIONS = ("like", "it's", "search")
SEGMENTS = ("country", "odd `name`")
PLAN = Plan(days=(1, 7), choosing_until=START + timedelta(days=8), min_users=20, min_dates=5, resamples=25)
KEYS = ["half", "segment", "action", "threshold", "day"]


def made_up(number: int = 600) -> list[User]:
    """Engagement drives all; D7 is not known for the last dates; segment values are null; there is a bot."""
    draw = np.random.default_rng(1)
    made = []
    for user in range(number):
        engaged, place = draw.normal(), user % DATES
        rate = np.exp(0.7 * engaged + np.array([0.3, -0.3, 0.0]) + 0.4 * np.sin(place * np.arange(1, 4)))
        counts = {action: int(n) for action, n in zip(ACTIONS, draw.poisson(rate), strict=True) if n}
        if user == 77:
            counts = dict.fromkeys(ACTIONS, 10_000)
        back = {
            n: bool(draw.random() < 1 / (1 + np.exp(0.5 - engaged))) for n in (1, 7) if place + n < DATES + 3
        }
        segments = (str(draw.choice(["KR", "US"])), None if draw.random() < 0.1 else "f,m")
        made.append(User(START + timedelta(days=place), segments, counts, back))
    return made


USERS = made_up()


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> pd.DataFrame:
    rows = spark.createDataFrame(
        oracle.histogram(USERS, PLAN.days), oracle.histogram_schema(SEGMENTS, PLAN.days)
    )
    return in_order(analyse(rows, SEGMENTS, PLAN).toPandas())


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(KEYS, ignore_index=True)


def test_order_and_partitioning_change_nothing(spark: SparkSession, found: pd.DataFrame) -> None:
    rows = oracle.histogram(USERS, PLAN.days)
    shuffled = [rows[place] for place in np.random.default_rng(5).permutation(len(rows))]
    frame = spark.createDataFrame(shuffled, oracle.histogram_schema(SEGMENTS, PLAN.days))
    again = analyse(frame.repartition(3, F.rand(seed=3)), SEGMENTS, PLAN).toPandas()
    pd.testing.assert_frame_equal(in_order(again), found, check_exact=True)


def test_segments_and_halves(found: pd.DataFrame) -> None:
    assert list(found.columns) == COLUMNS
    assert not found.duplicated(KEYS).any()
    assert set(found["segment"]) == {
        "all", "country=KR", "country=US", "odd `name`=\\N", "odd `name`=f\\,m",
        *(f"country={one},odd `name`={other}" for one in ("KR", "US") for other in ("\\N", "f\\,m")),
    }  # fmt: skip
    assert set(found.loc[found["segment"] == "all", "half"]) == {"all", "choosing", "reporting"}
    assert set(found.loc[found["segment"] != "all", "half"]) == {"all"}


def members(segment: str, half: str, day: int) -> list[User]:
    def is_in(user: User) -> bool:
        early = user.anchor_date <= PLAN.choosing_until
        values = {
            "country=KR": user.segments[0] == "KR",
            "odd `name`=\\N": user.segments[1] is None,
            "all": True,
        }
        return values[segment] and {"all": True, "choosing": early, "reporting": not early}[half]

    return [user for user in USERS if day in user.retained and is_in(user)]


PLACES = [
    ("all", "all", 1),
    ("all", "choosing", 1),
    ("all", "reporting", 1),
    ("country=KR", "all", 7),
    ("odd `name`=\\N", "all", 1),
]


@pytest.mark.parametrize(("segment", "half", "day"), PLACES)
def test_the_four_counts(found: pd.DataFrame, segment: str, half: str, day: int) -> None:
    those = members(segment, half, day)
    expected = oracle.candidates([replace(user, segments=()) for user in those], (), (day,))
    rows = found[(found["segment"] == segment) & (found["half"] == half) & (found["day"] == day)]
    told = {
        (row.action, row.threshold): tuple(getattr(row, name) for name in COUNTS) for row in rows.itertuples()
    }
    assert told == {key[1:3]: four for key, four in expected.items() if four[1]}
    assert set(rows["dates"]) == {len({user.anchor_date for user in those})}


@pytest.mark.parametrize(("segment", "half", "day"), PLACES[:4])
def test_adjusted_figures_user_by_user(found: pd.DataFrame, segment: str, half: str, day: int) -> None:
    those = members(segment, half, day)
    retained = np.array([user.retained[day] for user in those], dtype=float)
    for action in ACTIONS:
        rows = found[(found["segment"] == segment) & (found["half"] == half) & (found["day"] == day)]
        rows = rows[(rows["action"] == action) & (rows["experienced"] >= PLAN.min_users)]
        assert len(rows)
        counts = np.array([user.counts.get(action, 0) for user in those])
        other = np.array(
            [oracle.activity_bin(sum(user.counts.values()) - user.counts.get(action, 0)) for user in those]
        )
        reached = (counts[:, None] >= rows["threshold"].to_numpy()).astype(float)
        by_segment = grouped([user.segments for user in those], retained, reached)
        by_level = grouped(
            [(*user.segments, n) for user, n in zip(those, other, strict=True)], retained, reached
        )
        held = adjust.standardise(*by_level)
        assert_allclose(rows["segment_adjusted"], adjust.standardise(*by_segment).difference)
        for name, values in (
            ("adjusted", held.difference),
            ("adjusted_low", held.low),
            ("adjusted_high", held.high),
            ("adjusted_coverage", held.coverage),
            ("adjusted_phi", adjust.stratified_phi(*by_level)),
            ("p_value", adjust.p_values(held.difference, held.error)),
            ("e_value", adjust.e_value(held.risk, held.other_risk)),
        ):
            assert_allclose(rows[name], values, err_msg=name)
        check_trends(rows, those, retained, reached, other.astype(float))


def grouped(
    strata: Sequence[tuple[object, ...]], retained: np.ndarray, reached: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Users and retained (strata,), experienced and both (strata, thresholds)."""
    names = sorted(set(strata), key=repr)
    inside = np.array([[stratum == name for stratum in strata] for name in names], dtype=float)
    return inside.sum(axis=1), inside @ retained, inside @ reached, inside @ (reached * retained[:, None])


def check_trends(
    rows: pd.DataFrame, those: list[User], retained: np.ndarray, reached: np.ndarray, other: np.ndarray
) -> None:
    days = [(user.anchor_date,) for user in those]
    users, back, did, both = grouped(days, retained, reached)
    _, level_back, level_did, _ = grouped(days, retained * other, reached * other[:, None])
    _, level, _, _ = grouped(days, other, reached)
    _, squared, _, _ = grouped(days, other**2, reached)
    series = trends.Series(users, back, did, both, level, level_back, squared, level_did)
    effect, error = trends.date_effect(series)
    effect, error = np.where(trends.estimable(error), (effect, error), np.nan)
    assert_allclose(rows["trend_effect"], effect, rtol=1e-6)
    assert_allclose(rows["trend_effect_high"] - rows["trend_effect"], 1.959963984540054 * error, rtol=1e-6)
    told = rows.reset_index(drop=True)["trend_levels"].dropna()
    assert len(told)
    for place, value in told.items():
        move = trends.movement(users, did[:, place], back, both[:, place])
        assert_allclose(value, move.levels)
        assert_allclose(rows["trend_differences"].iloc[place], move.differences)


def test_the_bootstrap_is_over_dates(found: pd.DataFrame) -> None:
    rows = found[(found["segment"] == "all") & (found["half"] == "all") & (found["day"] == 1)]
    those = members("all", "all", 1)
    reached = np.array(
        [
            [user.counts.get(action, 0) >= threshold for user in those]
            for action, threshold in zip(rows["action"], rows["threshold"], strict=True)
        ]
    ).T.astype(float)
    retained = np.array([user.retained[1] for user in those], dtype=float)
    _, back, did, both = grouped([(user.anchor_date,) for user in those], retained, reached)
    assert_allclose(rows["frontier_share"], frontier_share(back, did, both, PLAN.resamples, PLAN.seed))


def test_false_discovery_is_over_all_candidates_of_the_segment(found: pd.DataFrame) -> None:
    for _, rows in found.groupby(["segment", "half", "day"]):
        p = rows["p_value"].to_numpy(dtype=float)
        assert_allclose(rows["q_value"].to_numpy(dtype=float), benjamini_hochberg(p))


# --- without Spark: one segment's kernel on odd histograms


def kernel(users: list[User], plan: Plan) -> pd.DataFrame:
    measures = [f"{kind}_d{day}" for day in plan.days for kind in ("matured", "retained")]
    names = ["anchor_date", "action", "count", "total_level", "other_level", "users", *measures]
    rows = pd.DataFrame(
        oracle.histogram([replace(user, segments=()) for user in users], plan.days), columns=names
    )
    rows = rows.assign(segment="all", stratum="", early=rows["anchor_date"] <= plan.choosing_until)
    return analyse_segment(rows, oracle.with_level_sums(rows, plan.days), plan)


def one_date(number: int, retained: bool | None = True, count: int = 1) -> list[User]:
    known = {} if retained is None else {1: retained}
    return [User(START, (), {"like": count}, known) for _ in range(number)]


D1 = replace(PLAN, days=(1,))


@pytest.mark.filterwarnings("error")
def test_one_user_is_too_few() -> None:
    assert kernel(one_date(1), D1).empty
    alone = kernel(one_date(1), replace(D1, min_users=1))
    assert alone["experienced"].tolist() == [1, 1]  # the whole and the choosing half
    assert alone["adjusted"].isna().all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("retained", [True, False])
def test_everybody_did_it_and_everybody_or_nobody_came_back(retained: bool) -> None:
    rows = kernel(one_date(50, retained), D1)
    assert set(rows["half"]) == {"all", "choosing"}  # the reporting half is empty
    assert rows["adjusted"].isna().all()
    assert (rows["trend"] == trends.TOO_LITTLE).all()


def test_nobody_is_known_or_nobody_did_anything() -> None:
    assert kernel(one_date(50, None), D1).empty
    assert kernel([User(START, (), {}, {1: True}) for _ in range(50)], D1).empty


@pytest.mark.filterwarnings("error")
def test_forty_dates_with_a_user_each() -> None:
    lonely = [replace(user, anchor_date=START + timedelta(days=n)) for n, user in enumerate(one_date(40))]
    lonely[::2] = [replace(user, counts={}) for user in lonely[::2]]
    rows = kernel(lonely, D1)
    assert rows["trend_effect"].isna().all()
    assert set(rows["trend"].dropna()) == {trends.TOO_LITTLE}


def test_listed_thresholds_are_those_looked_at() -> None:
    rows = kernel(
        [replace(user, retained={1: True}) for user in USERS], replace(D1, thresholds=(2, 3, 20_000))
    )
    assert set(rows["threshold"]) == {2, 3}  # 20,000 is reached by nobody


def test_many_thresholds_are_thinned_where_adjusted() -> None:
    users = [User(START + timedelta(days=n % 3), (), {"like": n}, {1: n % 3 == 0}) for n in range(1, 400)]
    rows = kernel(users, D1).query("half == 'all'")
    assert len(rows) == 399
    adjusted = rows[rows["p_value"].notna()]["threshold"]
    assert 30 <= len(adjusted) <= 64
    assert adjusted.max() <= 399 - D1.min_users + 1
