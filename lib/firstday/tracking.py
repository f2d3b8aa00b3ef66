"""Each run of a job is an MLflow run: settings, inputs and their versions, metrics, figures, report, outcome.

The only module that imports MLflow, and only when a run starts. The store is what MLFLOW_TRACKING_URI or the
platform says, otherwise an SQLite database in the user's data folder, with the artifacts beside it.
"""

import fcntl
import json
import logging
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from firstday.errors import FirstdayError, reason
from firstday.redact import redacted, redacted_values

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

# MLflow reads these; what the environment says already, stands.
QUIET = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a job on private logs calls nobody but its store
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # 14 s of a store that does not answer, where MLflow waits 4 min
}
NOISY = ("mlflow", "alembic", "sqlalchemy")
SQLITE = "sqlite:///"
LONGEST_PARAM = 500
LONGEST_TAG = 2_000
BATCH = 100  # of the kinds of values, the one that MLflow takes fewest of at a time
NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")


class Opened(Protocol):
    """What is recorded of an input; `firstday.tables.Input` is one."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def version(self) -> str: ...


@dataclass(frozen=True)
class Registered:
    """A registered LightGBM model: its version, its own text, and a text that its run logged beside it."""

    version: str
    native: str
    encoding: str


class TrackedRun:
    """One MLflow run that is under way."""

    def __init__(self, client: "MlflowClient", mlflow_run_id: str) -> None:
        self._client = client
        self.mlflow_run_id = mlflow_run_id

    def log_inputs(self, inputs: Iterable[Opened]) -> None:
        """Where each input is, its format, and its Delta version or its files' fingerprint."""
        for item in inputs:
            tags = {"source": item.source, "format": item.format, "version": item.version}
            self.set_tags({f"input.{item.name}.{key}": value for key, value in tags.items()})

    def log_metrics(self, metrics: Mapping[str, float | None]) -> None:
        """Numbers by name; None is left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [
            Metric(_name(key), float(value), now, 0) for key, value in metrics.items() if value is not None
        ]
        for start in range(0, len(entries), BATCH):
            self._client.log_batch(self.mlflow_run_id, metrics=entries[start : start + BATCH])

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Texts as they are but for secrets, anything else as JSON; what is too long is cut, and says so."""
        from mlflow.entities import Param

        values = redacted_values(params)
        entries = [Param(_name(key), _cut(_text(value), LONGEST_PARAM)) for key, value in values.items()]
        for start in range(0, len(entries), BATCH):
            self._client.log_batch(self.mlflow_run_id, params=entries[start : start + BATCH])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        for name, value in tags.items():
            self._client.set_tag(self.mlflow_run_id, _name(name), _cut(redacted(str(value)), LONGEST_TAG))

    def log_text(self, name: str, text: str) -> None:
        self._client.log_text(self.mlflow_run_id, text, name)

    def log_report(self, name: str, html: str) -> None:
        self.log_text(name, html)

    def log_booster(self, native: str, example: "pd.DataFrame", name: str, *aliases: str) -> str:
        """Log a LightGBM model, from its own text, with the signature of `example` (features by name), and
        register it under `name` with these aliases. Returns the registered version.
        """
        import mlflow.lightgbm
        from lightgbm import Booster
        from mlflow.exceptions import MlflowException
        from mlflow.models import infer_signature

        booster = Booster(model_str=native)
        signature = infer_signature(example, booster.predict(example.to_numpy(float)))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            mlflow.lightgbm.save_model(
                booster, path, signature=signature, input_example=example, pip_requirements=["lightgbm"]
            )
            self._client.log_artifacts(self.mlflow_run_id, str(path), "model")
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"runs:/{self.mlflow_run_id}/model"
        version = self._client.create_model_version(name, source, self.mlflow_run_id).version
        for alias in aliases:
            self._client.set_registered_model_alias(name, alias, version)
        return str(version)

    def mark_failed(self, error: BaseException) -> None:
        """End the run as failed, or as killed by an interruption, with the reason."""
        status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        try:
            self.set_tags({"failure_reason": reason(error)})
            self._client.set_terminated(self.mlflow_run_id, status)
        except Exception as failure:  # noqa: BLE001 - the job's own error is the one to tell
            error.add_note(f"MLflow could not be told that the run has failed: {reason(failure)}")

    def log_figure(self, name: str, png: bytes) -> None:
        """A PNG, in the run's folder `figures`."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / _name(name).replace("/", "_")
            file.write_bytes(png)
            self._client.log_artifact(self.mlflow_run_id, str(file), "figures")


def registered(name: str, alias: str, file: str) -> Registered | None:
    """The version of a registered LightGBM model that has this alias; None where there is none. `file`: a
    text that its run logged.

    Raises FirstdayError where the registry cannot be reached, or what it names is not there.
    """
    from mlflow.exceptions import MlflowException

    client = _client()
    try:
        found = client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise _unreachable(name, error) from error
    except Exception as error:
        raise _unreachable(name, error) from error
    try:
        with tempfile.TemporaryDirectory() as folder:
            native, encoding = (
                Path(client.download_artifacts(str(found.run_id), path, folder)).read_text()
                for path in ("model/model.lgb", file)
            )
    except Exception as error:
        raise _unreachable(name, error) from error
    return Registered(str(found.version), native, encoding)


_store: str | None = None  # that the latest run was recorded in


def how_to_open() -> str | None:
    """A command, or an address, to look at the store of this process's latest run; None without a run."""
    if _store is None or _store.startswith("databricks"):
        return None
    if _store.startswith("http"):
        return _store
    program = Path(sys.executable).with_name("mlflow")
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return shlex.join([str(program) if program.exists() else "mlflow", "ui", "--backend-store-uri", _store])


