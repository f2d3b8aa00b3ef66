"""The discover job's other figures: adjusted differences, dates, later days, the funnel."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from firstday.report import words
from firstday.report.charts import Mark, Row, Series, halo_text, lines_by_date, row_chart, ticks
from firstday.report.figures import Chart, Figure, Panel, Record, inline, records
from firstday.report.palette import (
    BLUE,
    CIRCLE,
    COLOURS,
    DASHES,
    DIAMOND,
    GREY,
    MUTED,
    RED,
    SHAPES,
    SQUARE,
    Key,
)

CRUDE = Series("as counted", MUTED, CIRCLE, filled=False)
WITHIN_SEGMENTS = Series("users of the same segment", RED, SQUARE, filled=False)
ADJUSTED = Series("same segment, as much other activity", BLUE, DIAMOND)
EXPECTED = Series("if it only measured engagement", MUTED, CIRCLE, filled=False)
OBSERVED = Series("as it is", BLUE, DIAMOND)
DID = Series("share that did it", BLUE, CIRCLE, dash=(1, 0))
CAME_BACK = Series("share that came back", RED, DIAMOND, filled=False, dash=(5, 3))
POINTS = "Difference in retention, percentage points →"


def adjusted(title: str, candidates: pd.DataFrame) -> Figure:
    """Differences in retention: as counted, within segments, and among equally active users of these."""
    kinds = ((CRUDE, "difference"), (WITHIN_SEGMENTS, "segment_adjusted"), (ADJUSTED, "adjusted"))
    rows = []
    for row in candidates.itertuples(index=False, name="Row"):
        marks = [
            _difference(series, *(getattr(row, f"{column}{end}") for end in ("", "_low", "_high")))
            for series, column in kinds
        ]
        label = [words.candidate(row.action, row.threshold, 30)]
        label += ["chosen"] if row.chosen else []
        label += ["turns round"] if words.true(row.simpson) else []
        rows.append(Row(" · ".join(label), tuple(marks)))
    description = f"Differences in retention of {len(rows)} candidates, crude and adjusted, with intervals."
    panel = Panel(row_chart(rows, POINTS), wide=True)
    return Figure("adjusted", title, description, (panel,), tuple(series.key() for series, _ in kinds))


def stands_out(title: str, actions: pd.DataFrame, chosen: str | None) -> Figure:
    """Each action's covariance with retention against what it would be if it only measured engagement."""
    rows = []
    for row in actions.itertuples(index=False, name="Row"):
        told = f"{words.decimal(row.observed, 4)} (Bayes factor {words.factor(row.within_factor)})"
        marks = (
            Mark(EXPECTED, row.expected, text=words.decimal(row.expected, 4)),
            Mark(OBSERVED, row.observed, text=told),
        )
        label = [words.name(row.action, 30), *(["chosen"] if row.action == chosen else [])]
        label += [] if words.absent(row.p_cause) else [f"P(cause) {words.decimal(row.p_cause, 2)}"]
        rows.append(Row(" · ".join(label), marks))
    panel = Panel(row_chart(rows, "Covariance with retention →", signed=False, joined=True), wide=True)
    description = f"Expected and observed covariance with retention of {len(rows)} actions."
    return Figure("stands_out", title, description, (panel,), (EXPECTED.key(), OBSERVED.key()))


def trends(title: str, candidates: Sequence[tuple[str, str, pd.DataFrame]]) -> Figure:
    """One panel a candidate, as (title, caption, dates): both shares, each around its own average."""
    tooltip = [
        alt.Tooltip("date:T", title="Date", format="%Y-%m-%d"),
        alt.Tooltip("series:N", title="What"),
        alt.Tooltip("share:Q", title="Share", format=".1%"),
        alt.Tooltip("users:Q", title="Users", format=","),
    ]
    y = alt.Y("value:Q", title="Standard deviations from its average", axis=alt.Axis(tickCount=4))
    panels = []
    for name, caption, dates in candidates:
        rows = [
            *_series_rows(DID, dates, "share", _standardised(dates["share"])),
            *_series_rows(CAME_BACK, dates, "retention", _standardised(dates["retention"])),
        ]
        panels.append(Panel(lines_by_date(rows, (DID, CAME_BACK), y, tooltip, height=170), name, caption))
    description = "Share that did it and share that came back, by date of sign-up."
    return Figure("trends", title, description, tuple(panels), (DID.key(), CAME_BACK.key()))


def consistency(title: str, retention: pd.DataFrame, days: Mapping[int, str]) -> Figure:
    """Retention by date for each day, and each later day against the first one."""
    series = {
        day: Series(
            name,
            COLOURS[rank % len(COLOURS)],
            SHAPES[rank % len(SHAPES)],
            dash=DASHES[rank % len(DASHES)],
        )
        for rank, (day, name) in enumerate(days.items())
    }
    rows: list[Record] = []
    for day, one in series.items():
        matured = retention[retention[f"d{day}"].notna()]
        rows += _series_rows(one, matured, f"d{day}", matured[f"d{day}"])
    tooltip = [
        alt.Tooltip("date:T", title="Date", format="%Y-%m-%d"),
        alt.Tooltip("series:N", title="Day"),
        alt.Tooltip("share:Q", title="Came back", format=".1%"),
        alt.Tooltip("users:Q", title="Users", format=","),
    ]
    y = alt.Y("value:Q", title="Share that came back", axis=alt.Axis(format=".0%", tickCount=5))
    lines = lines_by_date(rows, list(series.values()), y, tooltip, height=260)
    panels = [Panel(lines, "By date of sign-up", wide=True)]
    first, *later = days
    for day in later:
        both = retention[retention[f"d{first}"].notna() & retention[f"d{day}"].notna()]
        if len(both) > 1:
            against = _against(both, first, day, series[day], days)
            panels.append(Panel(against, f"{days[first]} against {days[day]}", "One mark a date"))
    keys = tuple(one.key() for one in series.values())
    return Figure("retention_by_day", title, "Retention by date of sign-up.", tuple(panels), keys)


