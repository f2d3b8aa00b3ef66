"""What `firstday measure` reads: one row a unit, or assignments with a log; and what is asked of them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pyspark.sql import DataFrame

from firstday.errors import DataError
from firstday.experiments.analyse_tables import by_cluster
from firstday.experiments.caps import capped
from firstday.experiments.designs import DESIGNS, design_of
from firstday.experiments.measure_log import Measured, in_two_variants, measured, released
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.results import Question
from firstday.experiments.unit_table import checked_units, unit_outcomes
from firstday.settings import ExperimentPlan, MeasureSettings
from firstday.settings.metrics import Metric
from firstday.spark.frames import cached, persisted
from firstday.tables import Checked, Sources, check, column
from firstday.tables.reading import notes_of, reading
from firstday.tables.schemas import Contract, Field

PLANNED_UNITS = 10_000
UNIT_NAMES = ("user", "player", "customer", "account", "member", "visitor", "client", "device", "session")


@dataclass(frozen=True)
class Inputs:
    """The outcomes of what got a variant, in Spark's cache, and what is asked of them.

    ages: as `panel_outcomes.ages` has them, where effects may fade. horizon: until when things count.
    """

    question: Question
    units: Outcomes
    checked: tuple[Checked, ...]
    horizon: datetime | None = None
    ages: DataFrame | None = None
    notes: tuple[str, ...] = ()


@contextmanager
def opened(sources: Sources, settings: MeasureSettings, plan: ExperimentPlan | None) -> Iterator[Inputs]:
    """The inputs, as long as the `with` lasts. Bad rows go to quarantine.

    Raises SettingsError or DataError where settings, plan and data do not fit each other.
    """
    if settings.units is not None:
        inputs = _of_units(sources, settings, plan)
        with cached(inputs.units.frame) as frame:
            yield _asked(replace(inputs, units=replace(inputs.units, frame=frame)), settings, plan)
        return
    assert plan is not None
    found = measured(sources, settings, plan)
    with released(found.spans), cached(found.units.frame) as counted:
        units, notes = capped(replace(found.units, frame=counted), sum(found.spans.rows.values()))
        units = by_cluster(units, plan.cluster) if plan.cluster else units
        with cached(units.frame) as frame:
            inputs = _of_log(found, replace(units, frame=frame), settings, plan)
            yield replace(inputs, notes=(*inputs.notes, *notes))


def _of_log(found: Measured, units: Outcomes, settings: MeasureSettings, plan: ExperimentPlan) -> Inputs:
    question = _question(settings, plan, plan.metrics, plan.treatments)
    question = replace(question, until=found.horizon.date(), unit_name=named(plan.unit))
    notes = [*found.notes, *notes_of(found.checked), *_set_aside(found.checked)]
    if settings.segments and not design_of(question).by_segment:
        notes.append(
            "Effects by segment are for plain experiments only, not for ramps, crossovers or clusters: none "
            "are given here."
        )
    return Inputs(question, units, found.checked, found.horizon, found.ages, tuple(notes))


def named(unit: str) -> str:
    """What a unit is called, by its column: user_id and userid name a user; of other names 'unit'."""
    name = re.sub(r"[\W_]*ids?$", "", unit.lower())
    return name if name in UNIT_NAMES else "unit"


def _set_aside(checked: Sequence[Checked]) -> Iterator[str]:
    for each in checked:
        bad, rows = each.profile.bad_rows, each.profile.rows
        if bad:
            yield f"{bad:,} of {rows:,} rows of {each.source.name} are bad: they are set aside in quarantine."


def _of_units(sources: Sources, settings: MeasureSettings, plan: ExperimentPlan | None) -> Inputs:
    assert settings.units is not None
    metrics = settings.metrics() or (plan.metrics if plan else ())
    unit = plan.unit if plan and "unit" not in settings.model_fields_set else settings.unit
    source = sources.open(settings.units, "units", reading(settings, "units"))
    checked = check(source, _contract(settings, metrics, unit), now=datetime.now(UTC))
    sources.quarantine(checked, max_bad_share=settings.max_bad_share)
    good, notes = _compared(checked, settings)
    units = unit_outcomes(
        good,
        metrics,
        unit=unit,
        variant=settings.variant,
        segments=settings.segments,
        assigned_at=settings.date,
        triggered=settings.triggered,
        time_zone=settings.time_zone,
    )
    question = replace(_question(settings, plan, metrics, ()), unit_name=named(unit))
    units = replace(units, frame=persisted(units.frame))
    return Inputs(question, units, (checked,), notes=(*notes, *_set_aside([checked])))


def _compared(checked: Checked, settings: MeasureSettings) -> tuple[DataFrame, tuple[str, ...]]:
    """The units of the variants that are to be compared, and how many others there are."""
    if not settings.variants:
        return checked.good, ()
    is_named = column(settings.variant).cast("string").isin(*settings.variants)
    others = checked.good.where(~is_named).count()
    left_out = f"{others:,} units of other variants than {', '.join(settings.variants)} are left out."
    return checked.good.where(is_named), (left_out,) if others else ()


def _contract(settings: MeasureSettings, metrics: Sequence[Metric], unit: str) -> Contract:
    """What the units must hold; a number that is null or NaN is an outcome that is not known."""
    numbers = [name for metric in metrics for name in (metric.value, metric.denominator, metric.covariate)]
    fields = {unit: Field(unit, "id"), settings.variant: Field(settings.variant, "text", trimmed=True)}
    fields |= {name: Field(name, "text", nullable=True) for name in settings.segments}
    fields |= {name: Field(name, "number", nullable=True) for name in numbers if name}
    instants = [metric.value_at for metric in metrics if metric.value_at]
    fields |= {name: Field(name, "instant", nullable=True) for name in instants}
    if settings.date:
        fields[settings.date] = Field(settings.date, "instant")
    if settings.triggered:
        fields[settings.triggered] = Field(settings.triggered, "truth", nullable=True)
    return Contract("units", tuple(fields.values()))


def _asked(inputs: Inputs, settings: MeasureSettings, plan: ExperimentPlan | None) -> Inputs:
    """With the treatments: those of the plan or of the shares, else all that are there."""
    planned = list(plan.variants) if plan else list(dict(settings.shares) or settings.variants)
    found = checked_units(inputs.units, planned or None, settings.max_bad_share)
    counts = found.counts
    control = inputs.question.control
    if control not in counts:
        raise DataError(
            f"the control must be one of the variants: {', '.join(sorted(counts))}",
            value=control,
            next_step="name it with --control, or look at the column with --variant",
        )
    if len(counts) < 2:
        raise DataError(
            "a comparison needs two variants",
            value=f"all {counts[control]:,} units are in {control!r}",
            next_step="look at the filter by which these units were taken",
        )
    treatments = tuple(name for name in planned or sorted(counts) if name != control)
    units, notes = capped(found.outcomes, sum(counts.values()))
    if found.in_two:
        notes = (in_two_variants(found.in_two), *notes)
    return replace(
        inputs,
        question=replace(inputs.question, treatments=treatments),
        units=units,
        notes=(*inputs.notes, *notes),
    )


def _question(
    settings: MeasureSettings,
    plan: ExperimentPlan | None,
    metrics: Sequence[Metric],
    treatments: tuple[str, ...],
) -> Question:
    control = plan.control if plan else settings.control
    assert control is not None
    given = dict(settings.shares) or (dict(plan.variants) if plan else {})
    question = Question(
        experiment=settings.name or (plan.experiment if plan else "experiment"),
        control=control,
        treatments=treatments,
        metrics=tuple(metrics),
        shares={None: given} if given else {},
        daily=settings.peeking or (plan is not None and plan.looked_at_daily),
        planned_units=settings.planned_units or (plan and plan.planned_units) or PLANNED_UNITS,
        ratio_limit=settings.ratio_limit,
        alpha=settings.alpha,
        power=settings.power,
        seed=settings.seed,
    )
    return _designed(question, plan) if plan else question


def _designed(question: Question, plan: ExperimentPlan) -> Question:
    """With what the plan says of the design."""
    for design in DESIGNS.values():
        question = design.asked(question, plan)
    return replace(question, shared_pool=plan.shared_pool, looks=None if question.daily else plan.looks)
