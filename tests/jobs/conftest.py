"""Where the tests of the jobs keep MLflow's runs, and the small log that several of them use."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.jobs.measured import Files
from tests.jobs.small import Collected, Log, made


@pytest.fixture(scope="session", autouse=True)
def tracking_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a store of its own: tests leave nothing in the user's."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield f"sqlite:///{folder / 'firstday' / 'mlflow.db'}"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A small log as files."""
    return made(users=150, dates=16).saved(Path(tmp_path_factory.mktemp("small")))


@pytest.fixture
def ansi(spark: SparkSession) -> Iterator[None]:
    """ANSI mode, which is Spark 4's default, on every line of Spark: one test of each job has it."""
    before = spark.conf.get("spark.sql.ansi.enabled")
    spark.conf.set("spark.sql.ansi.enabled", "true")
    yield
    spark.conf.set("spark.sql.ansi.enabled", str(before))


@pytest.fixture
def collected(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Collected:
    """Where a run's tables go instead of Delta, wherever they should go."""
    store = Collected(spark)
    monkeypatch.setattr("firstday.tables.write.Store", lambda spark, out: store)
    return store


@pytest.fixture
def collected_by_place(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, Collected]:
    """The same, one store for each --out."""
    stores: dict[str, Collected] = defaultdict(lambda: Collected(spark))
    monkeypatch.setattr("firstday.tables.write.Store", lambda spark, out: stores[out])
    return stores


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """What `firstday measure` reads."""
    return Files(tmp_path)
