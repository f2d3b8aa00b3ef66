"""The label job's figures: scores, thresholds, rules and which of them overlap, what an audit says."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from firstday.labels.decision import Decision, Distribution
from firstday.report import words
from firstday.report.charts import Mark, Row, Series, halo_text, row_chart, ticks
from firstday.report.figures import ROOM, Figure, Panel, Record, inline, json_value
from firstday.report.palette import (
    BLUE,
    CIRCLE,
    COLOURS,
    DIAMOND,
    GREY,
    INK,
    RED,
    SHAPES,
    SQUARE,
    Key,
    distinct_label,
)
from firstday.stats.shares import wilson

DIGITS = 6  # of a score that is nearly 0 or 1: so many distinguish rows
BINS = 40  # of the score
FEWEST = 0.7  # rows where a logarithmic axis of counts begins, so that one row is seen
SILENT = (-0.09, -0.05)  # where the bar of rows without votes stands, left of the score 0
MOST_NAMES = 300  # of rules, that a place is looked for
MOST_RULES = 24  # in the matrix: more are unreadable on a phone
THRESHOLD_DASH = (5, 3)
SCORED = "#9db8d6"
APART, HALF = "#dbe5f1", "#789ecb"  # of two rules that never vote alike, and that do half the time
SEVERAL = "several classes"
WIDTHS = (300, 420, 560, 700, 840)  # of a chart, pixels: a name is written from the first one that has room
PRECISION = Key("expected precision: share of those called that are right", BLUE, dash=(1, 0))
RECALL = Key("expected recall: share of the class that is called", RED, dash=(6, 3))
CHECKED = Series("share found by hand, with 95% limits", INK, CIRCLE)
BEFORE = Series("mean score before the audit", RED, DIAMOND, filled=False)
AFTER = Series("mean score after it", BLUE, SQUARE)


def scores(title: str, found: Distribution, decision: Decision | None, positive: str) -> Figure:
    """Rows by P(positive) over a logarithmic axis, those without votes apart, and the threshold."""
    edges = np.linspace(0, 1, BINS + 1)
    rows, _ = np.histogram(found.probability, edges, weights=found.rows)
    expected, _ = np.histogram(found.probability, edges, weights=found.rows * found.probability)
    bars: list[Record] = [
        _bar(low, high, number, hits, f"{words.decimal(low)} to {words.decimal(high)}")
        for low, high, number, hits in zip(edges, edges[1:], rows, expected, strict=False)
        if number > 0
    ]
    silent: list[Record] = []
    if found.silent_rows:
        text = f"{score(found.silent)}, no rule votes"
        silent = [_bar(*SILENT, found.silent_rows, found.silent_rows * found.silent, text)]
    most = max([1.0, *(bar["rows"] for bar in [*bars, *silent])])
    powers = [10.0**power for power in range(int(np.ceil(np.log10(most))) + 1)]
    x_title = f"Score: P({words.name(positive, 24)}) →"
    x_scale = alt.Scale(domain=[SILENT[0] - 0.02 if silent else 0, 1], nice=False)
    x_axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f", grid=False)

    def x(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=x_title, scale=x_scale, axis=x_axis)

    y_scale = alt.Scale(type="log", domain=[FEWEST, most * 1.6], nice=False)
    y_axis = alt.Axis(values=powers, format=",.0f")

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title="Rows (each line is ten times more)", scale=y_scale, axis=y_axis)

    tooltip = [
        alt.Tooltip("text:N", title="Score"),
        alt.Tooltip("rows:Q", title="Rows", format=",.0f"),
        alt.Tooltip("expected:Q", title="Expected positives", format=",.1f"),
    ]
    layers: list[Any] = []
    for some, colour in ((bars, SCORED), (silent, GREY)):
        if some:
            base = alt.Chart(inline(some)).mark_rect(fill=colour, stroke="white", strokeWidth=0.5)
            layers.append(base.encode(x=x("low"), x2="high:Q", y=y("rows"), y2="zero:Q", tooltip=tooltip))
    seen = [bar for bar in [*bars, *silent] if bar["expected"] >= FEWEST]
    marks = alt.Chart(inline(seen)).mark_point(shape=DIAMOND, size=34, color=RED, fill=RED, opacity=1)
    layers.append(marks.encode(x=x("middle"), y=y("expected"), tooltip=tooltip))
    keys = [Key("rows with a vote", SCORED, SQUARE)]
    if silent:
        keys.append(Key("rows that no rule votes on", GREY, SQUARE))
    keys.append(Key(f"of these expected to be {words.name(positive, 32)}", RED, DIAMOND))
    if decision is not None and decision.called > 0:
        line = alt.Chart(inline([{"low": decision.threshold}]))
        layers.append(
            line.mark_rule(color=INK, strokeWidth=1.6, strokeDash=list(THRESHOLD_DASH)).encode(x=x("low"))
        )
        label = f"called from a score of {score(decision.threshold)}"
        keys.append(Key(label, INK, dash=THRESHOLD_DASH))
    description = f"Rows by their score, {words.number(found.total)} in all, over a logarithmic axis."
    panel = Panel(alt.layer(*layers).properties(height=260), wide=True)
    return Figure("scores", title, description, (panel,), tuple(keys))


def threshold_lines(title: str, moves: pd.DataFrame, decision: Decision | None) -> Figure:
    """Expected precision and recall over the number of rows called, the most likely first."""
    series = ((PRECISION, "precision"), (RECALL, "recall"))
    rows: list[Record] = [
        {
            "called": json_value(row.called),
            "value": json_value(getattr(row, column)),
            "series": one.label,
            "text": f"{score(row.threshold)} and above",
            "missed": words.number(row.missed),
        }
        for one, column in series
        for row in moves.itertuples(index=False, name="Row")
    ]
    x = alt.X(
        "called:Q",
        title="Rows called, the highest scores first →",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(format=",.0f", tickCount=ticks(80), grid=False, labelOverlap=True),
    )
    y = alt.Y(
        "value:Q",
        title="Expected share",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", tickCount=5),
    )
    tooltip = [
        alt.Tooltip("series:N", title="What"),
        alt.Tooltip("value:Q", title="Share", format=".1%"),
        alt.Tooltip("called:Q", title="Rows called", format=",.0f"),
        alt.Tooltip("text:N", title="Score"),
        alt.Tooltip("missed:N", title="Expected missed"),
    ]
    layers: list[Any] = []
    for one, _ in series:
        own = alt.Chart(inline([row for row in rows if row["series"] == one.label])).encode(x=x, y=y)
        layers.append(own.mark_line(color=one.colour, strokeWidth=2, strokeDash=list(one.dash or (1, 0))))
        layers.append(own.mark_point(size=60, opacity=0).encode(tooltip=tooltip))
    keys = [PRECISION, RECALL]
    if decision is not None and decision.called > 0:
        expected = decision.called * decision.precision
        all_of_them = expected + decision.missed
        chosen = [
            {"called": decision.called, "value": json_value(value)}
            for value in (decision.precision, expected / all_of_them if all_of_them > 0 else None)
        ]
        at = alt.Chart(inline(chosen)).encode(x=x)
        layers.append(at.mark_rule(color=INK, strokeWidth=1.4, strokeDash=list(THRESHOLD_DASH)))
        layers.append(at.mark_point(size=90, color=INK, fill=INK, opacity=1).encode(y=y))
        keys.append(Key(f"as chosen: {words.number(decision.called)} rows", INK, CIRCLE, dash=THRESHOLD_DASH))
    description = "Expected precision and recall as more rows are called."
    panel = Panel(alt.layer(*layers).properties(height=260), wide=True)
    return Figure("threshold", title, description, (panel,), tuple(keys))


def score(value: float) -> str:
    """0.3312 → '0.331'; 0.999987 → '0.999987', since it is not 1."""
    return words.decimal(value, 3 if 0.0005 <= value < 0.9995 or value in (0, 1) else DIGITS)


def rules(title: str, summary: pd.DataFrame, total: float, classes: Sequence[str], positive: int) -> Figure:
    """Coverage against learned precision with its interval, coloured by the class that is voted for."""
    looks = class_series(classes, positive)
    drawn = summary[(summary["coverage"] > 0) & summary["learned_accuracy"].notna()]
    rows: list[Record] = []
    used: set[str] = set()
    for row in drawn.itertuples(index=False, name="Row"):
        low, high = map(float, wilson(row.learned_accuracy, row.coverage * total))
        series = looks[int(row.polarity[0])] if len(row.polarity) == 1 else looks[-1]
        rows.append(
            {
                "name": distinct_label(words.name(row.function, 40), used),
                "short": words.name(row.function, 22),
                "series": series.label,
                "x": json_value(float(row.coverage)),
                "y": json_value(float(row.learned_accuracy)),
                "low": json_value(low),
                "high": json_value(high),
                "text": words.share_with(row.learned_accuracy, low, high),
                "votes": words.number(float(row.coverage) * total),
                "verdict": str(row.verdict),
            }
        )
    least = min(row["x"] for row in rows)
    bounds = [least / 1.6, min(1.0, max(row["x"] for row in rows) * 2)]
    _make_room(rows, bounds, 320)
    shown = [one for one in looks.values() if any(row["series"] == one.label for row in rows)]
    x = alt.X(
        "x:Q",
        title="Coverage (share of all rows that it votes on) →",
        scale=alt.Scale(type="log", domain=bounds, nice=False),
        axis=alt.Axis(format=".2~%", tickCount=ticks(90), labelOverlap=True, grid=False),
    )

    def y(field: str) -> alt.Y:
        axis = alt.Axis(format=".0%", tickCount=5)
        return alt.Y(f"{field}:Q", title="Learned precision", scale=alt.Scale(domain=[0, 1]), axis=axis)

    def scale(look: str) -> alt.Scale:
        return alt.Scale(domain=[one.label for one in shown], range=[getattr(one, look) for one in shown])

    tooltip = [
        alt.Tooltip("name:N", title="Rule"),
        alt.Tooltip("series:N", title="Votes for"),
        alt.Tooltip("votes:N", title="Votes"),
        alt.Tooltip("text:N", title="Learned precision"),
        alt.Tooltip("verdict:N", title="Verdict"),
    ]
    base = alt.Chart(inline(rows)).encode(x=x)
    colour = alt.Color("series:N", scale=scale("colour"))
    fill, shape = alt.Fill("series:N", scale=scale("colour")), alt.Shape("series:N", scale=scale("shape"))
    named = base.encode(y=y("y")).transform_filter(f"datum.room <= {ROOM}")
    points = base.mark_point(size=70, opacity=1, fillOpacity=1, strokeWidth=1)
    layers = [
        base.mark_rule(strokeWidth=2).encode(y=y("low"), y2="high:Q", color=colour, tooltip=tooltip),
        points.encode(y=y("y"), stroke=colour, fill=fill, shape=shape, tooltip=tooltip),
        *halo_text(named, "short:N", align="left", dx=9, fontSize=11),
    ]
    description = f"Coverage and learned precision of {len(rows)} rules, with intervals."
    panel = Panel(alt.layer(*layers).properties(height=320), wide=True)
    return Figure("rules", title, description, (panel,), tuple(one.key() for one in shown))


def class_series(classes: Sequence[str], positive: int) -> dict[int, Series]:
    """A look for each class, the one that is called in red; -1: for several classes."""
    rest = [colour for colour in COLOURS if colour != RED]
    used: set[str] = set()
    looks = {}
    for number, name in enumerate(classes):
        label = distinct_label(f"votes for {words.name(name, 32)}", used)
        rank = number - (number > positive)
        colour = RED if number == positive else rest[rank % len(rest)]
        shape = DIAMOND if number == positive else SHAPES[rank % 3]
        looks[number] = Series(label, colour, shape)
    looks[-1] = Series(distinct_label(f"votes for {SEVERAL}", used), GREY, SQUARE, filled=False)
    return looks


def repeated(overlaps: pd.DataFrame, summary: pd.DataFrame, total: float) -> pd.DataFrame:
    """The pairs with `repeats`: of the rarer rule's votes, the share that the other repeats with the same
    vote; the greatest first. The rarer rule stands in `rarer`, the other in `wider`.
    """
    votes = dict(zip(summary["function"], summary["coverage"] * total, strict=True))
    one, other = overlaps["function"].map(votes), overlaps["other"].map(votes)
    alike = overlaps["rows"] * overlaps["agreement"]
    first = one <= other
    return (
        overlaps.assign(
            repeats=(alike / np.maximum(np.minimum(one, other), 1)).clip(0, 1),
            rarer=overlaps["function"].where(first, overlaps["other"]),
            wider=overlaps["other"].where(first, overlaps["function"]),
        )
        .sort_values(["repeats", "rows", "rarer", "wider"], ascending=[False, False, True, True])
        .reset_index(drop=True)
    )


def overlap_matrix(title: str, pairs: pd.DataFrame, order: Sequence[str]) -> Figure:
    """pairs: as `repeated` returns them. order: the rules, alike ones beside each other; of more than
    MOST_RULES those in the closest pairs.
    """
    kept: dict[str, None] = {}
    for row in pairs.itertuples(index=False):
        for name in (row.rarer, row.wider):
            if len(kept) < MOST_RULES:
                kept.setdefault(name)
    rank = {name: at for at, name in enumerate(name for name in order if name in kept)}
    used: set[str] = set()
    labels = {name: distinct_label(words.name(name, 16), used) for name in rank}
    cells: list[Record] = []
    for row in pairs.itertuples(index=False, name="Row"):
        if row.rarer not in rank or row.wider not in rank:
            continue
        cell = {
            "rarer": words.name(row.rarer, 40),
            "wider": words.name(row.wider, 40),
            "repeats": json_value(float(row.repeats)),
            "rows": int(row.rows),
            "agreement": json_value(float(row.agreement)),
            "figure": f"{100 * row.repeats:.0f}",
            "dark": bool(row.repeats > 0.7),
        }
        for one, other in ((row.rarer, row.wider), (row.wider, row.rarer)):
            cells.append(cell | {"one": labels[one], "other": labels[other]})
    names = list(labels.values())
    looks: dict[str, Any] = {"title": None, "sort": names, "scale": alt.Scale(domain=names)}
    x = alt.X("other:N", axis=alt.Axis(labelAngle=-90, labelLimit=110, grid=False), **looks)
    y = alt.Y("one:N", axis=alt.Axis(labelLimit=120, grid=False), **looks)
    tooltip = [
        alt.Tooltip("rarer:N", title="Rarer rule"),
        alt.Tooltip("wider:N", title="Other rule"),
        alt.Tooltip("repeats:Q", title="Of the rarer one's votes repeated", format=".1%"),
        alt.Tooltip("rows:Q", title="Rows with both", format=","),
        alt.Tooltip("agreement:Q", title="On these they agree", format=".1%"),
    ]
    base = alt.Chart(inline(cells)).encode(x=x, y=y)
    shade = alt.Scale(domain=[0, 1], range=[APART, BLUE], interpolate="rgb")
    heat = base.mark_rect(stroke="white", strokeWidth=1).encode(
        color=alt.Color("repeats:Q", scale=shade), tooltip=tooltip
    )
    figure = base.transform_filter(f"{ROOM} >= {24 * len(names)}")
    ink = alt.when("datum.dark").then(alt.value("white")).otherwise(alt.value(INK))
    written = figure.mark_text(fontSize=11).encode(text="figure:N", color=ink)
    chart = alt.layer(heat, written).properties(height=max(120, 24 * len(names)))
    description = f"How far {len(names)} rules repeat each other's votes, as a matrix."
    keys = (
        Key("0%: never vote alike", APART, SQUARE),
        Key("50%", HALF, SQUARE),
        Key("100%: the rarer rule is always repeated", BLUE, SQUARE),
    )
    return Figure("overlaps", title, description, (Panel(chart, wide=True),), keys)


def reliability(title: str, strata: pd.DataFrame, positive: str) -> Figure:
    """By stratum: the score before and after the audit against the share found by hand."""
    rows = []
    for row in strata.itertuples(index=False, name="Row"):
        label = (
            f"{words.name(row.stratum, 32)} · {words.number(row.positive)} of "
            f"{words.number(row.answered)} checked are {words.name(positive, 20)}"
        )
        audited = row.positive / row.answered if row.answered else None
        marks = [
            _percent(CHECKED, audited, row.low, row.high),
            _percent(BEFORE, row.told),
            _percent(AFTER, row.recalibrated),
        ]
        rows.append(Row(label, tuple(marks)))
    chart = row_chart(rows, f"Share that is {words.name(positive, 24)}, percent →", signed=False)
    description = f"Scores against what was found by hand, in {len(rows)} strata."
    keys = tuple(series.key() for series in (CHECKED, BEFORE, AFTER))
    return Figure("reliability", title, description, (Panel(chart, wide=True),), keys)


def _percent(series: Series, value: Any, low: Any = None, high: Any = None) -> Mark:
    """A share as a mark in percent."""
    text = words.share_with(value, low, high)
    value, low, high = (
        None if words.absent(each) else json_value(100 * float(each)) for each in (value, low, high)
    )
    return Mark(series, value, low, high, text)


def _bar(low: float, high: float, rows: float, expected: float, text: str) -> Record:
    return {
        **{"low": json_value(float(low)), "high": json_value(float(high)), "zero": FEWEST},
        **{"middle": json_value((float(low) + float(high)) / 2), "rows": json_value(float(rows))},
        **{"expected": json_value(float(expected)), "text": text},
    }


def _make_room(rows: list[Record], bounds: Sequence[float], height: int) -> None:
    """`room` of each row: the least width of the chart at which its name covers no other name or mark; those
    that need attention are placed first. Where there is never room, more than any chart has.
    """
    span = np.log(bounds[1] / bounds[0])
    order = sorted(range(len(rows)), key=lambda at: (rows[at]["verdict"] == "fine", -rows[at]["x"]))
    order = order[:MOST_NAMES]
    for row in rows:
        row["room"] = 10_000
    down = [(1 - row["y"]) * height for row in rows]
    for width in reversed(WIDTHS):
        plot = width - 50  # less the axis
        across = [float(np.log(row["x"] / bounds[0]) / span * plot) for row in rows]
        # Left and right end, and height, of the marks and of the names that have a place.
        taken = [(x - 5, x + 5, y) for x, y in zip(across, down, strict=True)]
        named = []
        for at in order:
            left = across[at] + 9
            right = left + 6.5 * len(rows[at]["short"])
            if right < plot and all(
                right < start or left > end or abs(down[at] - level) > 11 for start, end, level in taken
            ):
                taken.append((left, right, down[at]))
                rows[at]["room"] = width
                named.append(at)
        order = named  # what has no room here has none in a narrower chart
