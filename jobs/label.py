"""Correct labels: votes to patterns, a label model on the patterns, soft labels for the rows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from firstday import logs
from firstday.cli import run_job
from firstday.errors import DataError, LimitError
from firstday.labels import soft, votes
from firstday.labels.models import fitting
from firstday.labels.models.base import LabelModel
from firstday.labels.outputs import LABEL_MODEL, label_model
from firstday.session import get_session
from firstday.settings import LabelSettings
from firstday.tables import Checked, Output, check, open_input, open_output, read_published, schemas
from firstday.tracking import tracked_run

GOLD = "gold"  # a column of this name is never a voter
TABLES = {
    "label_model": LABEL_MODEL,
    "label_patterns": soft.LABEL_PATTERNS,
    "soft_labels": soft.SOFT_LABELS,
}


def run(settings: LabelSettings, run_id: str) -> Path | None:
    """Label the rows and publish. Returns where the report is; None if the output is a schema."""
    spark = get_session("firstday label")
    with (
        tracked_run(
            settings.experiment_name, "label", run_id=run_id, settings=settings.model_dump(mode="json")
        ) as tracked,
        open_output(spark, settings.out, job="label", run_id=run_id, schemas=TABLES) as output,
    ):
        earlier = _earlier(spark, settings)
        with logs.step("Reading and checking the votes") as step:
            checked, packed = _votes(spark, settings, earlier, output)
            step.note(rows=checked.profile.rows, voters=len(packed.voters), classes=packed.classes)
        with logs.step("Counting patterns") as step:
            gold = votes.class_of(settings.gold) if settings.gold else None
            frame = votes.counted(packed, gold)
            patterns = votes.on_driver(packed, frame, settings.max_patterns)
            if patterns is None:
                raise LimitError("too many patterns")
            step.note(patterns=len(patterns.rows))
        with logs.step("Fitting the label model") as step:
            balance = np.array(settings.balance) if settings.balance else None
            model = earlier or fitting.fit(patterns, settings.model_kind, balance)
            step.note(kind=model.kind, steps=model.iterations)
        with logs.step("Writing the soft labels") as step:
            answered = soft.label_patterns(model, packed, patterns)
            output.write("label_model", label_model(spark, model))
            output.write("label_patterns", answered.drop(*packed.words))
            output.write("soft_labels", soft.soft_labels(packed, answered))
        output.publish(inputs=[checked.source], settings=settings.model_dump(mode="json"))
        tracked.log_inputs([checked.source])
    return None


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
    known = [settings.gold] if settings.gold else []
    long = {"voter", "vote"} <= set(names)
    if long:
        voters = earlier.voters if earlier else None
        columns = ["vote"]
    else:
        voters = earlier.voters if earlier else _wide_voters(names, settings)
        columns = list(voters)
    classes = earlier.classes if earlier else settings.classes or len(settings.balance) or None
    shown = classes or max(2, votes.most_class(source.frame, columns) + 1)
    contract = schemas.long_votes(classes, known) if long else schemas.wide_votes(columns, classes, known)
    checked = check(source, contract, now=datetime.now(UTC))
    output.quarantine(checked, max_bad_share=settings.max_bad_share)
    if long:
        return checked, votes.from_long(checked.good, shown, voters, known)
    return checked, votes.from_wide(checked.good, columns, shown)


def _wide_voters(names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
    others = {"row_id", GOLD, settings.gold, settings.old_label, settings.period, *settings.features}
    voters = tuple(name for name in names if name not in others)
    if not voters:
        raise DataError(
            "votes must have a column for each voter, or the columns voter and vote",
            value=list(names),
            next_step="check that this is the right table",
        )
    return voters


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday label`."""
    run_job("label", argv)


if __name__ == "__main__":
    main()
