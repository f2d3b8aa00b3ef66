"""Discover's figures: precision against recall, adjusted differences, dates, the funnel, families."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from firstday.report import words
from firstday.report.charts import Mark, Row, Series, halo_text, lines_by_date, row_chart, ticks
from firstday.report.figures import IS_PICKED, Chart, Figure, Panel, Record, inline, records
from firstday.report.palette import (
    BLUE,
    CIRCLE,
    COLOURS,
    DASHES,
    DIAMOND,
    GREY,
    INK,
    MUTED,
    RED,
    RING,
    SHAPES,
    SQUARE,
    Key,
    Styles,
)

FRONTIER_DASH, BASE_DASH = (6, 3), (2, 2)
Bounds = tuple[float, float]
CRUDE = Series("as counted", MUTED, CIRCLE, filled=False)
WITHIN_SEGMENTS = Series("users of the same segment", RED, SQUARE, filled=False)
ADJUSTED = Series("same segment, as much other activity", BLUE, DIAMOND)
EXPECTED = Series("if it only measured engagement", MUTED, CIRCLE, filled=False)
OBSERVED = Series("as it is", BLUE, DIAMOND)
DID = Series("share that did it", BLUE, CIRCLE, dash=(1, 0))
CAME_BACK = Series("share that came back", RED, DIAMOND, filled=False, dash=(5, 3))
POINTS = "Difference in retention, percentage points →"
WIDTH, HEIGHT, GAP_X, GAP_Y = 150, 30, 90, 16


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
        text = f"{words.decimal(row.observed, 4)} (Bayes factor {words.factor(row.within_factor)})"
        marks = (
            Mark(EXPECTED, row.expected, text=words.decimal(row.expected, 4)),
            Mark(OBSERVED, row.observed, text=text),
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
    text = words.points_with(value, low, high)
    value, low, high = (None if words.absent(share) else 100 * share for share in (value, low, high))
    return Mark(series, value, low, high, text)


def _series_rows(series: Series, dates: pd.DataFrame, column: str, values: pd.Series) -> list[Record]:
    """Rows for `lines_by_date`: what is drawn (`values`) and the share that hovering shows (`column`)."""
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
    deviation = known.std()
    return (known - known.mean()) / deviation if deviation > 0 else known * 0.0


@dataclass(frozen=True)
class Node:
    """A box: its corner, its text, and whether it is the action that the graph is of."""

    x: int
    y: int
    text: str
    marked: bool


@dataclass(frozen=True)
class Arrow:
    """From box to box, with what is said at its middle."""

    x1: int
    y1: int
    x2: int
    y2: int
    text: str


@dataclass(frozen=True)
class Graph:
    """Boxes and arrows in units of pixels."""

    width: int
    height: int
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    text: str


def family_graph(links: pd.DataFrame, action: str) -> Graph | None:
    """Of the actions that lead to `action` or follow from it, from left to right; None where there are none.

    links: leader, follower, lead.
    """
    pairs = {
        (row.leader, row.follower): float(row.lead)
        for row in links.sort_values(["leader", "follower"]).itertuples(index=False, name="Row")
    }
    # Where two lead each other, the larger lead counts.
    pairs = {pair: lead for pair, lead in pairs.items() if lead >= pairs.get(pair[::-1], 0.0)}
    names = {action}
    while True:
        reached = names | {name for pair in pairs if names & set(pair) for name in pair}
        if reached == names:
            break
        names = reached
    if len(names) == 1:
        return None
    own = {pair: lead for pair, lead in pairs.items() if set(pair) <= names}
    column = dict.fromkeys(names, 0)
    for _ in names:  # the longest way to each; a circle ends it
        for leader, follower in own:
            column[follower] = max(column[follower], min(column[leader] + 1, len(names) - 1))
    place: dict[str, tuple[int, int]] = {}
    rows: dict[int, int] = {}
    used = {number: at for at, number in enumerate(sorted(set(column.values())))}
    for name in sorted(names, key=lambda one: (column[one], one)):
        at = used[column[name]]
        place[name] = (at * (WIDTH + GAP_X), rows.get(at, 0) * (HEIGHT + GAP_Y))
        rows[at] = rows.get(at, 0) + 1
    nodes = tuple(Node(*place[name], words.name(name, 20), name == action) for name in sorted(names))
    arrows = tuple(
        Arrow(
            place[leader][0] + WIDTH,
            place[leader][1] + HEIGHT // 2,
            place[follower][0],
            place[follower][1] + HEIGHT // 2,
            words.share(lead, 0),
        )
        for (leader, follower), lead in own.items()
    )
    said = "; ".join(
        f"{words.name(leader)} comes before {words.share(lead, 0)} of {words.name(follower)}, in 30 minutes"
        for (leader, follower), lead in own.items()
    )
    width = len(used) * (WIDTH + GAP_X) - GAP_X
    return Graph(width, max(rows.values()) * (HEIGHT + GAP_Y) - GAP_Y, nodes, arrows, said)
