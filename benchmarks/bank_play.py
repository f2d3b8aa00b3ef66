"""Four weeks in the simulated bank: firstday's lists beside hand targeting, popularity, and fewer stages.

`python -m benchmarks.bank_play OUT.csv [--customers 2000] [--seeds 5] [--strengths 0.5 1 2] [--every 7]
[--ablations]`

Each policy is played in a copy of the same world with the same visits and draws, so that they are compared
in pairs. Lists are renewed each week, or --every so many days. The ranker is trained on the history and, with
--retrain, again each time. One row a world and policy: impressions, clicks, categories clicked per customer;
at the end the gains over hand targeting, means over seeds with Student's 95 % intervals.
"""

import argparse
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from scipy import stats

from firstday.ranking import examples, learning
from firstday.ranking.bank import completed
from firstday.ranking.history import facts
from firstday.ranking.ranker import fit
from firstday.recommendations import lists
from firstday.recommendations.fatigue import Fatigue
from firstday.recommendations.recall.greedy import Merging
from firstday.recommendations.slots import Exploring, Slots
from firstday.settings.train import Boosting
from firstday.simulation import Bank, simulate_bank
from firstday.simulation.bank_policies import hand_targeting, popularity
from firstday.simulation.tables import BANK_TABLES
from firstday.spark.frames import break_lineage
from firstday.spark.session import local_conf, start_local

WEEKS = 4
BASE = "hand targeting"
PROFILE, SEGMENT = ("region", "age", "income_band"), ("region",)
READ = (
    *("customers", "categories", "eligibility", "contents", "holdings", "transactions"),
    *("preferences", "impressions", "reactions"),
)
LOGGED = ("impressions", "reactions", "transactions", "holdings", "preferences")
RESTLESS = Fatigue(
    dismissed_rest=0, ignored_rest=0, often_rest=0, ignored_times=3_650, often_times=3_650
)  # nothing rests
Change = Callable[[lists.Recipe], lists.Recipe]
ABLATIONS: dict[str, Change] = {
    "without novelty": lambda recipe: _merging(recipe, quotas={"relevance": 4, "serendipity": 2}),
    "without serendipity": lambda recipe: _merging(recipe, quotas={"relevance": 4, "novelty": 2}),
    "without diversity": lambda recipe: _merging(recipe, balance=1.0),
    "without fatigue": lambda recipe: dataclasses.replace(recipe, fatigue=RESTLESS),
    "without exploring": lambda recipe: dataclasses.replace(recipe, slots=Slots(4)),
    "without preferences": lambda recipe: dataclasses.replace(recipe, boost=0.0),
}


def _merging(recipe: lists.Recipe, **changed: Any) -> lists.Recipe:
    return dataclasses.replace(recipe, merging=dataclasses.replace(recipe.merging, **changed))


def tables(spark: SparkSession, bank: Bank) -> dict[str, DataFrame]:
    """The bank's log up to now, as `firstday recommend` reads it."""
    found = {}
    for name in READ:
        frame = getattr(bank, name)[BANK_TABLES[name].names]
        found[name] = completed(name, spark.createDataFrame(frame, BANK_TABLES[name]))
    return found


def log_of(read: Mapping[str, DataFrame]) -> DataFrame:
    """The facts of a bank's tables, worked out."""
    logged: dict[str, Any] = {name: read[name] for name in LOGGED}
    return break_lineage(facts(**logged))


def trained(read: Mapping[str, DataFrame], log: DataFrame, first: datetime, now: datetime) -> lists.Recipe:
    """A recipe with a ranker that learned from the log up to now, as `firstday train` makes it."""
    target = learning.Target()
    span = learning.periods(first, now, target, timedelta(days=7))
    features = learning.feature_settings(())
    learned = learning.built(read, log, span, target, features, segment=SEGMENT, profile=PROFILE, seed=7)
    ranker = fit(
        learned.rows,
        learned.encoding.names,
        objective=examples.BINARY,
        parameters=Boosting().otherwise(learning.CAREFUL),
        monotone=learning.MONOTONE,
        seed=7,
        categorical=[learned.encoding.names[at] for at in learned.encoding.categorical],
    )
    return lists.Recipe(
        ranker,
        learned.encoding,
        segment=SEGMENT,
        profile=PROFILE,
        merging=Merging(),
        slots=Slots(4, None, Exploring(4)),
    )


