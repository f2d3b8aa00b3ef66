"""Independent pieces of work side by side."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, overload

from pyspark import inheritable_thread_target

MOST = 4  # at once: beyond, the driver's memory is what they share

Found = TypeVar("Found")
Other = TypeVar("Other")


@overload
def side_by_side(first: Callable[[], Found], second: Callable[[], Other], /) -> tuple[Found, Other]: ...
@overload
def side_by_side(*calls: Callable[[], Found]) -> tuple[Found, ...]: ...
def side_by_side(*calls: Callable[[], Any]) -> tuple[Any, ...]:
    """What the calls return, in their order.

    Of jobs on small tables most of the time is planning, which is one thread's, or waiting for the storage.
    Raises the first call's error, of those that fail, once all have ended.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Spark session is not provided"
        )  # Spark 4: tags, of which we have none
        targets = [inheritable_thread_target(call) for call in calls]
    with ThreadPoolExecutor(MOST) as pool:
        started = [pool.submit(target) for target in targets]
    return tuple(each.result() for each in started)
