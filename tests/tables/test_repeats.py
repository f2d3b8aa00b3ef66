"""Whether a key repeats: of few rows, of rows in the key's order, and of rows in any order."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
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
    monkeypatch.setattr(repeats, "_any_hash_twice", lambda *_: pytest.fail("shuffled"))
    assert not has_repeats(ids(spark), "id", 60)
    late = F.expr("int(substr(id, 2)) >= 30")
    assert not has_repeats(ids(spark).where(late).union(ids(spark).where(~late)), "id", 60)


def in_order(tasks: Sequence[Sequence[str]], batch: int = 3) -> bool:
    """What has_repeats makes of tasks' ids."""
    found: list[tuple[str | None, str | None]] = []
    for told in tasks:
        parts = [told[start : start + batch] for start in range(0, len(told), batch)]
        batches = (pa.RecordBatch.from_pydict({"id": pa.array(part, pa.string())}) for part in parts)
        for runs in repeats._runs(batches):
            found += [(run["least"], run["greatest"]) for run in runs.to_pylist()]
    return repeats._apart(found)


SEQUENCE = [f"é{number}" for number in range(8, 30)]


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        ([], True),
        ([[""], []], True),
        ([SEQUENCE], True),
        ([SEQUENCE[10:], SEQUENCE[:10]], True),
        ([[*SEQUENCE[10:], *SEQUENCE[:10]]], True),  # two files of a task
        ([SEQUENCE, SEQUENCE[-1:]], False),
        ([[*SEQUENCE, SEQUENCE[5]]], False),
        ([["", ""]], False),
        ([SEQUENCE[::2], SEQUENCE[1::2]], False),  # no repeat, but who knows
    ],
)
def test_ids_in_order_are_known_not_to_repeat(tasks: list[list[str]], told: bool) -> None:
    assert in_order(tasks) == told


@given(st.lists(st.lists(st.text("a1é", max_size=2), max_size=8), max_size=4), st.integers(1, 4))
def test_ids_that_repeat_are_never_in_order(tasks: list[list[str]], batch: int) -> None:
    given_ids = [each for task in tasks for each in task]
    assert not (in_order(tasks, batch) and len(set(given_ids)) < len(given_ids))


def test_a_task_holds_a_bounded_number_of_ascending_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = [*"gh", *"ef", *"cd", *"ab"]
    assert in_order([apart])
    monkeypatch.setattr(repeats, "MOST_RUNS", 3)
    assert not in_order([apart])


def test_hashes_meet_whatever_batches_they_come_in() -> None:
    numbers = np.arange(20)
    batches = [pa.RecordBatch.from_pydict({"hash": part}) for part in np.array_split(numbers, 7)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "ROWS_A_TASK", 5)
        told = list(repeats._gathered(batches))
    assert [len(each) for each in told] == [6, 6, 6, 2]
    np.testing.assert_array_equal(np.concatenate(told), numbers)
