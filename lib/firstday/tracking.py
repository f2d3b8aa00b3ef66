"""Each run of a job is an MLflow run: settings, inputs and their versions, metrics, figures, report, outcome.

The only module that imports MLflow, and only when a run starts. Without MLFLOW_TRACKING_URI runs are kept in
an SQLite database in the user's data folder.
"""

import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstday.errors import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from firstday.tables.read import Input

LONGEST_PARAM = 500
NOISY = ("mlflow", "alembic", "sqlalchemy")


class TrackedRun:
    """One MLflow run that is under way."""

    def __init__(self, client: "MlflowClient", mlflow_run_id: str) -> None:
        self._client = client
        self.mlflow_run_id = mlflow_run_id

    def log_inputs(self, inputs: Iterable["Input"]) -> None:
        """Where each input is, its format, and its Delta version or its files' fingerprint."""
        for item in inputs:
            told = {"source": item.source, "format": item.format, "version": item.version}
            self.set_tags({f"input.{item.name}.{key}": value for key, value in told.items()})

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._client.log_metric(self.mlflow_run_id, name, float(value))

    def log_params(self, params: Mapping[str, Any]) -> None:
        for name, value in params.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            self._client.log_param(self.mlflow_run_id, name, text[:LONGEST_PARAM])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        for name, value in tags.items():
            self._client.set_tag(self.mlflow_run_id, name, str(value))

    def log_report(self, name: str, html: str) -> None:
        self._client.log_text(self.mlflow_run_id, html, name)

    def log_figure(self, name: str, png: bytes) -> None:
        """A PNG, in the run's folder `figures`."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_bytes(png)
            self._client.log_artifact(self.mlflow_run_id, str(file), "figures")


@contextmanager
def tracked_run(
    experiment: str, job: str, *, run_id: str, settings: Mapping[str, Any]
) -> Iterator[TrackedRun]:
    """An MLflow run named after the job. It ends FINISHED; an error makes it FAILED, an interruption KILLED,
    with the reason in the tag `failure_reason`, and goes on.
    """
    client = _client()
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else _create(client, experiment)
    run = client.create_run(
        experiment_id, run_name=f"{job} {run_id}", tags={"firstday.run_id": run_id, "job": job}
    )
    tracked = TrackedRun(client, run.info.run_id)
    try:
        tracked.log_params(settings)
        yield tracked
    except BaseException as error:
        tracked.set_tags({"failure_reason": reason(error)})
        killed = isinstance(error, KeyboardInterrupt)
        client.set_terminated(tracked.mlflow_run_id, "KILLED" if killed else "FAILED")
        raise
    client.set_terminated(tracked.mlflow_run_id, "FINISHED")


def _client() -> "MlflowClient":
    from mlflow import MlflowClient

    for name in NOISY:  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_home() / 'mlflow.db'}")


def _create(client: "MlflowClient", experiment: str) -> str:
    """A new experiment; beside the local database its artifacts, elsewhere where the server keeps them."""
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    return str(client.create_experiment(experiment, (_home() / "artifacts").as_uri() if local else None))


def _home() -> Path:
    """The user's folder for our data (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    folder = Path(base) / "firstday"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
