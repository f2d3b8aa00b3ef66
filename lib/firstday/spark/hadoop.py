"""What only Hadoop's classes tell: a store's file system, and the footer of a Parquet file."""

import re
from typing import Any

from pyspark.sql import SparkSession

# A column in a Parquet schema's text, and whether its nanoseconds are adjusted to UTC.
INTEGER_COLUMN = (
    r"^  (?:optional|required) int64 (.+?)(?: \(TIMESTAMP\(NANOS,(true|false)\)\)| \(.*\))?(?: = \d+)?;$"
)
NANOSECONDS = {"true": "timestamp", "false": "timestamp_ntz"}


def file_system(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Hadoop's file system of a path, and the path as it takes it."""
    jvm: Any = spark._jvm
    found = jvm.org.apache.hadoop.fs.Path(path)
    return found.getFileSystem(spark._jsc.hadoopConfiguration()), found


def qualified(spark: SparkSession, path: str) -> str:
    """The absolute path, with its scheme."""
    files, found = file_system(spark, path)
    return str(files.makeQualified(found).toString())


def parquet_integers(spark: SparkSession, path: str) -> dict[str, str | None]:
    """The columns of a Parquet file that are 64-bit integers; of those that are nanoseconds since 1970 the
    type that they stand for. Only the footer is read: Spark itself does not tell the two apart.
    """
    jvm: Any = spark._jvm
    configuration = spark._jsc.hadoopConfiguration()
    file = jvm.org.apache.parquet.hadoop.util.HadoopInputFile.fromPath(
        jvm.org.apache.hadoop.fs.Path(jvm.java.net.URI(path)), configuration
    )
    reader = jvm.org.apache.parquet.hadoop.ParquetFileReader.open(file)
    try:
        schema = reader.getFooter().getFileMetaData().getSchema().toString()
    finally:
        reader.close()
    found = re.finditer(INTEGER_COLUMN, schema, re.MULTILINE)
    return {each[1]: None if each[2] is None else NANOSECONDS[each[2]] for each in found}
