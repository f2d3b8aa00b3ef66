"""The evidence of the label job's page: scores, thresholds, the audit, the rules and their overlap."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from firstday.labels import charts
from firstday.labels.content import LabelContent
from firstday.labels.summary import AGAINST, DEAD, FINE, LEAST_RATIO, REDUNDANT
from firstday.report import words
from firstday.report.page import Cell, Section, table

# What needs action comes first.
VERDICTS = (AGAINST, REDUNDANT, DEAD, FINE)
MEANINGS = {
    AGAINST: "its vote is rarer on the class that it is for than on others",
    REDUNDANT: "a copy of another rule, or no label would change without it",
    DEAD: "it never votes",
}
MOST_FINDINGS = 10
MOST_PAIRS = 20
MOVES = 12  # thresholds in the table; the chart has all


def expected_share(value: Any) -> str:
    """An expected share; one that is not 100% is not written as such."""
    return "over 99.9%" if not words.absent(value) and 0.9995 <= value < 1 else words.share(value)


def scores(content: LabelContent) -> Section | None:
    """The distribution of the score, with the threshold."""
    distribution, decision, name = content.distribution, content.decision, content.called_name
    if distribution is None:
        return None
    findings = []
    if decision is not None and decision.called:
        findings.append(
            f"Rows with a score from {charts.score(decision.threshold)} on are called {name}: "
            f"{words.number(decision.called)} rows."
        )
        if decision.rest is not None:
            findings.append(
                f"Of the rows that have just this score {words.number(decision.rest)} are called, to hold "
                "the capacity."
            )
    elif decision is not None:
        findings.append(f"No score reaches the threshold; no row is called {name}.")
    if distribution.silent_rows:
        findings.append(
            f"{words.number(distribution.silent_rows)} rows have no vote. Their score is "
            f"{charts.score(distribution.silent)}; they are never called."
        )
    title = "Which rows are called"
    return Section(
        "scores",
        title,
        findings=tuple(findings),
        how_to_read="Each bar counts the rows with such a score. The axis is logarithmic, so that rare rows "
        "are seen: a bar twice as high stands for far more than twice the rows. Bars grey and apart: rows "
        f"without votes. Marks: how many of the bar's rows are expected to be {name}.",
        figure=charts.scores(title, distribution, decision, content.called_name),
    )


def thresholds(content: LabelContent) -> Section | None:
    """What is expected of other thresholds."""
    moves = content.thresholds
    if moves is None or moves.empty:
        return None
    title = "What another threshold would bring"
    step = max(1, -(-len(moves) // MOVES))
    shown = moves.iloc[sorted({*range(0, len(moves), step), len(moves) - 1})]
    cells: dict[str, Cell] = {
        "called from a score of": lambda row: charts.score(row.threshold),
        "rows called": lambda row: words.number(row.called),
        "expected precision": lambda row: expected_share(row.precision),
        "expected recall": lambda row: expected_share(row.recall),
        f"expected {content.called_name} missed": lambda row: words.number(row.missed),
    }
    doubt = ""
    if content.doubt:
        doubt = " The votes do not say how common the class is: read the order, not the shares."
    return Section(
        "threshold",
        title,
        how_to_read="From left to right more rows are called, those with the highest scores first. Expected "
        f"figures follow from the scores and are as good as these.{doubt} --call-precision, --cost-ratio or "
        "--capacity choose another threshold.",
        figure=charts.threshold_lines(title, moves, content.decision),
        tables=(table("Thresholds", shown, cells, numeric=list(cells)),),
    )


def reliability(content: LabelContent) -> Section | None:
    """The scores against what was found by hand."""
    strata = content.reliability
    if strata is None or strata.empty:
        return None
    title, name = "What the audit says of the scores", content.called_name
    known = strata[strata["answered"] > 0]
    outside = known[(known["told"] < known["low"]) | (known["told"] > known["high"])]
    checked = f"{words.number(strata['answered'].sum())} rows were checked by hand."
    if outside.empty:
        finding = "In no stratum was the mean score before the audit outside the limits of the share found."
    else:
        finding = (
            f"Before the audit the mean score was outside the limits of the share found in {len(outside)} of "
            f"{len(known)} strata."
        )
    cells: dict[str, Cell] = {
        "stratum of the score": lambda row: words.name(row.stratum, 40),
        "rows": lambda row: words.number(row.rows),
        "checked": lambda row: words.number(row.answered),
        f"of these {name}": lambda row: words.number(row.positive),
        "share found": lambda row: words.share(row.positive / row.answered if row.answered else None),
        "95% limits": lambda row: words.share_interval(row.low, row.high),
        "mean score before": lambda row: words.share(row.told),
        "mean score after": lambda row: words.share(row.recalibrated),
    }
    return Section(
        "reliability",
        title,
        findings=(checked, finding),
        how_to_read="A score is reliable where it lies within the limits of the share found by hand. "
        "After: the scores recalibrated by these same answers, so that they fit them better than new ones.",
        figure=charts.reliability(title, strata, name),
        tables=(table("Strata of the audit", strata, cells, numeric=list(cells)[1:], cards=True),),
    )


def functions(content: LabelContent) -> Section:
    """What each rule does; what needs action comes first."""
    summary = _by_need(content.summary)
    flagged = summary[summary["verdict"] != FINE]
    findings = [
        f"{_with_meaning(str(verdict))}: {_some(list(rules), MOST_FINDINGS)}."
        for verdict, rules in flagged.groupby("verdict", sort=False)["function"]
    ]
    findings += [f"Copies: {_some(block, 12)}." for block in _copies(content.summary)[:MOST_FINDINGS]]
    names = [words.name(name, 30) for name in content.classes]
    is_known = summary["correct"].notna().any()
    cells: dict[str, Cell] = {
        "rule": lambda row: words.name(row.function, 60),
        "verdict, by the model": lambda row: "no objection" if row.verdict == FINE else row.verdict,
        "votes for": lambda row: ", ".join(names[vote] for vote in row.polarity) or words.NOTHING,
        "coverage": lambda row: words.share(row.coverage, 2),
        "others vote too": lambda row: words.share(row.overlaps, 2),
        "others vote otherwise": lambda row: words.share(row.conflicts, 2),
        "learned precision": lambda row: words.share(row.learned_accuracy),
        "learned ratio": lambda row: _times(row.likelihood_ratio),
    }
    if is_known:
        cells["right where known"] = _right_where_known
    cells["labels changed without it"] = lambda row: words.share(row.changed, 2)
    how = (
        "Shares are of all rows. Learned figures come from the label model, from the votes alone; they are "
        "not measured. Learned precision: the share of its votes that the model takes as right. "
        "Learned ratio: how many times likelier its vote is on rows of the class that it votes for than on "
        f"others; below {LEAST_RATIO} it speaks against its class."
    )
    if is_known:
        how += " Right where known: the share of its votes that are right, on rows with a known label."
    figure = None
    if (summary["learned_accuracy"].notna() & (summary["coverage"] > 0)).any():
        how += (
            " In the chart lines are 95% intervals (Wilson's, of the learned precision over its votes): "
            "they hold the model to be true, and are too short where it is not."
        )
        figure = charts.rules(
            "Each rule", summary, content.total, list(content.classes), content.called_class
        )
    return Section(
        "functions",
        "What each rule does",
        findings=tuple(findings) or ("The model objects to no rule.",),
        how_to_read=how,
        figure=figure,
        tables=(
            table(
                "Label functions",
                summary,
                cells,
                numeric=list(cells)[3:],
                rest="All are in label_summary.",
                opened=True,
                cards=True,
            ),
        ),
    )


def _by_need(summary: pd.DataFrame) -> pd.DataFrame:
    """Rules that need action first, of the same verdict those that most labels depend on."""
    rank = summary["verdict"].map({verdict: at for at, verdict in enumerate(VERDICTS)}).fillna(0)
    return (
        summary.assign(rank=rank)
        .sort_values(["rank", "changed", "function"], ascending=[True, False, True])
        .drop(columns="rank")
    )


def _with_meaning(verdict: str) -> str:
    """'Dead (it never votes)'"""
    meaning = f" ({MEANINGS[verdict]})" if verdict in MEANINGS else ""
    return f"{verdict[:1].upper()}{verdict[1:]}{meaning}"


def _copies(summary: pd.DataFrame) -> list[list[str]]:
    """Names of the rules of each block, each block once."""
    blocks: dict[tuple[str, ...], None] = {}
    for row in summary.itertuples(index=False, name="Row"):
        if len(row.copies):
            blocks.setdefault(tuple(sorted({row.function, *row.copies})))
    return [list(block) for block in blocks]


def _some(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more."""
    first = [words.name(name, 40) for name in names[:most]]
    return words.listed(first if len(names) <= most else [*first, f"{len(names) - most} more"])


