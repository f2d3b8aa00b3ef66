"""The report of the label job: which rows are called and how surely, what the rules do, before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from firstday.labels.audit import Estimate, Estimates
from firstday.labels.decision import Decision, Distribution, Rule
from firstday.labels.models.base import ClassShares
from firstday.report import label_charts, words
from firstday.report.page import Cell, Fact, Page, Report, Section, Table, render, table

WORDS = (
    ("label function, rule", "a rule that votes for a class, or abstains"),
    ("coverage", "share of all rows on which a rule votes"),
    ("score", "the label model's probability that a row is of the class that is called"),
    ("called", "labelled as the class that is looked for"),
    ("precision", "share of the called rows that are of the class"),
    ("recall", "share of the class's rows that are called"),
    ("missed", "rows of the class that are not called"),
    ("expected", "worked out from the scores; as good as these are"),
    ("learned", "worked out by the label model from the votes alone; measured on nothing"),
    ("soft label", "the label model's probability of each class for a row"),
    ("unknown", "no rule votes on the row"),
)
BEFORE_AFTER = (("before", "The old labels' model"), ("after", "The soft labels' model"))
MEASURES = {"f1": "F1", "precision": "precision", "recall": "recall"}
CALLS = ("negative", "positive")
STATUSES = ("decided", "tie", "unknown")
FINE = "fine"
# What needs action comes first.
VERDICTS = ("speaks against its class", "at odds", "redundant", "dead", FINE)
MEANINGS = {
    "speaks against its class": "its vote is rarer on the class that it is for than on others",
    "at odds": "by the model its votes are right less often than chance",
    "redundant": "a copy of another rule, or no label would change without it",
    "dead": "it never votes",
}
MOST_FINDINGS = 10
MOST_PAIRS = 20
MOVES = 12  # thresholds in the table; the chart has all
LEAST_LIFT = 0.8  # of P(vote | its class) / P(vote | another): below, it speaks against its class


@dataclass(frozen=True)
class LabelContent:
    """What the report shows.

    summary, comparison (or None), drift (or None), overlaps (label_pairs, or None): the tables of these
    names. statuses: rows by status. notes: what the model says of itself. classes: their names. balance:
    their shares. positive: the one that is called; the last where None. settings, inputs: as in the run.

    class_shares: limits of the shares, or why there are none. decision, rule, distribution, thresholds: as
    `firstday.labels.decision` returns them. gold_share: true share of positives among the rows with a known
    label; gold_precision, gold_recall: of the called, on these rows. audit: what rows checked by hand say;
    reliability: of each stratum its name, rows, answered, positive, told (mean P before), recalibrated
    (after), low and high (exact limits of the share found). stakes: the amounts that are expected to be
    positives', called and missed; stake: their column.
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
    class_shares: ClassShares | None = None
    decision: Decision | None = None
    rule: Rule = field(default_factory=Rule)
    distribution: Distribution | None = None
    thresholds: pd.DataFrame | None = None
    overlaps: pd.DataFrame | None = None
    gold_share: float | None = None
    gold_precision: float | None = None
    gold_recall: float | None = None
    audit: Estimates | None = None
    reliability: pd.DataFrame | None = None
    stakes: tuple[float, float] | None = None
    stake: str | None = None

    @cached_property
    def called_class(self) -> int:
        """The number of the class that is called."""
        classes = list(self.classes)
        return classes.index(self.positive) if self.positive in classes else len(classes) - 1

    @property
    def called_name(self) -> str:
        """Its name, fit for a sentence."""
        return words.name(self.positive or self.classes[self.called_class], 40)

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.statuses.values())

    @property
    def doubt(self) -> str | None:
        """Why the shares, and with them what is expected, are not to be trusted. An audit ends it."""
        return self.class_shares.doubt if self.class_shares and self.audit is None else None


@dataclass(frozen=True)
class Group:
    """Figures of the answer under a title."""

    title: str
    facts: Sequence[Fact]
    caption: str = ""
    caveat: str = ""


