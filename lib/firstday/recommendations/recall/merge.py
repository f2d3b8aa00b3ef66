"""The sources' candidates in one list of few for each customer, and why each is there."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.recommendations.recall.catalog import Catalog, texts
from firstday.recommendations.recall.greedy import (
    SOURCES,
    Chosen,
    Floats,
    Merging,
    greedy,
    relevance,
    ties_of,
)
from firstday.recommendations.recall.relevance import CoOccurrence, because

VIEWS = {
    "relevance": "als",
    "co_occurrence": "co_occurrence",
    "affinity": "affinity",
    "novelty": "novelty",
    "serendipity": "serendipity",
}
PICK = "place int, source int, score double, " + ", ".join(f"{name} double" for name in VIEWS)
PASSED = "met array<struct<place: int, weight: double>>, profile string"
TIE = "tie"


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
    scores: DataFrame, catalog: Catalog, found: CoOccurrence, seed: int, merging: Merging | None = None
) -> DataFrame:
    """user_id, category, source, reason, score, place (from 1), and each source's own score, null if it has
    none: relevance (of ALS), co_occurrence, novelty, serendipity.

    scores: `gathered` from als, co_occurrence_scores, novelty and serendipity, and `flags` named allowed,
    where some categories may not be recommended. A category of several sources belongs to the first in the
    order. Customers without a candidate have no row.

    The choice is an Arrow kernel over batches of customers. Lambdas in Catalyst took 6.1 CPU seconds for
    20,000 customers and 40 categories with one source and no quotas; NumPy, with four scores and quotas, 0.5.
    """
    given = merging or Merging()
    size = len(catalog)
    alike = similarity(catalog, found)

    def kernel(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            yield _picked(batch, size, alike, given)

    arrays = [F.col(name).alias(name) for name in VIEWS.values()]
    tie = F.xxhash64(F.lit(seed), F.col("user_id")).alias(TIE)
    rows = _complete(scores).select("user_id", tie, "allowed", *arrays, "met", "profile")
    picked = rows.mapInArrow(kernel, f"user_id string, picks array<struct<{_colons(PICK)}>>, {PASSED}")
    each = picked.select("user_id", "met", "profile", F.posexplode("picks").alias("step", "pick"))
    pick = F.col("pick")
    return each.select(
        "user_id",
        catalog.name_of(pick["place"]).alias("category"),
        F.element_at(texts(SOURCES), pick["source"] + 1).alias("source"),
        _reason(pick, catalog, found).alias("reason"),
        pick["score"].alias("score"),
        (F.col("step") + 1).alias("place"),
        *(pick[name].alias(name) for name in VIEWS),
    )


def _complete(scores: DataFrame) -> DataFrame:
    """With null for what was not gathered."""
    kinds = dict.fromkeys(VIEWS.values(), "array<double>") | {
        "allowed": "array<boolean>",
        "met": "array<struct<place: int, weight: double>>",
        "profile": "string",
    }
    absent = {name: F.lit(None).cast(kind) for name, kind in kinds.items() if name not in scores.columns}
    return scores.withColumns(absent) if absent else scores


def _colons(fields: str) -> str:
    return ", ".join(": ".join(part.strip().split(" ")) for part in fields.split(","))


def _reason(pick: Column, catalog: Catalog, found: CoOccurrence) -> Column:
    """Short text for whoever reads the list; numbers as they were at recall."""
    goes_with = catalog.name_of(because(F.col("met"), pick["place"], found))
    relevant = F.coalesce(
        F.concat(F.lit("Often used with "), goes_with), F.lit("Fits what this customer has used so far")
    )
    novel = F.format_string(
        "Taken up %.1f times as often as on average by customers like this one (%s)",
        pick["novelty"],
        F.col("profile"),
    )
    tried = F.format_string(
        "Worth a try: up to %.2f %% of this segment may click it", 100 * pick["serendipity"]
    )
    told = dict(zip(SOURCES, (relevant, novel, tried), strict=True))
    place = pick["source"]
    return (
        F.when(place == 0, told["relevance"]).when(place == 1, told["novelty"]).otherwise(told["serendipity"])
    )


def _picked(batch: pa.RecordBatch, size: int, alike: Floats, merging: Merging) -> pa.RecordBatch:
    views = {name: _matrix(batch.column(column), size) for name, column in VIEWS.items()}
    ties = ties_of(np.asarray(batch.column(TIE)), size)
    allowed = _matrix(batch.column("allowed"), size, absent=1.0) == 1
    open_ = {name: np.where(allowed, view, np.nan) for name, view in views.items()}
    named = {
        "relevance": relevance(open_["relevance"], open_["co_occurrence"], open_["affinity"], ties),
        "novelty": open_["novelty"],
        "serendipity": open_["serendipity"],
    }
    chosen = greedy(named, ties, alike, merging)
    columns = [batch.column("user_id"), _structs(chosen, views), batch.column("met"), batch.column("profile")]
    return pa.RecordBatch.from_arrays(columns, ["user_id", "picks", "met", "profile"])


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
