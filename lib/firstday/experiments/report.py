"""The report of the measure job: did it work, how sure is that, for whom, is anything harmed, what now?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from firstday.answer import Answer, Fact
from firstday.experiments.content import (
    BETTER,
    CANNOT_TELL,
    TRIGGERED,
    WITHHELD,
    WORSE,
    MeasureContent,
    Rows,
    arm_values,
    chance,
    joined,
    method_names,
    probability,
    segment,
    verdict_and_span,
)
from firstday.experiments.sections import sections
from firstday.report import words
from firstday.report.figures import unchecked
from firstday.report.page import Page, Report, Tile, figures_of, render
from firstday.report.terminal import aligned, lines

MOST_ROWS = 30
WORDS = (
    ("effect", "treatment less control; of shares in percentage points: from 44.2% to 44.8% is +0.6 points"),
    ("interval", "the effects that fit the data: in 19 of 20 experiments a 95% interval holds the true one"),
    ("p", "how often chance alone would bring as large a difference, were there no effect"),
    ("corrected for", "p raised for how many metrics or segments were tested (Holm; Benjamini-Hochberg)"),
    ("no effect shown", "0 fits the data, as all else in the interval does: it is no proof of no effect"),
    ("power", "how often an effect of that size would be found"),
    ("sample-ratio check", "whether the variants got the shares of units that were planned"),
    ("holds at every look", "the interval may be looked at every day, and the test stopped at any time"),
    ("guardrail", "a metric that need not get better, but must not be harmed by more than a margin"),
    ("exposed", "only units that came where the variants differ; the others can only dilute"),
    ("relative lift", "the effect in percent of the control's value"),
)
MOST_FACTS = 12
FAILED = "Do not believe any figure on this page."


def measure_answer(content: MeasureContent) -> Answer:
    """The decision, and the row that decides on each metric and treatment: the last look of its method."""
    rows, decision = Rows(content), content.decision
    decisive = [*rows.deciding(), *rows.guardrails()]
    facts = [_answered(rows, row) for row in decisive if not words.absent(row.estimate)]
    check = rows.sample_ratio("all")
    if check is not None and not words.absent(check.p_value):
        facts.append(Fact("sample-ratio check", check.p_value, "p", meaning=words.text(check.verdict)))
    headline = " ".join(words.stopped(each) for each in (decision.ship, decision.headline) if each)
    return Answer(decision.verdict, headline, tuple(facts), (*decision.warnings, *content.notes))


def _answered(rows: Rows, row: Any) -> Fact:
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


def measure_text(content: MeasureContent) -> str:
    """The decision, what it rests on, and each metric's effect among all units."""
    rows = Rows(content)
    decision = content.decision
    check = rows.sample_ratio("all")
    sentences = [
        decision.ship,
        decision.headline,
        *([check.note] if check is not None else []),
        *content.notes,
    ]
    text = lines(sentences)
    if rows.withheld:
        return text
    columns = ("metric", "treatment", "control", "effect", f"{rows.confidence} interval", "p", "verdict")
    guards = rows.guardrails()
    guarded = {(row.metric, row.treatment) for row in guards}
    shown = [row for row in rows.deciding() if (row.metric, row.treatment) not in guarded] + guards
    if not shown:
        return text
    cells = []
    for row in shown[:MOST_ROWS]:
        amount, known = rows.amount(row), row.verdict != CANNOT_TELL
        p_value = row.p_value if words.absent(row.p_adjusted) else row.p_adjusted
        cells.append(
            (
                rows.label(row),
                amount.arm_value(row.value_treatment),
                amount.arm_value(row.value_control),
                amount.effect(row.estimate) if known else words.NOTHING,
                amount.bounds(row.low, row.high) if known else words.NOTHING,
                probability(p_value),
                words.text(row.verdict),
            )
        )
    rest = (
        f"\nThe first {MOST_ROWS} of {len(shown)}; all are in experiment_results."
        if len(shown) > MOST_ROWS
        else ""
    )
    return f"{text}\n\n{aligned(columns, cells, columns[1:-1])}{rest}"


@dataclass(frozen=True)
class Block:
    """One question of a decision-maker, with its answer."""

    title: str
    caption: str = ""
    sentences: tuple[str, ...] = ()
    facts: tuple[Tile, ...] = ()


