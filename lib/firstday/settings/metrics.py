"""What an experiment is judged by: metrics, each one number a unit or a ratio of two."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from firstday.settings.kinds import Duration, Names, Settings, duration_text

MetricKind = Literal["retention", "moment", "count", "sum", "click_rate", "categories", "column"]
RetentionKind = Literal["on", "within", "on_or_after"]
Name = Annotated[str, Field(min_length=1)]
PRE = "pre"  # as covariate: the metric's own quantity before the assignment
MOMENT_WINDOW = timedelta(hours=24)
FROM_IMPRESSIONS = ("click_rate", "categories")
# What describes a kind, beside its name, covariate and guardrail: (must be given, may be given).
OPTIONS: dict[str, tuple[set[str], set[str]]] = {
    "retention": ({"day"}, {"retention", "retention_kind", "actions", "window"}),
    "moment": ({"actions", "threshold"}, {"window"}),
    "count": (set(), {"actions", "window"}),
    "sum": ({"value"}, {"actions", "window", "unit"}),
    "click_rate": (set(), {"window"}),
    "categories": (set(), {"actions", "window"}),
    "column": ({"value"}, {"denominator", "value_at", "unit"}),
}

KIND_OPTIONS = sorted(set().union(*(must | may for must, may in OPTIONS.values())))


def _one_line(name: str) -> str:
    if name != name.strip() or not name.isprintable():
        raise ValueError("must be one line of text, without blanks around it")
    return name


def checked_cap(cap: str | float) -> str | float:
    """A value as a number; a quantile as the text it is."""
    share = re.fullmatch(r"(\d+(?:\.\d*)?)\s*%", cap.strip()) if isinstance(cap, str) else None
    if share is not None:
        if not 50 <= float(share[1]) < 100:
            raise ValueError("a quantile lies from 50% to below 100%")
        return f"{float(share[1]):g}%"
    try:
        value = float(cap)
    except ValueError as error:
        raise ValueError("must be a value, or a quantile such as 99.9%") from error
    if not 0 < value < float("inf"):
        raise ValueError("a value must be above 0")
    return value


class Metric(Settings):
    """A metric: what is counted of each unit, from its assignment on.

    kind
    - retention: 1 if the unit came back on day `day` (as `firstday discover` counts it), else 0; or, by
      `retention_kind`, on any of the days 1 to `day` (within), or on it or later (on_or_after).
    - moment: 1 if it did `actions` at least `threshold` times within `window` (24 h), else 0.
    - count: how often it did `actions` (any action where none is named).
    - sum: the sum of the column `value` over its `actions`.
    - click_rate: its clicks over its impressions: a ratio of totals, not a mean of rates.
    - categories: how many distinct categories it clicked, joined, or used by one of `actions`.
    - column: the column `value` of --units, over the column `denominator` if there is one.
    """

    name: Annotated[Name, AfterValidator(_one_line)]
    kind: MetricKind
    day: int | None = Field(None, ge=1, le=366, description="Day n of Dn retention.")
    retention: Literal["rolling", "calendar"] | None = Field(
        None, description="Day n as n times 24 h after the assignment [default], or as a calendar day."
    )
    retention_kind: RetentionKind | None = Field(
        None, description="A return on day n [default], within days 1 to n, or on_or_after day n."
    )
    actions: Names = Field((), description="Names of the actions that count.")
    threshold: int | None = Field(None, ge=1, description="How often the moment asks for the action.")
    window: Duration | None = Field(
        None, description="Time after the assignment that counts [default: 24h of a moment, else all]."
    )
    value: Name | None = Field(None, description="Column with the number that is added up, or measured.")
    unit: Annotated[Name, AfterValidator(_one_line)] | None = Field(
        None, description="Unit of `value`, such as EUR, for the report."
    )
    denominator: Name | None = Field(None, description="Column that `value` is a share of.")
    value_at: Name | None = Field(
        None, description="Column with the instant of `value`; before the assignment it counts as 0."
    )
    covariate: Name | None = Field(
        None,
        description="What was known before the assignment and lowers the variance (CUPED): 'pre' for the "
        "same quantity before it, or a numeric column of the units.",
    )
    pre_window: Duration = Field(timedelta(days=7), description="Time before the assignment for 'pre'.")
    cap: Annotated[str | float, AfterValidator(checked_cap)] | None = Field(
        None,
        description="What one unit may add at most: a value, or a quantile of all arms' units together, as "
        "99.9%.",
    )
    margin: float | None = Field(
        None, gt=0, description="Makes it a guardrail: the loss, in its own unit, that is still accepted."
    )
    rise_is_good: bool = Field(True, description="Whether more of it is better.")
    smallest_effect: float | None = Field(
        None, gt=0, description="The smallest change that matters, in its own unit: tells the days needed."
    )

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> Self:
        must, may = OPTIONS[self.kind]
        given = {name for name in KIND_OPTIONS if getattr(self, name) not in (None, ())}
        if missing := sorted(must - given):
            raise ValueError(f"a metric of kind {self.kind} needs {' and '.join(missing)}")
        if extra := sorted(given - must - may):
            raise ValueError(
                f"a metric of kind {self.kind} is not told by {' or '.join(extra)}: leave it out, "
                f"or choose a kind that has it"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cap is not None and (self.is_ratio or self.kind in ("retention", "moment")):
            raise ValueError("a cap is for what a unit adds up to, not for shares and ratios")
        if self.kind == "column" and self.covariate == PRE:
            raise ValueError("a column has no past to look at: name a column as covariate, not 'pre'")
        first = 1 if self.retention_kind == "within" else self.day
        if first is not None and self.window is not None and self.window >= timedelta(days=first + 1):
            raise ValueError(
                f"window ({duration_text(self.window)}) must end before day {first} is over, or nothing "
                "of that day counts as a return"
            )
        columns = [self.value, self.denominator, self.covariate]
        if self.kind == "column" and len({*columns} - {None}) < len([each for each in columns if each]):
            raise ValueError("value, denominator and covariate must be different columns")
        return self

    @property
    def counting_window(self) -> timedelta | None:
        """How long after the assignment counts; None: as long as the variant lasts."""
        return self.window or (MOMENT_WINDOW if self.kind in ("moment", "retention") else None)

    def per(self, unit_name: str) -> str:
        """The unit of its value, such as 'EUR per user'. unit_name: what a unit is called."""
        return f"{f'{self.unit} ' if self.unit else ''}per {self.denominator or unit_name}"

    @property
    def is_ratio(self) -> bool:
        """Whether a unit has a denominator of its own."""
        return self.kind == "click_rate" or self.denominator is not None
