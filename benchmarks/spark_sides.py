"""firstday's count and, beside it, what people write today: a Spark query per candidate.

`python -m benchmarks.spark_sides count|query WORLD OUT REPEATS` prints the seconds of each repeat, as JSON.
"""

import json
import sys
import time
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.rivals import CORES, DAYS, SEGMENTS
from firstday.moments.counts import count
from firstday.spark.session import get_session
from firstday.windows import Windows

CANDIDATES = (("action_00", 3), ("action_05", 1), ("action_20", 2))
DAY = "INTERVAL 24 HOURS"


def inputs(spark: SparkSession, world: Path) -> tuple[DataFrame, DataFrame]:
    """Users and the log, as the job's checks hand them on."""
    events = spark.read.parquet(f"{world}/events").select("user_id", "action", "occurred_at")
    return spark.read.parquet(f"{world}/users.parquet"), events


def run_count(spark: SparkSession, world: Path, out: Path) -> None:
    """The histogram, and with it the cross products that only firstday makes."""
    counted = count(*inputs(spark, world), Windows(days=DAYS), SEGMENTS)
    counted.moment_counts.write.mode("overwrite").parquet(str(out))
    counted.moment_products.write.mode("overwrite").format("noop").save()
    counted.release()


def run_query(spark: SparkSession, world: Path, action: str, threshold: int) -> None:
    """One candidate: the four counts for D1, over all users."""
    users, events = inputs(spark, world)
    horizon = events.agg(F.max("occurred_at").alias("horizon"))
    known = users.crossJoin(horizon).where(F.expr(f"anchored_at + 2 * {DAY} <= horizon"))
    mine = events.join(known.select("user_id", "anchored_at"), "user_id")
    since = F.expr(f"occurred_at >= anchored_at AND occurred_at < anchored_at + {DAY}")
    back = F.expr(f"occurred_at >= anchored_at + {DAY} AND occurred_at < anchored_at + 2 * {DAY}")
    by_user = mine.groupBy("user_id").agg(
        (F.count_if(since & (F.col("action") == action)) >= threshold).alias("experienced"),
        (F.count_if(back) > 0).alias("retained"),
    )
    by_user.agg(
        F.count_if("experienced"), F.count_if("retained"), F.expr("count_if(experienced AND retained)")
    ).collect()


def main() -> None:
    """Run one side several times, in one session."""
    name, world, out, repeats = sys.argv[1:]
    spark = get_session("firstday benchmark", str(CORES))
    seconds = []
    for repeat in range(int(repeats)):
        start = time.perf_counter()
        if name == "count":
            run_count(spark, Path(world), Path(out))
        else:
            run_query(spark, Path(world), *CANDIDATES[repeat % len(CANDIDATES)])
        seconds.append(round(time.perf_counter() - start, 2))
    print(json.dumps(seconds))
    spark.stop()


if __name__ == "__main__":
    main()
