"""Votes, wide and long, become the same patterns; Spark's sums are the driver's."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.errors import DataError, LimitError
from firstday.labels import soft, summary, votes
from firstday.labels.distributed import Distributed
from firstday.labels.models import fitting
from firstday.labels.patterns import Packing
from firstday.labels.periods import by_period
from tests.labels.worlds import Votes, one_sided, two_sided


def wide_frame(spark: SparkSession, cast: Votes, **others: object) -> DataFrame:
    frame = pd.DataFrame(cast.astype(np.int32), columns=[f"lf {at}" for at in range(cast.shape[1])])
    return spark.createDataFrame(frame.assign(row_id=[f"r{at}" for at in range(len(cast))], **others))


def long_frame(spark: SparkSession, cast: Votes) -> DataFrame:
    row, voter = np.indices(cast.shape).reshape(2, -1)
    names = {"row_id": [f"r{at}" for at in row], "voter": [f"lf {at}" for at in voter]}
    return spark.createDataFrame(pd.DataFrame({**names, "vote": cast.ravel().astype(np.int32)}))


def test_wide_and_long_are_the_same(spark: SparkSession) -> None:
    cast = two_sided(400, 45, (0.5, 0.3, 0.2), 1).votes  # two words
    cast[3] = -1
    wide = votes.from_wide(wide_frame(spark, cast), [f"lf {at}" for at in range(45)], 3)
    long = votes.from_long(long_frame(spark, cast), 3, [f"lf {at}" for at in range(45)])
    one: Any
    other: Any
    one, other = (
        each.rows.select("row_id", *each.words).orderBy("row_id").toPandas() for each in (wide, long)
    )
    pd.testing.assert_frame_equal(one, other)
    packed = pd.DataFrame(Packing(45, 3).pack(cast), index=[f"r{at}" for at in range(400)]).sort_index()
    np.testing.assert_array_equal(one[wide.words], packed)
    assert sorted(votes.from_long(long_frame(spark, cast), 3).voters) == sorted(wide.voters)


def test_repeats_of_a_voter_on_a_row(spark: SparkSession) -> None:
    told = [("a", "x", 1), ("a", "x", 1), ("a", "y", 0), ("b", "x", 0), ("b", "x", 1), ("b", "y", -1)]
    told += [("b", "y", 1), ("c", "z", -1)]
    long = votes.from_long(spark.createDataFrame(told, "row_id string, voter string, vote int"), 2)
    assert long.voters == ("x", "y", "z")
    words = {row[0]: row[1] for row in long.rows.select("row_id", long.words[0]).collect()}
    packed = Packing(3, 2).pack(np.array([[1, 0, -1], [-1, 1, -1], [-1, -1, -1]]))[:, 0]
    assert words == dict(zip("abc", packed.tolist(), strict=True))


def test_voters_whom_a_model_does_not_know_are_counted(spark: SparkSession) -> None:
    told = [("a", "x", 1), ("a", "new", 1), ("b", "new", 0), ("b", "other", 1), ("b", "y", 0), ("b", "z", -1)]
    long = spark.createDataFrame(told, "row_id string, voter string, vote int")
    assert votes.strangers(long, ["x", "y"]) == votes.Strangers(3, 2, "new", 5)
    assert votes.strangers(long, ["x", "y", "new", "other"]) == votes.Strangers(0, 0, None, 5)


def test_votes_show_how_many_classes_there_are_up_to_a_limit(spark: SparkSession) -> None:
    wide = spark.createDataFrame([(1, None), (-1, 98)], "`a.b` int, c int")
    assert votes.classes_shown(wide, ["a.b", "c"]) == 99
    assert votes.classes_shown(wide, ["a.b"]) == 2
    assert votes.classes_shown(wide.where("c > 98"), ["c"]) == 2
    with pytest.raises(DataError, match=r"100 classes.*Got: '100 in the column c'.*--classes"):
        votes.classes_shown(wide.selectExpr("c + 2 as c"), ["c"])


def test_spark_adds_up_what_the_driver_does(spark: SparkSession) -> None:
    world = one_sided(3_000, (0.6, 0.3, 0.1), 2)
    gold = pd.array(np.where(np.arange(3_000) % 3 == 0, world.truth, -1))
    frame = wide_frame(spark, world.votes, gold=gold).repartition(3)
    cast = votes.from_wide(frame, [f"lf {at}" for at in range(12)], 3)
    patterns = votes.counted(cast, votes.class_of("gold")).repartition(3).cache()
    driver = votes.on_driver(cast, patterns, 10_000)
    assert driver is not None
    assert votes.on_driver(cast, patterns, 10) is None
    assert driver.gold is not None
    assert driver.gold.sum() == 1_000
    by_spark = Distributed(cast, patterns)
    np.testing.assert_allclose(by_spark.together, driver.together)
    one, other = (fitting.fit(counted, "precision") for counted in (driver, by_spark))
    assert one.iterations == other.iterations
    np.testing.assert_allclose(one.posterior(driver.votes), other.posterior(driver.votes), atol=1e-9)
    summaries = [summary.summarise(counted, one, np.arange(12)) for counted in (driver, by_spark)]
    pd.testing.assert_frame_equal(*summaries)
    half = len(driver.rows) // 2
    drawn, rows = by_spark.sample(half)
    assert drawn.shape[0] == half
    assert rows.sum() == pytest.approx(3_000, rel=4 / half**0.5)  # it stands for those left out too
    everything, rows = by_spark.sample(10_000)
    assert rows.sum() == 3_000
    assert everything.shape == driver.votes.shape
    # And the answers: one for each row, from the model alone.
    answered = soft.label_patterns(one, cast, patterns)
    labels: Any = soft.soft_labels(cast, answered, few=True).toPandas()
    labels = labels.set_index("row_id")
    packing = Packing(12, 3)
    expected = one.posterior(packing.unpack(packing.pack(world.votes)))
    found = np.stack(labels.loc[[f"r{at}" for at in range(3_000)], "probabilities"].to_list())
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_votes_by_period_are_those_counted_row_by_row(spark: SparkSession) -> None:
    world = one_sided(600, (0.7, 0.3), 3)
    week = np.where(np.arange(600) % 7 == 0, "unknown", (np.arange(600) // 200).astype(str))
    told = [None if name == "unknown" else name for name in week]
    frame = wide_frame(spark, world.votes, week=told).repartition(3)
    cast = votes.from_wide(frame, [f"lf {at}" for at in range(8)], 2)
    periods, given, rows = by_period(cast, "week")
    assert periods == ["0", "1", "2", "unknown"]
    for at, name in enumerate(periods):
        there = world.votes[week == name]
        assert rows[at] == len(there)
        expected = [[(there[:, voter] == vote).sum() for vote in (0, 1)] for voter in range(8)]
        assert given[at].tolist() == expected
    with pytest.raises(LimitError, match="1,000 values"):
        by_period(votes.from_wide(spark.range(1_100).selectExpr("id row_id", "0 a"), ["a"], 2), "row_id")


def test_what_is_no_class_is_refused_and_what_is_unknown_is_not(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("1", 1.0, 7, "fraud"), ("-1", float("nan"), 1, "honest"), (None, None, None, None)],
        "text string, number double, high int, named string",
    )
    for name in ("text", "number"):
        votes.refuse_other_classes(rows, name, 2)
        assert [row[0] for row in rows.select(votes.class_of(name)).collect()] == [1, None, None]
    votes.refuse_other_classes(rows, "named", 2, ("honest", "fraud"))
    named = rows.select(votes.class_of("named", ("honest", "fraud"))).collect()
    assert [row[0] for row in named] == [1, 0, None]
    halves = spark.createDataFrame([(0.5,)], "half double")
    with pytest.raises(DataError, match=r"0\.5"):
        votes.refuse_other_classes(halves, "half", 2)
    with pytest.raises(DataError, match="high"):
        votes.refuse_other_votes(rows.na.drop(), ["high"], 2)
    votes.refuse_other_votes(rows.na.drop(), ["high"], 8)
    for name, told in (("high", "7"), ("named", "honest")):
        with pytest.raises(DataError, match=told):
            votes.refuse_other_classes(rows, name, 2)
