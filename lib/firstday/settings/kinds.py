"""Kinds of values that settings hold: durations, lists, zones, shares; and what all settings share."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

ROUNDING = 1e-6  # by which shares, written as decimals, may miss their sum
DURATION = re.compile(r"(\d+)\s*([smhd])")
SYNAPSEML = (
    "Maven coordinates of SynapseML's LightGBM, fetched as Spark starts in local mode; elsewhere give "
    "spark-submit --packages."
)
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


def listed(value: Any) -> Any:
    """`a,b` and a single value are lists too, so that flags and --set can give them."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value if isinstance(value, list | tuple) else [value]


def _sorted_unique(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


def at_least_one(values: tuple[int, ...]) -> tuple[int, ...]:
    """The values; ValueError where there are none."""
    if not values:
        raise ValueError("at least one must be given")
    return values


def _distinct_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if "" in names:
        raise ValueError("names must not be empty")
    if len(set(names)) < len(names):
        raise ValueError("each name may stand there once")
    return names


def _with_offset(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("must have a time and an offset, as in 2024-05-31T00:00:00Z")
    return instant.astimezone(UTC)


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
Names = Annotated[tuple[str, ...], BeforeValidator(listed), AfterValidator(_distinct_names)]
Instant = Annotated[datetime, AfterValidator(_with_offset)]
Integers = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(listed), AfterValidator(_sorted_unique)
]
TimeZone = Annotated[str, AfterValidator(_zone)]
Location = Annotated[str, Field(min_length=1)]
Coordinates = Annotated[str, Field(pattern=r"^[^\s:,]+:[^\s:,]+:[^\s:,]+$")]  # group:artifact:version
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]


class Settings(BaseModel):
    """What the settings of all jobs have in common: frozen, no unknown keys, numbers accepted as names."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)
