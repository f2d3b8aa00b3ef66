"""What is killed in mid-job on the cluster, what it leaves behind, and what the next run makes of it."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from firstday.simulation.fraud import simulate_fraud
from tests.cluster.conftest import SEED
from tests.cluster.outputs import begun_file, has_rows, same_tables, tables
from tests.cluster.standalone import REPOSITORY, Cluster, wait_for
from tests.tables.independent import rows, run_ids

CONF = REPOSITORY / "conf"
ACCOUNTS = 4_000
NEAR = 0.1  # F1 of classifiers that two workers trained on few rows, against one process
ERROR = 1  # the exit status of a failure that is told
DISCOVER = ("--segments", "country", "--days", "1,3", "--bootstrap", "20", "--quick")
WRITES_WITHIN = 400.0  # seconds from the submit


def test_an_executor_is_killed_and_the_job_ends_right(
    cluster: Cluster, local: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    accounts = tmp_path_factory.mktemp("accounts") / "accounts.parquet"
    simulate_fraud(users=ACCOUNTS, seed=SEED).rows.to_parquet(accounts)
    functions = CONF / "label_functions_demo.yml"
    told = ("--rows", accounts, "--functions", functions, "--config", CONF / "label_demo.yml")
    labelling = cluster.submit("label", *told, "--out", tmp_path)
    wait_for(lambda: begun_file(tmp_path, "soft_labels"), "file of the table soft_labels", WRITES_WITHIN)
    killed = cluster.kill_an_executor()
    status = labelling.status()
    assert f"{killed}" not in map(str, cluster.executors())
    if status != 0:
        # A clear error, and nothing published; then all is as if it had not been.
        assert status == ERROR, labelling.said[-6_000:]
        assert "the job failed" in labelling.said
        assert len(rows(tmp_path, "runs")) == 0
        cluster.submit("label", *told, "--out", tmp_path).succeed()
    alone = local("label", *told)
    same_tables(tmp_path, alone, apart="label_comparison")
    # The classifiers: two workers' trees are not those of one.
    found, expected = (
        rows(out, "label_comparison").set_index(["against", "model", "measure"])["value"].sort_index()
        for out in (tmp_path, alone)
    )
    assert list(found.index) == list(expected.index)
    shares = found.index.get_level_values("measure") == "f1"
    assert shares.sum() == 4
    pd.testing.assert_series_equal(found[shares], expected[shares], rtol=0, atol=NEAR)


def test_the_driver_is_killed_and_then_two_run_at_once(
    cluster: Cluster, world: Path, local: Callable[..., Path], tmp_path: Path
) -> None:
    told = (*DISCOVER, "--users", world / "users", "--events", world / "events")
    half = {"spark.cores.max": "1"}
    killed = cluster.submit("discover", *told, "--out", tmp_path, options=half)
    wait_for(lambda: has_rows(tmp_path, "moment_counts"), "row of moment_counts", WRITES_WITHIN)
    killed.kill()
    # Rows are left behind, and whoever asks `runs` sees none of them.
    assert len(rows(tmp_path, "moment_counts")) > 0
    assert len(rows(tmp_path, "runs")) == 0
    left = run_ids(tmp_path, "attempts")

    both = [cluster.submit("discover", *told, "--out", tmp_path, options=half) for _ in range(2)]
    statuses = [driver.status() for driver in both]
    # Both began before either was published: the second one is told so, and takes its rows back.
    assert sorted(statuses) == [0, ERROR], [driver.said[-3_000:] for driver in both]
    refused = both[statuses.index(ERROR)].said
    assert "no other run of discover may be published" in refused.lower(), refused[-6_000:]
    published = run_ids(tmp_path, "runs")
    assert len(published) == 1
    assert len(run_ids(tmp_path, "attempts") | left) == 3
    same_tables(tmp_path, local("discover", *told))
    assert all(run_ids(tmp_path, name) <= published for name in tables(tmp_path))
    assert (tmp_path / "discover.html").exists()
