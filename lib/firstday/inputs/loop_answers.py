"""What the steps of a loop have answered, read from what they published, for the index page."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.experiments.results import Question
from firstday.experiments.results_decision import deciding_method
from firstday.loop.runner import Ran, Runner
from firstday.loop.steps import Step
from firstday.parallel import side_by_side
from firstday.report import words
from firstday.report.index import Effect, IndexContent, Stage
from firstday.report.measure_rows import chance
from firstday.report.page import Fact
from firstday.settings import LabelSettings, MeasureSettings, read_plan
from firstday.tables import read_published
from firstday.tables.address import is_path

SHARES = ("retention", "moment", "click_rate")  # kinds of metrics whose effects are points
TrueEffects = Mapping[tuple[str, str, str], float]  # by experiment, metric and treatment


def content(
    spark: SparkSession,
    out: str,
    steps: Sequence[Step],
    runner: Runner,
    truth: Mapping[str, str],
    true_effects: TrueEffects,
) -> IndexContent:
    """All of the page. truth: by step, a sentence."""
    last = {ran.name: ran for ran in runner.ran}  # of a step that ran twice, the second time
    stages = side_by_side(
        *(partial(_stage, spark, out, step, last[step.name], truth.get(step.name)) for step in steps)
    )
    measured = [step for step in steps if step.job == "measure"]
    effects = side_by_side(*(partial(_effects, spark, step, true_effects) for step in measured))
    return IndexContent(
        runner.run_id,
        "From raw logs to a proved decision",
        _verdict(stages),
        stages,
        [effect for found in effects for effect in found],
        seconds=[(ran.name, ran.seconds, ran.why) for ran in runner.ran],
    )


def _verdict(stages: Sequence[Stage]) -> str:
    """What was found, and what came of it."""
    told = [words.sentence(stage.answer) for stage in stages if stage.job in ("discover", "measure")]
    return " ".join(told) or f"{words.some(len(stages), 'step is', 'steps are')} done"


def _stage(spark: SparkSession, out: str, step: Step, ran: Ran, truth: str | None) -> Stage:
    """The step's question, its answer in a sentence and its evidence."""

    def published(name: str) -> DataFrame:
        return read_published(spark, step.out, name)

    answer, facts = TOLD[step.job](published, step)
    state = f"skipped: {ran.why}" if ran.seconds is None else f"ran in {ran.seconds:.0f} s: {ran.why}"
    return Stage(step.name, step.job, step.question, answer, tuple(facts), _report(out, step), truth, state)


def _effects(spark: SparkSession, step: Step, true_effects: TrueEffects) -> list[Effect]:
    """The effects on shares that a measure step found, with what is true of them."""
    assert isinstance(step.settings, MeasureSettings)
    question = asked(step.settings)
    metrics = {metric.name: metric for metric in question.metrics}
    rows = deciding(read_published(spark, step.out, "experiment_results").toPandas(), question)
    found = []
    for row in rows.to_dict("records"):
        metric = metrics[row["metric"]]
        if metric.kind in SHARES:
            label = f"{row['experiment']}: {row['metric']}{_which(row['treatment'], question)}"
            true = true_effects.get((row["experiment"], row["metric"], row["treatment"]))
            found.append(Effect(label, row["estimate"], _known(row["low"]), _known(row["high"]), true))
    return found


def asked(settings: MeasureSettings) -> Question:
    """What a measure step is asked, as far as it says which rows decide."""
    plan = settings.planned(read_plan(settings.plan)) if settings.plan else None
    if plan is None:
        daily = settings.peeking
        return Question("", settings.control or "", (), settings.metrics(), daily=daily)
    return Question(
        plan.experiment,
        plan.control,
        plan.treatments,
        settings.metrics() or plan.metrics,
        design="ramp" if plan.ramp else "crossover" if plan.crossover else "plain",
        clustered=plan.cluster is not None,
        daily=settings.peeking or plan.looked_at_daily,
        looks=plan.looks,
    )


