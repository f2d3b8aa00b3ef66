"""A whole run: what it records, and what a killed one leaves."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from pyspark.sql import SparkSession

from firstday.tables import Output
from tests.jobs.small import TABLES, Collected, Log, brute_force, counted, published, run
from tests.tables.independent import run_ids
from tests.tables.memory import Killed

ASKED = {"days": (1, 3), "quick": True}


@pytest.fixture(scope="module")
def again(small: Log, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is there after a run that was killed before it published, and another one."""
    out = tmp_path_factory.mktemp("again") / "out"

    def killed(*_: object, **__: object) -> None:
        raise Killed("the machine went away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Output, "publish", killed)
        patch.setattr(Output, "discard", lambda self: None)
        with pytest.raises(Killed):
            run(small, out, "killed", **ASKED)
    assert run_ids(out, "moments") == {"killed"}  # it had got that far
    assert not (out / "discover.html").exists()
    run(small, out, "again", **ASKED)
    return out


def tracked(store: str, run_id: str) -> tuple[MlflowClient, Run]:
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("firstday")
    assert experiment is not None
    [found] = client.search_runs([experiment.experiment_id], f"tags.`firstday.run_id` = '{run_id}'")
    return client, found


def test_of_a_killed_run_nothing_is_left_but_why(again: Path, tracking_store: str) -> None:
    """That the rows are a clean run's, and what two runs at once leave, is shown with processes, on the
    cluster: tests/cluster/test_faults.py.
    """
    _, killed = tracked(tracking_store, "killed")
    assert killed.info.status == "FAILED"
    assert killed.data.tags["failure_reason"] == "Killed: the machine went away"
    for name in TABLES:
        assert run_ids(again, name) <= {"again"}, name
    assert run_ids(again, "moments") == run_ids(again, "hypotheses") == {"again"}


def test_a_run_is_recorded_in_mlflow(again: Path, tracking_store: str) -> None:
    client, found = tracked(tracking_store, "again")
    assert found.info.status == "FINISHED"
    assert found.data.params["days"] == "[1, 3]"
    assert "fingerprint" in found.data.tags["input.events.version"]
    assert found.data.metrics["rows_moments"] == len(published(again, "moments"))
    assert found.data.metrics["users"] == 150
    hypothesis = published(again, "hypotheses").iloc[0]
    assert found.data.tags["verdict"] == hypothesis["verdict"]
    names = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert {"discover.html", "settings.json"} <= names
    assert "run again" in (again / "discover.html").read_text()


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