def label_report(content: LabelContent) -> Report:
    """One HTML page."""
    sections = [
        _scores(content),
        _thresholds(content),
        _reliability(content),
        _functions(content),
        _overlaps(content),
        _rows(content),
        _before_after(content.comparison, content.called_name) if content.comparison is not None else None,
        _drift(content.drift) if content.drift is not None else None,
    ]
    page = Page(
        "Labels",
        f"firstday label, run {content.run_id}",
        tuple(section for section in sections if section is not None),
        WORDS,
    )
    html = render(
        "label.html.j2",
        page,
        verdict=_verdict(content),
        sentences=_sentences(content),
        groups=[group for group in (_called(content), _changed(content)) if group.facts],
        notes=[words.stopped(note) for note in content.notes],
        run=[
            (title, [(words.name(key), words.name(value)) for key, value in pairs.items()])
            for title, pairs in (("Inputs", content.inputs), ("Settings", content.settings))
        ],
    )
    return Report(html)


def _verdict(content: LabelContent) -> str:
    decision, name, total = content.decision, content.called_name, words.number(content.total)
    if decision is None:
        return _decided(content)
    if decision.called == 0:
        return f"None of {total} rows is called {name}: no score reaches the threshold."
    called = f"{words.number(decision.called)} of {total} rows are called {name}"
    if content.audit is not None and not words.absent(content.audit.precision.value):
        precision = content.audit.precision
        return f"{called}. By rows checked by hand {_with_limits(precision)} of these are {name}."
    if content.doubt:
        return (
            f"{called}. By the scores {_share(decision.precision)} of these are {name}, but the votes "
            f"do not say how common {name} is."
        )
    return f"{called}. {_share(decision.precision)} of these are expected to be {name}."


def _decided(content: LabelContent) -> str:
    return (
        f"{words.number(content.statuses.get('decided', 0))} of {words.number(content.total)} rows have a "
        f"label, by the {content.kind} model of {words.number(len(content.summary))} functions."
    )


def _sentences(content: LabelContent) -> list[str]:
    """What stands under the verdict: misses, the share of the class, the model."""
    found = []
    decision, name = content.decision, content.called_name
    if decision is not None:
        about = "By the scores about" if content.doubt else "About"
        missed = f"{about} {words.number(decision.missed)} {name} rows are expected to be missed"
        spread = content.distribution
        if spread is not None and spread.silent_rows:
            silent = spread.silent * spread.silent_rows
            missed += (
                f", {words.number(silent)} of them among the {words.number(spread.silent_rows)} rows that no "
                "rule votes on"
            )
        found.append(f"{missed}.")
    found.append(_share_sentence(content))
    if decision is not None:
        found.append(_decided(content))
    return found


def _share_sentence(content: LabelContent) -> str:
    """How common the class is, and how that is known."""
    name, at, shares = content.called_name, content.called_class, content.class_shares
    truth = ""
    if content.gold_share is not None:
        truth = f" Among the rows with a known label it is {words.share(content.gold_share)}."
    if content.audit is not None:
        return f"By rows checked by hand {_with_limits(content.audit.share)} of all rows are {name}.{truth}"
    told = words.share(content.balance[at])
    if shares is None:
        return f"The model takes {told} of all rows as {name}; this kind of model knows no limits.{truth}"
    if shares.doubt is not None:
        return (
            f"The votes do not say how common {name} is: {words.stopped(shares.doubt)} Use the order of the "
            "rows, not the probabilities; give --balance where it is known, or check rows by hand with "
            f"--audit 150.{truth}"
        )
    low, high = float(shares.low[at]), float(shares.high[at])
    if low == high:
        return f"{told} of all rows are {name}, as given by --balance.{truth}"
    return (
        f"{words.share_with(content.balance[at], low, high)} of all rows are {name}, if rules depend on each "
        f"other no more than the model allows for. In brackets: 95% limits.{truth}"
    )


