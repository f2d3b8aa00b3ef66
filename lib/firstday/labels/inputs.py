"""What `firstday label` reads: votes that exist, or rows for label functions; and an earlier model."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType, StringType

from firstday.errors import DataError, SettingsError
from firstday.expressions.conditions import refuse_mixed
from firstday.expressions.uses import Uses
from firstday.labels import classifier, functions, votes
from firstday.labels.columns import positive_class, refuse_leaks, wide_voters
from firstday.labels.models import fitting
from firstday.labels.models.base import LabelModel
from firstday.labels.trial import Trial, tried
from firstday.settings import LabelSettings
from firstday.spark.frames import cached, matching
from firstday.tables import Checked, Input, Sources, check, column, schemas
from firstday.tables.contract import bind
from firstday.tables.read import TEXT_FORMATS, Reading
from firstday.tables.reading import reading, typed_by_use
from firstday.tables.values import whole

TRIED = 1_000  # rows that --check looks at


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


def read(sources: Sources, settings: LabelSettings) -> Inputs:
    """Votes that exist, or those of the label functions on the rows, and the model to apply, if one is named.
    Bad rows are set aside.

    Raises SettingsError or DataError where settings, model, functions and data do not fit each other.
    """
    earlier = _earlier(sources, settings)
    if settings.functions is None:
        inputs = _votes_given(sources, settings, earlier)
    else:
        inputs = _votes_made(sources, settings, earlier)
    if settings.gold:
        names = inputs.class_names
        votes.refuse_other_classes(inputs.checked.good, settings.gold, inputs.cast.classes, names)
    return inputs


def read_audited(sources: Sources, settings: LabelSettings, inputs: Inputs) -> DataFrame | None:
    """The rows of --audited or --audited-random with their answers, checked; None where neither is given."""
    address = settings.audited or settings.audited_random
    if address is None:
        return None
    source = sources.open(address, "audited", Reading(settings.input_time_zone))
    contract = schemas.label_answers(is_random=settings.audited is None)
    good = _checked(source, contract, settings, sources).good
    votes.refuse_other_classes(good, "answer", inputs.cast.classes, inputs.class_names)
    return good


def _earlier(sources: Sources, settings: LabelSettings) -> LabelModel | None:
    if settings.model is None:
        return None
    row = sources.published(settings.model, "label_model").first()
    assert row is not None  # a published run has one
    return fitting.from_json(row["model"])


def _votes_given(sources: Sources, settings: LabelSettings, earlier: LabelModel | None) -> Inputs:
    assert settings.votes is not None
    others = [name for name in (settings.gold, settings.period, settings.stake) if name]
    source = sources.open(settings.votes, "votes", reading(settings, "votes"))
    if earlier and settings.classes not in (None, earlier.classes):
        raise SettingsError(
            f"--classes must be the {earlier.classes} classes of the model",
            value=settings.classes,
            next_step="leave it out, or fit a new model without --model",
        )
    names = source.columns
    long = {"voter", "vote"} <= set(names)
    voters = earlier.voters if earlier else None
    columns = ["vote"] if long else list(voters or wide_voters(names, others))
    signs = None
    if earlier is None:
        source, signs = _as_classes(source, columns, settings)
    classes = earlier.classes if earlier else settings.classes or len(settings.balance) or None
    contract = schemas.long_votes(classes, others) if long else schemas.wide_votes(columns, classes, others)
    checked = _checked(source, contract.with_amount(settings.stake), settings, sources)
    shown = classes or votes.classes_shown(checked.good, columns)
    if long:
        found = Inputs(checked, votes.from_long(checked.good, shown, voters, others), earlier)
    else:
        found = Inputs(checked, votes.from_wide(checked.good, columns, shown), earlier)
    if earlier is None:
        return replace(found, notes=(signs,) if signs else ())
    passed_over, notes = _passed_over(checked.good, earlier.voters) if long else (0, ())
    return replace(found, class_names=earlier.class_names, passed_over=passed_over, notes=notes)


def _as_classes(source: Input, columns: Sequence[str], settings: LabelSettings) -> tuple[Input, str | None]:
    """Votes as classes, -1 to abstain, and a note on what they may be instead. columns: those with votes.

    Raises DataError where they may as well be signs: 1 and -1 for the classes, 0 or nothing to abstain.
    """
    kinds = {each.name: each.dataType for each in source.frame.schema}
    votes_of = {
        name: whole(column(name)) if isinstance(kinds[name], StringType) else column(name).cast("double")
        for name in columns
        if isinstance(kinds[name], NumericType | StringType)
    }
    if settings.votes_coding == "signs":
        signs = {
            name: F.when(vote == 0, F.lit(-1).cast(kinds[name]))
            .when(vote == -1, F.lit(0).cast(kinds[name]))
            .otherwise(column(name))
            for name, vote in votes_of.items()
        }
        return replace(source, frame=source.frame.withColumns(signs)), None
    if settings.votes_coding == "classes" or not votes_of:
        return source, None
    counts = {
        f"{place}_{value}": F.count_if(vote == value)
        for place, vote in enumerate(votes_of.values())
        for value in (-1, 0, 1)
    }
    counts |= {f"{place}_all": F.count(column(name)) for place, name in enumerate(votes_of)}
    row = source.frame.agg(F.count("*").alias("rows"), *(each.alias(name) for name, each in counts.items()))
    found = row.first()
    assert found is not None  # an aggregate of all rows
    places = range(len(votes_of))
    lows, zeros, ones, known = (
        np.array([found[f"{place}_{value}"] for place in places]) for value in (-1, 0, 1, "all")
    )
    if (lows + zeros + ones != known).any() or not lows.any() or not ones.any():
        return source, None
    nothing = zeros + found["rows"] - known
    if (nothing > np.maximum(lows, ones)).all() or (columns == ["vote"] and not zeros.any()):
        raise DataError(
            "votes must say whether 0 or -1 abstains: all are -1, 0, 1 or nothing",
            value=source.source,
            next_step="say --votes-coding signs where 1 and -1 are the classes and 0 abstains, or "
            "--votes-coding classes where 0 and 1 are the classes and -1 abstains",
        )
    note = "no vote is 0: -1 is taken to abstain. Where it means the other class, say --votes-coding signs"
    return source, None if zeros.any() else note


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
    note = (
        f"{found.votes:,} of {found.of:,} votes are passed over, by {found.voters:,} voters whom the model "
        f"does not know, such as {found.name}: fit a new model to make them count"
    )
    return found.votes, (note,)


def _votes_made(sources: Sources, settings: LabelSettings, earlier: LabelModel | None) -> Inputs:
    assert settings.rows is not None
    assert settings.functions is not None
    rules = _rules(sources, settings)
    classes, names = len(rules.classes), [rule.name for rule in rules.functions]
    if settings.classes not in (None, classes) or len(settings.balance) not in (0, classes):
        raise SettingsError(
            f"--classes and --balance must be of the {classes} classes of the label functions",
            value=settings.classes or settings.balance,
            next_step=f"leave them out, or mend {settings.functions}",
        )
    if earlier:
        _refuse_other_functions(rules, earlier)
    found = _functions_on_rows(sources, settings, rules)
    checked = _checked(found.source, found.contract, settings, sources)
    checked = replace(checked, notes=found.notes)
    voted = found.resolved.votes(checked.good)
    votes.refuse_other_votes(voted, names, classes)
    ordered = earlier.voters if earlier else names
    cast = votes.from_wide(voted, ordered, classes)
    positive = positive_class(settings.positive, rules.classes) if found.features else None
    return Inputs(checked, cast, earlier, rules.classes, found.features, positive, notes=found.notes)


def _rules(sources: Sources, settings: LabelSettings) -> functions.LabelFunctions:
    """The label functions that were handed over, or those of a file."""
    assert settings.functions is not None
    rules: functions.LabelFunctions | None = sources.given.get(settings.functions)
    return rules or functions.load(settings.functions)


def try_functions(sources: Sources, settings: LabelSettings) -> Trial:
    """The label functions on the first TRIED rows; nothing is written. Raises as `read` does."""
    assert settings.functions is not None
    rules = _rules(sources, settings)
    found = _functions_on_rows(sources, settings, rules, TRIED)
    checked = check(found.source, found.contract, now=datetime.now(UTC))
    names = [rule.name for rule in rules.functions]
    with cached(found.resolved.votes(checked.good)) as voted:
        votes.refuse_other_votes(voted, names, len(rules.classes))
        columns = sorted({"row_id", *names}.union(*found.resolved.reads.values()))
        rows = voted.select(*(column(name) for name in columns)).toPandas()
    reads = found.resolved.reads
    return tried(rows, names, rules.classes, reads, checked.profile.reasons, found.notes)


@dataclass(frozen=True)
class _OnRows:
    """Label functions, checked against the rows that they are to vote on, and what is read of these."""

    source: Input
    resolved: functions.Resolved
    contract: schemas.Contract
    features: tuple[str, ...]
    notes: tuple[str, ...]


def _functions_on_rows(
    sources: Sources, settings: LabelSettings, rules: functions.LabelFunctions, first: int | None = None
) -> _OnRows:
    """first: of so many rows only. Raises SettingsError or DataError where they do not fit each other."""
    assert settings.rows is not None
    source = sources.open(settings.rows, "rows", reading(settings, "rows"))
    if first is not None:
        source = replace(source, frame=source.frame.limit(first))
    features = matching(source.columns, settings.features, "--features")
    kept_apart = [name for name in ("row_id", settings.gold, settings.old_label, settings.period) if name]
    source, numbers, notes = _typed(source, rules, {*features} - {*kept_apart}, kept_apart)
    bound = bind(source, schemas.label_rows(_others(source), numbers), datetime.now(UTC))
    as_read = source.frame.select(*bound.selected)
    resolved = functions.resolve(rules, as_read)
    for name, found in resolved.uses.items():
        refuse_mixed(f"label function {name!r}", found, as_read.schema)
    refuse_leaks(resolved.reads, features, kept_apart, settings.gold)
    classifier.refuse_features(as_read, features)
    if not settings.allow_overlap:
        matching(
            source.frame.columns, settings.old_label_columns, "--old-label-columns"
        )  # refuses what is not there
        functions.refuse_overlap(resolved.reads, features, settings.old_label_columns)
    wanted = {*kept_apart, *features}.union(*resolved.reads.values()) - {"row_id"}
    contract = schemas.label_rows(sorted(wanted), numbers).with_amount(settings.stake)
    return _OnRows(source, resolved, contract, tuple(features), notes)


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


def _others(source: Input) -> list[str]:
    return [name for name in source.columns if name != "row_id"]


def _typed(
    source: Input, rules: functions.LabelFunctions, features: Set[str], kept_apart: Sequence[str]
) -> tuple[Input, frozenset[str], tuple[str, ...]]:
    """`typed_by_use` by the label functions and features; ids and labels stay as they are."""
    if source.format not in TEXT_FORMATS:
        return source, frozenset(), ()
    found = Uses()
    for each in functions.resolve(rules, _as_checked(source.frame)).uses.values():
        found.add(each)
    names = [name for name in _others(source) if name not in kept_apart]
    made, numbers, note = typed_by_use(source, names, found, features)
    return made, numbers, (note,) if note else ()


def _checked(source: Input, contract: schemas.Contract, settings: LabelSettings, sources: Sources) -> Checked:
    checked = check(source, contract, now=datetime.now(UTC))
    sources.quarantine(checked, max_bad_share=settings.max_bad_share)
    return checked
