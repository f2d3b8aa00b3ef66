"""What `measure` answers with: one long table of estimates, and what is asked of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import types as T

from firstday.experiments.aggregate import EVERYONE, aggregate_schema
from firstday.experiments.difference import ratio
from firstday.experiments.sample_ratio import LIMIT
from firstday.experiments.sums import Sums
from firstday.segments import ALL
from firstday.settings.experiment import Encouragement, Looks
from firstday.settings.metrics import Metric
from firstday.stats.corrections import benjamini_hochberg, holm
from firstday.stats.estimate import Estimate
from firstday.tables.schemas import table_schema

_TEXT, _NUMBER, _WHOLE = T.StringType(), T.DoubleType(), T.LongType()
# estimate: treatment less control, in the metric's unit (a share: 0.00591). date: the last date of assignment
# that a look has; null for all. part: a stage, an age in days, ... statistic: z or t; chi² of sample_ratio.
RESULTS = table_schema(
    [
        *((name, _TEXT) for name in ("experiment", "metric", "segment", "population")),
        *((name, _TEXT) for name in ("treatment", "control", "method")),
        ("date", T.DateType()),
        ("part", _TEXT),
        *((name, _NUMBER) for name in ("estimate", "low", "high", "standard_error", "statistic")),
        *((name, _NUMBER) for name in ("p_value", "p_adjusted")),
        *((name, _WHOLE) for name in ("n_treatment", "n_control")),
        *((name, _NUMBER) for name in ("value_treatment", "value_control")),
        *((name, _TEXT) for name in ("verdict", "note")),
    ]
)
SUMS = aggregate_schema(
    {"stage": T.IntegerType(), "period": T.IntegerType(), "sequence": T.StringType()}
)  # null where the experiment has none
CATEGORIES = table_schema(
    [
        *((name, _TEXT) for name in ("categories", "retention", "variant", "categories_met")),
        *((name, _WHOLE) for name in ("units", "retained")),
    ]
)
TABLES = {"experiment_results": RESULTS, "experiment_sums": SUMS, "retention_by_categories": CATEGORIES}
COLUMNS = RESULTS.names
SCOPE = ["metric", "segment", "population"]

WITHHELD, BETTER, WORSE = "withheld", "better", "worse"
NO_EFFECT, CANNOT_TELL = "no effect shown", "cannot tell"
# The methods of plain experiments whose rows say whether there is an effect.
PLAIN_TESTS = (
    *("difference", "relative_lift", "cuped", "difference_to_date", "always_valid", "group_sequential"),
)


def methods_that_test() -> tuple[str, ...]:
    """The methods whose rows say whether there is an effect; the others are figures to read."""
    from firstday.experiments.designs import DESIGNS  # which are built on this module

    return (*PLAIN_TESTS, *(method for design in DESIGNS.values() for method in design.tests))


@dataclass(frozen=True)
class Question:
    """What is asked of an experiment, as planned.

    shares: of the variants, by the stage of a ramp (None where there are no stages); equal ones where it is
    empty. clustered: whether clusters got the variants; the units of the sums are clusters then. daily:
    decide by intervals that hold although somebody looks every day. until: the date of the log's end.
    planned_units: of the smaller arm.
    """

    experiment: str
    control: str
    treatments: tuple[str, ...]
    metrics: tuple[Metric, ...]
    shares: Mapping[int | None, Mapping[str, float]] = field(default_factory=dict)
    design: str = "plain"
    clustered: bool = False
    shared_pool: bool = False
    adjust_carry_over: bool = False
    daily: bool = False
    looks: Looks | None = None
    until: date | None = None
    planned_units: int = 10_000
    encouragement: Encouragement | None = None
    ratio_limit: float = LIMIT
    alpha: float = 0.05
    power: float = 0.8
    seed: int = 7
    unit_name: str = "unit"

    @property
    def variants(self) -> tuple[str, ...]:
        return (self.control, *self.treatments)

    def metric(self, name: str) -> Metric:
        return next(metric for metric in self.metrics if metric.name == name)


def rows(
    places: pd.DataFrame | Mapping[str, Any], method: str, effect: Estimate, **others: Any
) -> pd.DataFrame:
    """Rows of the table, one an entry of the estimate. places: metric, segment, treatment, ... of each entry
    (or of all); others: further columns.
    """
    count = np.size(effect.estimate)
    frame = pd.DataFrame(places, index=None if isinstance(places, pd.DataFrame) else range(count))
    frame = frame.reset_index(drop=True).assign(method=method)
    for part in fields(Estimate):
        frame[part.name] = np.ravel(np.asarray(getattr(effect, part.name), dtype=float))
    return frame.assign(**others)


def of_arms(treatment: Sums, control: Sums) -> dict[str, Any]:
    """Columns with the arms' units and values."""
    named = {"treatment": treatment, "control": control}
    columns = {f"n_{name}": np.ravel(arm.n) for name, arm in named.items()}
    return columns | {f"value_{name}": np.ravel(ratio(arm)) for name, arm in named.items()}


