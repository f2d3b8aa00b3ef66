"""Every candidate's numbers against a naive count, other people's code, and what must always hold."""

import re
from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from firstday.moments.metrics import mark_frontier, moments
from tests import oracle
from tests.oracle import User

SEGMENTS, DAYS = ("country", "gender"), (1, 7)
RATIOS = ("precision", "recall", "lift", "f1", "phi", "difference")
LISTED = (1, 2, 4, 9)

# No user of some segments has a known day; some actions are done by nobody there; counts tie.
USERS = st.lists(
    st.builds(
        User,
        st.sampled_from([date(2024, 1, 1), date(2024, 1, 2)]),
        st.tuples(st.sampled_from(["KR", "US", "DE"]), st.sampled_from(["f", "m"])),
        st.dictionaries(st.sampled_from(["like", "it's", "🎉"]), st.integers(1, 5), max_size=3),
        st.fixed_dictionaries({}, optional={1: st.booleans(), 7: st.booleans()}),
    ),
    min_size=1,
    max_size=60,
)


def counts(spark: SparkSession, users: Sequence[User]) -> DataFrame:
    return spark.createDataFrame(oracle.histogram(users, DAYS), oracle.histogram_schema(SEGMENTS, DAYS))


def measured(frame: DataFrame, **options: object) -> pd.DataFrame:
    return mark_frontier(moments(frame, SEGMENTS, DAYS, **options)).toPandas()  # type: ignore[arg-type]


def share(part: float, whole: float) -> float:
    return part / whole if whole else np.nan


@settings(max_examples=4)
@given(users=USERS)
@pytest.mark.parametrize("thresholds", [(), LISTED])
def test_as_a_naive_count_says(spark: SparkSession, users: list[User], thresholds: tuple[int, ...]) -> None:
    found = measured(counts(spark, users), thresholds=thresholds, min_users=1)
    expected = oracle.candidates(users, SEGMENTS, DAYS, thresholds)
    # Segments without a user whose day is known are left out, the whole is not.
    expected = {key: four for key, four in expected.items() if four[0] or key[0] == "all"}
    four = found.set_index(["segment", "action", "threshold", "day"])[
        ["users", "experienced", "retained", "both"]
    ]
    assert four.index.is_unique
    assert {
        key: tuple(row) for key, row in zip(four.index, four.to_numpy().tolist(), strict=True)
    } == expected
    check_ratios(found)
    check_monotone(found)
    check_frontier(found)


def check_ratios(found: pd.DataFrame) -> None:
    for row in found.itertuples():
        n, e, r, b = row.users, row.experienced, row.retained, row.both
        table = np.array([[b, e - b], [r - b, n - e - r + b]], dtype=float)
        spread = np.sqrt(np.prod(table.sum(axis=0)) * np.prod(table.sum(axis=1)))
        expected = {
            "precision": share(b, e),
            "recall": share(b, r),
            "lift": share(b * n, e * r),
            "f1": share(2 * b, e + r),
            "phi": share(np.linalg.det(table), spread) if spread else np.nan,
            "difference": share(b, e) - share(r - b, n - e),
        }
        for name, value in expected.items():
            assert getattr(row, name) == pytest.approx(value, abs=1e-9, nan_ok=True), (name, row)
        for name, part, whole in (("precision", b, e), ("recall", b, r)):
            bounds = proportion_confint(part, whole, method="wilson") if whole else (np.nan, np.nan)
            told = (getattr(row, f"{name}_low"), getattr(row, f"{name}_high"))
            assert told == pytest.approx(bounds, abs=1e-9, nan_ok=True)
        bounds = (np.nan, np.nan)
        if 0 < e < n:
            bounds = confint_proportions_2indep(b, e, r - b, n - e, method="newcomb", compare="diff")
        assert (row.difference_low, row.difference_high) == pytest.approx(bounds, abs=1e-6, nan_ok=True)


def check_monotone(found: pd.DataFrame) -> None:
    by_threshold = found.sort_values("threshold").groupby(["segment", "action", "day"])
    for name in ("experienced", "both", "recall"):
        assert not (by_threshold[name].diff() > 0).any()


def check_frontier(found: pd.DataFrame) -> None:
    for _, rows in found.groupby(["segment", "day"]):
        pairs = list(zip(rows["precision"], rows["recall"], strict=True))
        assert rows["on_frontier"].tolist() == oracle.on_frontier(pairs)


def test_undefined_ratios_are_null(spark: SparkSession) -> None:
    """Nobody retained on day 1, nobody known on day 7; everybody did it once."""
    users = [User(date(2024, 1, 1), ("KR", "f"), {"like": 1}, {1: False}) for _ in range(3)]
    rows = moments(counts(spark, users), (), DAYS, thresholds=(1, 2)).collect()
    found = {(row["threshold"], row["day"]): row for row in rows}
    assert sorted(found) == [(1, 1), (1, 7), (2, 1), (2, 7)]
    assert [found[1, 1][name] for name in RATIOS] == [0.0, None, None, 0.0, None, None]
    assert [found[2, 1][name] for name in RATIOS] == [None] * 6
    assert [found[1, 7][name] for name in RATIOS] == [None] * 6
    assert [found[1, 7][name] for name in ("users", "experienced", "retained", "both")] == [0, 0, 0, 0]
    assert [found[1, 1][name] for name in ("recall_low", "recall_high", "difference_low")] == [None] * 3


def test_small_segments_are_left_out_and_the_whole_is_not(spark: SparkSession) -> None:
    users = [User(date(2024, 1, 1), (country, "f"), {"like": 1}, {1: True}) for country in ("KR", "KR", "US")]
    frame = counts(spark, users)
    assert set(measured(frame, min_users=2)["segment"]) == {
        "all", "country=KR", "gender=f", "country=KR,gender=f",
    }  # fmt: skip
    assert set(measured(frame, min_users=30)["segment"]) == {"all"}


def test_nobody_did_anything(spark: SparkSession) -> None:
    users = [User(date(2024, 1, 1), ("KR", "f"), {}, {1: True})]
    assert measured(counts(spark, users), thresholds=LISTED).empty
    assert measured(counts(spark, [])).empty


def test_newcombe_as_published(spark: SparkSession) -> None:
    """Newcombe (1998), table II, 56/70 against 48/80, method 10: 0.0524 to 0.3339."""
    users = [User(date(2024, 1, 1), ("KR", "f"), {"like": 1}, {1: n < 56}) for n in range(70)]
    users += [User(date(2024, 1, 1), ("KR", "f"), {}, {1: n < 48}) for n in range(80)]
    row = measured(counts(spark, users)).query("segment == 'all' and day == 1").iloc[0]
    assert row["difference"] == pytest.approx(0.2)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_plan_is_the_same_for_a_thousand_thresholds(spark: SparkSession) -> None:
    frame = counts(spark, [User(date(2024, 1, 1), ("KR", "f"), {"like": 1}, {1: True})])

    def plan(thresholds: Sequence[int]) -> str:
        rows = mark_frontier(moments(frame, SEGMENTS, DAYS, thresholds=thresholds))
        text = rows._jdf.queryExecution().executedPlan().toString()
        return re.sub(r"(#|plan_id=)\d+", "", text.replace(",".join(map(str, thresholds)), ""))

    assert plan(range(1, 11)) == plan(range(1, 1_001))
