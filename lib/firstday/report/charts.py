"""Building blocks of charts that every report can use: axes, labels, rows with intervals, lines by date."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from firstday.report.figures import ROOM, Chart, Record, inline
from firstday.report.palette import FAINT, GREY, MUTED, Key


@dataclass(frozen=True)
class Series:
    """One of several measures in a chart, distinguished by colour, by shape and, as a line, by dash."""

    label: str
    colour: str
    shape: str
    filled: bool = True
    dash: tuple[int, ...] | None = None

    def key(self) -> Key:
        return Key(self.label, self.colour, self.shape, self.filled, self.dash)


@dataclass(frozen=True)
class Mark:
    """A measure's value in a row, its interval if it has one, and what hovering shows."""

    series: Series
    value: float | None
    low: float | None = None
    high: float | None = None
    text: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a row chart: a label above its marks."""

    label: str
    marks: tuple[Mark, ...]


def row_chart(rows: Sequence[Row], title: str, *, signed: bool = True, joined: bool = False) -> Chart:
    """Rows of marks with intervals over one axis. Each label stands above its row: a phone has room there.

    The marks of a row lie under one another or, `joined`, on one line with a thin line between them.
    """
    lines = 1 if joined else max(len(row.marks) for row in rows)
    step = 50 if lines < 3 else 66  # pixels a row
    series = list({mark.series.label: mark.series for row in rows for mark in row.marks}.values())
    labels: list[Record] = []
    marks: list[Record] = []
    for index, row in enumerate(rows):
        labels.append({"top": index, "y": index + 0.26, "label": row.label})
        for line, mark in enumerate(row.marks):
            place = index + (0.66 if joined else 0.42 + 0.48 * (line + 0.5) / lines)
            shared: Record = {"label": row.label, "series": mark.series.label, "text": mark.text}
            marks.append(
                shared | {"y": place, "row": index, "x": mark.value, "low": mark.low, "high": mark.high}
            )

    def x(field: str) -> alt.X:
        form = "+.3~r" if signed else ".3~r"
        axis = alt.Axis(format=form, tickCount=ticks(60), labelExpr="datum.value === 0 ? '0' : datum.label")
        return alt.X(f"{field}:Q", title=title, axis=axis, scale=alt.Scale(zero=False))

    def y(field: str) -> alt.Y:
        scale = alt.Scale(domain=[0, len(rows)], reverse=True, nice=False, zero=False)
        return alt.Y(f"{field}:Q", axis=None, scale=scale)

    colours = alt.Color("series:N", scale=_scale(series, [one.colour for one in series]))
    tooltip = [
        alt.Tooltip("label:N", title="What"),
        alt.Tooltip("series:N", title="Measure"),
        alt.Tooltip("text:N", title="Value"),
    ]
    on_labels, on_marks = alt.Chart(inline(labels)), alt.Chart(inline(marks))
    layers = [on_labels.mark_rule(color=FAINT).encode(y=y("top"))]
    layers.append(alt.Chart(inline([{"x": 0}])).mark_rule(color=MUTED).encode(x=x("x")))
    layers += halo_text(
        on_labels.encode(x=alt.value(0), y=y("y")), "label:N", align="left", baseline="middle", limit=2000
    )
    if joined:
        layers.append(
            on_marks.mark_line(color=GREY, strokeWidth=1.2).encode(x=x("x"), y=y("y"), detail="row:N")
        )
    if any(mark.low is not None for row in rows for mark in row.marks):
        bars = on_marks.mark_rule(strokeWidth=2)
        layers.append(bars.encode(x=x("low"), x2="high:Q", y=y("y"), color=colours, tooltip=tooltip))
    points = on_marks.mark_point(size=95, strokeWidth=2, opacity=1, fillOpacity=1)
    layers.append(points.encode(x=x("x"), y=y("y"), tooltip=tooltip, **_looks(series)))
    return alt.layer(*layers).properties(height=len(rows) * step)


def lines_by_date(
    rows: list[Record], series: Sequence[Series], y: alt.Y, tooltip: list[alt.Tooltip], height: int
) -> Chart:
    """One line a series over dates. Rows have date (ISO), value and series (its label)."""
    looks = _looks(series)
    dashes = _scale(series, [list(one.dash or (1, 0)) for one in series])
    base = alt.Chart(inline(rows)).encode(x=_by_date(), y=y)
    line = base.mark_line(strokeWidth=1.6).encode(
        stroke=looks["stroke"], strokeDash=alt.StrokeDash("series:N", scale=dashes)
    )
    points = base.mark_point(size=26, opacity=1, fillOpacity=1, strokeWidth=1.2).encode(
        tooltip=tooltip, **looks
    )
    return alt.layer(line, points).properties(height=height)


def ticks(pixels: int) -> Any:
    """One tick each so many pixels of the panel's width."""
    return alt.ExprRef(f"max(2, floor({ROOM} / {pixels}))")


def halo_text(chart: alt.Chart, field: str, **mark: Any) -> list[alt.Chart]:
    """Text that stays readable on top of marks: a white outline first."""
    outlined = chart.mark_text(stroke="white", strokeWidth=4, strokeJoin="round", **mark)
    return [outlined.encode(text=field), chart.mark_text(**mark).encode(text=field)]


def _by_date() -> alt.X:
    """Dates as days of the calendar, the same in every time zone the page is opened in."""
    axis = alt.Axis(format="%-d %b", tickCount=ticks(90), grid=False, labelOverlap=True)
    return alt.X("date:T", title=None, scale=alt.Scale(type="utc"), axis=axis)


def _looks(series: Sequence[Series]) -> dict[str, Any]:
    """Stroke, fill and shape of each series' marks; hollow ones are filled white."""
    colours = [one.colour for one in series]
    fills = [one.colour if one.filled else "white" for one in series]
    return {
        "stroke": alt.Stroke("series:N", scale=_scale(series, colours)),
        "fill": alt.Fill("series:N", scale=_scale(series, fills)),
        "shape": alt.Shape("series:N", scale=_scale(series, [one.shape for one in series])),
    }


def _scale(series: Sequence[Series], values: Sequence[Any]) -> alt.Scale:
    return alt.Scale(domain=[one.label for one in series], range=list(values))
