"""The measure job's figures: forest plots, the effect to date with its band, by age, and over a ramp."""

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import pandas as pd

from firstday.experiments.amounts import Amounts
from firstday.report import words
from firstday.report.charts import Mark, Row, Series, row_chart, ticks
from firstday.report.figures import Chart, Figure, Panel, Record, inline, json_value, records
from firstday.report.palette import BLUE, CIRCLE, DIAMOND, GREY, MUTED, RED, SQUARE, Key, distinct_label

DECIDES = Series("the method that decides", BLUE, DIAMOND)
PLAIN = Series("plain difference, one look", MUTED, CIRCLE, filled=False)
SEGMENT = Series("one segment", BLUE, DIAMOND)
WHOLE = Series("all units", MUTED, SQUARE, filled=False)
TREATED = Series("treated", BLUE, DIAMOND, dash=(1, 0))
NOT_TREATED = Series("control", RED, CIRCLE, filled=False, dash=(5, 3))
FIXED_DASH = (4, 3)
BAND = "#cfe0f3"
# Panels of one figure: (title, caption, rows, how their metric is written).
Curve = tuple[str, str, pd.DataFrame, Amounts]


def forest(name: str, title: str, panels: Sequence[tuple[str, Sequence[Row], str]]) -> Figure:
    """One panel each of (title, rows, axis title)."""
    shown = {mark.series.label: mark.series for _, rows, _ in panels for row in rows for mark in row.marks}
    count = sum(len(rows) for _, rows, _ in panels)
    return Figure(
        name,
        title,
        f"{title}: {count} effects with their intervals; the line at 0 is no effect.",
        tuple(Panel(row_chart(rows, axis), heading, wide=len(panels) == 1) for heading, rows, axis in panels),
        tuple(series.key() for series in shown.values()),
    )


def mark(series: Series, row: Any, amount: Amounts) -> Mark:
    """An effect with its interval, in the unit that `amount` writes."""
    value, low, high = (
        None if words.absent(each) else each * amount.scale for each in (row.estimate, row.low, row.high)
    )
    return Mark(series, value, low, high, amount.effect_with(row.estimate, row.low, row.high))


def axis_title(amount: Amounts) -> str:
    """Of an axis of effects."""
    return f"Treatment less control{_comma(amount)} →"


def to_date(title: str, curves: Sequence[Curve]) -> Figure:
    """The effect of all units up to each date. Rows have method: difference_to_date or always_valid."""
    band = (
        [Key("holds at all looks together", BAND, SQUARE)]
        if any(has_band(own) for _, _, own, _ in curves)
        else []
    )
    keys = (
        Key("effect to date", BLUE, DIAMOND, dash=(1, 0)),
        *band,
        Key("holds at one look only", GREY, dash=FIXED_DASH),
    )
    panels = tuple(
        Panel(_band(rows, amount), heading, caption, wide=len(curves) == 1)
        for heading, caption, rows, amount in curves
    )
    return Figure("to_date", title, "The effect to date by date, with intervals around it.", panels, keys)


def has_band(rows: pd.DataFrame) -> bool:
    """Whether there is an interval that holds at all looks."""
    sequence = rows[rows["method"] == "always_valid"]
    return bool((sequence["low"].notna() | sequence["high"].notna()).any())


def by_age(title: str, curves: Sequence[Curve]) -> Figure:
    """The effect on each day since the assignment. Rows have part: the age in days."""
    panels = tuple(
        Panel(
            _points(
                rows.assign(place=rows["part"].astype(float)),
                amount,
                _age_axis(rows["part"].astype(float)),
                "Age, days",
            ),
            heading,
            caption,
            wide=len(curves) == 1,
        )
        for heading, caption, rows, amount in curves
    )
    description = "The effect by days since the assignment, with intervals."
    return Figure("by_age", title, description, panels, (Key("effect at that age", BLUE, DIAMOND),))


