"""An experiment's table of sums from its log of unit-days, beside DuckDB on the same files and cores.

`python -m benchmarks.experiment_sums [--rows 50000000] [--repeats 3] [--heap-mb 2048]` makes the log, runs
both sides as processes of their own in turns, checks that they made the same sums, and prints Markdown. Days
active, clicks with their sum over the week before as covariate, and D7 retention; by variant, date, and two
segment columns.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from firstday.experiments.sums import PARTS

CORES = 2
DAYS = 14  # rows a unit; the first three lie before its assignment
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON = FIRST + timedelta(days=21)
SEGMENTS = ("country", "channel")
DAY_US = 86_400_000_000
KEYS = ("metric", "variant", "segment", "assigned_on")

UNITS = f"""
select
    md5('unit' || i)[:16] as unit_id,
    if(hash(i, 1) % 2 = 0, 'control', 'treatment') as variant,
    timestamptz '{FIRST}' + to_microseconds(cast(3 * 86400e6 + hash(i, 2) % (14 * 86400000000) as bigint))
        as assigned_at,
    ['US', 'IN', 'BR', 'DE', 'JP', 'KR', 'FR', 'MX', 'ID', 'NG'][1 + cast(hash(i, 3) % 10 as int)] as country,
    ['search', 'ads', 'friend', 'store', 'mail'][1 + cast(hash(i, 4) % 5 as int)] as channel,
    i
from range({{units}}) r(i)
"""
LOG = f"""
select unit_id as user_id, 'day' as action, cast(hash(i, d, 5) % 7 as double) as clicks,
    assigned_at + to_microseconds(cast((d - 3) * 86400e6 + hash(i, d, 6) % 86400000000 as bigint))
        as occurred_at
from units, range({DAYS}) r(d)
"""
DUCKDB = """
copy (
    with people as (
        select unit_id, variant, country, channel, epoch_us(assigned_at) as start,
            cast(assigned_at as date) as assigned_on
        from read_parquet('{units}')
    ),
    of_unit as (
        select user_id as unit_id,
            count(*) filter (since >= 0) as days,
            coalesce(sum(clicks) filter (since >= 0), 0) as clicks,
            coalesce(sum(clicks) filter (since >= -7 * {day} and since < 0), 0) as before,
            bool_or(since >= 7 * {day} and since < 8 * {day}) as back
        from (
            select user_id, clicks, epoch_us(occurred_at) - start as since
            from read_parquet('{log}') join people on user_id = unit_id
            where epoch_us(occurred_at) <= {horizon}
        )
        group by user_id
    ),
    each as (
        select variant, country, channel, assigned_on,
            unnest([
                {{'metric': 'days', 'y': coalesce(days, 0)::double, 'x': 0::double}},
                {{'metric': 'clicks', 'y': coalesce(clicks, 0)::double, 'x': coalesce(before, 0)::double}},
                {{'metric': 'd7', 'y': case when start + 8 * {day} <= {horizon}
                    then coalesce(back, false)::int::double end, 'x': 0::double}}
            ], recursive := true)
        from people left join of_unit using (unit_id)
        where start <= {horizon}
    )
    select metric, variant, assigned_on,
        case when country is not null then 'country=' || country
            when channel is not null then 'channel=' || channel else 'all' end as segment,
        count(*) as units, count(y)::double as n, coalesce(sum(y), 0) as y, count(y)::double as d,
        coalesce(sum(x) filter (y is not null), 0) as x, coalesce(sum(y * y), 0) as yy,
        count(y)::double as dd, coalesce(sum(x * x) filter (y is not null), 0) as xx,
        coalesce(sum(y), 0) as yd, coalesce(sum(y * x), 0) as yx,
        coalesce(sum(x) filter (y is not null), 0) as dx
    from each
    group by grouping sets (
        (metric, variant, assigned_on), (metric, variant, assigned_on, country),
        (metric, variant, assigned_on, channel)
    )
) to '{out}' (format parquet)
"""


def make(folder: Path, rows: int) -> None:
    """Units and their log, as Parquet."""
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'; set preserve_insertion_order = false")
        db.execute("create view units as " + UNITS.format(units=rows // DAYS))
        db.execute(f"copy (select * exclude (i) from units) to '{folder}/units.parquet'")
        db.execute(f"copy ({LOG}) to '{folder}/log.parquet' (row_group_size 1000000)")


def run_duckdb(folder: Path, out: Path, repeats: int) -> dict[str, float | list[float]]:
    """Seconds of each repeat, and megabytes at the peak."""

    def once() -> None:
        with duckdb.connect() as db:
            db.execute(f"set threads = {CORES}; set TimeZone = 'UTC'; set preserve_insertion_order = false")
            horizon = int(HORIZON.timestamp()) * 10**6
            files = {"units": f"{folder}/units.parquet", "log": f"{folder}/log.parquet", "out": out}
            db.execute(DUCKDB.format(**files, day=DAY_US, horizon=horizon))

    seconds = timed(once, repeats)
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def run_firstday(
    folder: Path, out: Path, repeats: int, heap_mb: int | None = None
) -> dict[str, float | list[float]]:
    """Seconds of each repeat, and megabytes at the peak of Spark's process. heap_mb: not our default."""
    from firstday.experiments.aggregate import aggregate
    from firstday.experiments.outcomes import outcomes
    from firstday.experiments.spans import Spans
    from firstday.settings.metrics import Metric
    from firstday.spark.session import local_conf, start_local
    from firstday.windows import microseconds

    metrics = (
        Metric(name="days", kind="count"),
        Metric(name="clicks", kind="sum", value="clicks", covariate="pre"),
        Metric(name="d7", kind="retention", day=7),
    )
    heap = {"spark.driver.memory": f"{heap_mb}m"} if heap_mb else {}
    spark = start_local(local_conf("firstday benchmark", str(CORES)) | heap)
    horizon = microseconds(HORIZON)

    def once() -> None:
        assignments = spark.read.parquet(f"{folder}/units.parquet")
        spans = Spans.of(assignments, horizon=horizon, segments=SEGMENTS)
        found = outcomes(spans, metrics, horizon=horizon, events=spark.read.parquet(f"{folder}/log.parquet"))
        aggregate(found).write.mode("overwrite").parquet(str(out))
        spans.release()

    seconds = timed(once, repeats)
    process = spark.sparkContext._gateway.proc.pid  # type: ignore[union-attr]
    # The launcher is a shell that Java replaces: one process, with the peak of the virtual machine.
    [peak] = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if "VmHWM" in line]
    spark.stop()
    return {"seconds": seconds, "peak_mb": int(peak.split()[1]) / 1024}


