"""A figure: panels drawn by Altair, shown by Vega in the page and by vl-convert as a PNG: one definition."""

import json
import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from firstday.report import words
from firstday.report.palette import FAINT, INK, MUTED, Key

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"

# Two parameters of every chart. The page's legend sets `picked`, the action that is brought out (null: all).
# `room` is a panel's width in pixels: in the page the chart's own, which the page decides.
PICKED, ROOM = "picked", "room"
WIDTH = 860  # pixels of a whole figure
IS_PICKED = f"{PICKED} === null || datum.group === {PICKED}"

# What Altair's layer() may return; a facet never is among ours.
Chart = alt.Chart | alt.LayerChart | alt.FacetChart
# Altair holds each part of a chart against Vega-Lite's schema, which takes as long as all the rest of a page.
# What a function makes under this is held against it whole, by tests.
unchecked = debug_mode(False)
Record = dict[str, Any]

CONFIG: Record = {
    "font": FONT,
    "background": "white",
    "aria": False,  # the page describes each chart in words; thousands of labelled marks would drown them
    "view": {"stroke": None},
    "axis": {
        **{"labelColor": MUTED, "titleColor": INK, "gridColor": FAINT, "tickColor": FAINT},
        **{"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
        **{"domain": False, "ticks": False, "labelPadding": 5, "titlePadding": 8},
    },
    "axisY": {
        **{"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end"},
        **{"titleX": {"expr": "0"}, "titleY": -10, "titleBaseline": "bottom"},
    },
    "legend": {"disable": True},  # `Figure.keys` are the legend, in the page and in the PNG
    "line": {"strokeJoin": "round"},
    "text": {"color": INK, "fontSize": 12},
    "title": {"anchor": "start", "color": INK, "fontSize": 13, "fontWeight": "bold", "subtitleColor": MUTED},
    "concat": {"spacing": 24},
}
PAGE_CONFIG = CONFIG | {
    "autosize": {"type": "fit-x", "contains": "padding"},
    "padding": {"left": 2, "right": 8, "top": 4, "bottom": 2},
}
PNG_CONFIG = CONFIG | {"padding": 16}


@dataclass(frozen=True)
class Panel:
    """One chart of a figure. Its title and caption are the page's text, and the chart's title in the PNG."""

    chart: Chart
    title: str = ""
    caption: str = ""
    wide: bool = False

    @cached_property
    def spec(self) -> Record:
        """The chart's Vega-Lite specification, of no width yet."""
        return _plain(self.chart)

    def titled(self, width: int) -> Record:
        """The specification with a width, and the chart's title."""
        titled = self.spec | {"width": width}
        if self.title:
            titled["title"] = {"text": self.title} | ({"subtitle": self.caption} if self.caption else {})
        return titled


@dataclass(frozen=True)
class Figure:
    """Charts that belong together, one legend, and what they show in a sentence (read out in their place).

    `name` is the PNG's file name without its ending. A panel that is not wide is half as wide as the page.
    """

    name: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    keys: tuple[Key, ...] = ()

    def specs(self) -> list[Record]:
        """One Vega-Lite specification a panel, as wide as the page lets it be."""
        room = {"name": ROOM, "expr": "width"}
        return [_finished(panel.spec | {"width": "container"}, PAGE_CONFIG, room) for panel in self.panels]

    def png(self, width: int = WIDTH) -> bytes:
        """The whole picture, with twice the pixels so that it stays sharp on a slide."""
        return bytes(vl_convert.vegalite_to_png(self.spec(width), scale=2, allowed_base_urls=[]))

    @property
    def chart(self) -> alt.TopLevelMixin:
        """The whole picture as an Altair chart, to be shown, changed or saved."""
        spec = self.spec(WIDTH)
        kinds = {"vconcat": alt.VConcatChart, "hconcat": alt.HConcatChart, "layer": alt.LayerChart}
        kind: Any = next((kinds[key] for key in kinds if key in spec), alt.Chart)
        with debug_mode(False):
            chart: alt.TopLevelMixin = kind.from_dict(spec, validate=False)
        return chart

    def spec(self, width: int) -> Record:
        """Title, legend and all panels in one Vega-Lite specification, so many pixels wide."""
        half = (width - 90) // 2
        rows = [_plain(_legend(self.keys, width))] if self.keys else []
        waiting: list[Record] = []
        for panel in self.panels:
            if panel.wide:
                rows.append(panel.titled(width))
            else:
                waiting.append(panel.titled(half))
            if waiting and (len(waiting) == 2 or panel is self.panels[-1]):
                rows.append(_together("hconcat", waiting))
                waiting = []
        whole = _together("vconcat", rows) | {"title": {"text": self.title, "fontSize": 16, "offset": 12}}
        return _finished(whole, PNG_CONFIG, {"name": ROOM, "value": half})


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script (0.9 MB), which is part of vl-convert: no network."""
    bundle = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def embedded_json(value: Any) -> Markup:
    """JSON that can stand inside a script element whatever the strings in it hold."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - nothing is left in it that HTML could read


def records(frame: pd.DataFrame, **fields: Callable[[Any], Any] | str) -> list[Record]:
    """One record a row: each field is a column's name or a function of the row (a named tuple).

    Fields have fixed names: a name in the data could hold dots or brackets, which Vega would read as a path.
    """
    return [
        {
            field: json_value(getattr(row, take) if isinstance(take, str) else take(row))
            for field, take in fields.items()
        }
        for row in frame.itertuples(index=False, name="Row")
    ]


def json_value(value: Any) -> Any:
    """A cell as JSON has it: missing and infinite numbers as null, dates as ISO text, six digits."""
    if words.absent(value):
        return None
    if isinstance(value, datetime | date):
        return words.iso_date(value)
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, float):
        return plain
    return float(f"{plain:.6g}") if math.isfinite(plain) else None


