"""A plain experiment: each unit has one variant, as long as it lasts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import pandas as pd

from firstday.experiments import analyse_arms as arms
from firstday.experiments.aggregate import retention_by_categories
from firstday.experiments.analyse_ages import novelty
from firstday.experiments.designs.base import Design, Measured, Tables, to_small
from firstday.experiments.designs.panel import panel_sums
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.results import CATEGORIES, Question
from firstday.settings.metrics import Metric


def tables(_: Question, measured: Measured) -> Mapping[str, Callable[[], pd.DataFrame]]:
    """`categories`; and, where ages are asked for, `ages`: of `panel_table`, by day since the assignment."""
    found: dict[str, Callable[[], pd.DataFrame]] = {"categories": partial(_categories, measured.units)}
    ages = measured.ages
    if ages is not None:
        found["ages"] = lambda: panel_sums(ages, "panels by age")
    return found


def effects(question: Question, tables: Tables) -> Iterator[pd.DataFrame]:
    """Effects among all units and by segment, at each look, by age; and what these units can show."""
    yield from arms.scopes(question, tables.sums)
    yield from arms.looks(question, tables.sums)
    if question.daily:
        yield from arms.daily_segments(question, tables.sums)
    yield from arms.power(question, tables.sums)
    if "ages" in tables.further:
        yield from novelty(question, tables.further["ages"])


def _categories(units: Outcomes) -> pd.DataFrame:
    """Retention by how many categories were met, where those are counted before the day of the return."""
    found = [pd.DataFrame(columns=CATEGORIES.names)]
    for met, back in _pairs(units.metrics):
        by_categories = to_small(retention_by_categories(units, met, back), "retention by categories")
        found.append(by_categories.assign(categories=met, retention=back)[CATEGORIES.names])
    return pd.concat([part for part in found if len(part)] or found[:1], ignore_index=True)


def _pairs(metrics: Sequence[Metric]) -> list[tuple[str, str]]:
    return [
        (met.name, back.name)
        for met in metrics
        for back in metrics
        if met.kind == "categories" and back.kind == "retention" and met.window is not None
        if met.window.total_seconds() <= 86_400 * (back.day or 0)
    ]


PLAIN = Design(
    "plain",
    applies=lambda question: question.design == "plain" and not question.clustered,
    tables=tables,
    effects=effects,
    by_segment=True,
)
