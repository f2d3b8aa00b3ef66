"""Lists from end to end: recall, re-rank, filter, fill slots, choose contents; how the last were taken."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday import logs
from firstday.errors import DataError, SettingsError
from firstday.parallel import side_by_side
from firstday.ranking import bank
from firstday.ranking.encoding import Encoding
from firstday.ranking.examples import BINARY
from firstday.ranking.ranker import Ranker
from firstday.ranking.scoring import scorer
from firstday.ranking.slot_count import refuse_unseen
from firstday.recommendations import contents, filters, lists, recommendation_outputs, steps, weights
from firstday.recommendations.fatigue import Fatigue
from firstday.recommendations.monitoring import MonitoringTables, monitored
from firstday.recommendations.monitoring_drift import counted, drift, kept, profile, unpacked, watched_columns
from firstday.recommendations.monitoring_policy import policy_value
from firstday.recommendations.recall.greedy import Merging, quotas_of
from firstday.recommendations.slots import Exploring, Slots
from firstday.result import Published, Result, Stage, recorded
from firstday.settings import RecommendSettings
from firstday.spark.frames import from_pandas
from firstday.tables import Sources

if TYPE_CHECKING:
    from firstday.recommendations.report import RecommendContent

SLOTS = 4  # of a list, where nobody says how many
EXPORT = "recommendations_export"  # the lists for the channel, beside the tables


def recommend_stage(sources: Sources, settings: RecommendSettings, run_id: str) -> Result:
    """A ranker and the tables to each customer's list, and how the last lists were taken."""
    recipe, slots_note = _recipe(sources, settings)
    recipe = replace(recipe, scorer=scorer(sources.spark))  # decided before any work
    with logs.step("Reading and checking the tables") as step:
        found = bank.read(sources, settings, needed=(), actions=recipe.actions)
        step.note(**{each.source.name: each.profile.rows for each in found.checked})
    now = settings.now or found.latest or datetime.now(UTC)
    with logs.step("Making the lists") as step:
        made = lists.make(found.tables, found.facts, now, recipe)
        figures, by_source = steps.figures(made, found.tables["categories"], recipe)
        of_all = figures[(figures["step"] == "slots") & figures["source"].isna()]
        counts = of_all.set_index("figure")["value"].astype(int)
        step.note(**{name: int(counts[name]) for name in ("customers", "lists", "full", "slots")})
    with logs.step("Looking at how the last lists were taken"):
        watched = _watched(found, made, now, settings, sources, recipe)
    tables = _tables(sources.spark, _stamped(made.lists, now, settings, run_id), made, figures, watched)
    used = recorded(settings) | _used(recipe, now)
    content = _content(found, figures, counts, by_source, watched, slots_note, used, run_id)
    from firstday.recommendations.report import recommend_answer, recommend_report, recommend_text

    return Result(
        "recommend",
        run_id,
        sources=sources,
        checked=found.checked,
        settings=used,
        schemas=recommendation_outputs.TABLES,
        answer=recommend_answer(content),
        tables=tables,
        text=recommend_text(content),
        page=recommend_report,
        content=content,
        metrics=steps.metrics(figures),
        published=Published(
            folders={EXPORT: ("recommendations", settings.export)} if settings.export != "none" else {},
            params=_used(recipe, now),
            run_id_column={"recommendations": "batch_id"},
        ),
    )


@dataclass(frozen=True)
class Watched:
    """How the last lists were taken, how far candidates are from those of a run before, with the profiles
    that later runs need, and what the new lists would earn.
    """

    monitoring: MonitoringTables
    drift: pd.DataFrame
    profiles: pd.DataFrame
    off_policy: tuple[str, ...]


def _watched(
    found: bank.Bank,
    made: lists.Made,
    now: datetime,
    settings: RecommendSettings,
    sources: Sources,
    recipe: lists.Recipe,
) -> Watched:
    window = timedelta(days=settings.watch_days)

    def how_taken() -> MonitoringTables:
        return monitored(
            found.tables,
            found.facts,
            now,
            window=window,
            recommendations=sources.previous("recommendations"),
            lists=made.lists,
            segment=tuple(recipe.segment),
        )

    def moved() -> tuple[pd.DataFrame, pd.DataFrame]:
        some = made.weighted.where(F.col(lists.SAMPLE).isNotNull())
        rows = unpacked(some, recipe.encoding, lists.SAMPLE, weights.UNWEIGHTED)
        counts = counted(rows, watched_columns(recipe.encoding, weights.UNWEIGHTED))
        today = profile(counts, recipe.encoding, now)
        before = sources.previous("recommend_profile")
        earlier = today.iloc[:0] if before is None else before.toPandas()
        known = kept(earlier.assign(at=pd.to_datetime(earlier["at"], utc=True)), now, window)
        first = known[known["at"] == known["at"].min()]
        return drift(first, counts, recipe.encoding), pd.concat([known, today], ignore_index=True)

    def value() -> tuple[str, ...]:
        def odds(shown: DataFrame) -> DataFrame:
            return lists.odds(found.tables, found.facts, now - window, recipe, shown)

        return policy_value(found.tables, now, window, odds).sentences

    found_out: tuple[Any, ...] = side_by_side(how_taken, moved, value)
    monitoring, (drifted, profiles), earned = found_out
    return Watched(monitoring, drifted, profiles, earned)


