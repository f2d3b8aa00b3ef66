"""What each candidate of a segment is worth beyond its crude figures: one kernel a segment.

The kernel sees the segment's histogram, twice: summed over dates for the strata, and over strata and levels
for the dates. Its size is bounded by dates, counts and levels, never by users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.moments import adjust, trends
from firstday.moments.cells import (
    LEVEL_SUMS,
    Cells,
    Cohort,
    DateCells,
    date_series,
    level_strata,
    reached,
    split,
    split_dates,
    sums,
)
from firstday.moments.frontier import frontier_share, on_frontier
from firstday.segments import ALL, with_segments
from firstday.tables.schemas import quoted

WHOLE, CHOOSING, REPORTING = "all", "choosing", "reporting"
MOST_THRESHOLDS = 64  # of an action that are adjusted; those between are within a few users of one of them
Z_95 = adjust.Z_95

COUNTS = ("users", "experienced", "retained", "both")
FIGURES = (
    "segment_adjusted", "segment_adjusted_low", "segment_adjusted_high",
    "adjusted", "adjusted_low", "adjusted_high", "adjusted_coverage", "adjusted_phi",
    "e_value", "p_value", "q_value", "frontier_share",
    "trend_effect", "trend_effect_low", "trend_effect_high",
    "trend_levels", "trend_differences", "trend_lag_correlation", "granger_p",
)  # fmt: skip
TOLD = ("simpson", "trend")


@dataclass(frozen=True)
class Plan:
    """What the kernel has to know. choosing_until: the last anchor date of the choosing half."""

    days: tuple[int, ...]
    choosing_until: date
    min_users: int = 30
    min_dates: int = 14
    thresholds: tuple[int, ...] = ()
    resamples: int = 200
    seed: int = 7


# Of `analyse`'s rows; `half` tells over which anchor dates they are.
SCHEMA = ", ".join(
    [
        "half string, segment string, action string, threshold int, day int",
        *(f"{name} long" for name in COUNTS),
        *(f"{name} double" for name in FIGURES),
        "simpson boolean, trend string, trend_lag int, dates int",
    ]
)
COLUMNS = [column.split()[0] for column in SCHEMA.split(", ")]


def analyse(counts: DataFrame, segments: Sequence[str], plan: Plan) -> DataFrame:
    """Rows as `SCHEMA` for each segment of the cube with `plan.min_users` users, from moment_counts.

    Segment `all` has rows for both halves of the anchor dates too.
    """
    measures = [f"{kind}_d{day}" for day in plan.days for kind in ("matured", "retained")]
    added = [F.sum(name).alias(name) for name in measures]
    cell = ["action", "count", "total_level", "other_level"]
    early = (F.col("anchor_date") <= F.lit(plan.choosing_until)).alias("early")
    named = [F.col(quoted(name)) for name in segments]
    by_stratum = counts.groupBy(*named, early, *cell).agg(*added)
    stratum = (
        F.to_json(F.array(*(F.col(quoted(name)).cast("string") for name in segments)))
        if segments
        else F.lit("")
    )
    by_stratum = with_segments(by_stratum, segments).select(
        "segment", stratum.alias("stratum"), "early", *cell, *measures
    )
    # Summed before each row is taken once for every segment of its own.
    of_date = ["anchor_date", "action", "count"]
    in_all = [F.sum(name).alias(name) for name in (*measures, *level_sums(plan.days))]
    by_date = counts.withColumns(_level_sums(plan.days)).groupBy(*named, *of_date).agg(*in_all)
    by_date = with_segments(by_date, segments).groupBy("segment", *of_date).agg(*in_all)

    def kernel(strata: pd.DataFrame, dates: pd.DataFrame) -> pd.DataFrame:
        return analyse_segment(strata, dates, plan)

    return by_stratum.groupBy("segment").cogroup(by_date.groupBy("segment")).applyInPandas(kernel, SCHEMA)


def level_sums(days: Sequence[int]) -> list[str]:
    """Names of the columns with the sums that `cells.DateCells` has instead of levels."""
    return [f"{name}_d{day}" for day in days for name in LEVEL_SUMS]


def _level_sums(days: Sequence[int]) -> dict[str, Column]:
    total = F.col("total_level").cast("long")
    other = F.coalesce(F.col("other_level").cast("long"), F.lit(0))
    columns = []
    for day in days:
        matured, retained = F.col(f"matured_d{day}"), F.col(f"retained_d{day}")
        change = other - total
        columns += [matured * other, matured * change, retained * change, matured * change * (other + total)]
    return dict(zip(level_sums(days), columns, strict=True))


def analyse_segment(strata: pd.DataFrame, dates: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Of one segment. strata: segment, stratum, early, action, count, total_level, other_level and measures;
    dates: segment, anchor_date, action, count, measures and `level_sums`. Row order has no effect.
    """
    segment = str(dates["segment"].iloc[0])
    early = (dates["anchor_date"] <= plan.choosing_until).to_numpy()
    halves: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {
        WHOLE: (np.ones(len(strata), bool), np.ones(len(dates), bool))
    }
    if segment == ALL:
        is_early = strata["early"].to_numpy(dtype=bool)
        halves |= {CHOOSING: (is_early, early), REPORTING: (~is_early, ~early)}
    parts = [
        _analyse_half(strata[in_strata], dates[in_dates], day, plan).assign(
            half=half, segment=segment, day=day
        )
        for half, (in_strata, in_dates) in halves.items()
        for day in plan.days
    ]
    found = [part for part in parts if len(part)]
    if not found:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    return pd.concat(found, ignore_index=True)[COLUMNS]


