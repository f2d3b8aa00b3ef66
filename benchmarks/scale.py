"""`firstday discover` on 200 million events with a bounded heap, and on logs with a skewed key.

`python -m benchmarks.scale [--events 200000000] [--only WORD]` makes each log in chunks on disk and runs the
job on it in a process of its own, on two cores. Printed: the clock, the peak of memory (the JVM and all its
Python workers), and, of each stage with a second of work in its median task or its longest, the longest over
the median.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
from firstday.jobs import discover
from pyspark.sql import SparkSession

from benchmarks import world
from benchmarks.label_speed import resident_mb
from benchmarks.rivals import CORES
from firstday.errors import FirstdayError
from firstday.session import local_conf, start_local
from firstday.settings import DiscoverSettings

HEAP = "4g"
CHUNK = 20_000_000  # events
A_USER = 60  # events
EVERY_S = 0.5
LONG_S = 1.0  # tasks below it are not worth a comparison
SKEWED = {  # what is done to a chunk of CHUNK events
    "one user with 10 M events more": """
        select * from log union all
        select (select min(user_id) from users) as user_id, action, occurred_at, event_date
        from log limit {chunk} + 10000000
    """,
    "one action with half of all events": """
        select * replace (if(hash(user_id, occurred_at) % 2 = 0, 'action_00', action) as action) from log
    """,
    "1 M names of actions": """
        select * replace ('action_' || hash(user_id, occurred_at) % 1000000 as action) from log
    """,
}


def chunks(folder: Path, events: int) -> None:
    """The log in copies of one chunk, each with users of its own; a folder a date, a file a copy."""
    base = folder / "base"
    world.make(base, CHUNK // A_USER, CHUNK)
    whole = folder / "whole"
    whole.mkdir()
    with duckdb.connect() as db:
        db.execute(f"set TimeZone = 'UTC'; set threads = {CORES}; set preserve_insertion_order = false")
        users, log = f"'{base}/users.parquet'", f"'{base}/events/*/*.parquet'"
        copies = max(1, events // CHUNK)
        each = "md5(user_id || {copy})[:16] as user_id"
        db.execute(
            f"copy (select u.* replace ({each.format(copy='c')}) "
            f"from read_parquet({users}) u, range({copies}) r(c)) to '{whole}/users.parquet'"
        )
        for copy in range(copies):
            db.execute(
                f"copy (select * replace ({each.format(copy=copy)}) from read_parquet({log})) "
                f"to '{whole}/events' (format parquet, partition_by (event_date), "
                f"filename_pattern 'copy_{copy}_{{i}}', overwrite_or_ignore)"
            )


def skewed(folder: Path, case: str) -> None:
    """One chunk with a skewed key."""
    base = folder / "base"
    if not base.exists():
        world.make(base, CHUNK // A_USER, CHUNK)
    where = folder / "skewed"
    where.mkdir(exist_ok=True)
    with duckdb.connect() as db:
        db.execute(f"set TimeZone = 'UTC'; set threads = {CORES}; set preserve_insertion_order = false")
        db.execute(f"create view users as from read_parquet('{base}/users.parquet')")
        db.execute(f"create view log as from read_parquet('{base}/events/*/*.parquet')")
        db.execute(f"copy users to '{where}/users.parquet'")
        db.execute(f"copy ({SKEWED[case].format(chunk=CHUNK)}) to '{where}/events.parquet'")


def run(users: str, events: str, out: str) -> None:
    """The job, in this process; prints what it took as JSON."""
    # Spark forgets older tasks than these, and with them what they took.
    conf = local_conf("firstday benchmark", str(CORES))
    spark = start_local(conf | {"spark.driver.memory": HEAP, "spark.ui.retainedTasks": "10000000"})
    peaks, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(EVERY_S):
            peaks.append(resident_mb(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    settings: dict[str, Any] = {"users": users, "events": events, "days": (1, 7), "segments": ("country",)}
    began, refused = time.perf_counter(), ""
    try:
        discover.run(DiscoverSettings(**settings, out=out), "scale")
    except FirstdayError as error:
        refused = str(error)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    longest, median = max(stages(spark), default=(0.0, 0.0), key=lambda pair: pair[0] / max(pair[1], LONG_S))
    told = {"seconds": seconds, "peak_mb": max(peaks), "longest": longest, "median": median}
    print(json.dumps(told | {"refused": refused}), flush=True)


def stages(spark: SparkSession) -> Iterator[tuple[float, float]]:
    """Of each stage of several tasks the longest and the median, in seconds."""
    context: Any = spark.sparkContext
    jvm, gateway = context._jvm, context._gateway
    quantiles = gateway.new_array(jvm.double, 2)
    quantiles[0], quantiles[1] = 0.5, 1.0
    found = context._jsc.sc().statusStore().stageList(None, False, True, quantiles, jvm.java.util.ArrayList())
    for place in range(found.size()):
        stage = found.apply(place)
        spread = stage.taskMetricsDistributions()
        if stage.numTasks() > CORES and spread.isDefined():
            times = spread.get().executorRunTime()
            yield times.apply(1) / 1000, times.apply(0) / 1000


def measured(folder: Path, where: Path, name: str, rows: str) -> str:
    """A line of the table."""
    events = where / "events" if (where / "events").exists() else where / "events.parquet"
    command = [sys.executable, "-m", "benchmarks.scale", "--run", f"{where}/users.parquet", str(events)]
    environment = os.environ | {"XDG_DATA_HOME": str(folder / "mlflow")}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        done = subprocess.run([*command, out], env=environment, stdout=subprocess.PIPE, check=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    tasks = f"{told['longest']:.1f} / {told['median']:.1f}"
    result = told["refused"] or "done"
    return f"| {name} | {rows} | {told['seconds']:.0f} | {told['peak_mb']:,.0f} | {tasks} | {result} |"


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
        folder = Path(name)
        if "even".startswith(asked.only):
            chunks(folder, asked.events)
            print(measured(folder, folder / "whole", "even", f"{asked.events:,}"), flush=True)
        for case in SKEWED:
            if case.startswith(asked.only):
                skewed(folder, case)
                print(measured(folder, folder / "skewed", case, f"{CHUNK:,}"), flush=True)


if __name__ == "__main__":
    main()
