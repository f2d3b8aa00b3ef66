"""The report of the train job: does the ranker beat simple baselines, and what does it go by?"""

from typing import Any

import pandas as pd

from firstday.report import words
from firstday.report.answers import train_answer
from firstday.report.charts import Mark, Row, Series, row_chart
from firstday.report.content import SlotContent, TrainContent
from firstday.report.figures import Figure, Panel
from firstday.report.page import Fact, Page, Report, Section, Table, figures_of, render, table
from firstday.report.palette import BLUE, CIRCLE, DIAMOND, MUTED

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


def _facts(metrics: pd.DataFrame) -> list[Fact]:
    own = metrics[(metrics["split"] == "valid") & (metrics["model"] == "model")]
    return [
        Fact(_shown(row.metric), words.decimal(row.value, 4), _interval(row.low, row.high))
        for row in own.itertuples(index=False)
        if not words.absent(row.value)
    ]


def _order(metrics: pd.DataFrame) -> Section:
    valid = metrics[(metrics["split"] == "valid") & metrics["value"].notna()]
    metric = "ndcg@10" if (valid["metric"] == "ndcg@10").any() else "auc"
    rows = []
    for row in valid[valid["metric"] == metric].itertuples(index=False):
        low, high = (None if words.absent(bound) else bound for bound in (row.low, row.high))
        told = f"{words.decimal(row.value, 4)} {_interval(row.low, row.high)}".strip()
        series = RANKER if row.model == "model" else OTHER
        rows.append(Row(words.name(row.model), (Mark(series, row.value, low, high, told),)))
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
        told = words.share_with(row.expected_click_rate, row.low, row.high, 2)
        series = RECOMMENDED if words.true(row.recommended) else ANOTHER
        label = words.some(row.slots, "slot", "slots")
        value, low, high = (
            None if one is None else 100 * one for one in (row.expected_click_rate, low, high)
        )
        rows.append(Row(label, (Mark(series, value, low, high, told),)))
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
        f"the first each time; it is told by {content.way}. In brackets: 95% intervals.",
        figure=figure,
        tables=(
            table("Lists by slots", content.table, cells, numeric=list(cells)[1:], opened=True, cards=True),
        ),
    )


def _rows(content: TrainContent) -> Section:
    columns = ("rows", "lists", "rows in them", "lists whose labels differ")
    told = tuple((split, *map(words.number, sizes)) for split, sizes in sorted(content.sizes.items()))
    caption = "What it learned from and is measured on"
    return Section(
        "examples",
        "The examples",
        how_to_read="Lists whose labels are all alike teach nothing about order.",
        tables=(Table(caption, columns, told, frozenset(columns[1:]), opened=True),),
    )


def _shown(metric: str) -> str:
    return metric.upper()


def _interval(low: Any, high: Any) -> str:
    return "" if words.absent(low) else f"[{words.decimal(low, 4)}, {words.decimal(high, 4)}]"
