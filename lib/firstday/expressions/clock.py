"""Conditions that read the clock: a vote is the same tomorrow.

Spark takes 'now', 'today', 'tomorrow' and 'yesterday' for dates where a date is wanted: in literals, in casts
that are written, and in those that it adds, as in `day < 'today'`. So such a text may stand only where it
stays one.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from firstday.errors import SettingsError
from firstday.expressions.builtins import OF_TEXTS, refused
from firstday.expressions.nodes import Node
from firstday.expressions.uses import ALIKE, COMPARISONS, LIKE, called

CLOCK_WORD = re.compile(r"\s*(now|today|tomorrow|yesterday)\b", re.IGNORECASE)
CLOCKS = frozenset({"unix_timestamp", "to_unix_timestamp"})  # without an argument
TIMES = ("date", "timestamp")


class _Value(NamedTuple):
    """A value in an expression: whether it is a text, whether no column is in it, and the text in it that
    Spark might read as the clock.
    """

    is_text: bool
    is_fixed: bool
    clock: str | None = None


def refuse_clock(name: str, nodes: Sequence[Node], is_text: Callable[[Sequence[str]], bool]) -> None:
    """Raise SettingsError where a parsed condition reads the clock, or might.

    is_text: whether the column or field of these names is one of texts.
    """
    value = _value(iter(nodes), name, is_text)
    if value.clock is not None:
        raise _no_clock(name, value.clock)


def _value(following: Iterator[Node], name: str, is_text: Callable[[Sequence[str]], bool]) -> _Value:
    """Of the next node, with all below it."""
    node = next(following)
    below = [_value(following, name, is_text) for _ in range(node["num-children"])]
    if node["class"] == "UnresolvedAttribute":
        return _Value(is_text(node["parts"]), False)
    if node["class"] == "Literal":
        value = str(node.get("value", ""))
        return _Value(node["dataType"] == "string", True, value if CLOCK_WORD.match(value) else None)
    fixed = all(each.is_fixed for each in below)
    clock = next((each.clock for each in below if each.clock is not None), None)
    if node["class"] == "UnresolvedFunction" and called(node) in CLOCKS and not below:
        raise _no_clock(name, called(node))
    if _makes_text(node):
        # What is made of texts alone may be such a word, too.
        made = fixed and node["class"] != "Cast" and any(each.is_text for each in below)
        return _Value(True, fixed, f"{_written(node)}(...)" if made else clock if fixed else None)
    texts = all(each.is_text for each in below)
    if clock is None or _leaves_text(node, texts):
        return _Value(False, fixed)
    if texts and node["class"] == "UnresolvedFunction" and called(node) in ALIKE:
        return _Value(True, fixed, clock)
    raise _no_clock(name, clock)


def _makes_text(node: Node) -> bool:
    if node["class"] == "UnresolvedFunction":
        return called(node) in OF_TEXTS
    return node["class"] == "Concat" or (node["class"] == "Cast" and node["dataType"] == "string")


def _written(node: Node) -> str:
    return called(node) if node["class"] == "UnresolvedFunction" else "||"


def _leaves_text(node: Node, texts: bool) -> bool:
    """Whether a text below the node is surely not taken for a date; texts: whether there are only texts."""
    if node["class"] == "Cast":
        return not node["dataType"].startswith(TIMES)
    return texts and (node["class"] in COMPARISONS or node["class"] in LIKE)


def _no_clock(name: str, value: str) -> SettingsError:
    return refused(
        name, "a condition may not read the clock", value, "compare with a column, or with a fixed date"
    )
