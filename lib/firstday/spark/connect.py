"""What differs on Spark Connect, where the session is a client and has no JVM."""

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def on_connect(spark: "SparkSession") -> bool:
    """Whether the session is a client of Spark Connect."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def resolved(rows: "DataFrame") -> "DataFrame":
    """The rows by a plan that Spark has resolved, as it always is but on Spark Connect.

    There they become a view of the session: else the plan is sent and resolved again each time, with what the
    names in it mean then, and PySpark 4.1 cannot join rows that share an observation.
    """
    session = rows.sparkSession
    if not on_connect(session):
        return rows
    name = f"firstday_{uuid.uuid4().hex}"
    rows.createTempView(name)
    return session.table(name)
