"""How often the estimate of what new lists would earn holds the truth, which simulated banks know.

`python -m benchmarks.policy_worlds [--worlds 8] [--first-seed 2001] [--customers 4000] [--share 0.1]
[--replays 25]`

In each bank two rankers are trained: one by the whole log, whose lists are shown, and one by what was known
three weeks before, with another exploring slot. A week's visits are replayed with new draws of lists,
contents and clicks, in NumPy. Each replay's log estimates the click rate of either policy's ranked lists at
these visits, with `share` of the customers' lists random, and without, in the exploring slot alone; the truth
is the world's click probability. Customers are as tired as they are at the start of the week.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.bank_play import log_of, tables, trained
from firstday.errors import DataError
from firstday.recommendations import lists
from firstday.recommendations.contents import content_shares, odds, reacted
from firstday.recommendations.monitoring_policy import FOLDS, scales
from firstday.recommendations.off_policy import LEAST_EFFECTIVE, OffPolicy, estimate
from firstday.recommendations.off_policy_sums import sums
from firstday.recommendations.recall.interests import before
from firstday.recommendations.slots import Exploring, Slots
from firstday.simulation import Bank, simulate_bank
from firstday.spark.frames import break_lineage
from firstday.spark.session import local_conf, start_local

SLOTS = 4
Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Policy:
    """ranked: (users, categories, slots), the probability of each category in each slot; score: (users,
    categories), 0 where a category is not allowed.
    """

    ranked: Floats
    score: Floats


@dataclass(frozen=True)
class World:
    """contents: (users, categories, most), the probability of each content where its category is shown;
    clicks: (users, categories, most, slots), the truth. visits: (users,) of the week. allowed: (users,
    categories).
    """

    policies: dict[str, Policy]
    contents: Floats
    clicks: Floats
    visits: Whole
    allowed: NDArray[np.bool_]


def world(spark: SparkSession, seed: int, customers: int) -> World:
    """A bank, two policies learned from its log, and what is true of the week to come."""
    bank = simulate_bank(customers=customers, strength=1.0, seed=seed)
    read, now = tables(spark, bank), bank.now.to_pydatetime()
    log = log_of(read)
    first, earlier = bank.impressions["shown_at"].min().to_pydatetime(), now - timedelta(days=21)
    shown = trained(read, log, first, now)
    other = replace(
        trained(read, break_lineage(before(log, earlier)), first, earlier),
        slots=Slots(SLOTS, None, Exploring(2)),
    )
    users, categories = list(bank.user_ids), list(bank.categories["category"])
    policies = {}
    for name, recipe in (("shown", shown), ("other", other)):
        rows: pd.DataFrame = lists.placed(read, log, now, recipe).toPandas()
        ranked, score = (
            np.zeros((len(users), len(categories), SLOTS)),
            np.zeros((len(users), len(categories))),
        )
        at = pd.Index(users).get_indexer(rows["user_id"]), pd.Index(categories).get_indexer(rows["category"])
        score[at] = rows["score"]
        there = rows["slot"].notna().to_numpy()
        slot = rows["slot"][there].astype(int).to_numpy() - 1
        ranked[at[0][there], at[1][there], slot] = rows["odds"][there]
        policies[name] = Policy(ranked, score)
    allowed = np.zeros(score.shape, bool)
    allowed[at] = True
    contents, clicks = _contents(bank, read, now, shown, rows)
    visits = pd.concat([bank.visits(bank.now + pd.Timedelta(days=day)) for day in range(7)])
    counts = np.bincount(pd.Index(users).get_indexer(visits["user_id"]), minlength=len(users))
    return World(policies, contents, clicks, counts, allowed)


def _contents(
    bank: Bank, read: Mapping[str, DataFrame], now: datetime, recipe: lists.Recipe, rows: pd.DataFrame
) -> tuple[Floats, Floats]:
    known = reacted(read["impressions"], read["reactions"], now)
    live = content_shares(read["contents"], known, now)
    pairs = live.sparkSession.createDataFrame(rows[["user_id", "category"]])
    every = pairs.join(live.select("category", F.explode("live.content_id").alias("content_id")), "category")
    found: pd.DataFrame = odds(every, live, known, recipe.refreshing).toPandas()
    found = found[found["content_odds"] > 0].sort_values(["user_id", "category", "content_id"])
    user = pd.Index(list(bank.user_ids)).get_indexer(found["user_id"])
    category = pd.Index(list(bank.categories["category"])).get_indexer(found["category"])
    place = found.groupby(["user_id", "category"]).cumcount().to_numpy()
    shape = (len(bank.user_ids), len(bank.categories), int(place.max()) + 1)
    contents, clicks = np.zeros(shape), np.zeros((*shape, SLOTS))
    contents[user, category, place] = found["content_odds"]
    for slot in range(SLOTS):
        clicks[user, category, place, slot] = bank.click_probability(found.assign(slot=slot + 1))
    return contents, clicks


def value(made: World, policy: Policy, slots: list[int]) -> float:
    """The true click rate of the policy's ranked lists in these slots, at the week's visits."""
    of_category = np.einsum("uck,ucks->ucs", made.contents, made.clicks)
    by_slot = (policy.ranked * of_category).sum(axis=1)[:, slots]
    there = policy.ranked.sum(axis=1)[:, slots] > 0
    return float((by_slot * made.visits[:, None]).sum() / (there * made.visits[:, None]).sum())


def replay(made: World, share: float, draw: np.random.Generator) -> dict[str, Any]:
    """A week's log, a row a visit and slot: user, slot, category, content (its place), propensity, reward."""
    shown = made.policies["shown"].ranked
    users = len(shown)
    random = draw.random(users) < share
    luck = np.where(made.allowed, draw.random(made.allowed.shape), 2.0)
    even = np.argsort(luck, axis=1)[:, :SLOTS]
    through = shown.cumsum(axis=1)
    ranked = (through > draw.random((users, 1, SLOTS)) * through[:, -1:, :]).argmax(axis=1)
    category = np.where(random[:, None], even, ranked)
    here = np.arange(users)[:, None], category
    of_contents = made.contents[here].cumsum(axis=2)
    content = (of_contents > draw.random((users, SLOTS, 1)) * of_contents[..., -1:]).argmax(axis=2)
    allowed = np.maximum(made.allowed.sum(axis=1), 1)[:, None]
    odds_of = (1 - share) * shown[here[0], category, np.arange(SLOTS)] + share / allowed
    propensity = odds_of * made.contents[here[0], category, content]
    filled = np.where(
        random[:, None], made.allowed.sum(axis=1)[:, None] > np.arange(SLOTS), through[:, -1] > 0
    )
    user, slot = np.nonzero(np.repeat(filled, made.visits, axis=0))
    user = np.repeat(np.arange(users), made.visits)[user]
    chance = made.clicks[user, category[user, slot], content[user, slot], slot]
    return {
        "user": user,
        "slot": slot,
        "category": category[user, slot],
        "content": content[user, slot],
        "propensity": propensity[user, slot],
        "reward": (draw.random(len(user)) < chance).astype(float),
    }


