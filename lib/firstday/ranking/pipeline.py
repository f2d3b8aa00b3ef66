"""A ranker from end to end: examples, the fit, its measures beside simple baselines, what it goes by."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday import logs
from firstday.errors import FirstdayError
from firstday.parallel import side_by_side
from firstday.ranking import examples, explain, outputs, ranking, verdict
from firstday.ranking.baselines import with_baselines
from firstday.ranking.examples import BINARY, SPLIT, TIE, VALID, VECTOR
from firstday.ranking.inputs import Examples, parameters_of, read
from firstday.ranking.ranker import Ranker, fit, watched
from firstday.ranking.slot_count import SlotCount, slot_count
from firstday.ranking.slot_sums import slot_sums
from firstday.result import Published, Result, Stage, TrainedModel, recorded
from firstday.settings import TrainSettings
from firstday.spark import synapseml
from firstday.spark.frames import from_pandas, kept_in
from firstday.spark.local_rows import local_rows
from firstday.tables import Sources

if TYPE_CHECKING:
    from firstday.ranking.report import TrainContent
    from firstday.tracking import Registered

MODEL = "model"  # the ranker, among the baselines
CHAMPION, CHALLENGER = "champion", "challenger"
RANKER_FILE, DESCRIPTION_FILE = "ranker.lightgbm.txt", "ranker.json"
ASKED_WITH = ("segment", "profile", "actions")  # settings that recommending must share
SAMPLED = 2_000  # rows that SHAP values are of


def train_stage(sources: Sources, settings: TrainSettings, run_id: str) -> Result:
    """Examples to a ranker, measured beside baselines and the champion."""
    used = _recorded(settings)
    spark = sources.spark
    synapseml.require(spark, "firstday train")
    examples.refuse_session(spark)
    # Before any work: a registry that cannot be reached is refused at once.
    champion = sources.registered(settings.registered_model, CHAMPION, DESCRIPTION_FILE)
    with ExitStack() as stack:
        with logs.step("Reading and checking the examples") as step:
            found = read(sources, settings)
            rows = kept_in(stack, found.rows)
            sizes = examples.sizes(rows)
            examples.refuse_unfit(sizes, found.objective)
            rows, capped = examples.capped(rows, sizes)
            step.note(**{f"{split}_lists": size.lists for split, size in sizes.items()})
        ranker = _trained(rows, found, settings, sources)
        if ranker.note:
            logs.log.info(ranker.note)
        with logs.step("Measuring beside the baselines") as step:
            measured = _measured(stack, rows, found, ranker, champion, settings)
            step.note(**{each.other.replace(" ", "_"): f"{each.gain:+.4f}" for each in measured.against})
        slots = _slots(found, measured)
        notes = (*found.notes, *capped, *examples.alike(sizes), *measured.notes)
        slot_notes = slots.notes if slots else ()
        for note in (*notes, *slot_notes):
            logs.log.info(note)
        importance = explain.importance(ranker, _sample(measured.scored))
        with logs.step("Explaining the ranker"):
            tables = _tables(spark, found, ranker, measured, importance, (*notes, *slot_notes), settings)
            if slots:
                tables["ranker_slots"] = from_pandas(spark, slots.table, outputs.RANKER_SLOTS)
        content = _content(found, ranker, measured, importance, slots, sizes, notes, used, run_id)
        caches = stack.pop_all()  # as long as the result is in use
    from firstday.ranking.report import train_answer, train_report, train_text

    figures = _metrics(measured.metrics) | (slots.metrics if slots else {})
    return Result(
        "train",
        run_id,
        sources=sources,
        checked=found.checked,
        settings=used,
        schemas=outputs.TABLES,
        answer=train_answer(content),
        tables=tables,
        text=train_text(content),
        page=train_report,
        content=content,
        metrics=figures | {"trees": float(ranker.trees)},
        published=_published(found, ranker, measured, settings),
        caches=caches,
    )


def _recorded(settings: TrainSettings) -> dict[str, Any]:
    return recorded(settings) | {"train": parameters_of(settings).model_dump()}


def _trained(rows: DataFrame, found: Examples, settings: TrainSettings, sources: Sources) -> Ranker:
    limit = settings.fit_timeout.total_seconds()
    with logs.step("Training") as step, watched(limit, _ended(sources, settings)):
        ranker = fit(
            rows,
            found.features,
            objective=found.objective,
            categorical=found.categorical,
            monotone=found.monotone,
            parameters=found.parameters,
            seed=settings.seed,
        )
        step.note(features=len(ranker.features))
    return ranker


def _ended(sources: Sources, settings: TrainSettings) -> Callable[[], None]:
    """End this process: nothing else ends a fit whose workers wait for each other."""

    def end() -> None:
        error = FirstdayError(
            "a fit must end within its time limit",
            value=f"--fit-timeout {settings.model_dump(mode='json')['fit_timeout']}",
            next_step="look for a lost executor; raise the limit if the fit was still at work",
        )
        logs.log.error(str(error))
        sources.failing(error)
        os._exit(error.exit_status)

    return end


@dataclass(frozen=True)
class Measured:
    """The scored rows, the figures of all models, and the ranker against the baselines and the champion.

    best: whether it is to be the champion: it beats the baselines, and the champion on the same rows.
    """

    scored: DataFrame
    metrics: pd.DataFrame
    against: tuple[verdict.Against, ...]
    against_champion: verdict.Against | None
    best: bool
    notes: tuple[str, ...]

    @property
    def beats(self) -> bool:
        """Whether the ranker is shown to be better than all baselines."""
        return all(each.shown for each in self.against)


def _measured(
    stack: ExitStack,
    rows: DataFrame,
    found: Examples,
    ranker: Ranker,
    champion: "Registered | None",
    settings: TrainSettings,
) -> Measured:
    scored, others = with_baselines(ranker.scored(rows, MODEL, found.asked), found.categories)
    models, notes = [MODEL, *others], []
    if champion is not None:
        features = json.loads(champion.encoding)["features"]
        if features == list(ranker.features):
            scored = Ranker(champion.native, ranker.features).scored(scored, CHAMPION, found.asked)
            models.append(CHAMPION)
        else:
            notes.append(
                f"The champion, version {champion.version} of {settings.registered_model}, has other "
                "features: it is not compared, and stays."
            )
    if not found.categories:
        notes.append("Without --category, chance is the only baseline.")
    scored = kept_in(stack, scored)
    scored.count()  # into the cache, before several jobs ask for it at once
    measures = [lambda: [ranking.ndcg(scored, models)]]
    if found.objective == BINARY:
        measures.append(lambda: _areas(scored, models))
    metrics = pd.concat([part for parts in side_by_side(*measures) for part in parts], ignore_index=True)
    compared = verdict.against(metrics, MODEL, models[1:])
    last = compared[-1] if models[-1] == CHAMPION else None
    baselines = tuple(each for each in compared if each.other != CHAMPION)
    beats = all(each.shown for each in baselines)
    best = beats and (champion is None or (last is not None and last.shown))
    return Measured(scored, metrics, baselines, last, best, tuple(notes))


def _slots(found: Examples, measured: Measured) -> SlotCount | None:
    """What lists of other lengths would earn; None for ready examples, of which no slots are known."""
    if found.shown is None:
        return None
    with logs.step("Counting what slots earn") as step:
        valid = measured.scored.where(F.col(SPLIT) == VALID)
        slots = slot_count(slot_sums(found.shown, valid, MODEL))
        step.note(slots=slots.most_slots, recommended=slots.recommended or "none")
    return slots


def _areas(scored: DataFrame, models: Sequence[str]) -> list[pd.DataFrame]:
    """AUC by split, where labels are 0 and 1 only."""
    splits = [row[0] for row in scored.select(SPLIT).distinct().orderBy(SPLIT).collect()]
    if scored.where(~F.col("label").isin(0.0, 1.0)).limit(1).count():
        return []
    found = []
    for split in splits:
        areas = ranking.auc(scored.where(F.col(SPLIT) == split), models)
        rows = [
            {"split": split, "model": name, "metric": "auc", "value": area} for name, area in areas.items()
        ]
        found.append(pd.DataFrame(rows, columns=list(ranking.COLUMNS)))
    return found


def _sample(scored: DataFrame) -> np.ndarray:
    """The vectors of some of the rows to measure on, by a hash: (rows, features)."""
    rows = scored.where(F.col(SPLIT) == VALID).orderBy(TIE).limit(SAMPLED)
    return np.array(
        [row[0] for row in rows.select(vector_to_array(F.col(VECTOR))).collect()], dtype=np.float64
    )


def _tables(
    spark: SparkSession,
    found: Examples,
    ranker: Ranker,
    measured: Measured,
    importance: pd.DataFrame,
    notes: Sequence[str],
    settings: TrainSettings,
) -> dict[str, DataFrame]:
    used = settings.model_dump(mode="json") | {"actions": list(found.actions)}
    model = (
        found.objective,
        list(ranker.features),
        found.encoding.to_json() if found.encoding else None,
        json.dumps({name: used[name] for name in ASKED_WITH}),
        found.parameters.model_dump_json(),
        measured.beats,
        list(notes),
        ranker.native,
    )
    scores = measured.scored.withColumn("score", F.col(MODEL))
    return {
        "ranker_metrics": from_pandas(spark, measured.metrics, outputs.TABLES["ranker_metrics"]),
        "ranker_features": from_pandas(spark, importance, outputs.TABLES["ranker_features"]),
        "ranker_model": local_rows(spark, [model], outputs.RANKER_MODEL),
        "ranker_scores": scores.select(*outputs.RANKER_SCORES.names),
    }


def _content(
    found: Examples,
    ranker: Ranker,
    measured: Measured,
    importance: pd.DataFrame,
    slots: SlotCount | None,
    sizes: "dict[str, examples.Sizes]",
    notes: Sequence[str],
    used: Mapping[str, Any],
    run_id: str,
) -> "TrainContent":
    from firstday.ranking.report import SlotContent, TrainContent

    return TrainContent(
        run_id=run_id,
        objective=found.objective,
        beats=measured.beats,
        comparisons=tuple(each.sentence for each in measured.against),
        champion=measured.against_champion.sentence if measured.against_champion else None,
        metrics=measured.metrics,
        features=importance,
        slots=SlotContent(slots.table, slots.way, slots.reentry.lists_per_week, slots.notes)
        if slots
        else None,
        sizes={split: (size.lists, size.rows, size.mixed) for split, size in sizes.items()},
        notes=tuple(notes),
        settings=used,
        trees=ranker.trees,
        against=measured.against,
        inputs={each.source.name: each.source.described for each in found.checked},
    )


def _metrics(metrics: pd.DataFrame) -> dict[str, float | None]:
    return {
        f"{row.split}.{row.model}.{row.metric.replace('@', '_at_')}": float(row.value)
        for row in metrics.itertuples(index=False)
        if row.value is not None and row.value == row.value
    }


def _published(found: Examples, ranker: Ranker, measured: Measured, settings: TrainSettings) -> Published:
    """Registered as challenger; as champion only if it beats the baselines and the champion that there is."""
    described = json.dumps({"objective": found.objective, "features": list(ranker.features)})
    example = pd.DataFrame(np.zeros((1, len(ranker.features))), columns=list(ranker.features))
    aliases = (CHALLENGER, CHAMPION) if measured.best else (CHALLENGER,)
    if measured.best:
        logs.log.info(f"It is to be the champion of {settings.registered_model}.")
    return Published(
        files={RANKER_FILE: ranker.native.encode()},
        texts={RANKER_FILE: ranker.native, DESCRIPTION_FILE: described},
        model=TrainedModel(ranker.native, example, settings.registered_model, aliases),
    )


TRAIN_STAGE = Stage(train_stage, lambda _: outputs.TABLES, _recorded)
