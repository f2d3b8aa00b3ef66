"""The answer of each stage, from what its report is made of; its page and its text begin with it."""

from typing import Any

from firstday.answer import Answer, Fact
from firstday.labels.audit import Estimate
from firstday.report import page, words
from firstday.report.content import DiscoverContent, MeasureContent, RecommendContent, TrainContent
from firstday.report.label_content import LabelContent
from firstday.report.label_sections import expected_share
from firstday.report.measure_rows import Rows, chance

# What discover says of its candidate: the figure, its unit, and what it is.
CANDIDATE = (
    ("p_cause", "probability", "that the action is a cause"),
    ("p_works", "probability", "that pushing it works"),
    ("precision", "share", "of those who did it, came back"),
    ("recall", "share", "of those who came back, did it"),
    ("adjusted", "points", "difference in retention among equally active users"),
)
EXPLORING = "exploring"  # the source of slots that are filled by a draw


def shown(fact: Fact) -> page.Fact:
    """A fact as a page writes it, by its unit."""
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
    return page.Fact(words.name(fact.name.replace("_", " ")), value, meaning)


def discover_answer(content: DiscoverContent) -> Answer:
    """The candidate that is named or listed first, and what is known of it."""
    found = content.hypothesis
    facts = []
    if not words.absent(found.get("action")):
        facts = [Fact("action", str(found["action"])), Fact("threshold", found["threshold"], "times")]
    for name, unit, meaning in CANDIDATE:
        if not words.absent(found.get(name)):
            facts.append(
                Fact(name, found[name], unit, found.get(f"{name}_low"), found.get(f"{name}_high"), meaning)
            )
    return Answer(found["verdict"], _discovered(content), tuple(facts), tuple(content.notes))


def _discovered(content: DiscoverContent) -> str:
    if content.hypothesis["verdict"] == "none":
        return "No moment found: there is nothing to test yet."
    if content.hypothesis["verdict"] == "shortlist":
        return "No single moment stands out, but these are worth a test, in this order."
    return f"A moment to test: {words.stopped(content.hypothesis.get('sentence'))}"


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
    return Answer("called" if called else "none", _labelled(content), tuple(facts), (*doubt, *content.notes))


def _labelled(content: LabelContent) -> str:
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
    return Answer(verdict, _trained(content), tuple(known), tuple(content.notes))


def _trained(content: TrainContent) -> str:
    if content.beats:
        return "The model beats every baseline."
    return "The model is not shown to beat every baseline: do not recommend by it."


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


def measure_answer(content: MeasureContent) -> Answer:
    """The decision, and the row that decides on each metric and treatment: the last look of its method."""
    rows, decision = Rows(content), content.decision
    decisive = [*rows.deciding(), *rows.guardrails()]
    facts = [_effect(rows, row) for row in decisive if not words.absent(row.estimate)]
    check = rows.sample_ratio("all")
    if check is not None and not words.absent(check.p_value):
        facts.append(Fact("sample-ratio check", check.p_value, "p", meaning=words.text(check.verdict)))
    headline = " ".join(words.stopped(each) for each in (decision.ship, decision.headline) if each)
    return Answer(decision.verdict, headline, tuple(facts), (*decision.warnings, *content.notes))


def _effect(rows: Rows, row: Any) -> Fact:
    amount = rows.amount(row)
    names = {name: str(getattr(row, name)) for name in ("experiment", "metric", "treatment", "method")}
    return Fact(
        f"{row.metric} of {row.treatment}",
        row.estimate,
        "points" if amount.is_share else amount.unit.strip(),
        row.low,
        row.high,
        words.joined("; ", row.verdict, chance(row, rows.family(row))),
        names,
    )