def ramp(title: str, curves: Sequence[Curve]) -> Figure:
    """Two panels each: both arms as the treated share grows, and the effect by stage."""
    panels = []
    for heading, caption, rows, amount in curves:
        used: set[str] = set()
        order = [
            distinct_label(f"{100 * row.n_treatment / (row.n_treatment + row.n_control):.2g}%", used)
            for row in rows.itertuples(index=False)
        ]
        staged = rows.assign(place=order)
        axis = alt.X(
            "place:N",
            title="Treated share of the stage →",
            sort=order,
            scale=alt.Scale(padding=0.5),
            axis=alt.Axis(labelAngle=0, grid=False),
        )
        panels.append(Panel(_arms(staged, amount, axis), heading, "Both arms, stage by stage"))
        panels.append(
            Panel(_points(staged, amount, axis, "Treated share"), f"{heading}: the effect", caption)
        )
    keys = (TREATED.key(), NOT_TREATED.key(), Key("effect by stage", BLUE, DIAMOND))
    return Figure(
        "ramp", title, "Both arms and their difference as the treated share grows.", tuple(panels), keys
    )


def _band(rows: pd.DataFrame, amount: Amounts) -> Chart:
    """Estimate, fixed-horizon bounds as dashed lines, always-valid band behind them."""
    points = _effects(rows, amount, date="date", method="method")
    valid = [row for row in points if row["method"] == "always_valid"]
    fixed = [row for row in points if row["method"] != "always_valid"]
    low, high = _seen(points)
    scale = alt.Scale(domain=[low, high], nice=True, zero=False)
    axis = _effect_axis()
    y = alt.Y("value:Q", title=_unit(amount), scale=scale, axis=axis)
    dates = alt.Axis(format="%-d %b", tickCount=ticks(90), grid=False, labelOverlap=True)
    x = alt.X("date:T", title=None, scale=alt.Scale(type="utc"), axis=dates)
    tooltip = [alt.Tooltip("date:T", title="Until", format="%Y-%m-%d"), *_effect_tooltips()]
    behind = alt.Chart(inline(valid)).mark_area(color=BAND, clip=True)
    layers: list[Any] = [
        behind.encode(x=x, y=alt.Y("low:Q", title=_unit(amount), scale=scale, axis=axis), y2="high:Q"),
        alt.Chart(inline([{"value": 0}])).mark_rule(color=MUTED).encode(y=y),
    ]
    for bound in ("low", "high"):
        line = alt.Chart(inline(fixed)).mark_line(
            color=GREY, strokeWidth=1.2, strokeDash=list(FIXED_DASH), clip=True
        )
        layers.append(line.encode(x=x, y=alt.Y(f"{bound}:Q", title=_unit(amount), scale=scale, axis=axis)))
    drawn = alt.Chart(inline(fixed or valid)).encode(x=x, y=y)
    layers.append(drawn.mark_line(color=BLUE, strokeWidth=1.8))
    layers.append(alt.Chart(inline(points)).encode(x=x, y=y, tooltip=tooltip).mark_point(
        shape=DIAMOND, size=36, color=BLUE, fill=BLUE, opacity=1
    ))  # fmt: skip
    return alt.layer(*layers).properties(height=260)