def judged(made: World, policy: Policy, log: dict[str, Any], draw: np.random.Generator) -> OffPolicy | None:
    """The estimate of the policy's value by a log; None where it is refused."""
    user, slot, category, content = (log[name] for name in ("user", "slot", "category", "content"))
    expected = (policy.ranked * policy.score[..., None]).sum(axis=1)[user, slot]
    there = policy.ranked.sum(axis=1)[user, slot] > 0
    score = policy.score[user, category]
    fold = draw.integers(0, FOLDS, len(made.visits))[user]
    rows = pd.DataFrame({"fold": fold, "slot": slot, "reward": log["reward"], "score": score})
    by_fold = rows.groupby(["fold", "slot"], as_index=False).sum()
    scale = rows[["fold", "slot"]].merge(scales(by_fold), how="left")["scale"].fillna(0).to_numpy()
    probability = policy.ranked[user, category, slot] * made.contents[user, category, content]
    try:
        found = estimate(
            sums(
                *(part[there] for part in (log["reward"], log["propensity"], probability)),
                predicted=(scale * score)[there],
                expected=(scale * expected)[there],
                unit=user[there],
            )
        )
    except DataError:
        return None
    return None if found.effective_sample_size < LEAST_EFFECTIVE else found


def main() -> None:
    """Print a row a policy and kind of log: how often the truth is held, and how much is refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=2_001)
    parser.add_argument("--customers", type=int, default=4_000)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--replays", type=int, default=25)
    asked = parser.parse_args()
    spark = start_local(local_conf("policy worlds") | {"spark.sql.shuffle.partitions": "2"})
    rows = []
    for seed in range(asked.first_seed, asked.first_seed + asked.worlds):
        made = world(spark, seed, asked.customers)
        spark.catalog.clearCache()
        for number in range(asked.replays):
            draw = np.random.default_rng((seed, number))
            for share in (asked.share, 0.0):
                log = replay(made, share, draw)
                for name, policy in made.policies.items():
                    # Without random lists only the exploring slot is drawn: the last one.
                    kept = (
                        log if share else {key: part[log["slot"] == SLOTS - 1] for key, part in log.items()}
                    )
                    truth = value(made, policy, list(range(SLOTS)) if share else [SLOTS - 1])
                    found = judged(made, policy, kept, draw)
                    told = {"seed": seed, "share": share, "policy": name, "truth": truth}
                    for method in ("snips", "self_normalised_doubly_robust") if found else ():
                        one = getattr(found, method)
                        told |= {f"{method} {key}": getattr(one, key) for key in ("value", "low", "high")}
                    told["effective"] = found.effective_sample_size if found else np.nan
                    rows.append(told)
        print(seed, summary(pd.DataFrame(rows)), sep="\n", flush=True)


def summary(rows: pd.DataFrame) -> str:
    """Markdown: of each policy and kind of log the share refused, that covered, and the mean width."""
    lines = [
        "| random share | policy | truth | intervals | refused | covered: SNIPS | doubly robust "
        "| mean estimate | width | effective rows |",
        "| " + " --- |" * 10,
    ]
    for (share, name), alike in rows.groupby(["share", "policy"]):
        given = alike.dropna(subset=["effective"])
        cells = [f"{share:g}", name, f"{alike['truth'].mean():.2%}", str(len(alike))]
        cells.append(f"{1 - len(given) / len(alike):.0%}")
        if len(given):
            for method in ("snips", "self_normalised_doubly_robust"):
                held = given["truth"].between(given[f"{method} low"], given[f"{method} high"])
                cells.append(f"{held.mean():.1%}")
            best = "self_normalised_doubly_robust"
            cells.append(f"{given[f'{best} value'].mean():.2%}")
            cells.append(f"{(given[f'{best} high'] - given[f'{best} low']).mean():.2%}")
            cells.append(f"{given['effective'].mean():.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
