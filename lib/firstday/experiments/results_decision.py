"""What the results come to, in words that a decision-maker reads in a minute."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from firstday.experiments.aggregate import EVERYONE
from firstday.experiments.clusters import interference_warning
from firstday.experiments.designs import design_of
from firstday.experiments.guardrails import HARMED, NOT_HARMED
from firstday.experiments.results import (
    BETTER,
    CANNOT_TELL,
    NO_EFFECT,
    WITHHELD,
    WORSE,
    Question,
    methods_that_test,
)
from firstday.experiments.sample_ratio import SampleRatio
from firstday.rounding import digits
from firstday.segments import ALL
from firstday.settings.metrics import Metric

MIXED = "mixed"
Row = dict[str, Any]
METHODS = {
    "difference": "",
    "cuped": ", with what was known before taken out",
    "always_valid": ", valid although looked at every day",
    "group_sequential": ", valid for the planned looks",
}


@dataclass(frozen=True)
class Decision:
    """verdict: withheld, harmed, mixed, better, worse, no effect shown or cannot tell. ship: whether to ship,
    by the metrics and the guardrails. headline: what was found, in a sentence. What it rests on: the check of
    the sample ratio, warnings, and the rows that decide, a sentence each.
    """

    verdict: str
    headline: str
    check: str
    warnings: tuple[str, ...]
    rows: tuple[str, ...]
    ship: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that it rests on."""
        return (self.check, *self.warnings, *self.rows)


def deciding_method(question: Question, metric: Metric) -> str:
    """The method whose verdict counts, by the plan and never by what was found."""
    design = design_of(question)
    if design.method is not None:
        return design.method[0]
    if question.daily:
        return "always_valid"
    if question.looks is not None:
        return "group_sequential"
    return "cuped" if metric.covariate else "difference"


def decide(
    question: Question, results: pd.DataFrame, ratio: SampleRatio, shares: Collection[str] = ()
) -> Decision:
    """The verdict over all metrics and treatments among all units. shares: metrics shown in points."""
    by_metric = [(metric, deciding_method(question, metric)) for metric in question.metrics]
    deciding = [row for metric, method in by_metric for row in _rows(results, metric, method)]
    guards = [row for metric, _ in by_metric for row in _rows(results, metric, "non_inferiority")]
    guarded = {row["metric"] for row in guards}
    verdict = _overall(ratio, [row for row in deciding if row["metric"] not in guarded], guards)
    teller = _Messages(question, results, shares)
    warning = interference_warning(
        shared_pool=question.shared_pool, assigned_by="cluster" if question.clustered else "unit"
    )
    return Decision(
        verdict,
        teller.headline(verdict, deciding, guards),
        ratio.sentence,
        (warning,) if warning else (),
        (*map(teller.sentence, deciding), *map(teller.guard, guards)),
        _ship(question, results, ratio, deciding, guards),
    )


def _rows(results: pd.DataFrame, metric: Metric, method: str) -> list[Row]:
    """The last row of each treatment."""
    own = results[(results["metric"] == metric.name) & (results["method"] == method)]
    own = own[(own["segment"] == ALL) & (own["population"] == EVERYONE)]
    return [rows.iloc[-1].to_dict() for _, rows in own.groupby("treatment", sort=False)]


def _overall(ratio: SampleRatio, deciding: Sequence[Row], guards: Sequence[Row]) -> str:
    if not ratio.passes:
        return WITHHELD
    if any(row["verdict"] == HARMED for row in guards):
        return HARMED
    said = {row["verdict"] for row in deciding}
    if {BETTER, WORSE} <= said:
        return MIXED
    for verdict in (BETTER, WORSE, NO_EFFECT):
        if verdict in said:
            return verdict
    only_guards = not deciding and {row["verdict"] for row in guards} == {NOT_HARMED}
    return NOT_HARMED if only_guards else CANNOT_TELL


def _ship(
    question: Question,
    results: pd.DataFrame,
    ratio: SampleRatio,
    deciding: Sequence[Row],
    guards: Sequence[Row],
) -> str:
    """A sentence for each treatment."""
    if not ratio.passes:
        return f"Don't decide by this: those compared are not alike. {ratio.next_step}"
    several = len(question.treatments) > 1
    parts, shipped = [], []
    for name in question.treatments:
        own, guarded = ([row for row in rows if row["treatment"] == name] for rows in (deciding, guards))
        ships, said = _ship_one(question, results, name, own, guarded)
        parts.append(f"{name}: {said[:1].lower()}{said[1:]}" if several else said)
        shipped += [name] if ships else []
    if len(shipped) > 1:
        parts.append(
            f"Each is compared with {question.control} only: nothing here says which of "
            f"{_listed(shipped)} is better."
        )
    return " ".join(parts)


