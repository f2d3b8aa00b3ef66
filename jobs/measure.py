"""Say what came of an experiment: outcomes to sums, sums to estimates, estimates to a decision."""

from collections.abc import Sequence
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
from firstday.frames import from_pandas
from firstday.inputs.measure import Inputs, opened
from firstday.inputs.measure_log import refuse_unmet
from firstday.session import get_session
from firstday.settings import MeasureSettings, read_plan
from firstday.tables import Output, open_output
from firstday.tracking import tracked_run

if TYPE_CHECKING:
    from firstday.report import Report

MOST_SHOWN = 30  # rows of results on the terminal
TRACKED = ("estimate", "low", "high", "p_value")


def run(settings: MeasureSettings, run_id: str) -> Path | None:
    """Measure and publish. Returns where the report is; None if the output is a schema."""
    plan = read_plan(settings.plan) if settings.plan else None
    told = settings.model_dump(mode="json") | ({"planned": plan.model_dump(mode="json")} if plan else {})
    spark = get_session("firstday measure")
    with (
        tracked_run(settings.experiment_name, "measure", run_id=run_id, settings=told) as tracked,
        open_output(spark, settings.out, job="measure", run_id=run_id, schemas=results.TABLES) as output,
        opened(spark, settings, plan, output) as inputs,
    ):
        with logs.step("Measuring the units and adding up") as step:
            refuse_unmet(inputs.units, settings.exposure)
            summed = tables(inputs.question, inputs.units, ages=inputs.ages)
            step.note(sums=len(summed.sums))
        with logs.step("Estimating") as step:
            found = analyse(inputs.question, summed)
            step.note(rows=len(found.results), verdict=found.decision.verdict)
        with logs.step("Writing the results"):
            _write(spark, output, summed, found)
        report = _report(inputs, found, told, run_id)
        sources = [checked.source for checked in inputs.checked]
        output.publish(inputs=sources, settings=told, horizon=inputs.horizon)
        where = output.write_file("report.html", report.html.encode())
        tracked.log_report("report.html", report.html)
        tracked.log_inputs(sources)
        tracked.set_tags({"experiment": inputs.question.experiment, "verdict": found.decision.verdict})
        tracked.log_metrics(_metrics(found))
        _tell(inputs, found)
    return Path(where) if where else None


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


def _report(inputs: Inputs, found: Found, told: dict[str, Any], run_id: str) -> "Report":
    from firstday.report import MeasureContent, measure_report

    content = MeasureContent(
        run_id=run_id,
        experiment=inputs.question.experiment,
        results=found.results,
        decision=found.decision,
        notes=(*inputs.notes, *found.notes),
        settings=told,
        inputs={checked.source.name: checked.source.described for checked in inputs.checked},
        shares=found.shares,
        methods=found.methods,
        alpha=inputs.question.alpha,
    )
    return measure_report(content)


def _metrics(found: Found) -> dict[str, float]:
    """estimate, low, high and p of each metric and method among all units; the last look of looks."""
    rows = found.results[(found.results["segment"] == "all") & found.results["part"].isna()]
    told: dict[str, float] = {}
    for row in rows.to_dict("records"):
        names = [row[key] for key in ("metric", "treatment", "method") if isinstance(row[key], str)]
        prefix = " ".join([*names, *([] if row["population"] == "all" else [row["population"]])])
        told |= {f"{prefix} {part}": row[part] for part in TRACKED if pd.notna(row[part])}
    return told


def _tell(inputs: Inputs, found: Found) -> None:
    """The decision, and a compact table."""
    for sentence in (*inputs.notes, *found.notes, *found.decision.sentences):
        logs.log.info(sentence)
    shown = found.results[found.results["part"].isna() & (found.results["segment"] == "all")]
    shown = shown.drop_duplicates(["metric", "treatment", "method", "population"], keep="last")
    columns = ["metric", "treatment", "method", "population", "estimate", "low", "high", "p_value", "verdict"]
    told = (
        shown[columns]
        .head(MOST_SHOWN)
        .to_string(index=False, na_rep="", float_format=lambda value: f"{value:.5g}")
    )
    for line in told.splitlines():
        logs.log.info(line.rstrip())
    logs.log.info(found.decision.headline)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday measure`."""
    run_job("measure", argv)


if __name__ == "__main__":
    main()
