"""What the measure job's report is made of, and its rows by what they are asked for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd

from firstday.experiments.amounts import Amounts, amounts, finer
from firstday.experiments.designs import DESIGNS, method_words
from firstday.report import words

RESULT_COLUMNS = (
    *("experiment", "metric", "segment", "population", "treatment", "control", "method", "date", "part"),
    *("estimate", "low", "high", "standard_error", "statistic", "p_value", "p_adjusted"),
    *("n_treatment", "n_control", "value_treatment", "value_control", "verdict", "note"),
)
ALL, EVERYONE, TRIGGERED = "all", "all", "triggered"
WITHHELD, BETTER, WORSE, CANNOT_TELL = "withheld", "better", "worse", "cannot tell"
# Which method decides where nobody says so: the first that is there.
DECIDING = ("cuped", "difference")  # after the designs' own
BY_DATE = ("difference_to_date", "always_valid", "group_sequential")
IN_SEGMENTS = ("always_valid", "cuped", "difference")  # the nearest to what decides first
IN_PARTS = ("ramp_stage", "novelty", "novelty_later")
LABEL = 40
METHODS = {
    "difference": "plain difference, one look",
    "relative_lift": "relative lift",
    "cuped": "difference, less what was known before",
    "always_valid": "difference, holds at every look",
    "difference_to_date": "plain difference to date",
    "group_sequential": "planned looks",
    "non_inferiority": "guardrail",
    "novelty": "effect at an age",
    "novelty_later": "mean effect of the later days",
    "novelty_change": "later days less the first",
    "novelty_trend": "change of the effect a day, after the first",
    "sample_ratio": "sample-ratio check",
}
PLANNING = ("detectable_effect", "days_needed")


class Decision(Protocol):
    """verdict: 'withheld' where the sample-ratio check failed. headline: the answer in a sentence. ship: what
    to do by it. warnings: sentences on what to mind; rows: sentences on the rows that decide.
    """

    @property
    def verdict(self) -> str: ...
    @property
    def headline(self) -> str: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def rows(self) -> Sequence[str]: ...
    @property
    def ship(self) -> str: ...


@dataclass(frozen=True)
class MeasureContent:
    """The results of an experiment and the decision that was taken from them.

    `results`: experiment_results. Shares and their differences are 0..1, not percent. `shares`: the metrics
    that are shares; None: those that look like it. `methods`: by metric the method that decides, such as
    'always_valid'; where it is not given, the one that fits what is there. Intervals hold at 1 - `alpha`.
    `units`: by metric that is no share, its unit, such as 'EUR per user'. `fall_is_good`: metrics of which
    less is better.
    """

    run_id: str
    experiment: str
    results: pd.DataFrame
    decision: Decision
    notes: Sequence[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    shares: Collection[str] | None = None
    methods: Mapping[str, str] = field(default_factory=dict)
    alpha: float = 0.05
    units: Mapping[str, str] = field(default_factory=dict)
    fall_is_good: Collection[str] = ()

    def __post_init__(self) -> None:
        missing = [column for column in RESULT_COLUMNS if column not in self.results.columns]
        if missing:
            raise ValueError(f"the report's table 'results' lacks the columns {missing}")


def method_names() -> dict[str, str]:
    """All methods, and what a report calls each."""
    return METHODS | method_words()


class Rows:
    """What the report asks of the results."""

    def __init__(self, content: MeasureContent) -> None:
        self.content, self.results = content, content.results
        self.amounts = amounts(content.results, content.shares, content.units)
        self.withheld = content.decision.verdict == WITHHELD
        named = content.results["treatment"].dropna().nunique()
        self._name_treatment = named > 1
        self.confidence = f"{100 * (1 - content.alpha):.4g}%"

    def of(self, *methods: str, population: str | None = EVERYONE, segments: bool = False) -> pd.DataFrame:
        """Rows of the methods among all units, or `segments`: of the parts of them."""
        rows = self.results[self.results["method"].isin(methods)]
        if population is not None:
            rows = rows[rows["population"] == population]
        return rows[(rows["segment"] != ALL) == segments]

    def pairs(self, rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """(metric, treatment, their rows) in the order of the table."""
        for (metric, treatment), own in rows.groupby(["metric", "treatment"], sort=False):
            yield str(metric), str(treatment), own

    def label(self, row: Any) -> str:
        """'retention_1', with the treatment where there are several."""
        if not self._name_treatment:
            return words.name(row.metric, LABEL)
        return f"{words.name(row.metric, LABEL // 2)} · {words.name(row.treatment, LABEL // 2)}"

    def amount(self, row: Any) -> Amounts:
        """How the row's figures are written."""
        if row.method == "relative_lift":
            return finer(Amounts(unit_name="%"), row.standard_error)
        known = self.amounts.get(row.metric, Amounts())
        return finer(known, row.standard_error) if row.method.startswith("novelty") else known

    def method(self, metric: str) -> str:
        """The method that decides on the metric."""
        given = self.content.methods.get(metric)
        there = set(self.results.loc[self.results["metric"] == metric, "method"])
        if given is not None and given in there:
            return given
        own = (design.method[0] for design in DESIGNS.values() if design.method is not None)
        return next((each for each in (*own, *DECIDING) if each in there), "difference")

    def deciding(self) -> list[Any]:
        """The row that decides on each metric and treatment, the latest look of it: named tuples."""
        return [row for row in (self._latest(each) for each in self._compared()) if row is not None]

    def guardrails(self) -> list[Any]:
        return [next(own.tail(1).itertuples(index=False, name="Row")) for own in self._guardrails()]

    def by_segment(self) -> list[list[Any]]:
        """The rows of the segments, a list each metric and treatment, by the nearest to what decides."""
        found = []
        for metric, _, own in self.pairs(self.of(*IN_SEGMENTS, segments=True)):
            there = [each for each in (self.method(metric), *IN_SEGMENTS) if each in set(own["method"])]
            rows = own[own["method"] == there[0]]
            found.append(list(rows.itertuples(index=False, name="Row")))
        return found

    def chance(self, row: Any) -> str:
        """'p 0.0013, corrected for two metrics'; empty without a test."""
        return chance(row, self.family(row))

    def family(self, row: Any) -> str:
        """What a row's p-value is corrected for: 'two metrics', 'four comparisons', 'three segments'."""
        rows = self.results[self.results["p_adjusted"].notna() & (self.results["method"] == row.method)]
        rows = rows[rows["population"] == row.population]
        rows = rows[rows["date"].isna() if words.absent(row.date) else rows["date"] == row.date]
        if row.segment != ALL:
            own = (rows["metric"] == row.metric) & (rows["treatment"] == row.treatment)
            return words.some_words(int((own & (rows["segment"] != ALL)).sum()), "segment", "segments")
        many = int((rows["segment"] == ALL).sum())
        if self._name_treatment:
            return words.some_words(many, "comparison", "comparisons")
        return words.some_words(many, "metric", "metrics")

    def sample_ratio(self, population: str) -> Any:
        """The check's row; None without one."""
        rows = self.results[self.results["method"] == "sample_ratio"]
        return next(rows[rows["population"] == population].itertuples(index=False, name="Row"), None)

    def _compared(self) -> list[tuple[str, str]]:
        named = self.results[~self.results["method"].isin((*PLANNING, "sample_ratio"))]
        return [(metric, treatment) for metric, treatment, _ in self.pairs(named)]

    def _latest(self, pair: tuple[str, str]) -> Any:
        metric, treatment = pair
        rows = self.of(self.method(metric))
        own = rows[(rows["metric"] == metric) & (rows["treatment"] == treatment)]
        return next(own.tail(1).itertuples(index=False, name="Row"), None)

    def _guardrails(self) -> list[pd.DataFrame]:
        return [own for _, _, own in self.pairs(self.of("non_inferiority"))]


