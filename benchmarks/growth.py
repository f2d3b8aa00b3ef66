"""How the cost of a whole `discover` grows with thresholds, and what one new day costs.

`python -m benchmarks.growth thresholds|daily WORLD`. Task time is Spark's own, summed over stages, Python's
time within it; bytes are those read from files.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from firstday.jobs import discover
from pyspark.sql import SparkSession

from benchmarks.rivals import CORES
from benchmarks.world import DATES, FIRST_DATE
from firstday.moments.counts import count
from firstday.settings import DiscoverSettings
from firstday.spark.session import local_conf, start_local
from firstday.windows import Windows

REPEATS = 5
ROUNDS = 3  # of counts alone, in turns; the least are told: the first ones compile
PARTS = {"Cost by the number of thresholds": "thresholds", "One new day on 90 days of history": "daily"}


@dataclass(frozen=True)
class Cost:
    """What Spark has done so far: tasks' seconds, megabytes read from files, and the clock."""

    tasks: float
    megabytes: float
    wall: float

    def __sub__(self, earlier: "Cost") -> "Cost":
        return Cost(self.tasks - earlier.tasks, self.megabytes - earlier.megabytes, self.wall - earlier.wall)


def spent(spark: SparkSession) -> Cost:
    """Tasks from Spark's status store, which is kept without a UI too; bytes from Hadoop's file systems."""
    jvm: Any = spark._jvm
    tasks = sum(stage.executorRunTime() for stage in stages(spark))
    read = sum(each.getBytesRead() for each in jvm.org.apache.hadoop.fs.FileSystem.getAllStatistics())
    return Cost(tasks / 1000, read / 1e6, time.perf_counter())


def stages(spark: SparkSession, *quantiles: float) -> list[Any]:
    """All stages so far, as Spark's status store has them, with these quantiles of their tasks' measures."""
    context: Any = spark.sparkContext
    jvm, gateway = context._jvm, context._gateway
    asked = gateway.new_array(jvm.double, len(quantiles))
    for place, quantile in enumerate(quantiles):
        asked[place] = quantile
    store = context._jsc.sc().statusStore()
    found = store.stageList(None, False, bool(quantiles), asked, jvm.java.util.ArrayList())
    return [found.apply(place) for place in range(found.size())]


def run(spark: SparkSession, settings: dict[str, Any], run_id: str) -> Cost:
    """What one whole run of the job costs."""
    before = spent(spark)
    discover.run(DiscoverSettings(**settings), run_id)
    return spent(spark) - before


def thresholds(spark: SparkSession, world: Path, folder: Path) -> None:
    """10 and 1,000 thresholds in turns, after two runs that warm up. The least are compared: other work only
    adds.
    """
    settings = {"users": f"{world}/users.parquet", "events": f"{world}/events", "days": (1, 7), "quick": True}
    found: dict[int, list[Cost]] = {10: [], 1_000: []}
    for number in range(2 + 2 * REPEATS):
        many = (10, 1_000)[number % 2]
        out = str(folder / f"out{number}")
        asked = {**settings, "out": out, "thresholds": tuple(range(1, many + 1))}
        cost = run(spark, asked, f"t{number}")
        if number > 1:
            found[many].append(cost)
    print("| thresholds | of | seconds | ratio of the least |\n| --- | --- | --- | --- |")
    for kind in ("wall", "tasks"):
        seconds = {many: [getattr(cost, kind) for cost in costs] for many, costs in found.items()}
        for many, each in seconds.items():
            told = ", ".join(f"{second:.1f}" for second in each)
            print(f"| {many:,} | {kind} | {told} | {min(each) / min(seconds[10]):.3f} |")


def daily(spark: SparkSession, world: Path, folder: Path) -> None:
    """A run over all dates but the last, one that adds the last, and one over all at once."""
    last = date.fromisoformat(FIRST_DATE) + timedelta(days=DATES - 1)
    history = folder / "events"
    history.mkdir()
    for of_date in sorted((world / "events").iterdir()):
        if of_date.name != f"event_date={last}":
            (history / of_date.name).symlink_to(of_date)
    settings = {
        "users": f"{world}/users.parquet", "events": str(history), "days": (1,), "quick": True,
        "event_date_column": "event_date", "segments": ("country",),
    }  # fmt: skip
    run(spark, {**settings, "out": str(folder / "grown")}, "history")
    (history / f"event_date={last}").symlink_to(world / "events" / f"event_date={last}")
    new = run(spark, {**settings, "out": str(folder / "grown"), "daily": True}, "new-day")
    full = run(spark, {**settings, "out": str(folder / "full")}, "all-days")
    pairs = [("whole job", "the new date", new, full)]
    for day in (1, 30):
        # The last day + 1 dates were open. The fixed cost of starting is that of a date without users.
        open_dates = [last - timedelta(days=n) for n in range(day + 2)]
        asked = (None, open_dates, [last + timedelta(days=90)])
        rounds = [[count_alone(spark, world, day, dates) for dates in asked] for _ in range(ROUNDS)]
        of_all, of_open, of_none = (
            min(each, key=lambda cost: cost.tasks) for each in zip(*rounds, strict=True)
        )
        told = f"the new date and the {day + 1} open ones"
        pairs.append((f"counting, D{day}", told, of_open, of_all))
        pairs.append(
            (f"counting, D{day}, net of a date without users", told, of_open - of_none, of_all - of_none)
        )
    print("| run | dates | task seconds | MB read | wall seconds |\n| --- | --- | --- | --- | --- |")
    for name, told, part, whole in pairs:
        for dates_of, cost in ((f"all {DATES}", whole), (told, part)):
            print(f"| {name} | {dates_of} | {cost.tasks:.1f} | {cost.megabytes:.1f} | {cost.wall:.1f} |")
        shares = part.tasks / whole.tasks, part.megabytes / whole.megabytes
        print(f"| {name} | share | {shares[0]:.3f} | {shares[1]:.3f} | |")


def count_alone(spark: SparkSession, world: Path, day: int, dates: list[date] | None) -> Cost:
    """The count of some anchor dates, or of all, without what is then made of it."""
    events = spark.read.parquet(f"{world}/events")
    users = spark.read.parquet(f"{world}/users.parquet")
    before = spent(spark)
    counted = count(
        users, events, Windows(days=(day,)), ("country",), dates=dates, event_date_column="event_date"
    )
    counted.moment_counts.write.mode("overwrite").format("noop").save()
    counted.moment_products.write.mode("overwrite").format("noop").save()
    counted.release()
    return spent(spark) - before


def main() -> None:
    """One of the parts, in a session of its own."""
    part, world = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="firstday-growth-") as name:
        folder = Path(name)
        os.environ["XDG_DATA_HOME"] = str(folder / "mlflow")
        # Spark forgets older stages than these, and with them what they took.
        kept = {"spark.ui.retainedStages": "1000000"}
        spark = start_local(local_conf("firstday benchmark", str(CORES)) | kept)
        {"thresholds": thresholds, "daily": daily}[part](spark, world, folder)
        spark.stop()


if __name__ == "__main__":
    main()
