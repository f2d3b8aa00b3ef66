"""How often the drift alarm of `firstday recommend` is false where nothing changes, and what it finds.

`python -m benchmarks.bank_drift [--customers 600] [--weeks 20] [--seed 101] [--change 12]`

A ranker is trained on eight weeks of history; its lists are played week by week, each week's candidates are
compared with those of the week before. In the weeks from --change on they are made three more times: as if
the transactions had stopped a week before, as if a column of customers had gone, and as if a quarter of
the customers had come by a new channel, younger and from elsewhere.
"""

import argparse
from collections.abc import Mapping
from datetime import datetime, timedelta

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.bank_play import log_of, tables, trained
from firstday.recommendations import lists, weights
from firstday.recommendations.monitoring_drift import counted, drift, profile, unpacked, watched_columns
from firstday.simulation import simulate_bank
from firstday.spark.frames import uniform_hash
from firstday.spark.session import local_conf, start_local

CHANGED_WEEKS = 3


def made(
    read: Mapping[str, DataFrame], now: datetime, recipe: lists.Recipe | None, first: datetime
) -> tuple[lists.Recipe, lists.Made, pd.DataFrame]:
    """The recipe, trained if there is none, its lists, and the counts of their candidates."""
    log = log_of(read)
    recipe = recipe or trained(read, log, first, now)
    found = lists.make(read, log, now, recipe)
    some = found.weighted.where(F.col(lists.SAMPLE).isNotNull())
    rows = unpacked(some, recipe.encoding, lists.SAMPLE, weights.UNWEIGHTED)
    return recipe, found, counted(rows, watched_columns(recipe.encoding, weights.UNWEIGHTED))


def changes(read: Mapping[str, DataFrame], now: datetime) -> dict[str, dict[str, DataFrame]]:
    """The tables as they would be, by what has happened in the week before `now`."""
    customers, stopped = read["customers"], F.col("occurred_at") < F.lit(now - timedelta(days=7))
    new = uniform_hash("user_id", 77) < 0.25
    age = F.when(new, F.lit(19)).otherwise(F.col("age")).cast(customers.schema["age"].dataType)
    region = F.when(new, F.lit("elsewhere")).otherwise(F.col("region"))
    gone = F.lit(None).cast(customers.schema["income_band"].dataType)
    return {
        "transactions stop": {**read, "transactions": read["transactions"].where(stopped)},
        "a column goes": {**read, "customers": customers.withColumn("income_band", gone)},
        "a new channel": {**read, "customers": customers.withColumns({"age": age, "region": region})},
    }


def print_row(week: int, what: str, found: pd.DataFrame) -> None:
    """Print a line: the features that shifted or moved, and the greatest index of all."""
    shifted = ", ".join(
        f"{row.feature} {row.psi:.2f}" for row in found.itertuples() if row.verdict == "shifted"
    )
    moved = int((found["verdict"] == "moved").sum())
    print(f"| {week} | {what} | {shifted or 'none'} | {moved} | {found['psi'].max():.3f} |", flush=True)


def play(spark: SparkSession, seed: int, customers: int, weeks: int, change: int) -> None:
    """Play the bank and print a line a week."""
    bank = simulate_bank(customers=customers, strength=1.0, seed=seed)
    first = bank.impressions["shown_at"].min().to_pydatetime()
    recipe, before = None, None
    print("| week | what happened | shifted, PSI | moved | greatest PSI |\n| --- | --- | --- | --- | --- |")
    for week in range(weeks + 1):
        now, read = bank.now.to_pydatetime(), tables(spark, bank)
        recipe, found, counts = made(read, now, recipe, first)
        if before is not None:
            print_row(week, "nothing", drift(before, counts, recipe.encoding))
            if change <= week < change + CHANGED_WEEKS:
                for what, other in changes(read, now).items():
                    print_row(week, what, drift(before, made(other, now, recipe, first)[2], recipe.encoding))
        before = profile(counts, recipe.encoding, now)
        shown: pd.DataFrame = found.lists.toPandas()
        columns = ["user_id", "slot", "category", "content_id", "propensity"]
        bank.show(shown[columns].assign(policy="firstday"), bank.now, bank.now + pd.Timedelta(days=7))
        spark.catalog.clearCache()


def main() -> None:
    """Play one bank."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=600)
    parser.add_argument("--weeks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--change", type=int, default=12)
    asked = parser.parse_args()
    conf = local_conf("bank drift") | {"spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2"}
    play(start_local(conf), asked.seed, asked.customers, asked.weeks, asked.change)


if __name__ == "__main__":
    main()