@unchecked
def measure_report(content: MeasureContent) -> Report:
    """One HTML page, and its figures."""
    rows = Rows(content)
    experiment = words.name(content.experiment)
    page = Page(
        f"Did it work? {experiment}", f"firstday measure, run {content.run_id}", sections(rows), WORDS
    )
    html = render(
        "measure.html.j2",
        page,
        withheld=rows.withheld,
        check=_check(rows),
        verdict=words.stopped(content.decision.ship),
        headline=words.stopped(content.decision.headline),
        notes=_once(map(words.stopped, (*content.decision.warnings, *content.notes))),
        blocks=[] if rows.withheld else _blocks(rows),
        sentences=[] if rows.withheld else [*map(words.stopped, content.decision.rows)],
        run=[
            (title, [(words.name(key), words.name(value)) for key, value in pairs.items()])
            for title, pairs in (("Inputs", content.inputs), ("Settings", content.settings))
        ],
    )
    return Report(html, figures_of(page))


def _blocks(rows: Rows) -> list[Block]:
    return [_effects(rows), _for_whom(rows), _harm(rows), *_what_now(rows)]


def _check(rows: Rows) -> str:
    """The sample-ratio check in words."""
    row = rows.sample_ratio("all")
    if row is None:
        return "The sample ratio was not checked."
    note = words.sentence(row.note)
    return f"{FAILED} {note}" if rows.withheld else note


def _effects(rows: Rows) -> Block:
    """A fact each metric and treatment."""
    guarded = {(row.metric, row.treatment) for row in rows.guardrails()}
    shown = [row for row in rows.deciding() if (row.metric, row.treatment) not in guarded]
    facts = [_effect(rows, row, rows.label(row)) for row in shown[:MOST_FACTS]]
    facts += [
        _effect(rows, row, f"{rows.label(row)}, of reaching {words.name(row.part, 40)}")
        for row in rows.of("encouragement").head(MOST_FACTS).itertuples(index=False, name="Row")
    ]
    methods = words.listed(sorted({method_names().get(row.method, row.method) for row in shown}))
    against = words.listed([words.name(each, 40) for each in _once(row.control for row in shown)])
    caption = f"Treatment less {against}, among all units, by {rows.confidence} intervals ({methods})."
    if len(shown) > MOST_FACTS:
        caption += f" The first {MOST_FACTS} of {len(shown)}; all are in the tables."
    sentences = () if shown else ("No metric was compared, beside guardrails.",)
    return Block("How sure is that?", caption if shown else "", sentences, tuple(facts))


def _effect(rows: Rows, row: Any, label: str) -> Tile:
    """The effect, and what it means: verdict and interval, both values, the chance, what to mind."""
    amount = rows.amount(row)
    figures = joined([arm_values(row, amount), rows.chance(row)])
    note = "" if row.method == "cuped" else words.sentence(row.note)  # how much variance it took: a table
    parts = [verdict_and_span(row, amount, rows.family(row)), f"{figures}." if figures else "", note]
    if row.verdict == CANNOT_TELL:  # a figure would be quoted
        return Tile(label, CANNOT_TELL, note or parts[0])
    return Tile(label, amount.effect(row.estimate), " ".join(part for part in parts if part))


def _for_whom(rows: Rows) -> Block:
    """The segments in which something is shown, and the effect on those exposed to the change."""
    found = rows.by_segment()
    guarded = {row.metric for row in rows.guardrails()}
    tested = [own for own in found if own[0].metric not in guarded]
    sentences = [_shown(rows, own) for own in tested]
    if sentences:
        sentences.append(
            "A segment has fewer units than all: that nothing is shown in one is no proof of no effect."
        )
    elif not found:
        sentences = ["No segments were asked for (--segments)."]
    check = rows.sample_ratio(TRIGGERED)
    if check is not None and check.verdict in ("fails", WITHHELD):
        sentences.append(
            f"Leave the figures of those exposed to the change aside. {words.sentence(check.note)}"
        )
        return Block("For whom?", sentences=tuple(sentences))
    met = rows.of("difference", population=TRIGGERED)
    if _are_all(rows, met):
        return Block(
            "For whom?",
            sentences=(*sentences, "All units were exposed to the change: this is its effect on them."),
        )
    facts = [
        _effect(rows, row, f"{rows.label(row)}, of those exposed to the change")
        for row in met.head(MOST_FACTS).itertuples(index=False, name="Row")
    ]
    return Block("For whom?", sentences=tuple(sentences), facts=tuple(facts))


