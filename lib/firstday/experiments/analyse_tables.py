"""From units to the small tables that everything is read off: sums, panels, clusters, on the driver."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.experiments.aggregate import (
    Centres,
    Units,
    aggregate,
    retention_by_categories,
    shifted,
    without_constants,
)
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.panel_outcomes import panel_centres, panel_table, periods
from firstday.experiments.results import CATEGORIES, SUMS, Question
from firstday.parallel import side_by_side
from firstday.settings.metrics import Metric
from firstday.spark.frames import to_driver

MOST_ROWS = 500_000
MOST_CLUSTERS = 20_000


@dataclass(frozen=True)
class Tables:
    """What the units came down to; None for what an experiment does not have.

    sums: of `aggregate`, columns as SUMS, and what they are counted from. notes: what to mind.
    panel: of `panel_table`, with y_centre, by stage or period; ages: the same by day since the assignment.
    clusters: metric, variant, cluster, y, d. encouraged: of `aggregate`, with the moment as the outcome's
    denominator, and centre, what a unit's outcome is counted from. categories: as CATEGORIES.
    """

    sums: pd.DataFrame
    panel: pd.DataFrame | None = None
    ages: pd.DataFrame | None = None
    clusters: pd.DataFrame | None = None
    encouraged: pd.DataFrame | None = None
    categories: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CATEGORIES.names))
    notes: tuple[str, ...] = ()


def tables(question: Question, units: Outcomes, *, ages: DataFrame | None = None) -> Tables:
    """units: outcomes of what got a variant, users or (`by_cluster`) clusters; in Spark's cache, as several
    passes read them. ages: of `panel_outcomes.ages`, if asked for.

    Raises LimitError for tables that are too large for the driver.
    """
    own = Units.of(units)
    centres = own.centres(units.metrics)
    moved = shifted(units, centres)
    sums = centres.of(_told(aggregate(moved), "sums by segment and date").reindex(columns=SUMS.names))
    sums = without_constants(sums)
    numbers = sorted({int(number) for name in ("stage", "period") for number in sums[name].dropna().unique()})
    further: dict[str, Callable[[], pd.DataFrame]] = {}
    if numbers:
        further["panel"] = lambda: _panels(periods(units, numbers), "panels")
    if ages is not None:
        further["ages"] = lambda: _panels(ages, "panels by age")
    if question.clustered and not numbers:
        further["clusters"] = partial(_clusters, units)
    if question.encouragement and not question.clustered:
        further["encouraged"] = partial(_encouraged, question, moved, centres)
    if question.design == "plain" and not question.clustered:
        further["categories"] = partial(_categories, units)
    found = dict(zip(further, side_by_side(*further.values()), strict=True))
    return Tables(sums, notes=tuple(own.whales(units.metrics)), **found)


def _told(rows: DataFrame, what: str, limit: int = MOST_ROWS) -> pd.DataFrame:
    return to_driver(rows, what, limit, "give fewer --segments, or columns with fewer values")


def _panels(rows: DataFrame, what: str) -> pd.DataFrame:
    """`panel_table`, and y_centre, what y is counted from; read once more where a level is large."""
    table = _told(panel_table(rows), what)
    centres = panel_centres(table)
    if not centres:
        return table.assign(y_centre=0.0)
    centred = _told(panel_table(rows, centres), what)
    return centred.assign(y_centre=centred["metric"].map(centres).fillna(0.0))


def by_cluster(units: Outcomes, cluster: str) -> Outcomes:
    """The same with clusters as units: each metric is a ratio of the cluster's totals.

    cluster: the segment that names it. Other segments and covariates are left aside: the units of a cluster
    differ in them.
    """
    place = units.segments.index(cluster)
    totals = []
    for at, metric in enumerate(units.metrics):
        y = F.col(f"y_{at}")
        whole = F.sum(f"d_{at}") if metric.is_ratio else F.count(y).cast("double")
        totals += [F.sum(y).alias(f"y_{at}"), F.when(F.count(y) > 0, whole).alias(f"d_{at}")]
    keys = [*units.keys, "variant"]
    frame = units.frame.groupBy(F.col(f"segment_{place}").alias("unit_id"), *keys).agg(
        F.min("assigned_on").alias("assigned_on"), F.lit(None).cast("boolean").alias("met"), *totals
    )
    return Outcomes(frame, tuple(map(_as_ratio, units.metrics)), (), units.keys, False)


def _as_ratio(metric: Metric) -> Metric:
    return Metric(name=metric.name, kind="column", value="y", denominator="d")


def _clusters(units: Outcomes) -> pd.DataFrame:
    frame = _told(units.frame, "clusters", MOST_CLUSTERS)
    parts = [
        frame[["variant", "unit_id"]].assign(metric=metric.name, y=frame[f"y_{at}"], d=frame[f"d_{at}"])
        for at, metric in enumerate(units.metrics)
    ]
    return pd.concat(parts).dropna(subset=["y", "d"]).rename(columns={"unit_id": "cluster"})


def _encouraged(question: Question, units: Outcomes, centres: Centres) -> pd.DataFrame:
    assert question.encouragement is not None
    place = {metric.name: at for at, metric in enumerate(units.metrics)}
    outcome = F.col(f"y_{place[question.encouragement.outcome]}")
    moment = F.col(f"y_{place[question.encouragement.moment]}")
    known = outcome.isNotNull() & moment.isNotNull()
    frame = units.frame.select(
        *("unit_id", "variant", "assigned_on", "met"),
        F.when(known, outcome).alias("y_0"),
        F.when(known, moment).alias("d_0"),
    )
    metric = Metric(name=question.encouragement.outcome, kind="column", value="y", denominator="d")
    sums = _told(aggregate(Outcomes(frame, (metric,))), "sums by date")
    return sums.assign(centre=centres.y.get(metric.name, 0.0))


def _categories(units: Outcomes) -> pd.DataFrame:
    """Retention by how many categories were met, where those are counted before the day of the return."""
    found = [pd.DataFrame(columns=CATEGORIES.names)]
    for met, back in _pairs(units.metrics):
        told = _told(retention_by_categories(units, met, back), "retention by categories")
        found.append(told.assign(categories=met, retention=back)[CATEGORIES.names])
    return pd.concat([part for part in found if len(part)] or found[:1], ignore_index=True)


def _pairs(metrics: Sequence[Metric]) -> list[tuple[str, str]]:
    return [
        (met.name, back.name)
        for met in metrics
        for back in metrics
        if met.kind == "categories" and back.kind == "retention" and met.window is not None
        if met.window.total_seconds() <= 86_400 * (back.day or 0)
    ]
