"""The report of the label job: which rows are called and how surely, what the rules do, before and after."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from firstday.answer import Answer, Fact
from firstday.labels import sections
from firstday.labels.audit import Estimate
from firstday.labels.content import LabelContent
from firstday.labels.sections import expected_share
from firstday.report import words
from firstday.report.page import Page, Report, Section, Table, Tile, figures_of, render
from firstday.report.terminal import lines

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


def label_answer(content: LabelContent) -> Answer:
    """Which rows are called, how surely, and how common the class is."""
    decision, name = content.decision, content.called_name
    facts = []
    if decision is not None:
        facts = [
            Fact("called", decision.called, "rows", meaning=f"rows called {name}"),
            Fact("expected precision", decision.precision, "share", meaning="of the called rows"),
            Fact("expected to be missed", decision.missed, "rows", meaning=f"{name} among the other rows"),
        ]
    share, low, high = content.share
    how = content.doubt or ("by rows checked by hand" if content.audit else "by the label model")
    facts += [
        Fact(f"share of {name}", share, "share", low, high, how),
        Fact("voters", len(content.summary), meaning=f"weighed by the label model {content.kind}"),
        *_classifiers(content),
    ]
    called = decision is not None and decision.called > 0
    doubt = [] if content.doubt is None else [content.doubt]
    return Answer("called" if called else "none", _headline(content), tuple(facts), (*doubt, *content.notes))


def _headline(content: LabelContent) -> str:
    decision, name, total = content.decision, content.called_name, words.number(content.total)
    if decision is None:
        return labels_decided(content)
    if decision.called == 0:
        return f"None of {total} rows is called {name}: no score reaches the threshold."
    called = f"{words.number(decision.called)} of {total} rows are called {name}"
    if content.audit is not None and not words.absent(content.audit.precision.value):
        precision = share_with_limits(content.audit.precision)
        return f"{called}. By rows checked by hand {precision} of these are {name}."
    precise = expected_share(decision.precision)
    if content.doubt:
        known = f"but the votes do not say how common {name} is."
        return f"{called}. By the scores {precise} of these are {name}, {known}"
    return f"{called}. {precise} of these are expected to be {name}."


def labels_decided(content: LabelContent) -> str:
    """How many rows have a label, and by what."""
    return (
        f"{words.number(content.statuses.get('decided', 0))} of {words.number(content.total)} rows have a "
        f"label, by the {content.kind} model of {words.number(len(content.summary))} functions."
    )


def share_with_limits(one: Estimate) -> str:
    """'73.1% (69.3 to 76.6%)'"""
    return words.share_with(one.value, one.low, one.high)


def _classifiers(content: LabelContent) -> list[Fact]:
    """F1 of a classifier of the old labels and of one of the corrected ones, on the same test rows."""
    if content.comparison is None:
        return []
    rows = content.comparison[content.comparison["measure"] == "f1"]
    known = rows[rows["against"] == "gold"]
    against = "the known labels" if len(known) else "what the label model decided"
    f1 = (known if len(known) else rows).set_index("model")["value"]
    of = {"before": "old", "after": "corrected"}
    return [
        Fact(f"F1 of a classifier of the {of[name]} labels", f1[name], "share", meaning=f"against {against}")
        for name in of
        if name in f1.index
    ]


def label_text(content: LabelContent) -> str:
    """Which rows are called, how many are missed, how common the class is."""
    return lines([label_answer(content).headline, *label_sentences(content)])


@dataclass(frozen=True)
class Group:
    """Figures of the answer under a title."""

    title: str
    facts: Sequence[Tile]
    caption: str = ""
    caveat: str = ""


def label_report(content: LabelContent) -> Report:
    """One HTML page."""
    evidence = [
        sections.scores(content),
        sections.thresholds(content),
        sections.reliability(content),
        sections.functions(content),
        sections.overlaps(content),
        _rows(content),
        _before_after(content.comparison, content.called_name) if content.comparison is not None else None,
        _drift(content.drift) if content.drift is not None else None,
    ]
    page = Page(
        "Labels",
        f"firstday label, run {content.run_id}",
        tuple(section for section in evidence if section is not None),
        WORDS,
    )
    html = render(
        "label.html.j2",
        page,
        verdict=label_answer(content).headline,
        sentences=label_sentences(content),
        groups=[group for group in (_called(content), _changed(content)) if group.facts],
        notes=[words.stopped(note) for note in content.notes],
        run=[
            (title, [(words.name(key), words.name(value)) for key, value in pairs.items()])
            for title, pairs in (("Inputs", content.inputs), ("Settings", content.settings))
        ],
    )
    return Report(html, figures_of(page))


def label_sentences(content: LabelContent) -> list[str]:
    """What stands under the verdict: misses, the share of the class, the model."""
    found = []
    decision, name = content.decision, content.called_name
    if decision is not None:
        about = "By the scores about" if content.doubt else "About"
        missed = f"{about} {words.number(decision.missed)} {name} rows are expected to be missed"
        distribution = content.distribution
        if distribution is not None and distribution.silent_rows:
            rows = distribution.silent_rows
            missed += (
                f", {words.number(distribution.silent * rows)} of them among the {words.number(rows)} rows "
                "that no rule votes on"
            )
        found.append(f"{missed}.")
    found.append(_share_sentence(content))
    if decision is not None:
        found.append(labels_decided(content))
    return found


def _share_sentence(content: LabelContent) -> str:
    """How common the class is, and how that is known."""
    name, at, shares = content.called_name, content.called_class, content.class_shares
    truth = ""
    if content.gold_share is not None:
        truth = f" Among the rows with a known label it is {words.share(content.gold_share)}."
    if content.audit is not None:
        share = share_with_limits(content.audit.share)
        return f"By rows checked by hand {share} of all rows are {name}.{truth}"
    share = words.share(content.balance[at])
    if shares is None:
        return f"The model takes {share} of all rows as {name}; this kind of model knows no limits.{truth}"
    if shares.doubt is not None:
        return (
            f"The votes do not say how common {name} is: {words.stopped(shares.doubt)} Use the order of the "
            "rows, not the probabilities; give --balance where it is known, or check rows by hand with "
            f"--audit 150.{truth}"
        )
    low, high = float(shares.low[at]), float(shares.high[at])
    if low == high:
        return f"{share} of all rows are {name}, as given by --balance.{truth}"
    return (
        f"{words.share_with(content.balance[at], low, high)} of all rows are {name}, if rules depend on each "
        f"other no more than the model allows for. In brackets: 95% limits.{truth}"
    )


def _called(content: LabelContent) -> Group:
    """The figures of the decision; what was checked by hand comes first."""
    name, decision, audit = content.called_name, content.decision, content.audit
    facts: list[Tile] = []
    if audit is not None:
        facts += [
            Tile(f"Checked by hand: {title}", words.share(one.value), _limits(one))
            for title, one in (
                (f"share of {name}", audit.share),
                ("precision", audit.precision),
                ("recall", audit.recall),
            )
        ]
    if decision is not None:
        facts.append(Tile(f"Called {name}", f"{words.number(decision.called)} rows", _reason(content)))
        doubted = "; the votes do not say how common the class is" if content.doubt else ""
        expected = decision.called * decision.precision if decision.called else 0.0
        everyone = expected + decision.missed
        recall = expected / everyone if everyone > 0 else None
        for title, value, truth in (
            ("Expected precision", decision.precision, content.gold_precision),
            ("Expected recall", recall, content.gold_recall),
        ):
            known = "by the scores" if truth is None else f"on known labels: {words.share(truth)}"
            facts.append(Tile(title, sections.expected_share(value), known + doubted))
        silent = content.distribution.silent * content.distribution.silent_rows if content.distribution else 0
        where = f"{words.number(silent)} on rows that no rule votes on" if silent else ""
        facts.append(Tile(f"Expected {name} rows missed", words.number(decision.missed), where))
    if content.class_shares is not None or content.gold_share is not None:
        facts.append(_share_fact(content))
    if content.stakes is not None:
        of = f"expected to be {name}" + (f", sum of {words.name(content.stake, 40)}" if content.stake else "")
        for title, amount in zip(("Amount called", "Amount missed"), content.stakes, strict=True):
            facts.append(Tile(title, words.number(amount), of))
    caption = "Expected figures follow from the scores. In brackets: 95% limits." if facts else ""
    return Group("How sure is that?", facts, caption)


def _share_fact(content: LabelContent) -> Tile:
    at, shares = content.called_class, content.class_shares
    title = f"Share of {content.called_name}, by the model"
    truth = "" if content.gold_share is None else f"on known labels: {words.share(content.gold_share)}"
    if shares is not None and shares.doubt is not None:
        return Tile(title, "not known", words.joined("; ", "the votes do not say", truth))
    limits = None
    if shares is not None and shares.low[at] < shares.high[at]:
        limits = f"[{words.share(float(shares.low[at]))}, {words.share(float(shares.high[at]))}]"
    return Tile(title, words.share(content.balance[at]), words.joined("; ", limits, truth or None))


def _reason(content: LabelContent) -> str:
    """By which rule rows are called."""
    rule = content.rule
    if rule is None:
        return "those more likely than not"
    if rule.precision is not None:
        return f"as many as hold an expected precision of {words.share(rule.precision)}"
    if rule.cost_ratio is not None:
        return f"a wrong call costs as much as {rule.cost_ratio:g} misses"
    if rule.capacity is not None:
        return f"the most likely, at most {words.number(rule.capacity)}"
    return "those more likely than not"


def _limits(one: Estimate) -> str:
    return f"[{words.share(one.low)}, {words.share(one.high)}]"


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
            facts.append(Tile(f"{title}: {MEASURES[measure]}", words.share(row["value"]), interval))
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
