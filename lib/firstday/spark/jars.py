"""The jars that Spark needs beside its own: which they are and where they lie."""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from firstday.errors import FirstdayError

SYNAPSEML = "com.microsoft.azure:synapseml-lightgbm_2.12:1.1.3"  # Maven Central has none for Scala 2.13


@dataclass(frozen=True)
class Line:
    """What a line of Spark needs. coordinates: at Maven Central. excludes: of their dependencies, what Spark
    ships itself, as a second copy of another version would break it.
    """

    coordinates: tuple[str, ...]
    excludes: tuple[str, ...]


# Of SynapseML's dependencies.
SHIPPED = (
    "org.apache.spark:spark-tags_2.12",
    "org.scala-lang:scala-reflect",
    "org.scala-lang:scala-library",
    "org.scalactic:scalactic_2.12",
    "org.scalatest:scalatest_2.12",
    "com.fasterxml.jackson.core:jackson-databind",
    "org.slf4j:slf4j-api",
)
LINES = {
    "3.5": Line(("io.delta:delta-spark_2.12:3.3.3", SYNAPSEML), SHIPPED),
    # Of Delta's dependencies all but its own and Unity Catalog's.
    "4.1": Line(
        ("io.delta:delta-spark_4.1_2.13:4.3.1",),
        ("com.*:*", "commons-*:*", "io.airlift:*", "javax.*:*", "org.*:*"),
    ),
}


def line() -> Line:
    """What the installed pyspark needs; FirstdayError where no release of Delta Lake was tried with it."""
    installed_spark = version("pyspark")
    known = LINES.get(".".join(installed_spark.split(".")[:2]))
    if known is None:
        raise FirstdayError(
            f"pyspark must be of {' or '.join(LINES)} to get its jars here",
            value=installed_spark,
            next_step="run make install, or make install SPARK=4",
        )
    return known


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
