"""The plan of an experiment: who takes part, who gets what, and when. Written before anybody is assigned."""

import difflib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from firstday.errors import SettingsError
from firstday.settings.kinds import (
    ROUNDING,
    Duration,
    Instant,
    Names,
    OpenShare,
    Settings,
    Share,
    duration_text,
)
from firstday.settings.load import as_written, shown, yaml_fault
from firstday.settings.metrics import Metric

MOST_SPANS = 200  # stages or periods: each unit has a row in each
Name = Annotated[str, Field(min_length=1)]


class Layer(Settings):
    """Experiments of one layer share nobody: each takes a range of the layer's hash, its end left out."""

    name: Name
    range: tuple[Share, Share]

    @field_validator("range")
    @classmethod
    def _rising(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] >= ends[1]:
            raise ValueError("must go from a smaller share to a larger one, as in [0, 0.5]")
        return ends


class Holdout(Settings):
    """The share of all units that is in no experiment; the plans of all experiments have the same."""

    share: OpenShare
    salt: Name = "holdout"


class Stage(Settings):
    """From starts_at on this share of the units is treated, until the next stage."""

    share: OpenShare
    starts_at: Instant


class Crossover(Settings):
    """Each unit gets both variants in turn, from the plan's starts_at on, for a period each.

    by: odd_even (of a whole number as unit id) or hash. washout: time at the start of each period in which
    the period before still has its effect; what happens in it is not counted. adjust_carry_over: the model
    has a term for what a period leaves to the next one.
    """

    by: Literal["odd_even", "hash"] = "hash"
    period: Duration
    periods: int = Field(2, ge=2, le=MOST_SPANS)
    washout: Duration | None = None
    adjust_carry_over: bool = False

    @model_validator(mode="after")
    def _enough_periods(self) -> Self:
        if self.adjust_carry_over and self.periods < 3:
            raise ValueError(
                "adjust_carry_over needs three periods or more: with two it is a diagnostic only"
            )
        return self

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        if self.washout is not None and self.washout >= self.period:
            raise ValueError(
                f"washout ({duration_text(self.washout)}) must be shorter than the period "
                f"({duration_text(self.period)}), or nothing is counted"
            )
        return self


class Looks(Settings):
    """The dates on which the experiment may be stopped (group-sequential): each with the units that were
    assigned until the end of that date, and whose outcome is known.
    """

    dates: tuple[date, ...] = Field(min_length=1, max_length=20)
    spending: Literal["obrien_fleming", "pocock"] = "obrien_fleming"

    @field_validator("dates")
    @classmethod
    def _rise(cls, dates: tuple[date, ...]) -> tuple[date, ...]:
        if any(after <= before for before, after in pairwise(dates)):
            raise ValueError("the dates of looks must rise")
        return dates


class Encouragement(Settings):
    """Names of two metrics: the treatment pushes towards `moment`, and reaching it may move `outcome`."""

    moment: Name
    outcome: Name


