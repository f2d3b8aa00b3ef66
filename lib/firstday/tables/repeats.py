"""Whether a key's values repeat, without a shuffle of the rows.

Few rows are sorted by the driver. Of many, a table that was written in the order of its key tells by itself;
else the values are shuffled as 64-bit hashes, which is most of what a check of users or votes costs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.tables.schemas import column

ROWS_A_TASK = 2_000_000  # whose hashes a worker holds: 16 MB, and as much again while they are handed on
FEW_ROWS = 100_000  # whose hashes are with the driver before workers would have begun
RANGES_A_TASK = 16  # Spark deals them out by a hash: of so many no task gets many more than another
FIRST_ROWS = 1_000  # enough to see that there is no order
MOST_RUNS = 100  # of ascending ids in a task: it reads some files, each in order
RUNS = pa.schema([("least", pa.string()), ("greatest", pa.string())])


def has_repeats(good: DataFrame, key: str, rows: int) -> bool:
    """Whether `key`, a text and never null, may repeat in `rows` rows; two of one hash are taken for one."""
    ids = good.select(column(key))
    hashes = ids.select(F.xxhash64(column(key)).alias("hash"))
    if rows <= FEW_ROWS:
        told: pd.DataFrame = hashes.toPandas()
        return _any_twice([told["hash"].to_numpy()])
    return not _in_order(ids) and _any_hash_twice(hashes, rows)


def _in_order(ids: DataFrame) -> bool:
    """Whether ids ascend in every task, in runs that do not overlap: then none repeats."""
    # A task that gives up takes its Python worker with it; the first rows mostly tell beforehand.
    first: pd.DataFrame = ids.limit(FIRST_ROWS).toPandas()
    if (~_ascends(pa.array(first.iloc[:, 0], pa.string()))).sum() >= MOST_RUNS:
        return False
    told = ids.mapInArrow(_runs, "least string, greatest string").collect()
    return _apart((run["least"], run["greatest"]) for run in told)


def _runs(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The first and the last of each run of ascending ids; a run of nulls where there are MOST_RUNS."""
    found: list[tuple[str, str]] = []
    for part in (batch.column(0) for batch in batches if batch.num_rows):
        ends = np.flatnonzero(~_ascends(part)) + 1
        if len(found) + len(ends) >= MOST_RUNS:
            yield pa.RecordBatch.from_pydict({"least": [None], "greatest": [None]}, RUNS)
            return
        for start, end in pairwise([0, *ends, len(part)]):
            least, greatest = part[start].as_py(), part[end - 1].as_py()
            if found and _order(found[-1][1]) < _order(least):
                least = found.pop()[0]
            found.append((least, greatest))
    least, greatest = zip(*found, strict=True) if found else ((), ())
    yield pa.RecordBatch.from_pydict({"least": least, "greatest": greatest}, RUNS)


def _apart(runs: Iterable[tuple[str | None, str | None]]) -> bool:
    """Whether no two runs overlap, all of them known."""
    known = []
    for least, greatest in runs:
        if least is None or greatest is None:
            return False
        known.append((_order(least), _order(greatest)))
    known.sort()
    return all(greatest < least for (_, greatest), (least, _) in pairwise(known))


def _order(text: str) -> tuple[int, bytes]:
    """By length first, as the numbers of a sequence ascend: u9, u10."""
    encoded = text.encode()
    return len(encoded), encoded


def _ascends(texts: pa.StringArray) -> NDArray[np.bool_]:
    """(texts - 1,) whether each but the first comes after the one before it, by `_order`."""
    length = pc.binary_length(texts).to_numpy()
    later = pc.less(texts[:-1], texts[1:]).to_numpy(zero_copy_only=False)
    return np.where(length[1:] == length[:-1], later, length[1:] > length[:-1])


def _any_hash_twice(hashes: DataFrame, rows: int) -> bool:
    """Each task sorts its hashes and hands each range of them on as one value: hashes as rows of their own
    take three times as long to shuffle as to sort.
    """
    tasks = -(-rows // ROWS_A_TASK) or 1
    ranges = tasks * RANGES_A_TASK
    bounds = np.linspace(-(2.0**63), 2.0**63, ranges, endpoint=False)[1:].astype(np.int64)

    def sorted_ranges(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for hashes in map(_at_most_two_of_each, _gathered(batches)):
            parts = np.split(hashes, np.searchsorted(hashes, bounds))
            told = {
                "range": pa.array(range(ranges), pa.int32()),
                "hashes": [part.tobytes() for part in parts],
            }
            yield pa.RecordBatch.from_pydict(told)

    def repeats(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        by_range: dict[int, list[NDArray[np.int64]]] = defaultdict(list)
        for batch in batches:
            for number, part in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
                by_range[number].append(np.frombuffer(part.as_buffer(), np.int64))
        yield pa.RecordBatch.from_pydict({"repeats": [any(map(_any_twice, by_range.values()))]})

    parts = hashes.mapInArrow(sorted_ranges, "range int, hashes binary").repartition(tasks, "range")
    found = parts.mapInArrow(repeats, "repeats boolean").agg(F.bool_or("repeats")).first()
    return found is not None and bool(found[0])


def _at_most_two_of_each(hashes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted. Two tell as much as the million of an id that all rows have."""
    hashes.sort()
    further = np.zeros(len(hashes), bool)
    further[2:] = hashes[2:] == hashes[:-2]
    return hashes[~further]


def _any_twice(parts: Sequence[NDArray[np.int64]]) -> bool:
    hashes = np.sort(np.concatenate(parts), kind="stable")  # merges those that are sorted
    return bool((hashes[1:] == hashes[:-1]).any())


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[NDArray[np.int64]]:
    """The numbers of many batches in one array, of ROWS_A_TASK or a batch more at most."""
    held: list[NDArray[np.int64]] = []
    for batch in batches:
        held.append(batch.column(0).to_numpy())
        if sum(map(len, held)) >= ROWS_A_TASK:
            whole, held = np.concatenate(held), []
            yield whole
    if held:
        yield np.concatenate(held)
