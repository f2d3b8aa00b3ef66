"""The report of the recommend job: who gets a list, how the last ones were taken, what has moved since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from firstday.answer import Answer, Fact
from firstday.report import words
from firstday.report.charts import Mark, Row, Series, row_chart
from firstday.report.figures import Figure, Panel
from firstday.report.page import Page, Report, Section, Table, Tile, figures_of, render, table
from firstday.report.palette import BLUE, DIAMOND
from firstday.report.terminal import aligned, lines

EXPLORING = "exploring"  # the source of slots that are filled by a draw
WORDS = (
    ("slot", "a place in the list; 1 is the first"),
    ("click rate", "share of the impressions that were clicked"),
    ("source", "why a category came into the list: relevance, novelty, serendipity, a refill, or a draw"),
    ("refill", "a slot that nothing recalled could fill: the best that is left is there"),
    ("exploring", "a slot that is filled by a draw, so that other policies can be judged"),
    ("coverage", "share of the categories, or of the live contents, that were shown at all"),
    ("diversity", "share of the pairs in a list that are of different category groups, on average"),
    ("novelty", "how rarely the category was shown, in bits: one more is half as often"),
    ("serendipity", "share of the clicks in categories that the customer had not met before"),
    ("drift", "how far today's customers and scores are from those of a run before"),
    ("PSI", "the population stability index, how unlike two shares by value are: 0 is alike"),
)
CAVEAT = (
    "These rates are of the lists before, by the policies that made them, and say nothing of the new lists. "
    "Whether those do better is for the drawn slots, below, or an experiment to show."
)
EVERYTHING, NEW = "all", "new lists"
CLICK = "click_rate"
RATES = {CLICK: "click rate", "join_rate": "join rate", "dismiss_rate": "dismissals"}
CHARTS = (("source", "By source"), ("slot", "By slot"), ("policy", "By policy"))
TABLES = ("policy", "source", "slot", "category", "segment")
VARIETY = {
    "category_coverage": "categories shown at all",
    "content_coverage": "live contents shown at all",
    "category_top_share": "impressions of the most shown tenth of categories",
    "category_gini": "unevenness of categories (Gini)",
    "diversity": "diversity",
    "novelty": "novelty, bits",
    "serendipity": "serendipity",
    "categories_per_customer": "categories clicked, per customer",
    "refilled_share": "refilled slots",
    "exploring_share": "exploring slots",
}
DECIMALS = ("category_gini", "novelty", "categories_per_customer")  # the others are shares
SCORE = "firstday_score"
MOST_BARS, LABEL = 25, 60
RATE_DIGITS = 2  # of rates in percent, which are small
RATE = Series("click rate", BLUE, DIAMOND)


@dataclass(frozen=True)
class RecommendContent:
    """What the report shows.

    customers: asked for; lists: that are not empty; full: those of `size` slots; slots: filled in all.
    sources: how many by source. window: the days that monitoring is of, in words. steps: recommend_steps.
    monitoring, drift (empty without an earlier run): recommend_monitoring and recommend_drift. off_policy:
    sentences, the answer or the refusal first; none if it was not asked.
    """

    run_id: str
    customers: int
    lists: int
    full: int
    slots: int
    size: int
    sources: Mapping[str, int]
    window: str
    steps: pd.DataFrame
    monitoring: pd.DataFrame
    drift: pd.DataFrame
    off_policy: Sequence[str]
    notes: Sequence[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]


def recommend_answer(content: RecommendContent) -> Answer:
    """Who gets a list."""
    headline = (
        f"{words.number(content.full)} of {words.number(content.customers)} customers got a full list of "
        f"{words.some(content.size, 'slot', 'slots')}."
    )
    drawn = content.sources.get(EXPLORING, 0) / max(content.slots, 1)
    facts = (
        Fact("customers", content.customers, "customers", meaning="asked for"),
        Fact("lists", content.lists, "lists", meaning="that are not empty"),
        Fact("full", content.full, "lists", meaning="with every slot filled"),
        Fact("slots", content.slots, "slots", meaning="filled in all lists"),
        Fact("slots for exploring", drawn, "share", meaning="so that other policies can be judged"),
    )
    return Answer("recommended", headline, facts, tuple(content.notes))


def recommend_text(content: RecommendContent) -> str:
    """Who gets a list, what is known of what it earns, and the slots by source."""
    total = max(sum(content.sources.values()), 1)
    cells = [
        (words.text(source), words.number(slots), words.share(slots / total))
        for source, slots in sorted(content.sources.items(), key=lambda item: (-item[1], item[0]))
    ]
    columns = ("source", "slots", "share")
    text = lines([recommend_answer(content).headline, *content.notes, earned(content)])
    return f"{text}\n\n{aligned(columns, cells, columns[1:])}"


def recommend_report(content: RecommendContent) -> Report:
    """One HTML page."""
    sections = [_taken(content), _variety(content.monitoring), _made(content), _off_policy(content)]
    sections.append(_drift(content.drift))
    page = Page("Recommendations", f"firstday recommend, run {content.run_id}", tuple(sections), WORDS)
    html = render(
        "answer.html.j2",
        page,
        verdict=recommend_answer(content).headline,
        notes=[*map(words.sentence, content.notes), earned(content), *_moved(content.drift)],
        facts=_facts(content.monitoring),
        facts_title="What was shown before, and clicked",
        facts_caption=f"In {content.window}{_policies(content.monitoring)}. In brackets: 95% intervals, over "
        "customers.",
        caveat=CAVEAT if _all(content.monitoring, CLICK) else "",
        run=[
            (title, [(words.name(key), words.name(value)) for key, value in pairs.items()])
            for title, pairs in (("Inputs", content.inputs), ("Settings", content.settings))
        ],
    )
    return Report(html, figures_of(page))


def earned(content: RecommendContent) -> str:
    """What is known of the new lists' click rate."""
    first = words.sentence(content.off_policy[0]) if content.off_policy else "It was not asked."
    return f"What the new lists would earn: {first[:1].lower()}{first[1:]}"


