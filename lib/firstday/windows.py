"""The time rules: which events count as actions, which as returns, and whose label is known.

Instants are 64-bit integers here, microseconds since 1970 in UTC, both as Columns and as Python ints: one
comparison per event, and no dependence on the session's time zone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from pyspark.sql import Column
from pyspark.sql import functions as F

from firstday.errors import SettingsError

if TYPE_CHECKING:
    from firstday.settings import DiscoverSettings
    from firstday.settings.metrics import RetentionKind

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1) // MICROSECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_DAYS = 31  # a user's closed days travel as the bits of one integer
FOREVER = 253_370_764_800_000_000  # microseconds: 9999-01-01, when a label window without an end is cut off


def day_name(day: int, kind: str = "on") -> str:
    """'D7'; 'D1–7' for a return within the days 1 to 7, 'D7+' for one on day 7 or later."""
    if kind == "within" and day > 1:
        return f"D1–{day}"
    return f"D{day}+" if kind == "on_or_after" else f"D{day}"


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 of an instant that knows its zone."""
    return (instant - EPOCH) // MICROSECOND


def timestamp_literal(instant: datetime) -> Column:
    """The instant as a timestamp, whatever the session's time zone. Raises SettingsError without a zone."""
    if instant.tzinfo is None:
        raise SettingsError("instants have a time zone", value=instant.isoformat(), next_step="give UTC")
    return F.timestamp_micros(F.lit(microseconds(instant)))


def instant_at(us: int) -> datetime:
    """The instant at `us` microseconds since 1970, in UTC."""
    return EPOCH + us * MICROSECOND


def local_date(us: Column, time_zone: str) -> Column:
    """The calendar date of an instant (microseconds) in a zone."""
    if time_zone != "UTC":
        us = F.unix_micros(F.from_utc_timestamp(F.timestamp_micros(us), time_zone))
    # Exact: the dividend is a multiple of the divisor and both are below 2**53.
    return F.date_from_unix_date(((us - F.pmod(us, F.lit(DAY))) / DAY).cast("int"))


def midnight(day: Column, time_zone: str) -> Column:
    """The instant (microseconds) at which a date begins in a zone.

    Where clocks skip midnight the date begins after the gap; where midnight comes twice, at the first.
    """
    utc = F.unix_date(day) * F.lit(DAY)
    return (
        utc if time_zone == "UTC" else F.unix_micros(F.to_utc_timestamp(F.timestamp_micros(utc), time_zone))
    )