def figure(place: Mapping[str, Any], method: str, value: float, note: str, **others: Any) -> pd.DataFrame:
    """One row with a value that is no effect: what can be detected, days that are needed."""
    return pd.DataFrame([{**place, "method": method, "estimate": value, "note": note, **others}])


def table(question: Question, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The parts as `experiment_results`, with corrected p-values and a verdict where a row is a test."""
    results = pd.concat([part for part in parts if len(part)], ignore_index=True).reindex(columns=COLUMNS)
    results["experiment"], results["control"] = question.experiment, question.control
    results = results.fillna({"segment": ALL, "population": EVERYONE, "note": ""})
    for bound in ("low", "high"):  # infinite ones bound nothing
        results[bound] = results[bound].where(np.isfinite(results[bound].astype(float)))
    results["p_adjusted"] = _adjusted(question, results)
    each = [_verdict(question, row) for row in results.to_dict("records")]
    return results.assign(verdict=each)


def _adjusted(question: Question, results: pd.DataFrame) -> pd.Series:
    """Holm over metrics and treatments among all units, at each look; Benjamini-Hochberg over the segments of
    a metric. Guardrails are not corrected: all must pass.
    """
    adjusted = pd.Series(np.nan, index=results.index)
    guardrails = [metric.name for metric in question.metrics if metric.margin is not None]
    tested = results[results["method"].isin(methods_that_test()) & ~results["metric"].isin(guardrails)]
    families = [
        (tested["segment"] == ALL, ["method", "date", "population"], holm),
        (
            tested["segment"] != ALL,
            ["method", "date", "population", "metric", "treatment"],
            benjamini_hochberg,
        ),
    ]
    for chosen, keys, correct in families:
        for _, family in tested[chosen].groupby(keys, dropna=False):
            adjusted[family.index] = correct(family["p_value"].to_numpy(dtype=float))
    return adjusted


def _verdict(question: Question, row: Mapping[str, Any]) -> str | None:
    """What a row's test says; what has been said already stands (sample ratio, guardrails)."""
    if isinstance(row["verdict"], str):
        return str(row["verdict"])
    if row["method"] not in methods_that_test():
        return None
    p_value = row["p_value"] if np.isnan(row["p_adjusted"]) else row["p_adjusted"]
    return reading(row["estimate"], p_value, question.metric(row["metric"]).rise_is_good, question.alpha)


def _aside() -> set[str]:
    """Methods of designs that are answered beside another one: their verdict stands beside its."""
    from firstday.experiments.designs import DESIGNS

    return {method for design in DESIGNS.values() if design.beside for method in design.tests}


def one_verdict(question: Question, results: pd.DataFrame, methods: Mapping[str, str]) -> pd.DataFrame:
    """A metric has one verdict in each segment and population, that of the method that decides: the others'
    rows are figures beside it. methods: by metric the one that decides; where it has no row (in segments,
    among those that met the change) the one with the covariate, else the plain difference.
    """
    beside = results["method"].isin(set(methods_that_test()) - _aside())
    keys = ["metric", "treatment", "segment", "population"]
    decides = pd.Series(False, index=results.index)
    for place, rows_here in results[beside].groupby(keys, dropna=False):
        there = set(rows_here["method"])
        metric = question.metric(place[0])
        order = (methods[metric.name], *(("cuped",) if metric.covariate else ()), "difference")
        method = next((each for each in order if each in there), None)
        decides[rows_here.index] = rows_here["method"] == method
    return results.assign(verdict=results["verdict"].mask(beside & ~decides, None))


def reading(estimate: float, p_value: float, rise_is_good: bool, alpha: float) -> str:
    """better, worse, no effect shown, or cannot tell where there is no test."""
    if np.isnan(p_value):
        return CANNOT_TELL
    if p_value > alpha:
        return NO_EFFECT
    return BETTER if (estimate > 0) == rise_is_good else WORSE