def _called(content: LabelContent) -> Group:
    """The figures of the decision; what was checked by hand comes first."""
    name, decision, audit = content.called_name, content.decision, content.audit
    facts: list[Fact] = []
    if audit is not None:
        facts += [
            Fact(f"Checked by hand: {title}", words.share(one.value), _limits(one))
            for title, one in (
                (f"share of {name}", audit.share),
                ("precision", audit.precision),
                ("recall", audit.recall),
            )
        ]
    if decision is not None:
        facts.append(Fact(f"Called {name}", f"{words.number(decision.called)} rows", _reason(content)))
        doubted = "; the votes do not say how common the class is" if content.doubt else ""
        expected = decision.called * decision.precision if decision.called else 0.0
        everyone = expected + decision.missed
        recall = expected / everyone if everyone > 0 else None
        for title, value, truth in (
            ("Expected precision", decision.precision, content.gold_precision),
            ("Expected recall", recall, content.gold_recall),
        ):
            known = "by the scores" if truth is None else f"on known labels: {words.share(truth)}"
            facts.append(Fact(title, _share(value), known + doubted))
        silent = content.distribution.silent * content.distribution.silent_rows if content.distribution else 0
        where = f"{words.number(silent)} on rows that no rule votes on" if silent else ""
        facts.append(Fact(f"Expected {name} rows missed", words.number(decision.missed), where))
    if content.class_shares is not None or content.gold_share is not None:
        facts.append(_share_fact(content))
    if content.stakes is not None:
        of = f"expected to be {name}" + (f", sum of {words.name(content.stake, 40)}" if content.stake else "")
        for title, amount in zip(("Amount called", "Amount missed"), content.stakes, strict=True):
            facts.append(Fact(title, words.number(amount), of))
    caption = "Expected figures follow from the scores. In brackets: 95% limits." if facts else ""
    return Group("How sure is that?", facts, caption)


def _share_fact(content: LabelContent) -> Fact:
    at, shares = content.called_class, content.class_shares
    title = f"Share of {content.called_name}, by the model"
    truth = "" if content.gold_share is None else f"on known labels: {words.share(content.gold_share)}"
    if shares is not None and shares.doubt is not None:
        return Fact(title, "not known", words.joined("; ", "the votes do not say", truth))
    limits = None
    if shares is not None and shares.low[at] < shares.high[at]:
        limits = f"[{words.share(float(shares.low[at]))}, {words.share(float(shares.high[at]))}]"
    return Fact(title, words.share(content.balance[at]), words.joined("; ", limits, truth or None))


def _reason(content: LabelContent) -> str:
    """By which rule rows are called."""
    rule = content.rule
    if rule.precision is not None:
        return f"as many as hold an expected precision of {words.share(rule.precision)}"
    if rule.cost_ratio is not None:
        return f"a wrong call costs as much as {rule.cost_ratio:g} misses"
    if rule.capacity is not None:
        return f"the most likely, at most {words.number(rule.capacity)}"
    return "those more likely than not"


def _share(value: Any) -> str:
    """An expected share; one that is not 100% is not written as such."""
    return "over 99.9%" if not words.absent(value) and 0.9995 <= value < 1 else words.share(value)


def _limits(one: Estimate) -> str:
    return f"[{words.share(one.low)}, {words.share(one.high)}]"


def _with_limits(one: Estimate) -> str:
    return words.share_with(one.value, one.low, one.high)


