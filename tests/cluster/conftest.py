"""A cluster, a small world that a job on it has made, and the same jobs in local mode.

It takes minutes and starts other processes: `make test` leaves it out, `make cluster-test` asks for it.
"""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from firstday.cli import INTERRUPTED
from tests.cluster.standalone import REPOSITORY, Cluster
from tests.jobs.small import status

USERS, DATES, SEED = 800, 15, 5
HERE = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path == HERE or HERE in path.parents for path in asked) else True


@pytest.fixture(scope="session", autouse=True)
def tracking_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow's store, of drivers on the cluster too: tests leave nothing in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("mlflow")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Of a master and two workers, with the package of `make dist`."""
    packages = sorted((REPOSITORY / "dist").glob("firstday-*.zip"))
    assert packages, "no dist/firstday-*.zip: run make cluster-test, or make dist before"
    # What ends this process ends the others too: fixtures are left on a KeyboardInterrupt.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = tmp_path_factory.mktemp("cluster")
    package = Path(shutil.copy(packages[-1], folder))  # whatever becomes of dist/ meanwhile
    with Cluster(folder, package) as started:
        yield started
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of an app that all jobs can read, made on the cluster."""
    out = tmp_path_factory.mktemp("world")
    size = ("--users", USERS, "--dates", DATES, "--seed", SEED)
    # One core: of small jobs most of the time is the start of executors.
    cluster.submit(
        "simulate", "--world", "loop", *size, "--out", out, options={"spark.cores.max": "1"}
    ).succeed()
    return out


@pytest.fixture(scope="session")
def local(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Run a job in local mode, in this process; returns its output."""

    def run(job: str, *arguments: object) -> Path:
        out = tmp_path_factory.mktemp(f"local-{job}")
        ended = status([job, *arguments, "--out", out])
        if ended == INTERRUPTED:  # the command line has caught it, but the tests are to end, too
            raise KeyboardInterrupt
        assert ended == 0
        return out

    return run
