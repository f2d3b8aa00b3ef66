"""What a re-ranker that is trained on a real random log would earn, beside the policy that the shop played.

`python -m benchmarks.open_bandit FOLDER`, FOLDER with random/ and bts/, each with campaigns as the sample of
the Open Bandit Dataset has them (Saito et al. 2021): CAMPAIGN/CAMPAIGN.csv.gz, CAMPAIGN/item_context.csv.gz.

LightGBM with the parameters of `firstday train` learns clicks of one half of the random log from position,
the visitor's codes and the item's, and is judged on the other half, both ways. Two policies: always the item
with the highest score, and drawn as the exploring slot is (score squared, a tenth even). The reward model is
the score. The log of the policy that was played has the answer for that one only.
"""

import argparse
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.errors import DataError
from firstday.ranking.learning import CAREFUL
from firstday.recommendations.off_policy import Compared, Estimate, estimate
from firstday.recommendations.off_policy_sums import sums

Floats = NDArray[np.float64]
VISITOR = [f"user_feature_{number}" for number in range(4)]
EVEN = 0.1
SEED = 7


def features(log: pd.DataFrame, items: pd.DataFrame, item: NDArray[np.int64]) -> pd.DataFrame:
    """A row of the log with that item in its place: what the model reads."""
    found = log[["position", *VISITOR]].reset_index(drop=True)
    found[VISITOR] = found[VISITOR].astype("category")
    own = items.iloc[item].reset_index(drop=True)
    affinity = log[[f"user-item_affinity_{number}" for number in range(len(items))]].to_numpy()
    return pd.concat([found, own], axis=1).assign(affinity=affinity[np.arange(len(log)), item])


def scores(learned: pd.DataFrame, judged: pd.DataFrame, items: pd.DataFrame) -> Floats:
    """(rows, items): the chance of a click of each item in each row's place, learned from other rows."""
    rows = features(learned, items, learned["item_id"].to_numpy())
    valid = np.random.default_rng(SEED).random(len(rows)) < 0.2
    clicked = learned["click"].to_numpy(float)
    parameters = {**CAREFUL, "objective": "binary", "seed": SEED, "verbose": -1, "num_threads": 2}
    train, held_out = (lightgbm.Dataset(rows[part], clicked[part]) for part in (~valid, valid))
    model = lightgbm.train(parameters, train, valid_sets=[held_out])
    told = [model.predict(features(judged, items, np.full(len(judged), item))) for item in range(len(items))]
    return np.column_stack(told)


def campaign(folder: Path, name: str) -> list[tuple[str, Estimate | None, float]]:
    """By policy the estimated click rate (None: refused) and the effective rows."""
    where = folder / "random" / name
    log = pd.read_csv(where / f"{name}.csv.gz")
    log["position"] -= 1
    items = pd.read_csv(where / "item_context.csv.gz").set_index("item_id").sort_index()
    items = items.loc[:, ~items.columns.str.startswith("Unnamed")]
    for column in items.select_dtypes(object).columns:
        items[column] = items[column].astype("category")
    for column in VISITOR:
        log[column] = log[column].astype("category")
    half = np.random.default_rng(SEED).permutation(len(log)) % 2
    score = np.empty((len(log), len(items)))
    for part in (0, 1):
        score[half == part] = scores(log[half != part], log[half == part], items)
    drawn = score**2 / (score**2).sum(axis=1, keepdims=True) * (1 - EVEN) + EVEN / len(items)
    best = np.eye(len(items))[score.argmax(axis=1)]
    rows, item = np.arange(len(log)), log["item_id"].to_numpy()
    found: list[tuple[str, Estimate | None, float]] = []
    for policy, odds in (("the re-ranker's best item", best), ("drawn by its scores", drawn)):
        given = sums(
            *(log["click"], log["propensity_score"], odds[rows, item]),
            predicted=score[rows, item],
            expected=(odds * score).sum(axis=1),
        )
        try:
            value = estimate(given)
        except DataError:
            found.append((policy, None, 0.0))
            continue
        found.append((policy, value.self_normalised_doubly_robust, value.effective_sample_size))
        logged = value.logged
    found.insert(0, ("random, its own log", logged, float(len(log))))
    played = pd.read_csv(folder / "bts" / name / f"{name}.csv.gz", usecols=["click"])["click"]
    own = estimate(sums(played, np.ones(len(played)), np.ones(len(played))))
    return [*found, ("Bernoulli Thompson sampling, its own log", own.logged, float(len(played)))]


def main() -> None:
    """Print a table, a row a campaign and policy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    print("| campaign | policy | click rate, % | gain on random, points | effective rows |")
    print("| --- | --- | --- | --- | --- |")
    for name in sorted(each.name for each in (folder / "random").iterdir() if each.is_dir()):
        for policy, value, effective in campaign(folder, name):
            cells = ["refused", ""]
            if value is not None:
                cells = [f"{100 * value.value:.2f} ({100 * value.low:.2f}–{100 * value.high:.2f})", ""]
            if isinstance(value, Compared):
                cells[1] = (
                    f"{100 * value.gain:+.2f} ({100 * value.gain_low:+.2f} to {100 * value.gain_high:+.2f})"
                )
            print(f"| {name} | {policy} | {' | '.join(cells)} | {effective:,.0f} |")


if __name__ == "__main__":
    main()
