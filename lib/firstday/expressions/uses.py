"""As what an expression uses its columns: as numbers, as text, or beside one another.

Text compared with a number becomes a whole number in Spark, in silence: 0.4 > 0 is false then, and 'n/a' is
nothing. So the types of columns must be settled before an expression is analysed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from firstday.expressions.builtins import MATH, TEXT
from firstday.spark.catalyst import Node, kind

COMPARISONS = frozenset({"EqualTo", "EqualNullSafe", "LessThan", "LessThanOrEqual", "GreaterThan"})
COMPARISONS |= {"GreaterThanOrEqual", "In", "InSet"}
ARITHMETIC = frozenset({"Add", "Subtract", "Multiply", "Divide", "IntegralDivide", "Remainder", "UnaryMinus"})
# Operators on Columns in Python, which Spark 4 has as functions of these names.
SIGNS = {"==": "EqualTo", "<=>": "EqualNullSafe", "in": "In", "negative": "UnaryMinus", "rlike": "RLike"}
SIGNS |= {"<": "LessThan", "<=": "LessThanOrEqual", ">": "GreaterThan", ">=": "GreaterThanOrEqual"}
SIGNS |= {"+": "Add", "-": "Subtract", "*": "Multiply", "/": "Divide", "%": "Remainder"}
SIGNS |= {"like": "Like", "ilike": "ILike"}
LIKE = frozenset({"Like", "ILike", "RLike", "LikeAll", "LikeAny", "NotLikeAll", "NotLikeAny"})
ALIKE = frozenset({"coalesce", "ifnull", "nvl", "nullif", "greatest", "least"})  # functions of values alike
OF_NUMBERS, OF_TEXTS = frozenset(MATH.split()), frozenset(TEXT.split())
NUMBERS = ("byte", "short", "integer", "long", "float", "double", "decimal")
Type = Literal["number", "text", "other"]


class _Value(NamedTuple):
    """A value in an expression: what it is, and the column where it is one and nothing else."""

    type: Type
    column: str | None = None


def called(node: Node) -> str:
    """The name of the function that a parsed node calls."""
    return str(node["nameParts"])[1:-1].lower()


@dataclass
class Uses:
    """Columns that are used as numbers, those that are used as text, and pairs that are compared."""

    numbers: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)

    def add(self, other: "Uses") -> None:
        """With those of another expression."""
        self.numbers |= other.numbers
        self.texts |= other.texts
        self.pairs |= other.pairs


def uses(nodes: Sequence[Node]) -> Uses:
    """Of a parsed expression's nodes, each before its children. A cast that is written says what is meant,
    and is no use of the column beneath it.
    """
    found = Uses()
    _walk(iter(nodes).__next__, found)
    return found


def _walk(following: Callable[[], Node], found: Uses) -> _Value:
    """The value of the next node, with all below it."""
    node = following()
    below = [_walk(following, found) for _ in range(node["num-children"])]
    what = kind(node)
    if what == "UnresolvedAttribute":
        return _Value("other", str(node["nameParts"])[1:-1])
    if what in ("Literal", "Cast"):
        data_type = str(node.get("dataType"))
        return _Value(
            "number" if data_type.startswith(NUMBERS) else "text" if data_type == "string" else "other"
        )
    columns = {value.column for value in below if value.column is not None}
    types = {value.type for value in below if value.column is None}
    name = called(node) if what == "UnresolvedFunction" else ""
    if name in SIGNS:
        what, name = SIGNS[name], ""
    if what in COMPARISONS or name in ALIKE:
        _compared(found, columns, types)
        return _Value("number" if types == {"number"} and name else "other")
    if what in ARITHMETIC or name in OF_NUMBERS:
        if types <= {"number"}:  # not of a time and an interval
            found.numbers |= columns
        return _Value("number" if types <= {"number"} else "other")
    if what in LIKE or name in OF_TEXTS:
        found.texts |= columns
        return _Value("text" if name else "other")
    return _Value("other")


def _compared(found: Uses, columns: set[str], types: set[Type]) -> None:
    if "number" in types:
        found.numbers |= columns
    if "text" in types:
        found.texts |= columns
    first, *others = sorted(columns) or [""]
    found.pairs |= {(first, other) for other in others}
