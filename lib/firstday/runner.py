"""The one skeleton of a job: read and check, call the stage, report, publish, track. `save` is its second
half.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from firstday import logs
from firstday.job_list import BY_SETTINGS, JOBS, loaded, schemas
from firstday.result import Result, Stage
from firstday.spark.session import get_session
from firstday.tables import Output, Sources, open_output
from firstday.tables.delta import Store
from firstday.tracking import TrackedRun, registered, tracked_run

if TYPE_CHECKING:
    from firstday.report.page import Report


def stage_of(job: str) -> Stage:
    """The stage that the job calls."""
    found: Stage = loaded(JOBS[job].stage)
    return found


def run(job: str, settings: Any, run_id: str) -> Path | None:
    """Run a job and publish its result. Returns where its report is, or the folder of its tables where it has
    none; None if the output is a schema.
    """
    stage = stage_of(job)
    kept = stage.recorded(settings)
    spark = get_session(f"firstday {job}", packages=getattr(settings, "synapseml", None))
    experiment = settings.experiment_name if stage.tracked else None
    with (
        _tracked(experiment, job, run_id, kept) as tracked,
        open_output(spark, settings.out, job=job, run_id=run_id, schemas=stage.schemas(settings)) as output,
        stage.call(_sources(spark, output, tracked), settings, run_id) as result,
    ):
        where = publish(result, output, tracked)
    logs.result(result.text)
    return where


class Task(Protocol):
    """What a job does to the tables of an output, not to inputs. It is made of the output's store, the
    settings, the schemas of the tables that jobs write by name, and names of others; making it changes
    nothing.

    preview: say what would be done. work: do it and write the job's own table; returns metrics. finish: what
    comes after it is published. recorded: the settings as they may be kept.
    """

    @property
    def tables(self) -> Mapping[str, StructType]: ...
    def recorded(self) -> dict[str, Any]: ...
    def preview(self) -> None: ...
    def work(self, output: Output) -> Mapping[str, float]: ...
    def finish(self) -> None: ...


def tend(job: str, settings: Any, run_id: str, task_of: Callable[..., Task]) -> None:
    """Run a job on the tables that other jobs have written; with dry_run only say what would be done."""
    spark = get_session(f"firstday {job}")
    task = task_of(Store(spark, settings.out), settings, schemas(), BY_SETTINGS)
    if settings.dry_run:
        task.preview()
        return
    kept = task.recorded()
    with (
        tracked_run(settings.experiment_name, job, run_id=run_id, settings=kept) as tracked,
        open_output(spark, settings.out, job=job, run_id=run_id, schemas=task.tables) as output,
    ):
        metrics = task.work(output)
        output.publish(inputs=[], settings=kept)
        tracked.log_metrics(metrics)
    task.finish()


def _sources(spark: SparkSession, output: Output, tracked: TrackedRun | None) -> Sources:
    if tracked is None:
        return Sources(spark, output=output)
    return Sources(spark, output=output, registered=registered, failing=tracked.mark_failed)


def save(result: Result, out: str, *, track: bool, experiment_name: str) -> Path | None:
    """Publish a result that a stage has returned; see `Result.save`."""
    run_id = logs.new_run_id() if result.saved else result.run_id
    named = {"out": out, "experiment_name": experiment_name}
    result.settings |= {name: value for name, value in named.items() if name in result.settings}
    experiment = experiment_name if track and stage_of(result.job).tracked else None
    job, schemas = result.job, result.schemas
    with (
        _tracked(experiment, job, run_id, result.settings) as tracked,
        open_output(result.spark, out, job=job, run_id=run_id, schemas=schemas) as output,
    ):
        output.quarantine(*result.checked, max_bad_share=1.0)
        return publish(result, output, tracked)


def _tracked(
    experiment: str | None, job: str, run_id: str, settings: Mapping[str, Any]
) -> AbstractContextManager[TrackedRun | None]:
    """An MLflow run of the experiment; None is no run."""
    if experiment is None:
        return nullcontext()
    return tracked_run(experiment, job, run_id=run_id, settings=settings)


def publish(result: Result, output: Output, tracked: TrackedRun | None) -> Path | None:
    """Write the tables, publish them, put the files beside them and record the run."""
    run_id, kept = output.run_id, result.published
    with logs.step("Writing the results"):
        output.write_all({name: result.table(name, run_id) for name in result.tables})
    report = None
    if result.has_report:  # all that may fail comes before publishing
        with logs.step("Drawing the report"):
            report = result.report(run_id)
    published = output.publish(
        inputs=result.inputs, settings=result.settings, horizon=kept.horizon, answer=result.answer.as_dict()
    )
    result.saved = True
    files = dict(kept.files)
    if report is not None:
        files = {f"{result.job}.html": report.html.encode()} | files
    written = {name: output.write_file(name, content) for name, content in files.items()}
    for name, (table, form) in kept.folders.items():
        output.write_folder(name, result.table(table, run_id), form)
    if tracked is not None:
        with logs.step("Recording the run"):
            _track(result, report, published.row_counts, tracked)
    if report is not None:
        where = written[f"{result.job}.html"]
        return Path(where) if where else None
    return Path(output.store.out) if output.store.is_folder else None


def _track(result: Result, report: "Report | None", rows: Mapping[str, int], tracked: TrackedRun) -> None:
    kept = result.published
    tracked.log_inputs(result.inputs)
    tracked.log_params({f"used.{name}": value for name, value in kept.params.items()})
    tracked.log_metrics(
        {
            **{each.source.name: each.profile.rows for each in result.checked},
            "bad_rows": sum(each.profile.bad_rows for each in result.checked),
            **{f"rows_{name}": count for name, count in rows.items()},
            **result.metrics,
        }
    )
    tracked.set_tags({"verdict": result.answer.verdict, "headline": result.answer.headline} | dict(kept.tags))
    for name, text in {"answer.json": json.dumps(result.answer.as_dict(), indent=1), **kept.texts}.items():
        tracked.log_text(name, text)
    if report is not None:
        tracked.log_report(f"{result.job}.html", report.html)
        for name, image in report.figures.items() if kept.pictures else ():
            tracked.log_figure(name, image)
    if kept.model is not None:
        tracked.log_booster(kept.model.native, kept.model.example, kept.model.name, *kept.model.aliases)
