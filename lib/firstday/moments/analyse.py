"""What each candidate of a segment is worth beyond its crude figures: one kernel a segment.

The kernel sees the segment's histogram, twice: summed over dates for the strata, and over strata and activity
bins for the dates. Its size is bounded by dates, counts and activity bins, never by users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from typing import Any

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
    Floats,
    Integers,
    activity_strata,
    date_series,
    reached,
    split,
    split_dates,
    sums,
)
from firstday.moments.frontier import frontier_share, on_frontier
from firstday.segments import ALL, with_segments
from firstday.stats.corrections import benjamini_hochberg
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
# The fields of trends.Movement, in their order.
MOVEMENT = ("trend_levels", "trend_differences", "trend_lag", "trend_lag_correlation", "granger_p")


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


# Of `analyse`'s rows; `half` says over which anchor dates they are.
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
    # A number, made before each row is taken once for every segment of its own: as a text it would cost
    # several times as much, in the exchange and in pandas too.
    stratum = F.xxhash64(F.to_json(F.array(*(name.cast("string") for name in named)))) if named else F.lit(0)
    by_stratum = with_segments(by_stratum.withColumn("stratum", stratum), segments)
    by_stratum = by_stratum.select("segment", "stratum", "early", *cell, *measures)
    # Summed before each row is taken once for every segment of its own, and brought together by what all its
    # segments share, so that their rows, several times as many, are summed where they are made.
    of_date = ["anchor_date", "action", "count"]
    in_all = [F.sum(name).alias(name) for name in (*measures, *level_sums(plan.days))]
    by_date = counts.withColumns(_level_sums(plan.days)).groupBy(*named, *of_date).agg(*in_all)
    by_date = with_segments(by_date.repartition("anchor_date", "action"), segments)
    by_date = by_date.groupBy("segment", *of_date).agg(*in_all)
    # Columns of its own: where both sides have one of the counts, Spark 4 does not tell them apart.
    by_date = by_date.select(*(F.col(name).alias(name) for name in by_date.columns))

    def kernel(strata: pd.DataFrame, dates: pd.DataFrame) -> pd.DataFrame:
        return analyse_segment(strata, dates, plan)

    return by_stratum.groupBy("segment").cogroup(by_date.groupBy("segment")).applyInPandas(kernel, SCHEMA)


def level_sums(days: Sequence[int]) -> list[str]:
    """Names of the columns with the sums that `cells.DateCells` has instead of activity bins."""
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
    tables = {action: Reached.of(cells, cohort.places, plan.thresholds) for action, cells in of_dates.items()}
    tables = {action: table for action, table in tables.items() if len(table.thresholds)}
    if cohort.users.sum() < plan.min_users or not tables:
        return pd.DataFrame()
    frame, on_it = _crude(cohort, tables, plan)
    experienced = frame["experienced"].to_numpy()
    parts, last = [], 0
    for action, table in tables.items():
        first, last = last, last + len(table.thresholds)
        chosen = _thinned(experienced[first:last], plan.min_users)
        if len(chosen):
            thresholds = table.thresholds[chosen]
            found = _adjusted(strata_cohort, strata_cells[action], thresholds)
            series = date_series(cohort, of_dates[action], thresholds)
            found |= _moved(series, on_it[first:last][chosen], found["adjusted_phi"], plan)
            parts.append({"candidate": first + chosen} | found)
    if parts:
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        candidate = found.pop("candidate")
        columns = _columns(frame.iloc[candidate], found, cohort.places, plan)
        frame = frame.join(pd.DataFrame(columns, index=candidate))
    frame = frame.reindex(columns=COLUMNS).astype(dict.fromkeys(FIGURES, float) | dict.fromkeys(TOLD, object))
    q = benjamini_hochberg(frame["p_value"].to_numpy(dtype=float))
    return frame.assign(q_value=q, dates=cohort.places)


@dataclass(frozen=True)
class Reached:
    """Users that reached a threshold of one action, and the retained of them: both (dates, thresholds). The
    thresholds rise; somebody reached each of them.
    """

    thresholds: Integers
    experienced: Floats
    both: Floats

    @classmethod
    def of(cls, cells: DateCells, dates: int, asked: Sequence[int]) -> "Reached":
        """At the thresholds asked for, or at all that occur."""
        thresholds = np.array(asked) if asked else np.unique(cells.count)
        experienced = reached(cells, cells.place, dates, thresholds, cells.users)
        both = reached(cells, cells.place, dates, thresholds, cells.retained)
        there = experienced.sum(axis=0) > 0
        return cls(thresholds[there], experienced[:, there], both[:, there])


def _crude(
    cohort: DateCells, tables: Mapping[str, Reached], plan: Plan
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Each candidate's four counts and share of resamples on the frontier, and who is on it now."""
    experienced = np.hstack([table.experienced for table in tables.values()])
    both = np.hstack([table.both for table in tables.values()])
    retained = sums(cohort.place, cohort.retained, cohort.places)
    frame = pd.DataFrame(
        {
            "action": np.repeat([*tables], [len(table.thresholds) for table in tables.values()]),
            "threshold": np.concatenate([table.thresholds for table in tables.values()]),
            "users": cohort.users.sum(),
            "experienced": experienced.sum(axis=0),
            "retained": cohort.retained.sum(),
            "both": both.sum(axis=0),
            "frontier_share": frontier_share(retained, experienced, both, plan.resamples, plan.seed),
        }
    )
    with np.errstate(invalid="ignore"):
        precision, recall = (frame["both"] / frame[whole] for whole in ("experienced", "retained"))
    return frame, on_frontier(precision.to_numpy(), recall.to_numpy())


