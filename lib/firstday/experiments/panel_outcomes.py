"""Units seen in several periods as sums and products between periods: for crossovers, ramps and novelty.

A period is a stage of a ramp, a period of a crossover, or a day since the assignment. Units that are treated
alike are a group, named by the JSON list of their variants: those of `["a", null]` had a in the first period
and are not known in the second. The products are made by NumPy, a batch of units at a time, so that memory
does not follow the units.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from firstday.errors import DataError, LimitError, SettingsError
from firstday.experiments.counting import Counting
from firstday.experiments.outcomes import Outcomes, log
from firstday.experiments.panels import PanelSums
from firstday.experiments.spans import Spans
from firstday.experiments.sums import Floats, centre_of_sums
from firstday.settings.metrics import Metric
from firstday.windows import DAY

MOST_PERIODS = 60
MOST_GROUPS = 10_000  # ways in which units went through the periods
PRODUCTS = ("yy", "yd", "dd")
# A row a pair of periods; y and d are of `period`, and known where the pair is a period with itself.
TABLE = pa.schema(
    [
        *((name, pa.string()) for name in ("metric", "group")),
        *((name, pa.int32()) for name in ("period", "other")),
        *((name, pa.float64()) for name in ("n", "y", "d", *PRODUCTS)),
    ]
)


def periods(outcomes: Outcomes, numbers: Sequence[int]) -> DataFrame:
    """Panel rows, one a unit and metric, of outcomes by stage or period: metric, group, y and d.

    numbers: the stages or periods in their order; y and d have an entry for each. Where a unit's outcome is
    not known in a period, it is not in it: y = d = 0.
    """
    panel = next((key for key in outcomes.keys if key in ("stage", "period")), None)
    if panel is None:
        raise SettingsError(
            "a panel has stages or periods", value=list(outcomes.keys), next_step="count spans of a panel"
        )
    _refuse_many(numbers)
    columns = {}
    for at, metric in enumerate(outcomes.metrics):
        y, d = F.col(f"y_{at}"), F.col(f"d_{at}") if metric.is_ratio else F.lit(1.0)
        known = y.isNotNull()
        here = [known & (F.col(panel) == number) for number in numbers]
        columns[f"group_{at}"] = F.array(*(F.max(F.when(each, F.col("variant"))) for each in here))
        columns[f"y_{at}"] = F.array(*(_or_0(F.sum(F.when(each, y))) for each in here))
        columns[f"d_{at}"] = F.array(*(_or_0(F.sum(F.when(each, d))) for each in here))
    by_unit = outcomes.frame.groupBy("unit_id").agg(*(value.alias(name) for name, value in columns.items()))
    return _one_a_metric(by_unit, outcomes.metrics)


def ages(
    spans: Spans,
    metrics: Sequence[Metric],
    days: int,
    *,
    horizon: int,
    events: DataFrame | None = None,
    impressions: DataFrame | None = None,
    reactions: DataFrame | None = None,
) -> DataFrame:
    """Panel rows by day since the assignment, 0 to days - 1, for `novelty`; the group is the variant.

    Of units that could have all of these days by the horizon; a day without events is a zero. For counts,
    sums and click rates; their windows are left aside. Tables as for `outcomes`.
    """
    _refuse_many(range(days))
    daily = ("count", "sum", "click_rate")
    if spans.panel or any(metric.kind not in daily for metric in metrics):
        raise SettingsError(
            f"ages are counted in plain experiments, of metrics of kind {', '.join(daily)}",
            value=[f"{metric.name}: {metric.kind}" for metric in metrics],
        )
    plain = [metric.model_copy(update={"window": None, "covariate": None}) for metric in metrics]
    rows, bits = log(spans, plain, horizon, events, impressions, reactions)
    counting = Counting(horizon, spans.time_zone, bits)
    complete = F.least(F.col("end"), F.lit(horizon + 1)) - F.col("start") >= F.lit(days * DAY)
    age = F.floor((F.col("at") - F.col("start")) / F.lit(DAY)).cast("int")
    totals = {
        f"{part}_{at}": total
        for at, metric in enumerate(plain)
        for part, total in counting.totals(metric).items()
    }
    by_day = (
        rows.where(complete)
        .groupBy("unit_id", "variant", age.alias("age"))
        .agg(*(total.alias(name) for name, total in totals.items()))
    )
    by_unit = by_day.groupBy("unit_id", "variant").agg(
        *(F.array(*(_on_day(name, day) for day in range(days))).alias(name) for name in totals)
    )
    ones = F.array(*(F.lit(1.0) for _ in range(days)))
    columns = {}
    for at, metric in enumerate(plain):
        columns[f"group_{at}"] = F.array("variant")
        columns[f"y_{at}"] = F.col(f"total_{at}")
        columns[f"d_{at}"] = F.col(f"whole_{at}") if metric.is_ratio else ones
    return _one_a_metric(by_unit.withColumns(columns), plain)


def _on_day(name: str, day: int) -> Column:
    return _or_0(F.sum(F.when(F.col("age") == day, F.col(name))))


def _or_0(total: Column) -> Column:
    return F.coalesce(total.cast("double"), F.lit(0.0))


def _refuse_many(numbers: Sequence[int]) -> None:
    if not 1 <= len(numbers) <= MOST_PERIODS:
        raise LimitError(f"a panel has 1 to {MOST_PERIODS} periods", value=len(numbers))


def _one_a_metric(by_unit: DataFrame, metrics: Sequence[Metric]) -> DataFrame:
    each = F.array(
        *(
            F.struct(
                F.lit(metric.name).alias("metric"),
                F.to_json(f"group_{at}").alias("group"),
                F.col(f"y_{at}").alias("y"),
                F.col(f"d_{at}").alias("d"),
            )
            for at, metric in enumerate(metrics)
        )
    )
    return by_unit.select(F.explode(each).alias("panel")).select("panel.*")


def panel_table(rows: DataFrame, centres: Mapping[str, float] | None = None) -> DataFrame:
    """Panel rows summed: metric, group, period and other (places from 0), n (units), y and d of
    the period, and yy, yd, dd: the sums of y_period · y_other, y_period · d_other and d_period · d_other.

    centres: by metric, what y is counted from for a unit of d; see `PanelSums`.
    """
    parts = rows.mapInArrow(partial(_products, centres or {}), from_arrow_schema(TABLE))
    keys = ("metric", "group", "period", "other")
    return parts.groupBy(*keys).agg(*(F.sum(name).alias(name) for name in ("n", "y", "d", *PRODUCTS)))


def panel_centres(table: pd.DataFrame) -> dict[str, float]:
    """The centres that metrics of a table of sums from 0 need; see `Sums`."""
    own = table[table["period"] == table["other"]]
    totals = own.groupby("metric")[["y", "d", *PRODUCTS]].sum()[["y", "d", "yy", "yd", "dd"]]
    found = {
        str(name): centre_of_sums(*row) for name, row in zip(totals.index, totals.to_numpy(), strict=True)
    }
    return {name: centre for name, centre in found.items() if centre}


def _products(centres: Mapping[str, float], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The partition's sums: a few numbers a group, added up over its batches."""
    found: dict[tuple[str, ...], list[Floats]] = {}
    for batch in batches:
        frame = batch.select(["metric", "group"]).to_pandas()
        values = [_matrix(batch.column(name), batch.num_rows) for name in ("y", "d")]
        for key, places in frame.groupby([*frame], sort=False).indices.items():
            y, d = (value[places] for value in values)
            y = y - centres.get(str(key[0]), 0.0) * d
            sums = [np.array(float(len(y))), y.sum(0), d.sum(0), y.T @ y, y.T @ d, d.T @ d]
            before = found.get(key)
            found[key] = sums if before is None else [a + b for a, b in zip(before, sums, strict=True)]
    for key, sums in found.items():
        yield _table_rows(key, sums)


