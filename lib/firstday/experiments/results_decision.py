"""What the results come to, in words that a decision-maker reads in a minute."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from firstday.experiments.aggregate import EVERYONE
from firstday.experiments.clusters import interference_warning
from firstday.experiments.guardrails import HARMED, NOT_HARMED
from firstday.experiments.results import BETTER, CANNOT_TELL, NO_EFFECT, WITHHELD, WORSE, Question
from firstday.experiments.sample_ratio import SampleRatio
from firstday.segments import ALL
from firstday.settings.metrics import Metric

MIXED = "mixed"
Row = dict[str, Any]
METHODS = {
    "difference": "",
    "cuped": ", with what was known before taken out",
    "always_valid": ", valid although looked at every day",
    "group_sequential": ", valid for the planned looks",
    "ramp": ", stage by stage",
    "crossover": ", within units",
    "cluster": ", by cluster",
}


@dataclass(frozen=True)
class Decision:
    """verdict: withheld, harmed, mixed, better, worse, no effect shown or cannot tell. headline: a sentence;
    sentences: what it rests on, the sample-ratio check first.
    """

    verdict: str
    headline: str
    sentences: tuple[str, ...]


def deciding_method(question: Question, metric: Metric) -> str:
    """The method whose verdict counts, by the plan and never by what was found."""
    if question.design != "plain":
        return question.design
    if question.clustered:
        return "cluster"
    if question.daily:
        return "always_valid"
    if question.looks is not None:
        return "group_sequential"
    return "cuped" if metric.covariate else "difference"


def decide(
    question: Question, results: pd.DataFrame, ratio: SampleRatio, shares: Collection[str] = ()
) -> Decision:
    """The verdict over all metrics and treatments among all units. shares: metrics told in points."""
    by_metric = [(metric, deciding_method(question, metric)) for metric in question.metrics]
    deciding = [row for metric, method in by_metric for row in _rows(results, metric, method)]
    guards = [row for metric, _ in by_metric for row in _rows(results, metric, "non_inferiority")]
    guarded = {row["metric"] for row in guards}
    verdict = _overall(ratio, [row for row in deciding if row["metric"] not in guarded], guards)
    teller = _Teller(question, results, shares)
    warning = interference_warning(
        shared_pool=question.shared_pool, assigned_by="cluster" if question.clustered else "unit"
    )
    sentences = [ratio.sentence, *([warning] if warning else [])]
    sentences += map(teller.sentence, deciding)
    sentences += map(teller.guard, guards)
    return Decision(verdict, teller.headline(verdict, deciding, guards), tuple(sentences))


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


MINUS = "\u2212"


@dataclass(frozen=True)
class _Teller:
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
        told = [
            self.of_treatment(
                f"{treatment}: " if len(treatments) > 1 else "",
                [row for row in deciding if row["treatment"] == treatment],
                [row for row in guards if row["treatment"] == treatment],
            )
            for treatment in treatments
        ]
        return " ".join(f"{each}." for each in told if each) or "No guardrail is harmed."

    def of_treatment(self, name: str, deciding: Sequence[Row], guards: Sequence[Row]) -> str:
        """'push is better than control on d7 (+0.90 points); no effect shown on d1'; name: before the latter
        where it stands alone.
        """
        told = []
        for verdict in (BETTER, WORSE):
            rows = [row for row in deciding if row["verdict"] == verdict]
            found = [f"{row['metric']} ({self.amount(row['metric'], row['estimate'])})" for row in rows]
            if found:
                told.append(
                    f"{rows[0]['treatment']} is {verdict} than {self.question.control} on {', '.join(found)}"
                )
        told += [f"{row['treatment']} harms {row['metric']}" for row in guards if row["verdict"] == HARMED]
        quiet = [row["metric"] for row in deciding if row["verdict"] == NO_EFFECT]
        if quiet:
            start = "no" if told or name else "No"
            told.append(f"{'' if told else name}{start} effect shown on {', '.join(quiet)}")
        return "; ".join(told)

    def sentence(self, row: Row) -> str:
        metric, level = row["metric"], f"{1 - self.question.alpha:.0%}"
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
        told = f"{about}: {self.amount(metric, row['estimate'])}{values}, {level} interval {low} to {high}, "
        told += f"p {row['p_value']:.2g}{METHODS[row['method']]}"
        if _known(row["p_adjusted"]) and row["p_adjusted"] != row["p_value"]:
            told += f"; {row['p_adjusted']:.2g} corrected for all comparisons"
        return f"{told}.{self.detectable(row)}"

    def detectable(self, row: Row) -> str:
        """What could have been seen, where nothing was."""
        same = (self.results["metric"] == row["metric"]) & (self.results["treatment"] == row["treatment"])
        found = self.results[same & (self.results["method"] == "detectable_effect")]["estimate"].dropna()
        if row["verdict"] != NO_EFFECT or found.empty:
            return ""
        size = self.amount(row["metric"], found.iloc[0]).lstrip("+")
        return f" An effect of {size} would have been found with a chance of {self.question.power:.0%}."

    def guard(self, row: Row) -> str:
        return f"Guardrail {row['metric']}, {row['treatment']}: {row['verdict']} ({row['note']})."

    def amount(self, metric: str, effect: float) -> str:
        """An effect: of shares in points."""
        told = f"{100 * effect:+.2f} points" if metric in self.shares else f"{effect:+.4g}"
        return f"{MINUS}{told[1:]}" if told.startswith("-") else told

    def value(self, metric: str, value: float) -> str:
        return f"{value:.3%}" if metric in self.shares else f"{value:.4g}"


def _known(value: float | None) -> bool:
    return value is not None and value == value