def _are_all(rows: Rows, met: pd.DataFrame) -> bool:
    """Whether those exposed to the change are all units."""
    counted = ["metric", "treatment", "n_treatment", "n_control"]
    return not met.empty and len(met[counted].merge(rows.of("difference")[counted])) == len(met)


def _shown(rows: Rows, own: Sequence[Any]) -> str:
    """'retention_7: better in country=KR; nothing shown in 3 other segments.'"""
    parts = []
    for verdict in (BETTER, WORSE):
        names = [segment(row.segment) for row in own if row.verdict == verdict]
        if names:
            rest = [f"{len(names) - 5} more"] if len(names) > 6 else names[5:]
            parts.append(f"{verdict} in {words.listed([*names[:5], *rest])}")
    quiet = sum(row.verdict not in (BETTER, WORSE) for row in own)
    if quiet:
        parts.append(f"nothing shown in {words.some(quiet, 'segment', 'segments')}")
    return f"{rows.label(own[0])}: {'; '.join(parts)}."


def _harm(rows: Rows) -> Block:
    """The guardrails; without them, what got worse, and what harm the data exclude."""
    title = "Is anything harmed?"
    guards = rows.guardrails()
    worse = [row for row in rows.deciding() if row.verdict == WORSE]
    sentences = [f"Worse: {words.listed(_once(map(rows.label, worse)))}."] if worse else []
    guarded = {(row.metric, row.treatment) for row in guards}
    others = [row for row in rows.deciding() if (row.metric, row.treatment) not in guarded]
    excluded = [text for row in others if row.verdict != WORSE and (text := _excluded(rows, row))]
    if excluded:
        less = " Smaller harm is not excluded." if any(" by more than " in text for text in excluded) else ""
        sentences.append(f"At {rows.confidence}, the data exclude {words.listed(excluded)}.{less}")
    if not guards:
        sentences.append("No guardrail was planned, so nothing was tested for being free of harm.")
    facts = []
    for row in guards:
        amount = rows.amount(row)
        text = joined([amount.effect_with(row.estimate, row.low, row.high), words.text(row.note)])
        facts.append(Tile(rows.label(row), words.text(row.verdict), f"{text}."))
    return Block(title, sentences=tuple(sentences), facts=tuple(facts))


def _excluded(rows: Rows, row: Any) -> str:
    """'a fall of retention_7 by more than 0.31 points'; '' where nothing is."""
    amount, falls = rows.amount(row), row.metric not in rows.content.fall_is_good
    worst = row.low if falls else row.high
    if words.absent(worst):
        return ""
    harm = -worst if falls else worst
    what = f"{'a fall' if falls else 'a rise'} of {rows.label(row)}"
    return f"{what} by more than {amount.size(harm)}" if harm > 0 else f"any {what[2:]}"


def _what_now(rows: Rows) -> Iterable[Block]:
    """Days that are still needed, and what these units can show."""
    facts = []
    clear = {(row.metric, row.treatment) for row in rows.deciding() if row.verdict in (BETTER, WORSE)}
    # A guardrail that has been decided waits for nothing, whatever its plain difference shows.
    guards = [row for row in rows.guardrails() if row.verdict != CANNOT_TELL]
    clear |= {(row.metric, row.treatment) for row in guards}
    for row in rows.of("days_needed").itertuples(index=False, name="Row"):
        if (row.metric, row.treatment) in clear:
            continue
        days = "not known" if words.absent(row.estimate) else words.some(row.estimate, "day", "days")
        enough = not words.absent(row.estimate) and row.estimate <= 0
        value = "no more days" if enough else f"{days} more"
        facts.append(Tile(f"{rows.label(row)}: still needed", value, words.sentence(row.note)))
    for row in rows.of("detectable_effect").itertuples(index=False, name="Row"):
        if (row.metric, row.treatment) in clear or words.absent(row.estimate):
            continue
        size = rows.amount(row).size(row.estimate)
        facts.append(Tile(f"{rows.label(row)}: what these units could show", size, words.sentence(row.note)))
    if facts:
        yield Block("What now?", facts=tuple(facts[: 2 * MOST_FACTS]))


def _once(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