def _changed(content: LabelContent) -> Group:
    """F1, precision and recall of both models, against known labels where there are any."""
    if content.comparison is None:
        return Group("What the correction changed", ())
    figures = content.comparison.set_index(["against", "model", "measure"])
    against = "gold" if ("gold", "after", "f1") in figures.index else "label model"
    facts = []
    for model, title in BEFORE_AFTER:
        for measure in MEASURES:
            row = figures.loc[(against, model, measure)]
            interval = f"[{words.share(row['low'])}, {words.share(row['high'])}]"
            facts.append(Fact(f"{title}: {MEASURES[measure]}", words.share(row["value"]), interval))
    known = "the known labels" if against == "gold" else "the label model's own decisions"
    if against == "gold":
        caveat = (
            "Figures against the label model, below, favour the corrected model: it learned from the same "
            "label model. Those against the known labels do not."
        )
    else:
        caveat = (
            "These figures favour the corrected model: it learned from the label model that it is measured "
            "against. Only a known answer (--gold) shows what the correction is worth."
        )
    caption = f"On test rows, against {known}. In brackets: 95% intervals."
    return Group("What the correction changed", facts, caption, caveat)


def _scores(content: LabelContent) -> Section | None:
    """The distribution of the score, with the threshold."""
    spread, decision, name = content.distribution, content.decision, content.called_name
    if spread is None:
        return None
    findings = []
    if decision is not None and decision.called:
        findings.append(
            f"Rows with a score from {label_charts.score(decision.threshold)} on are called {name}: "
            f"{words.number(decision.called)} rows."
        )
        if decision.rest is not None:
            findings.append(
                f"Of the rows that have just this score {words.number(decision.rest)} are called, to hold "
                "the capacity."
            )
    elif decision is not None:
        findings.append(f"No score reaches the threshold; no row is called {name}.")
    if spread.silent_rows:
        findings.append(
            f"{words.number(spread.silent_rows)} rows have no vote. Their score is "
            f"{label_charts.score(spread.silent)}; they are never called."
        )
    title = "Which rows are called"
    return Section(
        "scores",
        title,
        findings=tuple(findings),
        how_to_read="Each bar counts the rows with such a score. The axis is logarithmic, so that rare rows "
        "are seen: a bar twice as high stands for far more than twice the rows. Bars grey and apart: rows "
        f"without votes. Marks: how many of the bar's rows are expected to be {name}.",
        figure=label_charts.scores(title, spread, decision, content.called_name),
    )


