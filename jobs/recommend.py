"""Make each customer's list of contents: recall, re-rank, filter, fill, choose banners, hand over."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday import logs
from firstday.cli import run_job
from firstday.errors import DataError, SettingsError
from firstday.inputs import bank
from firstday.parallel import side_by_side
from firstday.ranking.encoding import Encoding
from firstday.ranking.examples import BINARY
from firstday.ranking.ranker import Ranker
from firstday.ranking.slot_count import refuse_unseen
from firstday.recommendations import contents, filters, lists, recommendation_outputs, steps, weights
from firstday.recommendations.fatigue import Fatigue
from firstday.recommendations.monitoring import MonitoringTables, monitored
from firstday.recommendations.monitoring_drift import drift, encoded_columns, unpacked
from firstday.recommendations.monitoring_policy import policy_value
from firstday.recommendations.recall.greedy import Merging
from firstday.recommendations.slots import Exploring, Slots
from firstday.settings import RecommendSettings
from firstday.spark.frames import from_pandas
from firstday.spark.session import get_session
from firstday.tables import Output, open_output, read_published
from firstday.tracking import tracked_run

if TYPE_CHECKING:
    from firstday.report import RecommendContent

SLOTS = 4  # of a list, where nobody says how many
SLOTS_BY = "slots by "  # figures of the step slots
EXPORT = "recommendations_export"  # the lists for the channel, beside the tables


def run(settings: RecommendSettings, run_id: str) -> Path | None:
    """Make the lists and publish them. Returns where the report is; None if the output is a schema."""
    spark = get_session("firstday recommend")
    with (
        tracked_run(
            settings.experiment_name, "recommend", run_id=run_id, settings=settings.model_dump(mode="json")
        ) as tracked,
        open_output(
            spark, settings.out, job="recommend", run_id=run_id, schemas=recommendation_outputs.TABLES
        ) as output,
    ):
        recipe, slots_note = _recipe(spark, settings)
        with logs.step("Reading and checking the tables") as step:
            found = bank.read(spark, settings, output, needed=(), actions=recipe.actions)
            step.note(**{each.source.name: each.profile.rows for each in found.checked})
        now = settings.now or found.latest or datetime.now(UTC)
        with logs.step("Making the lists"):
            made = lists.make(found.tables, found.facts, now, recipe)
            figures = steps.figures(made, found.tables["categories"], recipe)
        recommended = _stamped(made.lists, now, settings, run_id)
        with logs.step("Looking at how the last lists were taken"):
            watched = _watched(spark, found, made, now, settings, output, recipe)
        with logs.step("Writing the results") as step:
            _write(spark, recommended, made, figures, watched, output)
            told = figures[figures["step"] == "slots"].set_index("figure")["value"]
            step.note(**{name: int(told[name]) for name in ("customers", "lists", "full", "slots")})
        used = settings.model_dump(mode="json") | _used(recipe, now)
        content = _content(found, figures, watched, slots_note, used, run_id)
        from firstday.report import recommend_report, recommend_text

        report = recommend_report(content)
        output.publish(inputs=[each.source for each in found.checked], settings=used)
        where = output.write_file("recommend.html", report.html.encode())
        if settings.export != "none":
            output.write_folder(EXPORT, recommended, settings.export)
        tracked.log_report("recommend.html", report.html)
        tracked.log_inputs([each.source for each in found.checked])
        tracked.log_params({f"used.{name}": value for name, value in _used(recipe, now).items()})
        tracked.log_metrics({f"{row[0]}.{row[1]}": row[2] for row in figures.itertuples(index=False)})
        logs.result(recommend_text(content))
    return Path(where) if where else None


@dataclass(frozen=True)
class Watched:
    """How the last lists were taken, how far rows are from training, what the new lists would earn."""

    monitoring: MonitoringTables
    drift: pd.DataFrame
    off_policy: tuple[str, ...]


def _watched(
    spark: SparkSession,
    found: bank.Bank,
    made: lists.Made,
    now: datetime,
    settings: RecommendSettings,
    output: Output,
    recipe: lists.Recipe,
) -> Watched:
    window = timedelta(days=settings.watch_days)

    def told() -> MonitoringTables:
        return monitored(
            found.tables,
            found.facts,
            now,
            window=window,
            recommendations=output.previous("recommendations"),
            lists=made.lists,
            segment=tuple(recipe.segment),
        )

    def moved() -> pd.DataFrame:
        # What is shown is compared with what was shown: among all candidates features have other shares.
        pair = ["user_id", "category"]
        some = made.weighted.where(F.col(lists.SAMPLE).isNotNull())
        some = some.join(made.lists.select(pair), pair, "semi")
        rows = unpacked(some, recipe.encoding, lists.SAMPLE, weights.UNWEIGHTED)
        before = read_published(spark, settings.ranker, "ranker_profile").toPandas()
        return drift(before, rows, encoded_columns(recipe.encoding, weights.UNWEIGHTED))

    def value() -> tuple[str, ...]:
        return policy_value(found.tables, now, window, made.lists).sentences

    found_out: tuple[Any, ...] = side_by_side(told, moved, value)
    return Watched(*found_out)


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
    watched: Watched,
    slots_note: str,
    used: Mapping[str, Any],
    run_id: str,
) -> "RecommendContent":
    from firstday.report import RecommendContent

    told = figures[figures["step"] == "slots"].set_index("figure")["value"].astype(int)
    by_source = told[told.index.str.startswith(SLOTS_BY)]
    return RecommendContent(
        run_id=run_id,
        customers=told["customers"],
        lists=told["lists"],
        full=told["full"],
        slots=told["slots"],
        size=used["slots"],
        sources={name.removeprefix(SLOTS_BY): count for name, count in by_source.items()},
        window=f"the {used['watch_days']} days before {used['now'][:10]}",
        steps=figures,
        monitoring=watched.monitoring.monitoring,
        drift=watched.drift,
        off_policy=watched.off_policy,
        notes=(slots_note, *watched.monitoring.notes),
        settings=used,
        inputs={each.source.name: each.source.described for each in found.checked},
    )


def _recipe(spark: SparkSession, settings: RecommendSettings) -> tuple[lists.Recipe, str]:
    """How to make lists, and a sentence on how many slots they have and why.

    Raises DataError where the ranker cannot be recommended by, SettingsError where settings are not those
    that it was trained with.
    """
    row = read_published(spark, settings.ranker, "ranker_model").first()
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
    by_slots = read_published(spark, settings.ranker, "ranker_slots").select("slots", "recommended").collect()
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
            quotas=_quotas(settings.candidates),
        ),
        fatigue=Fatigue(**settings.rest.model_dump()),
        boost=settings.boost,
        slots=Slots(
            size,
            settings.per_group,
            None if exploring is None else Exploring(exploring, settings.exploring_uniform),
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


def _quotas(candidates: int) -> dict[str, int]:
    """A third of the candidates is relevance's at least, a sixth each is novelty's and serendipity's."""
    return {"relevance": candidates // 3, "novelty": candidates // 6, "serendipity": candidates // 6}


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


def _write(
    spark: SparkSession,
    recommended: DataFrame,
    made: lists.Made,
    figures: pd.DataFrame,
    watched: Watched,
    output: Output,
) -> None:
    small = {
        "recommend_steps": figures,
        "recommend_monitoring": watched.monitoring.monitoring,
        "recommend_drift": watched.drift,
    }
    tables = {
        name: from_pandas(spark, frame, recommendation_outputs.TABLES[name]) for name, frame in small.items()
    }
    tables |= {"recommendations": recommended, "not_shown": filters.blocked_rows(made.blocked)}
    output.write_all(tables)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday recommend`."""
    run_job("recommend", argv)


if __name__ == "__main__":
    main()
