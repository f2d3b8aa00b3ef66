"""What `firstday train` reads: a ready table of examples, made into lists with labels and a vector."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError, SettingsError
from firstday.ranking import bank, learning
from firstday.ranking.encoding import Encoding
from firstday.ranking.examples import (
    BINARY,
    CATEGORY,
    KEY,
    LABEL,
    LAMBDARANK,
    LIST,
    ORDER,
    SHOWN_LIST,
    SPLIT,
    TIE,
    TRAIN,
    VALID,
    VECTOR,
    WEIGHT,
)
from firstday.ranking.slot_sums import shown
from firstday.settings import TrainSettings
from firstday.settings.train import Boosting
from firstday.spark.frames import matching, uniform_hash, with_vector
from firstday.tables import Checked, Input, Sources, check, column
from firstday.tables.reading import reading
from firstday.tables.schemas import Contract, Field
from firstday.tables.values import number

SPLIT_SALT = 5


@dataclass(frozen=True)
class Examples:
    """The rows that `firstday.recommend` trains and measures on, and where they are from.

    objective: a loss, lambdarank or binary. asked: the vector to measure with. encoding: of examples that
    were made of the log, so that others can be made alike. categories: whether baselines have any.
    shown: the log that they were made of, as `slot_sums.shown` has it. parameters: LightGBM's, of the
    settings and of what suits such examples. monotone: as `ranker.fit` takes it.
    """

    checked: tuple[Checked, ...]
    rows: DataFrame
    features: tuple[str, ...]
    objective: str
    parameters: Boosting
    notes: tuple[str, ...] = ()
    asked: str = VECTOR
    encoding: Encoding | None = None
    categories: bool = True
    monotone: Mapping[str, int] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    shown: DataFrame | None = None

    @property
    def categorical(self) -> tuple[str, ...]:
        return () if self.encoding is None else tuple(self.features[at] for at in self.encoding.categorical)


def read(sources: Sources, settings: TrainSettings) -> Examples:
    """The examples, split into those to learn from and those to measure on. Bad rows go to quarantine.

    Raises SettingsError or DataError where settings and data do not fit each other.
    """
    return _ready(sources, settings) if settings.examples else _of_log(sources, settings)


def parameters_of(settings: TrainSettings) -> Boosting:
    """LightGBM's parameters as it gets them: examples of a log have defaults of their own."""
    return settings.train if settings.examples else settings.train.otherwise(learning.CAREFUL)


def _of_log(sources: Sources, settings: TrainSettings) -> Examples:
    """Examples of what was shown."""
    found = bank.read(sources, settings, needed=("impressions", "reactions"))
    now = settings.now or found.latest
    assert now is not None  # impressions have rows
    assert found.earliest is not None
    target = _target(sources, settings)
    span = learning.periods(found.earliest, now, target, timedelta(days=settings.valid_days))
    learned = learning.built(
        found.tables,
        found.facts,
        span,
        target,
        learning.feature_settings(found.actions),
        segment=settings.segment,
        profile=settings.profile,
        seed=settings.seed,
    )
    notes = [
        f"Learned from impressions from {span.start:%Y-%m-%d} on, measured on those from "
        f"{span.valid:%Y-%m-%d} to {span.end:%Y-%m-%d}; recall learned from what was before.",
        *(
            f"The column {name} of customers is no feature: it is {why}."
            for name, why in learned.encoding.left_out
        ),
    ]
    return Examples(
        found.checked,
        learned.rows,
        learned.encoding.names,
        LAMBDARANK if settings.objective == LAMBDARANK else BINARY,
        parameters_of(settings),
        tuple(notes),
        learning.ASKED,
        learned.encoding,
        monotone=learning.MONOTONE,
        actions=found.actions,
        shown=shown(found.tables["impressions"], found.tables["reactions"], span.end),
    )


def _target(sources: Sources, settings: TrainSettings) -> learning.Target:
    if settings.hypotheses is None:
        return learning.Target(settings.label_window)
    row = sources.published(settings.hypotheses, "hypotheses").first()
    if row is None or row["verdict"] == "none":
        raise DataError(
            "--hypotheses must hold a candidate",
            value=settings.hypotheses,
            next_step="firstday discover found none there: take --objective binary, or give another log",
        )
    if settings.candidate is None:
        chosen = learning.Moment(row["action"], row["threshold"])
    else:
        rows = sources.published(settings.hypotheses, "shortlist").orderBy("rank").collect()
        chosen = named_candidate(settings.candidate, [(each["action"], each["threshold"]) for each in rows])
    return learning.Target(settings.label_window, chosen, settings.moment_share)


def named_candidate(name: str, listed: Sequence[tuple[str, int]]) -> learning.Moment:
    """The candidate of a shortlist (action, threshold) by its name: 'message>=3', 'message ≥ 3' or 'message'.
    Raises SettingsError where it is not on the list.
    """
    for action, threshold in listed:
        if name == action or re.fullmatch(rf"{re.escape(action)}\s*(>=|≥)\s*{threshold}", name):
            return learning.Moment(action, threshold)
    raise SettingsError(
        "--candidate must be on the shortlist of --hypotheses",
        value=name,
        next_step=f"choose of {', '.join(f'{action}>={threshold}' for action, threshold in listed)}",
    )


