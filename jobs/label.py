"""Correct labels: votes to patterns, a label model on the patterns, soft labels for the rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday import logs
from firstday.cli import run_job
from firstday.frames import cached
from firstday.inputs.label import Inputs, read, read_audited, try_functions
from firstday.labels import audit, audit_rows, before_after, decision, outputs, soft, summary, votes
from firstday.labels.called import Called, call
from firstday.labels.columns import positive_class
from firstday.labels.distributed import Distributed
from firstday.labels.models import dependencies, fitting
from firstday.labels.models.base import Counted, LabelModel
from firstday.labels.models.calibrated import calibrated
from firstday.labels.patterns import Patterns
from firstday.labels.periods import by_period
from firstday.report.trial import trial_text
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
    if settings.check:
        logs.result(trial_text(try_functions(spark, settings)))
        return None
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
            audited = _audited(spark, found.counted, inputs, fitted, settings, output)
            model = audited.model if audited else fitted.model
            for note in (*model.notes, *inputs.notes):
                logs.log.info(note)
            with logs.step("Writing the results"):
                answered = stack.enter_context(cached(soft.label_patterns(model, cast, found.frame)))
                called = _called(inputs, model, answered, settings)
                logs.log.info(called.sentence)
                fitted = replace(fitted, model=model)
                tables = _write(spark, inputs, found, fitted, called, audited, settings, output)
            compared = _compared(spark, inputs, called, settings, output) if inputs.features else None
            report = _report(inputs, model, called, audited, tables, compared, settings, run_id)
        output.publish(inputs=[checked.source], settings=settings.model_dump(mode="json"))
        where = output.write_file("label.html", report.html.encode())
        if "label_audit" in tables:
            to_check = tables["label_audit"].assign(answer="").to_csv(index=False)
            output.write_file("audit.csv", to_check.encode())
        tracked.log_report("label.html", report.html)
        if compared:
            _keep_models(compared, inputs, settings, output, tracked)
        tracked.log_inputs([checked.source])
        tracked.log_metrics(_metrics(found.counted, model, inputs) | called.metrics)
        share = audited.estimates.share if audited else None
        logs.result("\n".join((f"{called.sentence}.", called.of_all(model, share), *_to_do(tables))))
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
    among = dependencies.learned(counted, settings.model_kind)
    balance = np.array(settings.balance) if settings.balance else None
    model = inputs.earlier or fitting.fit(counted, settings.model_kind, balance, among.groups)
    return Fitted(replace(model, class_names=inputs.class_names), among)


@dataclass(frozen=True)
class Audited:
    """The model, recalibrated by the answers; what they say of all rows; a row a stratum, or none."""

    model: LabelModel
    estimates: audit.Estimates
    strata: pd.DataFrame | None


def _audited(
    spark: SparkSession,
    counted: Counted,
    inputs: Inputs,
    fitted: Fitted,
    settings: LabelSettings,
    output: Output,
) -> Audited | None:
    rows = read_audited(spark, settings, inputs, output)
    if rows is None:
        return None
    positive = _positive(inputs, settings)
    is_random = settings.audited is None
    found = audit_rows.read_answers(rows, inputs.cast, fitted.model, positive, is_random=is_random)
    model = calibrated(fitted.model, counted, found.calibration, positive)
    if is_random:
        return Audited(model, found.of_a_random_sample(), None)
    strata = found.strata()
    return Audited(model, audit.estimates(strata, settings.seed), audit.with_limits(strata))


def _names(inputs: Inputs) -> Sequence[str]:
    return inputs.class_names or [str(number) for number in range(inputs.cast.classes)]


def _positive(inputs: Inputs, settings: LabelSettings) -> int:
    return positive_class(settings.positive, _names(inputs))


def _called(inputs: Inputs, model: LabelModel, answered: DataFrame, settings: LabelSettings) -> Called:
    beside: list[Column] = []  # named anew: a column may be called as the answers are
    if settings.stake:
        beside.append(column(settings.stake).alias(decision.STAKE))
    if settings.gold:
        beside.append(votes.class_of(settings.gold, inputs.class_names).alias(decision.KNOWN))
    rule = decision.Rule(settings.call_precision, settings.cost_ratio, settings.capacity)
    return call(inputs.cast, model, answered, rule, _positive(inputs, settings), _names(inputs), beside)


def _write(
    spark: SparkSession,
    inputs: Inputs,
    found: Found,
    fitted: Fitted,
    called: Called,
    audited: Audited | None,
    settings: LabelSettings,
    output: Output,
) -> dict[str, pd.DataFrame]:
    """Write all tables but the comparison; returns the small ones."""
    cast, model = inputs.cast, fitted.model
    groups = fitting.groups_of(model, fitted.among.groups)
    tables = {
        "label_summary": summary.summarise(found.counted, model, groups),
        "label_thresholds": decision.thresholds(called.distribution),
        "label_decision": called.table(model, audited.estimates.share if audited else None),
    }
    if audited:
        tables["label_audited"] = audit.table(audited.estimates, audited.strata)
    if fitted.among.agreements is not None:
        tables["label_pairs"] = summary.pairs(found.counted, fitted.among.agreements)
    if settings.period:
        tables["label_drift"] = summary.drift(*by_period(cast, settings.period), cast.voters)
    labelled = called.rows(cast, few=isinstance(found.counted, Patterns))
    patterns = called.patterns.drop(*cast.words)
    rest = {name: outputs.small(spark, name, frame) for name, frame in tables.items()} | {
        "label_model": outputs.label_model(spark, model, inputs.notes),
        "soft_labels": labelled,
        "label_patterns": patterns,
    }
    if settings.audit:
        drawn: pd.DataFrame = audit_rows.draw(
            labelled, patterns, called.positive, settings.audit, settings.seed, inputs.class_names
        ).toPandas()
        tables["label_audit"] = drawn.sort_values(["stratum", "row_id"], ignore_index=True)
        rest["label_audit"] = outputs.small(spark, "label_audit", tables["label_audit"])
    output.write_all(rest)
    return tables


def _compared(
    spark: SparkSession, inputs: Inputs, called: Called, settings: LabelSettings, output: Output
) -> before_after.Comparison:
    """Train on the old labels and on the soft ones, and write label_comparison."""
    names, positive = inputs.class_names, inputs.positive
    assert positive is not None
    assert settings.old_label is not None
    votes.refuse_other_classes(inputs.checked.good, settings.old_label, len(names), names)
    known = votes.class_of(settings.gold, names) if settings.gold else F.lit(None).cast("int")
    # Their columns may have any name: the answers' get names of ours before they meet.
    joined = inputs.cast.rows.join(
        called.patterns.select(
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
            rule=called.rule if called.rule.is_given else decision.Rule(precision=settings.precision),
            total=called.distribution.total,
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
    model: LabelModel,
    called: Called,
    audited: Audited | None,
    tables: Mapping[str, pd.DataFrame],
    compared: before_after.Comparison | None,
    settings: LabelSettings,
    run_id: str,
) -> "Report":
    from firstday.report import LabelContent, label_report

    source, known = inputs.checked.source, called.figures
    statuses = called.patterns.groupBy("status").agg(F.sum("rows").alias("rows")).collect()
    content = LabelContent(
        run_id=run_id,
        kind=model.kind,
        classes=_names(inputs),
        balance=model.balance.tolist(),
        statuses={row["status"]: row["rows"] for row in statuses},
        summary=tables["label_summary"],
        comparison=compared.figures if compared else None,
        drift=tables.get("label_drift"),
        notes=(*model.notes, *inputs.notes),
        settings=settings.model_dump(mode="json"),
        inputs={source.name: source.described},
        positive=called.name,
        class_shares=model.class_shares,
        decision=called.decision,
        rule=called.rule,
        distribution=called.distribution,
        thresholds=tables["label_thresholds"],
        overlaps=tables.get("label_pairs"),
        gold_share=known.share,
        gold_precision=known.precision,
        gold_recall=known.recall,
        audit=audited.estimates if audited else None,
        reliability=None if audited is None or audited.strata is None else audited.strata.reset_index(),
        stakes=known.stakes,
        stake=settings.stake,
    )
    return label_report(content)


def _to_do(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    if "label_audit" not in tables:
        return []
    return [
        f"{len(tables['label_audit']):,} rows are to be checked, in audit.csv or the table label_audit: "
        "write the class of each into the column answer and give the file back with --audited."
    ]


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
