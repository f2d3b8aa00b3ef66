"""The log becomes a small histogram and cross products: one exchange of the log, of four integers a row.

Before the exchange Catalyst joins each event with its user and keeps what lies in the action window or on a
return day; behind it a kernel (`Kernel`) counts each partition's users. All sums are of integers, so the
result does not depend on the order or the partitioning of the rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Observation, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from firstday.moments import survey as surveys
from firstday.moments.kernel import CELL, PRODUCTS, TALLIES, Kernel, measures
from firstday.moments.members import Members
from firstday.moments.pairs import CELLS
from firstday.moments.survey import Survey
from firstday.moments.tally import OFFSET_BITS, ROW, TIMED
from firstday.spark.observed import observed
from firstday.tables.schemas import delivery, quoted
from firstday.windows import Windows, instant_at

DAY_LENGTH = 86_400_000_000  # microseconds
BROADCAST_BYTES = 256 << 20  # users whose columns need more are not broadcast: the log is joined by exchange
ROWS_A_PARTITION = 1_000_000  # of the log; fewer are kept. Smaller ones cost more Python tasks


@dataclass(frozen=True)
class Counts:
    """What the log comes to.

    `moment_counts`: anchor_date, the segment columns, action (null: the whole cohort), count (0 on the
    cohort's rows), total_level, other_level (null on the cohort's rows), users and, for each day n,
    matured_dn (users whose Dn is known) and retained_dn (those of them who came back).
    `moment_products`: anchor_date, the segment columns, day, users (matured), retained, actions (the leading
    ones of the date), sum_x, sum_xr, sum_xx: sums over these users of x = round(256·ln(1 + count)), of x
    where retained, and of x·x' (upper triangle, row by row).
    `moment_timing`: anchor_date, leader, action, events, after, before: of a sample of the users, in the
    first day of their window, the events of an action, and those with one of the leader's at most 30 minutes
    before, and after; only pairs that occur.
    `moment_pairs`: anchor_date, action, other_action, users, retained: for each two of the most frequent
    actions of the date the users whose first day of `days` is known and who did both, and those of them who
    came back; arrays with a number for each two of `pairs.THRESHOLDS`, those of the first action row by row.
    `tallies`: how many events were read, left out and why, and counted. The tables are kept in Spark's
    cache until `release`.
    """

    moment_counts: DataFrame
    moment_products: DataFrame
    moment_timing: DataFrame
    moment_pairs: DataFrame
    tallies: dict[str, int | None]
    horizon: int | None
    reduced: DataFrame
    members: Members

    def release(self) -> None:
        """Drop the cache; the tables would be computed anew."""
        self.reduced.unpersist()
        self.members.release()


def restrict(
    events: DataFrame, windows: Windows, dates: Iterable[date], event_date_column: str | None = None
) -> DataFrame:
    """The events that can count for these anchor dates, by conditions that a scan can use.

    `event_date_column` names a partition column with the date of occurred_at, in whichever zone: a day on
    either side is read too, and left out by the time itself.
    """
    start, end = map(instant_at, windows.time_range(dates))
    within = (F.col("occurred_at") >= F.lit(start)) & (F.col("occurred_at") < F.lit(end))
    if event_date_column:
        first, last = start.date() - timedelta(days=1), end.date() + timedelta(days=1)
        within &= F.col(quoted(event_date_column)).between(F.lit(first), F.lit(last))
    return events.where(within)


def count(
    users: DataFrame,
    events: DataFrame,
    windows: Windows,
    segments: Sequence[str] = (),
    *,
    survey: Survey | None = None,
    horizon: int | None = None,
    dates: Iterable[date] | None = None,
    event_date_column: str | None = None,
    return_actions: Sequence[str] = (),
    left_out_action: str | None = None,
    count_cap: int = 10_000,
    leading_actions: int = 40,
    broadcast_bytes: int = BROADCAST_BYTES,
    rows_a_partition: int = ROWS_A_PARTITION,
) -> Counts:
    """Count `events` (user_id, action, occurred_at and, if there is one, event_id) of `users` (user_id,
    anchored_at, the segment columns).

    `dates` restricts the anchor dates; for these the result is that of a run over all. `survey` is what
    `survey.survey` found in the log, restricted alike; it is made here if not given, up to `horizon`
    (microseconds; by default the latest event).

    An event_id that a user has more than once for an action, among the events that count for him, is one
    event, at its earliest time; null is not an id. So duplicates need no second exchange, and a run over some
    dates sees the same ones as a run over all.

    Where users have an ANCHOR_ACTION, their event of it at the anchor is what starts the clock, and does not
    count. `left_out_action` counts as no action, but as a return.
    """
    if dates is not None:
        dates = sorted(set(dates))
        events = restrict(events, windows, dates, event_date_column) if dates else events.limit(0)
    if survey is None:
        survey = surveys.survey(
            events, time_zone=windows.time_zone, horizon=horizon, leading_actions=leading_actions
        )
    members = Members.of(users, windows, segments, survey.horizon, dates)
    log = _log(events, survey, members, return_actions)
    partitions = max(1, -(-survey.events // rows_a_partition))
    seen, doubles = Observation(), Observation()
    timed = tuple(
        sorted(frozenset[str]().union(*survey.leading.values()), key=lambda name: survey.keys[name])
    )
    kept = _Kept(members, [survey.keys[name] for name in timed], seen, left_out_action)
    rows, whole = _exchanged(log, kept, partitions, broadcast_bytes, partial=dates is not None)
    if "event" in rows.columns:
        rows = _distinct(rows, doubles)
    places = range(len(windows.days))
    in_label = tuple(tuple(windows.in_label(part, place) for place in places) for part in places)
    paired = _without(survey.paired, left_out_action)
    kernel = Kernel(survey.keys, survey.leading, windows.days, count_cap, timed, in_label, paired)
    reduced = rows.select(*ROW).mapInArrow(kernel, from_arrow_schema(kernel.schema)).persist()
    [sums] = reduced.agg(*(F.sum(name).alias(name) for name in TALLIES)).collect()
    duplicates = observed(doubles).get("duplicates") if "event_id" in events.columns else 0
    # Without users nothing is left to exchange, and Spark drops the plan before it, with what it observed.
    found = observed(seen)
    unknown = found.get("unknown", survey.events - survey.after_horizon)
    return Counts(
        moment_counts=_moment_counts(reduced, kernel, members, whole),
        moment_products=_moment_products(reduced, members, whole),
        moment_timing=_moment_timing(reduced),
        moment_pairs=_moment_pairs(reduced),
        tallies={
            "events": survey.events,
            "after_horizon": survey.after_horizon,
            "unknown_users": unknown if dates is None else None,
            "before_anchor": found.get("before", 0),
            "duplicates": duplicates or 0,
            **{name: sums[name] or 0 for name in TALLIES},
        },
        horizon=survey.horizon,
        reduced=reduced,
        members=members,
    )


def _exchanged(
    log: DataFrame, kept: "_Kept", partitions: int, broadcast_bytes: int, partial: bool
) -> tuple[DataFrame, bool]:
    """The rows that count, those of a user in one partition, and whether those of a cohort are too."""
    members = kept.members
    # Only who is in none of the users is unknown, not who is not in those of some dates.
    how = "inner" if partial else "left"
    if members.joined_bytes > broadcast_bytes:
        # The users are too many to send to each task: log and users meet by one exchange of both.
        own = members.own_rows.select("user", F.col("what").alias("action"))
        log = log.unionByName(own, allowMissingColumns=True).repartition(partitions, "user")
        joined = members.joined.repartition(partitions, "user").hint("shuffle_hash")
        return kept.of(log.join(joined, "user", how)), partitions == 1
    # Where cohorts are small against a partition they stay whole, and their sums are final at once.
    whole = members.largest * partitions <= members.users
    rows = kept.of(log.join(F.broadcast(members.joined), "user", how))
    rows = rows.unionByName(members.own_rows, allowMissingColumns=True)
    return rows.repartition(partitions, "slot" if whole else "user"), whole


def _log(events: DataFrame, survey: Survey, members: Members, return_actions: Sequence[str]) -> DataFrame:
    """The log up to the horizon as integers: user, at, action (keys), may_return [, event]."""
    columns: dict[str, Column] = {
        "user": F.xxhash64("user_id", F.lit(members.salt)),
        "at": F.unix_micros("occurred_at"),
        "action": surveys.action_key(F.col("action")),
    }
    if return_actions:
        columns["may_return"] = F.col("action").isin(*return_actions)
    if "event_id" in events.columns:
        own = F.monotonically_increasing_id()  # where there is no id each row is an event of its own
        columns["event"] = F.coalesce(delivery("event_id", ["action"]), own)
    log = events.where(F.col("occurred_at").isNotNull())
    log = log.select(*(column.alias(name) for name, column in columns.items()))
    return log.where(F.col("at") <= F.lit(survey.horizon)) if survey.after_horizon else log


@dataclass(frozen=True)
class _Kept:
    """The rows that count, in the form of the exchange; unknown users' and early events are only `seen`.
    timed: keys of the actions whose events may be timed, by their position. left_out_action: no candidate.
    """

    members: Members
    timed: Sequence[int]
    seen: Observation
    left_out_action: str | None

    def of(self, joined: DataFrame) -> DataFrame:
        """From the log, joined with its users."""
        at, anchor = F.col("at"), F.col("anchor")
        what = F.when(at.isNull(), F.col("action"))  # a user's own row
        in_window = self.members.windows.action_in_window(at, anchor)
        if "anchor_key" in joined.columns:
            in_window &= (at != anchor) | (F.col("action") != F.col("anchor_key"))
        if self.left_out_action is not None:
            in_window &= F.col("action") != surveys.action_key(F.lit(self.left_out_action))
        if self.timed:
            position = F.call_function("array_position", F.array(*map(F.lit, self.timed)), F.col("action"))
            offset = at - anchor
            packed = F.lit(TIMED) - F.shiftleft(position - 1, OFFSET_BITS) - offset - 1
            is_timed = F.col("timed") & in_window & (offset < DAY_LENGTH)
            what = what.when(is_timed & (position > 0), packed)
        what = what.when(in_window, F.col("action"))
        may_return = F.col("may_return") if "may_return" in joined.columns else F.lit(True)
        for place in range(len(self.members.windows.days)):
            start, end = self.members.label_window(place)
            what = what.when((at >= start) & (at < end) & may_return, place)
        further = ["at", "event"] if "event" in joined.columns else []
        rows = joined.select(
            *("slot", "user", *further),
            what.alias("what"),
            (anchor.isNull() & at.isNotNull()).alias("unknown"),
            (at < anchor).alias("before"),
        )
        counts = F.col("what").isNotNull()
        odd = rows.where(counts | F.col("unknown") | F.col("before")).observe(
            self.seen, F.count_if("unknown").alias("unknown"), F.count_if("before").alias("before")
        )
        return odd.where(counts).drop("unknown", "before")


def _distinct(rows: DataFrame, doubles: Observation) -> DataFrame:
    """One row for each event of a user; the exchange has brought its copies together already."""
    event = F.coalesce("event", "what")  # a user's own rows have none, and are not one another's copies
    first = rows.groupBy("slot", "user", event).agg(
        F.min(F.struct("at", "what")).alias("first"), F.count("*").alias("copies")
    )
    first = first.observe(doubles, F.sum(F.col("copies") - 1).alias("duplicates"))
    return first.select("user", "first.what")


def _moment_counts(reduced: DataFrame, kernel: Kernel, members: Members, whole: bool) -> DataFrame:
    arrays = reduced.where(F.col("cohort").isNotNull())
    rows = arrays.select(F.posexplode("cohort").alias("place", "key"), *kernel.cells)
    cells = rows.select(
        F.col("key").alias("cohort"),
        *(F.col(name)[F.col("place")].alias(name) for name in kernel.cells if name != "cohort"),
    )
    sums = measures(kernel.days)
    cells = cells.withColumns({name: F.col(name).cast("long") for name in sums})
    if not whole:  # a cohort's users were in several partitions
        cells = cells.groupBy(*CELL).agg(*(F.sum(name).alias(name) for name in sums))
    return members.named(cells, [name for name in kernel.cells if name != "cohort"])


def _moment_products(reduced: DataFrame, members: Members, whole: bool) -> DataFrame:
    rows = reduced.where(F.col("products_of").isNotNull()).select(
        F.col("products_of").alias("cohort"), F.col("matured").alias("users"), *list(PRODUCTS)[1:]
    )
    columns = ["day", "users", "retained", "actions", "sum_x", "sum_xr", "sum_xx"]
    if not whole:
        rows = rows.groupBy("cohort", "day").agg(
            *(F.sum(name).alias(name) for name in ("users", "retained")),
            F.first("actions").alias("actions"),
            *(sum_of_arrays(name).alias(name) for name in ("sum_x", "sum_xr", "sum_xx")),
        )
    return members.named(rows, columns)


def _moment_timing(reduced: DataFrame) -> DataFrame:
    """A date's users are in several partitions: always summed, as there is little of it."""
    names = ("leader", "follower", "events", "after", "before")
    rows = reduced.where(F.col("timed_day").isNotNull()).select(
        F.date_from_unix_date("timed_day").alias("anchor_date"), F.inline(F.arrays_zip(*names))
    )
    by_pair = rows.withColumnRenamed("follower", "action").groupBy("anchor_date", "leader", "action")
    pairs = by_pair.agg(*(F.sum(name).alias(name) for name in names[2:]))
    # A partition reports pairs that occur in it; all events of an action stand beside the action itself.
    own = F.when(F.col("leader") == F.col("action"), F.col("events"))
    of_action = F.max(own).over(Window.partitionBy("anchor_date", "action"))
    return pairs.withColumn("events", of_action)