def _analyse_half(strata: pd.DataFrame, dates: pd.DataFrame, day: int, plan: Plan) -> pd.DataFrame:
    strata = strata[strata[f"matured_d{day}"] > 0]
    dates = dates[dates[f"matured_d{day}"] > 0]
    strata_cohort, strata_cells = split(strata, pd.factorize(strata["stratum"], sort=True)[0], day)
    cohort, of_dates = split_dates(dates, pd.factorize(dates["anchor_date"], sort=True)[0], day)
    if cohort.users.sum() < plan.min_users:
        return pd.DataFrame()
    crude = [_crude(cohort, action, cells, plan) for action, cells in of_dates.items()]
    crude = [part for part in crude if len(part)]
    if not crude:
        return pd.DataFrame()
    frame = pd.concat(crude, ignore_index=True)
    frame["frontier_share"], frame["on"] = _frontier(cohort, of_dates, frame, plan)
    parts = [
        _adjusted(
            cohort,
            cells,
            strata_cohort,
            strata_cells[action],
            frame[frame["action"] == action],
            plan,
        )
        for action, cells in of_dates.items()
        if cells.users.sum() >= plan.min_users
    ]
    adjusted = [part for part in parts if len(part)]
    if adjusted:
        frame = frame.join(pd.concat(adjusted))
    frame = frame.reindex(columns=COLUMNS).astype(dict.fromkeys(FIGURES, float) | dict.fromkeys(TOLD, object))
    q = adjust.false_discovery(frame["p_value"].to_numpy(dtype=float))
    return frame.assign(q_value=q, dates=cohort.places)


def _crude(cohort: DateCells, action: str, cells: DateCells, plan: Plan) -> pd.DataFrame:
    """The four counts of each threshold."""
    thresholds = np.array(plan.thresholds) if plan.thresholds else np.unique(cells.count)
    zero = np.zeros(len(cells.count), dtype=np.int64)
    experienced = reached(cells, zero, 1, thresholds, cells.users)[0]
    both = reached(cells, zero, 1, thresholds, cells.retained)[0]
    frame = pd.DataFrame(
        {"action": action, "threshold": thresholds, "experienced": experienced, "both": both}
    )
    frame["users"], frame["retained"] = cohort.users.sum(), cohort.retained.sum()
    return frame[frame["experienced"] > 0]


