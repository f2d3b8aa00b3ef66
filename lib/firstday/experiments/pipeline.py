"""An experiment from its plan to its decision: who gets which variant; what came of it, and how sure that
is.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame

from firstday import logs
from firstday.errors import DataError, OutputError
from firstday.experiments import assign, results
from firstday.experiments.aggregate import plain
from firstday.experiments.analyse import Analysis, analyse
from firstday.experiments.analyse_tables import tables
from firstday.experiments.assign_inputs import left_out_counts, read_units, unit_contract
from firstday.experiments.content import MeasureContent
from firstday.experiments.measure_inputs import Inputs, opened
from firstday.experiments.measure_log import refuse_unmet
from firstday.experiments.results import Question
from firstday.experiments.sample_ratio import sample_ratio
from firstday.result import Answer, Fact, Published, Result, Stage, recorded
from firstday.settings import AssignSettings, ExperimentPlan, MeasureSettings, read_plan
from firstday.spark.frames import from_pandas, kept_in
from firstday.tables import Sources

TRACKED = ("estimate", "low", "high", "p_value")


def measure_stage(sources: Sources, settings: MeasureSettings, run_id: str) -> Result:
    """Outcomes to sums, sums to estimates, estimates to a decision."""
    plan = _plan_of(settings)
    with ExitStack() as stack:
        with logs.step("Reading and checking the inputs") as step:
            inputs = stack.enter_context(opened(sources, settings, plan))
            step.note(**{each.source.name: each.profile.rows for each in inputs.checked})
        with logs.step("Measuring the units and adding up") as step:
            refuse_unmet(inputs.units, settings.exposure)
            summed = tables(inputs.question, inputs.units, ages=inputs.ages)
            step.note(sums=len(summed.sums))
        with logs.step("Estimating") as step:
            found = analyse(inputs.question, summed)
            step.note(rows=len(found.results), verdict=found.decision.verdict)
    used = _used(inputs.question)
    small = {
        "experiment_results": found.results,
        "experiment_sums": plain(summed.sums),
        "retention_by_categories": summed.categories,
    }
    kept = _with_plan(settings, plan) | used
    content = _content(inputs, found, kept, run_id)
    from firstday.experiments.report import measure_answer, measure_report, measure_text

    return Result(
        "measure",
        run_id,
        sources=sources,
        checked=inputs.checked,
        settings=kept,
        schemas=results.TABLES,
        answer=measure_answer(content),
        tables={
            name: from_pandas(sources.spark, _plain(frame), results.TABLES[name])
            for name, frame in small.items()
        },
        text=measure_text(content),
        page=measure_report,
        content=content,
        metrics=_metrics(found),
        published=Published(
            params=used, tags={"experiment": inputs.question.experiment}, horizon=inputs.horizon
        ),
    )


def _plan_of(settings: MeasureSettings) -> ExperimentPlan | None:
    if settings.plan is None:
        return None
    plan = read_plan(settings.plan)
    settings.check_plan(plan)
    return settings.planned(plan)


def _with_plan(settings: AssignSettings | MeasureSettings, plan: ExperimentPlan | None) -> dict[str, Any]:
    """The settings, and what the plan says, as they are kept."""
    return recorded(settings) | ({"planned": plan.model_dump(mode="json")} if plan else {})


def _used(question: Question) -> dict[str, Any]:
    """What was asked with, where a setting left it to the plan, the data or a default."""
    return {
        "control": question.control,
        "treatments": list(question.treatments),
        "metrics": [metric.name for metric in question.metrics],
        "shares": {str(stage): dict(shares) for stage, shares in question.shares.items()}
        or "equal ones assumed",
        "planned_units": question.planned_units,
    }


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Missing values as None, which is null in every type."""
    return frame.astype(object).where(frame.notna(), None)


