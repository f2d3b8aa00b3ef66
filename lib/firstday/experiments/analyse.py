"""All that follows from an experiment's tables: the table of results, and the decision in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from firstday.errors import DataError
from firstday.experiments import analyse_arms as arms
from firstday.experiments.aggregate import EVERYONE, TRIGGERED, added, sums_in
from firstday.experiments.designs import Tables, also_asked, design_of
from firstday.experiments.difference import zero_one
from firstday.experiments.results import WITHHELD, Question, one_verdict, table
from firstday.experiments.results_decision import Decision, decide, deciding_method
from firstday.experiments.sample_ratio import SampleRatio, sample_ratio
from firstday.segments import ALL
from firstday.settings.kinds import duration_text
from firstday.settings.metrics import Metric


@dataclass(frozen=True)
class Analysis:
    """results: as RESULTS. decision: what it comes to. ratio: of the units as assigned. shares: metrics that
    are shown in points. methods: which one decides, by metric. notes: what to mind.
    """

    results: pd.DataFrame
    decision: Decision
    ratio: SampleRatio
    shares: frozenset[str]
    methods: Mapping[str, str]
    notes: tuple[str, ...]


def analyse(question: Question, tables: Tables) -> Analysis:
    """Everything that the tables can answer.

    Where the sample-ratio check fails, those compared are not alike: every verdict is withheld.
    Raises DataError for a variant without units.
    """
    ratio = sample_ratio(*_counts(question, tables.sums, EVERYONE), question.ratio_limit)
    parts = [_ratio_row(ratio, EVERYONE), *_triggered(question, tables.sums), *_effects(question, tables)]
    whole, shares = table(question, parts), _in_points(question, tables.sums)
    for metric in question.metrics:
        if metric.margin is not None:
            method = deciding_method(question, metric)
            parts += arms.guardrail(question, whole, metric, method, in_points=metric.name in shares)
    methods = {metric.name: deciding_method(question, metric) for metric in question.metrics}
    results = _withheld(one_verdict(question, table(question, parts), methods), ratio)
    decision = decide(question, results, ratio, shares)
    notes = (*tables.notes, *_left_out(question, tables.sums))
    return Analysis(results, decision, ratio, shares, methods, notes)


def _left_out(question: Question, sums: pd.DataFrame) -> Iterator[str]:
    """Of each metric, whose outcome is not known (yet), and why."""
    whole = sums[(sums["segment"] == ALL) & (sums["population"] == EVERYONE)]
    totals = whole.groupby("metric")[["units", "n"]].sum()
    for metric in question.metrics:
        if metric.name not in totals.index:
            continue
        units, known = (int(totals.loc[metric.name, name]) for name in ("units", "n"))
        if known < units:
            yield f"{metric.name}: {units - known:,} of {units:,} {_why_unknown(question, metric)}."


def _why_unknown(question: Question, metric: Metric) -> str:
    whom = "clusters" if question.clustered else f"{question.unit_name}s"
    once_a = design_of(question).counted_once_a
    if once_a:
        whom = f"outcomes of {whom}, counted once a {once_a},"
        return f"{whom} are not known and left out"
    if metric.kind == "column":
        return f"{whom} have no value and are left out"
    if metric.day is not None:
        return f"{whom} have not reached the end of day {metric.day} and are left out"
    if metric.counting_window is not None:
        return f"{whom} have not had their {_long(metric.counting_window)} yet and are left out"
    return f"{whom} have no outcome yet and are left out"


def _long(window: timedelta) -> str:
    """'30 days', '24 hours'"""
    text = duration_text(window)
    names = {"d": "day", "h": "hour", "m": "minute", "s": "second"}
    return f"{text[:-1]} {names[text[-1]]}{'' if text[:-1] == '1' else 's'}"


def _in_points(question: Question, sums: pd.DataFrame) -> frozenset[str]:
    """Metrics that are shares: of a unit 0 or 1, or clicks of impressions."""
    totals = added(sums, "metric")
    found = {metric.name for metric in question.metrics if metric.kind in arms.SHARES}
    for metric in question.metrics:
        if metric.kind == "column" and metric.name in totals.index:
            of_metric = sums_in(totals.loc[[metric.name]])
            found |= {metric.name} if zero_one(of_metric).all() else set()
    return frozenset(found)


def _withheld(results: pd.DataFrame, ratio: SampleRatio) -> pd.DataFrame:
    """No verdict where those compared are not alike: of all units, or of those that met the change."""
    if not ratio.passes:
        return results.assign(verdict=WITHHELD)
    checks = results[(results["method"] == "sample_ratio") & (results["verdict"] == "fails")]
    of_check = results["population"].isin(checks["population"]) & (results["method"] != "sample_ratio")
    return results.assign(verdict=results["verdict"].mask(of_check, WITHHELD))


def _effects(question: Question, tables: Tables) -> Iterator[pd.DataFrame]:
    for design in (design_of(question), *also_asked(question)):
        yield from design.effects(question, tables)


def _counts(
    question: Question, sums: pd.DataFrame, population: str
) -> tuple[dict[str, int], Mapping[str, float] | None]:
    """Units by variant and their planned shares: of a ramp's last stage, of what a crossover begins with."""
    own = sums[(sums["segment"] == ALL) & (sums["population"] == population)]
    own = own[own["metric"] == question.metrics[0].name]
    own, stage = design_of(question).compared(own)
    found = own.groupby("variant")["units"].sum()
    counts = {name: int(found.get(name, 0)) for name in question.variants}
    return counts, question.shares.get(stage)


def _ratio_row(ratio: SampleRatio, population: str) -> pd.DataFrame:
    verdict = "passes" if ratio.passes else "fails"
    row = {"population": population, "method": "sample_ratio", "statistic": ratio.chi2}
    row |= {"p_value": ratio.p_value, "verdict": verdict, "note": ratio.sentence}
    return pd.DataFrame([row])


def _triggered(question: Question, sums: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The check of those that met the change: where it fails, the change itself decides who meets it."""
    if not design_of(question).by_segment or not (sums["population"] == TRIGGERED).any():
        return
    counts, shares = _counts(question, sums, TRIGGERED)
    try:
        ratio = sample_ratio(counts, shares, question.ratio_limit)
    except DataError:  # only one variant has the trigger logged
        row = {"population": TRIGGERED, "method": "sample_ratio", "verdict": "fails"}
        empty = ", ".join(name for name, count in counts.items() if not count)
        row["note"] = f"Nobody in {empty} met the change: log the trigger there too, or leave this aside."
        yield pd.DataFrame([row])
        return
    yield _ratio_row(ratio, TRIGGERED)
