"""Settings of `firstday measure`."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from firstday.errors import SettingsError
from firstday.settings.experiment import ExperimentPlan
from firstday.settings.inputs import LogSettings
from firstday.settings.kinds import (
    ROUNDING,
    Instant,
    Location,
    Names,
    OpenShare,
    TimeZone,
    listed,
)
from firstday.settings.metrics import PRE, Metric, RetentionKind, checked_cap

Name = Annotated[str, Field(min_length=1)]
MOST_LOG_DAYS = 60


def _pairs(value: Any) -> Any:
    """`a=0.5,b=0.5` and a mapping are pairs of a variant and its share."""
    if isinstance(value, dict):
        return list(value.items())
    pairs = []
    for item in listed(value):
        if not isinstance(item, str):
            pairs.append(item)
            continue
        name, equals, share = item.rpartition("=")
        if not equals or not name:
            raise ValueError("must be variants with their shares, as in a=0.5,b=0.5")
        pairs.append((name, share))
    return pairs


def _shares(pairs: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    if not pairs:
        return pairs
    if len(dict(pairs)) < len(pairs):
        raise ValueError("each variant may stand there once")
    if any(share <= 0 for _, share in pairs):
        raise ValueError("each share must be above 0")
    if abs(sum(share for _, share in pairs) - 1) > ROUNDING:
        raise ValueError(f"shares must add up to 1, not {sum(share for _, share in pairs):g}")
    return pairs


VariantShares = Annotated[tuple[tuple[str, float], ...], BeforeValidator(_pairs), AfterValidator(_shares)]


class MeasureSettings(LogSettings):
    """Settings of `firstday measure`."""

    out: Location = Field(description="Where results go: a folder or catalog.schema.")
    units: Location | None = Field(
        None, description="One row a unit, with its variant and its metrics as columns."
    )
    unit: Name = Field("user_id", description="Column of --units with the unit's id.")
    variant: Name = Field(
        "variant", description="Column with the unit's variant, of --units or of exposures among --events."
    )
    control: Name | None = Field(None, description="The variant that the others are compared with.")
    variants: Names = Field(
        (),
        description="The variants to compare, the control among them; other units are left aside "
        "[default: the plan's, else all that are there].",
    )
    metric: Names = Field((), description="Columns of --units to compare: numbers or truth values.")
    cap: Annotated[str | float, AfterValidator(checked_cap)] | None = Field(
        None,
        description="With --units: what one unit may add to a metric at most, a value or a quantile of all "
        "arms' units together, as 99.9%.",
    )
    covariate: Name | None = Field(
        None,
        description="Numeric column of --units, known before the assignment; it lowers the variance.",
    )
    date: Name | None = Field(None, description="Column of --units with the instant of the assignment.")
    triggered: Name | None = Field(
        None, description="Column of --units that is true where the unit was exposed to the change."
    )
    segments: Names = Field((), description="Columns to segment by; with --assignments, those of --users.")
    shares: VariantShares = Field(
        (), description="Planned share of each variant [default: the plan's, else equal ones are assumed]."
    )
    plan: ExperimentPlan | Location | None = Field(
        None, description="The experiment's plan: a YAML file, with its metrics."
    )
    assignments: Location | None = Field(
        None, description="What `firstday assign` wrote, or a table with unit_id, variant, assigned_at."
    )
    exposure_action: Name | None = Field(
        None,
        description="Instead of --assignments: the action of --events by which a unit is assigned, the first "
        "time; --variant names its column or property with the variant, --columns experiment=... that with "
        "the experiment's name.",
    )
    users: Location | None = Field(
        None, description="Users with segments and covariates, by the column user_id."
    )
    events: Location | None = Field(None, description="The log: user_id, action, occurred_at.")
    impressions: Location | None = Field(
        None, description="What was shown: impression_id, user_id, category, shown_at."
    )
    reactions: Location | None = Field(
        None, description="Reactions to impressions: impression_id, kind, reacted_at."
    )
    retention_kind: RetentionKind | None = Field(
        None,
        description="What a return is, for retention metrics of the plan that do not say: on day n, within "
        "days 1 to n, or on_or_after day n [default: on].",
    )
    exposure: Names = Field(
        (),
        description="Actions by which a unit is exposed to the change: those exposed are compared, too "
        "[default: any impression, where --impressions are given].",
    )
    horizon: Instant | None = Field(
        None, description="What happens later does not count [default: the latest instant of the log]."
    )
    peeking: bool = Field(
        False, description="Decide by intervals that stay valid when somebody looks every day."
    )
    planned_units: int | None = Field(
        None,
        ge=1,
        description="Units of the smaller arm at which daily looks decide best, set before the start "
        "[default: the plan's, else 10000].",
    )
    smallest_effect: float | None = Field(
        None,
        gt=0,
        description="The smallest change that matters, in the metrics' unit: says how many days it takes.",
    )
    novelty_days: int = Field(
        14,
        ge=0,
        le=MOST_LOG_DAYS,
        description="Days since the assignment over which an effect is followed; 0: none.",
    )
    ratio_limit: OpenShare = Field(
        0.001, description="Below this p-value of the sample-ratio check verdicts are withheld."
    )
    alpha: OpenShare = Field(0.05, description="Chance of a false alarm; intervals hold at 1 - alpha.")
    power: OpenShare = Field(
        0.8, description="Power for which the smallest detectable effect and the days needed are given."
    )
    time_zone: TimeZone = Field("UTC", description="Zone of the dates of assignment and of calendar days.")
    name: Name | None = Field(
        None, description="Name of the experiment in the results [default: the plan's, else 'experiment']."
    )
    seed: int = Field(7, ge=0, lt=2**32, description="Seed of all random numbers.")
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(given is not None for given in (self.units, self.assignments, self.exposure_action)) != 1:
            raise ValueError(
                "give --units, one row a unit, or --assignments with a log (or --exposure-action, where the "
                "log has the assignments)"
            )
        if self.units is not None:
            self._check_units()
        else:
            self._check_log()
        if self.power <= self.alpha:
            raise ValueError(f"power must be above alpha ({self.alpha:g}), got {self.power:g}")
        return self

    @model_validator(mode="after")
    def _variants_fit(self) -> Self:
        if not self.variants:
            return self
        if len(self.variants) < 2:
            raise ValueError("variants must be two or more: the control and what is compared with it")
        if self.control is not None and self.control not in self.variants:
            raise ValueError(f"variants must have the control, {self.control!r}, among them")
        if self.shares and set(dict(self.shares)) != set(self.variants):
            raise ValueError("shares and variants must name the same variants")
        return self

    def _check_units(self) -> None:
        log = ("users", "events", "impressions", "reactions", "exposure", "horizon", "retention_kind")
        if given := [name for name in log if getattr(self, name)]:
            raise ValueError(f"--{given[0]} goes with --assignments; with --units all are columns of it")
        if self.plan is None and self.control is None:
            raise ValueError("control must be given with --units, or a plan that names it")
        if self.plan is None and not self.metric:
            raise ValueError("metric must be given with --units, or a plan with metrics")
        self.metrics()

    def _check_log(self) -> None:
        if self.plan is None:
            raise ValueError("--assignments need --plan, which says what is measured")
        if self.exposure_action is not None and self.events is None:
            raise ValueError("--exposure-action is an action of --events: give them")
        columns = ("metric", "covariate", "date", "triggered", "cap")
        if given := [name for name in columns if getattr(self, name)]:
            raise ValueError(
                f"--{given[0]} names a column of --units; with --assignments the plan has the metrics"
            )
        if self.events is None and self.impressions is None:
            raise ValueError("--assignments need a log: --events, --impressions or both")
        if self.reactions is not None and self.impressions is None:
            raise ValueError("--reactions need --impressions: they are reactions to them")
        if self.exposure and self.events is None:
            raise ValueError("--exposure names actions of --events: give them")

    def planned(self, plan: ExperimentPlan) -> ExperimentPlan:
        """The plan with the variants and the kind of retention that these settings ask for."""
        if self.variants:
            plan = plan.of(self.variants)
        if self.retention_kind is None:
            return plan
        kind = {"retention_kind": self.retention_kind}
        metrics = tuple(
            each.model_copy(update=kind) if each.kind == "retention" and not each.retention_kind else each
            for each in plan.metrics
        )
        return plan.model_copy(update={"metrics": metrics})

    def check_plan(self, plan: ExperimentPlan) -> None:
        """Raise SettingsError where the settings and the plan do not fit each other."""
        if self.control not in (None, plan.control):
            raise SettingsError(
                f"--control must be the plan's, {plan.control!r}, or be left out", value=self.control
            )
        if self.variants:
            plan.of(self.variants)
        metrics = self.metrics() or plan.metrics
        if not metrics:
            raise SettingsError(
                "the plan says what is measured",
                value="no metrics",
                next_step="add metrics to it; conf/experiment.yml and docs/measure.md show each kind",
            )
        if self.units is None:
            columns = [
                *self.segments,
                *(each.covariate for each in metrics if each.covariate not in (None, PRE)),
            ]
            if columns and self.users is None:
                raise SettingsError(
                    "segments and covariates are columns of the users",
                    value=columns,
                    next_step="give --users",
                )
            return
        if plan.ramp or plan.crossover or plan.cluster:
            raise SettingsError(
                "one row a unit tells of plain experiments; ramps, crossovers and clusters need the log",
                value=self.plan,
                next_step="give --assignments with --events or --impressions",
            )
        if others := [f"{each.name} of kind {each.kind}" for each in metrics if each.kind != "column"]:
            raise SettingsError(
                "with one row a unit each metric is a column of the units",
                value=others[0],
                next_step="give --events or --impressions with assignments, or a metric of kind column",
            )
        if plan.looks is not None and self.date is None:
            raise SettingsError(
                "planned looks need the dates of assignment",
                value="none",
                next_step="name the column with --date, or leave looks out of the plan",
            )

    def metrics(self) -> tuple[Metric, ...]:
        """The columns named by --metric, as metrics."""
        return tuple(
            Metric(
                name=name,
                kind="column",
                value=name,
                covariate=self.covariate,
                cap=self.cap,
                smallest_effect=self.smallest_effect,
            )
            for name in self.metric
        )