def _content(inputs: Inputs, found: Analysis, used: dict[str, Any], run_id: str) -> MeasureContent:
    question = inputs.question
    return MeasureContent(
        run_id=run_id,
        experiment=question.experiment,
        results=found.results,
        decision=found.decision,
        notes=(*inputs.notes, *found.notes),
        settings=used,
        inputs={checked.source.name: checked.source.described for checked in inputs.checked},
        shares=found.shares,
        methods=found.methods,
        alpha=question.alpha,
        units={metric.name: metric.per(question.unit_name) for metric in question.metrics},
        fall_is_good=[metric.name for metric in question.metrics if not metric.rise_is_good],
    )


def _metrics(found: Analysis) -> dict[str, float | None]:
    """estimate, low, high and p of each metric and method among all units; the last look of looks."""
    rows = found.results[(found.results["segment"] == "all") & found.results["part"].isna()]
    figures: dict[str, float | None] = {}
    for row in rows.to_dict("records"):
        names = [row[key] for key in ("metric", "treatment", "method") if isinstance(row[key], str)]
        prefix = " ".join([*names, *([] if row["population"] == "all" else [row["population"]])])
        figures |= {f"{prefix} {part}": row[part] for part in TRACKED if pd.notna(row[part])}
    return figures


def assign_stage(sources: Sources, settings: AssignSettings, run_id: str) -> Result:
    """The plan and the units to variants: who has which one from when on."""
    plan = read_plan(settings.plan)
    contract = unit_contract(plan, settings.instant_column)
    now = datetime.now(UTC)
    with logs.step("Reading and checking the units") as step:
        units = read_units(sources, settings, plan, contract, now)
        left_out = left_out_counts(units.good, plan)
        step.note(units=units.profile.rows, **left_out)
    caches = ExitStack()
    assignments = kept_in(caches, assign.assign(units.good, plan, settings.instant_column))
    with logs.step("Assigning the variants"):
        counts: pd.DataFrame = assign.counts(assignments, plan).toPandas()
    _refuse_changes(assignments, sources, plan, now)
    figures, warnings = _summary(counts, plan, left_out)
    return Result(
        "assign",
        run_id,
        sources=sources,
        checked=(units,),
        settings=_with_plan(settings, plan),
        schemas=assign.TABLES,
        answer=_assigned(counts, plan, warnings),
        tables={"assignments": assignments},
        text=_text(counts, plan),
        metrics=figures,
        caches=caches,
    )


def _refuse_changes(assignments: DataFrame, sources: Sources, plan: ExperimentPlan, now: datetime) -> None:
    """Raise where an earlier run's units would get another variant, or another experiment's would be lost."""
    earlier = sources.previous("assignments")
    row = earlier.first() if earlier is not None else None
    if earlier is None or row is None:
        return
    if row["experiment"] != plan.experiment:
        raise OutputError(
            f"an output holds one experiment's assignments, and this one those of {row['experiment']!r}",
            value=sources.location("assignments"),
            next_step="name another --out",
        )
    with logs.step("Comparing with the earlier assignments"):
        changes = assign.changed(assignments, earlier, now).count()
    if changes:
        why = (
            "strata are for a closed list: give the list of the first run"
            if plan.strata
            else "undo the change"
        )
        raise DataError(
            "units must keep the variant that they were given, but this plan or list gives another one",
            value=f"{changes:,} variants that have begun",
            next_step=f"{why}, or name a new experiment, with a salt and an --out of its own",
        )