def _moment_pairs(reduced: DataFrame) -> DataFrame:
    """A date's users are in several partitions: always summed."""
    rows = reduced.where(F.col("paired_day").isNotNull()).select(
        F.date_from_unix_date("paired_day").alias("anchor_date"),
        F.inline(F.arrays_zip("one", "other", "pair_users", "pair_retained")),
    )
    added = {
        total: F.array(*(F.sum(F.col(name)[cell].cast("long")) for cell in range(CELLS)))
        for total, name in (("users", "pair_users"), ("retained", "pair_retained"))
    }
    sums = [column.alias(name) for name, column in added.items()]
    return (
        rows.withColumnsRenamed({"one": "action", "other": "other_action"})
        .groupBy("anchor_date", "action", "other_action")
        .agg(*sums)
    )


def _without(actions: Mapping[date, tuple[str, ...]], left_out: str | None) -> dict[date, tuple[str, ...]]:
    return {day: tuple(name for name in names if name != left_out) for day, names in actions.items()}


def sum_of_arrays(name: str) -> Column:
    """Element by element, over the rows of a group."""
    parts = F.collect_list(name)
    return F.aggregate(
        F.slice(parts, 2, F.size(parts)),
        parts[0],
        lambda total, part: F.zip_with(total, part, lambda one, other: one + other),
    )
