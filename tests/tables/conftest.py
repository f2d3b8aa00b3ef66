"""An output's two kinds of place."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession


@pytest.fixture(params=["folder", "schema"])
def out(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Iterator[str]:
    """A folder with an odd name, and a schema of the catalog."""
    if request.param == "folder":
        yield str(tmp_path / "out [1] é")
        return
    spark.sql("CREATE DATABASE output_test")
    yield "spark_catalog.output_test"
    spark.sql("DROP DATABASE output_test CASCADE")
