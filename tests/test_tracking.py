"""Runs in MLflow: what is recorded, where, and how a failure is told."""

import base64
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from firstday import tracking
from firstday.errors import DataError, FirstdayError
from firstday.tracking import tracked_run

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


@dataclass(frozen=True)
class Source:
    name: str
    source: str
    format: str
    version: str


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The default store, in a folder of the tests: one for all, since the first use makes its tables."""
    with pytest.MonkeyPatch.context() as patch:
        data = tmp_path_factory.mktemp("data home")
        patch.setenv("XDG_DATA_HOME", str(data))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield data / "firstday"


def found(store: Path, run_id: str) -> Run:
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    experiments = [item.experiment_id for item in client.search_experiments()]
    runs = client.search_runs(experiments, filter_string=f"tags.`firstday.run_id` = '{run_id}'")
    assert len(runs) == 1
    return runs[0]


def test_a_run_keeps_settings_inputs_metrics_figures_and_the_report(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {"out": "/x", "days": [1, 7], "since": None, "segments": ["é'\"😀" * 300]}
    settings |= {f"setting {number}": number for number in range(150)}
    with tracked_run("first day", "discover", run_id="r1", settings=settings) as run:
        run.log_inputs([Source("users", "/u'; DROP TABLE users", "delta", "Delta version 3")])
        run.log_metrics({"rows.users": 1897, "precision@like 'x'": 0.73, "undefined": None})
        run.set_tags({"verdict": "none", "reason": "long " * 1000})
        run.log_figure("trend/like.png", PNG)
        run.log_report("report.html", "<p>é</p>")
    kept = found(store, "r1")
    assert (kept.info.status, kept.info.run_name) == ("FINISHED", "discover r1")
    assert {key: kept.data.params[key] for key in ("out", "days", "since")} == {
        "out": "/x",
        "days": "[1, 7]",
        "since": "null",
    }
    assert len(kept.data.params) == len(settings)
    assert len(kept.data.params["segments"]) == 500
    assert kept.data.params["segments"].endswith("… (1,504 characters)")
    assert kept.data.metrics == {"rows.users": 1897, "precision_like _x_": 0.73}
    assert kept.data.tags["job"] == "discover"
    assert kept.data.tags["input.users.source"] == "/u'; DROP TABLE users"
    assert kept.data.tags["input.users.version"] == "Delta version 3"
    assert kept.data.tags["reason"].endswith("… (5,000 characters)")
    artifacts = store / "artifacts" / kept.info.run_id / "artifacts"
    assert json.loads((artifacts / "settings.json").read_text()) == settings
    assert (artifacts / "report.html").read_text() == "<p>é</p>"
    assert (artifacts / "figures" / "trend_like.png").read_bytes() == PNG
    assert list(tmp_path.iterdir()) == []  # nothing in the folder the job runs in
    assert capfd.readouterr() == ("", "")


def test_no_secret_is_kept(store: Path) -> None:
    settings = {
        "users": "s3a://id:Zq7rW2xY9vK4@bucket/users",
        "table": {"api_key": "Zq7rW2xY9vK4"},
        "seed": 7,
    }
    with tracked_run("first day", "discover", run_id="secret", settings=settings) as run:
        run.log_inputs([Source("users", "https://host/users?sv=1&sig=Zq7rW2xY9vK4", "csv", "1")])
    kept = found(store, "secret")
    artifacts = store / "artifacts" / kept.info.run_id / "artifacts"
    told = f"{kept.data.params} {kept.data.tags} {(artifacts / 'settings.json').read_text()}"
    assert "Zq7r" not in told
    assert told.count("***") == 5
    assert kept.data.params["seed"] == "7"


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (DataError("rows must be good", value=3), "FAILED", "Rows must be good. Got: 3."),
        (ZeroDivisionError("by zero"), "FAILED", "ZeroDivisionError: by zero"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt"),
    ],
)
def test_a_failure_is_told_with_its_reason(store: Path, error: BaseException, status: str, told: str) -> None:
    def fail() -> None:
        with tracked_run("first day", "discover", run_id=told, settings={}):
            raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert raised.value is error
    kept = found(store, told)
    assert (kept.info.status, kept.data.tags["failure_reason"]) == (status, told)


def test_a_booster_of_several_classes_is_registered_and_predicts_each(store: Path) -> None:
    draw = np.random.default_rng(1)
    features = pd.DataFrame(draw.normal(size=(200, 2)), columns=["a b", "c"])
    settings = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    labels = draw.integers(0, 3, 200)
    booster = lightgbm.train(settings, lightgbm.Dataset(features.to_numpy(), labels), num_boost_round=3)
    with tracked_run("first day", "label", run_id="r3", settings={}) as run:
        run.log_booster(booster.model_to_string(), features.head(5), "several", "challenger")
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    assert client.get_model_version_by_alias("several", "challenger").run_id == run.mlflow_run_id
    model = mlflow.pyfunc.load_model(client.download_artifacts(run.mlflow_run_id, "model"))
    assert model.metadata.signature.inputs.input_names() == ["a b", "c"]
    assert model.metadata.signature.outputs.inputs[0].shape == (-1, 3)
    np.testing.assert_allclose(model.predict(features), booster.predict(features.to_numpy()))


def test_a_store_that_fails_at_the_end_does_not_hide_the_error(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object) -> None:
        raise ConnectionError("store is away")

    def fail() -> None:
        with tracked_run("first day", "discover", run_id="r4", settings={}):
            monkeypatch.setattr(MlflowClient, "set_tag", away)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        fail()
    assert "store is away" in raised.value.__notes__[0]


def test_the_environment_names_another_store(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (store / "mlflow.db").read_bytes()
    other = tmp_path / "other.db"
    other.write_bytes(before)  # it has the tables, which take a second to make
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    with tracked_run("elsewhere", "discover", run_id="r5", settings={}) as run:
        pass
    assert (store / "mlflow.db").read_bytes() == before
    assert (tmp_path / "artifacts" / run.mlflow_run_id / "artifacts" / "settings.json").exists()


def test_a_store_that_cannot_be_reached_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")

    def never() -> None:
        with tracked_run("first day", "discover", run_id="r6", settings={}):
            raise AssertionError

    with pytest.raises(FirstdayError, match=r"MLflow store must take a run.*Check MLFLOW_TRACKING_URI"):
        never()


def test_how_to_look_at_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    stores = {None: None, "databricks": None, "https://runs.example": "https://runs.example"}
    for store, told in stores.items():
        monkeypatch.setattr(tracking, "_store", store)
        assert tracking.how_to_open() == told
    monkeypatch.setattr(tracking, "_store", "sqlite:////a folder/mlflow.db")
    command = shlex.split(tracking.how_to_open() or "")
    assert command[1:] == ["ui", "--backend-store-uri", "sqlite:////a folder/mlflow.db"]
    assert Path(command[0]).name == "mlflow"
