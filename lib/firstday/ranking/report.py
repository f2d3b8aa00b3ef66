"""The report of the train job: does the ranker beat simple baselines, and what does it go by?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from firstday.answer import Answer, Fact
from firstday.report import words
from firstday.report.charts import Mark, Row, Series, row_chart
from firstday.report.figures import Figure, Panel
from firstday.report.page import Page, Report, Section, Table, Tile, figures_of, render, table
from firstday.report.palette import BLUE, CIRCLE, DIAMOND, MUTED
from firstday.report.terminal import aligned, lines

WORDS = (
    ("list", "rows that were shown, or are ranked, together"),
    ("NDCG@k", "how good the order of the first k is: 1 is the best order there is"),
    ("AUC", "the chance that a row of label 1 is scored above one of label 0"),
    ("random", "any order: what chance has"),
    ("popularity", "by the clicks of the category in the training rows"),
    ("category mean", "by the mean label, such as the click rate, of the category in the training rows"),
    ("gain", "what splits by the feature took off the training loss"),
    ("SHAP", "by how much the feature moves a score, up or down, on average"),
)
SHOWN_FEATURES = 25
RANKER = Series("the model", BLUE, DIAMOND)
RECOMMENDED = Series("recommended", BLUE, DIAMOND)
ANOTHER = Series("another number of slots", MUTED, CIRCLE, filled=False)
OTHER = Series("what it is compared with", MUTED, CIRCLE, filled=False)


class Comparison(Protocol):
    """A ranker against another model. gain: its metric less the other's; low, high: of its interval."""

    @property
    def other(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def gain(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class SlotContent:
    """table: ranker_slots. way: how examination was found. lists_per_week: a customer. notes: sentences."""

    table: pd.DataFrame
    way: str
    lists_per_week: float
    notes: Sequence[str]


@dataclass(frozen=True)
class TrainContent:
    """What the report shows.

    comparisons, champion: sentences on the model against each baseline, and against the champion; against:
    the same in figures. metrics,
    features: ranker_metrics and ranker_features. slots: None for ready examples. sizes: by split, lists,
    rows, and lists whose labels differ. settings: with the parameters that LightGBM got. trees: of the model.
    """

    run_id: str
    objective: str
    beats: bool
    comparisons: Sequence[str]
    champion: str | None
    metrics: pd.DataFrame
    features: pd.DataFrame
    sizes: Mapping[str, tuple[int, int, int]]
    notes: Sequence[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    slots: SlotContent | None = None
    trees: int | None = None
    against: Sequence[Comparison] = ()


def train_answer(content: TrainContent) -> Answer:
    """Whether the ranker beats every baseline, and by how much."""
    gains = [
        Fact(
            f"gain over {each.other}",
            each.gain,
            each.metric,
            each.low,
            each.high,
            about={"baseline": each.other},
        )
        for each in content.against
    ]
    own = content.metrics[(content.metrics["split"] == "valid") & (content.metrics["model"] == "model")]
    figures = [Fact(row.metric, row.value, "", row.low, row.high) for row in own.itertuples(index=False)]
    known = (fact for fact in (*gains, *figures) if fact.value is not None)
    verdict = "beats" if content.beats else "does not beat"
    return Answer(verdict, _headline(content), tuple(known), tuple(content.notes))


def _headline(content: TrainContent) -> str:
    if content.beats:
        return "The model beats every baseline."
    return "The model is not shown to beat every baseline: do not recommend by it."


def train_text(content: TrainContent) -> str:
    """The verdict, the model beside what it is compared with, and the slots that are recommended."""
    sentences = [
        train_answer(content).headline,
        *content.comparisons,
        *([content.champion] if content.champion else []),
    ]
    if content.slots is not None and content.slots.notes:
        sentences.append(content.slots.notes[0])
    valid = content.metrics[(content.metrics["split"] == "valid") & content.metrics["value"].notna()]
    models = list(dict.fromkeys(valid["model"]))
    metrics = list(dict.fromkeys(valid["metric"]))
    value = {(row.model, row.metric): row.value for row in valid.itertuples(index=False)}
    cells = [
        [words.name(model), *(words.decimal(value.get((model, metric)), 4) for metric in metrics)]
        for model in models
    ]
    columns = ["on the rows to measure on", *(metric.upper() for metric in metrics)]
    return f"{lines(sentences)}\n\n{aligned(columns, cells, columns[1:])}"


def train_report(content: TrainContent) -> Report:
    """One HTML page."""
    slots = () if content.slots is None else (_slots(content.slots),)
    sections = (
        *(_order(content.metrics), *slots, _figures(content), _goes_by(content.features)),
        _rows(content),
    )
    page = Page("The ranker", f"firstday train, run {content.run_id}", sections, WORDS)
    html = render(
        "answer.html.j2",
        page,
        verdict=train_answer(content).headline,
        notes=[
            *content.comparisons,
            *([content.champion] if content.champion else []),
            *([f"It has {words.some(content.trees, 'tree', 'trees')}."] if content.trees else []),
            *content.notes,
        ],
        facts=_facts(content.metrics),
        facts_title="How well it orders",
        facts_caption="On the rows to measure on. In brackets: 95% intervals.",
        caveat="A log can only show how well what was shown is ordered. Whether people click more, or stay, "
        "is for an experiment to show.",
        run=[
            (title, [(words.name(key), words.name(value)) for key, value in pairs.items()])
            for title, pairs in (("Inputs", content.inputs), ("Settings", content.settings))
        ],
    )
    return Report(html, figures_of(page))


def _facts(metrics: pd.DataFrame) -> list[Tile]:
    own = metrics[(metrics["split"] == "valid") & (metrics["model"] == "model")]
    return [
        Tile(_shown(row.metric), words.decimal(row.value, 4), _interval(row.low, row.high))
        for row in own.itertuples(index=False)
        if not words.absent(row.value)
    ]


def _order(metrics: pd.DataFrame) -> Section:
    valid = metrics[(metrics["split"] == "valid") & metrics["value"].notna()]
    metric = "ndcg@10" if (valid["metric"] == "ndcg@10").any() else "auc"
    rows = []
    for row in valid[valid["metric"] == metric].itertuples(index=False):
        low, high = (None if words.absent(bound) else bound for bound in (row.low, row.high))
        text = f"{words.decimal(row.value, 4)} {_interval(row.low, row.high)}".strip()
        series = RANKER if row.model == "model" else OTHER
        rows.append(Row(words.name(row.model), (Mark(series, row.value, low, high, text),)))
    chart = row_chart(rows, f"{_shown(metric)} →", signed=False)
    figure = Figure(
        "order",
        "The model beside simple baselines",
        f"{_shown(metric)} of the model and of {len(rows) - 1} others, with intervals.",
        (Panel(chart, wide=True),),
        (RANKER.key(), OTHER.key()),
    )
    return Section(
        "order",
        "The model beside simple baselines",
        how_to_read="Further right is better. What counts is the gain on the same lists, in the table below: "
        "its interval is narrower than two intervals side by side suggest.",
        figure=figure,
    )


def _figures(content: TrainContent) -> Section:
    cells = {
        "rows": lambda row: row.split,
        "model": lambda row: words.name(row.model),
        "figure": lambda row: _shown(row.metric),
        "value": lambda row: words.decimal(row.value, 4),
        "interval": lambda row: _interval(row.low, row.high),
        "the model's gain on it": lambda row: words.decimal(row.gain, 4),
        "gain's interval": lambda row: _interval(row.gain_low, row.gain_high),
    }
    return Section(
        "figures",
        "All figures",
        how_to_read="A model that is far better on the rows it learned from than on those it is measured on "
        "overfits: take fewer leaves or trees.",
        tables=(
            table("Figures by rows and model", content.metrics, cells, numeric=list(cells)[3:], opened=True),
        ),
    )


def _goes_by(features: pd.DataFrame) -> Section:
    shown = features.head(SHOWN_FEATURES)
    cells = {
        "feature": lambda row: words.name(row.feature),
        "share of the gain": lambda row: words.share(row.gain_share),
        "splits": lambda row: words.number(row.splits),
        "mean |SHAP|": lambda row: words.decimal(row.mean_absolute_shap, 4),
    }
    unused = int((features["splits"] == 0).sum())
    return Section(
        "goes-by",
        "Which features the model uses",
        findings=(f"{unused} of {len(features)} features are not used.",) if unused else (),
        how_to_read="A feature that goes with clicks need not bring them.",
        tables=(
            table(
                "Features, the greatest gain first",
                shown,
                cells,
                numeric=list(cells)[1:],
                opened=True,
                rest="All are in ranker_features.",
            ),
        ),
    )


def _slots(content: SlotContent) -> Section:
    id_, title = "slots", "How many slots"
    if content.table.empty:
        nothing = "No slot has clicks enough to learn from."
        return Section(id_, title, findings=tuple(map(words.sentence, content.notes)), nothing=nothing)
    rows = []
    for row in content.table.itertuples(index=False):
        low, high = (None if words.absent(bound) else bound for bound in (row.low, row.high))
        text = words.share_with(row.expected_click_rate, row.low, row.high, 2)
        series = RECOMMENDED if words.true(row.recommended) else ANOTHER
        label = words.some(row.slots, "slot", "slots")
        value, low, high = (
            None if one is None else 100 * one for one in (row.expected_click_rate, low, high)
        )
        rows.append(Row(label, (Mark(series, value, low, high, text),)))
    figure = Figure(
        id_,
        title,
        f"Expected click rate of lists of 1 to {len(rows)} slots, with intervals.",
        (Panel(row_chart(rows, "click rate of the list, % →", signed=False), wide=True),),
        (RECOMMENDED.key(), ANOTHER.key()),
    )
    cells = {
        "slots": lambda row: (
            f"{words.number(row.slots)}{' (recommended)' if words.true(row.recommended) else ''}"
        ),
        "click rate": lambda row: words.share_with(row.expected_click_rate, row.low, row.high, 2),
        "clicks a list": lambda row: words.decimal(row.clicks_per_list, 4),
        "last slot: click rate": lambda row: words.share(row.last_slot_click_rate, 2),
        "last slot: looked at": lambda row: words.share_with(
            row.examination, row.examination_low, row.examination_high
        ),
        "last slot: looks in 7 days": lambda row: words.decimal(row.examination * content.lists_per_week, 2),
    }
    return Section(
        id_,
        title,
        findings=tuple(map(words.sentence, content.notes)),
        how_to_read="What lists of the best 1, 2, ... of what was shown would earn, the best on top. How "
        "often a slot is looked at is in proportion to the first, and in 7 days for a customer who looks at "
        f"the first each time; it is found from {content.way}. In brackets: 95% intervals.",
        figure=figure,
        tables=(
            table("Lists by slots", content.table, cells, numeric=list(cells)[1:], opened=True, cards=True),
        ),
    )


def _rows(content: TrainContent) -> Section:
    columns = ("rows", "lists", "rows in them", "lists whose labels differ")
    cells = tuple((split, *map(words.number, sizes)) for split, sizes in sorted(content.sizes.items()))
    caption = "What it learned from and is measured on"
    return Section(
        "examples",
        "The examples",
        how_to_read="Lists whose labels are all alike teach nothing about order.",
        tables=(Table(caption, columns, cells, frozenset(columns[1:]), opened=True),),
    )


def _shown(metric: str) -> str:
    return metric.upper()


def _interval(low: Any, high: Any) -> str:
    return "" if words.absent(low) else f"[{words.decimal(low, 4)}, {words.decimal(high, 4)}]"
