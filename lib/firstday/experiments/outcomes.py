"""What came of it: of each unit and metric what is measured, what it is a share of, what was known before.

From the log by one join with the assignments and one group-by: each metric is a conditional sum of built-in
functions. Only what happens at or after a unit's assignment, before its variant ends and up to the horizon
counts; covariates only before the unit's first assignment. Retention is by the windows of discovery. Units
without a row in the log are there, as zeros. Where a window has not closed by the horizon, or the variant
ends before it does, the unit's answer is not known: null, and left out of that metric. Clicks and categories
are those of impressions that count.

What goes wrong: a unit id that is not the log's counts everybody as zero; clicks that arrive after the log
was read are missing most where units are newest, so read some hours later; in the triggered analysis the
control needs the same trigger logged (what it would have seen), or the two groups are not alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError, LimitError, SettingsError
from firstday.experiments.counting import CATEGORY_BIT, CategoryBits, Counting, Interval
from firstday.experiments.spans import Spans
from firstday.settings.metrics import FROM_IMPRESSIONS, Metric
from firstday.spark.local_rows import local_rows
from firstday.tables.schemas import column, with_columns

BROADCAST_BYTES = 256 << 20  # assignments that need more are not sent to each task
BYTES_A_UNIT = 80  # of a broadcast, beside 16 a column
MOST_CATEGORIES = 1_000


@dataclass(frozen=True)
class Outcomes:
    """One row a unit (and stage, period, ...).

    frame: unit_id, variant, assigned_on, the `keys`, segment_0, ... (named `segments`), met (whether the unit
    met the change; null if that is not known) and, of the metric at place i, y_i (null: not known), d_i where
    it is a ratio (null with y_i) and x_i where it has a covariate, all doubles.
    """

    frame: DataFrame
    metrics: tuple[Metric, ...]
    segments: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    triggered: bool = False

    def long(self) -> DataFrame:
        """One row a unit and metric: the keys, metric, known, y, d, x; segments have their names."""
        one = F.lit(1.0)
        each = F.array(
            *(
                F.struct(
                    F.lit(metric.name).alias("metric"),
                    F.col(f"y_{at}").isNotNull().alias("known"),
                    F.col(f"y_{at}").alias("y"),
                    (
                        F.col(f"d_{at}") if metric.is_ratio else F.when(F.col(f"y_{at}").isNotNull(), one)
                    ).alias("d"),
                    (F.col(f"x_{at}") if metric.covariate else F.lit(0.0)).alias("x"),
                )
                for at, metric in enumerate(self.metrics)
            )
        )
        named = [F.col(f"segment_{at}").alias(name) for at, name in enumerate(self.segments)]
        kept = ["unit_id", "variant", "assigned_on", *self.keys, "met"]
        return self.frame.select(*kept, *named, F.explode(each).alias("outcome")).select(
            *kept, *map(column, self.segments), "outcome.*"
        )


def outcomes(
    spans: Spans,
    metrics: Sequence[Metric],
    *,
    horizon: int,
    events: DataFrame | None = None,
    impressions: DataFrame | None = None,
    reactions: DataFrame | None = None,
    exposure: Sequence[str] = (),
    broadcast_bytes: int = BROADCAST_BYTES,
) -> Outcomes:
    """Measure each unit, up to the horizon (microseconds since 1970), the last instant of the log.

    events: user_id, action, occurred_at, the columns that sums add up (what is no finite number adds
    nothing) and, where uses of categories are events, category. impressions: impression_id, user_id,
    category, shown_at and, if only some of them show the change, exposes (boolean). reactions: impression_id,
    kind, reacted_at; a click before its impression counts from that. exposure: actions by which a unit meets
    the change; without them any impression does.

    The log is shuffled once; where assignments fit in memory only sums a unit are. Impressions are shuffled
    once more, by their id, if there are too many reactions to broadcast. Raises SettingsError where a metric
    needs a table that is not given, or day n is inside the window.
    """
    _refuse_missing(metrics, events, impressions, spans)
    rows, bits = log(spans, metrics, horizon, events, impressions, reactions, broadcast_bytes)
    counting = Counting(horizon, spans.time_zone, bits)
    by_unit = rows.groupBy(*spans.frame.columns).agg(
        *(
            total.alias(f"{part}_{at}")
            for at, metric in enumerate(metrics)
            for part, total in counting.totals(metric).items()
        ),
        _met(exposure, impressions).alias("met"),
    )
    columns = [
        value.alias(f"{part}_{at}")
        for at, metric in enumerate(metrics)
        for part, value in counting.values(metric, at, spans.covariates).items()
    ]
    segments = [f"segment_{at}" for at in range(len(spans.segments))]
    frame = by_unit.select("unit_id", "variant", "assigned_on", *spans.keys, *segments, "met", *columns)
    return Outcomes(
        frame, tuple(metrics), spans.segments, spans.keys, bool(exposure) or impressions is not None
    )


def log(
    spans: Spans,
    metrics: Sequence[Metric],
    horizon: int,
    events: DataFrame | None,
    impressions: DataFrame | None,
    reactions: DataFrame | None,
    broadcast_bytes: int = BROADCAST_BYTES,
) -> tuple[DataFrame, CategoryBits]:
    """The rows of the log that may count, each with its unit's span; each span has a row at least."""
    parts = []
    if events is not None:
        parts.append(_event_rows(events, metrics))
    if impressions is not None:
        parts.append(_impression_rows(impressions, reactions))
    rows = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)
    missing = {name: kind for name, kind in LOG.items() if name not in rows.columns}
    rows = with_columns(rows, {name: F.lit(None).cast(kind) for name, kind in missing.items()})
    bits = CategoryBits(0)
    if any(metric.kind == "categories" for metric in metrics):
        rows, bits = _with_category_bits(rows)
    past = max((metric.pre_window for metric in metrics if metric.covariate == "pre"), default=None)
    reach = Interval.before(past).start if past else F.col("start")
    counts = (F.col("at") >= reach) & (F.col("at") < F.col("end")) & (F.col("at") <= F.lit(horizon))
    size = sum(spans.rows.values()) * (BYTES_A_UNIT + 16 * len(spans.frame.columns))
    if size > broadcast_bytes:
        # Both are exchanged by unit_id, and the group-by that follows needs no other exchange.
        rows = rows.withColumnRenamed("unit_id", "log_unit")
        built = spans.frame.hint("shuffle_hash")
        return built.join(rows, (F.col("unit_id") == F.col("log_unit")) & counts, "left"), bits
    joined = rows.join(F.broadcast(spans.frame), "unit_id").where(counts)
    return joined.unionByName(spans.frame, allowMissingColumns=True), bits


