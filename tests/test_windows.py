"""The time rules, against plain Python on instants at and around every edge."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.windows import DAY, Windows, instant_at, local_date, microseconds, midnight

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
# Clocks go forward in Berlin on 2026-03-29 and back on 2026-10-25; in Beirut midnight itself is skipped on
# 2026-03-29 (and comes twice on 2026-10-25); Kathmandu is at +05:45; Apia had no 2011-12-30.
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Beirut", "Asia/Kathmandu", "Pacific/Apia"]
DAYS_OF_NOTE = [
    date(1969, 12, 31),
    date(2011, 12, 29),
    date(2011, 12, 31),
    *(date(2026, 3, day) for day in (7, 8, 9, 27, 28, 29, 30)),
    *(date(2026, 10, day) for day in (23, 24, 25, 26)),
    date(2026, 11, 1),
]


def start_of(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def instants(zone: str) -> list[datetime]:
    """Around the midnights of the dates of note, and the odd hour between."""
    steps = [-TICK, timedelta(0), TICK, HOUR, 11 * HOUR, 23 * HOUR, 23 * HOUR + TICK]
    return [start_of(day, zone) + step for day in DAYS_OF_NOTE for step in steps]


def frame(spark: SparkSession, at: list[datetime]) -> DataFrame:
    return spark.createDataFrame([(number, microseconds(x)) for number, x in enumerate(at)], "i int, us long")


def test_microseconds_and_back() -> None:
    at = datetime(2026, 3, 29, 1, 2, 3, 456789, tzinfo=UTC)
    assert instant_at(microseconds(at)) == at
    assert microseconds(at.astimezone(ZoneInfo("Asia/Kathmandu"))) == microseconds(at)
    assert microseconds(datetime(1969, 12, 31, tzinfo=UTC)) == -DAY


@pytest.mark.parametrize("zone", ZONES)
def test_dates_and_midnights_are_those_of_the_zone(spark: SparkSession, zone: str) -> None:
    at = instants(zone)
    day = local_date(F.col("us"), zone)
    rows = frame(spark, at).select("i", day.alias("date"), midnight(day, zone).alias("start")).collect()
    found = {row["i"]: (row["date"], instant_at(row["start"])) for row in rows}
    for number, instant in enumerate(at):
        expected = instant.astimezone(ZoneInfo(zone)).date()
        assert found[number] == (expected, start_of(expected, zone)), instant


def naive_label(windows: Windows, day: int, anchor: datetime) -> tuple[datetime, datetime]:
    """Start of the label window, and when day n is over."""
    first = 1 if windows.kind == "within" else day
    if windows.retention == "rolling":
        start, end = anchor + timedelta(days=first), anchor + timedelta(days=day + 1)
    else:
        date_of_anchor = anchor.astimezone(ZoneInfo(windows.time_zone)).date()
        start = start_of(date_of_anchor + timedelta(days=first), windows.time_zone)
        end = start_of(date_of_anchor + timedelta(days=day + 1), windows.time_zone)
    return max(start, anchor + windows.window), end


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "windows",
    [
        Windows(days=(1, 2, 7)),
        Windows(window=36 * HOUR, days=(1, 3)),
        Windows(retention="calendar", days=(1, 2, 7)),
        Windows(retention="calendar", window=90 * timedelta(minutes=1), days=(1, 30)),
        Windows(retention="calendar", window=48 * HOUR, days=(2, 3)),
        Windows(window=36 * HOUR, days=(1, 3, 7), kind="within"),
        Windows(retention="calendar", days=(1, 7), kind="within"),
        Windows(window=72 * HOUR, days=(7, 14), kind="within"),
        Windows(days=(1, 3), kind="on_or_after"),
        Windows(retention="calendar", window=36 * HOUR, days=(2, 7), kind="on_or_after"),
    ],
)
def test_events_and_labels_at_every_edge(spark: SparkSession, windows: Windows, zone: str) -> None:
    windows = replace(windows, time_zone=zone)
    horizon = datetime(2026, 3, 31, tzinfo=UTC)
    rows = []
    for number, anchor in enumerate(instants(zone)):
        edges = {anchor, anchor + windows.window}
        for day in windows.days:
            edges |= set(naive_label(windows, day, anchor))
        rows += [
            (number, microseconds(anchor), microseconds(edge + step))
            for edge in sorted(edges)
            for step in (-TICK, timedelta(0), TICK)
        ]
    at, anchor_column = F.col("at"), F.col("anchor")
    columns = {"in_window": windows.action_in_window(at, anchor_column)}
    for place, day in enumerate(windows.days):
        columns[f"returned_{day}"] = windows.returned_on(day, at, anchor_column)
        first, after = windows.own_part(place, anchor_column)
        columns[f"part_{place}"] = (at >= first) & (at < after)
        columns[f"matured_{day}"] = windows.matured(day, anchor_column, microseconds(horizon))
    columns["anchor_date"] = windows.anchor_date(anchor_column)
    found = spark.createDataFrame(rows, "i int, anchor long, at long").withColumns(columns).collect()
    for row in found:
        anchor, instant = instant_at(row["anchor"]), instant_at(row["at"])
        assert row["in_window"] == (anchor <= instant < anchor + windows.window)
        assert row["anchor_date"] == anchor.astimezone(ZoneInfo(zone)).date()
        returned = []
        for day in windows.days:
            start, end = naive_label(windows, day, anchor)
            back = start <= instant and (windows.kind == "on_or_after" or instant < end)
            assert row[f"returned_{day}"] == back, (anchor, instant, day)
            assert row[f"matured_{day}"] == (end <= horizon and start < end), (anchor, day)
            returned.append(row[f"returned_{day}"])
        places = range(len(windows.days))
        parts = [place for place in places if row[f"part_{place}"]]
        assert row["in_window"] + len(parts) <= 1  # no event counts twice
        assert returned == [any(windows.in_label(part, place) for part in parts) for place in places]


def test_rolling_overlap() -> None:
    assert Windows(days=(1, 7)).cut_days == ()
    assert Windows(days=(1, 7), overlap="refuse").cut_days == ()
    assert Windows(window=25 * HOUR, days=(1, 7)).cut_days == (1,)
    with pytest.raises(SettingsError, match="begin after the action window"):
        Windows(window=25 * HOUR, days=(1, 7), overlap="refuse")
    with pytest.raises(SettingsError, match=r"reach beyond the action window.*D1"):
        Windows(window=48 * HOUR, days=(1, 7))
    assert Windows(window=48 * HOUR - TICK, days=(1, 7)).cut_days == (1,)


def test_calendar_overlap() -> None:
    assert Windows(retention="calendar", days=(1, 7)).cut_days == (1,)
    with pytest.raises(SettingsError, match="calendar D1"):
        Windows(retention="calendar", days=(1, 7), overlap="refuse")
    assert Windows(retention="calendar", days=(2, 7), overlap="refuse").cut_days == ()
    with pytest.raises(SettingsError, match="reach beyond"):
        Windows(retention="calendar", window=24 * HOUR + TICK, days=(1,))


def test_within_days_may_begin_late_but_not_end_before_the_action_window() -> None:
    assert Windows(window=72 * HOUR, days=(7,), kind="within").cut_days == (7,)
    assert Windows(days=(1, 7), kind="within").cut_days == ()
    assert Windows(retention="calendar", days=(7, 30), kind="within").cut_days == (7, 30)
    with pytest.raises(SettingsError, match="reach beyond"):
        Windows(window=8 * 24 * HOUR, days=(7,), kind="within")


@pytest.mark.parametrize("days", [(), (0,), (-1, 2), (7, 1), (1, 1), tuple(range(1, 40))])
def test_days_that_make_no_sense(days: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match=r"(?i)days"):
        Windows(days=days)


def test_a_window_has_a_length() -> None:
    with pytest.raises(SettingsError, match=r"(?i)window"):
        Windows(window=timedelta(0))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("retention", ["rolling", "calendar"])
def test_range_holds_all_that_counts_for_a_date(zone: str, retention: str) -> None:
    windows = Windows(days=(2, 7), retention=retention, time_zone=zone)  # type: ignore[arg-type]
    for day in DAYS_OF_NOTE:
        if start_of(day, zone) == start_of(day + timedelta(days=1), zone):
            continue  # a date that the zone left out
        start, end = map(instant_at, windows.time_range([day]))
        last = start_of(day + timedelta(days=1), zone) - TICK
        assert start == start_of(day, zone)
        for anchor in (start, last):
            assert anchor + windows.window <= end
            assert all(naive_label(windows, n, anchor)[1] <= end for n in windows.days)


@pytest.mark.parametrize("retention", ["rolling", "calendar"])
def test_dates_before_the_first_open_one_are_closed(retention: str) -> None:
    windows = Windows(days=(1, 3), retention=retention, time_zone="Europe/Berlin")  # type: ignore[arg-type]
    horizon = datetime(2026, 4, 1, 12, tzinfo=UTC)
    first = windows.first_open_date(microseconds(horizon))
    assert first == (date(2026, 3, 28) if retention == "rolling" else date(2026, 3, 29))
    last_closed = start_of(first, windows.time_zone) - TICK
    assert naive_label(windows, 3, last_closed)[1] <= horizon
    assert naive_label(windows, 3, start_of(first + timedelta(days=1), windows.time_zone) - TICK)[1] > horizon
