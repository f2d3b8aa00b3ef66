"""Settings of the jobs: frozen, checked at load. A YAML file < `--set key=value` < flags.

The description of a field is also the help text of its flag: it is written once, here.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from firstday.errors import SettingsError

# Columns of the input and output tables; a segment column of the same name could not be told from them.
RESERVED_COLUMNS = frozenset(
    {
        *("user_id", "anchored_at", "signed_up_at", "occurred_at", "event_id"),
        *("anchor_date", "action", "count", "total_level", "other_level", "users"),
        *("segment", "threshold", "day", "experienced", "retained", "both", "run_id"),
        *("early", "stratum", "actions", "sum_x", "sum_xr", "sum_xx"),
    }
)
RESERVED_PATTERN = re.compile(r"(matured|retained|other_level|level_change\w*)_d\d+")

DURATION = re.compile(r"(\d+)\s*([smhd])")
DURATION_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    match = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a whole number and a unit, such as 24h, 90m or 7d")
    return timedelta(seconds=int(match[1]) * DURATION_UNITS[match[2]])


def duration_text(value: timedelta) -> str:
    """The shortest form that is read back as a duration: 24 h is written 24h, as people say it."""
    seconds = int(value.total_seconds())
    units = ("h", "m", "s") if seconds <= DURATION_UNITS["d"] else ("d", "h", "m", "s")
    unit = next(unit for unit in units if seconds % DURATION_UNITS[unit] == 0)
    return f"{seconds // DURATION_UNITS[unit]}{unit}"


def _listed(value: Any) -> Any:
    """`a,b` and a single value are lists too, so that flags and --set can give them."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value if isinstance(value, list | tuple) else [value]


def _sorted_unique(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


def _at_least_one(values: tuple[int, ...]) -> tuple[int, ...]:
    if not values:
        raise ValueError("at least one must be given")
    return values


def _distinct_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if "" in names:
        raise ValueError("names must not be empty")
    if len(set(names)) < len(names):
        raise ValueError("each name may stand there once")
    return names


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (
        ZoneInfoNotFoundError,
        ValueError,
        OSError,
    ) as error:  # OSError: a folder of zones, such as America
        raise ValueError("must be an IANA time zone, such as UTC or Europe/Berlin") from error
    return name


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    Field(gt=timedelta(0)),
    PlainSerializer(duration_text, return_type=str, when_used="json"),
]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_distinct_names)]
Integers = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_listed), AfterValidator(_sorted_unique)
]
TimeZone = Annotated[str, AfterValidator(_zone)]
Location = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]