def _ship_one(
    question: Question, results: pd.DataFrame, name: str, deciding: Sequence[Row], guards: Sequence[Row]
) -> tuple[bool, str]:
    """Whether to ship it, and why."""
    guarded = {row["metric"] for row in guards}

    def metrics(verdict: str, rows: Sequence[Row]) -> list[str]:
        return [row["metric"] for row in rows if row["verdict"] == verdict]

    primary = [row for row in deciding if row["metric"] not in guarded]
    better, worse, quiet = (metrics(verdict, primary) for verdict in (BETTER, WORSE, NO_EFFECT))
    harmed, unclear, safe = (metrics(verdict, guards) for verdict in (HARMED, CANNOT_TELL, NOT_HARMED))
    running = _still_running(question, primary or guards)
    good = f"it is better on {_listed(better)}"
    spared = f"{_listed(safe)} {'is' if len(safe) == 1 else 'are'} not harmed beyond what is accepted"
    no_effect = f"no effect is shown on {_listed(quiet)}"
    but = f"{good}, but whether" if better else "whether"
    cases = (  # the first that holds; whether to ship
        (harmed, False, f"Don't ship {name}: it harms {_listed(harmed)} by more than is accepted."),
        (worse and better, False, f"Don't ship {name} as it is: {good}, but worse on {_listed(worse)}."),
        (worse, False, f"Don't ship {name}: it is worse on {_listed(worse)}."),
        (quiet and not better and running, False, f"Keep {name} running: {no_effect} yet ({running})."),
        (
            quiet and not better,
            False,
            f"Don't ship {name} for what was found: {no_effect}{_wait(results, name, quiet)}.",
        ),
        (
            unclear,
            False,
            f"Don't ship {name} yet: {but} it harms {_listed(unclear)} cannot be told"
            f"{_wait(results, name, unclear)}.",
        ),
        (better and safe, True, f"Ship {name}: {good}, and {spared}."),
        (
            better,
            True,
            f"Ship {name}, if these metrics are all that matters: {good}; no guardrail was planned.",
        ),
        (safe, True, f"Ship {name}, if there is another reason to: {spared}."),
        (True, False, f"Don't decide on {name} yet: no metric has a test."),
    )
    return next((ships, said) for holds, ships, said in cases if holds)


def _still_running(question: Question, rows: Sequence[Row]) -> str:
    """How far an experiment with looks has come, where it may go on; '' where it is over, or has one look."""
    if not rows or not (question.daily or question.looks is not None):
        return ""
    smaller = min(min(row["n_treatment"], row["n_control"]) for row in rows)
    if not smaller < question.planned_units:
        return ""
    return f"{smaller:,.0f} of {question.planned_units:,} planned {question.unit_name}s in the smaller arm"


def _wait(results: pd.DataFrame, treatment: str, metrics: Collection[str]) -> str:
    """How many more days it takes, of the metrics that say what they wait for; '' where none is known."""
    rows = results[(results["method"] == "days_needed") & (results["treatment"] == treatment)]
    days = rows[rows["metric"].isin(list(metrics))]["estimate"].astype(float).dropna()
    if not (days > 0).any():
        return ""
    return f"; {days.max():,.0f} more days would show the smallest effect that matters"


def _listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'"""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


MINUS = "\u2212"


