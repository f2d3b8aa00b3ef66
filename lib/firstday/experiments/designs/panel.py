"""Units that are seen in several stages or periods: what designs of such units share."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

from firstday.experiments.designs.base import Measured, to_small
from firstday.experiments.panel_outcomes import Panel, panel_centres, panel_of, panel_table, periods
from firstday.experiments.results import Question
from firstday.experiments.sums import Floats
from firstday.settings.metrics import Metric
from firstday.stats.estimate import Estimate

NOBODY = "nobody's outcome is known yet"


def panel_tables(_: Question, measured: Measured) -> Mapping[str, Callable[[], pd.DataFrame]]:
    """The table `panel`: of `panel_table`, with y_centre, by stage or period."""
    return {"panel": lambda: panel_sums(periods(measured.units, [*measured.numbers]), "panels")}


def panel_sums(rows: DataFrame, what: str) -> pd.DataFrame:
    """`panel_table`, and y_centre, what y is counted from; read once more where a level is large."""
    table = to_small(panel_table(rows), what)
    centres = panel_centres(table)
    if not centres:
        return table.assign(y_centre=0.0)
    centred = to_small(panel_table(rows, centres), what)
    return centred.assign(y_centre=centred["metric"].map(centres).fillna(0.0))


def panels(
    question: Question, table: pd.DataFrame
) -> Iterator[tuple[Metric, dict[str, object], Panel | None]]:
    """Each metric with its place in the results and its panel; None where nobody's outcome is known."""
    for metric in question.metrics:
        own = table[table["metric"] == metric.name]
        known = own["group"].str.contains('"').any()
        merge = metric.is_ratio or question.clustered
        panel = panel_of(table, metric.name, merge=merge) if known else None
        yield metric, {"metric": metric.name, "treatment": question.treatments[0]}, panel


def numbers(table: pd.DataFrame, metric: Metric) -> list[int]:
    """Of the periods, from 1."""
    return [int(place) + 1 for place in table.loc[table["metric"] == metric.name, "period"]]


def arms_of(panel: Panel, treated: np.ndarray) -> dict[str, Floats]:
    """By period: units and totals of both arms."""
    there = np.array([[name is not None for name in group] for group in panel.variants])
    arms = {}
    for arm, chosen in (("treatment", treated & there), ("control", ~treated & there)):
        arms[f"n_{arm}"] = (panel.sums.n[:, None] * chosen).sum(0)
        arms[f"y_{arm}"] = ((panel.sums.y + panel.sums.centre * panel.sums.d) * chosen).sum(0)
        arms[f"d_{arm}"] = (panel.sums.d * chosen).sum(0)
    return arms


def whole(arms: Mapping[str, Floats]) -> dict[str, float]:
    """Units (those of the largest period: a unit is in many) and values over all periods."""
    effects = {}
    for arm in ("treatment", "control"):
        effects[f"n_{arm}"] = float(arms[f"n_{arm}"].max())
        total = arms[f"d_{arm}"].sum()
        effects[f"value_{arm}"] = float(arms[f"y_{arm}"].sum() / total) if total else np.nan
    return effects


def unknown() -> Estimate:
    """One estimate of which nothing is known."""
    return Estimate(*(np.full(1, np.nan) for _ in range(6)))
