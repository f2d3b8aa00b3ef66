"""From the tables to lists: recall, re-rank, weigh, filter, fill, choose contents; one instant for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pandas as pd
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StringType

from firstday.ranking.encoding import Encoding
from firstday.ranking.features import at_once
from firstday.ranking.history import CLICK, SHOWN
from firstday.ranking.learning import ASKED, SLOT, as_asked, feature_settings, with_segment
from firstday.ranking.ranker import Ranker
from firstday.ranking.scoring import Scorer, by_lightgbm
from firstday.recommendations import filters
from firstday.recommendations.contents import Refreshing, choose, content_shares
from firstday.recommendations.contents import odds as content_odds
from firstday.recommendations.contents import reacted as reacted_to
from firstday.recommendations.eligibility import check_rules, read_rules
from firstday.recommendations.fatigue import Fatigue
from firstday.recommendations.recall.affinity import attributed
from firstday.recommendations.recall.catalog import flags
from firstday.recommendations.recall.greedy import Merging
from firstday.recommendations.recall.interests import before
from firstday.recommendations.recall.merge import merge
from firstday.recommendations.recall.sources import RECALL_FEATURES, VIEWS, recalled
from firstday.recommendations.slots import Slots, fill, placements
from firstday.recommendations.weights import weighted as weighted_by
from firstday.spark.frames import break_lineage, from_pandas, uniform_hash
from firstday.tables.schemas import table_schema
from firstday.windows import timestamp_literal

SCORE = "score"
SAMPLE, SAMPLED, SAMPLE_SALT = "firstday_sample", 20_000, 23  # customers whose rows are kept for drift
MERGED = tuple(VIEWS)  # the sources' own scores, by the names that `merge` gives them
FALLBACK_DAYS = 28
FALLBACK_PRIOR = 1_000.0  # impressions that the rate of all categories is worth


FALLBACK = table_schema([("category", StringType()), ("fallback", DoubleType())])


@dataclass(frozen=True)
class Recipe:
    """How lists are made. segment, profile, actions: as the ranker was trained with. scorer: what scores by
    the ranker.
    """

    ranker: Ranker
    encoding: Encoding
    scorer: Scorer = by_lightgbm
    segment: Sequence[str] = ()
    profile: Sequence[str] = ()
    actions: Sequence[str] = ()
    merging: Merging = field(default_factory=Merging)
    fatigue: Fatigue = Fatigue()  # noqa: RUF009 - frozen
    boost: float = 0.5
    slots: Slots = Slots()  # noqa: RUF009
    refreshing: Refreshing = Refreshing()  # noqa: RUF009
    seed: int = 7


@dataclass(frozen=True)
class Made:
    """lists: user_id, slot, category, source, reason, score, content_id, propensity. blocked: a row a
    customer. weighted: the scored candidates, of some customers with SAMPLE.
    """

    lists: DataFrame
    blocked: DataFrame
    weighted: DataFrame


def make(tables: Mapping[str, DataFrame], facts: DataFrame, now: datetime, recipe: Recipe) -> Made:
    """The lists of all customers at `now`, of facts before it. The same again draws the same.

    Raises SettingsError or DataError where rules, model and tables do not fit each other.
    """
    blocked, weighted, offered = _weighted(tables, facts, now, recipe, sampled=SAMPLED)
    filled = fill(weighted, blocked, offered, recipe.slots, seed=recipe.seed, occasion=str(now))
    contents = _contents(tables, now)
    lists = choose(filled, *contents, recipe.refreshing, seed=recipe.seed, occasion=str(now))
    return Made(break_lineage(lists), blocked, weighted)


def placed(
    tables: Mapping[str, DataFrame],
    facts: DataFrame,
    now: datetime,
    recipe: Recipe,
    only: DataFrame | None = None,
) -> DataFrame:
    """Where ranked lists of `now`, by facts before it, have each allowed category: as of `placements`.

    only: user_id of the customers who are ranked; None for all.
    """
    blocked, weighted, offered = _weighted(tables, facts, now, recipe, only=only)
    return break_lineage(placements(weighted, blocked, offered, recipe.slots, seed=recipe.seed))


def odds(
    tables: Mapping[str, DataFrame], facts: DataFrame, now: datetime, recipe: Recipe, shown: DataFrame
) -> DataFrame:
    """What ranked lists of `now`, by facts before it, would show where the log has shown something.

    shown: user_id, slot, category, content_id and further columns. Adds probability, of that content in that
    slot; score, of that category, null where it is not allowed; expected, the mean score of what would be in
    that slot, null where the list does not have it. Only the customers of `shown` are ranked.
    """
    ranked = placed(tables, facts, now, recipe, shown)
    expected = ranked.groupBy("user_id", "slot").agg(F.sum(F.col("odds") * F.col("score")).alias("expected"))
    found = shown.join(ranked.withColumnRenamed("slot", "placed"), ["user_id", "category"], "left")
    found = found.join(expected, ["user_id", "slot"], "left")
    found = content_odds(found, *_contents(tables, now), recipe.refreshing)
    of_category = F.when(F.col("placed") == F.col("slot"), F.col("odds")).otherwise(0.0)
    probability = (of_category * F.col("content_odds")).alias("probability")
    return found.select(*shown.columns, probability, "score", "expected")


def _weighted(
    tables: Mapping[str, DataFrame],
    facts: DataFrame,
    now: datetime,
    recipe: Recipe,
    *,
    only: DataFrame | None = None,
    sampled: int = 0,
) -> tuple[DataFrame, DataFrame, DataFrame]:
    """What lists are filled from: what is blocked, a row a customer; scored candidates, of about `sampled`
    customers with SAMPLE; all categories.
    """
    customers, categories = tables["customers"], tables["categories"]
    known = before(facts, now)
    blocked = _blocked(tables, known, now, recipe)
    if only is not None:
        blocked = blocked.join(only.select("user_id").distinct(), "user_id", "semi")
    blocked = break_lineage(blocked)
    candidates = _candidates(customers, categories, known, blocked, now, recipe)
    share = min(1.0, sampled / max(blocked.count(), 1)) if sampled else 0.0
    scored = _scored(candidates, known, customers, now, recipe, share)
    weighted = break_lineage(weighted_by(scored, categories, recipe.boost))
    return blocked, weighted, categories.join(_fallback(categories, known, now), "category", "left")


def _blocked(tables: Mapping[str, DataFrame], facts: DataFrame, now: datetime, recipe: Recipe) -> DataFrame:
    customers, categories = tables["customers"], tables["categories"]
    names = [row["category"] for row in categories.select("category").collect()]
    eligibility = check_rules(read_rules(tables["eligibility"]), customers, names)
    return filters.blocked(
        customers,
        categories,
        tables["contents"],
        facts,
        now,
        eligibility=eligibility,
        fatigue=recipe.fatigue,
        another=recipe.refreshing.resting(categories),
    )


def _candidates(
    customers: DataFrame,
    categories: DataFrame,
    facts: DataFrame,
    blocked: DataFrame,
    now: datetime,
    recipe: Recipe,
) -> DataFrame:
    """user_id, category, source, reason and RECALL_FEATURES: what recall finds in what is not blocked."""
    said = recalled(
        *(customers, attributed(customers), categories, facts, now),
        segment=recipe.segment,
        profile=recipe.profile,
        seed=recipe.seed,
    )
    shut = flags(filters.blocked_rows(blocked), said.catalog, "shut")
    open_ = F.transform("shut", lambda one: ~F.coalesce(one, F.lit(False)))
    scores = said.scores.join(shut.select("user_id", open_.alias("allowed")), "user_id", "left")
    merged = break_lineage(merge(scores, said.catalog, said.co_occurrence, recipe.seed, recipe.merging))
    views = zip(MERGED, RECALL_FEATURES, strict=True)
    return merged.select(
        *("user_id", "category", "source", "reason"), *(F.col(view).alias(name) for view, name in views)
    )


def _scored(
    candidates: DataFrame,
    facts: DataFrame,
    customers: DataFrame,
    now: datetime,
    recipe: Recipe,
    sample_share: float,
) -> DataFrame:
    """user_id, category, source, reason, preference, the probability of a click in the first slot and, of
    some customers, SAMPLE: the vector that it is of.
    """
    settings = feature_settings(recipe.actions)
    known = with_segment(customers, recipe.segment)
    rows = at_once(candidates, facts, now, settings, known).withColumn(SLOT, F.lit(0.0))
    encoded = as_asked(recipe.encoding.apply(rows), recipe.encoding)
    some = uniform_hash("user_id", SAMPLE_SALT) < sample_share
    sampled = F.when(some, vector_to_array(F.col(ASKED))).alias(SAMPLE)
    kept = ("user_id", "category", "source", "reason", "preference")
    asked = encoded.select(*kept, sampled, *recipe.encoding.columns)
    scored = recipe.scorer(recipe.ranker, asked, recipe.encoding.columns, SCORE)
    vector = F.when(F.col(SAMPLE).isNotNull(), array_to_vector(F.col(SAMPLE))).alias(SAMPLE)
    return scored.select(*kept, SCORE, vector)


def _fallback(categories: DataFrame, facts: DataFrame, now: datetime) -> DataFrame:
    """category, fallback: the category's smoothed click rate, for slots that nothing recalled fills."""
    recent = facts.where(F.col("at") >= timestamp_literal(now - timedelta(days=FALLBACK_DAYS)))
    counts = (
        recent.where(F.col("kind").isin(SHOWN, CLICK))
        .groupBy("category")
        .agg(
            F.count_if(F.col("kind") == SHOWN).alias("shown"),
            F.count_if(F.col("kind") == CLICK).alias("clicks"),
        )
    )
    frame: pd.DataFrame = categories.select("category").join(counts, "category", "left").toPandas()
    frame = frame.fillna(0)
    shown, clicks = frame["shown"].astype(float), frame["clicks"].astype(float)
    overall = clicks.sum() / max(shown.sum(), 1.0)
    frame["fallback"] = (clicks + FALLBACK_PRIOR * overall) / (shown + FALLBACK_PRIOR)
    return from_pandas(categories.sparkSession, frame, FALLBACK)


def _contents(tables: Mapping[str, DataFrame], now: datetime) -> tuple[DataFrame, DataFrame]:
    """The live contents by category, and what was reacted to."""
    reacted = reacted_to(tables["impressions"], tables["reactions"], now)
    return content_shares(tables["contents"], reacted, now), reacted