def deciding(results: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Of experiment_results, the rows that decide: of each metric and treatment its method's last look."""
    method = {metric.name: deciding_method(question, metric) for metric in question.metrics}
    everybody = (results["segment"] == "all") & (results["population"] == "all") & results["part"].isna()
    rows = results[everybody & (results["method"] == results["metric"].map(method))]
    latest = rows.sort_values("date", kind="stable").drop_duplicates(["metric", "treatment"], keep="last")
    planned = [*method]  # metrics in the order of the plan
    in_order = latest.sort_index().assign(place=latest["metric"].map(planned.index))
    return in_order.sort_values("place", kind="stable").drop(columns="place")


Published = Callable[[str], DataFrame]
Told = tuple[str, list[Fact]]


def _label(published: Published, step: Step) -> Told:
    [model] = published("label_model").select("kind", "voters").collect()
    [decision] = published("label_decision").collect()
    rows, name = published("soft_labels").count(), words.name(decision["positive"])
    answer = f"{words.number(decision['called'])} of {words.number(rows)} rows are called {name}"
    share = words.share(decision["share"])
    if decision["share_low"] is None:
        how_sure = f"the votes do not say how common it is: {decision['share_doubt']}"
    else:
        how_sure = words.share_interval(decision["share_low"], decision["share_high"])
    facts = [
        Fact("expected precision", words.share(decision["precision"]), "of the called rows"),
        Fact("expected to be missed", words.number(decision["missed"]), f"{name} among the other rows"),
        Fact(f"share of {name}", share, how_sure),
        Fact("voters", words.number(model["voters"]), f"weighed by the label model {model['kind']}"),
    ]
    if isinstance(step.settings, LabelSettings) and step.settings.features:
        facts.append(_before_after(published, known=step.settings.gold is not None))
    return answer, facts


def _before_after(published: Published, known: bool) -> Fact:
    """F1 of a model of the old labels and of one of the corrected ones, on the same test rows."""
    against = "gold" if known else "label model"
    found = published("label_comparison").where((F.col("against") == against) & (F.col("measure") == "f1"))
    f1 = {row["model"]: words.share(row["value"]) for row in found.collect()}
    what = "the known labels" if known else "what the label model decided, from which the second one learned"
    return Fact(
        "F1 of a classifier of the old labels, of the corrected ones",
        f"{f1.get('before', words.NOTHING)}, {f1.get('after', words.NOTHING)}",
        f"against {what}",
    )


def _discover(published: Published, _: Step) -> Told:
    [row] = published("hypotheses").collect()
    if row["verdict"] == "none":
        return f"There is none. {words.sentence(row['reason'])}", []
    answer = f"Those who, {row['sentence']}, stay"
    if row["verdict"] == "shortlist":
        answer = f"None stands out alone; to be tested first: those who, {row['sentence']}"
    return answer, [
        Fact(
            f"of those that did, back on D{row['day']}",
            words.share(row["precision"]),
            words.share_interval(row["precision_low"], row["precision_high"]),
        ),
        Fact(
            "adjusted effect",
            words.points(row["adjusted"]),
            f"{words.points_interval(row['adjusted_low'], row['adjusted_high'])}: with engagement held still",
        ),
        Fact("P(works)", words.decimal(row["p_works"], 2), f"P(cause) {words.decimal(row['p_cause'], 2)}"),
    ]


def _train(published: Published, _: Step) -> Told:
    [model] = published("ranker_model").select("beats", "objective").collect()
    rows: pd.DataFrame = published("ranker_metrics").where(F.col("split") == "valid").toPandas()
    answer = (
        "The ranker orders contents better than every baseline"
        if model["beats"]
        else "The ranker is not shown to order contents better than every baseline"
    )
    metric = next((name for name in ("ndcg@10", "auc") if (rows["metric"] == name).any()), None)
    return answer, [
        Fact(
            f"{row.metric.upper()} of {words.name(row.model)}",
            words.decimal(row.value, 4),
            "" if words.absent(row.gain) else f"the ranker has {words.decimal(row.gain, 4)} more",
        )
        for row in rows[rows["metric"] == metric].itertuples(index=False)
    ]


def _recommend(published: Published, _: Step) -> Told:
    lists = published("recommendations")
    [row] = lists.agg(
        F.countDistinct("user_id").alias("users"),
        F.count("*").alias("rows"),
        F.count_if(F.col("source") == "exploring").alias("drawn"),
    ).collect()
    top = (
        lists.where(F.col("slot") == 1)
        .groupBy("category")
        .count()
        .orderBy(F.desc("count"), "category")
        .limit(3)
    )
    shown = [
        f"{words.name(each['category'])} ({words.share(each['count'] / row['users'], 0)})"
        for each in top.collect()
    ]
    return f"{words.number(row['users'])} users get a list; most often on top: {words.listed(shown)}", [
        Fact("contents in a list", words.decimal(row["rows"] / max(row["users"], 1), 1)),
        Fact(
            "slots for exploring",
            words.share(row["drawn"] / max(row["rows"], 1)),
            "so that other policies can be judged",
        ),
    ]


def _assign(published: Published, step: Step) -> Told:
    plan = read_plan(step.settings.model_dump()["plan"])
    rows = published("assignments")
    facts = [Fact("units", words.number(rows.select("unit_id").distinct().count()))]
    dealt = "Assigned by a hash"
    if plan.ramp:
        rows, dealt = rows.where(F.col("stage") == len(plan.ramp)), "Assigned by a hash, in the last stage"
        stages = " → ".join(words.share(each.share, 0) for each in plan.ramp)
        facts.append(Fact("ramp", stages, "the treated stay treated; who waits is control"))
    counts = rows.groupBy("variant").agg(F.countDistinct("unit_id").alias("units")).orderBy("variant")
    named = [f"{words.name(each['variant'])} {words.number(each['units'])}" for each in counts.collect()]
    return f"{dealt}: {words.listed(named)}", facts


def _measure(published: Published, step: Step) -> Told:
    assert isinstance(step.settings, MeasureSettings)
    results: pd.DataFrame = published("experiment_results").toPandas()
    question = asked(step.settings)
    rows = deciding(results, question)
    ratio = results[(results["method"] == "sample_ratio") & (results["segment"] == "all")]
    if rows.empty:
        return "Nothing was compared", []
    first = rows.iloc[0]
    facts = [
        Fact(
            words.name(row.metric) + _which(row.treatment, question),
            _effect(row, question),
            f"{words.text(row.verdict)}; {chance(row, 'all comparisons')}",
        )
        for row in rows.itertuples(index=False)
    ]
    if len(ratio):
        check = ratio.iloc[0]
        facts.append(
            Fact(
                "sample-ratio check", f"p {words.probability(check['p_value'])}", words.text(check["verdict"])
            )
        )
    name = words.name(first["metric"]) + _which(first["treatment"], question)
    verdict = words.sentence(first["verdict"]).rstrip(".")
    experiment = words.name(first["experiment"])
    return f"{verdict} ({experiment}): {name} {_effect(first, question)}", facts


def _effect(row: Any, question: Question) -> str:
    """In points where it is one on shares, else in the metric's own unit."""
    if question.metric(row.metric).kind in SHARES:
        return words.points_with(row.estimate, row.low, row.high)
    return f"{words.decimal(row.estimate)} ({words.interval(row.low, row.high, 3)})"


def _which(treatment: str, question: Question) -> str:
    """Which treatment it is of, where there are several."""
    return f", {words.name(treatment)}" if len(question.treatments) > 1 else ""


def _known(value: float | None) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _report(out: str, step: Step) -> str | None:
    """The address of its report from the index page. Assigning has none."""
    if step.job == "assign" or not is_path(step.out):
        return None
    file = f"{step.out.rstrip('/')}/{step.job}.html"
    return file if "://" in file else quote(Path(os.path.relpath(file, out)).as_posix())


TOLD: dict[str, Callable[[Published, Step], Told]] = {
    "label": _label,
    "discover": _discover,
    "train": _train,
    "recommend": _recommend,
    "assign": _assign,
    "measure": _measure,
}
