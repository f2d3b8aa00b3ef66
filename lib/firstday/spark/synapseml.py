"""Whether the session has SynapseML, which trains LightGBM on Spark, and what to say where it has not."""

from typing import Any

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from firstday.errors import FirstdayError
from firstday.spark import jars

LEARNER = "com.microsoft.azure.synapse.ml.lightgbm.LightGBMRegressor"
# By Spark's line. Those of Scala 2.13 are announced, but not on Maven Central (November 2026).
COORDINATES = {
    "3.5": jars.SYNAPSEML,
    "4.0": "com.microsoft.azure:synapseml-lightgbm_2.13:1.1.3-spark4.0",
    "4.1": "com.microsoft.azure:synapseml-lightgbm_2.13:1.1.3-spark4.1",
}


def available(spark: SparkSession) -> bool:
    """Whether the session can train and score by SynapseML: its jars, and its Python classes."""
    jvm: Any = getattr(spark, "_jvm", None)  # Spark Connect has none
    if jvm is None:
        return False
    try:
        jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass(LEARNER)
        import synapse.ml.lightgbm  # noqa: F401 - whether it can be
    except (Py4JError, ImportError):
        return False
    return True


def require(spark: SparkSession, what: str) -> None:
    """Raise FirstdayError where the session has no SynapseML, which `what` needs."""
    if available(spark):
        return
    line = ".".join(spark.version.split(".")[:2])
    coordinates = COORDINATES.get(line)
    release = coordinates or "the release of com.microsoft.azure:synapseml-lightgbm for this Spark"
    raise FirstdayError(
        f"{what} needs SynapseML, which this session does not have",
        value=f"Spark {spark.version}",
        next_step=f"start Spark with {release}, by --synapseml or spark.jars.packages; SynapseML's page on "
        "installation names the repository. Without it work discover, label without --features, assign, "
        "measure, simulate, maintain, forget, and recommend by a ranker that was trained elsewhere",
    )
