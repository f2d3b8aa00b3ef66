"""The index page of a loop: each step's question, answer, evidence and report; in a world, the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

from firstday.report import words
from firstday.report.charts import Mark, Row, Series, row_chart
from firstday.report.figures import Figure, Panel
from firstday.report.page import Page, Report, Section, Table, Tile, render
from firstday.report.palette import BLUE, CIRCLE, DIAMOND, RED

WORDS = (
    ("truth", "what the simulation planted or knows; no step reads it, only this page does"),
    (
        "true effect",
        "what the change does to everybody it is for, played twice in the same world, with and without it",
    ),
    ("interval", "the effects that fit the data: in 19 of 20 experiments a 95% interval holds the true one"),
    ("points", "a difference of two shares: from 44.2% to 44.8% is +0.6 points"),
)
MEASURED = Series("measured, with its interval", BLUE, DIAMOND)
TRUE = Series("true", RED, CIRCLE, filled=False)


@dataclass(frozen=True)
class Stage:
    """What one step answered.

    answer: a sentence. facts: its evidence. report: the address of its report, relative to the page, if it
    has one. truth: what the simulation knows of it, a sentence; None on real tables. state: 'ran in 12 s',
    or why it was skipped.
    """

    name: str
    job: str
    question: str
    answer: str
    facts: tuple[Tile, ...] = ()
    report: str | None = None
    truth: str | None = None
    state: str = ""


@dataclass(frozen=True)
class Effect:
    """A measured effect, a difference of shares with its interval, beside the true one; None: not known."""

    label: str
    estimate: float
    low: float | None
    high: float | None
    true: float | None


@dataclass(frozen=True)
class IndexContent:
    """What the page shows. verdict: the loop's answer in a sentence. seconds: by step, None where skipped."""

    run_id: str
    title: str
    verdict: str
    stages: Sequence[Stage]
    effects: Sequence[Effect] = ()
    notes: Sequence[str] = ()
    seconds: Sequence[tuple[str, float | None, str]] = ()


def index_report(content: IndexContent) -> Report:
    """One HTML page."""
    sections = (*([_effects(content.effects)] if content.effects else []), _seconds(content.seconds))
    simulated = any(stage.truth for stage in content.stages)
    page = Page(
        words.name(content.title),
        f"firstday loop, run {content.run_id}",
        sections,
        WORDS if simulated else WORDS[2:],
    )
    html = render(
        "index.html.j2",
        page,
        verdict=words.sentence(content.verdict),
        notes=[words.sentence(note) for note in content.notes],
        stages=content.stages,
        texts_of={stage.name: _texts(stage) for stage in content.stages},
        run=[],
    )
    return Report(html)


def loop_text(content: IndexContent) -> str:
    """Each step's question with its answer, for the terminal."""
    return "\n".join(
        f"{words.name(stage.name)}: {words.name(stage.question)} {words.sentence(stage.answer)}"
        for stage in content.stages
    )


def _texts(stage: Stage) -> dict[str, str]:
    """The stage's texts, each one line of visible characters."""
    return {
        "question": words.name(stage.question),
        "answer": words.sentence(stage.answer),
        "truth": words.sentence(stage.truth),
        "state": words.name(stage.state) if stage.state else "",
        "name": words.name(stage.name),
    }


def _effects(effects: Sequence[Effect]) -> Section:
    rows, cells = [], []
    for effect in effects:
        measured = words.points_with(effect.estimate, effect.low, effect.high)
        shown, low, high = map(_points, (effect.estimate, effect.low, effect.high))
        marks = [Mark(MEASURED, shown, low, high, measured)]
        if effect.true is not None:
            marks.append(Mark(TRUE, _points(effect.true), text=words.points(effect.true)))
        rows.append(Row(words.name(effect.label), tuple(marks)))
        cells.append(
            (words.name(effect.label), measured, words.points(effect.true), _interval_holds_truth(effect))
        )
    with_truth = any(effect.true is not None for effect in effects)
    title = "The effects, measured and true" if with_truth else "The effects"
    columns = ("effect", "measured", "true", "interval holds the truth")
    wanted = len(columns) if with_truth else 2
    figure = Figure(
        "effects",
        title,
        " ".join(
            f"{label}: measured {measured}" + (f", true {true}." if with_truth else ".")
            for label, measured, true, _ in cells
        ),
        (Panel(row_chart(rows, "effect, in points →"), wide=True),),
        tuple(each.key() for each in (MEASURED, TRUE)[: 1 + with_truth]),
    )
    return Section(
        "effects",
        title,
        how_to_read="Right of 0 is better. An interval that holds 0 proves no effect, and none of no effect.",
        figure=figure,
        tables=(
            Table(
                "The same in numbers",
                columns[:wanted],
                tuple(row[:wanted] for row in cells),
                cards=True,
                opened=True,
            ),
        ),
    )


def _points(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _interval_holds_truth(effect: Effect) -> str:
    if effect.true is None or effect.low is None or effect.high is None:
        return words.NOTHING
    return words.yes(effect.low <= effect.true <= effect.high)


def _seconds(rows: Sequence[tuple[str, float | None, str]]) -> Section:
    cells = tuple(
        (words.name(name), "skipped" if seconds is None else f"{seconds:,.1f}", words.text(why))
        for name, seconds, why in rows
    )
    return Section(
        "steps",
        "What was run",
        how_to_read="A step runs where its settings, its inputs or firstday have changed since it was done.",
        tables=(
            Table(
                "Steps in order",
                ("step", "seconds", "because"),
                cells,
                frozenset({"seconds"}),
                cards=True,
                opened=True,
            ),
        ),
        nothing="no step was run",
    )
