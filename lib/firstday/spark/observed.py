"""What an observation saw of rows that Spark may never have looked at."""

from typing import Any

from pyspark.sql import Observation

from firstday.spark.failures import FAILURES

NOTHING = "PythonSQLUtils.toPyRow"  # Spark 4 hands over a row without columns there, which it asserts against


def observed(observation: Observation) -> dict[str, Any]:
    """The observation's figures by name; {} where Spark has dropped what it was made on, as empty."""
    try:
        return dict(observation.get)
    except FAILURES as error:
        if NOTHING in str(error) and "assertion failed" in str(error):
            return {}
        raise
