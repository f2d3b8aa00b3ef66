"""The population stability index by hand, its bins, and what has no place in them."""

import math
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.ranking.encoding import Encoding, Feature
from firstday.recommendations.monitoring_drift import (
    SCORE,
    counted,
    drift,
    kept,
    profile,
    psi,
    unpacked,
    verdict,
    watched_columns,
)
from firstday.recommendations.monitoring_outputs import RECOMMEND_DRIFT, RECOMMEND_PROFILE
from firstday.spark.frames import from_pandas, with_vector
from tests.recommendations.bank_worlds import NOW, by_hash

VALUES = tuple(f"value {number}" for number in range(150))
ENCODING = Encoding(
    (Feature("age.years"), Feature("region", VALUES), Feature("flag"), Feature("category_click_rate"))
)
SCHEMA = "`f_age.years` double, f_region double, f_flag double, f_category_click_rate double, score double"
COLUMNS = watched_columns(ENCODING, "score")  # without the rate


def rows(seed: int, count: int = 400) -> list[tuple[float | None, ...]]:
    draw = np.random.default_rng(seed)
    ages = [None if draw.random() < 0.1 else float(draw.integers(18, 90)) for _ in range(count)]
    regions = [float(place) for place in draw.choice([0, 3, 101, 149], count, p=[0.4, 0.3, 0.2, 0.1])]
    flags = [float(flag) for flag in draw.random(count) < 0.03]
    scores = [float(score) for score in draw.normal(0, 0.02, count)]
    return list(zip(ages, regions, flags, [0.01] * count, scores, strict=True))


def profiled(table: DataFrame, at: datetime = NOW) -> pd.DataFrame:
    return profile(counted(table, COLUMNS), ENCODING, at)


def test_equal_rows_have_no_drift_and_order_changes_nothing(spark: SparkSession) -> None:
    table = spark.createDataFrame(rows(1), SCHEMA)
    then = profiled(table)
    pd.testing.assert_frame_equal(profiled(by_hash(table, 0)), then)
    vectors = with_vector(table, ENCODING.columns, "v").select("v", "score")
    pd.testing.assert_frame_equal(profiled(unpacked(vectors, ENCODING, "v", "score")), then)
    by_feature = then.groupby("feature")
    assert by_feature["share"].sum().to_dict() == pytest.approx(dict.fromkeys(COLUMNS, 1.0))
    assert by_feature["rows"].sum().to_dict() == dict.fromkeys(COLUMNS, 400)
    again: pd.DataFrame = from_pandas(spark, then, RECOMMEND_PROFILE).toPandas()  # as a table gives it back
    now = drift(again, counted(table, COLUMNS), ENCODING)
    assert now["psi"].tolist() == [0.0] * 4
    assert set(now["verdict"]) == {"stable"}
    assert from_pandas(spark, now, RECOMMEND_DRIFT).count() == 4
    # Another ranker's codes are others: texts are known by their names.
    turned = Encoding((Feature("region", VALUES[::-1]),))
    codes = spark.createDataFrame([(149.0 - row[1],) for row in rows(1)], "f_region double")  # type: ignore[operator]
    [told] = drift(again, counted(codes, watched_columns(turned)), turned).itertuples()
    assert (told.feature, told.psi, told.since.tzinfo is None) == ("region", 0.0, True)
    region = then[then["feature"] == "region"].set_index("bin")
    expected = pd.Series([row[1] for row in rows(1)]).value_counts()
    assert {name: region.loc[f"value {name:.0f}", "rows"] for name in expected.index} == expected.to_dict()
    numbers = then[(then["feature"] == SCORE) & then["low"].notna()]
    assert len(numbers) in (9, 10, 11)
    assert numbers["share"].max() < 0.13
    flag = then[(then["feature"] == "flag") & (then["rows"] > 0)]
    assert len(flag) == 2  # a value that is rare is not hidden in a tenth


def test_drift_by_hand(spark: SparkSession) -> None:
    """A number from 1 to 10: ten bins; then half of the rows are missing and 1, and some unheard of."""
    one = Encoding((Feature("n"),))
    columns = watched_columns(one)
    before = [(float(n),) for n in range(1, 11) for _ in range(1_000)]
    values: list[float | None] = [None, math.nan, 1.0, -3.0, 10.5, math.inf, -math.inf, 0.0]
    now = [(value,) for value in values for _ in range(1_000)]
    then = profile(counted(spark.createDataFrame(before, "f_n double"), columns), one, NOW)
    assert then["rows"].tolist() == [1_000] * 10 + [0]
    assert then["low"].tolist()[:10] == [-math.inf, *range(2, 11)]
    assert then["bin"].tolist()[-2:] == ["from 10 to inf", "missing"]
    told = drift(then, counted(spark.createDataFrame(now, "f_n double"), columns), one).iloc[0]
    shares = {0: 4 / 8, 9: 2 / 8, 10: 2 / 8}
    expected = 0.0
    for place in range(11):
        was, share = (0.1 if place < 10 else 1e-4), shares.get(place, 1e-4)
        expected += (share - was) * math.log(share / was)
    assert told["psi"] == pytest.approx(expected)
    assert (told["verdict"], told["rows"]) == ("shifted", 8_000)


def test_verdicts() -> None:
    assert psi(pd.Series([50, 50]), pd.Series([60, 40]))[0] == pytest.approx(
        0.1 * math.log(0.6 / 0.5) - 0.1 * math.log(0.4 / 0.5)
    )
    assert psi(pd.Series([50, 50]), pd.Series([60, 40]))[1] == pytest.approx(3.8415 * 2 / 100, rel=1e-4)
    cases = [(0.0, 0.0), (0.0999, 0.0), (0.1, 0.0), (0.1, 0.1), (0.2499, 0.1), (0.25, 0.1), (0.25, 0.3)]
    told = ["stable", "stable", "moved", "stable", "moved", "shifted", "stable"]
    assert [verdict(*case) for case in cases] == told
    assert verdict(math.nan, math.nan) is None


def test_which_run_is_compared_with() -> None:
    """The last that is a week old, or else the first; one of later than now is of another history."""
    profiles = pd.DataFrame({"at": [NOW - timedelta(days=days) for days in (3, 1, 9, 8, -1)]})
    told = {}
    for days in (0, 5, 30):
        now = NOW - timedelta(days=days)
        found = kept(profiles, now, timedelta(days=7))
        told[days] = [(NOW - at).days for at in found["at"]]
    assert told == {0: [8, 3, 1], 5: [9, 8], 30: []}


def test_no_rows(spark: SparkSession) -> None:
    empty = counted(spark.createDataFrame([], SCHEMA), COLUMNS)
    assert profile(empty, ENCODING, NOW).empty
    then = profiled(spark.createDataFrame(rows(1, 20), SCHEMA))
    assert drift(then, empty, ENCODING).empty