def day_effects(title: str, effects: pd.DataFrame, days: Mapping[int, str]) -> Figure:
    """The candidate's adjusted difference on each day."""
    rows = []
    for row in effects.itertuples(index=False, name="Row"):
        precision, recall = words.share(row.precision, 0), words.share(row.recall, 0)
        label = f"{days[row.day]} · precision {precision} · recall {recall}"
        rows.append(Row(label, (_difference(ADJUSTED, row.adjusted, row.low, row.high),)))
    panel = Panel(row_chart(rows, POINTS), wide=True)
    description = "Adjusted difference in retention on each day, with intervals."
    return Figure("day_effects", title, description, (panel,), (ADJUSTED.key(),))


def funnel(title: str, steps: pd.DataFrame) -> Figure:
    """One bar a step: the candidates left, and behind it those that the step dropped."""
    rows = [
        {
            **{"y": index + 0.26, "top": index + 0.46, "bottom": index + 0.86, "zero": 0},
            **{"left": int(row.candidates), "before": int(row.candidates) + words.count(row.dropped)},
            "label": f"{row.step}. {words.number(row.candidates)} left: {words.name(row.name, 60)}",
            "dropped": words.number(row.dropped),
            "loser": words.joined(": ", row.loser, row.figure),
        }
        for index, row in enumerate(steps.itertuples(index=False, name="Row"))
    ]
    tooltip = [
        alt.Tooltip("label:N", title="Step"),
        alt.Tooltip("dropped:N", title="Dropped"),
        alt.Tooltip("loser:N", title="Best known that it dropped"),
    ]
    scale = alt.Scale(domain=[0, len(rows)], reverse=True, nice=False)
    axis = alt.Axis(tickCount=ticks(60), format=",d", tickMinStep=1)
    base = alt.Chart(inline(rows))
    bars = base.encode(
        x=alt.X("zero:Q", title="Candidates →", axis=axis),
        y=alt.Y("top:Q", axis=None, scale=scale),
        y2="bottom:Q",
        tooltip=tooltip,
    )
    labels = base.encode(x=alt.value(0), y=alt.Y("y:Q", axis=None, scale=scale))
    dashed = bars.mark_rect(fill="#ededed", stroke=GREY, strokeWidth=0.6, strokeDash=[3, 2])
    chart = alt.layer(
        dashed.encode(x2="before:Q"),
        bars.mark_rect(fill=BLUE).encode(x2="left:Q"),
        *halo_text(labels, "label:N", align="left", baseline="middle", limit=2000),
    ).properties(height=46 * len(rows))
    keys = (Key("left after the step", BLUE, SQUARE), Key("dropped by it", GREY, SQUARE, filled=False))
    description = f"Candidates left after each of {len(rows)} steps."
    return Figure("funnel", title, description, (Panel(chart, wide=True),), keys)


def _difference(series: Series, value: Any, low: Any, high: Any) -> Mark:
    """A difference of shares as a mark in percentage points."""
    told = words.points_with(value, low, high)
    value, low, high = (None if words.absent(share) else 100 * share for share in (value, low, high))
    return Mark(series, value, low, high, told)


def _series_rows(series: Series, dates: pd.DataFrame, column: str, values: pd.Series) -> list[Record]:
    """Rows for `lines_by_date`: what is drawn (`values`) and the share that hovering tells (`column`)."""
    rows = records(dates.assign(drawn=values), date="anchor_date", value="drawn", share=column, users="users")
    return [row | {"series": series.label} for row in rows]


def _against(retention: pd.DataFrame, first: int, day: int, series: Series, days: Mapping[int, str]) -> Chart:
    rows = records(retention, x=f"d{first}", y=f"d{day}", date="anchor_date", users="users")
    axis, scale = alt.Axis(format=".0%", tickCount=5), alt.Scale(zero=False)
    marks = alt.Chart(inline(rows)).mark_point(
        size=42, shape=series.shape, color=series.colour, strokeWidth=1.5, opacity=1
    )
    tooltip = [
        alt.Tooltip("date:N", title="Date"),
        alt.Tooltip("x:Q", title=days[first], format=".1%"),
        alt.Tooltip("y:Q", title=days[day], format=".1%"),
        alt.Tooltip("users:Q", title="Users", format=","),
    ]
    return marks.encode(
        x=alt.X("x:Q", title=f"{days[first]} →", axis=axis, scale=scale),
        y=alt.Y("y:Q", title=f"↑ {days[day]}", axis=axis, scale=scale),
        tooltip=tooltip,
    ).properties(height=220)


def _standardised(values: pd.Series) -> pd.Series:
    known = values.astype(float)
    spread = known.std()
    return (known - known.mean()) / spread if spread > 0 else known * 0.0
