"""Correct labels: votes to patterns, a label model on the patterns, soft labels for the rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday import logs
from firstday.cli import run_job
from firstday.frames import cached
from firstday.inputs.label import Inputs, read
from firstday.labels import before_after, outputs, soft, summary, votes
from firstday.labels.distributed import Distributed
from firstday.labels.models import dependencies, fitting
from firstday.labels.models.base import Counted, LabelModel
from firstday.labels.patterns import Patterns
from firstday.labels.periods import by_period
from firstday.session import get_session
from firstday.settings import LabelSettings
from firstday.tables import Output, column, open_output
from firstday.tracking import TrackedRun, tracked_run

if TYPE_CHECKING:
    from firstday.report import Report

ALIAS = "challenger"  # of the registered classifier, until somebody makes it the champion
PATTERNS_A_TASK = 50_000  # answered in half a second; more tasks are more Python workers and files


def run(settings: LabelSettings, run_id: str) -> Path | None:
    """Label the rows and publish. Returns where the report is; None if the output is a schema."""
    spark = get_session("firstday label")
    with (
        tracked_run(
            settings.experiment_name, "label", run_id=run_id, settings=settings.model_dump(mode="json")
        ) as tracked,
        open_output(spark, settings.out, job="label", run_id=run_id, schemas=outputs.TABLES) as output,
    ):
        with logs.step("Reading and checking the votes") as step:
            inputs = read(spark, settings, output)
            checked, cast = inputs.checked, inputs.cast
            step.note(rows=checked.profile.rows, voters=len(cast.voters), classes=cast.classes)
        with ExitStack() as stack, _patterns(inputs, settings) as found:
            with logs.step("Fitting the label model") as step:
                fitted = _fitted(found.counted, inputs, settings)
                step.note(kind=fitted.model.kind, steps=fitted.model.iterations)
            for note in (*fitted.model.notes, *inputs.notes):
                logs.log.info(note)
            with logs.step("Writing the results"):
                answered = stack.enter_context(cached(soft.label_patterns(fitted.model, cast, found.frame)))
                tables = _write(spark, inputs, found, answered, fitted, settings, output)
            compared = _compared(spark, inputs, answered, settings, output) if inputs.features else None
            report = _report(inputs, answered, fitted.model, tables, compared, settings, run_id)
        output.publish(inputs=[checked.source], settings=settings.model_dump(mode="json"))
        where = output.write_file("label.html", report.html.encode())
        tracked.log_report("label.html", report.html)
        if compared:
            _keep_models(compared, inputs, settings, output, tracked)
        tracked.log_inputs([checked.source])
        tracked.log_metrics(_metrics(found.counted, fitted.model, inputs))
    return Path(where) if where else None


@dataclass(frozen=True)
class Found:
    """The distinct patterns: as a table in Spark's cache, and as what models are fitted to."""

    frame: DataFrame
    counted: Counted


