"""One Spark session for all tests, the real data where it is present, and Hypothesis' profile."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pyspark.sql import SparkSession

from firstday import logs
from firstday.spark import jars, java, session

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"

# Spark's first job takes seconds: a deadline would test the machine. Derandomised: a red run can be repeated.
settings.register_profile(
    "firstday", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("firstday")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--connect", action="store_true", help="on a local server of Spark Connect")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    without = {}
    if not REAL_DATA.is_dir():
        without["real_data"] = "no real data: the folder ../shared/data is absent"
    if not any("synapseml-lightgbm" in jar.name for jar in jars.installed()):
        without["synapseml"] = (
            "LightGBM is trained by SynapseML, of which Maven Central has no Scala 2.13 build"
        )
    for item in items:
        for marker, reason in without.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that use it carry the marker real_data."""
    return REAL_DATA


@pytest.fixture
def restored_logs() -> Iterator[None]:
    """Undo what `logs.configure` sets up for the process."""
    before = (logs.log.handlers, logs.log.propagate, logs.log.level, logs._live)
    yield
    logs.log.handlers, logs.log.propagate, logs.log.level, logs._live = before


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[SparkSession]:
    """Local mode as shipped, made quick for small data: one partition, no adaptive plans, the C1 compiler.
    With --connect a client of a server that is set up alike.
    """
    conf = session.local_conf("firstday-tests", cores="2")
    conf |= {
        "spark.driver.memory": "2g",
        # C1 alone has room for 48 MB of code; when that is full nothing more is compiled.
        "spark.driver.extraJavaOptions": conf["spark.driver.extraJavaOptions"]
        + " -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m",
        # For a few rows, compiling a plan takes longer than interpreting it; the benchmarks run compiled.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "1",
        "spark.buffer.pageSize": "1m",
        "spark.sql.adaptive.enabled": "false",
        "spark.local.dir": str(tmp_path_factory.mktemp("spark")),
    }
    spark = served(conf) if request.config.getoption("connect") else session.start_local(conf)
    yield spark
    spark.stop()


def served(conf: dict[str, str]) -> SparkSession:
    """A session of Spark Connect, whose server is started here."""
    os.environ["JAVA_HOME"] = str(java.require())
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder: Any = SparkSession.builder
    builder = builder.remote(conf["spark.master"])
    for key, value in conf.items():
        if key != "spark.master":
            builder = builder.config(key, value)
    spark: SparkSession = builder.getOrCreate()
    return spark