def _frontier(
    cohort: DateCells, of_dates: Mapping[str, DateCells], frame: pd.DataFrame, plan: Plan
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Bootstrap share on the frontier, and who is on it now; both (candidates,)."""
    experienced, both = [], []
    for action, cells in of_dates.items():
        thresholds = frame.loc[frame["action"] == action, "threshold"].to_numpy(dtype=np.int64)
        if len(thresholds):
            experienced.append(reached(cells, cells.place, cohort.places, thresholds, cells.users))
            both.append(reached(cells, cells.place, cohort.places, thresholds, cells.retained))
    retained = sums(cohort.place, cohort.retained, cohort.places)
    share = frontier_share(retained, np.hstack(experienced), np.hstack(both), plan.resamples, plan.seed)
    with np.errstate(invalid="ignore"):
        now = on_frontier(
            (frame["both"] / frame["experienced"]).to_numpy(), (frame["both"] / frame["retained"]).to_numpy()
        )
    return share, now


def _adjusted(
    cohort: DateCells,
    cells: DateCells,
    strata_cohort: Cohort,
    strata_cells: Cells,
    crude: pd.DataFrame,
    plan: Plan,
) -> pd.DataFrame:
    """Adjusted differences and trends for (some) thresholds of one action, indexed as `crude`."""
    chosen = _thinned(crude[crude["experienced"] >= plan.min_users])
    if chosen.empty:
        return pd.DataFrame()
    thresholds = chosen["threshold"].to_numpy(dtype=np.int64)
    by_segment = _standardised(strata_cohort, strata_cells, thresholds, levels=False)[0]
    by_level, phi = _standardised(strata_cohort, strata_cells, thresholds, levels=True)
    p = adjust.p_values(by_level.difference, by_level.error)
    series = date_series(cohort, cells, thresholds)
    dates = cohort.places
    effect, error = (
        trends.date_effect(series) if dates >= plan.min_dates else np.full((2, len(thresholds)), np.nan)
    )
    reach = Z_95 * error
    result = pd.DataFrame(
        {
            "segment_adjusted": by_segment.difference,
            "segment_adjusted_low": by_segment.low,
            "segment_adjusted_high": by_segment.high,
            "adjusted": by_level.difference,
            "adjusted_low": by_level.low,
            "adjusted_high": by_level.high,
            "adjusted_coverage": by_level.coverage,
            "adjusted_phi": phi,
            "e_value": adjust.e_value(by_level.risk, by_level.other_risk),
            "p_value": p,
            "simpson": _simpson(chosen, by_level),
            "trend_effect": effect,
            "trend_effect_low": effect - reach,
            "trend_effect_high": effect + reach,
            "trend": trends.verdicts(
                effect, error, by_level.difference, by_level.error, dates, plan.min_dates
            ),
        },
        index=chosen.index,
    )
    return result.join(_movements(series, chosen, phi))


def _thinned(crude: pd.DataFrame) -> pd.DataFrame:
    """At most MOST_THRESHOLDS of them, evenly spaced in the logarithm of those that experienced."""
    if len(crude) <= MOST_THRESHOLDS:
        return crude
    fall = -np.log(crude["experienced"].to_numpy(dtype=float))
    wanted = np.linspace(fall[0], fall[-1], MOST_THRESHOLDS)
    return crude.iloc[np.unique(np.searchsorted(fall, wanted).clip(0, len(crude) - 1))]


def _standardised(
    cohort: Cohort, cells: Cells, thresholds: NDArray[np.int64], levels: bool
) -> tuple[adjust.Standardised, NDArray[np.float64]]:
    if levels:
        place, users, retained = level_strata(cohort, cells)
    else:
        place = cells.place
        users = sums(cohort.place, cohort.users, cohort.places)
        retained = sums(cohort.place, cohort.retained, cohort.places)
    experienced = reached(cells, place, len(users), thresholds, cells.users)
    both = reached(cells, place, len(users), thresholds, cells.retained)
    return (
        adjust.standardise(users, retained, experienced, both),
        adjust.stratified_phi(users, retained, experienced, both),
    )


def _simpson(crude: pd.DataFrame, adjusted: adjust.Standardised) -> NDArray[np.bool_]:
    one = adjust.standardise(
        crude["users"].to_numpy(dtype=float)[:1],
        crude["retained"].to_numpy(dtype=float)[:1],
        crude["experienced"].to_numpy(dtype=float)[None, :],
        crude["both"].to_numpy(dtype=float)[None, :],
    )
    return adjust.simpson(one.low, one.high, adjusted.low, adjusted.high)


def _movements(series: trends.Series, chosen: pd.DataFrame, phi: NDArray[np.float64]) -> pd.DataFrame:
    """Correlations over time for the action's best threshold and those on the frontier."""
    told = chosen["on"].to_numpy(dtype=bool).copy()
    if not np.isnan(phi).all():
        told[np.nanargmax(phi)] = True
    rows = {}
    for column in np.flatnonzero(told):
        move = trends.movement(
            series.users, series.experienced[:, column], series.retained, series.both[:, column]
        )
        rows[chosen.index[column]] = (
            move.levels, move.differences, move.lag_correlation, move.granger_p, move.lag
        )  # fmt: skip
    names = ["trend_levels", "trend_differences", "trend_lag_correlation", "granger_p", "trend_lag"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names, dtype=float)
