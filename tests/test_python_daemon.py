"""Spark's Python workers of local mode, which do less between two tasks."""

import gc
import sys
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from firstday.spark.python_daemon import SPARKS_OWN, without_archives


def _told(spark: SparkSession) -> tuple[list[str], int, str]:
    """Spark's archives that a worker has open, how many objects its search for garbage passes over, and where
    its pyspark is.
    """

    def told(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        import pyspark

        for _ in batches:
            opened = [[name for name in sys.path_importer_cache if name.endswith((".jar", SPARKS_OWN))]]
            row = {"archives": opened, "frozen": [gc.get_freeze_count()], "pyspark": [pyspark.__file__]}
            yield pa.RecordBatch.from_pydict(row)

    rows = spark.range(1).coalesce(1).mapInArrow(told, "archives array<string>, frozen long, pyspark string")
    (found,) = rows.collect()  # to the end: a worker that is left before is not used again
    return found["archives"], found["frozen"], found["pyspark"]


def test_a_worker_reads_no_archive_and_searches_no_module_between_tasks(spark: SparkSession) -> None:
    _told(spark)  # a worker imports what it needs
    archives, frozen, pyspark = _told(spark)
    assert not archives
    assert frozen > 10_000
    assert Path(pyspark).is_file()  # in no archive


def test_without_an_installed_pyspark_the_path_stays(tmp_path: Path) -> None:
    archives = ["/spark/python/lib/pyspark.zip", "/spark/jars/spark-core.jar"]
    assert without_archives([*archives, str(tmp_path)]) == [*archives, str(tmp_path)]
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark" / "__init__.py").touch()
    assert without_archives([*archives, str(tmp_path)]) == [str(tmp_path)]
