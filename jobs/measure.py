"""Say what came of an experiment: outcomes to sums, sums to estimates, estimates to a decision."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.sql import SparkSession

from firstday import logs
from firstday.cli import run_job
from firstday.experiments import results
from firstday.experiments.aggregate import plain
from firstday.experiments.analyse import Found, analyse
from firstday.experiments.analyse_tables import Tables, tables
from firstday.experiments.results import Question
from firstday.inputs.measure import Inputs, opened
from firstday.inputs.measure_log import refuse_unmet
from firstday.settings import MeasureSettings, read_plan
from firstday.spark.frames import from_pandas
from firstday.spark.session import get_session
from firstday.tables import Output, open_output
from firstday.tracking import tracked_run

if TYPE_CHECKING:
    from firstday.report import MeasureContent

TRACKED = ("estimate", "low", "high", "p_value")


def run(settings: MeasureSettings, run_id: str) -> Path | None:
    """Measure and publish. Returns where the report is; None if the output is a schema."""
    plan = read_plan(settings.plan) if settings.plan else None
    if plan is not None:
        settings.check_plan(plan)
        plan = settings.planned(plan)
    told = settings.model_dump(mode="json") | ({"planned": plan.model_dump(mode="json")} if plan else {})
    spark = get_session("firstday measure")
    with (
        tracked_run(settings.experiment_name, "measure", run_id=run_id, settings=told) as tracked,
        open_output(spark, settings.out, job="measure", run_id=run_id, schemas=results.TABLES) as output,
        ExitStack() as stack,
    ):
        with logs.step("Reading and checking the inputs") as step:
            inputs = stack.enter_context(opened(spark, settings, plan, output))
            step.note(**{each.source.name: each.profile.rows for each in inputs.checked})
        with logs.step("Measuring the units and adding up") as step:
            refuse_unmet(inputs.units, settings.exposure)
            summed = tables(inputs.question, inputs.units, ages=inputs.ages)
            step.note(sums=len(summed.sums))
        with logs.step("Estimating") as step:
            found = analyse(inputs.question, summed)
            step.note(rows=len(found.results), verdict=found.decision.verdict)
        with logs.step("Writing the results"):
            _write(spark, output, summed, found)
        told |= _used(inputs.question)
        content = _content(inputs, found, told, run_id)
        from firstday.report import measure_report, measure_text

        report = measure_report(content)
        sources = [checked.source for checked in inputs.checked]
        output.publish(inputs=sources, settings=told, horizon=inputs.horizon)
        where = output.write_file("measure.html", report.html.encode())
        tracked.log_report("measure.html", report.html)
        tracked.log_inputs(sources)
        tracked.set_tags({"experiment": inputs.question.experiment, "verdict": found.decision.verdict})
        tracked.log_params({f"used.{name}": value for name, value in _used(inputs.question).items()})
        tracked.log_metrics(_metrics(found))
        logs.result(measure_text(content))
    return Path(where) if where else None


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


def _write(spark: SparkSession, output: Output, summed: Tables, found: Found) -> None:
    small = {
        "experiment_results": found.results,
        "experiment_sums": plain(summed.sums),
        "retention_by_categories": summed.categories,
    }
    output.write_all(
        {name: from_pandas(spark, _plain(frame), results.TABLES[name]) for name, frame in small.items()}
    )


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Missing values as None, which is null in every type."""
    return frame.astype(object).where(frame.notna(), None)


def _content(inputs: Inputs, found: Found, told: dict[str, Any], run_id: str) -> "MeasureContent":
    from firstday.report import MeasureContent

    question = inputs.question
    return MeasureContent(
        run_id=run_id,
        experiment=question.experiment,
        results=found.results,
        decision=found.decision,
        notes=(*inputs.notes, *found.notes),
        settings=told,
        inputs={checked.source.name: checked.source.described for checked in inputs.checked},
        shares=found.shares,
        methods=found.methods,
        alpha=question.alpha,
        units={metric.name: metric.per(question.unit_name) for metric in question.metrics},
        fall_is_good=[metric.name for metric in question.metrics if not metric.rise_is_good],
    )


def _metrics(found: Found) -> dict[str, float]:
    """estimate, low, high and p of each metric and method among all units; the last look of looks."""
    rows = found.results[(found.results["segment"] == "all") & found.results["part"].isna()]
    told: dict[str, float] = {}
    for row in rows.to_dict("records"):
        names = [row[key] for key in ("metric", "treatment", "method") if isinstance(row[key], str)]
        prefix = " ".join([*names, *([] if row["population"] == "all" else [row["population"]])])
        told |= {f"{prefix} {part}": row[part] for part in TRACKED if pd.notna(row[part])}
    return told


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday measure`."""
    run_job("measure", argv)


if __name__ == "__main__":
    main()
