"""What is added up of the facts for features, said once for training and for recommending.

A measure's columns are its name, over all time, and name_7d and the like over the days before the instant.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column, Window, WindowSpec
from pyspark.sql import functions as F

from firstday.ranking.history import (
    ACTION,
    CLICK,
    DISMISS,
    JOIN,
    KINDS,
    MET,
    PREFERENCE,
    REACTIONS,
    SHOWN,
    SINCE,
    TRANSACTION,
    UNTIL,
    USED,
)
from firstday.windows import DAY

AT = "fact_at"  # microseconds since 1970 in UTC
# Of a fact among those of its customer and category: impressions until it; whether it is the first of MET.
SHOWN_THROUGH, FIRST_MET = "shown_through", "first_met"
ACTION_DAYS = 7


@dataclass(frozen=True)
class Measure:
    """`contribution`: of a fact, null where it adds nothing. Sums also over the last `days`; a greatest value
    is over all time only.
    """

    name: str
    contribution: Callable[[], Column]
    combine: Literal["sum", "max"] = "sum"
    days: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.combine == "max" and self.days:
            raise ValueError("the greatest of a trailing window is no difference of two")

    @property
    def trailing(self) -> dict[int, str]:
        """The names of the trailing windows' columns, by days."""
        return {days: f"{self.name}_{days}d" for days in self.days}

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name, *self.trailing.values())


def of_pairs() -> tuple[Measure, ...]:
    """Of a customer and a category."""
    return (
        Measure("shown", _ones(SHOWN), days=(7, 28)),
        Measure("clicks", _ones(CLICK), days=(28,)),
        Measure("joins", _ones(JOIN)),
        Measure("dismissals", _ones(DISMISS)),
        Measure("transactions", _ones(TRANSACTION), days=(28,)),
        Measure("amount", _amount, days=(28,)),
        Measure("used", _ones(*USED), days=(7,)),
        Measure("open", _open),
        Measure("answered", _value_of(SHOWN_THROUGH, *REACTIONS), "max"),
        Measure("last_shown", _value_of(AT, SHOWN), "max"),
        Measure("last_click", _value_of(AT, CLICK), "max"),
        Measure("last_reaction", _value_of(AT, *REACTIONS), "max"),
        Measure("last_dismissal", _value_of(AT, DISMISS), "max"),
        Measure("last_transaction", _value_of(AT, TRANSACTION), "max"),
        Measure("stated", _stated, "max"),
    )


def of_users(actions: Sequence[str]) -> tuple[Measure, ...]:
    """Of a customer, over all categories; counts of the app actions given."""
    return (
        Measure("user_shown", _ones(SHOWN), days=(28,)),
        Measure("user_clicks", _ones(CLICK), days=(28,)),
        Measure("user_transactions", _ones(TRANSACTION), days=(28,)),
        Measure("user_categories_met", lambda: F.when(F.col(FIRST_MET), 1)),
        # The end of a contract is nothing that a customer does; app actions are kept for some days only.
        Measure("user_last", _value_of(AT, *(kind for kind in KINDS if kind not in (UNTIL, ACTION))), "max"),
        *(
            Measure(name, _action(action), days=(ACTION_DAYS,))
            for action, name in zip(actions, action_names(actions), strict=True)
        ),
    )


def action_names(actions: Iterable[str]) -> list[str]:
    """A measure's name for each action; what LightGBM refuses in a feature's name becomes _."""
    found: list[str] = []
    for action in actions:
        name = "action_" + re.sub(r"\W", "_", action)
        while name in found:
            name += "_"
        found.append(name)
    return found


def met() -> Column:
    """Whether by this fact the customer comes to know the category."""
    return F.col("kind").isin(*MET)


def running(measures: Sequence[Measure], window: WindowSpec) -> tuple[dict[str, Column], dict[str, Column]]:
    """The measures of what is before each row of the window: sums that only ever grow by the next rows, and
    then, by their names, the differences of these that are the trailing windows.
    """
    sums, trailing = {}, {}
    before = window.rangeBetween(Window.unboundedPreceding, -1)
    for measure in measures:
        value = measure.contribution()
        if measure.combine == "max":
            sums[measure.name] = F.max(value).over(before)
            continue
        sums[measure.name] = none_is_0(F.sum(value).over(before))
        for days, name in measure.trailing.items():
            older = window.rangeBetween(Window.unboundedPreceding, -days * DAY - 1)
            sums[name] = none_is_0(F.sum(value).over(older))
            trailing[name] = F.col(measure.name) - F.col(name)
    return sums, trailing


def at_end(measures: Sequence[Measure], end: int) -> dict[str, Column]:
    """Aggregates: the measures of all facts, which are before `end` (microseconds)."""
    found = {}
    for measure in measures:
        value = measure.contribution()
        if measure.combine == "max":
            found[measure.name] = F.max(value)
            continue
        found[measure.name] = F.sum(value)
        for days, name in measure.trailing.items():
            found[name] = F.sum(F.when(F.col(AT) >= end - days * DAY, value))
    return found


def of_parts(measures: Sequence[Measure]) -> dict[str, Column]:
    """Aggregates: the measures of all, of columns with the measures of parts."""
    return {
        name: F.max(name) if measure.combine == "max" else F.sum(name)
        for measure in measures
        for name in measure.columns
    }


def filled(measures: Sequence[Measure], read: Callable[[str], Column]) -> dict[str, Column]:
    """The measures' columns, where nothing was added up 0; `read` gives a column by its name."""
    return {
        name: read(name) if measure.combine == "max" else none_is_0(read(name))
        for measure in measures
        for name in measure.columns
    }


def none_is_0(total: Column) -> Column:
    """The sum of nothing."""
    return F.coalesce(total, F.lit(0))


def _ones(*kinds: str) -> Callable[[], Column]:
    return lambda: F.when(F.col("kind").isin(*kinds), 1)


def _value_of(column: str, *kinds: str) -> Callable[[], Column]:
    return lambda: F.when(F.col("kind").isin(*kinds), F.col(column))


def _action(action: str) -> Callable[[], Column]:
    return lambda: F.when((F.col("kind") == ACTION) & (F.col("category") == action), 1)


def _amount() -> Column:
    # Decimals: sums of doubles would depend on the order of the rows.
    return F.when(F.col("kind") == TRANSACTION, F.col("value").cast("decimal(20,4)"))


def _open() -> Column:
    return F.when(F.col("kind") == SINCE, 1).when(F.col("kind") == UNTIL, -1)


def _stated() -> Column:
    return F.when(F.col("kind") == PREFERENCE, F.struct(F.col(AT), F.col("value")))
