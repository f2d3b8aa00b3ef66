"""What `firstday label` reads: votes that exist, or rows for label functions; and an earlier model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession

from firstday.errors import DataError, SettingsError
from firstday.frames import matching
from firstday.labels import classifier, functions, votes
from firstday.labels.columns import positive_class, refuse_leaks, wide_voters
from firstday.labels.models import fitting
from firstday.labels.models.base import LabelModel
from firstday.settings import LabelSettings
from firstday.tables import Checked, Input, Output, check, column, open_input, read_published, schemas


@dataclass(frozen=True)
class Inputs:
    """The checked input, and its votes.

    earlier: the model to apply, if one is named. class_names: of the label functions, or of that model; none
    where votes alone are known. features and the positive class: only where a classifier is trained.
    passed_over: votes by voters whom the earlier model does not know; notes say so in words.
    """

    checked: Checked
    cast: votes.Votes
    earlier: LabelModel | None = None
    class_names: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    positive: int | None = None
    passed_over: int = 0
    notes: tuple[str, ...] = ()


def read(spark: SparkSession, settings: LabelSettings, output: Output) -> Inputs:
    """Votes that exist, or those of the label functions on the rows, and the model to apply, if one is named.
    Bad rows are set aside in `output`.

    Raises SettingsError or DataError where settings, model, functions and data do not fit each other.
    """
    earlier = _earlier(spark, settings)
    if settings.functions is None:
        inputs = _votes_given(spark, settings, earlier, output)
    else:
        inputs = _votes_made(spark, settings, earlier, output)
    if settings.gold:
        names = inputs.class_names
        votes.refuse_other_classes(inputs.checked.good, settings.gold, inputs.cast.classes, names)
    return inputs


def read_audited(
    spark: SparkSession, settings: LabelSettings, inputs: Inputs, output: Output
) -> DataFrame | None:
    """The rows of --audited or --audited-random with their answers, checked; None where neither is given."""
    address = settings.audited or settings.audited_random
    if address is None:
        return None
    source = open_input(spark, address, name="audited", time_zone=settings.input_time_zone)
    contract = schemas.label_answers(is_random=settings.audited is None)
    good = _checked(source, contract, settings, output).good
    votes.refuse_other_classes(good, "answer", inputs.cast.classes, inputs.class_names)
    return good


def _earlier(spark: SparkSession, settings: LabelSettings) -> LabelModel | None:
    if settings.model is None:
        return None
    row = read_published(spark, settings.model, "label_model").first()
    assert row is not None  # a published run has one
    return fitting.from_json(row["model"])


def _votes_given(
    spark: SparkSession, settings: LabelSettings, earlier: LabelModel | None, output: Output
) -> Inputs:
    assert settings.votes is not None
    others = [name for name in (settings.gold, settings.period, settings.stake) if name]
    source = open_input(spark, settings.votes, name="votes", time_zone=settings.input_time_zone)
    if earlier and settings.classes not in (None, earlier.classes):
        raise SettingsError(
            f"--classes must be the {earlier.classes} classes of the model",
            value=settings.classes,
            next_step="leave it out, or fit a new model without --model",
        )
    names = source.frame.columns
    long = {"voter", "vote"} <= set(names)
    voters = earlier.voters if earlier else None
    columns = ["vote"] if long else list(voters or wide_voters(names, others))
    classes = earlier.classes if earlier else settings.classes or len(settings.balance) or None
    contract = schemas.long_votes(classes, others) if long else schemas.wide_votes(columns, classes, others)
    checked = _checked(source, contract.with_amount(settings.stake), settings, output)
    shown = classes or votes.classes_shown(checked.good, columns)
    if long:
        found = Inputs(checked, votes.from_long(checked.good, shown, voters, others), earlier)
    else:
        found = Inputs(checked, votes.from_wide(checked.good, columns, shown), earlier)
    if earlier is None:
        return found
    passed_over, notes = _passed_over(checked.good, earlier.voters) if long else (0, ())
    return replace(found, class_names=earlier.class_names, passed_over=passed_over, notes=notes)


def _passed_over(rows: DataFrame, voters: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Long votes that the model cannot weigh, and a sentence on them. Raises DataError if these are all."""
    found = votes.strangers(rows, voters)
    if found.votes == 0:
        return 0, ()
    if found.votes == found.of:
        raise DataError(
            "some votes must be by voters whom the model knows",
            value=f"only {found.voters:,} others, such as {found.name}",
            next_step="fit a new model to these votes, or check the column voter",
        )
    told = (
        f"{found.votes:,} of {found.of:,} votes are passed over, by {found.voters:,} voters whom the model "
        f"does not know, such as {found.name}: fit a new model to make them count"
    )
    return found.votes, (told,)