def _summary(
    counts: pd.DataFrame, plan: ExperimentPlan, left_out: Mapping[str, int]
) -> tuple[dict[str, float | None], list[str]]:
    """How many units got what, by name; and what to mind, which is also logged."""
    warnings = []
    if plan.shared_pool and plan.cluster is None:
        warnings.append(
            "The plan says that users share a pool: what one arm takes is gone for the other, and the "
            "difference between them shows that too. Give clusters that share nothing (cities, rooms), or "
            "let whole clusters change places (cluster with crossover)."
        )
    figures: dict[str, float | None] = dict(left_out)
    spans = assign.spans(plan)
    number = "stage" if plan.ramp else "period"
    for span in spans[:1] if plan.crossover else spans:
        rows = counts if span.number is None else counts[counts[number] == span.number]
        name = "" if span.number is None else f"{number} {span.number}, "
        found, sentence, is_warning = _checked(rows, span, name)
        figures |= {f"{name}{key}": value for key, value in found.items()}
        if is_warning:
            warnings.append(sentence)
        else:
            logs.log.info(sentence)
    in_time = int(counts.loc[counts[number].isna() | (counts[number] == spans[-1].number), "units"].sum())
    if in_time < left_out["taking_part"]:
        too_late = left_out["taking_part"] - in_time
        figures["too_late"] = too_late
        warnings.append(f"{too_late:,} units came in after the end: they have no variant.")
    for warning in warnings:
        logs.log.warning(warning)
    return figures, warnings


def _checked(counts: pd.DataFrame, span: assign.Span, name: str) -> tuple[dict[str, float], str, bool]:
    """Who got what, whether that is what was planned in a sentence, and whether it is a warning."""
    units = {
        variant: int(counts.loc[counts["variant"] == variant, "assigned"].sum()) for variant in span.shares
    }
    figures: dict[str, float] = {f"assigned {variant}": count for variant, count in units.items()}
    since = f"{name}from {span.starts_at:%Y-%m-%d %H:%M} UTC"
    empty = [variant for variant, count in units.items() if not count]
    if empty:
        return figures, f"{since}: nobody got {', '.join(empty)}. With so few units that may be chance.", True
    ratio = sample_ratio(units, span.shares)
    return figures | {"sample_ratio_p": ratio.p_value}, f"{since}: {ratio.sentence}", False


def _of_span(counts: pd.DataFrame, plan: ExperimentPlan, span: assign.Span) -> pd.DataFrame:
    return (
        counts if span.number is None else counts[counts["stage" if plan.ramp else "period"] == span.number]
    )


def _assigned(counts: pd.DataFrame, plan: ExperimentPlan, warnings: Sequence[str]) -> Answer:
    """Of the last stage or period, how many units each variant has, and what share."""
    span = assign.spans(plan)[-1]
    units: dict[str, int] = _of_span(counts, plan, span).groupby("variant")["units"].sum().to_dict()
    total = max(sum(units.values()), 1)
    facts = [
        Fact(
            str(variant), count / total, "share", meaning=f"{count:,} units", about={"variant": str(variant)}
        )
        for variant, count in units.items()
    ]
    stages = " → ".join(f"{stage.share:.0%}" for stage in plan.ramp or ())
    if stages:
        facts.append(Fact("ramp", stages, meaning="the treated stay treated; who waits is control"))
    named = ", ".join(f"{variant} {count:,}" for variant, count in units.items())
    when = ", in the last stage" if stages else ""
    return Answer("assigned", f"Assigned by a hash{when}: {named}.", tuple(facts), tuple(warnings))


def _text(counts: pd.DataFrame, plan: ExperimentPlan) -> str:
    """Who got what, from when on."""
    from firstday.report.terminal import aligned

    rows = []
    for span in assign.spans(plan):
        own = _of_span(counts, plan, span)
        total = max(int(own["units"].sum()), 1)
        for row in own.itertuples(index=False):
            share = f"{row.units / total:.2%}"
            planned = f"{span.shares.get(row.variant, 0):.2%}"
            since = f"{span.starts_at:%Y-%m-%d %H:%M}"
            rows.append((since, str(row.variant), f"{row.units:,}", share, planned))
    columns = ("from (UTC)", "variant", plan.unit, "share", "planned")
    return f"{plan.experiment}\n\n{aligned(columns, rows, columns[2:])}"


MEASURE_STAGE = Stage(
    measure_stage, lambda _: results.TABLES, lambda settings: _with_plan(settings, _plan_of(settings))
)
ASSIGN_STAGE = Stage(
    assign_stage, lambda _: assign.TABLES, lambda settings: _with_plan(settings, read_plan(settings.plan))
)
