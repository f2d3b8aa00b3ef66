"""Calls that another thread makes for this one."""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from pyspark import inheritable_thread_target
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

Found = TypeVar("Found")


def inheriting(call: Callable[[], Found]) -> Callable[[], Found]:
    """The call with what Spark keeps for the thread that this is called in: jobs' properties, the session."""
    wrap: Any = inheritable_thread_target
    if is_remote():
        session = SparkSession.getActiveSession()
        if session is None:  # of a thread that has none; DataFrames bring their own
            return call
        wrap = wrap(session)
    with warnings.catch_warnings():
        # Of Spark 4: tags, of which we have none.
        warnings.filterwarnings("ignore", "Spark session is not provided")
        wrapped: Callable[[], Found] = wrap(call)
    return wrapped