class _Shared(alt.InlineData):
    """Rows that the copies of a chart share: Altair copies charts with all they hold, at each step."""

    def __deepcopy__(self, _: object) -> "_Shared":
        return self


def inline(rows: Iterable[Record]) -> alt.InlineData:
    """Rows as a chart's data, without Altair's limit: the callers' tables are bounded."""
    return _Shared(values=list(rows))


def _plain(chart: Chart) -> Record:
    """A chart's specification, without what `_finished` gives the whole. Charts are put together as such:
    Altair would copy all that they hold, once more at each step.
    """
    spec: Record = chart.to_dict(validate=False)
    # $schema is an address; the page says that these are Vega-Lite's.
    return {name: part for name, part in spec.items() if name not in ("$schema", "config")}


def _together(how: str, charts: Sequence[Record]) -> Record:
    """Charts beside (hconcat) or below each other (vconcat); their rows are the whole's."""
    rows = {name: rows for chart in charts for name, rows in chart.get("datasets", {}).items()}
    parts = [{name: part for name, part in chart.items() if name != "datasets"} for chart in charts]
    return {how: parts, "datasets": rows}


def _finished(spec: Record, config: Record, room: Record) -> Record:
    return spec | {"config": config, "params": [{"name": PICKED, "value": None}, room]}


def _legend(keys: Sequence[Key], width: int) -> Chart:
    """The legend as a chart: entries flow from left to right, as they do in the page."""
    across, down = 0, 0
    layers: list[alt.Chart] = []
    for key in keys:
        mark_width = 34 if key.dash else 20
        entry = mark_width + _text_width(key.label) + 22
        if across and across + entry > width:
            across, down = 0, down + 1
        at = alt.Chart(
            inline([{"x": across, "x2": across + mark_width - 6, "y": down + 0.5, "label": key.label}])
        )
        y = alt.Y("y:Q", axis=None)
        if key.dash:
            line = at.mark_rule(color=key.colour, strokeWidth=1.8, strokeDash=list(key.dash))
            layers.append(line.encode(x=alt.X("x:Q", axis=None), x2="x2:Q", y=y))
        if key.shape:
            fill = key.colour if key.filled else "white"
            mark = at.mark_point(
                shape=key.shape,
                size=80,
                stroke=key.colour,
                fill=fill,
                opacity=1,
                strokeWidth=1.5,
                xOffset=mark_width / 2 - 3,
            )
            layers.append(mark.encode(x=alt.X("x:Q", axis=None), y=y))
        text = at.mark_text(align="left", baseline="middle", dx=mark_width, limit=width)
        layers.append(text.encode(x=alt.X("x:Q", axis=None), y=y, text="label:N"))
        across += entry
    x_scale, y_scale = (
        alt.Scale(domain=[0, width], nice=False),
        alt.Scale(domain=[0, down + 1], nice=False, reverse=True),
    )
    for layer in layers:
        layer.encoding.x.scale, layer.encoding.y.scale = x_scale, y_scale
    return alt.layer(*layers).properties(width=width, height=22 * (down + 1))


def _text_width(text: str) -> int:
    """About how many pixels a label takes at 12 px: wide characters (Korean, emoji) take twice as much."""
    return sum(12 if unicodedata.east_asian_width(character) in "WF" else 7 for character in text)
