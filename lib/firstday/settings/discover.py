"""Settings of `firstday discover`."""

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from firstday.settings.inputs import LogSettings
from firstday.settings.kinds import (
    Duration,
    Integers,
    Location,
    Names,
    OpenShare,
    Share,
    TimeZone,
    at_least_one,
)
from firstday.settings.metrics import RetentionKind

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


class DiscoverSettings(LogSettings):
    """Settings of `firstday discover`."""

    events: Location = Field(
        description="The event log: a path (Delta, Parquet, CSV, JSON Lines) or a table name."
    )
    users: Location | None = Field(
        None,
        description="Users, with the instant their clock starts: a path or a table name [default: the users "
        "of the log, from their first event on].",
    )
    anchor_action: str | None = Field(
        None,
        min_length=1,
        description="Without --users: the action whose first time starts a user's clock; it is no candidate "
        "[default: the first event of any action, which is not counted].",
    )
    out: Location = Field(description="Where results go: a folder or catalog.schema.")
    segments: Names = Field(
        (),
        description="Columns of users to segment by, e.g. country,gender,channel; without --users columns of "
        "the log, of which a user's first value counts.",
    )
    days: Annotated[Integers, AfterValidator(at_least_one)] = Field(
        (1, 7), description="Days n of Dn retention; the choice is made on the first."
    )
    window: Duration = Field(
        timedelta(hours=24), description="Time after the anchor in which actions count, e.g. 24h, 90m, 7d."
    )
    retention: Literal["rolling", "calendar"] = Field(
        "rolling", description="Day n as n times 24 h after the anchor, or as a calendar day in --time-zone."
    )
    retention_kind: RetentionKind = Field(
        "on",
        description="What a return is: on day n, within days 1 to n, or on_or_after day n; always after the "
        "action window.",
    )
    time_zone: TimeZone = Field("UTC", description="IANA zone of calendar days and of anchor dates.")
    overlap: Literal["cut", "refuse"] = Field(
        "cut", description="Where the window reaches into the day of the label: cut that part off, or refuse."
    )
    horizon: datetime | None = Field(
        None,
        description="Take the log as complete up to here [default: its latest event, but for stray ones that "
        "a clock dates ahead]; "
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
    cause_share: OpenShare = Field(
        0.5, description="Share of apps like this one that have a cause to be found, before the log is seen."
    )
    passing_on: Share = Field(
        0.8,
        description="How likely pushing an action brings about what follows it: an assumption, which only "
        "experiments can check.",
    )
    results: Location | None = Field(
        None,
        description="Output of firstday measure on an experiment that `assign --from-discovery` planned: "
        "what it proved or disproved leaves the shortlist.",
    )
    most_test_days: int = Field(90, ge=1, description="Longest test that the shortlist may ask for, in days.")
    users_a_day: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="New users a day that a test gets [default: as on the 28 days before the last sign-up].",
    )
    choose_share: OpenShare = Field(
        0.8,
        description="Choose on the dates by which this share of the users has come; report on the later "
        "ones.",
    )
    min_dates: int = Field(14, ge=3, description="Anchor dates needed before trends are compared.")
    event_date_column: str | None = Field(
        None, min_length=1, description="Partition column of the log that holds the UTC date of occurred_at."
    )
    labels: Location | None = Field(
        None,
        description="Labels of the users: what `firstday label` wrote, or a table of user_id (or row_id) and "
        "probabilities. Users that are probably of --label-class count less.",
    )
    label_class: int | None = Field(
        None, ge=0, description="The class of --labels that is not to be learned from [default: the last]."
    )
    label_use: Literal["exclude", "weigh"] = Field(
        "exclude",
        description="Leave out users whose P(class) is above --label-limit, or keep each with the "
        "probability of being of another class.",
    )
    label_limit: OpenShare = Field(0.5, description="P(class) above which a user is left out.")
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
        if self.users is not None and self.anchor_action is not None:
            raise ValueError("anchor_action is for a log without --users, which say when each clock starts")
        if self.daily and self.since is not None:
            raise ValueError("daily finds its dates itself: give daily or since, not both")
        if self.retention_kind == "on_or_after" and (self.daily or self.since is not None):
            raise ValueError(
                "with retention_kind on_or_after a user of any date may still come back: leave out daily and "
                "since, so that all dates are counted"
            )
        if self.labels is None and self.label_class is not None:
            raise ValueError("label_class is a class of --labels: give both")
        return self