def timed(once: Callable[[], None], repeats: int) -> list[float]:
    """Seconds of each call."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        once()
        seconds.append(round(time.perf_counter() - start, 2))
    return seconds


SIDES = ("firstday", "duckdb")


def same(folder: Path) -> int:
    """Rows of the table; raises where the sides differ in any sum: all are of whole numbers."""
    columns = ", ".join([*KEYS, "units", *PARTS])
    queries = {
        "firstday": f"select {columns} from read_parquet('{folder}/firstday/*.parquet')",
        "duckdb": f"select {columns} from read_parquet('{folder}/duckdb')",
    }
    for one, other in (("firstday", "duckdb"), ("duckdb", "firstday")):
        found = duckdb.execute(f"select count(*) from ({queries[one]} except {queries[other]})").fetchone()
        if found is None or found[0]:
            raise AssertionError(f"{found} rows of {one} are not in {other}")
    rows = duckdb.execute(f"select count(*) from ({queries['duckdb']})").fetchone()
    return int(rows[0]) if rows else 0


def main() -> None:
    """Make the log, run both sides in turns, print the table; or run one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--heap-mb", type=int, help="of firstday's Java, instead of the default")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.side:
        run = partial(run_firstday, heap_mb=asked.heap_mb) if asked.side == "firstday" else run_duckdb
        print(json.dumps(run(asked.folder, asked.folder / asked.side, asked.repeats)))
        return
    with tempfile.TemporaryDirectory(prefix="firstday-sums-") as name:
        make(Path(name), asked.rows)
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(2):  # in turns, so that the machine's moods meet both
            for side in SIDES:
                command = [sys.executable, "-m", "benchmarks.experiment_sums", "--side", side]
                command += ["--folder", name, "--repeats", str(asked.repeats)]
                command += ["--heap-mb", str(asked.heap_mb)] if asked.heap_mb else []
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found[side].append(json.loads(done.stdout.strip().splitlines()[-1]))
        rows = same(Path(name))
    print(f"## The sums of {asked.rows:,} unit-days\n\n{rows:,} rows of sums, the same from both.\n")
    print("| side | first time, s | later, median (least), s | ratio to DuckDB | peak, MB |")
    print("| --- | --- | --- | --- | --- |")
    later = {
        side: [each for run in runs for each in run["seconds"][1:] or run["seconds"]]
        for side, runs in found.items()
    }
    base = statistics.median(later["duckdb"])
    for side, runs in found.items():
        median, first = statistics.median(later[side]), statistics.median(run["seconds"][0] for run in runs)
        peak = max(run["peak_mb"] for run in runs)
        told = f"{first:.1f} | {median:.1f} ({min(later[side]):.1f}) | {median / base:.2f} | {peak:,.0f}"
        print(f"| {side} | {told} |")


if __name__ == "__main__":
    main()
