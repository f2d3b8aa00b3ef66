"""A whole run: what it records, what a killed one leaves, and two at once."""

import threading
from pathlib import Path

import deltalake
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from pyspark.sql import SparkSession

from firstday.errors import ConflictError
from firstday.tables import Output, read_published
from tests.jobs.small import TABLES, Collected, Log, brute_force, counted, published, run, same_results
from tests.tables.memory import Killed

ASKED = {"days": (1, 3), "quick": True}


@pytest.fixture(scope="module")
def clean(small: Log, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one clean run leaves."""
    out = tmp_path_factory.mktemp("clean") / "out"
    run(small, out, "clean", **ASKED)
    return out


def tracked(store: str, run_id: str) -> tuple[MlflowClient, Run]:
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("firstday")
    assert experiment is not None
    [found] = client.search_runs([experiment.experiment_id], f"tags.`firstday.run_id` = '{run_id}'")
    return client, found


def run_ids(out: Path, name: str) -> set[str]:
    """Of all rows of a table, as a reader sees them that does not ask for the published run."""
    rows = deltalake.DeltaTable(str(out / name)).to_pyarrow_table(columns=["run_id"])
    return set(rows["run_id"].to_pylist())


def test_killed_before_publishing_and_run_again_it_leaves_what_a_clean_run_leaves(
    small: Log,
    clean: Path,
    spark: SparkSession,
    tracking_store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed("the machine went away")

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Output, "publish", killed)
        patch.setattr(Output, "discard", lambda self: None)
        with pytest.raises(Killed):
            run(small, out, "killed", **ASKED)
    assert run_ids(out, "moments") == {"killed"}  # it had got that far
    assert not (out / "report.html").exists()
    assert tracked(tracking_store, "killed")[1].data.tags["failure_reason"] == "Killed: the machine went away"
    run(small, out, "again", **ASKED)
    same_results(spark, out, clean)
    for name in TABLES:
        assert run_ids(out, name) == {"again"}, name
    assert (out / "report.html").is_file()


def test_of_two_runs_at_once_one_is_published_whole(
    small: Log, clean: Path, spark: SparkSession, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refused: list[BaseException] = []

    def work(run_id: str) -> None:
        try:
            run(small, out, run_id, **ASKED)
        except ConflictError as error:
            refused.append(error)

    threads = [threading.Thread(target=work, args=(run_id,)) for run_id in ("x", "y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = deltalake.DeltaTable(str(out / "runs")).to_pyarrow_table().to_pylist()
    assert len(runs) + len(refused) == 2
    assert runs
    same_results(spark, out, clean)
    for name in TABLES:
        assert len(run_ids(out, name)) == 1, name


def test_a_run_is_recorded_in_mlflow(clean: Path, spark: SparkSession, tracking_store: str) -> None:
    client, found = tracked(tracking_store, "clean")
    assert found.info.status == "FINISHED"
    assert found.data.params["days"] == "[1, 3]"
    assert "fingerprint" in found.data.tags["input.events.version"]
    rows = read_published(spark, str(clean), "moments").count()
    assert found.data.metrics["rows_moments"] == rows
    assert found.data.metrics["users"] == 150
    hypothesis = published(spark, clean, "hypotheses").iloc[0]
    assert found.data.tags["verdict"] == hypothesis["verdict"]
    names = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert {"report.html", "settings.json"} <= names
    assert "clean" in (clean / "report.html").read_text()  # its run_id


def test_listed_thresholds_returns_and_horizon_equal_brute_force(
    small: Log, collected: Collected, tmp_path: Path
) -> None:
    horizon = small.events["occurred_at"].quantile(0.7)
    told = {"thresholds": (1, 2, 5), "return_actions": ("browse", "like")}
    run(small, tmp_path, "asked", days=(1, 3), quick=True, horizon=horizon, **told)
    expected = brute_force(
        *(small, (), (1, 3), 5), horizon=horizon, thresholds=(1, 2, 5), returns=("browse", "like")
    )
    assert counted(collected.rows("moments")) == expected