class Settings(BaseModel):
    """What the settings of all jobs have in common: frozen, no unknown keys, numbers accepted as names."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


class DiscoverSettings(Settings):
    """Settings of `firstday discover`."""

    users: Location = Field(description="Users: a path (Delta, Parquet, CSV, JSON Lines) or a table name.")
    events: Location = Field(description="The event log: a path or a table name.")
    out: Location = Field(description="Where results go: a folder or catalog.schema.")
    segments: Names = Field((), description="Columns of users to segment by, e.g. country,gender,channel.")
    days: Annotated[Integers, AfterValidator(_at_least_one)] = Field(
        (1, 7), description="Days n of Dn retention; the choice is made on the first."
    )
    window: Duration = Field(
        timedelta(hours=24), description="Time after the anchor in which actions count, e.g. 24h, 90m, 7d."
    )
    retention: Literal["rolling", "calendar"] = Field(
        "rolling", description="Day n as n times 24 h after the anchor, or as a calendar day in --time-zone."
    )
    time_zone: TimeZone = Field("UTC", description="IANA zone of calendar days and of anchor dates.")
    overlap: Literal["cut", "refuse"] = Field(
        "cut", description="Where the window reaches into the day of the label: cut that part off, or refuse."
    )
    input_time_zone: TimeZone | None = Field(
        None, description="Zone of input timestamps that carry none; without it such input is refused."
    )
    horizon: datetime | None = Field(
        None,
        description="Take the log as complete up to here [default: the latest event]; "
        "without an offset it is in --input-time-zone, else in UTC.",
    )
    return_actions: Names = Field((), description="Actions that count as a return [default: any].")
    thresholds: Integers = Field((), description="Thresholds to try [default: all that occur].")
    count_cap: int = Field(
        10_000, ge=1, le=1_000_000, description="Counts of one action by one user above this are held at it."
    )
    min_users: int = Field(30, ge=1, description="Leave out segments with fewer users.")
    leading_actions: int = Field(
        40,
        ge=1,
        le=200,
        description="Most frequent actions of a date that are adjusted for one another.",
    )
    since: date | None = Field(
        None, description="Recompute anchor dates from this one on, keep earlier ones."
    )
    daily: bool = Field(
        False,
        description="Recompute only anchor dates that are new or were open in the latest run.",
    )
    quick: bool = Field(False, description="Skip the bootstrap and the figures.")
    bootstrap: int = Field(200, ge=0, le=10_000, description="Resamples of the anchor dates.")
    seed: int = Field(7, ge=0, lt=2**32, description="Seed of all random numbers.")
    max_bad_share: Share = Field(0.05, description="Stop when a larger share of an input's rows is bad.")
    false_discovery_rate: OpenShare = Field(0.05, description="Rate held over all candidates.")
    choose_share: OpenShare = Field(
        0.8, description="Share of anchor dates, the earlier ones, to choose on; the rest is reported on."
    )
    min_dates: int = Field(14, ge=3, description="Anchor dates needed before trends are compared.")
    event_date_column: str | None = Field(
        None, min_length=1, description="Partition column of the log that holds the UTC date of occurred_at."
    )
    test_alpha: OpenShare = Field(0.05, description="Two-sided error rate of the planned test.")
    test_power: OpenShare = Field(0.8, description="Power of the planned test.")
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in."
    )

    @field_validator("segments")
    @classmethod
    def _no_reserved_segment(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        lowered = [name.lower() for name in names]  # Spark does not tell columns apart by case
        clashes = [
            name
            for name, low in zip(names, lowered, strict=True)
            if low in RESERVED_COLUMNS or RESERVED_PATTERN.fullmatch(low) or lowered.count(low) > 1
        ]
        if clashes:
            raise ValueError(f"{clashes} cannot be segments: columns of the result tables, or one name twice")
        return names

    @field_validator("horizon")
    @classmethod
    def _horizon_with_zone(cls, horizon: datetime | None, info: ValidationInfo) -> datetime | None:
        if horizon is None or horizon.tzinfo is not None:
            return horizon
        return horizon.replace(tzinfo=ZoneInfo(info.data.get("input_time_zone") or "UTC"))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.thresholds and self.thresholds[-1] > self.count_cap:
            raise ValueError(
                "thresholds above count_cap cannot be told apart: raise count_cap or leave them out"
            )
        if self.daily and self.since is not None:
            raise ValueError("daily finds its dates itself: give daily or since, not both")
        return self


class SimulateSettings(Settings):
    """Settings of `firstday simulate`."""

    out: Location = Field(description="Folder or catalog.schema for the tables users, events and truth.")
    users: int = Field(30_000, ge=1, description="Number of users.")
    dates: int = Field(42, ge=1, description="Number of anchor dates.")
    effect: float = Field(0.8, ge=0, description="Effect of the planted moment on the logit of retention.")
    common_shocks: bool = Field(True, description="Let some dates move everybody's engagement.")
    seed: int = Field(1_160, ge=0, lt=2**32, description="Seed of the world.")


Model = TypeVar("Model", bound=Settings)


def load(
    model: type[Model],
    file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    assignments: Iterable[str] = (),
) -> Model:
    """The settings in `file` (YAML), overridden by `assignments` ("key=value"), then by `overrides` (flags).

    Raises SettingsError that names every key at fault, its value and what is allowed.
    """
    values = _read(Path(file)) if file is not None else {}
    for assignment in assignments:
        _assign(values, assignment)
    values.update(overrides or {})
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explained(model, error.errors()) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            "the settings file must be readable",
            value=str(file),
            next_step=f"check --config ({error.strerror})",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the settings file {str(file)!r} must be YAML", next_step=" ".join(str(error).split())
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError(
            f"the settings file {str(file)!r} must hold one setting a line, as 'key: value'",
            next_step="start from the commented files in conf/",
        )
    return content


def _assign(values: dict[str, Any], assignment: str) -> None:
    """Put "a.b=value" into `values`, the value read as YAML."""
    key, equals, text = assignment.partition("=")
    *parents, last = (part.strip() for part in key.split("."))
    if not equals or not last:
        raise SettingsError(
            "--set takes key=value", value=assignment, next_step="write e.g. --set min_users=50"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"the value of --set {key} must be YAML",
            value=text,
            next_step="quote it inside, as in key='\"a: b\"'",
        ) from error
    for parent in parents:
        nested = values.get(parent)
        values[parent] = values = dict(nested) if isinstance(nested, dict) else {}
    values[last] = value


def _explained(model: type[Settings], problems: list[ErrorDetails]) -> SettingsError:
    rules = []
    for problem in problems:
        key = str(problem["loc"][0]) if problem["loc"] else ""  # further parts are places in a list
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, model.model_fields, n=1)
            rules.append(f"there is no setting {key!r}" + (f", did you mean {near[0]!r}?" if near else ""))
        elif problem["type"] == "missing":
            rules.append(f"{key} must be given")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            rules.append(f"{key}: {message}, got {problem['input']!r}" if key else message)
    command = model.__name__.removesuffix("Settings").lower()
    return SettingsError(
        "settings: " + "; ".join(rules), next_step=f"see firstday {command} --help for all settings"
    )
