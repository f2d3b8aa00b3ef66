"""A page: an answer at the top, then sections of evidence. One HTML file that needs no network.

A report of any job is a template that extends `base.html.j2`, a `Page`, and figures. What may run in the page
is named by hash in its content security policy: a name in the data could not run even if it were not escaped.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup

from firstday.answer import Fact
from firstday.redact import redacted, redacted_values
from firstday.report import words
from firstday.report.figures import Figure, embedded_json, vega_bundle

TABLE_ROWS = 200

if TYPE_CHECKING:
    import altair as alt

# How a run was made: captions, each with names and values.
Run = Sequence[tuple[str, Sequence[tuple[str, str]]]]
# What one column of a table shows: a row (a named tuple of the frame) to text.
Cell = Callable[[Any], str]


@dataclass(frozen=True)
class Table:
    """Rows of text under a caption. `cards`: on a phone each row becomes a block, instead of scrolling."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()
    note: str = ""
    cards: bool = False
    opened: bool = False


@dataclass(frozen=True)
class Section:
    """One piece of evidence: what it shows in a sentence, how to read it, the figure, its numbers.

    Without a figure and tables, `nothing` says why there is nothing to show.
    """

    id: str
    title: str
    findings: tuple[str, ...] = ()
    how_to_read: str = ""
    figure: Figure | None = None
    tables: tuple[Table, ...] = ()
    nothing: str = ""


@dataclass(frozen=True)
class Tile:
    """One figure of the answer: a label, the value, and what it means."""

    label: str
    value: str
    meaning: str = ""


@dataclass(frozen=True)
class Page:
    """What every report has. A template may take more (see `render`)."""

    title: str
    about: str
    sections: tuple[Section, ...]
    words: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Report:
    """The page, and what is drawn in it."""

    html: str
    drawn: tuple[Figure, ...] = ()

    @cached_property
    def figures(self) -> dict[str, bytes]:
        """Each figure as a PNG, by file name. Takes about half a second a figure."""
        return {f"{figure.name}.png": figure.png() for figure in self.drawn}

    @property
    def charts(self) -> dict[str, "alt.TopLevelMixin"]:
        """Each figure as an Altair chart, by name."""
        return {figure.name: figure.chart for figure in self.drawn}


def tile(fact: Fact) -> Tile:
    """A fact of an answer as a page writes it, by its unit."""
    between = words.NOTHING
    value = words.text(fact.value)
    if not isinstance(fact.value, str) and fact.value is not None:
        if fact.unit == "share":
            value, between = words.share(fact.value), words.share_interval(fact.low, fact.high)
        elif fact.unit == "points":
            value, between = words.points(fact.value), words.points_interval(fact.low, fact.high)
        elif fact.unit == "probability":
            value = words.decimal(fact.value, 2)
        elif fact.low is None and float(fact.value).is_integer():
            value = words.joined(" ", words.number(fact.value), fact.unit)
        else:
            value = words.joined(" ", words.decimal(fact.value, 4), fact.unit)
            between = words.interval(fact.low, fact.high, 4)
    meaning = words.joined("; ", "" if between == words.NOTHING else between, fact.meaning)
    return Tile(words.name(fact.name.replace("_", " ")), value, meaning)


def table(
    caption: str,
    frame: pd.DataFrame,
    cells: dict[str, Cell],
    *,
    numeric: Sequence[str] = (),
    limit: int = TABLE_ROWS,
    of_most: str = "",
    rest: str = "",
    cards: bool = False,
    opened: bool = False,
) -> Table:
    """The first `limit` rows of `frame`. `of_most` says by what, `rest` where the others are."""
    rows = tuple(
        tuple(cell(row) for cell in cells.values())
        for row in frame.head(limit).itertuples(index=False, name="Row")
    )
    note = ""
    if len(frame) > limit:
        note = f"The first {limit:,} of {len(frame):,} rows{of_most}. {rest}".strip()
    return Table(caption, tuple(cells), rows, frozenset(numeric), note, cards, opened)


def render(template: str, page: Page, *, run: Run, **more: Any) -> str:
    """The page as HTML, without secrets. `more` is what the report's own template takes beside the page."""
    environment = _environment()
    script, style = _source("page.js"), _source("page.css")
    drawn = any(section.figure for section in page.sections)
    scripts = [vega_bundle(), script] if drawn else []
    return environment.get_template(template).render(
        page=page,
        style=Markup(style),  # noqa: S704 - our own file
        scripts=[Markup(text) for text in scripts],  # noqa: S704 - our own file and the Vega bundle
        policy=_policy(scripts),
        run=[
            (caption, [(key, redacted_values(value, key)) for key, value in pairs]) for caption, pairs in run
        ],
        **more,
    )


def figures_of(page: Page) -> tuple[Figure, ...]:
    """The figures that the page shows."""
    return tuple(section.figure for section in page.sections if section.figure is not None)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("firstday.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_without_secrets,  # of whatever a template writes
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded_json"] = embedded_json
    return environment


def _without_secrets(value: Any) -> Any:
    """Texts without secrets. What is markup already is ours: scripts, and figures as JSON."""
    return redacted(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source(name: str) -> str:
    environment = _environment()
    loader = environment.loader
    if loader is None:
        raise RuntimeError("the template environment has no loader")
    return loader.get_source(environment, name)[0]


def _policy(scripts: list[str]) -> str:
    """Only these scripts run, and nothing is loaded. Vega compiles a chart's expressions: 'unsafe-eval'."""
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    ]
    allowed = " ".join([*hashes, "'unsafe-eval'"]) if scripts else "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:"
