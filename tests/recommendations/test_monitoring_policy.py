"""The value of new lists by drawn slots: as the arrays have it, and in words where there is none."""

from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from firstday.recommendations.monitoring import WEEK
from firstday.recommendations.monitoring_policy import PolicyValue, policy_value
from firstday.recommendations.off_policy import estimate
from firstday.recommendations.off_policy_sums import sums
from tests.recommendations.bank_worlds import NOW, ago

IMPRESSIONS = (
    "impression_id string, user_id string, category string, content_id string, slot int, "
    "shown_at timestamp, policy string, propensity double"
)
REACTIONS = "impression_id string, user_id string, kind string, reacted_at timestamp"
LISTS = "user_id string, slot int, category string, content_id string, propensity double"
Rows = list[tuple[Any, ...]]


def value(spark: SparkSession, impressions: Rows, clicks: list[str], lists: Rows) -> PolicyValue:
    reacted = [(name, "u", "click", ago(0.25)) for name in clicks for _ in range(2)]
    late = [(row[0], "u", "click", NOW) for row in impressions]
    tables = {
        "impressions": spark.createDataFrame(impressions, IMPRESSIONS),
        "reactions": spark.createDataFrame(
            [*reacted, *late, *((row[0], "u", "join", ago(0.1)) for row in impressions)], REACTIONS
        ),
    }
    return policy_value(tables, NOW, WEEK, spark.createDataFrame(lists, LISTS))


def test_as_arrays_have_it(spark: SparkSession) -> None:
    """Two contents in slot 4 with 0.5 each; the new lists have the first for some, the second for others."""
    draw = np.random.default_rng(4)
    users = [f"u{number}" for number in range(300)]
    drawn = draw.integers(2, size=(300, 2))
    clicked = draw.random((300, 2)) < 0.2
    impressions: Rows = []
    clicks = []
    for user, (name, days) in ((user, pair) for user in range(300) for pair in ((0, 1.0), (1, 7.0))):
        key = f"{user} {name}"
        impressions.append((key, users[user], "a", f"a{drawn[user, name]}", 4, ago(days), "p", 0.5))
        clicks += [key] if clicked[user, name] else []
    impressions += [
        ("filled", "u0", "a", "a0", 1, ago(1), "p", None),
        ("old", "u0", "a", "a0", 4, ago(7.5), "p", 0.5),
        ("now", "u0", "a", "a0", 4, NOW, "p", 0.5),
        ("other slot", "u0", "b", "b0", 3, ago(1), "p", 0.5),
        ("drawn again", "u1", "b", "b0", 2, ago(1), "p", 0.5),
    ]
    lists: Rows = [(user, 4, "a", f"a{number % 2}", None) for number, user in enumerate(users)]
    found = value(spark, impressions, clicks, [*lists, ("u1", 2, "b", "b0", 0.5)])
    same = drawn == (np.arange(300) % 2)[:, None]
    expected = estimate(
        sums(clicked.ravel(), np.full(600, 0.5), same.ravel(), unit=np.repeat(np.array(users), 2))
    )
    assert found.estimate is not None
    assert vars(found.estimate.snips) == pytest.approx(vars(expected.snips))
    assert (found.drawn, found.judged) == (602, 600)
    assert "600 impressions" in found.sentences[0]
    told = " ".join(found.sentences)
    assert "1 drawn impressions are left out: the new lists draw" in told
    assert "1 drawn impressions are left out: the new lists of these" in told
    assert "know reactions of the days" in told


def test_refusals_in_words(spark: SparkSession) -> None:
    row = ("i", "u", "a", "a0", 4, ago(1), "p", 0.5)
    many: Rows = [(f"i{n}", f"u{n}", "a", f"a{n % 2}", 4, ago(1), "p", 0.5) for n in range(50)]
    lists: Rows = [(f"u{n}", 4, "a", "a0", None) for n in range(50)]
    elsewhere: Rows = [(*one[:3], "a9" if n % 2 else None, None) for n, one in enumerate(lists)]
    cases: list[tuple[Rows, Rows, str]] = [
        ([(*row[:7], None)], lists, "no impression of these days was drawn"),
        ([row], [("u", 4, "a", "a0", 0.5)], "none of the 1 drawn impressions can be compared"),
        ([*many, ("bad", "u1", "a", "a0", 4, ago(1), "p", 0.0)], lists, "propensity is above 0.*'0.0'"),
        (many, elsewhere, "contents that the log could show"),
        (many, lists, "25 effective rows, 100 needed"),
    ]
    for impressions, new, told in cases:
        found = value(spark, impressions, [], new)
        assert found.estimate is None
        with pytest.raises(AssertionError, match=told):
            raise AssertionError(found.sentences[0])