def _thinned(experienced: Floats, least: int) -> Integers:
    """Which thresholds to adjust: of those that `least` users reached at most MOST_THRESHOLDS, evenly spaced
    in the logarithm of the users.
    """
    enough = np.flatnonzero(experienced >= least)
    if len(enough) <= MOST_THRESHOLDS:
        return enough
    fall = -np.log(experienced[enough])
    wanted = np.linspace(fall[0], fall[-1], MOST_THRESHOLDS)
    return enough[np.unique(np.searchsorted(fall, wanted).clip(0, len(enough) - 1))]


def _adjusted(cohort: Cohort, cells: Cells, thresholds: Integers) -> dict[str, Floats]:
    """Figures of one action adjusted for the strata, and for strata x activity bin; all (thresholds,)."""
    users, retained = (
        sums(cohort.place, values, cohort.places) for values in (cohort.users, cohort.retained)
    )
    by_segment, _ = _standardised(cells, cells.place, users, retained, thresholds)
    by_activity, phi = _standardised(cells, *activity_strata(cohort, cells), thresholds)
    return {
        "segment_adjusted": by_segment.difference,
        "segment_adjusted_error": by_segment.error,
        "adjusted": by_activity.difference,
        "adjusted_error": by_activity.error,
        "adjusted_coverage": by_activity.coverage,
        "adjusted_phi": phi,
        "e_value": adjust.e_value(by_activity.risk, by_activity.other_risk),
    }


def _standardised(
    cells: Cells, place: Integers, users: Floats, retained: Floats, thresholds: Integers
) -> tuple[adjust.Standardised, Floats]:
    """Differences, and phi, adjusted for these strata. place: (cells,); users, retained: (strata,)."""
    experienced = reached(cells, place, len(users), thresholds, cells.users)
    both = reached(cells, place, len(users), thresholds, cells.retained)
    return (
        adjust.standardise(users, retained, experienced, both),
        adjust.stratified_phi(users, retained, experienced, both),
    )


def _moved(series: trends.Series, on_it: NDArray[np.bool_], phi: Floats, plan: Plan) -> dict[str, Floats]:
    """What the dates say of one action, all (thresholds,): the effect, NaN where they are too few, and how
    the series move together, NaN but for the action's best threshold and those on the frontier.
    """
    unknown = np.full((2, len(phi)), np.nan)
    effect, error = trends.date_effect(series) if len(series.users) >= plan.min_dates else unknown
    moved = on_it.copy()
    if not np.isnan(phi).all():
        moved[np.nanargmax(phi)] = True
    moves = np.full((len(MOVEMENT), len(phi)), np.nan)
    for place in np.flatnonzero(moved):
        experienced, both = series.experienced[:, place], series.both[:, place]
        moves[:, place] = astuple(trends.movement(series.users, experienced, series.retained, both))
    return {"trend_effect": effect, "trend_effect_error": error} | dict(zip(MOVEMENT, moves, strict=True))


def _columns(
    crude: pd.DataFrame, found: dict[str, Floats], dates: int, plan: Plan
) -> dict[str, NDArray[Any]]:
    """`found` with intervals instead of errors, tests and verdicts; crude: rows of the same candidates."""
    columns: dict[str, NDArray[Any]] = {name: found[name] for name in found if not name.endswith("_error")}
    for name in ("segment_adjusted", "adjusted", "trend_effect"):
        estimate, margin = found[name], Z_95 * found[f"{name}_error"]
        if name == "trend_effect":
            estimate = np.where(trends.estimable(found[f"{name}_error"]), estimate, np.nan)
        columns |= {name: estimate, f"{name}_low": estimate - margin, f"{name}_high": estimate + margin}
    adjusted, error = found["adjusted"], found["adjusted_error"]
    effect, effect_error = found["trend_effect"], found["trend_effect_error"]
    counts = {name: crude[name].to_numpy(dtype=float) for name in COUNTS}
    plain = adjust.standardise(
        counts["users"][:1], counts["retained"][:1], counts["experienced"][None, :], counts["both"][None, :]
    )
    return columns | {
        "p_value": adjust.p_values(adjusted, error),
        "simpson": adjust.simpson(plain.low, plain.high, columns["adjusted_low"], columns["adjusted_high"]),
        "trend": trends.verdicts(effect, effect_error, adjusted, error, dates, plan.min_dates),
    }
