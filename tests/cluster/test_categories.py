"""A category of many values on two executors: it trains, where SynapseML by itself ends them."""

import subprocess
import sys
from pathlib import Path

CODE = """
import numpy as np, pandas as pd
from firstday.spark import session
from firstday.spark.frames import with_vector
from firstday.ranking import ranker
from firstday.ranking.examples import IN_ORDER, LABEL, LIST, SPLIT, TRAIN, VECTOR, WEIGHT
from firstday.settings.train import Boosting
import lightgbm
from sklearn.metrics import roc_auc_score

conf = session.local_conf("categories", cores="2") | {
    "spark.master": "local-cluster[2,1,1024]", "spark.executor.memory": "1g", "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "2", "spark.sql.adaptive.enabled": "false",
}
spark = session.start_local(conf)
assert ranker.workers(spark) == 2
draw = np.random.default_rng(0)
region = draw.integers(0, 100, 20_000).astype(float)
amount = draw.normal(size=20_000)
chance = 1 / (1 + np.exp(-(draw.normal(size=100)[region.astype(int)] + amount)))
rows = pd.DataFrame({"region": region, "amount": amount, LABEL: (draw.random(20_000) < chance).astype(float)})
rows = rows.assign(**{name: np.arange(20_000.0) for name in IN_ORDER}, **{WEIGHT: 1.0, SPLIT: TRAIN})
rows[LIST] = np.arange(20_000) // 5
features = ["region", "amount"]
vectors = with_vector(spark.createDataFrame(rows), features, VECTOR)
learned = ranker.fit(
    vectors, features, objective="binary", parameters=Boosting(num_iterations=20, min_data_in_leaf=20),
    seed=1, categorical=["region"],
)
scores = lightgbm.Booster(model_str=learned.native).predict(rows[features].to_numpy())
print("auc", roc_auc_score(rows[LABEL], scores), flush=True)
"""


def test_a_hundred_regions_train_on_two_executors(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("auc")]
    assert said, done.stderr[-2_000:]
    assert float(said[0].split()[1]) > 0.78
    assert "code 134" not in done.stderr  # of a native crash; at the end executors are told to stop
