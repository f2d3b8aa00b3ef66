"""What Spark and Delta Lake raise, the same for each release of theirs.

Neither line of Spark hands over all of Delta's exceptions as classes of their own: to know a lost race, read
the error class that Delta puts into the message, [DELTA_CONCURRENT_APPEND] or, of a sub-class,
[DELTA_CONCURRENT_APPEND.WITH_PARTITION_HINT].
"""

import re

from pyspark.errors import PySparkException

try:
    from py4j.protocol import Py4JJavaError
except ImportError:  # a client of Spark Connect needs no Java
    FAILURES: tuple[type[Exception], ...] = (PySparkException,)
else:
    FAILURES = (PySparkException, Py4JJavaError)  # py4j's: of a class that PySpark does not know

DELTA_CLASS = re.compile(r"\[(DELTA_[A-Z_]+)(?:\.[A-Z_]+)*\]")
# What the loser of a race gets.
SAME_TRANSACTION = frozenset({"DELTA_CONCURRENT_TRANSACTION"})
MADE_AT_ONCE = frozenset({"DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED"})  # a table, by two runs
CONFLICTS = (
    SAME_TRANSACTION
    | MADE_AT_ONCE
    | {
        "DELTA_CONCURRENT_APPEND",
        "DELTA_CONCURRENT_DELETE_DELETE",
        "DELTA_CONCURRENT_DELETE_READ",
        "DELTA_CONCURRENT_WRITE",
    }
)


def delta_class(error: BaseException) -> str | None:
    """Delta's error class, without its sub-class; None where the error is not Delta's."""
    found = DELTA_CLASS.search(str(error))
    return found[1] if found else None