@contextmanager
def tracked_run(
    experiment: str, job: str, *, run_id: str, settings: Mapping[str, Any]
) -> Iterator[TrackedRun]:
    """An MLflow run named after the job. It ends FINISHED; an error makes it FAILED, an interruption KILLED,
    with the reason in the tag `failure_reason`, and goes on.

    Raises FirstdayError, before any work is done, when the store does not take the run.
    """
    global _store
    try:
        client = _client()
        _store = str(client.tracking_uri)
        run = client.create_run(
            _experiment(client, experiment),
            run_name=f"{job} {run_id}",
            tags={"firstday.run_id": run_id, "job": job},
        )
        tracked = TrackedRun(client, run.info.run_id)
        tracked.log_params(settings)
        kept = json.dumps(redacted_values(settings), indent=2, ensure_ascii=False, default=str)
        tracked.log_text("settings.json", kept)
    except Exception as error:
        raise FirstdayError(
            f"the MLflow store must take a run of experiment {experiment!r} ({reason(error)})",
            next_step=_way_on(str(error), experiment),
        ) from error
    try:
        yield tracked
    except BaseException as error:
        tracked.mark_failed(error)
        raise
    client.set_terminated(tracked.mlflow_run_id, "FINISHED")


def _way_on(message: str, experiment: str) -> str:
    """What to do where the store takes no run."""
    if re.search(r"(?i)deleted", message):
        return (
            f"restore the experiment {experiment} (mlflow experiments search --view deleted_only shows its "
            "ID, mlflow experiments restore -x ID brings it back), or name another with --experiment-name"
        )
    if re.search(r"(?i)out-of-date database schema|mlflow db upgrade|Can't locate revision", message):
        return (
            "the store is of another version of MLflow: bring it to this one with mlflow db upgrade "
            "(make a copy first), or name another store with MLFLOW_TRACKING_URI"
        )
    return "check MLFLOW_TRACKING_URI; without it, runs are kept in your data folder"


def _unreachable(name: str, error: Exception) -> FirstdayError:
    return FirstdayError(
        f"the registry must give its model {name!r} ({reason(error)})",
        next_step="check MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI, or name another --registered-model",
    )


def _client() -> "MlflowClient":
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient
    from mlflow.tracking import is_tracking_uri_set

    for name in NOISY:  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.ERROR)
    if is_tracking_uri_set() or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return MlflowClient()
    home = _home()
    # The first use makes the database's tables, which takes a second: other processes wait until it is done.
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return MlflowClient(f"{SQLITE}{home / 'mlflow.db'}")


def _experiment(client: "MlflowClient", name: str) -> str:
    """The experiment of this name, created where there is none."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    if not client.tracking_uri.startswith(SQLITE):
        return str(client.create_experiment(name))
    # MLflow alone would put the artifacts into the folder that the job happens to run in.
    beside = Path(client.tracking_uri.removeprefix(SQLITE)).absolute().parent / "artifacts"
    return str(client.create_experiment(name, artifact_location=beside.as_uri()))


def _home() -> Path:
    """The user's folder for our data (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    folder = Path(base).absolute() / "firstday"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _name(text: str) -> str:
    """MLflow takes few characters in names."""
    return NOT_IN_NAMES.sub("_", text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    ending = f"… ({len(text):,} characters)"
    return text[: limit - len(ending)] + ending
