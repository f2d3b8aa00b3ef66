"""Assignments with the log of what happened: each unit's outcomes, counted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError, SettingsError
from firstday.experiments.outcomes import Outcomes, outcomes
from firstday.experiments.panel_outcomes import ages
from firstday.experiments.spans import Panel, Spans
from firstday.settings import ExperimentPlan, MeasureSettings
from firstday.settings.metrics import PRE, Metric
from firstday.tables import Checked, Input, Sources, check, column, latest_instant
from firstday.tables.check import made_of
from firstday.tables.horizon import complete_until
from firstday.tables.log import fold, folded
from firstday.tables.meeting import Side, meet
from firstday.tables.reading import has_event_id, reading
from firstday.tables.resends import once
from firstday.tables.schemas import REACTIONS, Contract, Field
from firstday.tables.values import stripped
from firstday.windows import microseconds

VARIANT, EXPERIMENT = "variant", "experiment"  # of an exposure: what was shown, and in which experiment
EVENT_ID = Field("event_id", "id", nullable=True, optional=True)
DAILY = ("count", "sum", "click_rate")  # kinds that a day of a unit has a value of


@dataclass(frozen=True)
class Measured:
    """Outcomes of users, by their assignments, up to the horizon; ages: where effects may fade."""

    units: Outcomes
    spans: Spans
    checked: tuple[Checked, ...]
    horizon: datetime
    ages: DataFrame | None
    notes: tuple[str, ...]


def measured(sources: Sources, settings: MeasureSettings, plan: ExperimentPlan) -> Measured:
    """Read all tables, place each unit in time and measure it. Bad rows go to quarantine."""
    panel: Panel | None = "stage" if plan.ramp else "period" if plan.crossover else None
    if settings.exposure_action is not None and (panel or plan.cluster):
        raise SettingsError(
            "exposures tell of plain experiments; ramps, crossovers and clusters need their assignments",
            value=settings.exposure_action,
            next_step="give --assignments instead of --exposure-action",
        )
    if settings.fold_actions:
        settings = settings.model_copy(update={"exposure": tuple(map(fold, settings.exposure))})
        plan = plan.model_copy(update={"metrics": tuple(map(_folded, plan.metrics))})
    reader = _Reader(sources, settings)
    log = reader.log(plan)
    assigned = (
        reader.assignments(plan, panel) if settings.assignments else exposed(log["events"], settings, plan)
    )
    columns = {metric.covariate for metric in plan.metrics if metric.covariate not in (None, PRE)}
    covariates = sorted(name for name in columns if name)
    users = reader.users(covariates) if settings.segments or covariates else None
    horizon, ends = reader.horizon(log)
    notes = [*reader.meeting(assigned, users, log)]
    extra = [plan.cluster] if plan.cluster else []
    spans = Spans.of(
        _described(assigned.good, users, plan),
        horizon=microseconds(horizon),
        panel=panel,
        segments=[*settings.segments, *extra],
        covariates=covariates,
        variants=list(plan.variants),
        time_zone=settings.time_zone,
        max_bad_share=settings.max_bad_share,
    )
    try:
        _refuse_late(spans, horizon)
        tables: dict[str, Any] = {name: checked.good for name, checked in log.items()}
        at = microseconds(horizon)
        units = outcomes(spans, plan.metrics, horizon=at, exposure=settings.exposure, **tables)
        by_age = _ages(spans, settings, plan, assigned, horizon, tables)
    except BaseException:
        spans.release()  # a later run in this session would read what is kept of the old files
        raise
    notes += [f"What happened until {horizon:%Y-%m-%d %H:%M} UTC counts.", *ends]
    if spans.in_two:
        notes.append(in_two_variants(spans.in_two))
    notes += _unknown(horizon, latest_instant(log.values()))
    if spans.after_horizon:
        notes.append(f"{spans.after_horizon:,} assignments begin after the end of the log and are left out.")
    checked = (assigned, *([users] if users else []), *log.values())
    return Measured(units, spans, checked, horizon, by_age, tuple(notes))


def in_two_variants(units: int) -> str:
    """What is said of units that nobody knows the variant of."""
    one = units == 1
    return (
        f"{units:,} {'unit was' if one else 'units were'} in two variants and {'is' if one else 'are'} left "
        "out: nobody knows what they saw."
    )


def exposed(events: Checked, settings: MeasureSettings, plan: ExperimentPlan) -> Checked:
    """Assignments from exposures: a unit is assigned by its first event of --exposure-action, to the variant
    that this says. Raises DataError where there is no such event.
    """
    action = settings.exposure_action or ""
    of_action = column("action") == F.lit(fold(action) if settings.fold_actions else action)
    rows = events.good.where(of_action & column(VARIANT).isNotNull())
    if EXPERIMENT in events.good.columns:
        rows = rows.where(column(EXPERIMENT) == F.lit(plan.experiment))
    if settings.variants:
        rows = rows.where(stripped(column(VARIANT)).isin(list(settings.variants)))
    assignments = rows.select(
        column("user_id").alias("unit_id"),
        stripped(column(VARIANT)).alias("variant"),
        column("occurred_at").alias("assigned_at"),
    )
    fields = (Field("unit_id", "id"), Field("variant", "text"), Field("assigned_at", "instant"))
    found = made_of(events.source, assignments, Contract("assignments", fields))
    if not found.profile.rows:
        of = f" of experiment {plan.experiment!r}" if EXPERIMENT in events.good.columns else ""
        raise DataError(
            f"some event must be an exposure{of}, with a variant in {settings.variant}",
            value=action,
            next_step="check --exposure-action and --variant, and --columns experiment=... for its name",
        )
    return found


def _folded(metric: Metric) -> Metric:
    return metric.model_copy(update={"actions": tuple(map(fold, metric.actions))})


@contextmanager
def released(spans: Spans) -> Iterator[None]:
    """Drop what Spark keeps of the assignments when the `with` is left."""
    try:
        yield
    finally:
        spans.release()


def _unknown(horizon: datetime, last: datetime | None) -> list[str]:
    """A note where the log ends more than a day before the horizon: a quiet day is no missing one."""
    if last is None or horizon - last <= timedelta(days=1):
        return []
    return [
        f"The log ends on {last:%Y-%m-%d %H:%M} UTC, before the horizon: what came after is not known, and "
        "counts as nothing done. Leave --horizon out to measure as far as the log goes."
    ]


def _refuse_late(spans: Spans, horizon: datetime) -> None:
    total = sum(spans.rows.values())
    if spans.after_horizon == total:
        raise DataError(
            "units must be assigned before the end of the log",
            value=f"all {total:,} after {horizon:%Y-%m-%d %H:%M} UTC",
            next_step="give a later log, or check that both are in the same zone",
        )


def _described(assigned: DataFrame, users: Checked | None, plan: ExperimentPlan) -> DataFrame:
    """Assignments with the users' segments and covariates, and the cluster under the plan's name."""
    if plan.cluster:
        assigned = assigned.withColumnRenamed("cluster", plan.cluster)
    if users is None:
        return assigned
    described = users.good.withColumnRenamed("user_id", "unit_id")
    taken = {name.lower() for name in assigned.columns} - {"unit_id"}
    kept = [name for name in described.columns if name.lower() not in taken]
    return assigned.join(described.select(*map(column, kept)), "unit_id", "left")


def _ages(
    spans: Spans,
    settings: MeasureSettings,
    plan: ExperimentPlan,
    assigned: Checked,
    horizon: datetime,
    tables: dict[str, Any],
) -> DataFrame | None:
    """Daily metrics by day since the assignment: over as many days as the first half of units can have."""
    metrics = [metric for metric in plan.metrics if metric.kind in DAILY]
    earliest = assigned.profile.earliest
    if spans.panel or plan.cluster or not metrics or earliest is None:
        return None
    days = min(settings.novelty_days, (horizon - earliest).days // 2)
    return ages(spans, metrics, days, horizon=microseconds(horizon), **tables) if days >= 2 else None


@dataclass(frozen=True)
class _Reader:
    sources: Sources
    settings: MeasureSettings

    def assignments(self, plan: ExperimentPlan, panel: Panel | None) -> Checked:
        address = self.settings.assignments
        assert address is not None
        how = reading(self.settings, "assignments")
        source = self.sources.open_table(address, "assignments", "assignments", how)
        if "experiment" in source.columns:
            source = self._of_experiment(source, plan.experiment)
        fields = [
            Field("unit_id", "id"),
            Field("variant", "text", trimmed=True),
            Field("assigned_at", "instant", future=True),
            *([Field(panel, "number")] if panel else []),
            *([Field("cluster", "id")] if plan.cluster else []),
            Field("sequence", "text", nullable=True, optional=True),
            Field("washout_to", "instant", nullable=True, optional=True, future=True),
            Field("valid_to", "instant", nullable=True, optional=True, future=True),
        ]
        checked = self._checked(source, Contract("assignments", tuple(fields)))
        if not self.settings.variants:
            return checked
        kept = checked.good.where(column("variant").isin(list(self.settings.variants)))
        return replace(checked, good=kept)

    def _of_experiment(self, source: Input, experiment: str) -> Input:
        rows = source.frame.where(column("experiment") == experiment)
        if rows.isEmpty():
            found = [row[0] for row in source.frame.select("experiment").distinct().limit(5).collect()]
            raise DataError(
                f"assignments must have rows of the plan's experiment, {experiment!r}",
                value=found,
                next_step="check --assignments, or the plan's experiment",
            )
        return replace(source, frame=rows)

    def users(self, covariates: Sequence[str]) -> Checked:
        assert self.settings.users is not None  # checked with the plan
        fields = {"user_id": Field("user_id", "id")}
        fields |= {name: Field(name, "text", nullable=True) for name in self.settings.segments}
        fields |= {name: Field(name, "number", nullable=True) for name in covariates}
        contract = Contract("users", tuple(fields.values()), unique="user_id")
        return self._checked(self._opened("users", self.settings.users), contract)

    def log(self, plan: ExperimentPlan) -> dict[str, Checked]:
        """Events, impressions and reactions, those that are given."""
        values = {metric.value for metric in plan.metrics if metric.kind == "sum" and metric.value}
        contracts = {
            "events": (
                Field("user_id", "id"),
                Field("action", "text"),
                Field("occurred_at", "instant"),
                Field("category", "text", nullable=True, optional=True),
                *([EVENT_ID] if has_event_id(self.settings) else []),
                *(
                    (
                        Field(VARIANT, "text", nullable=True),
                        Field(EXPERIMENT, "text", nullable=True, optional=True),
                    )
                    if self.settings.exposure_action
                    else ()
                ),
                *(Field(name, "number", nullable=True) for name in sorted(values)),
            ),
            "impressions": (
                Field("impression_id", "id"),
                Field("user_id", "id"),
                Field("category", "text", nullable=True),
                Field("shown_at", "instant"),
                Field("exposes", "truth", nullable=True, optional=True),
            ),
            "reactions": (
                Field("impression_id", "id"),
                Field("kind", "text", choices=REACTIONS),
                Field("reacted_at", "instant"),
            ),
        }
        found = {}
        for name, fields in contracts.items():
            address = getattr(self.settings, name)
            if address is not None:
                found[name] = self._once(self._checked(self._opened(name, address), Contract(name, fields)))
        return found

    def _once(self, checked: Checked) -> Checked:
        """What was delivered twice, once; actions as they are to be compared."""
        limit = self.settings.max_bad_share
        if checked.source.name == "impressions":
            return once(checked, "impression_id", ["user_id"], max_bad_share=limit)
        if checked.source.name != "events":
            return checked
        checked = folded(checked, self.settings.fold_actions)
        return once(checked, "event_id", ["user_id", "action"], max_bad_share=limit)

    def horizon(self, log: dict[str, Checked]) -> tuple[datetime, list[str]]:
        """Up to when things count, and what lies beyond."""
        if self.settings.horizon is not None:
            return self.settings.horizon, []
        end = complete_until(log.values())
        if end is None:
            raise DataError(
                "the log must have rows", value=list(log), next_step="check the addresses, or say --horizon"
            )
        return end.at, [end.note] if end.note else []

    def meeting(self, assigned: Checked, users: Checked | None, log: dict[str, Checked]) -> Iterator[str]:
        """Notes where few ids meet; see `meet`."""
        units = Side(assigned, "unit_id")
        others = [Side(users, "user_id")] if users else []
        others += [Side(each, "user_id") for name, each in log.items() if name != "reactions"]
        for other in others:
            if self.settings.assignments is not None and (note := meet(units, other)):
                yield note
        if {"impressions", "reactions"} <= log.keys():
            shown, reacted = (Side(log[name], "impression_id") for name in ("impressions", "reactions"))
            if note := meet(shown, reacted):
                yield note

    def _opened(self, name: str, address: str) -> Input:
        how = reading(self.settings, name)
        if name == "events" and self.settings.exposure_action is not None:
            how = replace(how, columns={**how.columns, VARIANT: (self.settings.variant,)})
        return self.sources.open(address, name, how)

    def _checked(self, source: Input, contract: Contract) -> Checked:
        checked = check(source, contract, now=datetime.now(UTC))
        self.sources.quarantine(checked, max_bad_share=self.settings.max_bad_share)
        return checked


def refuse_unmet(units: Outcomes, exposure: Sequence[str]) -> None:
    """DataError where no unit did any of the actions of --exposure: a name may be misspelt."""
    if exposure and units.triggered and units.frame.where(F.col("met")).isEmpty():
        raise DataError(
            "some unit must have been exposed to the change, by one of the actions of --exposure",
            value=list(exposure),
            next_step="check the names of the actions, and that they are logged in every variant",
        )
