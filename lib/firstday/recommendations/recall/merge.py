"""The sources' candidates in one list of few for each customer, and why each is there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.recommendations.recall.catalog import Catalog, texts
from firstday.recommendations.recall.greedy import Chosen, Floats, Merging, greedy, ties_of
from firstday.recommendations.recall.relevance import CoOccurrence
from firstday.recommendations.recall.source import Source

TIE = "tie"


def views_of(sources: Iterable[Source]) -> dict[str, str]:
    """All scores of the sources by name, each with the column of its array."""
    return {name: column for source in sources for name, column in source.views.items()}


def _passed(sources: Iterable[Source]) -> dict[str, str]:
    return {name: kind for source in sources for name, kind in source.passed.items()}


def gathered(customers: DataFrame, *sources: DataFrame) -> DataFrame:
    """A row for each of the customers with the sources' arrays, null where a source says nothing."""
    found = customers.select("user_id")
    for source in sources:
        found = found.join(source, "user_id", "left")
    return found


def similarity(catalog: Catalog, found: CoOccurrence | None = None) -> Floats:
    """1 within a category group, else the co-occurrence's cosine, or 0 without it."""
    groups = np.array(catalog.groups)
    same = groups[:, None] == groups[None, :]
    return np.where(same, 1.0, found.similarity if found else 0.0)


def merge(
    scores: DataFrame,
    catalog: Catalog,
    found: CoOccurrence,
    seed: int,
    merging: Merging | None = None,
    sources: Sequence[Source] | None = None,
) -> DataFrame:
    """user_id, category, source, reason, score, place (from 1), and each source's own scores by their names,
    null if it has none.

    scores: `gathered` from the sources (all that there are, unless they are given), and `flags` named
    allowed, where some categories may not be recommended. A category of several sources belongs to the first
    in the order. Customers without a candidate have no row.

    The choice is an Arrow kernel over batches of customers. Lambdas in Catalyst took 6.1 CPU seconds for
    20,000 customers and 40 categories with one source and no quotas; NumPy, with four scores and quotas, 0.5.
    """
    from firstday.recommendations.recall.sources import SOURCES  # which is built on this module

    given, asked = merging or Merging(), tuple(sources or SOURCES.values())
    views, passed = views_of(asked), _passed(asked)
    named = tuple((source.name, tuple(source.views), source.score) for source in asked)  # for workers
    size = len(catalog)
    alike = similarity(catalog, found)

    def kernel(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            yield _picked(batch, size, alike, given, views, named, [*passed])

    arrays = [F.col(name).alias(name) for name in views.values()]
    pick_type = "place: int, source: int, score: double, " + ", ".join(f"{name}: double" for name in views)
    passed_type = "".join(f", {name} {kind}" for name, kind in passed.items())
    tie = F.xxhash64(F.lit(seed), F.col("user_id")).alias(TIE)
    rows = _complete(scores, views, passed).select("user_id", tie, "allowed", *arrays, *passed)
    picked = rows.mapInArrow(kernel, f"user_id string, picks array<struct<{pick_type}>>{passed_type}")
    each = picked.select("user_id", *passed, F.posexplode("picks").alias("step", "pick"))
    pick = F.col("pick")
    return each.select(
        "user_id",
        catalog.name_of(pick["place"]).alias("category"),
        F.element_at(texts([source.name for source in asked]), pick["source"] + 1).alias("source"),
        _reason(asked, pick, catalog, found).alias("reason"),
        pick["score"].alias("score"),
        (F.col("step") + 1).alias("place"),
        *(pick[name].alias(name) for name in views),
    )


def _complete(scores: DataFrame, views: Mapping[str, str], passed: Mapping[str, str]) -> DataFrame:
    """With null for what was not gathered."""
    kinds = dict.fromkeys(views.values(), "array<double>") | {"allowed": "array<boolean>"} | dict(passed)
    absent = {name: F.lit(None).cast(kind) for name, kind in kinds.items() if name not in scores.columns}
    return scores.withColumns(absent) if absent else scores


def _reason(sources: Sequence[Source], pick: Column, catalog: Catalog, found: CoOccurrence) -> Column:
    """Short text for whoever reads the list; numbers as they were at recall."""
    *others, last = enumerate(source.reason(pick, catalog, found) for source in sources)
    text = last[1]
    for number, reason in reversed(others):
        text = F.when(pick["source"] == number, reason).otherwise(text)
    return text


def _picked(
    batch: pa.RecordBatch,
    size: int,
    alike: Floats,
    merging: Merging,
    views: Mapping[str, str],
    named: Sequence[tuple[str, tuple[str, ...], Any]],
    passed: Sequence[str],
) -> pa.RecordBatch:
    """named: of each source its name, its views and its score."""
    arrays = {name: _matrix(batch.column(column), size) for name, column in views.items()}
    ties = ties_of(np.asarray(batch.column(TIE)), size)
    allowed = _matrix(batch.column("allowed"), size, absent=1.0) == 1
    scores = {
        name: score({view: np.where(allowed, arrays[view], np.nan) for view in own}, ties)
        for name, own, score in named
    }
    chosen = greedy(scores, ties, alike, merging)
    columns = [batch.column("user_id"), _structs(chosen, arrays), *map(batch.column, passed)]
    return pa.RecordBatch.from_arrays(columns, ["user_id", "picks", *passed])


def _matrix(lists: pa.ListArray, size: int, absent: float = np.nan) -> Floats:
    """Rows × size; `absent` for a null, of a row or in it."""
    found = np.full((len(lists), size), absent)
    there = np.asarray(lists.is_valid())
    values = lists.flatten().cast(pa.float64())
    found[there] = np.asarray(values.fill_null(absent)).reshape(-1, size)
    return found


def _structs(chosen: Chosen, views: dict[str, Floats]) -> pa.ListArray:
    row, step = np.nonzero(chosen.places >= 0)
    place = chosen.places[row, step]
    fields: dict[str, NDArray[np.generic]] = {
        "place": place.astype(np.int32),
        "source": chosen.sources[row, step].astype(np.int32),
        "score": chosen.scores[row, step],
    }
    arrays = {name: pa.array(values) for name, values in fields.items()}
    for name, view in views.items():
        values = view[row, place]
        arrays[name] = pa.array(values, mask=np.isnan(values))
    ends = np.concatenate([[0], np.cumsum((chosen.places >= 0).sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays(list(arrays.values()), list(arrays)))