# Of a row of the log: an event has an action, an impression `shown`; click_at and met_at are its reactions'.
LOG = {"at": "long", "action": "string", "category": "string", "shown": "boolean", "exposes": "boolean"}
LOG |= {"click_at": "long", "met_at": "long"}


def _event_rows(events: DataFrame, metrics: Sequence[Metric]) -> DataFrame:
    values = sorted({metric.value for metric in metrics if metric.kind == "sum" and metric.value})
    category = [F.col("category")] if "category" in events.columns else []
    return events.where(F.col("occurred_at").isNotNull()).select(
        F.col("user_id").cast("string").alias("unit_id"),
        F.unix_micros("occurred_at").alias("at"),
        "action",
        *category,
        *(_finite(column(name).cast("double")).alias(f"value {name}") for name in values),
    )


def _finite(value: Column) -> Column:
    """The value, null where it is infinite or NaN: one such row would leave nothing of all sums."""
    return F.when(F.abs(value) < float("inf"), value)


def _impression_rows(impressions: DataFrame, reactions: DataFrame | None) -> DataFrame:
    at = F.unix_micros("shown_at")
    rows = impressions.where(F.col("shown_at").isNotNull()).select(
        "impression_id",
        F.col("user_id").cast("string").alias("unit_id"),
        at.alias("at"),
        "category",
        F.lit(True).alias("shown"),
        (F.col("exposes") if "exposes" in impressions.columns else F.lit(True)).alias("exposes"),
    )
    if reactions is None:
        return rows.drop("impression_id")
    reacted = F.unix_micros("reacted_at")
    first = reactions.groupBy("impression_id").agg(
        F.min(F.when(F.col("kind") == "click", reacted)).alias("click_at"),
        F.min(F.when(F.col("kind").isin("click", "join"), reacted)).alias("met_at"),
    )
    rows = rows.join(first, "impression_id", "left").drop("impression_id")
    # Nobody reacts to what was not shown yet: such a clock is wrong. Null stays null.
    later = {name: F.when(F.col(name).isNotNull(), F.greatest(name, "at")) for name in ("click_at", "met_at")}
    return rows.withColumns(later)


def _with_category_bits(rows: DataFrame) -> tuple[DataFrame, CategoryBits]:
    """The rows with the number of their category: sets of categories become bits, of bounded size."""
    found = rows.select("category").where(F.col("category").isNotNull()).distinct().limit(MOST_CATEGORIES + 1)
    names = sorted(row["category"] for row in found.collect())
    if len(names) > MOST_CATEGORIES:
        raise LimitError(
            f"distinct categories are counted of at most {MOST_CATEGORIES:,}",
            value=f"more than {MOST_CATEGORIES:,}",
            next_step="group the categories, or leave the metric out",
        )
    numbered = local_rows(rows.sparkSession, zip(names, range(len(names)), strict=True), NUMBERED)
    return rows.join(F.broadcast(numbered), "category", "left"), CategoryBits(len(names))


NUMBERED = f"category string, {CATEGORY_BIT} int"


def _met(exposure: Sequence[str], impressions: DataFrame | None) -> Column:
    inside = (F.col("at") >= F.col("start")) & (F.col("at") < F.col("end"))
    if exposure:
        return F.coalesce(F.bool_or(inside & F.col("action").isin(*exposure)), F.lit(False))
    if impressions is not None:
        return F.coalesce(F.bool_or(inside & F.col("shown") & F.col("exposes")), F.lit(False))
    return F.lit(None).cast("boolean")


def _refuse_missing(
    metrics: Sequence[Metric], events: DataFrame | None, impressions: DataFrame | None, spans: Spans
) -> None:
    """SettingsError where a metric cannot be measured from the tables given."""
    if not metrics or len({metric.name for metric in metrics}) < len(metrics):
        raise SettingsError(
            "there is a metric, and each has a name of its own", value=[metric.name for metric in metrics]
        )
    for metric in metrics:
        table = "impressions" if metric.kind in FROM_IMPRESSIONS else "events"
        if metric.kind == "column":
            raise SettingsError(
                "a column is measured with --units, where there is a row a unit",
                value=metric.name,
                next_step="give --units, or a metric of another kind",
            )
        if (impressions if table == "impressions" else events) is None:
            raise SettingsError(
                f"a metric of kind {metric.kind} is counted from {table}",
                value=metric.name,
                next_step=f"give --{table}",
            )
        if metric.covariate not in (None, "pre", *spans.covariates):
            raise SettingsError("a covariate is a column of the units", value=metric.covariate)
        if metric.kind == "sum" and events is not None and metric.value not in events.columns:
            raise DataError(
                "what a sum adds up is a column of the events",
                value=metric.value,
                next_step=f"its columns are {', '.join(events.columns)}",
            )
