"""Every job by spark-submit, from the zip, on two executors: what it writes is what local mode writes."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from firstday.simulation.app import simulate_app
from tests.cluster.conftest import DATES, SEED, USERS
from tests.cluster.outputs import same_tables, tables
from tests.cluster.standalone import Cluster
from tests.tables.independent import rows, run_ids

NEAR = 0.02  # NDCG@10 of a ranker that two workers trained, against one process
TRAIN = (
    *("--segment", "country", "--profile", "country,gender", "--valid-days", "3"),
    *("--set", "train.num_iterations=20", "--set", "train.early_stopping_round=0"),
)
PLAN = """
experiment: push
variants: {control: 0.5, treatment: 0.5}
starts_at: 2024-03-06T00:00:00Z
ends_at: 2024-03-16T00:00:00Z
metrics:
  - {name: retention_1, kind: retention, day: 1}
  - {name: click_rate, kind: click_rate}
"""
ONE_CORE = {"spark.cores.max": "1"}  # of small jobs most of the time is the start of executors


def test_simulate(world: Path) -> None:
    app = simulate_app(users=USERS, dates=DATES, effect=0.8, seed=SEED)
    for name in ("users", "events", "impressions", "reactions", "accounts"):
        assert len(run_ids(world, name)) == 1
        assert len(rows(world, name)) == len(getattr(app, name))
    assert set(rows(world, "events")["action"]) == set(app.events["action"])


@pytest.fixture(scope="module")
def rankers(
    cluster: Cluster, world: Path, local: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Trained on the cluster, and in local mode at the same time."""
    out = tmp_path_factory.mktemp("ranker")
    driver = cluster.submit("train", "--tables", world, *TRAIN, "--fit-timeout", "3m", "--out", out)
    alone = local("train", "--tables", world, *TRAIN)
    driver.succeed()
    assert "num_machines=2" in driver.said
    return out, alone


def test_train(rankers: tuple[Path, Path]) -> None:
    ranker, alone = rankers
    assert tables(ranker) == tables(alone)
    found, expected = (
        rows(out, "ranker_metrics").set_index(["split", "metric", "model"])["value"].sort_index()
        for out in (ranker, alone)
    )
    # Chance and category means are not trained: the lists are the same ones.
    others = [key for key in expected.index if key[2] != "model"]
    pd.testing.assert_series_equal(found[others], expected[others], rtol=1e-9)
    for metric in ("ndcg@5", "ndcg@10"):
        key = ("valid", metric, "model")
        assert found[key] == pytest.approx(expected[key], abs=NEAR)
        assert found["train", metric, "model"] > found["train", metric, "random"]


def test_recommend(
    cluster: Cluster,
    world: Path,
    rankers: tuple[Path, Path],
    local: Callable[..., Path],
    tmp_path: Path,
) -> None:
    told = ("--tables", world, "--ranker", rankers[0], "--force")
    driver = cluster.submit("recommend", *told, "--out", tmp_path)
    alone = local("recommend", *told)  # at the same time
    driver.succeed()
    same_tables(tmp_path, alone, ignored="batch_id")
    assert len(rows(tmp_path, "recommendations")) > USERS


def test_assign_and_measure(
    cluster: Cluster, world: Path, local: Callable[..., Path], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yml"
    plan.write_text(PLAN)
    assigned = tmp_path / "assigned"
    deal = ("--plan", plan, "--units", world / "users", "--instant-column", "anchored_at")
    cluster.submit("assign", *deal, "--out", assigned, options=ONE_CORE).succeed()
    same_tables(assigned, local("assign", *deal))
    log = [
        word
        for name in ("users", "events", "impressions", "reactions")
        for word in (f"--{name}", world / name)
    ]
    ask = ("--plan", plan, "--assignments", assigned, *log)
    measured = tmp_path / "measured"
    driver = cluster.submit("measure", *ask, "--out", measured)
    alone = local("measure", *ask)
    driver.succeed()
    same_tables(measured, alone)