class ExperimentPlan(Settings):
    """The plan of an experiment, read from a YAML file by `read_plan`; conf/experiment.yml explains each key.

    The order of `variants` is part of the plan: each takes its share of the hash in that order.
    """

    experiment: Name
    salt: str = Field("", description="Of the hash; the experiment's name where it is not given.")
    unit: Name = "user_id"
    cluster: Name | None = None
    variants: dict[Name, float]
    control: Name = "control"
    strata: Names = ()
    layer: Layer | None = None
    holdout: Holdout | None = None
    ramp: tuple[Stage, ...] = Field((), max_length=MOST_SPANS)
    crossover: Crossover | None = None
    shared_pool: bool = False
    starts_at: Instant
    ends_at: Instant | None = None
    metrics: tuple[Metric, ...] = ()
    looked_at_daily: bool = False
    looks: Looks | None = None
    planned_units: int | None = Field(None, ge=1, description="Of the smaller arm, when all have come in.")
    encouragement: Encouragement | None = None

    @property
    def treatments(self) -> tuple[str, ...]:
        return tuple(name for name in self.variants if name != self.control)

    def of(self, variants: Sequence[str]) -> Self:
        """The plan with these variants only, in its own order; shares as they are among them.

        Raises SettingsError for a variant that is not planned, without the control, and for a ramp or
        crossover, which need both variants.
        """
        unknown = [name for name in variants if name not in self.variants]
        if unknown or self.control not in variants:
            raise SettingsError(
                f"--variants must be variants of the plan ({', '.join(self.variants)}), with its control",
                value=unknown or variants,
                next_step=f"name {self.control!r} and what is compared with it",
            )
        kept = {name: share for name, share in self.variants.items() if name in variants}
        if (self.ramp or self.crossover) and len(kept) < len(self.variants):
            raise SettingsError("a ramp or a crossover has all its variants", value=variants)
        whole = sum(kept.values())
        return self.model_copy(update={"variants": {name: share / whole for name, share in kept.items()}})

    @property
    def end(self) -> datetime | None:
        """When the last unit's variant ends; None for an experiment without an end."""
        if self.crossover is None:
            return self.ends_at
        return self.starts_at + self.crossover.periods * self.crossover.period

    @field_validator("variants")
    @classmethod
    def _shares(cls, variants: dict[str, float]) -> dict[str, float]:
        if any(share <= 0 for share in variants.values()):
            raise ValueError("each share must be above 0")
        if len(variants) < 2:
            raise ValueError("there must be two variants or more: a control and what is compared with it")
        if abs(sum(variants.values()) - 1) > ROUNDING:
            raise ValueError(f"shares must add up to 1, not {sum(variants.values()):g}")
        return variants

    @model_validator(mode="before")
    @classmethod
    def _salt_of_its_own(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("salt"):
            return {**values, "salt": str(values.get("experiment", ""))}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.control not in self.variants:
            raise ValueError(
                f"control must be one of the variants ({', '.join(self.variants)}), got {self.control!r}"
            )
        if self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValueError(
                f"ends_at ({_minute(self.ends_at)}) must be after starts_at ({_minute(self.starts_at)}): "
                "are the two swapped?"
            )
        self._check_hashes()
        self._check_columns()
        self._check_metrics()
        if self.ramp:
            self._check_ramp()
        if self.crossover is not None:
            self._check_crossover(self.crossover)
        return self

    def _check_hashes(self) -> None:
        salts = [self.salt]
        salts += [self.layer.name] if self.layer else []
        salts += [self.holdout.salt] if self.holdout else []
        if len(set(salts)) < len(salts):
            raise ValueError(
                "salt (or the experiment's name), the layer's name and the holdout's salt must differ, or "
                f"one hash decides on both and a variant gets all or nobody; got {', '.join(salts)}"
            )

    def _check_columns(self) -> None:
        columns = [self.unit, *([self.cluster] if self.cluster else []), *self.strata]
        lowered = [name.lower() for name in columns]  # Spark does not tell columns apart by case
        if len(set(lowered)) < len(lowered):
            raise ValueError(f"unit, cluster and strata must be different columns, got {', '.join(columns)}")
        if self.cluster and self.strata:
            raise ValueError(
                "strata assign unit by unit, and a cluster goes as a whole: give cluster or strata, not both"
            )

    def _check_metrics(self) -> None:
        kinds = {metric.name: metric.kind for metric in self.metrics}
        if len(kinds) < len(self.metrics):
            raise ValueError("each metric must have a name of its own")
        if self.looks is not None and self.planned_units is None:
            raise ValueError("looks need planned_units: how far each look is on the way to the end")
        if self.looks is not None and self.looked_at_daily:
            raise ValueError("give looks or looked_at_daily: who may look every day needs no dates")
        if self.encouragement is None:
            return
        for name in (self.encouragement.moment, self.encouragement.outcome):
            if name not in kinds:
                raise ValueError(f"encouragement names metrics of the plan, got {name!r}")
        if self.encouragement.moment == self.encouragement.outcome:
            raise ValueError("the moment and the outcome of an encouragement must be two metrics")

    def _check_ramp(self) -> None:
        if self.crossover is not None:
            raise ValueError("give ramp or crossover: in a ramp the treated stay treated")
        if len(self.variants) != 2:
            raise ValueError(
                f"a ramp has two variants, control and treatment; got {', '.join(self.variants)}. "
                "Choose the treatment by an experiment without ramp first"
            )
        for before, after in zip(self.ramp, self.ramp[1:], strict=False):
            if after.share <= before.share:
                raise ValueError(
                    f"shares of a ramp must rise, or treated units would lose it; got {after.share:g} after "
                    f"{before.share:g}"
                )
            if after.starts_at <= before.starts_at:
                raise ValueError(
                    f"each stage of a ramp must start after the one before, got {_minute(after.starts_at)} "
                    f"after {_minute(before.starts_at)}"
                )
        first, last = self.ramp[0], self.ramp[-1]
        [treatment] = self.treatments
        if first.starts_at != self.starts_at:
            raise ValueError("the first stage of a ramp must start at the plan's starts_at")
        if self.ends_at is not None and self.ends_at <= last.starts_at:
            raise ValueError("ends_at must be after the start of the ramp's last stage")
        if abs(self.variants[treatment] - last.share) > ROUNDING:
            raise ValueError(
                f"the last stage of a ramp must have the share of {treatment!r} in variants "
                f"({self.variants[treatment]:g}), got {last.share:g}"
            )

    def _check_crossover(self, crossover: Crossover) -> None:
        if len(self.variants) != 2 or abs(self.variants[self.control] - 0.5) > ROUNDING:
            raise ValueError(
                "a crossover has two variants with a share of 0.5 each, which change places; "
                f"got {self.variants}"
            )
        end = self.starts_at + crossover.periods * crossover.period
        if self.ends_at is not None and self.ends_at != end:
            raise ValueError(f"a crossover ends after its periods ({_minute(end)}): leave out ends_at")
        if crossover.by == "odd_even" and (self.cluster or self.strata):
            raise ValueError("odd_even goes by the unit's own number: with cluster or strata, say by: hash")


def read_plan(file: "str | Path | ExperimentPlan") -> ExperimentPlan:
    """The plan in a YAML file; one that is there stays as it is.

    Raises SettingsError that names each key at fault and what is allowed.
    """
    if isinstance(file, ExperimentPlan):
        return file
    next_step = "see conf/experiment.yml, which explains each key, and docs/assign.md"
    try:
        text = Path(file).read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = as_written(text)
    except OSError as error:
        raise SettingsError(
            "the plan must be a readable file", value=str(file), next_step=f"check --plan ({error.strerror})"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"the plan {str(file)!r} must be YAML", next_step=yaml_fault(error)) from error
    if not isinstance(values, dict):
        raise SettingsError(f"the plan {str(file)!r} must have a key a line", next_step=next_step)
    repeated = _repeated(tree)
    if repeated:
        raise SettingsError(
            "a key may stand once in its place: of two only the last would be read",
            value=repeated,
            next_step="give each variant a name of its own, and each key once",
        )
    return plan_of(values, f"the plan {str(file)!r}")


def plan_of(values: Mapping[str, Any], what: str = "the plan") -> ExperimentPlan:
    """The plan with these keys. Raises SettingsError that names each key at fault and what is allowed."""
    try:
        return ExperimentPlan.model_validate(values)
    except ValidationError as error:
        rules = "; ".join(map(_explained, error.errors()))
        raise SettingsError(
            f"{what}: {rules}",
            next_step="see conf/experiment.yml, which explains each key, and docs/assign.md",
        ) from None


def _repeated(node: Any) -> list[str]:
    """Keys that stand in one mapping twice; YAML's reader would keep the last one in silence."""
    if isinstance(node, yaml.SequenceNode):
        return [key for item in node.value for key in _repeated(item)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    own = [key for at, key in enumerate(keys) if key in keys[:at]]
    return own + [key for _, value in node.value for key in _repeated(value)]


def _explained(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        *parents, last = place.split(".")
        keys = (Metric if parents[:1] == ["metrics"] else ExperimentPlan).model_fields
        near = difflib.get_close_matches(last, keys, n=1)
        return f"there is no key {place!r}" + (f", did you mean {near[0]!r}?" if near else "")
    if problem["type"] == "missing":
        return f"{place} must be given"
    message = problem["msg"].removeprefix("Value error, ")
    # Without a place the value is the whole plan, which would tell nobody anything.
    return f"{place}: {message}, got {shown(problem['input'])!r}" if place else message


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