def _policies(monitoring: pd.DataFrame) -> str:
    """', by the policies hand and random'"""
    rows = monitoring[(monitoring["dimension"] == "policy") & (monitoring["figure"] == CLICK)]
    names = [words.name(name, LABEL) for name in rows["value"].dropna().head(5)]
    return f", by the {'policy' if len(names) == 1 else 'policies'} {words.listed(names)}" if names else ""


def _facts(monitoring: pd.DataFrame) -> list[Tile]:
    """The figures of all impressions that have intervals."""
    found = []
    for figure, label in (
        RATES | {name: VARIETY[name] for name in ("serendipity", "categories_per_customer")}
    ).items():
        row = _all(monitoring, figure)
        if row is not None:
            text = f"[{_amount(figure, row.low)}, {_amount(figure, row.high)}]"
            found.append(Tile(label, _amount(figure, row.amount), "" if words.absent(row.low) else text))
    return found


def _all(monitoring: pd.DataFrame, figure: str) -> Any:
    """The row of all impressions; None if there is none."""
    rows = monitoring[(monitoring["dimension"] == EVERYTHING) & (monitoring["figure"] == figure)]
    return next(rows.itertuples(index=False), None)


def _taken(content: RecommendContent) -> Section:
    rates = content.monitoring[content.monitoring["figure"].isin(RATES)]
    clicks = rates[rates["figure"] == CLICK]
    panels = [
        Panel(_chart(clicks[clicks["dimension"] == dimension]), title)
        for dimension, title in CHARTS
        if (clicks["dimension"] == dimension).any()
    ]
    categories = clicks[clicks["dimension"] == "category"]
    if len(categories):
        caption = f"The {MOST_BARS} most shown." if len(categories) > MOST_BARS else ""
        panels.append(Panel(_chart(categories), "By category", caption, wide=True))
    figure = None
    if panels:
        description = "Click rates with intervals; all numbers are in the tables below."
        figure = Figure("taken", "Click rates", description, tuple(panels), (RATE.key(),))
    return Section(
        "taken",
        "What was shown before, and clicked",
        how_to_read="Further right was clicked more. What stands first is clicked more whatever it is, and "
        "each source has other customers: the rows are no comparison of what would happen otherwise.",
        figure=figure,
        tables=tuple(_rates(rates, name) for name in TABLES if (rates["dimension"] == name).any()),
        nothing=f"nothing was shown in {words.name(content.window)}.",
    )


def _chart(clicks: pd.DataFrame) -> Any:
    """clicks: rows of one dimension, the most shown first."""
    shown = clicks.head(MOST_BARS)
    if set(clicks["dimension"]) == {"slot"}:
        shown = shown.sort_values("value", key=lambda slots: slots.astype(int))
    rows = []
    for row in shown.itertuples(index=False):
        text = words.share_with(row.amount, row.low, row.high, RATE_DIGITS)
        value, low, high = (
            None if words.absent(one) else 100 * one for one in (row.amount, row.low, row.high)
        )
        rows.append(Row(_value(row.value, LABEL), (Mark(RATE, value, low, high, text),)))
    return row_chart(rows, "click rate, % →", signed=False)


def _value(value: Any, limit: int | None = None) -> str:
    return "not known" if words.absent(value) else words.name(value, limit)


def _rates(rates: pd.DataFrame, dimension: str) -> Table:
    of_dimension = rates[rates["dimension"] == dimension]
    by_value = {
        (None if words.absent(row.value) else row.value, row.figure): row
        for row in of_dimension.itertuples(index=False)
    }
    shown = of_dimension.drop_duplicates("value").sort_values("impressions", ascending=False, kind="stable")

    def rate(figure: str) -> Any:
        def cell(row: Any) -> str:
            found = by_value.get((None if words.absent(row.value) else row.value, figure))
            return (
                words.NOTHING
                if found is None
                else words.share_with(found.amount, found.low, found.high, RATE_DIGITS)
            )

        return cell

    cells = {
        dimension: lambda row: _value(row.value),
        "impressions": lambda row: words.number(row.impressions),
        **{label: rate(figure) for figure, label in RATES.items()},
    }
    return table(
        f"Rates by {dimension}",
        shown,
        cells,
        numeric=list(cells)[1:],
        of_most=" by impressions",
        rest="All are in recommend_monitoring.",
    )