def _matrix(column: pa.Array, rows: int) -> Floats:
    return column.flatten().to_numpy(zero_copy_only=False).reshape(rows, -1)


def _table_rows(key: tuple[str, ...], sums: list[Floats]) -> pa.RecordBatch:
    n, y, d, *products = sums
    period, other = (place.ravel() for place in np.indices((len(y), len(y))))
    columns = [
        *(pa.array([name] * len(period), pa.string()) for name in key),
        *(pa.array(place, pa.int32()) for place in (period, other)),
        *(pa.array(value, pa.float64()) for value in (np.full(len(period), n), y[period], d[period])),
        *(pa.array(product.ravel(), pa.float64()) for product in products),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TABLE)


@dataclass(frozen=True)
class Panel:
    """A metric's panel: `sums` by group and, of each group, its variant in each period (None: not in it)."""

    sums: PanelSums
    variants: tuple[tuple[str | None, ...], ...]

    def treated(self, treatment: str) -> npt.NDArray[np.bool_]:
        """(groups, periods): who had the treatment when."""
        return np.array([[name == treatment for name in group] for group in self.variants])


def panel_of(table: pd.DataFrame, metric: str, *, merge: bool = False) -> Panel:
    """The rows of a metric of `panel_table`, groups in the order of their names.

    merge: for ratios. A group that misses periods then belongs to the one complete group that agrees with it
    elsewhere, if it is only one: in a ratio of totals those who missed a period are zeros there.
    Raises DataError where there are no units.
    """
    rows = table[table["metric"] == metric]
    if rows.empty:
        raise DataError("a panel has units", value=metric, next_step="look at the horizon and the periods")
    periods = int(rows["period"].max()) + 1
    ways = {name: _way(name, periods) for name in sorted(rows["group"].unique())}
    ways = {name: way for name, way in ways.items() if any(way)}  # those known in no period say nothing
    if len(ways) > MOST_GROUPS:
        raise LimitError(f"units go through the periods in at most {MOST_GROUPS:,} ways", value=len(ways))
    home = {name: _complete(way, ways) if merge else name for name, way in ways.items()}
    rows = rows.assign(group=rows["group"].map(home)).dropna(subset="group")
    numbers = ["n", "y", "d", *PRODUCTS]
    summed = rows.groupby(["group", "period", "other"])[numbers].sum()
    cells = {name: summed[name].to_numpy().reshape(-1, periods, periods) for name in numbers}
    of_periods = cells["n"][:, 0, 0], cells["y"][:, :, 0], cells["d"][:, :, 0]
    centre = float(rows["y_centre"].iloc[0]) if "y_centre" in rows.columns else 0.0
    products = {name: cells[name] for name in PRODUCTS}
    sums = PanelSums(*of_periods, **products, centre=centre).without_constants()
    return Panel(sums, tuple(ways[name] for name in sorted(set(home.values()))))


def _way(group: str, periods: int) -> tuple[str | None, ...]:
    variants = json.loads(group)
    return tuple(variants * periods if len(variants) == 1 else variants)


def _complete(way: tuple[str | None, ...], ways: dict[str, tuple[str | None, ...]]) -> str:
    """The name of the one complete way that agrees with a way where that is known; else its own."""
    agree = [
        name
        for name, other in ways.items()
        if None not in other and all(one in (None, two) for one, two in zip(way, other, strict=True))
    ]
    own = next(name for name, other in ways.items() if other == way)
    return agree[0] if len(agree) == 1 else own
