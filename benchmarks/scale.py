"""`firstday discover` on 200 million events with a bounded heap, and on logs with a skewed key.

`python -m benchmarks.scale [--events 200000000] [--only START]` makes each log on disk and runs the job on it
in a process of its own, on two cores; --only takes those whose name starts so. Printed: the clock, the peak
of memory (the JVM and all its Python workers), and the longest and the median task of the most unequal stage.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
from firstday.jobs import discover
from pyspark.sql import SparkSession

from benchmarks import world
from benchmarks.growth import stages
from benchmarks.memory import peak_memory
from benchmarks.rivals import CORES
from firstday.errors import FirstdayError
from firstday.settings import DiscoverSettings
from firstday.spark.session import local_conf, start_local

HEAP = "4g"
CHUNK = 20_000_000  # events
A_USER = 60  # events
LONG_S = 1.0  # a median below it counts as much: of short tasks the longest says little
SKEWED = {  # what becomes of CHUNK events
    "one user with 10 M events more": """
        select * from log union all
        (select (select min(user_id) from users) as user_id, action, occurred_at, event_date
        from log limit 10000000)
    """,
    "one action with half of all events": """
        select * replace (if(hash(user_id, occurred_at) % 2 = 0, 'action_00', action) as action) from log
    """,
    "1 M names of actions": """
        select * replace ('action_' || hash(user_id, occurred_at) % 1000000 as action) from log
    """,
}


def connected() -> duckdb.DuckDBPyConnection:
    """DuckDB on as many cores as the job has."""
    db = duckdb.connect()
    db.execute(f"set TimeZone = 'UTC'; set threads = {CORES}; set preserve_insertion_order = false")
    return db


def even(base: Path, where: Path, events: int) -> None:
    """The log in copies of `base`, each with users of its own; a folder a date, a file a copy."""
    users, log = f"'{base}/users.parquet'", f"'{base}/events/*/*.parquet'"
    copies = max(1, events // CHUNK)
    each = "md5(user_id || {copy})[:16] as user_id"
    with connected() as db:
        db.execute(
            f"copy (select u.* replace ({each.format(copy='c')}) "
            f"from read_parquet({users}) u, range({copies}) r(c)) to '{where}/users.parquet'"
        )
        for copy in range(copies):
            db.execute(
                f"copy (select * replace ({each.format(copy=copy)}) from read_parquet({log})) "
                f"to '{where}/events' (format parquet, partition_by (event_date), "
                f"filename_pattern 'copy_{copy}_{{i}}', overwrite_or_ignore)"
            )


def skewed(base: Path, where: Path, case: str) -> None:
    """The log of `base` with a skewed key."""
    (where / "events").mkdir()
    with connected() as db:
        db.execute(f"create view users as from read_parquet('{base}/users.parquet')")
        db.execute(f"create view log as from read_parquet('{base}/events/*/*.parquet')")
        db.execute(f"copy users to '{where}/users.parquet'")
        db.execute(f"copy ({SKEWED[case]}) to '{where}/events/skewed.parquet'")


def run(users: str, events: str, out: str) -> None:
    """The job, in this process; prints what it took as JSON."""
    # Spark forgets older tasks than these, and with them what they took.
    conf = local_conf("firstday benchmark", str(CORES))
    spark = start_local(conf | {"spark.driver.memory": HEAP, "spark.ui.retainedTasks": "10000000"})
    settings: dict[str, Any] = {"users": users, "events": events, "days": (1, 7), "segments": ("country",)}
    began, refused = time.perf_counter(), ""
    with peak_memory(os.getpid()) as peak:
        try:
            discover.run(DiscoverSettings(**settings, out=out), "scale")
        except FirstdayError as error:
            refused = str(error)
        seconds = time.perf_counter() - began
    longest, median = max(spread(spark), default=(0.0, 0.0), key=lambda pair: pair[0] / max(pair[1], LONG_S))
    told = {"seconds": seconds, "peak_mb": peak.megabytes, "longest": longest, "median": median}
    print(json.dumps(told | {"refused": refused}), flush=True)


def spread(spark: SparkSession) -> Iterator[tuple[float, float]]:
    """Of each stage with more tasks than cores the longest and the median, in seconds."""
    for stage in stages(spark, 0.5, 1.0):
        told = stage.taskMetricsDistributions()
        if stage.numTasks() > CORES and told.isDefined():
            times = told.get().executorRunTime()
            yield times.apply(1) / 1000, times.apply(0) / 1000


def measured(where: Path, name: str) -> str:
    """A line of the table, of the log in `where`."""
    rows = duckdb.execute(f"select count(*) from read_parquet('{where}/events/**/*.parquet')").fetchone()
    assert rows is not None
    command = [sys.executable, "-m", "benchmarks.scale", "--run", f"{where}/users.parquet", f"{where}/events"]
    environment = os.environ | {"XDG_DATA_HOME": str(where / "mlflow")}
    told = json.loads(
        subprocess.run(
            [*command, str(where / "out")], env=environment, stdout=subprocess.PIPE, check=True, text=True
        ).stdout.splitlines()[-1]
    )
    tasks = f"{told['longest']:.1f} / {told['median']:.1f}"
    result = told["refused"] or "done"
    return f"| {name} | {rows[0]:,} | {told['seconds']:.0f} | {told['peak_mb']:,.0f} | {tasks} | {result} |"


def main() -> None:
    """All cases, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--run", nargs=3, metavar=("USERS", "EVENTS", "OUT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        run(*asked.run)
        return
    print(f"| log | events | s | peak, MB (heap {HEAP}) | longest / median task, s | result |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="firstday-scale-") as name:
        base = Path(name) / "base"
        world.make(base, CHUNK // A_USER, CHUNK)
        for case in ("even", *SKEWED):
            if case.startswith(asked.only):
                with tempfile.TemporaryDirectory(dir=name) as own:
                    where = Path(own)
                    even(base, where, asked.events) if case == "even" else skewed(base, where, case)
                    print(measured(where, case), flush=True)


if __name__ == "__main__":
    main()