@dataclass(frozen=True)
class _Messages:
    """Rows in words."""

    question: Question
    results: pd.DataFrame
    shares: Collection[str]

    def headline(self, verdict: str, deciding: Sequence[Row], guards: Sequence[Row]) -> str:
        if verdict == WITHHELD:
            return "No verdict: the sample-ratio check failed, so those compared are not alike."
        if verdict == CANNOT_TELL:
            return "These units cannot tell: no metric has a test yet."
        treatments = dict.fromkeys(str(row["treatment"]) for row in (*deciding, *guards))
        parts = [
            self.of_treatment(
                f"{treatment}: " if len(treatments) > 1 else "",
                [row for row in deciding if row["treatment"] == treatment],
                [row for row in guards if row["treatment"] == treatment],
            )
            for treatment in treatments
        ]
        return " ".join(f"{each}." for each in parts if each) or "No guardrail is harmed."

    def of_treatment(self, name: str, deciding: Sequence[Row], guards: Sequence[Row]) -> str:
        """'push is better than control on d7 (+0.90 points); no effect shown on d1'; name: before the latter
        where it stands alone.
        """
        sentences = []
        for verdict in (BETTER, WORSE):
            rows = [row for row in deciding if row["verdict"] == verdict]
            found = [f"{row['metric']} ({self.amount(row['metric'], row['estimate'])})" for row in rows]
            if found:
                sentences.append(
                    f"{rows[0]['treatment']} is {verdict} than {self.question.control} on {', '.join(found)}"
                )
        sentences += [
            f"{row['treatment']} harms {row['metric']}" for row in guards if row["verdict"] == HARMED
        ]
        quiet = [row["metric"] for row in deciding if row["verdict"] == NO_EFFECT]
        if quiet:
            start = "no" if sentences or name else "No"
            sentences.append(f"{'' if sentences else name}{start} effect shown on {', '.join(quiet)}")
        return "; ".join(sentences)

    def sentence(self, row: Row) -> str:
        metric, confidence = row["metric"], f"{1 - self.question.alpha:.0%}"
        about = f"{metric}, {row['treatment']} against {self.question.control}"
        if not _known(row["p_value"]):
            return f"{about}: nothing can be said{': ' if row['note'] else ''}{row['note']}."
        values = ""
        if _known(row["value_treatment"]):
            values = f" ({self.value(metric, row['value_treatment'])} against "
            values += f"{self.value(metric, row['value_control'])})"
        low, high = (
            self.amount(metric, row[end]) if _known(row[end]) else "unbounded" for end in ("low", "high")
        )
        effect = self.amount(metric, row["estimate"])
        text = f"{about}: {effect}{values}, {confidence} interval {low} to {high}, "
        corrected = _known(row["p_adjusted"]) and row["p_adjusted"] != row["p_value"]
        text += f"p {row['p_adjusted' if corrected else 'p_value']:.2g}{self.how(row['method'])}"
        text += ", corrected for all comparisons" if corrected else ""
        return f"{text}.{self.detectable(row)}"

    def how(self, method: str) -> str:
        """How the sentence on a row ends."""
        of_design = design_of(self.question).method
        return of_design[1] if of_design and of_design[0] == method else METHODS[method]

    def detectable(self, row: Row) -> str:
        """What could have been seen, where nothing was."""
        same = (self.results["metric"] == row["metric"]) & (self.results["treatment"] == row["treatment"])
        found = self.results[same & (self.results["method"] == "detectable_effect")]["estimate"].dropna()
        if row["verdict"] != NO_EFFECT or found.empty:
            return ""
        size = self.amount(row["metric"], found.iloc[0]).lstrip("+")
        return f" An effect of {size} would have been found with {self.question.power:.0%} power."

    def guard(self, row: Row) -> str:
        return f"Guardrail {row['metric']}, {row['treatment']}: {row['verdict']} ({row['note']})."

    def amount(self, metric: str, effect: float) -> str:
        """An effect: of shares in points, else with its unit."""
        share = metric in self.shares
        unit = "points" if share else self.question.metric(metric).per(self.question.unit_name)
        text = f"{effect * (100 if share else 1):+,.{self.digits(metric)}f} {unit}"
        return f"{MINUS}{text[1:]}" if text.startswith("-") else text

    def value(self, metric: str, value: float) -> str:
        share = metric in self.shares
        return f"{value * (100 if share else 1):,.{self.digits(metric)}f}{'%' if share else ''}"

    def digits(self, metric: str) -> int:
        """By the smallest standard error of a method among all units, as the page has it."""
        rows = self.results[(self.results["metric"] == metric) & (self.results["segment"] == ALL)]
        in_unit = rows["method"].isin(methods_that_test()) & (rows["method"] != "relative_lift")
        errors = rows[in_unit]["standard_error"].dropna()
        found = digits(float(errors.min()) * (100 if metric in self.shares else 1)) if len(errors) else None
        return 2 if found is None else found


def _known(value: float | None) -> bool:
    return value is not None and value == value
