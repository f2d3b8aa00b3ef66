"""The users' side of the count: keys, cohorts and label windows, worked out once a user, not an event."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.moments.survey import action_key
from firstday.moments.tally import COHORT, DAY_ZERO, KEY_BITS, UNPAIRED
from firstday.spark.frames import persisted, unpersist
from firstday.tables.schemas import ANCHOR_ACTION, column
from firstday.windows import Windows

LEFT_OUT = "firstday_left_out"  # a segment while users are counted: whether labels leave them out
YES, NO = "yes", "no"
SALTS = 3  # hashes to try before equal keys are taken for equal users
TIMED_A_DATE = 150  # users of an anchor date, on average, whose events are timed: some 5,000 users in all
TIMED_SALT = 17
BYTES_A_USER = 80  # of a broadcast relation, beside 8 a column


def _slot() -> Column:
    """What decides the partition where cohorts stay whole: short, so that it costs the exchange little."""
    return F.pmod("cohort", F.lit(1 << 16)).cast("int").alias("slot")


@dataclass(frozen=True)
class Members:
    """The users to count.

    `frame`, cached: user (a hash), cohort (a key), about (both as `tally` wants them), anchor, the bounds of
    calendar label windows, anchor_date, segment_0, segment_1, ... `cohorts`, cached: cohort, anchor_date, the
    segments, users. `salt` went into the hashes. `largest` is the number of users of the largest cohort.
    """

    frame: DataFrame
    cohorts: DataFrame
    salt: int
    users: int
    largest: int
    segments: tuple[str, ...]
    windows: Windows

    @classmethod
    def of(
        cls,
        users: DataFrame,
        windows: Windows,
        segments: Sequence[str],
        horizon: int | None,
        dates: Iterable[date] | None,
    ) -> "Members":
        """Prepare `users` (user_id, anchored_at, segments). Raises DataError if one is there twice."""
        for salt in range(SALTS):
            frame = _prepared(users, windows, segments, horizon, salt)
            if dates is not None:
                frame = frame.where(F.col("anchor_date").isin(*dates))
            frame = persisted(frame)
            by_cohort = frame.groupBy("cohort", "anchor_date", *_names(len(segments)))
            cohorts = persisted(by_cohort.agg(F.count("*").alias("users")))
            sizes = _sizes(frame, cohorts)
            copies = sizes["users"] - sizes["keys"]
            members = cls(frame, cohorts, salt, sizes["users"], sizes["largest"], tuple(segments), windows)
            if not copies and sizes["cohorts"] == sizes["cohort_keys"]:
                return members
            members.release()
        raise DataError(
            "each user may be there once",
            value=f"{copies:,} rows too many",
            next_step="keep one row a user_id, the one with the anchor that counts",
        )

    @property
    def joined(self) -> DataFrame:
        """The columns that an event needs of its user. timed: whether the user's events are, by a uniform
        hash whose limit depends on the anchor date's users alone: a run over some dates takes the same.
        """
        sizes = self.cohorts.groupBy("anchor_date").agg(F.sum("users").alias("of_date"))
        frame = self.frame.join(F.broadcast(sizes), "anchor_date")
        uniform = F.pmod(F.xxhash64("user", F.lit(TIMED_SALT)), F.lit(1 << 30))
        timed = uniform * F.col("of_date") < F.lit(TIMED_A_DATE << 30)
        further = [name for name in ("anchor_key",) if name in self.frame.columns]
        return frame.select("user", _slot(), "anchor", timed.alias("timed"), *further, *_bounds(self.windows))

    @property
    def joined_bytes(self) -> int:
        """About what a broadcast of `joined` takes in memory."""
        return self.users * (BYTES_A_USER + 8 * len(self.joined.columns))

    @property
    def own_rows(self) -> DataFrame:
        """The rows that each user has in the exchange, whether there is any event or not."""
        cohort = F.col("cohort") + F.lit(COHORT)
        return self.frame.select(_slot(), "user", F.explode(F.array(cohort, "about")).alias("what"))

    def label_window(self, place: int) -> tuple[Column, Column]:
        """Start and end of the own part of a day's label window, by position in `windows.days`, where
        `joined` is joined in: worked out already if that takes a calendar.
        """
        if self.windows.retention == "calendar":
            return F.col(f"start_{place}"), F.col(f"end_{place}")
        return self.windows.own_part(place, F.col("anchor"))

    def named(self, rows: DataFrame, columns: Sequence[str]) -> DataFrame:
        """`rows` with the anchor date and segments that their cohort stands for, before `columns`."""
        keys = ["anchor_date", *_names(len(self.segments))]
        named = rows.join(self.cohorts.select("cohort", *keys), "cohort").select(*keys, *columns)
        return named.toDF("anchor_date", *self.segments, *columns)

    def release(self) -> None:
        """Drop the cache."""
        unpersist(self.frame)
        unpersist(self.cohorts)


def _prepared(
    users: DataFrame, windows: Windows, segments: Sequence[str], horizon: int | None, salt: int
) -> DataFrame:
    anchor, seed = F.col("anchor"), F.lit(salt)
    values = {
        name: column(segment).cast("string")
        for name, segment in zip(_names(len(segments)), segments, strict=True)
    }
    frame = users.select(
        F.xxhash64("user_id", seed).alias("user"),
        F.unix_micros("anchored_at").alias("anchor"),
        *([action_key(F.col(ANCHOR_ACTION)).alias("anchor_key")] if ANCHOR_ACTION in users.columns else []),
        *(value.alias(name) for name, value in values.items()),
    ).withColumn("anchor_date", windows.anchor_date(anchor))
    # A null leaves the hash as it was: without the flags, (null, 'a') and ('a', null) would be one cohort.
    parts = [part for name in values for part in (F.col(name).isNull(), F.col(name))]
    closed = (
        F.when(windows.matured(day, anchor, horizon), F.lit(1 << bit)).otherwise(F.lit(0)).cast("long")
        for bit, day in enumerate(windows.days)
        if horizon is not None
    )
    unpaired = [
        F.when(F.col(name) == YES, F.lit(UNPAIRED)).otherwise(F.lit(0)).cast("long")
        for name, segment in zip(values, segments, strict=True)
        if segment == LEFT_OUT
    ]
    day_bits = F.shiftleft(F.unix_date("anchor_date").cast("long") + F.lit(DAY_ZERO), 32)
    return frame.select(
        "*",
        F.xxhash64("anchor_date", *parts, seed).bitwiseAND(KEY_BITS).alias("cohort"),
        (F.lit(-1) - reduce(Column.__add__, [*closed, *unpaired], day_bits)).alias("about"),
        *(bound.alias(name) for name, bound in _bounds(windows).items()),
    )


def _sizes(frame: DataFrame, cohorts: DataFrame) -> Row:
    """How many users, cohorts and keys of both there are, and users in the largest cohort."""
    of_cohorts = cohorts.agg(
        F.count("*").alias("cohorts"),
        F.count_distinct("cohort").alias("cohort_keys"),
        F.sum("users").alias("users"),
        F.max("users").alias("largest"),
    )
    [sizes] = frame.agg(F.count_distinct("user").alias("keys")).crossJoin(of_cohorts).na.fill(0).collect()
    return sizes


def _bounds(windows: Windows) -> dict[str, Column]:
    """The label windows' bounds as columns, where they are dear: those of calendar days."""
    if windows.retention != "calendar":
        return {}
    bounds = {}
    for place in range(len(windows.days)):
        bounds[f"start_{place}"], bounds[f"end_{place}"] = windows.own_part(place, F.col("anchor"))
    return bounds


def _names(segments: int) -> list[str]:
    """Names of the segment columns while they are worked on: the real ones may be anything."""
    return [f"segment_{place}" for place in range(segments)]
