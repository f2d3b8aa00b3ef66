"""Distributed Spark jobs that find what, done on the first day, makes users stay."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Fact",
    "Result",
    "assign",
    "discover",
    "label",
    "label_function",
    "measure",
    "recommend",
    "session",
    "simulate",
    "train",
]

if TYPE_CHECKING:
    from firstday.api import (
        Answer,
        Fact,
        Result,
        assign,
        discover,
        label,
        label_function,
        measure,
        recommend,
        session,
        simulate,
        train,
    )


def __getattr__(name: str) -> Any:
    """The functions, loaded when one is asked for: `firstday --help` needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module 'firstday' has no attribute {name!r}")
    from firstday import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
