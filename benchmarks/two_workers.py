"""The ranker trained by one process and by two: NDCG@10 on the same lists.

`python -m benchmarks.two_workers` runs both, each in a process of its own; it prints the figures as JSON.
`... one|two` runs one of them. Two: Spark's own cluster of two worker processes on this machine.
"""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.ranking import ranking
from firstday.ranking.examples import KEY, LABEL, LAMBDARANK, LIST, ORDER, SPLIT, TIE, VECTOR, WEIGHT
from firstday.ranking.ranker import fit, workers
from firstday.settings.train import Boosting
from firstday.spark.frames import with_vector
from firstday.spark.session import local_conf, start_local

LISTS, FEATURES, SEED = 7_000, 10, 5
MASTERS = {"one": "local[2]", "two": "local-cluster[2,1,2048]"}
LIMIT = 600  # seconds, after which a run is said to hang


def lists(spark: SparkSession) -> DataFrame:
    """LISTS lists of 4 to 16 rows with grades 0 to 3, which four of the features tell in part."""
    draw = np.random.default_rng(SEED)
    which = np.repeat(np.arange(LISTS), draw.integers(4, 17, LISTS))
    values = draw.normal(size=(len(which), FEATURES))
    worth = (
        values[:, 0] + values[:, 1] * values[:, 2] + 0.5 * (values[:, 3] > 0) + draw.normal(size=len(which))
    )
    frame = pd.DataFrame(values, columns=[f"x{at}" for at in range(FEATURES)])
    frame[LIST], frame[KEY] = which, [f"{place:06d}" for place in range(len(which))]
    frame[LABEL] = np.digitize(worth, [0.5, 1.5, 2.5]).astype(float)
    frame[SPLIT] = np.where(which % 7 < 5, "train", "valid")
    rows = spark.createDataFrame(frame).withColumns(
        {WEIGHT: F.lit(1.0), ORDER: F.lit(None).cast("double"), TIE: F.xxhash64(KEY)}
    )
    return with_vector(rows, [f"x{at}" for at in range(FEATURES)], VECTOR)


def run(which: str) -> dict[str, float]:
    """Train and measure."""
    conf = local_conf("two workers") | {
        "spark.master": MASTERS[which],
        "spark.executor.cores": "1",
        "spark.executor.memory": "2g",
        "spark.default.parallelism": "2",
    }
    spark = start_local(conf)
    rows = lists(spark).cache()
    rows.count()
    began = time.monotonic()
    names = [f"x{at}" for at in range(FEATURES)]
    ranker = fit(rows, names, objective=LAMBDARANK, parameters=Boosting(), seed=SEED)
    seconds = time.monotonic() - began
    found = ranking.ndcg(ranker.scored(rows, "model"), ["model"]).set_index(["split", "metric"])
    return {
        "tasks": workers(spark),
        "lists": float(found.loc[("train", "ndcg@10"), "lists"]),
        "ndcg@10": round(float(found.loc[("valid", "ndcg@10"), "value"]), 4),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Both, or the one that is named."""
    if sys.argv[1:]:
        print(json.dumps(run(sys.argv[1])))
        return
    for which in MASTERS:
        command = [sys.executable, "-m", "benchmarks.two_workers", which]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        told = done.stdout.strip().splitlines()
        print(which, told[-1] if done.returncode == 0 and told else done.stderr[-2_000:])


if __name__ == "__main__":
    main()