def _seen(rows: Sequence[Record]) -> tuple[float, float]:
    """Heights that show the last two thirds of the dates whole: the first bands dwarf all that follows."""
    dates = sorted({row["date"] for row in rows})
    late = [row for row in rows if row["date"] >= dates[len(dates) // 3]]
    ends = [row[end] for row in late for end in ("low", "high") if row[end] is not None]
    ends += [row["value"] for row in rows if row["value"] is not None]
    return min([0.0, *ends]), max([0.0, *ends])


def _points(rows: pd.DataFrame, amount: Amounts, x: alt.X, place: str) -> Chart:
    """Effects with intervals, upright, around the line of no effect. Rows have place: where they stand."""
    points = _effects(rows, amount, place="place")
    axis = _effect_axis()

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=_unit(amount), axis=axis, scale=alt.Scale(zero=True))

    kind = "N" if rows["place"].dtype == object else "Q"
    tooltip = [alt.Tooltip(f"place:{kind}", title=place), *_effect_tooltips()]
    base = alt.Chart(inline(points)).encode(x=x, tooltip=tooltip)
    return alt.layer(
        alt.Chart(inline([{"value": 0}])).mark_rule(color=MUTED).encode(y=y("value")),
        base.mark_rule(color=BLUE, strokeWidth=2).encode(y=y("low"), y2="high:Q"),
        base.mark_point(shape=DIAMOND, size=60, color=BLUE, fill=BLUE, opacity=1).encode(y=y("value")),
    ).properties(height=220)


def _arms(rows: pd.DataFrame, amount: Amounts, x: alt.X) -> Chart:
    """The value of both arms, a line each."""
    axis = alt.Axis(format=".3~r", tickCount=5)
    tooltip = [
        alt.Tooltip("place:N", title="Treated share"),
        alt.Tooltip("series:N", title="Arm"),
        alt.Tooltip("text:N", title="Value"),
        alt.Tooltip("units:N", title="Units"),
    ]
    layers: list[alt.Chart] = []
    for series, arm in ((TREATED, "treatment"), (NOT_TREATED, "control")):
        arm_rows = [row | {"series": series.label} for row in _arm(rows, arm, amount)]
        y = alt.Y("value:Q", title=amount.plain, axis=axis, scale=alt.Scale(zero=False))
        own = alt.Chart(inline(arm_rows)).encode(x=x, y=y)
        layers.append(own.mark_line(color=series.colour, strokeDash=list(series.dash or (1, 0))))
        fill = series.colour if series.filled else "white"
        points = own.mark_point(
            shape=series.shape, size=60, color=series.colour, fill=fill, opacity=1, fillOpacity=1
        )
        layers.append(points.encode(tooltip=tooltip))
    return alt.layer(*layers).properties(height=220)


def _arm(rows: pd.DataFrame, arm: str, amount: Amounts) -> list[Record]:
    return records(
        rows,
        place="place",
        value=lambda row: _drawn(getattr(row, f"value_{arm}"), amount),
        text=lambda row: amount.arm_value(getattr(row, f"value_{arm}")),
        units=lambda row: words.number(getattr(row, f"n_{arm}")),
    )


def _effects(rows: pd.DataFrame, amount: Amounts, **fields: Callable[[Any], Any] | str) -> list[Record]:
    """Records with value, low and high as drawn, and as text."""
    return records(
        rows,
        value=lambda row: _drawn(row.estimate, amount),
        low=lambda row: _drawn(row.low, amount),
        high=lambda row: _drawn(row.high, amount),
        text=lambda row: amount.effect_with(row.estimate, row.low, row.high),
        units=lambda row: f"{words.number(row.n_treatment)} and {words.number(row.n_control)}",
        **fields,
    )


def _drawn(value: Any, amount: Amounts) -> Any:
    return None if words.absent(value) else json_value(float(value) * amount.scale)


def _effect_tooltips() -> list[alt.Tooltip]:
    return [alt.Tooltip("text:N", title="Effect"), alt.Tooltip("units:N", title="Units, treated and control")]


def _effect_axis() -> alt.Axis:
    return alt.Axis(format="+.3~r", tickCount=5, labelExpr="datum.value === 0 ? '0' : datum.label")


def _unit(amount: Amounts) -> str:
    return f"Effect{_comma(amount)}"


def _comma(amount: Amounts) -> str:
    """', points', ', EUR per user'"""
    return f",{amount.unit}" if amount.unit else ""


def _age_axis(ages: pd.Series) -> alt.X:
    axis = alt.Axis(format="d", tickMinStep=1, tickCount=ticks(60), grid=False)
    domain = [float(ages.min()) - 0.5, float(ages.max()) + 0.5]
    return alt.X(
        "place:Q",
        title="Days since the assignment →",
        axis=axis,
        scale=alt.Scale(domain=domain, nice=False),
    )