@dataclass(frozen=True)
class Windows:
    """The action window [anchor, anchor + window) and, for each n in `days`, the label window of Dn.

    Rolling: day n is [anchor + n·24 h, anchor + (n + 1)·24 h). Calendar: the date n days after the anchor's,
    in `time_zone`, from its midnight to the next, also where that is 23 or 25 hours. The label window is day
    n (kind "on"), all of the days 1 to n ("within"), or what begins with day n and has no end
    ("on_or_after"). It begins no earlier than the action window ends: with overlap="cut" the part before is
    left out of it, with "refuse" such settings raise SettingsError, and so do settings under which nothing of
    a label window might remain. A label is known once day n is over, whatever the kind.
    """

    window: timedelta = timedelta(hours=24)
    days: tuple[int, ...] = (1, 7)
    retention: Literal["rolling", "calendar"] = "rolling"
    time_zone: str = "UTC"
    overlap: Literal["cut", "refuse"] = "cut"
    kind: "RetentionKind" = "on"

    def __post_init__(self) -> None:
        if self.window <= timedelta(0):
            raise SettingsError("window must be longer than nothing", value=str(self.window))
        if not self.days or len(self.days) > MOST_DAYS or min(self.days) < 1:
            raise SettingsError(
                f"days must be 1 to {MOST_DAYS} whole numbers from 1 on", value=list(self.days)
            )
        if tuple(sorted(set(self.days))) != self.days:
            raise SettingsError("days must rise, each one once", value=list(self.days))
        if self.covered_days:
            raise SettingsError(
                f"the label window must reach beyond the action window of {self.window}",
                value=[day_name(day, self.kind) for day in self.covered_days],
                next_step="shorten window, or leave these days out",
            )
        if self.overlap == "refuse" and self.cut_days:
            raise SettingsError(
                f"the label window must begin after the action window of {self.window}",
                value=[f"{self.retention} {day_name(day, self.kind)}" for day in self.cut_days],
                next_step="shorten window, leave these days out, or set overlap to cut",
            )

    @classmethod
    def of(cls, settings: "DiscoverSettings") -> "Windows":
        """The windows that the settings of a job ask for."""
        return cls(
            settings.window,
            settings.days,
            settings.retention,
            settings.time_zone,
            settings.overlap,
            settings.retention_kind,
        )

    @property
    def cut_days(self) -> tuple[int, ...]:
        """The days whose label window loses its beginning to the action window, for some users at least.

        Calendar D1 begins the sooner after the anchor the later in the day that was, so it is always cut.
        (Not listed: a calendar day that is reached an hour earlier because clocks were put forward. It is
        cut by that hour.)
        """
        earliest = 1 if self._calendar else 0
        return tuple(
            day for day in self.days if self.window > timedelta(days=self._first_day(day) - earliest)
        )

    @property
    def covered_days(self) -> tuple[int, ...]:
        """The days of which, for some users, nothing would remain after the action window."""
        if self._calendar:  # Dn ends n days, or a little more, after an anchor late in its day
            return tuple(day for day in self.days if self.window > timedelta(days=day))
        return tuple(day for day in self.days if self.window >= timedelta(days=day + 1))

    @property
    def _calendar(self) -> bool:
        return self.retention == "calendar"

    @property
    def window_us(self) -> int:
        """The action window's length in microseconds."""
        return self.window // MICROSECOND

    def anchor_date(self, anchor: Column) -> Column:
        """The date of an anchor, in `time_zone`."""
        return local_date(anchor, self.time_zone)

    def label_start(self, day: int, anchor: Column) -> Column:
        """When the label window of Dn begins: never before the action window has ended."""
        first = self._first_day(day)
        start = anchor + F.lit(first * DAY) if not self._calendar else self._midnight_after(first, anchor)
        return F.greatest(start, anchor + F.lit(self.window_us)) if self._may_overlap(first) else start

    def label_end(self, day: int, anchor: Column) -> Column:
        """When the label window of Dn ends; an event at this very instant is out of it."""
        return F.lit(FOREVER) if self.kind == "on_or_after" else self.day_end(day, anchor)

    def day_end(self, day: int, anchor: Column) -> Column:
        """When day n is over."""
        return (
            anchor + F.lit((day + 1) * DAY) if not self._calendar else self._midnight_after(day + 1, anchor)
        )

    def own_part(self, place: int, anchor: Column) -> tuple[Column, Column]:
        """Start and end of what the label window of `days[place]` does not share with a shorter one.

        These parts do not overlap, and each label window is a union of them (`in_label`): an event is in at
        most one part, so that one integer says of which days it is a return.
        """
        day, start = self.days[place], self.label_start(self.days[place], anchor)
        if self.kind == "within" and place:
            start = F.greatest(start, self.label_end(self.days[place - 1], anchor))
        if self.kind == "on_or_after" and place + 1 < len(self.days):
            return start, self.label_start(self.days[place + 1], anchor)
        return start, self.label_end(day, anchor)

    def in_label(self, part: int, place: int) -> bool:
        """Whether the label window of `days[place]` holds the own part of `days[part]`."""
        return {"on": part == place, "within": part <= place, "on_or_after": part >= place}[self.kind]

    def action_in_window(self, occurred: Column, anchor: Column) -> Column:
        """Whether an event counts as an action: in [anchor, anchor + window)."""
        return (occurred >= anchor) & (occurred < anchor + F.lit(self.window_us))

    def returned_on(self, day: int, occurred: Column, anchor: Column) -> Column:
        """Whether an event is a return of Dn. Of kind "on" no event is one of two days."""
        return (occurred >= self.label_start(day, anchor)) & (occurred < self.label_end(day, anchor))

    def matured(self, day: int, anchor: Column, horizon: int) -> Column:
        """Whether the label of Dn is known at the horizon: day n is over by then.

        Also false where no label window is left: calendar D1 under a 24 h window, anchored in the last
        hour before a date of 23 hours.
        """
        start, end = self.label_start(day, anchor), self.day_end(day, anchor)
        return (end <= F.lit(horizon)) & (start < end)

    def first_open_date(self, horizon: int) -> date:
        """The earliest anchor date that may have a label which is not known at the horizon. Of "on_or_after"
        every label may still change: there is no such date.
        """
        if self.kind == "on_or_after":
            raise ValueError("a label without an end is never closed")
        day = instant_at(horizon).astimezone(ZoneInfo(self.time_zone)).date()
        while self.time_range([day - timedelta(days=1)])[1] > horizon:
            day -= timedelta(days=1)
        return day

    def time_range(self, dates: Iterable[date]) -> tuple[int, int]:
        """The instants [from, to) between which lies every event that counts for these anchor dates."""
        listed = sorted(dates)
        first, last = listed[0], listed[-1]
        after = last + timedelta(days=1)
        start, next_midnight = self._python_midnight(first), self._python_midnight(after)
        if self.kind == "on_or_after":
            label_end = FOREVER
        elif self._calendar:
            label_end = self._python_midnight(after + timedelta(days=self.days[-1]))
        else:
            label_end = next_midnight + (self.days[-1] + 1) * DAY
        return start, max(label_end, next_midnight + self.window_us)

    def _midnight_after(self, day: int, anchor: Column) -> Column:
        return midnight(F.date_add(self.anchor_date(anchor), day), self.time_zone)

    def _first_day(self, day: int) -> int:
        """The day with which the label window of Dn begins."""
        return 1 if self.kind == "within" else day

    def _may_overlap(self, first: int) -> bool:
        # A date can be an hour (in odd places a day) shorter than 24 h: leave room for that.
        return self.window > timedelta(days=first - (2 if self._calendar else 0))

    def _python_midnight(self, day: date) -> int:
        return microseconds(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.time_zone)))
