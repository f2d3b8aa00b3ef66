"""What must be known of the log before it is counted: its end, its size, its actions. One scan."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError, LimitError
from firstday.moments.pairs import PAIRED_ACTIONS
from firstday.moments.tally import FIRST_KEY, KEY_BITS
from firstday.windows import instant_at, local_date

MOST_ROWS = 1_000_000  # (date, action) pairs that the driver holds


@dataclass(frozen=True)
class Survey:
    """The log up to `horizon` (microseconds; None for a log without events), as far as it was read.

    `keys` has for each action, in the order of the names, its key (`action_key`);
    `leading` has for each date the most frequent actions on it, in the order of the names; `paired` the few
    most frequent of these, whose pairs are counted.
    """

    horizon: int | None
    events: int
    after_horizon: int
    keys: Mapping[str, int]
    leading: Mapping[date, tuple[str, ...]]
    paired: Mapping[date, tuple[str, ...]]

    @property
    def latest(self) -> datetime | None:
        """The horizon as an instant."""
        return None if self.horizon is None else instant_at(self.horizon)


def survey(
    events: DataFrame, *, time_zone: str = "UTC", horizon: int | None = None, leading_actions: int = 40
) -> Survey:
    """Scan `events` (action, occurred_at) once.

    The horizon is the latest occurred_at unless given. The leading actions of a date are those with most
    events on it (in `time_zone`, up to the horizon), ties by name: the same in a run over a part of the log
    as in one over all of it. Raises LimitError where the actions are too many for names of actions.
    """
    at = F.unix_micros("occurred_at")
    known = F.lit(True) if horizon is None else at <= F.lit(horizon)
    daily = events.groupBy(local_date(at, time_zone).alias("date"), "action").agg(
        F.count_if(known).alias("events"), F.count_if(~known).alias("after"), F.max(at).alias("latest")
    )
    rows = daily.withColumn("key", action_key(F.col("action"))).limit(MOST_ROWS + 1).collect()
    if len(rows) > MOST_ROWS:
        raise LimitError(
            f"dates × actions of the log must stay below {MOST_ROWS:,}",
            value=sorted(row["action"] for row in rows[:3]),
            next_step="look whether the action's name holds an id; name the kind of event instead",
        )
    by_date: dict[date, list[tuple[int, str]]] = defaultdict(list)
    for row in rows:
        if row["events"]:
            by_date[row["date"]].append((-row["events"], row["action"]))
    return Survey(
        horizon=max((row["latest"] for row in rows), default=None) if horizon is None else horizon,
        events=sum(row["events"] + row["after"] for row in rows),
        after_horizon=sum(row["after"] for row in rows),
        keys=_distinct_keys({row["action"]: row["key"] for row in rows}),
        leading=_most_frequent(by_date, leading_actions),
        paired=_most_frequent(by_date, min(leading_actions, PAIRED_ACTIONS)),
    )


def _most_frequent(by_date: Mapping[date, list[tuple[int, str]]], most: int) -> dict[date, tuple[str, ...]]:
    """The actions of each date with most events, in the order of the names; by_date: events, negative, and
    name.
    """
    return {
        day: tuple(sorted(name for _, name in sorted(actions)[:most])) for day, actions in by_date.items()
    }


def action_key(action: Column) -> Column:
    """The number that stands for an action in the exchange."""
    return F.xxhash64(action).bitwiseAND(KEY_BITS)


def _distinct_keys(keys: dict[str, int]) -> dict[str, int]:
    """The keys in the order of the names, if no two names share one (for 10,000 names: 1 in 10**11)."""
    if len(set(keys.values())) < len(keys) or min(keys.values(), default=FIRST_KEY) < FIRST_KEY:
        raise DataError(
            "no two actions may have the same 64-bit hash",
            value=sorted(keys)[:5],
            next_step="rename one of the two",
        )
    return dict(sorted(keys.items()))
