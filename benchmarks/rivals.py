"""The histogram of moment_counts by DuckDB and by Polars, as a user of these would write it.

`python -m benchmarks.rivals duckdb|polars WORLD OUT REPEATS` prints the seconds of each repeat, as JSON. Both
read the same Parquet files as Spark does and write the histogram as Parquet, on CORES threads.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

CORES = 2
DAYS = (1, 7)
SEGMENTS = ("country", "gender", "channel")
DAY_US = 86_400_000_000
END_US = (DAYS[-1] + 1) * DAY_US  # of the last label window, after the anchor
MOST_EVENTS = 20_000  # of one user in the window, in the tables of levels

DUCKDB = """
copy (
    with horizon as (select max(occurred_at) as latest from read_parquet('{events}')),
    people as (
        select user_id, epoch_us(anchored_at) as anchor, cast(anchored_at as date) as anchor_date,
            country, gender, channel, {matured}
        from read_parquet('{users}'), horizon
    ),
    mine as (
        select user_id, anchor, action, epoch_us(occurred_at) - anchor as since
        from read_parquet('{events}') join people using (user_id)
        where since >= 0 and since < {end}
    ),
    counted as (
        select user_id, action, least(count(*) filter (since < {day}), 10000) as n, {back}
        from mine group by user_id, action
    ),
    of_user as (select user_id, sum(n) as total, {any_back} from counted group by user_id),
    whole as (
        select people.*, coalesce(total, 0) as total, {retained}
        from people left join of_user using (user_id)
    ),
    cells as (
        select anchor_date, country, gender, channel, null as action, 0 as n, total, null as other,
            {flags}
        from whole
        union all
        select anchor_date, country, gender, channel, action, n, total, total - n, {flags}
        from counted join whole using (user_id) where n > 0
    )
    select anchor_date, country, gender, channel, action, n as count,
        t.level as total_level, o.level as other_level, count(*) as users, {sums}
    from cells join levels t on t.events = total left join levels o on o.events = other
    group by all
) to '{out}' (format parquet)
"""


def duckdb_query(world: Path, out: Path) -> str:
    """The SQL of the histogram."""

    def each(text: str) -> str:
        return ", ".join(text.format(d=day, after=day + 1, day=DAY_US) for day in DAYS)

    return DUCKDB.format(
        events=f"{world}/events/*/*.parquet",
        users=f"{world}/users.parquet",
        out=out,
        day=DAY_US,
        end=END_US,
        matured=each("epoch_us(anchored_at) + {after} * {day} <= epoch_us(latest) as matured_d{d}"),
        back=each("bool_or(since >= {d} * {day} and since < {after} * {day}) as back_d{d}"),
        any_back=each("bool_or(back_d{d}) as back_d{d}"),
        retained=each("matured_d{d} and coalesce(back_d{d}, false) as retained_d{d}"),
        flags=each("matured_d{d}, retained_d{d}"),
        sums=each("count_if(matured_d{d}) as matured_d{d}, count_if(retained_d{d}) as retained_d{d}"),
    )


def run_duckdb(world: Path, out: Path) -> None:
    """In SQL, with a table of levels to join."""
    import duckdb

    from firstday.moments.activity_bins import BIN_STARTS

    with duckdb.connect() as db:
        db.execute(f"set threads = {CORES}; set TimeZone = 'UTC'; set preserve_insertion_order = false")
        starts = ", ".join(str(start) for start in BIN_STARTS if start <= MOST_EVENTS)
        db.execute(
            "create table levels as select events, level from"
            f" (select unnest(generate_series(0, {MOST_EVENTS})) as events),"
            f" lateral (select count(*) as level from (select unnest([{starts}]) as s)"
            " where s <= events)"
        )
        db.execute(duckdb_query(world, out))


def run_polars(world: Path, out: Path) -> None:
    """Lazily, in the streaming engine."""
    import numpy as np
    import polars as pl

    from firstday.moments.activity_bins import activity_bin

    log = pl.scan_parquet(f"{world}/events/*/*.parquet", hive_partitioning=False)
    horizon = log.select(pl.col("occurred_at").max().dt.epoch("us")).collect(engine="streaming").item()
    anchor = pl.col("anchored_at").dt.epoch("us")
    people = pl.scan_parquet(f"{world}/users.parquet").select(
        *("user_id", *SEGMENTS),
        anchor.alias("anchor"),
        pl.col("anchored_at").dt.date().alias("anchor_date"),
        *((anchor + (day + 1) * DAY_US <= horizon).alias(f"matured_d{day}") for day in DAYS),
    )
    since = pl.col("occurred_at").dt.epoch("us") - pl.col("anchor")
    mine = log.join(people.select("user_id", "anchor"), on="user_id").with_columns(since=since)
    mine = mine.filter((pl.col("since") >= 0) & (pl.col("since") < END_US))

    def back(day: int) -> pl.Expr:
        inside = (pl.col("since") >= day * DAY_US) & (pl.col("since") < (day + 1) * DAY_US)
        return inside.any().alias(f"back_d{day}")

    counted = mine.group_by("user_id", "action").agg(
        (pl.col("since") < DAY_US).sum().clip(upper_bound=10_000).cast(pl.Int64).alias("n"),
        *map(back, DAYS),
    )
    of_user = counted.group_by("user_id").agg(
        pl.col("n").sum().alias("total"), *(pl.col(f"back_d{day}").any() for day in DAYS)
    )
    whole = people.join(of_user, on="user_id", how="left").with_columns(
        pl.col("total").fill_null(0),
        *(
            (pl.col(f"matured_d{day}") & pl.col(f"back_d{day}").fill_null(value=False)).alias(
                f"retained_d{day}"
            )
            for day in DAYS
        ),
    )
    flags = [f"{kind}_d{day}" for day in DAYS for kind in ("matured", "retained")]
    keep = ["anchor_date", *SEGMENTS, "action", "n", "total", "other", *flags]
    acted = counted.filter(pl.col("n") > 0).select("user_id", "action", "n").join(whole, on="user_id")
    acted = acted.with_columns((pl.col("total") - pl.col("n")).alias("other")).select(keep)
    null = pl.lit(None, dtype=pl.Int64)
    cohort = whole.with_columns(
        action=pl.lit(None, dtype=pl.String), n=pl.lit(0, dtype=pl.Int64), other=null
    ).select(keep)
    levels = pl.Series("level", activity_bin(np.arange(MOST_EVENTS + 1)))
    named = {"total": "total_level", "other": "other_level"}
    binned = [
        pl.col(name).map_batches(levels.gather, return_dtype=pl.Int64).alias(binned)
        for name, binned in named.items()
    ]
    keys = ["anchor_date", *SEGMENTS, "action", pl.col("n").alias("count"), *named.values()]
    histogram = (
        pl.concat([cohort, acted])
        .with_columns(binned)
        .group_by(keys)
        .agg(pl.len().alias("users"), *(pl.col(flag).sum() for flag in flags))
    )
    histogram.collect(engine="streaming").write_parquet(out)


RUN: dict[str, Callable[[Path, Path], None]] = {"duckdb": run_duckdb, "polars": run_polars}


def main() -> None:
    """Run one of the rivals several times."""
    name, world, out, repeats = sys.argv[1:]
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        RUN[name](Path(world), Path(out))
        seconds.append(round(time.perf_counter() - start, 2))
    print(json.dumps(seconds))


if __name__ == "__main__":
    os.environ["POLARS_MAX_THREADS"] = str(CORES)
    main()
