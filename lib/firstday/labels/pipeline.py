"""Labels from end to end: votes to patterns, a label model on them, soft labels for the rows."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday import logs
from firstday.labels import audit, audit_rows, before_after, decision, outputs, soft, summary, votes
from firstday.labels.called import Called, call
from firstday.labels.columns import positive_class
from firstday.labels.content import LabelContent
from firstday.labels.distributed import Distributed
from firstday.labels.inputs import Inputs, read, read_audited
from firstday.labels.models import dependencies, fitting
from firstday.labels.models.base import LabelModel, VotePatterns
from firstday.labels.models.calibrated import calibrated
from firstday.labels.patterns import Patterns
from firstday.labels.periods import by_period
from firstday.result import Published, Result, Stage, TrainedModel, recorded
from firstday.settings import LabelSettings
from firstday.spark import synapseml
from firstday.spark.frames import kept_in
from firstday.tables import Sources, column

ALIAS = "challenger"  # of the registered classifier, until somebody makes it the champion
PATTERNS_A_TASK = 50_000  # answered in half a second; more tasks are more Python workers and files


def label_stage(sources: Sources, settings: LabelSettings, run_id: str) -> Result:
    """Votes to patterns, a label model on the patterns, soft labels for the rows, and a model before and
    after.
    """
    if settings.features:
        synapseml.require(sources.spark, "the classifier of firstday label --features")
    with ExitStack() as stack:
        with logs.step("Reading and checking the votes") as step:
            inputs = read(sources, settings)
            checked, cast = inputs.checked, inputs.cast
            step.note(rows=checked.profile.rows, voters=len(cast.voters), classes=cast.classes)
        patterns = _patterns(stack, inputs, settings)
        with logs.step("Fitting the label model") as step:
            fitted = _fitted(patterns.counted, inputs, settings)
            step.note(kind=fitted.model.kind, steps=fitted.model.iterations)
        audited = _audited(sources, patterns.counted, inputs, fitted, settings)
        model = audited.model if audited else fitted.model
        notes = (*model.notes, *inputs.notes)
        for note in notes:
            logs.log.info(note)
        with logs.step("Labelling the rows"):
            answered = kept_in(stack, soft.label_patterns(model, cast, patterns.frame))
            called = _called(inputs, model, answered, settings)
            fitted = replace(fitted, model=model)
            tables, small = _tables(sources.spark, inputs, patterns, fitted, called, audited, settings)
        compared = _compared(inputs, called, settings) if inputs.features else None
        if compared:
            tables["label_comparison"] = outputs.small(sources.spark, "label_comparison", compared.figures)
        content = _content(inputs, model, called, audited, small, compared, settings, run_id)
        caches = stack.pop_all()  # as long as the result is in use
    from firstday.labels.report import label_answer, label_report, label_text

    return Result(
        "label",
        run_id,
        sources=sources,
        checked=(checked,),
        settings=recorded(settings),
        schemas=outputs.TABLES,
        answer=label_answer(content),
        tables=tables,
        text="\n".join([label_text(content), *_to_do(small)]),
        page=label_report,
        content=content,
        metrics=_metrics(patterns.counted, model, inputs) | called.metrics,
        published=_published(small, compared, inputs, settings),
        caches=caches,
    )


@dataclass(frozen=True)
class Counts:
    """The distinct patterns: as a table in Spark's cache, and as what models are fitted to."""

    frame: DataFrame
    counted: VotePatterns


