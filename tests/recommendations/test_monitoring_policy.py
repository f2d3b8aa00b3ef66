"""The value of new lists by drawn slots: as the arrays have it, and in words where there is none."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.recommendations.monitoring import WEEK
from firstday.recommendations.monitoring_policy import FOLD_SALT, FOLDS, PolicyValue, policy_value
from firstday.recommendations.off_policy import estimate
from firstday.recommendations.off_policy_sums import sums
from firstday.spark.frames import uniform_hash
from tests.recommendations.bank_worlds import NOW, ago

IMPRESSIONS = (
    "impression_id string, user_id string, category string, content_id string, slot int, "
    "shown_at timestamp, policy string, propensity double"
)
REACTIONS = "impression_id string, user_id string, kind string, reacted_at timestamp"
Rows = list[tuple[Any, ...]]


def value(
    spark: SparkSession, impressions: Rows, clicks: list[str], new: dict[Any, Any], **more: Any
) -> PolicyValue:
    """new: by user and slot, the content of the new lists, each with a score of 0.1 (0.2 for a1)."""
    reacted = [(name, "u", "click", ago(0.25)) for name in clicks for _ in range(2)]
    late = [(row[0], "u", "click", NOW) for row in impressions]
    tables = {
        "impressions": spark.createDataFrame(impressions, IMPRESSIONS),
        "reactions": spark.createDataFrame(
            [*reacted, *late, *((row[0], "u", "join", ago(0.1)) for row in impressions)], REACTIONS
        ),
    }
    listed = spark.createDataFrame(
        [(*key, content) for key, content in new.items()], "user_id string, slot int, new string"
    )

    def odds(shown: DataFrame) -> DataFrame:
        scores = {name: F.when(F.col(name) == "a1", 0.2).otherwise(0.1) for name in ("content_id", "new")}
        found = shown.join(listed, ["user_id", "slot"], "left")
        probability = F.coalesce((F.col("content_id") == F.col("new")).cast("double"), F.lit(0.0))
        expected = F.when(F.col("new").isNotNull(), scores["new"])
        return found.select(
            *shown.columns,
            probability.alias("probability"),
            scores["content_id"].alias("score"),
            expected.alias("expected"),
        )

    return policy_value(tables, NOW, WEEK, odds, **more)


def test_as_arrays_have_it(spark: SparkSession) -> None:
    """Two contents in slot 4 with 0.5 each; the new lists have the first for some, the second for others."""
    draw = np.random.default_rng(4)
    users = [f"u{number}" for number in range(300)]
    shown = draw.integers(2, size=(300, 2))
    clicked = draw.random((300, 2)) < 0.2
    impressions: Rows = []
    clicks = []
    for user, (name, days) in ((user, pair) for user in range(300) for pair in ((0, 1.0), (1, 7.0))):
        key = f"{user} {name}"
        impressions.append((key, users[user], "a", f"a{shown[user, name]}", 4, ago(days), "p", 0.5))
        clicks += [key] if clicked[user, name] else []
    impressions += [
        ("filled", "u0", "a", "a0", 1, ago(1), "p", None),
        ("old", "u0", "a", "a0", 4, ago(7.5), "p", 0.5),
        ("now", "u0", "a", "a0", 4, NOW, "p", 0.5),
        ("other slot", "u0", "b", "b0", 3, ago(1), "p", 0.5),
    ]
    new = {(user, 4): f"a{number % 2}" for number, user in enumerate(users)}
    found = value(spark, impressions, clicks, new)
    # The same by hand: the model is the score times clicks over scores among the users of other folds.
    rows = spark.createDataFrame([(user,) for user in users], "user_id string")
    folds = [row[0] for row in rows.select(F.floor(uniform_hash("user_id", FOLD_SALT) * FOLDS)).collect()]
    log = pd.DataFrame(
        {
            "fold": np.repeat(folds, 2),
            "reward": clicked.ravel().astype(float),
            "score": np.where(shown == 1, 0.2, 0.1).ravel(),
            "new": np.repeat(np.where(np.arange(300) % 2, 0.2, 0.1), 2),
        }
    )
    scale = np.array(
        [
            log.loc[log["fold"] != fold, "reward"].sum() / log.loc[log["fold"] != fold, "score"].sum()
            for fold in log["fold"]
        ]
    )
    expected = estimate(
        sums(
            *(log["reward"], np.full(600, 0.5), (shown == (np.arange(300) % 2)[:, None]).ravel()),
            predicted=scale * log["score"],
            expected=scale * log["new"],
            unit=np.repeat(np.array(users), 2),
        )
    )
    assert found.estimate is not None
    for method in ("snips", "self_normalised_doubly_robust"):
        assert vars(getattr(found.estimate, method)) == pytest.approx(vars(getattr(expected, method)))
    assert (found.drawn, found.judged) == (601, 600)
    told = " ".join(found.sentences)
    assert f"{found.estimate.self_normalised_doubly_robust.value:.2%}" in told  # type: ignore[union-attr]
    assert "1 drawn impressions are left out" in told
    assert "learned from" not in told
    late = value(spark, impressions, clicks, new, learned_until=NOW)
    assert "too high" in late.sentences[-1]


def test_refusals_in_words(spark: SparkSession) -> None:
    row = ("i", "u", "a", "a0", 4, ago(1), "p", 0.5)
    many: Rows = [(f"i{n}", f"u{n}", "a", f"a{n % 2}", 4, ago(1), "p", 0.5) for n in range(50)]
    lists = {(f"u{n}", 4): "a0" for n in range(50)}
    elsewhere: dict[Any, Any] = dict.fromkeys(lists, "a9")
    cases: list[tuple[Rows, dict[Any, Any], str]] = [
        ([(*row[:7], None)], lists, "no category was drawn"),
        ([row], {("u", 3): "a0"}, "none of the 1 drawn impressions can be compared"),
        ([*many, ("bad", "u1", "a", "a0", 4, ago(1), "p", 0.0)], lists, "propensity is above 0.*'0.0'"),
        (many, elsewhere, "contents that the log could show"),
        (many, lists, "25 effective rows, 100 needed"),
    ]
    for impressions, new, told in cases:
        found = value(spark, impressions, [], new)
        assert found.estimate is None
        with pytest.raises(AssertionError, match=told):
            raise AssertionError(found.sentences[0])