def firstday(
    spark: SparkSession, bank: Bank, change: Change, recipes: dict[int, lists.Recipe], retrain: bool
) -> pd.DataFrame:
    """The lists of a week. recipes: what was learned, by day; the latest counts, unless `retrain`."""
    read = tables(spark, bank)
    log = log_of(read)
    now = bank.now.to_pydatetime()
    if not recipes or (retrain and bank.day not in recipes):
        first = bank.impressions["shown_at"].min().to_pydatetime()
        recipes[bank.day] = trained(read, log, first, now)
    made = lists.make(read, log, now, change(recipes[max(recipes)]))
    frame: pd.DataFrame = made.lists.toPandas()
    return frame[["user_id", "slot", "category", "content_id", "propensity"]].assign(policy="firstday")


def play(bank: Bank, policy: Callable[[Bank], pd.DataFrame], every: int) -> dict[str, float]:
    """Four weeks with new lists each `every` days; what came of it."""
    start = bank.now
    for day in range(0, 7 * WEEKS, every):
        since = bank.now
        bank.show(policy(bank), since, since + pd.Timedelta(days=min(every, 7 * WEEKS - day)))
    shown = bank.impressions[bank.impressions["shown_at"] >= start]
    clicked = bank.reactions.loc[bank.reactions["kind"] == "click", "impression_id"]
    clicks = shown[shown["impression_id"].isin(clicked)]
    each = clicks.groupby("user_id")["category"].nunique()
    return {
        "impressions": len(shown),
        "clicks": len(clicks),
        "click_rate": len(clicks) / max(len(shown), 1),
        "categories": each.sum() / len(bank.user_ids),
    }


def gains(rows: pd.DataFrame) -> str:
    """Of each strength and policy the mean gains over hand targeting in the same world, a Markdown table."""
    lines = ["| strength | policy | worlds | click rate | categories |", "| --- | --- | --- | --- | --- |"]
    wide = rows.pivot(index=["strength", "seed"], columns="policy", values=["click_rate", "categories"])
    for strength, worlds in wide.groupby(level="strength"):
        for policy in rows["policy"].unique():
            columns = [worlds[measure] for measure in ("click_rate", "categories")]
            gain = np.array([100 * (column[policy] / column[BASE] - 1).dropna() for column in columns])
            if policy != BASE and gain.size:
                told = [f"{np.mean(each):+.1f} % ± {_half(each):.1f}" for each in gain]
                lines.append(f"| {strength:g} | {policy} | {gain.shape[1]} | {' | '.join(told)} |")
    return "\n".join(lines)


def _half(gain: NDArray[np.float64]) -> float:
    """Half of Student's 95 % interval of the mean."""
    return float(stats.sem(gain) * stats.t.ppf(0.975, len(gain) - 1)) if len(gain) > 1 else float("nan")


def main() -> None:
    """Play all worlds and write a row each, as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 1.0, 2.0])
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--retrain", action="store_true", help="train again each time before")
    parser.add_argument("--every", type=int, default=7, help="days after which all have new lists")
    asked = parser.parse_args()
    conf = local_conf("bank play")
    # Small tables: with more partitions than cores most of the time goes into starting tasks.
    conf |= {"spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2"}
    spark = start_local(conf)
    rows: list[dict[str, object]] = []
    for seed in range(1, asked.seeds + 1):
        for strength in asked.strengths:
            world = simulate_bank(customers=asked.customers, strength=strength, seed=seed)
            recipes: dict[int, lists.Recipe] = {}
            policies: dict[str, Callable[[Bank], pd.DataFrame]] = {
                BASE: hand_targeting,
                "popularity": popularity,
                "firstday": functools.partial(
                    firstday, spark, change=lambda recipe: recipe, recipes=recipes, retrain=asked.retrain
                ),
            }
            if asked.ablations:
                policies |= {
                    name: functools.partial(
                        firstday, spark, change=change, recipes=recipes, retrain=asked.retrain
                    )
                    for name, change in ABLATIONS.items()
                }
            for name, policy in policies.items():
                began = time.monotonic()
                found = play(world.copy(), policy, asked.every)
                told = {"seed": seed, "strength": strength, "policy": name, **found}
                rows.append({**told, "seconds": round(time.monotonic() - began, 1)})
                pd.DataFrame(rows).to_csv(asked.out, index=False)
                print(rows[-1], flush=True)
    print(f"\n{gains(pd.DataFrame(rows))}")


if __name__ == "__main__":
    main()
