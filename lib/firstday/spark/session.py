"""Get a Spark session. Only local mode is configured here; spark-submit or Databricks brings its own."""

import atexit
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from firstday import logs
from firstday.errors import FirstdayError, reason
from firstday.spark import jars, java

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

GLOBAL_VIEWS = "spark.sql.globalTempDatabase"
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
STACK = "-Xss8m"  # tasks of ALS carry a lineage as deep as its iterations, which is read by recursion
HEAP_SHARE = (
    0.4  # of the machine's memory; Python workers, the off-heap buffers and the file cache need the rest
)
HEAP_LIMITS_MB = (1_024, 16_384)
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")  # where Linux says whether it has them
JAVA_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")  # that every Java here gets
COLLECTOR = re.compile(r"-XX:\+Use\w+GC\b")
PAGES = re.compile(r"-XX:[+-]Use\w*(Huge|Large)Pages\b")
YOUNG_MB_A_CORE = 256  # for what tasks throw away; more only takes memory from Python and the file cache


def get_session(app_name: str, local_cores: str = "*", packages: str | None = None) -> "SparkSession":
    """The session to work in.

    One that is active already, or that spark-submit or Databricks provides, is used as it is, in UTC; it must
    have Delta Lake. Otherwise Spark starts here, in local mode on `local_cores` cores.
    packages: Maven coordinates to fetch as it starts here.
    Raises FirstdayError where Java, the jars, the packages or Delta Lake are missing.
    """
    from pyspark.sql import SparkSession

    if SparkSession.getActiveSession() is None and not launched_outside():
        with logs.step("Starting Spark"):
            return start_local(local_conf(app_name, local_cores), packages)
    builder = SparkSession.builder
    # A managed cluster made its session before us: it is taken, and nothing of it is configured.
    spark = (builder if on_databricks() else builder.appName(app_name)).getOrCreate()
    extensions = spark.conf.get("spark.sql.extensions", "") or ""
    if not on_databricks() and DELTA["spark.sql.extensions"] not in extensions:
        raise FirstdayError(
            "the Spark session must have Delta Lake",
            value=f"spark.sql.extensions={extensions}",
            next_step="give spark-submit the options of conf/spark-defaults.conf (--properties-file)",
        )
    spark.conf.set("spark.sql.session.timeZone", "UTC")  # of the session, not of the cluster
    return spark


def session(app_name: str = "firstday", cores: str = "*") -> "SparkSession":
    """The session that is active, as it is; without one, what `get_session` starts."""
    from pyspark.sql import SparkSession

    return SparkSession.getActiveSession() or get_session(app_name, cores)


# What our own session is set to, whatever the caller's is: results are not to depend on these.
OWN = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.caseSensitive": "false",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
REDACTED = "*********(redacted)"


def own_session(spark: "SparkSession") -> "SparkSession":
    """A session beside `spark`, on the same cluster and catalog, with its settings but for OWN.

    Settings are of a session, and a lazy table is read with those of the session that made it.
    """
    own = spark.newSession()
    theirs = {row["key"]: row["value"] for row in spark.sql("SET").collect()}
    ours = {row["key"]: row["value"] for row in own.sql("SET").collect()}
    for key, value in ({**theirs, **OWN}).items():
        if ours.get(key) != value and value != REDACTED and own.conf.isModifiable(key):
            own.conf.set(key, value)
    own.catalog.setCurrentCatalog(spark.catalog.currentCatalog())
    own.catalog.setCurrentDatabase(spark.catalog.currentDatabase())
    return own


def in_session(frame: "DataFrame", own: "SparkSession") -> "DataFrame":
    """The same rows as a DataFrame of another session: a view that all sessions see hands the plan over."""
    name = f"firstday_{uuid.uuid4().hex}"
    frame.createGlobalTempView(name)
    try:
        return own.table(f"{own.conf.get(GLOBAL_VIEWS)}.{name}")
    finally:
        own.catalog.dropGlobalTempView(name)


def is_running() -> bool:
    """Whether Spark runs in this process."""
    from pyspark import SparkContext

    return SparkContext._active_spark_context is not None


def temporary_view(spark: "SparkSession", name: str) -> "DataFrame | None":
    """The view of this name that only this session knows; None where there is none."""
    if not name.isidentifier() or not spark.catalog.tableExists(name):
        return None
    return spark.table(name) if spark.catalog.getTable(name).isTemporary else None


def start_local(conf: dict[str, str], packages: str | None = None) -> "SparkSession":
    """Start Spark in this process with `conf`, as `local_conf` makes it, and with further `packages`."""
    os.environ["JAVA_HOME"] = str(java.require())
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    if packages:
        excludes = ",".join(shipped.replace("_2.12", "_*") for shipped in jars.SHIPPED)
        conf = conf | {"spark.jars.packages": packages, "spark.jars.excludes": excludes}
    builder = SparkSession.builder
    for key, value in conf.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except PySparkRuntimeError as error:
        if not packages:
            raise
        raise FirstdayError(
            f"Spark must be able to fetch its packages ({reason(error)})",
            value=packages,
            next_step="read Ivy's report above; DEFAULT_ARTIFACT_REPOSITORY may name their repository",
        ) from error