def _thresholds(content: LabelContent) -> Section | None:
    """What is expected of other thresholds."""
    moves = content.thresholds
    if moves is None or moves.empty:
        return None
    title = "What another threshold would bring"
    step = max(1, -(-len(moves) // MOVES))
    shown = moves.iloc[sorted({*range(0, len(moves), step), len(moves) - 1})]
    cells: dict[str, Cell] = {
        "called from a score of": lambda row: label_charts.score(row.threshold),
        "rows called": lambda row: words.number(row.called),
        "expected precision": lambda row: _share(row.precision),
        "expected recall": lambda row: _share(row.recall),
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
        figure=label_charts.threshold_lines(title, moves, content.decision),
        tables=(table("Thresholds", shown, cells, numeric=list(cells)),),
    )


def _reliability(content: LabelContent) -> Section | None:
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
        figure=label_charts.reliability(title, strata, name),
        tables=(table("Strata of the audit", strata, cells, numeric=list(cells)[1:], cards=True),),
    )


def _functions(content: LabelContent) -> Section:
    summary = _by_need(content.summary)
    flagged = summary[summary["verdict"] != FINE]
    findings = [
        f"{_with_meaning(str(verdict))}: {_some(list(rules), MOST_FINDINGS)}."
        for verdict, rules in flagged.groupby("verdict", sort=False)["function"]
    ]
    findings += [f"Copies: {_some(block, 12)}." for block in _copies(content.summary)[:MOST_FINDINGS]]
    names = [words.name(name, 30) for name in content.classes]
    is_known = summary["correct"].notna().any()
    lift = next((name for name in ("likelihood_ratio", "ratio") if name in summary), None)
    cells: dict[str, Cell] = {
        "rule": lambda row: words.name(row.function, 60),
        "verdict, by the model": lambda row: "no objection" if row.verdict == FINE else row.verdict,
        "votes for": lambda row: ", ".join(names[vote] for vote in row.polarity) or words.NOTHING,
        "coverage": lambda row: words.share(row.coverage, 2),
        "others vote too": lambda row: words.share(row.overlaps, 2),
        "others vote otherwise": lambda row: words.share(row.conflicts, 2),
        "learned precision": lambda row: words.share(row.learned_accuracy),
    }
    if lift is not None:
        cells["learned ratio"] = lambda row: _times(getattr(row, lift))
    if is_known:
        cells["right where known"] = _right_where_known
    cells["labels changed without it"] = lambda row: words.share(row.changed, 2)
    how = (
        "Shares are of all rows. Learned figures come from the label model, from the votes alone; they are "
        "not measured. Learned precision: the share of its votes that the model takes as right."
    )
    if lift is not None:
        how += (
            " Learned ratio: how many times likelier its vote is on rows of the class that it votes for than "
            f"on others; below {LEAST_LIFT} it speaks against its class."
        )
    if is_known:
        how += " Right where known: the share of its votes that are right, on rows with a known label."
    figure = None
    if (summary["learned_accuracy"].notna() & (summary["coverage"] > 0)).any():
        how += (
            " In the chart lines are 95% intervals (Wilson's, of the learned precision over its votes): "
            "they hold the model to be true, and are too short where it is not."
        )
        figure = label_charts.rules(
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


def _overlaps(content: LabelContent) -> Section | None:
    """Which rules repeat each other."""
    if content.overlaps is None or content.overlaps.empty:
        return None
    pairs = label_charts.repeated(content.overlaps, content.summary, content.total)
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
    if len(voting) > label_charts.MOST_RULES:
        note = f" The {label_charts.MOST_RULES} rules of the closest pairs are shown."
    return Section(
        "overlaps",
        title,
        findings=(finding,),
        how_to_read="The darker a field, the larger the share of the rarer rule's votes that the other rule "
        "repeats with the same vote. Nearly all of them: a copy. Rules that vote often repeat others by "
        "chance, too; rules that are right about the same rows also do. No field: the two never vote on the "
        f"same row.{note}",
        figure=label_charts.overlap_matrix(title, pairs, _alike_together(voting)),
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


def _rows(content: LabelContent) -> Section:
    total = max(content.total, 1)
    statuses = [
        (
            status,
            words.number(content.statuses.get(status, 0)),
            words.share(content.statuses.get(status, 0) / total),
        )
        for status in STATUSES
    ]
    shares = content.class_shares
    limits = shares is not None and shares.doubt is None
    columns = ["class", "share, by the model", *(["95% limits"] if limits else [])]
    balance = []
    for at, (name, share) in enumerate(zip(content.classes, content.balance, strict=True)):
        row = [words.name(name, 40), words.share(share)]
        if shares is not None and limits:
            row.append(words.share_interval(float(shares.low[at]), float(shares.high[at])))
        balance.append(tuple(row))
    how = "In a tie two classes are equally likely. Unknown rows got no vote and have no label."
    if shares is not None and shares.doubt is not None:
        how += (
            " The model needs some share of each class to work with; the votes do not say that it is right."
        )
    return Section(
        "rows",
        "How the rows are labelled",
        how_to_read=how,
        tables=(
            _table("Rows by status", ("status", "rows", "share"), statuses),
            _table("Share of each class", tuple(columns), balance),
        ),
    )


def _before_after(figures: pd.DataFrame, positive: str) -> Section:
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
        how_to_read=f"Positive is {positive}, negative any other class. "
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
    findings = tuple(
        f"{words.name(row.function, 60)} has changed." for row in moved.head(10).itertuples(index=False)
    )
    wide = drift.pivot(index="function", columns="period", values="coverage").reset_index()
    periods = [name for name in wide.columns if name != "function"]
    shown = periods[:: max(1, -(-len(periods) // 8))]
    rows = [
        (words.name(row["function"], 60), *(words.share(row[name]) for name in shown))
        for _, row in wide.iterrows()
    ]
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