@contextmanager
def _patterns(inputs: Inputs, settings: LabelSettings) -> Iterator[Found]:
    cast = inputs.cast
    with logs.step("Counting patterns") as step:
        gold = votes.class_of(settings.gold, inputs.class_names) if settings.gold else None
        frame = votes.counted(cast, gold).persist()
        on_driver = votes.on_driver(cast, frame, settings.max_patterns)
        if on_driver is None:
            step.note(patterns=f"more than {settings.max_patterns:,}: Spark adds up the sums")
        else:
            step.note(patterns=len(on_driver.rows))
    try:
        if on_driver is None:
            yield Found(frame, Distributed(cast, frame))
        else:
            yield Found(frame.coalesce(-(-len(on_driver.rows) // PATTERNS_A_TASK)), on_driver)
    finally:
        frame.unpersist()


@dataclass(frozen=True)
class Fitted:
    """The model, and which voters depend on each other."""

    model: LabelModel
    among: dependencies.Dependencies


def _fitted(counted: Counted, inputs: Inputs, settings: LabelSettings) -> Fitted:
    among = dependencies.learned(counted, settings.model_kind, settings.seed)
    balance = np.array(settings.balance) if settings.balance else None
    model = inputs.earlier or fitting.fit(counted, settings.model_kind, balance, among.groups)
    return Fitted(replace(model, class_names=inputs.class_names), among)


def _write(
    spark: SparkSession,
    inputs: Inputs,
    found: Found,
    answered: DataFrame,
    fitted: Fitted,
    settings: LabelSettings,
    output: Output,
) -> dict[str, pd.DataFrame]:
    """Write all tables but the comparison; returns the small ones."""
    cast = inputs.cast
    tables = {"label_summary": summary.summarise(found.counted, fitted.model, fitted.among.groups)}
    if fitted.among.agreements is not None:
        tables["label_pairs"] = summary.pairs(found.counted, fitted.among.agreements)
    if settings.period:
        tables["label_drift"] = summary.drift(*by_period(cast, settings.period), cast.voters)
    few = isinstance(found.counted, Patterns)
    rest = {name: outputs.small(spark, name, frame) for name, frame in tables.items()} | {
        "label_model": outputs.label_model(spark, fitted.model, inputs.notes),
        "soft_labels": soft.soft_labels(cast, answered, few=few),
        "label_patterns": answered.drop(*cast.words),
    }
    output.write_all(rest)
    return tables


def _compared(
    spark: SparkSession, inputs: Inputs, answered: DataFrame, settings: LabelSettings, output: Output
) -> before_after.Comparison:
    """Train on the old labels and on the soft ones, and write label_comparison."""
    names, positive = inputs.class_names, inputs.positive
    assert positive is not None
    assert settings.old_label is not None
    votes.refuse_other_classes(inputs.checked.good, settings.old_label, len(names), names)
    known = votes.class_of(settings.gold, names) if settings.gold else F.lit(None).cast("int")
    # Their columns may have any name: the answers' get names of ours before they meet.
    joined = inputs.cast.rows.join(
        answered.select(
            *inputs.cast.words,
            F.col("probabilities").alias(before_after.SOFT),
            F.col("label").alias(before_after.LABEL),
            F.col("status").alias(before_after.STATUS),
            F.col("votes").alias(before_after.VOTES),
        ),
        inputs.cast.words,
    )
    rows = joined.select(
        "row_id",
        *(column(name) for name in inputs.features),
        votes.class_of(settings.old_label, names).alias(before_after.OLD),
        known.alias(before_after.KNOWN),
        before_after.SOFT,
        before_after.LABEL,
        before_after.STATUS,
        before_after.VOTES,
    )
    with logs.step("Comparing before and after") as step:
        found = before_after.compare_labels(
            rows,
            inputs.features,
            classes=len(names),
            positive=positive,
            precision=settings.precision,
            seed=settings.seed,
        )
        output.write("label_comparison", outputs.small(spark, "label_comparison", found.figures))
        figures = found.figures.set_index(["against", "model", "measure"])["value"]
        step.note(
            **{
                f"f1_{name}_against_{against.replace(' ', '_')}": round(
                    float(figures[against, name, "f1"]), 4
                )
                for against in ("label model", "gold")
                for name in ("before", "after")
                if (against, name, "f1") in figures.index
            }
        )
    return found


def _report(
    inputs: Inputs,
    answered: DataFrame,
    model: LabelModel,
    tables: Mapping[str, pd.DataFrame],
    compared: before_after.Comparison | None,
    settings: LabelSettings,
    run_id: str,
) -> "Report":
    from firstday.report import LabelContent, label_report

    source = inputs.checked.source
    statuses = answered.groupBy("status").agg(F.sum("rows").alias("rows")).collect()
    content = LabelContent(
        run_id=run_id,
        kind=model.kind,
        classes=inputs.class_names or [str(number) for number in range(model.classes)],
        balance=model.balance.tolist(),
        statuses={row["status"]: row["rows"] for row in statuses},
        summary=tables["label_summary"],
        comparison=compared.figures if compared else None,
        drift=tables.get("label_drift"),
        notes=(*model.notes, *inputs.notes),
        settings=settings.model_dump(mode="json"),
        inputs={source.name: source.described},
        positive=None if inputs.positive is None else inputs.class_names[inputs.positive],
    )
    return label_report(content)


def _keep_models(
    compared: before_after.Comparison,
    inputs: Inputs,
    settings: LabelSettings,
    output: Output,
    tracked: TrackedRun,
) -> None:
    """Both as LightGBM's text beside the tables; the corrected one in MLflow's registry."""
    for name, text in compared.native.items():
        output.write_file(f"{name}.lightgbm.txt", text.encode())
        tracked.log_text(f"{name}.lightgbm.txt", text)
    assert inputs.positive is not None
    names = inputs.class_names  # of what the model predicts
    tracked.set_tags({"classes": ", ".join(names), "positive": names[inputs.positive]})
    after = compared.native[before_after.AFTER]
    tracked.log_booster(after, compared.example, settings.registered_model, ALIAS)


def _metrics(counted: Counted, model: LabelModel, inputs: Inputs) -> dict[str, float | None]:
    profile = inputs.checked.profile
    shares = {f"balance_{at}": float(share) for at, share in enumerate(model.balance)}
    return {
        "rows": profile.rows,
        "rows_quarantined": profile.bad_rows,
        "votes_passed_over": inputs.passed_over,
        "rows_without_votes": counted.uncovered,
        "voters": len(counted.voters),
        "iterations": model.iterations,
        **shares,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday label`."""
    run_job("label", argv)


if __name__ == "__main__":
    main()