def local_conf(app_name: str, cores: str = "*") -> dict[str, str]:
    """Spark's options for local mode: the installed jars, Delta Lake, quiet, no port open to the network."""
    parallel = os.cpu_count() or 1 if cores == "*" else int(cores)
    log4j = f'"-Dlog4j2.configurationFile={log_configuration().as_uri()}"'
    java_options = [STACK, *_collector(parallel), *_large_pages(), log4j]
    warehouse = tempfile.mkdtemp(prefix="firstday-warehouse-")
    atexit.register(shutil.rmtree, warehouse, ignore_errors=True)
    return {
        "spark.app.name": app_name,
        "spark.master": f"local[{cores}]",
        "spark.jars": ",".join(str(jar) for jar in jars.installed()),
        **DELTA,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.driver.memory": f"{heap_mb()}m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": " ".join(java_options),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Each query's plan is described for the interface, which is off; formatted, that takes longest.
        "spark.sql.ui.explainMode": "simple",
        "spark.sql.warehouse.dir": warehouse,
        # Adaptive execution joins small partitions, but does not split: a few a core even out unequal ones.
        "spark.sql.shuffle.partitions": str(4 * parallel),
        # Local tables' logs are short: the default of 50 partitions costs more than it gives.
        "spark.databricks.delta.snapshotPartitions": "2",
        # For the list of files in a new table's checksum, which no query reads, Delta runs a job.
        "spark.databricks.delta.allFilesInCrc.enabled": "false",
        # VACUUM lists folders in as many tasks as this says: 10,000 of them, unless told otherwise.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(4 * parallel),
        # Java compiles no method above 8,000 bytes: a longer one is interpreted, row by row.
        "spark.sql.codegen.hugeMethodLimit": "8000",
        # What was compiled for a plan serves the next one of its kind; the default keeps 100 of them.
        "spark.sql.codegen.cache.maxEntries": "2000",
        # A run has one run_id to partition by: rows need not be sorted by it to be written.
        "spark.sql.maxConcurrentOutputFileWriters": "8",
        # Our tables are read whole, by run_id: least and greatest values of columns cost a third of a write.
        "spark.databricks.delta.stats.collect": "false",
        # Without them Delta 4.3 fails where a DELETE would only mark rows: files are written anew.
        "spark.databricks.delta.delete.deletionVectors.persistent": "false",
    }


def leave(status: int) -> None:
    """End the JVM that spark-submit started, and this process with it: after a fit, LightGBM leaves threads
    that would keep it. Nothing is done elsewhere: Databricks' JVM is not ours, a local one ends by itself.
    """
    from pyspark.sql import SparkSession

    spark = SparkSession.getActiveSession()
    if spark is None or on_databricks() or "PYSPARK_GATEWAY_PORT" not in os.environ:
        return
    jvm = spark.sparkContext._jvm
    spark.stop()
    if jvm is not None:
        jvm.java.lang.System.exit(status)


@contextmanager
def leaving() -> Iterator[None]:
    """`leave` after the block, with the exit status that it ends with."""
    status = 1
    try:
        yield
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
        raise
    finally:
        leave(status)


def heap_mb() -> int:
    """Megabytes for the driver, which in local mode does all the work."""
    low, high = HEAP_LIMITS_MB
    return max(low, min(high, int(HEAP_SHARE * _memory_bytes() / 2**20)))


def _collector(cores: int) -> list[str]:
    """Java's default collector lets garbage fill the heap: half as much memory again, and no faster.

    None where the environment has chosen one: Java does not start with two.
    """
    if _environment_says(COLLECTOR):
        return []
    return ["-XX:+UseParallelGC", f"-XX:MaxNewSize={min(YOUNG_MB_A_CORE * cores, heap_mb() // 3)}m"]


def _large_pages() -> list[str]:
    """Joins and dictionaries look values up all over the heap, where finding the page takes longest.

    None where Linux gives no such pages, of which Java would warn, or the environment has chosen.
    """
    offered = LARGE_PAGES.is_file() and "[never]" not in LARGE_PAGES.read_text()
    return ["-XX:+UseTransparentHugePages"] if offered and not _environment_says(PAGES) else []


def _environment_says(option: re.Pattern[str]) -> bool:
    return any(option.search(os.environ.get(name, "")) for name in JAVA_OPTIONS)


def log_configuration() -> Path:
    """Log4j's configuration for local mode: errors only, so that warnings do not drown the job's lines."""
    return Path(str(files("firstday.conf").joinpath("log4j2.properties")))


def on_databricks() -> bool:
    """Databricks sets its runtime's version in every driver's environment."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def launched_outside() -> bool:
    """spark-submit starts the JVM first and gives Python the port; Databricks says which runtime it is."""
    return "PYSPARK_GATEWAY_PORT" in os.environ or on_databricks()


def _memory_bytes() -> int:
    """The machine's memory, or the container's limit where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    for file in limits:
        text = file.read_text().strip() if file.is_file() else ""
        if text.isdigit():
            total = min(total, int(text))
    return total