def _times(value: Any) -> str:
    return words.NOTHING if words.absent(value) else "over 1,000 ×" if value > 1000 else f"{value:.3g} ×"


def _right_where_known(row: Any) -> str:
    """'80.0% of 1,515'"""
    if words.absent(row.correct):
        return words.NOTHING
    return f"{words.share(row.empirical_accuracy)} of {words.number(row.correct + row.incorrect)}"


def overlaps(content: LabelContent) -> Section | None:
    """Which rules repeat each other."""
    if content.overlaps is None or content.overlaps.empty:
        return None
    pairs = charts.repeated(content.overlaps, content.summary, content.total)
    closest = pairs.iloc[0]
    title = "Which rules overlap"
    rarer, wider = (words.name(closest[which], 40) for which in ("rarer", "wider"))
    finding = f"The closest two: {wider} repeats {words.share(closest['repeats'])} of the votes of {rarer}."
    cells: dict[str, Cell] = {
        "rarer rule": lambda row: words.name(row.rarer, 40),
        "other rule": lambda row: words.name(row.wider, 40),
        "of the rarer one's votes repeated": lambda row: words.share(row.repeats),
        "rows with both": lambda row: words.number(row.rows),
        "of these they agree on": lambda row: words.share(row.agreement),
    }
    voting = content.summary[content.summary["coverage"] > 0]
    note = ""
    if len(voting) > charts.MOST_RULES:
        note = f" The {charts.MOST_RULES} rules of the closest pairs are shown."
    return Section(
        "overlaps",
        title,
        findings=(finding,),
        how_to_read="The darker a field, the larger the share of the rarer rule's votes that the other rule "
        "repeats with the same vote. Nearly all of them: a copy. Rules that vote often repeat others by "
        "chance, too; rules that are right about the same rows also do. No field: the two never vote on the "
        f"same row.{note}",
        figure=charts.overlap_matrix(title, pairs, _alike_together(voting)),
        tables=(
            table(
                "The closest pairs",
                pairs,
                cells,
                numeric=list(cells)[2:],
                limit=MOST_PAIRS,
                rest="All are in label_pairs.",
                cards=True,
            ),
        ),
    )


def _alike_together(summary: pd.DataFrame) -> list[str]:
    """Rules by what they vote for, copies beside each other."""
    order = sorted(
        summary.itertuples(index=False, name="Row"),
        key=lambda row: (list(row.polarity), min([row.function, *row.copies]), row.function),
    )
    return [row.function for row in order]
