"""From units to the small tables that everything is read off: sums, and what the design needs."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.experiments.aggregate import Units, aggregate, shifted, without_constants
from firstday.experiments.designs import Measured, Tables, also_asked, design_of
from firstday.experiments.designs.base import to_small
from firstday.experiments.outcomes import Outcomes
from firstday.experiments.results import SUMS, Question
from firstday.parallel import side_by_side
from firstday.settings.metrics import Metric


def tables(question: Question, units: Outcomes, *, ages: DataFrame | None = None) -> Tables:
    """units: outcomes of what got a variant, users or (`by_cluster`) clusters; in Spark's cache, as several
    passes read them. ages: of `panel_outcomes.ages`, if asked for.

    Raises LimitError for tables that are too large for the driver.
    """
    own = Units.of(units)
    centres = own.centres(units.metrics)
    moved = shifted(units, centres)
    sums = centres.of(to_small(aggregate(moved), "sums by segment and date").reindex(columns=SUMS.names))
    sums = without_constants(sums)
    numbers = sorted({int(number) for name in ("stage", "period") for number in sums[name].dropna().unique()})
    measured = Measured(units, moved, centres, tuple(numbers), ages)
    calls = {
        name: call
        for design in (design_of(question), *also_asked(question))
        for name, call in design.tables(question, measured).items()
    }
    further = dict(zip(calls, side_by_side(*calls.values()), strict=True))
    return Tables(sums, further, tuple(own.whales(units.metrics)))


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
