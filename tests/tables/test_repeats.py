"""Whether a key repeats: of few rows, of rows in the key's order, and of rows in any order."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.tables import repeats
from firstday.tables.repeats import has_repeats


@pytest.fixture
def many(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few rows are looked at as many are: by tasks of several batches."""
    monkeypatch.setattr(repeats, "FEW_ROWS", 0)
    monkeypatch.setattr(repeats, "ROWS_A_TASK", 7)
    monkeypatch.setattr(repeats, "RANGES_A_TASK", 3)
    batch = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(batch)
    spark.conf.set(batch, "3")
    yield
    spark.conf.set(batch, str(before))


def ids(spark: SparkSession) -> DataFrame:
    """u0 to u59, in the order of numbers, which is not that of texts."""
    return spark.range(0, 60, 1, 3).select(F.concat(F.lit("u"), "id").alias("id"))


def test_few_rows_are_looked_at_by_the_driver(spark: SparkSession) -> None:
    assert not has_repeats(ids(spark), "id", 60)
    assert has_repeats(ids(spark).union(spark.createDataFrame([("u31",)], ["id"])), "id", 61)


@pytest.mark.usefixtures("many")
def test_a_repeat_is_found_wherever_the_two_rows_are(spark: SparkSession) -> None:
    once = ids(spark)
    for twin in ("u0", "u31", "u59"):
        one = spark.createDataFrame([(twin,)], ["id"])
        assert has_repeats(once.union(one), "id", 61)
    assert has_repeats(once.union(one).coalesce(1), "id", 61)
    assert has_repeats(once.union(one.withColumn("id", F.explode(F.array_repeat("id", 50)))), "id", 110)
    assert not has_repeats(once, "id", 60)
    assert not has_repeats(once.limit(0), "id", 0)


@pytest.mark.usefixtures("many")
def test_rows_in_the_order_of_their_key_are_not_shuffled(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shuffled(*_: object) -> bool:
        raise AssertionError

    monkeypatch.setattr(repeats, "_any_hash_twice", shuffled)
    sequence = ids(spark)
    padded = spark.range(0, 60, 1, 3).select(F.format_string("é%03d", "id").alias("id"))
    assert not has_repeats(sequence, "id", 60)
    assert not has_repeats(padded, "id", 60)
    later, earlier = padded.where("id >= 'é040'"), padded.where("id < 'é020'")
    assert not has_repeats(later.union(earlier), "id", 40)
    assert not has_repeats(later.union(earlier).coalesce(1), "id", 40)  # within a batch
    for more in (sequence, sequence.where("id = 'u59'"), sequence.where("id = 'u30'")):
        for rows in (sequence.union(more), sequence.union(more).coalesce(1)):
            with pytest.raises(AssertionError):
                has_repeats(rows, "id", 120)


@pytest.mark.usefixtures("many")
def test_a_task_holds_a_bounded_number_of_ascending_runs(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_runs = ids(spark).orderBy(F.expr("-(int(substr(id, 2)) div 10)"), "id").coalesce(1)
    assert repeats._in_order(in_runs)
    monkeypatch.setattr(repeats, "MOST_RUNS", 4)
    assert not repeats._in_order(in_runs)


def test_hashes_meet_whatever_batches_they_come_in() -> None:
    numbers = np.arange(20)
    batches = [pa.RecordBatch.from_pydict({"hash": part}) for part in np.array_split(numbers, 7)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "ROWS_A_TASK", 5)
        told = list(repeats._gathered(batches))
    assert [len(each) for each in told] == [6, 6, 6, 2]
    np.testing.assert_array_equal(np.concatenate(told), numbers)
