"""All sources of recall at one instant, for all customers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.parallel import side_by_side
from firstday.recommendations.recall.affinity import Attributed, affinity
from firstday.recommendations.recall.catalog import Catalog, catalog_of
from firstday.recommendations.recall.interests import interests
from firstday.recommendations.recall.merge import VIEWS, gathered
from firstday.recommendations.recall.novelty import Profile, novelty
from firstday.recommendations.recall.relevance import CoOccurrence, als, co_occurrence, co_occurrence_scores
from firstday.recommendations.recall.serendipity import draws, segmented, serendipity
from firstday.spark.frames import break_lineage

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
    """What relevance, novelty and serendipity say at `until`, of facts before it. Runs some jobs at once.

    attributes: those of the customers.
    """
    catalog = catalog_of(categories)
    met = break_lineage(interests(facts, catalog, until))
    segments = segmented(customers, segment)
    by_source: tuple[Any, ...] = side_by_side(
        lambda: als(met, catalog, seed),
        lambda: co_occurrence(met, catalog),
        lambda: affinity(attributes, met, catalog),
        lambda: novelty(customers, facts, met, catalog, until, Profile(tuple(profile))),
        lambda: serendipity(segments, draws(segments, facts, catalog, until, seed)),
    )
    fitting, found, alike, unmet, drawn = by_source
    scores = gathered(customers, fitting, co_occurrence_scores(met, found), alike, unmet, drawn, segments)
    return Recalled(break_lineage(scores), catalog, found)