def _used(recipe: lists.Recipe, now: datetime) -> dict[str, Any]:
    """What lists were made with, where a setting left it to the ranker or the tables."""
    exploring = recipe.slots.exploring
    return {
        "now": now.isoformat(),
        "slots": recipe.slots.size,
        "exploring_slot": exploring.slot if exploring else None,
        "segment": list(recipe.segment),
        "profile": list(recipe.profile),
        "actions": list(recipe.actions),
    }


def _content(
    found: bank.Bank,
    figures: pd.DataFrame,
    counts: "pd.Series[int]",
    by_source: Mapping[str, int],
    watched: Watched,
    slots_note: str,
    used: Mapping[str, Any],
    run_id: str,
) -> "RecommendContent":
    from firstday.recommendations.report import RecommendContent

    return RecommendContent(
        run_id=run_id,
        customers=counts["customers"],
        lists=counts["lists"],
        full=counts["full"],
        slots=counts["slots"],
        size=used["slots"],
        sources=by_source,
        window=f"the {used['watch_days']} days before {used['now'][:10]}",
        steps=figures,
        monitoring=watched.monitoring.monitoring,
        drift=watched.drift,
        off_policy=watched.off_policy,
        notes=(slots_note, *watched.monitoring.notes),
        settings=used,
        inputs={each.source.name: each.source.described for each in found.checked},
    )


def _recipe(sources: Sources, settings: RecommendSettings) -> tuple[lists.Recipe, str]:
    """How to make lists, and a sentence on how many slots they have and why.

    Raises DataError where the ranker cannot be recommended by, SettingsError where settings are not those
    that it was trained with.
    """
    row = sources.published(settings.ranker, "ranker_model").first()
    assert row is not None  # a published run has one
    if row["encoding"] is None or row["objective"] != BINARY:
        raise DataError(
            "the ranker must give probabilities, and be trained on the log",
            value=f"objective {row['objective']} in {settings.ranker}",
            next_step="train it by firstday train --tables ... --objective binary",
        )
    if not row["beats"] and not settings.force:
        raise DataError(
            "the ranker must be shown to beat its baselines",
            value=settings.ranker,
            next_step="look at its report; train on more days, or recommend by it all the same with --force",
        )
    by_slots = sources.published(settings.ranker, "ranker_slots").select("slots", "recommended").collect()
    recommended = next((each["slots"] for each in by_slots if each["recommended"]), None)
    size, slots_note = _size(settings, recommended)
    if by_slots and not settings.force:
        refuse_unseen(size, len(by_slots))
    encoding = Encoding.from_json(row["encoding"])
    encoding.refuse_other(row["features"])
    asked_with = json.loads(row["recall"])
    for name in ("segment", "profile"):
        given = list(getattr(settings, name))
        if given and given != asked_with[name]:
            raise SettingsError(
                f"--{name} must be what the ranker was trained with, or be left out",
                value=given,
                next_step=f"it was trained with {', '.join(asked_with[name]) or 'none'}",
            )
    exploring = _exploring(settings, size)
    recipe = lists.Recipe(
        Ranker(row["native"], tuple(row["features"])),
        encoding,
        segment=asked_with["segment"],
        profile=asked_with["profile"],
        actions=asked_with["actions"],
        merging=Merging(
            most=settings.candidates,
            balance=1 - settings.diversity,
            quotas=quotas_of(settings.candidates),
        ),
        fatigue=Fatigue(**settings.rest.model_dump()),
        boost=settings.boost,
        slots=Slots(
            size,
            settings.per_group,
            None if exploring is None else Exploring(exploring, settings.exploring_uniform),
            settings.random_share,
        ),
        refreshing=contents.Refreshing(settings.refresh, dict(settings.refresh_of)),
        seed=settings.seed,
    )
    return recipe, slots_note


def _size(settings: RecommendSettings, recommended: int | None) -> tuple[int, str]:
    """Slots of a list, and why so many."""
    advice = f"training recommended {recommended or 'no number'}"
    size = settings.slots or recommended or SLOTS
    why = f"as {advice}" if size == recommended else advice
    if settings.slots not in (None, recommended):
        why = f"as --slots says; {advice}"
    return size, f"Lists have {size} slots, {why}."


def _exploring(settings: RecommendSettings, size: int) -> int | None:
    try:
        return settings.exploring(size)
    except ValueError as error:
        raise SettingsError(
            str(error), value=settings.exploring_slot, next_step="give --exploring-slot last, or more --slots"
        ) from None


def _stamped(made: DataFrame, now: datetime, settings: RecommendSettings, run_id: str) -> DataFrame:
    """The lists as the channel gets them: for how long they hold, and by which policy they are."""
    return made.select(
        "user_id",
        F.col("slot").cast("int").alias("slot"),
        *("category", "content_id", "score", "source", "reason", "propensity"),
        F.lit(settings.policy).alias("policy"),
        F.lit(run_id).alias("batch_id"),
        F.lit(now).alias("valid_from"),
        F.lit(now + settings.valid_for).alias("valid_to"),
    )


def _tables(
    spark: SparkSession, recommended: DataFrame, made: lists.Made, figures: pd.DataFrame, watched: Watched
) -> dict[str, DataFrame]:
    small = {
        "recommend_steps": figures,
        "recommend_monitoring": watched.monitoring.monitoring,
        "recommend_drift": watched.drift,
        "recommend_profile": watched.profiles,
    }
    tables = {
        name: from_pandas(spark, frame, recommendation_outputs.TABLES[name]) for name, frame in small.items()
    }
    return tables | {"recommendations": recommended, "not_shown": filters.blocked_rows(made.blocked)}


RECOMMEND_STAGE = Stage(recommend_stage, lambda _: recommendation_outputs.TABLES)