def _votes_made(
    spark: SparkSession, settings: LabelSettings, earlier: LabelModel | None, output: Output
) -> Inputs:
    assert settings.rows is not None
    assert settings.functions is not None
    rules = functions.load(settings.functions)
    classes, names = len(rules.classes), [rule.name for rule in rules.functions]
    if settings.classes not in (None, classes) or len(settings.balance) not in (0, classes):
        raise SettingsError(
            f"--classes and --balance must be of the {classes} classes of the label functions",
            value=settings.classes or settings.balance,
            next_step=f"leave them out, or mend {settings.functions}",
        )
    if earlier:
        _refuse_other_functions(rules, earlier)
    source = open_input(spark, settings.rows, name="rows", time_zone=settings.input_time_zone)
    resolved = functions.resolve(rules, _as_checked(source.frame))
    features = matching(source.columns, settings.features, "--features")
    kept_apart = [name for name in ("row_id", settings.gold, settings.old_label, settings.period) if name]
    refuse_leaks(resolved.reads, features, kept_apart, settings.gold)
    classifier.refuse_features(source.frame, features)
    if not settings.allow_overlap:
        matching(
            source.frame.columns, settings.old_label_columns, "--old-label-columns"
        )  # refuses what is not there
        functions.refuse_overlap(resolved.reads, features, settings.old_label_columns)
    positive = positive_class(settings.positive, rules.classes) if features else None
    wanted = {*kept_apart, *features}.union(*resolved.reads.values()) - {"row_id"}
    contract = schemas.label_rows(sorted(wanted)).with_amount(settings.stake)
    checked = _checked(source, contract, settings, output)
    voted = resolved.votes(checked.good)
    votes.refuse_other_votes(voted, names, classes)
    ordered = earlier.voters if earlier else names
    cast = votes.from_wide(voted, ordered, classes)
    return Inputs(checked, cast, earlier, rules.classes, tuple(features), positive)


def _refuse_other_functions(rules: functions.LabelFunctions, earlier: LabelModel) -> None:
    """Raise SettingsError where the model was fitted to others, or to classes of another order or name."""
    classes, names = len(rules.classes), {rule.name for rule in rules.functions}
    if earlier.classes != classes or set(earlier.voters) != names:
        raise SettingsError(
            "the label functions must be those that the model was fitted to",
            value=sorted(set(earlier.voters) ^ names) or f"{classes} classes",
            next_step="fit a new model",
        )
    if earlier.class_names and earlier.class_names != rules.classes:
        raise SettingsError(
            "the label functions must name the model's classes, in its order",
            value=list(rules.classes),
            next_step=f"write classes: [{', '.join(earlier.class_names)}], or fit a new model",
        )


def _as_checked(rows: DataFrame) -> DataFrame:
    """The rows as `check` hands them on: columns without a table's name, row_id as text."""
    plain = rows.toDF(*rows.columns)
    return plain.withColumn("row_id", column("row_id").cast("string")) if "row_id" in plain.columns else plain


def _checked(source: Input, contract: schemas.Contract, settings: LabelSettings, output: Output) -> Checked:
    checked = check(source, contract, now=datetime.now(UTC))
    output.quarantine(checked, max_bad_share=settings.max_bad_share)
    return checked
