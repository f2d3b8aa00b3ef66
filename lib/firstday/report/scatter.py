"""Precision against recall, one mark a candidate: the chart a discover report begins its evidence with."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from firstday.report import words
from firstday.report.charts import halo_text, ticks
from firstday.report.figures import IS_PICKED, Chart, Figure, Panel, Record, inline, records
from firstday.report.palette import CIRCLE, INK, MUTED, RING, Key, Styles

FRONTIER_DASH, BASE_DASH = (6, 3), (2, 2)
Bounds = tuple[float, float]


def scatter(title: str, moments: pd.DataFrame, styles: Styles) -> Figure:
    """Every candidate of one segment on one day."""
    chart = _chart(moments, styles, 440, _bounds(moments["recall"]), _bounds(_heights(moments)))
    description = f"Scatter of precision against recall for {len(moments):,} candidates."
    return Figure("precision_recall", title, description, (Panel(chart, wide=True),), _keys(moments, styles))


def segment_scatter(title: str, moments: pd.DataFrame, segments: Sequence[str], styles: Styles) -> Figure:
    """The same inside each of `segments`, all on the same axes."""
    recall, precision = _bounds(moments["recall"]), _bounds(_heights(moments))
    panels = []
    for segment in segments:
        rows = moments[moments["segment"] == segment]
        users = f"{words.number(rows['users'].iloc[0])} users"
        chart = _chart(rows, styles, 250, recall, precision)
        panels.append(Panel(chart, words.segment(segment), users))
    description = "Scatter of precision against recall inside this segment."
    return Figure("precision_recall_segments", title, description, tuple(panels), _keys(moments, styles))


def _chart(moments: pd.DataFrame, styles: Styles, height: int, recall: Bounds, precision: Bounds) -> Chart:
    x = alt.X(
        "x:Q",
        title="Recall (share of returners that did it) →",
        scale=alt.Scale(domain=list(recall), nice=False),
        axis=alt.Axis(format=".0%", tickCount=ticks(70)),
    )
    y = alt.Y(
        "y:Q",
        title="↑ Precision (share that came back)",
        scale=alt.Scale(domain=list(precision), nice=False),
        axis=alt.Axis(format=".0%", tickCount=6),
    )
    base = alt.Chart(inline(_rows(moments, styles, sum(recall) / 2))).encode(x=x, y=y)
    everyone = alt.Chart(inline(_everyone(moments))).encode(y=y)
    frontier = base.transform_filter("datum.frontier")
    chosen = base.transform_filter("datum.chosen")
    to_the_right, to_the_left = (
        chosen.transform_filter(f"datum.label === '{way}'") for way in ("right", "left")
    )
    name: dict[str, Any] = {"dy": -12, "fontWeight": "bold"}
    layers = [
        everyone.mark_rule(color=MUTED, strokeDash=list(BASE_DASH)),
        _thresholds(base, styles),
        frontier.mark_line(
            interpolate="step-before", color=INK, strokeWidth=1.4, strokeDash=list(FRONTIER_DASH)
        ),
        chosen.mark_point(size=330, color=INK, strokeWidth=2, opacity=1),
        _marks(base, styles),  # after the lines and the ring, which would catch the pointer
        *halo_text(everyone, "text:N", align="left", dy=-7, fontSize=11, color=MUTED, x=4),
        *halo_text(to_the_right, "short:N", align="left", dx=14, **name),
        *halo_text(to_the_left, "short:N", align="right", dx=-14, **name),
    ]
    return alt.layer(*layers).properties(height=height)


def _thresholds(base: alt.Chart, styles: Styles) -> alt.Chart:
    """A thin line from threshold to threshold of each action."""
    strength = alt.when(IS_PICKED).then(alt.value(0.45)).otherwise(alt.value(0.06))
    lines = base.mark_line(strokeWidth=1)
    return lines.encode(
        order="z:Q", detail="series:N", stroke=_by_group(alt.Stroke, styles, "colour"), opacity=strength
    )


def _marks(base: alt.Chart, styles: Styles) -> alt.Chart:
    """The candidates; dropped ones are hollow, those of the actions that share a style are small."""
    return base.mark_point(strokeWidth=1.3).encode(
        stroke=_by_group(alt.Stroke, styles, "colour"),
        fill=_by_group(alt.Fill, styles, "colour"),
        shape=_by_group(alt.Shape, styles, "shape"),
        size=alt.when("datum.leading").then(alt.value(48)).otherwise(alt.value(20)),
        fillOpacity=alt.when("datum.kept").then(alt.value(1)).otherwise(alt.value(0)),
        opacity=alt.when(IS_PICKED).then(alt.value(0.9)).otherwise(alt.value(0.1)),
        tooltip=[
            alt.Tooltip("name:N", title="Candidate"),
            alt.Tooltip("did:N", title="Did it"),
            alt.Tooltip("both:Q", title="and came back", format=","),
            alt.Tooltip("precision:N", title="Precision"),
            alt.Tooltip("recall:N", title="Recall"),
            alt.Tooltip("phi:Q", title="Phi", format=".3f"),
            alt.Tooltip("adjusted:N", title="Adjusted difference"),
            alt.Tooltip("verdict:N", title="Verdict"),
        ],
    )


def _by_group(channel: Any, styles: Styles, look: str) -> Any:
    domain = [style.label for style in styles.all]
    return channel(
        "group:N", scale=alt.Scale(domain=domain, range=[getattr(style, look) for style in styles.all])
    )


def _rows(moments: pd.DataFrame, styles: Styles, middle: float) -> list[Record]:
    """The other actions first and the chosen candidate last, so that it lies on top."""
    codes = {action: code for code, action in enumerate(moments["action"].unique())}
    rows = records(
        moments,
        **{
            "x": "recall",
            "y": "precision",
            "z": "threshold",
            "both": "both",
            "chosen": "chosen",
        },
        series=lambda row: codes[row.action],
        group=lambda row: styles[row.action].label,
        leading=lambda row: row.action in styles.leading,
        kept=lambda row: row.chosen or row.verdict != "dropped",
        frontier=lambda row: words.true(row.on_frontier),
        label=lambda row: "right" if row.recall < middle else "left",
        name=lambda row: words.candidate(row.action, row.threshold, 60),
        short=lambda row: words.candidate(row.action, row.threshold, 22),
        phi=lambda row: words.decimal(row.phi),
        did=lambda row: f"{words.number(row.experienced)} of {words.number(row.users)}",
        precision=lambda row: words.share_with(row.precision, row.precision_low, row.precision_high),
        recall=lambda row: words.share_with(row.recall, row.recall_low, row.recall_high),
        adjusted=lambda row: words.points_with(row.adjusted, row.adjusted_low, row.adjusted_high),
        verdict=lambda row: words.joined(": ", row.verdict, row.reason),
    )
    return sorted(rows, key=lambda row: (row["chosen"], row["leading"]))


def _everyone(moments: pd.DataFrame) -> list[Record]:
    """Retention of the segment's users, the same in all its rows."""
    first = moments.iloc[0]
    share = float(first["retained"] / first["users"])
    return [{"y": share, "text": f"everyone {words.share(share)}"}]


def _heights(moments: pd.DataFrame) -> pd.Series:
    """All that is drawn over the axis of precision: the candidates' and everyone's retention."""
    return pd.concat([moments["precision"], moments["retained"] / moments["users"]]).astype(float)


def _bounds(values: pd.Series) -> Bounds:
    """Of an axis of shares: multiples of 5 % around all values."""
    low, high = np.floor(values.min() * 20) / 20, np.ceil(values.max() * 20) / 20
    return float(low), float(max(high, low + 0.05))


def _keys(moments: pd.DataFrame, styles: Styles) -> tuple[Key, ...]:
    keys = [
        *styles.keys(),
        Key("frontier: no candidate beats these on both", INK, dash=FRONTIER_DASH),
        Key("everyone's retention", MUTED, dash=BASE_DASH),
    ]
    if (moments["verdict"] == "dropped").any():
        keys.append(Key("hollow: dropped", MUTED, CIRCLE, filled=False))
    if moments["chosen"].any():
        keys.append(Key("ring: chosen", INK, RING, filled=False))
    return tuple(keys)
