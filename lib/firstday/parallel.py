"""Independent pieces of work side by side."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, overload

from firstday.spark.threads import inheriting

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
    targets = [inheriting(call) for call in calls]
    with ThreadPoolExecutor(MOST) as pool:
        started = [pool.submit(target) for target in targets]
    return tuple(each.result() for each in started)
