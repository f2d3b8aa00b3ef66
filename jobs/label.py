"""Correct labels: votes to patterns, a label model on the patterns, soft labels for the rows."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from firstday import logs
from firstday.cli import run_job
from firstday.errors import DataError
from firstday.labels import outputs, soft, summary, votes
from firstday.labels.distributed import Distributed
from firstday.labels.models import dependencies, fitting
from firstday.labels.models.base import Counted, LabelModel
from firstday.labels.patterns import Patterns
from firstday.session import get_session
from firstday.settings import LabelSettings
from firstday.tables import Checked, Output, check, open_input, open_output, read_published, schemas
from firstday.tracking import tracked_run

GOLD = "gold"  # a column of this name is never a voter, known or not
PANDAS_INDEX = "__index_level_"  # what pandas adds to Parquet of its own accord


def run(settings: LabelSettings, run_id: str) -> Path | None:
    """Label the rows and publish. Returns the folder of the results; None if the output is a schema."""
    spark = get_session("firstday label")
    with (
        tracked_run(
            settings.experiment_name, "label", run_id=run_id, settings=settings.model_dump(mode="json")
        ) as tracked,
        open_output(spark, settings.out, job="label", run_id=run_id, schemas=outputs.TABLES) as output,
    ):
        earlier = _earlier(spark, settings)
        with logs.step("Reading and checking the votes") as step:
            checked, cast = _votes(spark, settings, earlier, output)
            step.note(rows=checked.profile.rows, voters=len(cast.voters), classes=cast.classes)
        with _patterns(cast, settings) as found:
            with logs.step("Fitting the label model") as step:
                fitted = _fitted(found.counted, settings, earlier)
                step.note(kind=fitted.model.kind, steps=fitted.model.iterations)
            for note in fitted.model.notes:
                logs.log.info(note)
            with logs.step("Writing the results"):
                _write(spark, cast, found, fitted, settings, output)
        output.publish(inputs=[checked.source], settings=settings.model_dump(mode="json"))
        tracked.log_inputs([checked.source])
        tracked.log_metrics(_metrics(found.counted, fitted.model, checked))
    return Path(settings.out) if output.store.is_folder else None


def _earlier(spark: SparkSession, settings: LabelSettings) -> LabelModel | None:
    """The model to apply, if one is named."""
    if settings.model is None:
        return None
    row = read_published(spark, settings.model, "label_model").first()
    assert row is not None  # a published run has one
    return fitting.from_json(row["model"])


def _votes(
    spark: SparkSession, settings: LabelSettings, earlier: LabelModel | None, output: Output
) -> tuple[Checked, votes.Votes]:
    """The checked input, and its votes."""
    assert settings.votes is not None
    source = open_input(spark, settings.votes, name="votes", time_zone=settings.input_time_zone)
    names = source.frame.columns
    others = [name for name in (settings.gold, settings.period) if name]
    long = {"voter", "vote"} <= set(names)
    voters = earlier.voters if earlier else None
    columns = ["vote"] if long else list(voters or _wide_voters(names, settings))
    classes = earlier.classes if earlier else settings.classes or len(settings.balance) or None
    contract = schemas.long_votes(classes, others) if long else schemas.wide_votes(columns, classes, others)
    checked = check(source, contract, now=datetime.now(UTC))
    output.quarantine(checked, max_bad_share=settings.max_bad_share)
    shown = classes or max(2, votes.most_class(checked.good, columns) + 1)
    if settings.gold:
        votes.refuse_other_classes(checked.good, settings.gold, shown)
    if long:
        return checked, votes.from_long(checked.good, shown, voters, others)
    return checked, votes.from_wide(checked.good, columns, shown)


def _wide_voters(names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
    others = {"row_id", GOLD, settings.gold, settings.old_label, settings.period, *settings.features}
    voters = tuple(name for name in names if name not in others and not name.startswith(PANDAS_INDEX))
    if not voters:
        raise DataError(
            "votes must have a column for each voter, or the columns voter and vote",
            value=list(names),
            next_step="check that this is the right table",
        )
    return voters


@dataclass(frozen=True)
class Found:
    """The distinct patterns: as a table in Spark's cache, and as what models are fitted to."""

    frame: DataFrame
    counted: Counted


@contextmanager
def _patterns(cast: votes.Votes, settings: LabelSettings) -> Iterator[Found]:
    with logs.step("Counting patterns") as step:
        gold = votes.class_of(settings.gold) if settings.gold else None
        frame = votes.counted(cast, gold).persist()
        on_driver = votes.on_driver(cast, frame, settings.max_patterns)
        if on_driver is None:
            step.note(patterns=f"more than {settings.max_patterns:,}: Spark adds up the sums")
        else:
            step.note(patterns=len(on_driver.rows))
    try:
        yield Found(frame, on_driver or Distributed(cast, frame))
    finally:
        frame.unpersist()


@dataclass(frozen=True)
class Fitted:
    """The model, the agreements between voters (m, m) and the groups of copies (m,)."""

    model: LabelModel
    agreements: np.ndarray
    groups: dependencies.Groups


def _fitted(counted: Counted, settings: LabelSettings, earlier: LabelModel | None) -> Fitted:
    voters = len(counted.voters)
    agreements, groups = np.zeros((voters, voters)), np.arange(voters)
    if voters <= dependencies.MOST_COMPARED or settings.model_kind == "structure":
        agreements = dependencies.agreements(counted, settings.seed)
        groups = dependencies.copies(agreements)
    balance = np.array(settings.balance) if settings.balance else None
    model = earlier or fitting.fit(counted, settings.model_kind, balance, groups)
    return Fitted(model, agreements, groups)


def _write(
    spark: SparkSession,
    cast: votes.Votes,
    found: Found,
    fitted: Fitted,
    settings: LabelSettings,
    output: Output,
) -> None:
    tables = {"label_summary": summary.summarise(found.counted, fitted.model, fitted.groups)}
    if len(cast.voters) <= dependencies.MOST_COMPARED:
        tables["label_pairs"] = summary.pairs(found.counted, fitted.agreements)
    if settings.period:
        periods = votes.by_period(cast, settings.period, settings.max_patterns)
        tables["label_drift"] = summary.drift(*periods, cast.voters)
    answered = soft.label_patterns(fitted.model, cast, found.frame).persist()
    try:
        output.write("label_patterns", answered.drop(*cast.words))
        few = isinstance(found.counted, Patterns)
        rest = {name: outputs.small(spark, name, frame) for name, frame in tables.items()} | {
            "label_model": outputs.label_model(spark, fitted.model),
            "soft_labels": soft.soft_labels(cast, answered, few=few),
        }
        # At once: of a small table's commit most is waiting, for the storage or for the driver.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda table: output.write(*table), rest.items()))
    finally:
        answered.unpersist()


def _metrics(counted: Counted, model: LabelModel, checked: Checked) -> dict[str, float | None]:
    shares = {f"balance_{at}": float(share) for at, share in enumerate(model.balance)}
    return {
        "rows": checked.profile.rows,
        "rows_quarantined": checked.profile.bad_rows,
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
