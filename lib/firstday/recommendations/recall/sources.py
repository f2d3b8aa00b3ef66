"""All sources of recall at one instant, for all customers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.parallel import side_by_side
from firstday.recommendations.recall.affinity import Attributed, affinity
from firstday.recommendations.recall.catalog import Catalog, catalog_of
from firstday.recommendations.recall.greedy import Ties, relevance
from firstday.recommendations.recall.interests import interests
from firstday.recommendations.recall.merge import gathered, views_of
from firstday.recommendations.recall.novelty import Profile, novelty
from firstday.recommendations.recall.relevance import (
    CoOccurrence,
    als,
    because,
    co_occurrence,
    co_occurrence_scores,
)
from firstday.recommendations.recall.serendipity import draws, segmented, serendipity
from firstday.recommendations.recall.source import Asked, Floats, Source, Views
from firstday.spark.frames import break_lineage


def _relevance_arrays(asked: Asked) -> Callable[[CoOccurrence], Sequence[DataFrame]]:
    fitting, alike = side_by_side(
        lambda: als(asked.met, asked.catalog, asked.seed),
        lambda: affinity(asked.attributes, asked.met, asked.catalog),
    )
    return lambda found: (fitting, co_occurrence_scores(asked.met, found), alike)


def _relevant(views: Views, ties: Ties) -> Floats:
    return relevance(views["relevance"], views["co_occurrence"], views["affinity"], ties)


def _goes_with(pick: Column, catalog: Catalog, found: CoOccurrence) -> Column:
    other = catalog.name_of(because(F.col("met"), pick["place"], found))
    return F.coalesce(
        F.concat(F.lit("Often used with "), other), F.lit("Fits what this customer has used so far")
    )


RELEVANCE = Source(
    "relevance",
    views={"relevance": "als", "co_occurrence": "co_occurrence", "affinity": "affinity"},
    arrays=_relevance_arrays,
    score=_relevant,
    reason=_goes_with,
    passed={"met": "array<struct<place: int, weight: double>>"},
    part=3,
)


def _novelty_arrays(asked: Asked) -> Callable[[CoOccurrence], Sequence[DataFrame]]:
    profile = Profile(asked.profile)
    found = novelty(asked.customers, asked.facts, asked.met, asked.catalog, asked.until, profile)
    return lambda _: (found,)


NOVELTY = Source(
    "novelty",
    views={"novelty": "novelty"},
    arrays=_novelty_arrays,
    score=lambda views, _: views["novelty"],
    reason=lambda pick, _, __: F.format_string(
        "Taken up %.1f times as often as on average by customers like this one (%s)",
        pick["novelty"],
        F.col("profile"),
    ),
    passed={"profile": "string"},
)


def _serendipity_arrays(asked: Asked) -> Callable[[CoOccurrence], Sequence[DataFrame]]:
    drawn = draws(asked.segments, asked.facts, asked.catalog, asked.until, asked.seed)
    found = serendipity(asked.segments, drawn)
    return lambda _: (found,)


SERENDIPITY = Source(
    "serendipity",
    views={"serendipity": "serendipity"},
    arrays=_serendipity_arrays,
    score=lambda views, _: views["serendipity"],
    reason=lambda pick, _, __: F.format_string(
        "Worth a try: up to %.2f %% of this segment may click it", 100 * pick["serendipity"]
    ),
)
# To add one: a file with a Source, a line here. Of a category that several name, the first has it.
SOURCES = {each.name: each for each in (RELEVANCE, NOVELTY, SERENDIPITY)}
VIEWS = views_of(SOURCES.values())
RECALL_FEATURES = tuple(f"recall_{name}" for name in VIEWS)


@dataclass(frozen=True)
class Recalled:
    """scores: a row a customer, with the arrays of the sources in the order of the catalog, and `segment`."""

    scores: DataFrame
    catalog: Catalog
    co_occurrence: CoOccurrence

    def features(self, pairs: DataFrame) -> DataFrame:
        """The pairs (user_id, category, ...) with RECALL_FEATURES; null where a source says nothing."""
        place = self.catalog.place_of(F.col("category"))
        joined = pairs.join(self.scores.select("user_id", *VIEWS.values()), "user_id", "left")
        views = zip(RECALL_FEATURES, VIEWS.values(), strict=True)
        return joined.select(*pairs.columns, *(F.get(F.col(view), place).alias(name) for name, view in views))


def recalled(
    customers: DataFrame,
    attributes: Attributed,
    categories: DataFrame,
    facts: DataFrame,
    until: datetime,
    *,
    segment: Sequence[str],
    profile: Sequence[str],
    seed: int,
) -> Recalled:
    """What all sources say at `until`, of facts before it. Runs some jobs at once.

    attributes: those of the customers.
    """
    catalog = catalog_of(categories)
    met = break_lineage(interests(facts, catalog, until))
    segments = segmented(customers, segment)
    asked = Asked(customers, attributes, facts, met, catalog, until, segments, tuple(profile), seed)
    calls = (partial(source.arrays, asked) for source in SOURCES.values())
    done: tuple[Any, ...] = side_by_side(lambda: co_occurrence(met, catalog), *calls)
    found, *arrays = done
    frames = (frame for of_source in arrays for frame in of_source(found))
    scores = gathered(customers, *frames, segments)
    return Recalled(break_lineage(scores), catalog, found)