def _ready(sources: Sources, settings: TrainSettings) -> Examples:
    assert settings.examples is not None
    opened = [sources.open(settings.examples, "examples", reading(settings, "examples"))]
    if settings.valid is not None:
        opened.append(sources.open(settings.valid, "valid", reading(settings, "valid")))
    features = _features(opened[0], settings)
    checked = tuple(
        check(source, _contract(source.name, features, settings), now=datetime.now(UTC)) for source in opened
    )
    sources.quarantine(*checked, max_bad_share=settings.max_bad_share)
    frames = [_example(each.good, features, settings) for each in checked]
    common: dict[str, Any] = {
        "objective": settings.objective or LAMBDARANK,
        "parameters": parameters_of(settings),
        "categories": settings.category is not None,
    }
    if settings.valid is not None:
        rows = (
            frames[0].withColumn(SPLIT, F.lit(TRAIN)).unionByName(frames[1].withColumn(SPLIT, F.lit(VALID)))
        )
        return Examples(checked, rows, features, **common)
    notes = (_split_told(settings),)
    return Examples(checked, _split(frames[0], settings), features, notes=notes, **common)


def _features(source: Input, settings: TrainSettings) -> tuple[str, ...]:
    """The columns to learn from. Raises SettingsError where one has another part to play."""
    found = matching(source.columns, settings.features, "--features")
    roles = {
        "label": settings.label,
        "group": settings.group,
        "weight": settings.weight,
        "order_by": settings.order_by,
        "time": settings.time,
        "category": settings.category,
    }
    taken = [f"{name} (--{role.replace('_', '-')})" for role, name in roles.items() if name in found]
    left_out = [f"-{name}" for name in roles.values() if name in found]
    if taken:
        raise SettingsError(
            "features must be other columns than those with a part of their own",
            value=taken,
            next_step=f"leave them out: --features '{','.join([*settings.features, *left_out])}'",
        )
    return tuple(found)


def _contract(table: str, features: Sequence[str], settings: TrainSettings) -> Contract:
    fields = [Field(settings.group, "text"), Field(settings.label, "number", low=0)]
    if settings.weight is not None:
        fields.append(Field(settings.weight, "number", low=0))
    if settings.category is not None:
        fields.append(Field(settings.category, "text", nullable=True))
    if settings.order_by is not None:
        fields.append(Field(settings.order_by, "any"))
    if settings.time is not None:
        fields.append(Field(settings.time, "instant"))
    return Contract(table, (*fields, *(Field(name, "number", nullable=True) for name in features)))


def _example(rows: DataFrame, features: Sequence[str], settings: TrainSettings) -> DataFrame:
    """Columns of `firstday.ranking.examples` instead of the user's."""
    # -0.0 and NaN are told from 0.0 and null by a hash, but not by LightGBM: the contract has settled NaN.
    values = [column(name) + F.lit(0.0) for name in features]
    order, key = _order(rows, settings)
    selected = rows.select(
        F.xxhash64(column(settings.group)).alias(LIST),
        column(settings.group).alias(SHOWN_LIST),
        column(settings.label).alias(LABEL),
        (column(settings.weight) if settings.weight else F.lit(1.0)).alias(WEIGHT),
        (column(settings.category) if settings.category else F.lit(None).cast("string")).alias(CATEGORY),
        order.alias(ORDER),
        F.xxhash64(column(settings.label), F.lit(settings.seed), *values).alias(TIE),
        key.alias(KEY),
        *([column(settings.time).alias("firstday_time")] if settings.time else []),
        *(column(name) for name in features),
    )
    kept = [name for name in selected.columns if name not in features]
    return with_vector(selected, features, VECTOR).select(*map(column, kept), VECTOR)


def _order(rows: DataFrame, settings: TrainSettings) -> tuple[Column, Column]:
    """A number and a text to order the rows of a list by, or nulls: then a hash of the features (TIE) orders
    them, of which neither the label nor the order of arrival can be read.
    """
    if settings.order_by is None:
        return F.lit(None).cast("double"), F.lit(None).cast("string")
    kind = dict(rows.dtypes)[settings.order_by]
    if kind.startswith(("array", "map", "struct", "binary")):
        raise SettingsError("--order-by must name numbers, texts or times", value=kind)
    ordered = column(settings.order_by)
    if kind == "string":
        return number(ordered), ordered
    value = F.unix_micros(ordered) if kind == "timestamp" else ordered
    return value.cast("double"), ordered.cast("string")


def _split(rows: DataFrame, settings: TrainSettings) -> DataFrame:
    """The latest lists to measure on, or, without times, some by a hash."""
    if settings.time is None:
        later = uniform_hash(LIST, SPLIT_SALT) < settings.valid_share
        return rows.withColumn(SPLIT, F.when(later, VALID).otherwise(TRAIN))
    at = F.unix_micros("firstday_time")
    cut = rows.agg(F.percentile_approx(at, 1 - settings.valid_share, 10_000).alias("cut"))
    # By its list's first row: a list is never in both.
    first = rows.groupBy(LIST).agg(F.min(at).alias("first"))
    dated = rows.join(first, LIST).crossJoin(F.broadcast(cut))
    return dated.withColumn(SPLIT, F.when(F.col("first") > F.col("cut"), VALID).otherwise(TRAIN)).drop(
        "first", "cut", "firstday_time"
    )


def _split_told(settings: TrainSettings) -> str:
    share = f"{settings.valid_share:.0%} of the lists"
    if settings.time is not None:
        return f"Measured on the latest {share}."
    return f"Measured on {share}, drawn by a hash: --valid or --time would measure on later ones."