def _variety(monitoring: pd.DataFrame) -> Section:
    known = monitoring[monitoring["dimension"].isin((EVERYTHING, NEW))]
    amounts = {(row.dimension, row.figure): row.amount for row in known.itertuples(index=False)}
    rows = tuple(
        (label, *(_amount(name, amounts.get((dimension, name))) for dimension in (EVERYTHING, NEW)))
        for name, label in VARIETY.items()
        if (EVERYTHING, name) in amounts or (NEW, name) in amounts
    )
    columns = ("figure", "what was shown", "the new lists")
    caption = "What was shown and what will be"
    return Section(
        "variety",
        "How varied the lists are",
        how_to_read="Few categories that have most of the impressions, or lists of one group, tire people "
        "though each click rate looks well.",
        tables=(Table(caption, columns, rows, frozenset(columns[1:]), opened=True),) if rows else (),
        nothing="there are no lists, old or new.",
    )


def _amount(figure: str, value: Any) -> str:
    if figure in DECIMALS:
        return words.decimal(value, 2)
    return words.share(value, RATE_DIGITS if figure in RATES else 1)


def _made(content: RecommendContent) -> Section:
    total = max(sum(content.sources.values()), 1)
    by_source = tuple(
        (words.text(source), words.number(slots), words.share(slots / total))
        for source, slots in sorted(content.sources.items(), key=lambda item: (-item[1], item[0]))
    )
    columns = ("source", "slots", "share")
    steps = {
        "step": lambda row: words.text(row.step),
        "figure": lambda row: words.text(row.figure),
        "of": lambda row: words.text(row.reason if words.absent(row.source) else row.source),
        "value": lambda row: words.number(row.value),
    }
    short = content.lists - content.full
    none = content.customers - content.lists
    findings = []
    if short:
        findings.append(
            f"{words.some(short, 'list is', 'lists are')} shorter: no more categories were allowed there."
        )
    if none:
        findings.append(
            f"{words.some(none, 'customer', 'customers')} got no list: nothing is allowed for them."
        )
    return Section(
        "made",
        "How the new lists were made",
        findings=tuple(findings),
        how_to_read="Pairs are of a customer and a category. What is not shown to whom, and why, is in "
        "not_shown.",
        tables=(
            Table("Slots by source", columns, by_source, frozenset(columns[1:]), opened=True),
            table("Each step in figures", content.steps, steps, numeric=("value",), opened=True),
        ),
    )


def _off_policy(content: RecommendContent) -> Section:
    return Section(
        "off-policy",
        "What the new lists would earn",
        findings=tuple(words.sentence(sentence) for sentence in content.off_policy),
        nothing="" if content.off_policy else "it was not asked.",
    )


def _moved(drift: pd.DataFrame) -> list[str]:
    """A sentence on what is no longer as it was, if anything is."""
    shifted = drift[drift["verdict"] == "shifted"]
    if shifted.empty:
        return []
    names = [_feature(name) for name in shifted["feature"].head(5)]
    rest = len(shifted) - len(names)
    listed = words.listed([*names, *([f"{rest} more"] if rest else [])])
    return [
        f"Shifted since {_since(drift)}: {listed}. Look whether the inputs are right; if customers have "
        "changed, train anew."
    ]


def _since(drift: pd.DataFrame) -> str:
    return f"{drift['since'].iloc[0]:%Y-%m-%d}"


def _drift(drift: pd.DataFrame) -> Section:
    title = "What has changed since the lists before"
    if drift.empty:
        return Section(
            "drift",
            title,
            nothing="no earlier run in this output says what candidates were like; the next run is compared "
            "with this one.",
        )
    moved = int(drift["verdict"].isin(("moved", "shifted")).sum())
    cells = {
        "feature": lambda row: _feature(row.feature),
        "PSI": lambda row: words.decimal(row.psi),
        "by chance up to": lambda row: words.decimal(row.by_chance),
        "rows": lambda row: words.number(row.rows),
        "verdict": lambda row: words.text(row.verdict),
    }
    return Section(
        "drift",
        title,
        findings=(
            f"{words.number(moved)} of {words.some(len(drift), 'feature has', 'features have')} moved since "
            f"{_since(drift)}.",
        ),
        how_to_read="PSI below 0.1 or within chance is stable, below 0.25 moved, else shifted: rules of "
        "thumb. It does not say whether the ranker is worse for it, nor why.",
        tables=(
            table(
                "Features, the furthest first",
                drift,
                cells,
                numeric=list(cells)[1:4],
                opened=True,
                rest="All are in recommend_drift.",
            ),
        ),
    )


def _feature(name: Any) -> str:
    return "the score" if name == SCORE else words.name(name, LABEL)
