"""One Spark session for all tests, the real data where it is present, and Hypothesis' profile."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from firstday import logs
from firstday.spark import jars, session
from firstday.spark.local_rows import local_rows

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"

# Spark's first job takes seconds: a deadline would test the machine. Derandomised: a red run can be repeated.
settings.register_profile(
    "firstday", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("firstday")


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
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Local mode as shipped, made quick for small data: one partition, no adaptive plans, the C1 compiler."""
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
    spark = session.start_local(conf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SparkSession, "createDataFrame", _from_list(SparkSession.createDataFrame))
        yield spark
    spark.stop()


def _from_list(create: Callable[..., DataFrame]) -> Callable[..., DataFrame]:
    """createDataFrame as `local_rows` does it: a tenth of the time, and tests make many."""

    def created(spark: SparkSession, data: Any, schema: Any = None, **others: Any) -> DataFrame:
        rows = data if isinstance(data, list) and isinstance(schema, str | StructType) and not others else []
        if not rows or not all(isinstance(row, tuple | list) and all(map(_is_same, row)) for row in rows):
            return create(spark, data, schema, **others)
        return local_rows(spark, rows, schema)

    return created


def _is_same(value: Any) -> bool:
    """Whether Arrow hands it on as a list does: there NaN is null, and a time without a zone is in UTC."""
    if isinstance(value, tuple | list):
        return all(map(_is_same, value))
    if isinstance(value, datetime):
        return value.tzinfo is not None
    return not (isinstance(value, float) and value != value)