def _patterns(stack: ExitStack, inputs: Inputs, settings: LabelSettings) -> Counts:
    cast = inputs.cast
    with logs.step("Counting patterns") as step:
        gold = votes.class_of(settings.gold, inputs.class_names) if settings.gold else None
        frame = kept_in(stack, votes.counted(cast, gold))
        on_driver = votes.on_driver(cast, frame, settings.max_patterns)
        if on_driver is None:
            step.note(patterns=f"more than {settings.max_patterns:,}: Spark adds up the sums")
        else:
            step.note(patterns=len(on_driver.rows))
    if on_driver is None:
        return Counts(frame, Distributed(cast, frame))
    return Counts(frame.coalesce(-(-len(on_driver.rows) // PATTERNS_A_TASK)), on_driver)


@dataclass(frozen=True)
class Fitted:
    """The model, and which voters depend on each other."""

    model: LabelModel
    among: dependencies.Dependencies


def _fitted(counted: VotePatterns, inputs: Inputs, settings: LabelSettings) -> Fitted:
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
    sources: Sources, counted: VotePatterns, inputs: Inputs, fitted: Fitted, settings: LabelSettings
) -> Audited | None:
    rows = read_audited(sources, settings, inputs)
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


def _tables(
    spark: SparkSession,
    inputs: Inputs,
    patterns: Counts,
    fitted: Fitted,
    called: Called,
    audited: Audited | None,
    settings: LabelSettings,
) -> tuple[dict[str, DataFrame], dict[str, pd.DataFrame]]:
    """All tables but the comparison; and the small ones as pandas."""
    cast, model = inputs.cast, fitted.model
    groups = fitting.groups_of(model, fitted.among.groups)
    small = {
        "label_summary": summary.summarise(patterns.counted, model, groups),
        "label_thresholds": decision.thresholds(called.distribution),
        "label_decision": called.table(model, audited.estimates.share if audited else None),
    }
    if audited:
        small["label_audited"] = audit.table(audited.estimates, audited.strata)
    if fitted.among.agreements is not None:
        small["label_pairs"] = summary.pairs(patterns.counted, fitted.among.agreements)
    if settings.period:
        small["label_drift"] = summary.drift(*by_period(cast, settings.period), cast.voters)
    labelled = called.rows(cast, few=isinstance(patterns.counted, Patterns))
    answered = called.patterns.drop(*cast.words)
    tables = {name: outputs.small(spark, name, frame) for name, frame in small.items()} | {
        "label_model": outputs.label_model(spark, model, inputs.notes),
        "soft_labels": labelled,
        "label_patterns": answered,
    }
    if settings.audit:
        drawn: pd.DataFrame = audit_rows.draw(
            labelled, answered, called.positive, settings.audit, settings.seed, inputs.class_names
        ).toPandas()
        small["label_audit"] = drawn.sort_values(["stratum", "row_id"], ignore_index=True)
        tables["label_audit"] = outputs.small(spark, "label_audit", small["label_audit"])
    return tables, small


def _compared(inputs: Inputs, called: Called, settings: LabelSettings) -> before_after.Comparison:
    """Train on the old labels and on the soft ones; figures of both on the same test rows."""
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


def _content(
    inputs: Inputs,
    model: LabelModel,
    called: Called,
    audited: Audited | None,
    small: Mapping[str, pd.DataFrame],
    compared: before_after.Comparison | None,
    settings: LabelSettings,
    run_id: str,
) -> LabelContent:
    source, known = inputs.checked.source, called.figures
    statuses = called.patterns.groupBy("status").agg(F.sum("rows").alias("rows")).collect()
    return LabelContent(
        run_id=run_id,
        kind=model.kind,
        classes=_names(inputs),
        balance=model.balance.tolist(),
        statuses={row["status"]: row["rows"] for row in statuses},
        summary=small["label_summary"],
        comparison=compared.figures if compared else None,
        drift=small.get("label_drift"),
        notes=(*model.notes, *inputs.notes),
        settings=settings.model_dump(mode="json"),
        inputs={source.name: source.described},
        positive=called.name,
        class_shares=model.class_shares,
        decision=called.decision,
        rule=called.rule,
        distribution=called.distribution,
        thresholds=small["label_thresholds"],
        overlaps=small.get("label_pairs"),
        gold_share=known.share,
        gold_precision=known.precision,
        gold_recall=known.recall,
        audit=audited.estimates if audited else None,
        reliability=None if audited is None or audited.strata is None else audited.strata.reset_index(),
        stakes=known.stakes,
        stake=settings.stake,
    )


def _to_do(small: Mapping[str, pd.DataFrame]) -> list[str]:
    if "label_audit" not in small:
        return []
    return [
        f"{len(small['label_audit']):,} rows are to be checked, in audit.csv or the table label_audit: "
        "write the class of each into the column answer and give the file back with --audited."
    ]


def _published(
    small: Mapping[str, pd.DataFrame],
    compared: before_after.Comparison | None,
    inputs: Inputs,
    settings: LabelSettings,
) -> Published:
    """The rows to check, and both classifiers as LightGBM's text; the corrected one is registered."""
    files = {}
    if "label_audit" in small:
        files["audit.csv"] = small["label_audit"].assign(answer="").to_csv(index=False).encode()
    if compared is None:
        return Published(files)
    assert inputs.positive is not None
    texts = {f"{name}.lightgbm.txt": text for name, text in compared.native.items()}
    names = inputs.class_names  # of what the model predicts
    return Published(
        files | {name: text.encode() for name, text in texts.items()},
        tags={"classes": ", ".join(names), "positive": names[inputs.positive]},
        texts=texts,
        model=TrainedModel(
            compared.native[before_after.AFTER], compared.example, settings.registered_model, (ALIAS,)
        ),
    )


def _metrics(counted: VotePatterns, model: LabelModel, inputs: Inputs) -> dict[str, float | None]:
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


LABEL_STAGE = Stage(label_stage, lambda _: outputs.TABLES)
