"""What a design of an experiment is: what it asks of the units, its estimates, its words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd
from pyspark.sql import DataFrame

from firstday.experiments.aggregate import Centres
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.results import CATEGORIES, Question
from firstday.settings import ExperimentPlan
from firstday.spark.frames import to_driver

MOST_ROWS = 500_000


@dataclass(frozen=True)
class Measured:
    """The units to be summed up. units: outcomes of what got a variant, users or clusters. shifted: the same,
    counted from `centres`. numbers: of the stages or periods. ages: of `panel_outcomes.ages`, if asked for.
    """

    units: Outcomes
    shifted: Outcomes
    centres: Centres
    numbers: tuple[int, ...] = ()
    ages: DataFrame | None = None


@dataclass(frozen=True)
class Tables:
    """What the units came down to. sums: of `aggregate`, columns as SUMS, and what they are counted from.
    further: the tables that designs need, by name. notes: what to mind.
    """

    sums: pd.DataFrame
    further: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def categories(self) -> pd.DataFrame:
        """Retention by how many categories were met, columns as CATEGORIES."""
        return self.further.get("categories", pd.DataFrame(columns=CATEGORIES.names))


def _nothing(_: Question, __: Measured) -> Mapping[str, Callable[[], pd.DataFrame]]:
    return {}


def _all_of_them(sums: pd.DataFrame) -> tuple[pd.DataFrame, int | None]:
    return sums, None


def _as_it_is(question: Question, _: ExperimentPlan) -> Question:
    return question


@dataclass(frozen=True)
class Design:
    """One design, in one file of this folder.

    applies: whether the question is asked in it; `asked`: the question with what a plan says of the design.
    beside: it is answered in addition to another design, and decides nothing.
    tables: further ones that it needs, each to be made when it is called; raises LimitError where one is too
    large for the driver. effects: rows of the results (`results.rows`), from the sums and these tables.
    method: whose row decides on a metric, and how a sentence on the row ends (', within units'); None where
    that goes by the metric. words: by method, what a report calls it. tests: methods whose rows are tests.
    compared: of the sums those whose units are compared with the planned shares, and of which stage.
    counted_once_a: 'stage' or 'period', where a unit counts in each. by_segment: whether it has segments,
    and effects on those exposed to the change.
    """

    name: str
    applies: Callable[[Question], bool]
    effects: Callable[[Question, Tables], Iterator[pd.DataFrame]]
    asked: Callable[[Question, ExperimentPlan], Question] = _as_it_is
    tables: Callable[[Question, Measured], Mapping[str, Callable[[], pd.DataFrame]]] = _nothing
    method: tuple[str, str] | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[str, ...] = ()
    compared: Callable[[pd.DataFrame], tuple[pd.DataFrame, int | None]] = _all_of_them
    counted_once_a: str = ""
    by_segment: bool = False
    beside: bool = False


def to_small(rows: DataFrame, what: str, limit: int = MOST_ROWS) -> pd.DataFrame:
    """The rows on the driver. Raises LimitError where they are too many."""
    return to_driver(rows, what, limit, "give fewer --segments, or columns with fewer values")
