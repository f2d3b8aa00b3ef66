"""The report of the label job: what the functions do, how the rows are labelled, before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from firstday.report import words
from firstday.report.page import Fact, Page, Report, Section, Table, render, table

WORDS = (
    ("label function", "a rule that votes for a class, or abstains"),
    ("coverage", "share of the rows on which a function votes"),
    ("overlaps", "share of the rows on which others vote too"),
    ("conflicts", "share of the rows on which others vote otherwise"),
    ("soft label", "the label model's probability of each class for a row"),
    ("unknown", "no function votes on the row"),
)
BEFORE_AFTER = (("before", "The old labels' model"), ("after", "The soft labels' model"))
MEASURES = {"f1": "F1", "precision": "precision", "recall": "recall"}
CALLS = ("negative", "positive")
STATUSES = ("decided", "tie", "unknown")
OF_KNOWN_LABELS = ("accuracy", "correct", "incorrect")


@dataclass(frozen=True)
class LabelContent:
    """What the report shows.

    summary, comparison (or None), drift (or None): the tables of these names. statuses: rows by status.
    notes: what the model says of itself. classes: their names. positive: the one that the comparison looks
    for. settings, inputs: as told.
    """

    run_id: str
    kind: str
    classes: Sequence[str]
    balance: Sequence[float]
    statuses: Mapping[str, int]
    summary: pd.DataFrame
    comparison: pd.DataFrame | None
    drift: pd.DataFrame | None
    notes: Sequence[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    positive: str | None = None


def label_report(content: LabelContent) -> Report:
    """One HTML page."""
    sections = [_rows(content), _functions(content)]
    if content.comparison is not None:
        sections.append(_before_after(content.comparison, content.positive))
    if content.drift is not None:
        sections.append(_drift(content.drift))
    page = Page("Labels", f"firstday label, run {content.run_id}", tuple(sections), WORDS)
    facts, caption = _facts(content)
    html = render(
        "answer.html.j2",
        page,
        verdict=_verdict(content),
        notes=[f"{note}." for note in content.notes],
        facts=facts,
        facts_title="What the correction changed",
        facts_caption=caption,
        caveat=_caveat(content),
        run=[
            (title, [(words.name(key), words.name(value)) for key, value in pairs.items()])
            for title, pairs in (("Inputs", content.inputs), ("Settings", content.settings))
        ],
    )
    return Report(html)


def _verdict(content: LabelContent) -> str:
    total = sum(content.statuses.values())
    decided = content.statuses.get("decided", 0)
    return (
        f"{words.number(decided)} of {words.number(total)} rows have a label, by the {content.kind} model of "
        f"{words.number(len(content.summary))} functions."
    )


def _facts(content: LabelContent) -> tuple[list[Fact], str]:
    """F1 of both models, against known labels where there are any."""
    if content.comparison is None:
        return [], ""
    figures = content.comparison.set_index(["against", "model", "measure"])
    against = "gold" if ("gold", "after", "f1") in figures.index else "label model"
    facts = []
    for model, title in BEFORE_AFTER:
        for measure in MEASURES:
            row = figures.loc[(against, model, measure)]
            interval = f"[{words.share(row['low'])}, {words.share(row['high'])}]"
            facts.append(Fact(f"{title}: {MEASURES[measure]}", words.share(row["value"]), interval))
    known = "the known labels" if against == "gold" else "the label model's own decisions"
    return facts, f"On test rows, against {known}. In brackets: 95% intervals."


def _caveat(content: LabelContent) -> str:
    if content.comparison is None:
        return ""
    if "gold" in set(content.comparison["against"]):
        return (
            "Figures against the label model, below, favour the corrected model: it learned from the same "
            "label model. Those against the known labels do not."
        )
    return (
        "These figures favour the corrected model: it learned from the label model that it is measured "
        "against. Only a known answer (--gold) shows what the correction is worth."
    )


def _rows(content: LabelContent) -> Section:
    total = max(sum(content.statuses.values()), 1)
    statuses = [
        (
            status,
            words.number(content.statuses.get(status, 0)),
            words.share(content.statuses.get(status, 0) / total),
        )
        for status in STATUSES
    ]
    balance = [
        (name, words.share(share)) for name, share in zip(content.classes, content.balance, strict=True)
    ]
    return Section(
        "rows",
        "How the rows are labelled",
        how_to_read="In a tie two classes are equally likely. Unknown rows got no vote and have no label.",
        tables=(
            _table("Rows by status", ("status", "rows", "share"), statuses),
            _table("Share of each class, by the model", ("class", "share"), balance),
        ),
    )


def _functions(content: LabelContent) -> Section:
    flagged = content.summary[content.summary["verdict"] != "fine"]
    findings = tuple(f"{row.function}: {row.verdict}." for row in flagged.head(10).itertuples(index=False))
    names = content.classes
    cells = {
        "function": lambda row: row.function,
        "verdict": lambda row: row.verdict,
        "votes for": lambda row: ", ".join(names[vote] for vote in row.polarity),
        "coverage": lambda row: words.share(row.coverage),
        "overlaps": lambda row: words.share(row.overlaps),
        "conflicts": lambda row: words.share(row.conflicts),
        "learned": lambda row: words.share(row.learned_accuracy),
        "accuracy": lambda row: words.share(row.empirical_accuracy),
        "correct": lambda row: words.number(row.correct),
        "incorrect": lambda row: words.number(row.incorrect),
        "labels changed without it": lambda row: words.share(row.changed, 2),
        "copies": lambda row: ", ".join(row.copies),
    }
    is_known = content.summary["correct"].notna().any()
    if not is_known:
        cells = {name: cell for name, cell in cells.items() if name not in OF_KNOWN_LABELS}
    return Section(
        "functions",
        "What each function does",
        findings=findings or ("No function is dead, redundant or at odds with the rest.",),
        how_to_read="Learned is the accuracy that the model gives the function, without known labels."
        + (" Accuracy, correct and incorrect are of rows with one." if is_known else ""),
        tables=(
            table(
                "Label functions",
                content.summary,
                cells,
                numeric=list(cells)[3:-1],
                rest="All are in label_summary.",
                opened=True,
            ),
        ),
    )


def _before_after(figures: pd.DataFrame, positive: str | None) -> Section:
    value = figures.set_index(["against", "model", "measure"])["value"]
    models = value.loc["models"].droplevel("model")
    two_by_two = [
        (f"before: {before}", *(words.share(models[f"{before} to {after}"]) for after in CALLS))
        for before in CALLS
    ]
    types = []
    for status in ("positive", "negative", "unknown"):
        of_type = value.loc[f"newly positive, {status}"].droplevel("model")
        types.append(
            (status, *(words.share(of_type[name]) for name in ("share", "any_positive", "any_negative")))
        )
    confusions = [
        (title, against, *(words.number(value[against, model, cell]) for cell in ("tp", "fp", "fn", "tn")))
        for against in ("label model", "gold")
        for model, title in BEFORE_AFTER
        if (against, model, "tp") in value.index
    ]
    return Section(
        "before-after",
        "Before and after",
        how_to_read=f"Positive is {positive or 'the class that is looked for'}, negative any other class. "
        "Both models have the same features and the same test rows. Each calls at the lowest score that "
        "holds the wished precision on rows set apart for that.",
        tables=(
            _table(
                "The two models, shares of the test rows",
                ("", *(f"after: {after}" for after in CALLS)),
                two_by_two,
            ),
            _table(
                "Newly called positive: what the label model says of them",
                ("label model", "share", "hit by any positive function", "by any negative function"),
                types,
            ),
            _table(
                "Confusion",
                ("model", "against", "true positive", "false positive", "false negative", "true negative"),
                confusions,
            ),
        ),
    )


def _drift(drift: pd.DataFrame) -> Section:
    moved = drift[drift["p_value"] < 0.001].drop_duplicates("function").sort_values("p_value")
    findings = tuple(f"{row.function} has changed." for row in moved.head(10).itertuples(index=False))
    wide = drift.pivot(index="function", columns="period", values="coverage").reset_index()
    periods = [name for name in wide.columns if name != "function"]
    shown = periods[:: max(1, -(-len(periods) // 8))]
    rows = [(row["function"], *(words.share(row[name]) for name in shown)) for _, row in wide.iterrows()]
    return Section(
        "drift",
        "How votes change from period to period",
        findings=findings or ("No function's votes have changed beyond chance.",),
        how_to_read="Coverage by period. Changed means that chance would make such a difference less than "
        "once in a thousand times.",
        tables=(_table("Coverage by period", ("function", *map(str, shown)), rows),),
    )


def _table(caption: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(caption, columns, tuple(rows), frozenset(columns[1:]), opened=True)