def verdict_and_span(row: Any, amount: Amounts, family: str) -> str:
    """'No effect shown: a fall of 0.06 to a rise of 1.24 points fits the data.'"""
    said, span = words.text(row.verdict), amount.span(row.low, row.high)
    if words.absent(row.low) and words.absent(row.high):
        return words.sentence(said)
    if row.verdict in (BETTER, WORSE):
        return words.sentence(f"{said}: {span}")
    if row.low > 0 or row.high < 0:  # its own interval is not the one of several
        return words.sentence(f"{said} once corrected for {family}; by itself {span}")
    return words.sentence(f"{said}: {span} fits the data")


def arm_values(row: Any, amount: Amounts) -> str:
    """'44.82% against 44.23%'"""
    if words.absent(row.value_treatment) or words.absent(row.value_control):
        return ""
    unit = "" if amount.is_share else amount.unit
    return f"{amount.arm_value(row.value_treatment)} against {amount.arm_value(row.value_control)}{unit}"


def chance(row: Any, family: str) -> str:
    """'p 0.0031, corrected for two metrics'; empty without a test."""
    if words.absent(row.p_value):
        return ""
    if words.absent(row.p_adjusted) or abs(row.p_adjusted - row.p_value) < 5e-5:
        return f"p\u00a0{probability(row.p_value)}"
    return f"p\u00a0{probability(row.p_adjusted)}, corrected for {family}"


def probability(value: Any) -> str:
    """Of an experiment a fourth digit counts: '0.0016', '0.074'"""
    if words.absent(value) or value < 0.0001:
        return words.NOTHING if words.absent(value) else "<\u00a00.0001"
    return f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def segment(text: Any, limit: int = LABEL) -> str:
    """A segment's name, not longer than the limit."""
    return words.name(words.segment(text), limit)


def joined(parts: Sequence[str]) -> str:
    """Those that are not empty, with dots between them."""
    return " · ".join(part for part in parts if part)
