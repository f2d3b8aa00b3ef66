"""Draws are beta draws of the last days' posterior."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from scipy.stats import beta as beta_distribution
from scipy.stats import kstest

from firstday.errors import LimitError
from firstday.recommendations.recall import serendipity as module
from firstday.recommendations.recall.catalog import Catalog
from firstday.recommendations.recall.serendipity import (
    ALL,
    DRAWS,
    Draws,
    draws,
    posterior,
    segmented,
    serendipity,
)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
FACTS = "user_id string, category string, kind string, at timestamp, value double"
CATALOG = Catalog(("a", "b", "c", "d"), ("g", "g", "h", "h"))


def drawn_of(catalog: Catalog, *names: str) -> Draws:
    values = np.random.default_rng(1).beta(2, 50, (len(names) + 1, DRAWS, len(catalog)))
    return Draws((ALL, *names), values, 5, "2026-03-01")


def test_draws_are_of_the_last_days_posterior(spark: SparkSession) -> None:
    def rows(user: str, category: str, kind: str, times: int, days: float = 1) -> list[tuple[object, ...]]:
        return [(user, category, kind, NOW - timedelta(days=days), None)] * times

    facts = [
        *rows("u1", "a", "shown", 300),
        *rows("u1", "a", "click", 30),
        *rows("u2", "b", "shown", 200),
        *rows("u2", "a", "shown", 50),
        *rows("u2", "a", "click", 1, days=0),  # not before now
        *rows("u1", "a", "click", 90, days=28.1),
        *rows("u1", "unseen", "click", 9),
        *rows("stranger", "a", "click", 9),  # has no segment
    ]
    segments = spark.createDataFrame(
        [("u1", "x"), ("u2", "y"), ("u3", "z")], "user_id string, segment string"
    )
    log = spark.createDataFrame(facts, FACTS)
    found = draws(segments, log, CATALOG, NOW, seed=3)
    assert found.segments == (ALL, "x", "y")
    assert found.day == "2026-03-01"
    shown = np.array([[0, 0, 0, 0], [300, 0, 0, 0], [50, 200, 0, 0]], dtype=float)
    clicks = np.array([[0, 0, 0, 0], [30, 0, 0, 0], [0, 0, 0, 0]], dtype=float)
    alpha, beta = posterior(shown, clicks)
    overall = (30 + 1) / (550 + 100)
    of_a = (30 + 100 * overall) / (350 + 100)
    assert (alpha[1, 0], beta[1, 0]) == pytest.approx((100 * of_a + 30, 100 * (1 - of_a) + 270))
    assert (alpha[0, 0], beta[0, 0]) == pytest.approx((100 * overall + 30, 100 * (1 - overall) + 320))
    assert alpha[2, 3] / (alpha[2, 3] + beta[2, 3]) == pytest.approx(overall)
    for segment in range(3):
        for place in range(4):
            exact = beta_distribution(alpha[segment, place], beta[segment, place])
            assert kstest(found.values[segment, :, place], exact.cdf).pvalue > 1e-4
    shuffled = draws(segments.repartition(3), log.orderBy(F.rand(1)).repartition(4), CATALOG, NOW, seed=3)
    np.testing.assert_array_equal(shuffled.values, found.values)
    one_segment = draws(segments.where("segment = 'x'"), log, CATALOG, NOW + timedelta(days=1), seed=3)
    assert not np.array_equal(one_segment.values[1], found.values[1])


def test_without_history_all_categories_are_as_likely(spark: SparkSession) -> None:
    users = segmented(
        spark.createDataFrame([("u", None), ("v", "s")], "user_id string, `re.gion` string"), ["re.gion"]
    )
    assert [row["segment"] for row in users.orderBy("user_id").collect()] == ["re.gion unknown", "re.gion s"]
    found = draws(users, spark.createDataFrame([], FACTS), CATALOG, NOW, seed=3)
    assert found.segments == (ALL,)
    assert found.values.mean() == pytest.approx(0.01, rel=0.1)
    rows = serendipity(users, found).collect()
    assert {row["user_id"] for row in rows} == {"u", "v"}
    assert all(row["serendipity"] in found.values[0].tolist() for row in rows)
    assert segmented(users, []).select("segment").distinct().collect() == [(ALL,)]


def test_too_many_segments_are_refused(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SEGMENTS", 2)
    facts = [(f"u{user}", "a", "shown", NOW - timedelta(days=1), None) for user in range(2)]
    users = spark.createDataFrame(
        [(f"u{user}", f"s{user}") for user in range(2)], "user_id string, segment string"
    )
    with pytest.raises(LimitError, match="segments"):
        draws(users, spark.createDataFrame(facts, FACTS), CATALOG, NOW, seed=3)
