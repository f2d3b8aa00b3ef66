"""The jars that Spark needs beside its own: which they are and where they lie."""

import sys
from pathlib import Path

from firstday.errors import FirstdayError

COORDINATES = (
    "io.delta:delta-spark_2.12:3.3.3",
    "com.microsoft.azure:synapseml-lightgbm_2.12:1.1.3",
)
# Spark ships these itself; a second copy of another version would break it.
EXCLUDES = (
    "org.apache.spark:spark-tags_2.12",
    "org.scala-lang:scala-reflect",
    "org.scala-lang:scala-library",
    "org.scalactic:scalactic_2.12",
    "org.scalatest:scalatest_2.12",
    "com.fasterxml.jackson.core:jackson-databind",
    "org.slf4j:slf4j-api",
)


def folder() -> Path:
    """The jar folder of this Python environment."""
    return Path(sys.prefix) / "share" / "firstday" / "jars"


def installed() -> list[Path]:
    """The jars, sorted; FirstdayError where they have not been fetched."""
    jars = sorted(folder().glob("*.jar"))
    if not any(jar.name.startswith("io.delta_delta-spark") for jar in jars):
        raise FirstdayError(
            "the jars of Delta Lake must lie in this environment's jar folder",
            value=str(folder()),
            next_step="run make install, or python -m firstday.spark.install",
        )
    return jars
