"""sqlglot's tree of an expression as nodes, each before its children, by the names of Spark's own.

A node has `class` and `num-children`, `nameParts` where it is a column or a function, `dataType` where it is
a literal or a cast, and `value` where it is a text.
"""

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from firstday.expressions.builtins import words

Node = dict[str, Any]

UNITS = words("""
    YEAR YEARS QUARTER MONTH MONTHS WEEK WEEKS DAY DAYS DAYOFYEAR HOUR HOURS MINUTE MINUTES SECOND SECONDS
    MILLISECOND MILLISECONDS MICROSECOND MICROSECONDS
""")
# What follows EXTRACT( and is no unit.
FIELDS = UNITS | words("""
    Y YR YRS YEAROFWEEK QTR MON MONS W D DAYOFWEEK DOW DAYOFWEEK_ISO DOW_ISO DOY H HR HRS M MIN MINS S SEC
    SECS
""")
TYPES = {
    "BOOLEAN": "boolean", "TINYINT": "byte", "BYTE": "byte", "SMALLINT": "short", "SHORT": "short",
    "INT": "integer", "INTEGER": "integer", "BIGINT": "long", "LONG": "long", "FLOAT": "float",
    "REAL": "float", "DOUBLE": "double", "DECIMAL": "decimal", "DEC": "decimal", "NUMERIC": "decimal",
    "STRING": "string", "BINARY": "binary", "DATE": "date", "TIMESTAMP": "timestamp",
    "TIMESTAMP_LTZ": "timestamp", "TIMESTAMP_NTZ": "timestamp_ntz",
}  # fmt: skip
# How sqlglot spells those types.
OF_TYPES = {
    exp.DType.BOOLEAN: "boolean", exp.DType.TINYINT: "byte", exp.DType.SMALLINT: "short",
    exp.DType.INT: "integer", exp.DType.BIGINT: "long", exp.DType.FLOAT: "float", exp.DType.DOUBLE: "double",
    exp.DType.DECIMAL: "decimal", exp.DType.TEXT: "string", exp.DType.BINARY: "binary",
    exp.DType.DATE: "date", exp.DType.TIMESTAMP: "timestamp", exp.DType.TIMESTAMPTZ: "timestamp",
    exp.DType.TIMESTAMPLTZ: "timestamp", exp.DType.TIMESTAMPNTZ: "timestamp_ntz",
}  # fmt: skip
WITH_UNIT = frozenset({"timestampadd", "dateadd", "date_add"})  # unit, number, time
BETWEEN_UNITS = frozenset({"timestampdiff", "datediff", "date_diff", "timediff"})  # unit, time, time
FIRST_OF_ROWS = frozenset({"first", "last", "any_value"})  # Spark parses them as aggregates

BINARY: dict[type[exp.Expr], str] = {
    exp.And: "And", exp.Or: "Or", exp.EQ: "EqualTo", exp.NullSafeEQ: "EqualNullSafe", exp.LT: "LessThan",
    exp.LTE: "LessThanOrEqual", exp.GT: "GreaterThan", exp.GTE: "GreaterThanOrEqual", exp.Add: "Add",
    exp.Sub: "Subtract", exp.Mul: "Multiply", exp.Div: "Divide", exp.IntDiv: "IntegralDivide",
    exp.Mod: "Remainder", exp.BitwiseAnd: "BitwiseAnd", exp.BitwiseOr: "BitwiseOr",
    exp.BitwiseXor: "BitwiseXor", exp.DPipe: "Concat",
}  # fmt: skip
NEGATED: dict[type[exp.Expr], str] = {exp.NEQ: "EqualTo", exp.NullSafeNEQ: "EqualNullSafe"}
UNARY: dict[type[exp.Expr], str] = {exp.Not: "Not", exp.Neg: "UnaryMinus", exp.BitwiseNot: "BitwiseNot"}
LIKE: dict[type[exp.Expr], str] = {exp.Like: "Like", exp.ILike: "ILike", exp.RegexpLike: "RLike"}
WHOLE = (exp.Paren, exp.And, exp.Or, exp.Not, exp.If, exp.Case, exp.Anonymous)  # around whole conditions
# Where Spark's grammar wants a value, these make it read the text in another way.
PREDICATES: tuple[type[exp.Expr], ...] = (
    exp.Not,
    exp.And,
    exp.Or,
    exp.Is,
    exp.In,
    exp.Between,
    exp.Escape,
    *NEGATED,
    exp.NullSafeEQ,
    *LIKE,
)
# Of values: behind these operators Spark reads `not` as a column, and what follows as its new name.
OF_VALUES: tuple[type[exp.Expr], ...] = (
    *(kind for kind in BINARY if kind not in (exp.And, exp.Or)),
    *(exp.Neg, exp.BitwiseNot, exp.Is, exp.Between, exp.Escape),
    *NEGATED,
    *LIKE,
)
# What is refused, by Spark's names of it.
OTHERS: dict[type[exp.Expr], str] = {
    exp.Lambda: "LambdaFunction", exp.Window: "WindowExpression", exp.Star: "UnresolvedStar",
    exp.Placeholder: "NamedParameter", exp.Parameter: "NamedParameter", exp.Alias: "Alias",
    exp.Aliases: "MultiAlias", exp.Kwarg: "NamedArgumentExpression", exp.Subquery: "ScalarSubquery",
    exp.Exists: "Exists", exp.Select: "ScalarSubquery",
}  # fmt: skip


class ReadingError(Exception):
    """A text is no single expression, or Spark might read it differently; the message says why."""


def node(kind: str, *below: list[Node], **others: Any) -> list[Node]:
    """A node and its children's nodes."""
    made: Node = {"class": kind, "num-children": len(below), **others}
    return [made, *(each for child in below for each in child)]


def nodes_of(tree: exp.Expr) -> list[Node]:
    """The nodes of a tree. Raises ReadingError where it has what is not known here."""
    kind = type(tree)
    _check_arguments(tree)
    if kind in (exp.And, exp.Or):  # long chains are as deep as they are long
        return node(BINARY[kind], *map(nodes_of, _chain(tree, kind)))
    if kind in BINARY:
        return node(BINARY[kind], nodes_of(tree.this), nodes_of(tree.expression))
    if kind is exp.Not and isinstance(tree.parent, OF_VALUES):
        raise ReadingError("NOT goes into parentheses behind an operator on values")
    if kind in UNARY:
        return node(UNARY[kind], nodes_of(tree.this))
    if kind in NEGATED:
        return node("Not", node(NEGATED[kind], nodes_of(tree.this), nodes_of(tree.expression)))
    if kind in LIKE:
        return _like(tree)
    if kind in OTHERS:
        return node(OTHERS[kind])
    if kind in READERS:
        return READERS[kind](tree)
    raise ReadingError(f"it may not have {kind.__name__.upper()}")


def _chain(tree: exp.Expr, kind: type[exp.Expr]) -> list[exp.Expr]:
    """The operands of a AND b AND c, however they are nested to the left."""
    operands = []
    while type(tree) is kind:
        _check_arguments(tree)
        operands.append(tree.expression)
        tree = tree.this
    return [tree, *reversed(operands)]


def _check_arguments(tree: exp.Expr) -> None:
    """Raise ReadingError where a node has an argument that is not looked at."""
    known = ARGUMENTS.get(type(tree))
    if known is None:
        return
    more = {name for name, value in tree.args.items() if value not in (None, False, [])} - known
    if more:
        raise ReadingError(f"it may not have {type(tree).__name__.upper()} with {', '.join(sorted(more))}")


def _like(tree: exp.Expr) -> list[Node]:
    of, pattern = LIKE[type(tree)], tree.expression
    if isinstance(pattern, exp.Any | exp.All):
        if of != "Like":
            raise ReadingError("ANY and ALL go with LIKE")
        # Behind LIKE, ANY (...) is a quantifier where nothing follows it, else the aggregate any(...).
        inner = pattern.this
        ends = isinstance(inner, exp.Tuple | exp.Paren)
        if not ends or not (tree.parent is None or isinstance(tree.parent, WHOLE)):
            raise ReadingError("LIKE ANY and LIKE ALL go into parentheses where more follows")
        patterns = inner.expressions if isinstance(inner, exp.Tuple) else [inner.unnest()]
        found = "LikeAny" if isinstance(pattern, exp.Any) else "LikeAll"
        below = [nodes_of(each) for each in (tree.this, *patterns)]
        return node(f"Not{found}" if tree.args.get("negate") else found, *below)
    made = node(of, nodes_of(tree.this), nodes_of(pattern))
    return node("Not", made) if tree.args.get("negate") else made


def _tuple(tree: exp.Expr) -> list[Node]:
    if not tree.expressions or isinstance(tree.parent, exp.Not):  # `not ()` is a function's call to Spark
        raise ReadingError("it may not have () around none or several values here")
    return node("CreateNamedStruct", *map(nodes_of, tree.expressions))


def _column(tree: exp.Expr) -> list[Node]:
    parts = _parts(tree)
    assert parts is not None
    if any(isinstance(part, exp.Star) for part in parts):
        return node("UnresolvedStar")
    if not all(isinstance(part, exp.Identifier) for part in parts):
        raise ReadingError("a column's name is made of words and of names in backticks")
    return _attribute([part.name for part in parts])


def _attribute(parts: list[str]) -> list[Node]:
    return node("UnresolvedAttribute", nameParts=f"[{', '.join(parts)}]", parts=parts)


def _parts(tree: exp.Expr) -> list[exp.Expr] | None:
    """The parts of a dotted name, as Spark joins them: (s).x is s.x; None where it is none."""
    tree = tree.unnest()
    if isinstance(tree, exp.Column):
        return list(tree.parts)
    if isinstance(tree, exp.Identifier):
        return [tree]
    if isinstance(tree, exp.Dot) and isinstance(tree.expression, exp.Identifier | exp.Star):
        before = _parts(tree.this)
        return None if before is None else [*before, tree.expression]
    return None


def _dot(tree: exp.Expr) -> list[Node]:
    if _parts(tree) is not None:
        return _column(tree)
    if isinstance(tree.expression, exp.Anonymous):
        before = _parts(tree.this)
        if before is not None:
            return _call([*(part.name for part in before), tree.expression.name], tree.expression)
    if not isinstance(tree.expression, exp.Identifier):
        raise ReadingError("a dot goes between names")
    return node("UnresolvedExtractValue", nodes_of(tree.this), _text(tree.expression.name))


def _call(names: list[str], tree: exp.Expr) -> list[Node]:
    name = names[-1].lower()
    arguments = list(tree.expressions)
    if len(names) == 1:
        if name in FIRST_OF_ROWS:
            return node("AggregateExpression")
        if len(arguments) == 3 and name in WITH_UNIT | BETWEEN_UNITS and _is_unit(arguments[0]):
            if any(isinstance(each, PREDICATES) for each in arguments[1:]):
                raise ReadingError(f"conditions in {name} go into parentheses")
            kind = "TimestampAdd" if name in WITH_UNIT else "TimestampDiff"
            return node(kind, *(nodes_of(each) for each in arguments[1:]))
        if name == "struct":
            return node("CreateNamedStruct", *map(nodes_of, arguments))
        if name == "count" and len(arguments) == 1 and isinstance(arguments[0], exp.Star):
            arguments = []
    below = [nodes_of(each) for each in _distinct(arguments)]
    return node("UnresolvedFunction", *below, nameParts=f"[{', '.join(names)}]")


def _distinct(arguments: list[exp.Expr]) -> list[exp.Expr]:
    """Of f(DISTINCT a, b), which only aggregates take, the arguments."""
    return [each for one in arguments for each in (one.expressions if type(one) is exp.Distinct else [one])]


def _is_unit(tree: exp.Expr) -> bool:
    return isinstance(tree, exp.Column) and len(tree.parts) == 1 and not tree.this.quoted and (
        tree.name.upper() in UNITS
    )  # fmt: skip


def _text(value: str) -> list[Node]:
    return node("Literal", dataType="string", value=value)


def _literal(tree: exp.Expr) -> list[Node]:
    if tree.is_string:
        return _text(tree.name)
    number = tree.name.lower()
    return node("Literal", dataType="double" if "e" in number else "decimal" if "." in number else "integer")


def _concatenated(tree: exp.Expr) -> list[Node]:
    if not all(isinstance(each, exp.Literal) and each.is_string for each in tree.expressions):
        raise ReadingError("of texts that follow one another all must be plain ones")
    return _text("".join(each.name for each in tree.expressions))


def _cast(tree: exp.Expr) -> list[Node]:
    to = tree.args["to"]
    if not isinstance(to, exp.DataType) or to.this not in OF_TYPES:
        raise ReadingError(f"a cast may be to {', '.join(sorted(set(map(str.lower, TYPES))))}")
    return node("Cast", nodes_of(tree.this), dataType=OF_TYPES[to.this])


def _is(tree: exp.Expr) -> list[Node]:
    if isinstance(tree.expression, exp.Null):
        return node("IsNull", nodes_of(tree.this))
    if isinstance(tree.expression, exp.Boolean):
        return node("EqualNullSafe", nodes_of(tree.this), node("Literal", dataType="boolean"))
    raise ReadingError("IS goes with NULL, UNKNOWN, TRUE, FALSE and DISTINCT FROM")


def _case(tree: exp.Expr) -> list[Node]:
    below = []
    for branch in tree.args["ifs"]:
        met = nodes_of(branch.this)
        below.append(node("EqualTo", nodes_of(tree.this), met) if tree.this is not None else met)
        below.append(nodes_of(branch.args["true"]))
    default = tree.args.get("default")
    return node("CaseWhen", *below, *([] if default is None else [nodes_of(default)]))


def _between(tree: exp.Expr) -> list[Node]:
    low = node("GreaterThanOrEqual", nodes_of(tree.this), nodes_of(tree.args["low"]))
    return node("And", low, node("LessThanOrEqual", nodes_of(tree.this), nodes_of(tree.args["high"])))


def _in(tree: exp.Expr) -> list[Node]:
    if tree.args.get("query") is not None:
        return node("InSubquery")
    return node("In", nodes_of(tree.this), *map(nodes_of, tree.expressions))


def _bracket(tree: exp.Expr) -> list[Node]:
    if len(tree.expressions) != 1 or isinstance(tree.expressions[0], exp.Slice):
        raise ReadingError("in brackets stands one index or key")
    return node("UnresolvedExtractValue", nodes_of(tree.this), nodes_of(tree.expressions[0]))


def _interval(tree: exp.Expr) -> list[Node]:
    number = tree.this.this if isinstance(tree.this, exp.Neg) else tree.this
    if not isinstance(number, exp.Literal):
        raise ReadingError("an interval is of a number or a text")
    return node("Literal", dataType="interval")


def _filtered(tree: exp.Expr) -> list[Node]:
    """f(a) FILTER (WHERE b): only aggregates take it."""
    call, where = nodes_of(tree.this), nodes_of(tree.expression.this)
    call[0]["num-children"] += 1
    return [*call, *where]


def _of_function(name: str, *arguments: str) -> Callable[[exp.Expr], list[Node]]:
    """A function with a syntax of its own, as a call of it."""

    def read(tree: exp.Expr) -> list[Node]:
        given = [tree.args[each] for each in arguments if tree.args.get(each) is not None]
        return node("UnresolvedFunction", *map(nodes_of, given), nameParts=f"[{name}]")

    return read


def _escape(tree: exp.Expr) -> list[Node]:
    if not isinstance(tree.expression, exp.Literal) or type(tree.this) not in LIKE:
        raise ReadingError("ESCAPE goes with LIKE and a text")
    return nodes_of(tree.this)


def _extract(tree: exp.Expr) -> list[Node]:
    if not isinstance(tree.this, exp.Var) or tree.name.upper() not in FIELDS:
        raise ReadingError(f"EXTRACT is of {', '.join(sorted(map(str.lower, FIELDS)))}")
    return node("UnresolvedFunction", nodes_of(tree.expression), nameParts="[extract]")


def _any(tree: exp.Expr) -> list[Node]:
    """any(a) as a function, not behind LIKE."""
    return _call(["any" if isinstance(tree, exp.Any) else "all"], exp.Anonymous(expressions=[tree.this]))


READERS: dict[type[exp.Expr], Callable[[Any], list[Node]]] = {
    exp.Paren: lambda tree: nodes_of(tree.this),
    exp.Column: _column,
    exp.Identifier: _column,
    exp.Dot: _dot,
    exp.Literal: _literal,
    exp.RawString: lambda tree: _text(tree.name),
    exp.HexString: lambda _: node("Literal", dataType="binary"),
    exp.Null: lambda _: node("Literal", dataType="void"),
    exp.Boolean: lambda _: node("Literal", dataType="boolean"),
    exp.Concat: _concatenated,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Is: _is,
    exp.Case: _case,
    exp.Between: _between,
    exp.In: _in,
    exp.Bracket: _bracket,
    exp.Interval: _interval,
    exp.Tuple: _tuple,
    exp.Anonymous: lambda tree: _call([tree.name], tree),
    exp.Filter: _filtered,
    exp.Any: _any,
    exp.All: _any,
    exp.IgnoreNulls: lambda tree: nodes_of(tree.this),
    exp.If: _of_function("if", "this", "true", "false"),
    exp.Extract: _extract,
    exp.Substring: _of_function("substring", "this", "start", "length"),
    exp.Trim: _of_function("trim", "this", "expression"),
    exp.Overlay: _of_function("overlay", "this", "expression", "from_", "for_"),
    exp.StrPosition: _of_function("position", "substr", "this", "position"),
    exp.Escape: _escape,
}
# The arguments that the readers look at, or that change nothing of what is looked for.
ARGUMENTS: dict[type[exp.Expr], set[str]] = {
    **{kind: {"this", "expression"} for kind in (*BINARY, *NEGATED, *UNARY, exp.Escape, exp.Is, exp.Dot)},
    **{kind: {"this", "expression", "negate"} for kind in LIKE},
    exp.Div: {"this", "expression", "typed", "safe"},
    exp.DPipe: {"this", "expression", "safe"},
    exp.Paren: {"this"},
    exp.Literal: {"this", "is_string"},
    exp.RawString: {"this"},
    exp.HexString: {"this"},
    exp.Boolean: {"this"},
    exp.Concat: {"expressions"},
    exp.Cast: {"this", "to"},
    exp.TryCast: {"this", "to", "safe"},
    exp.Case: {"this", "ifs", "default"},
    exp.Between: {"this", "low", "high"},
    exp.In: {"this", "expressions", "query"},
    exp.Bracket: {"this", "expressions"},
    exp.Interval: {"this", "unit"},
    exp.Tuple: {"expressions"},
    exp.Anonymous: {"this", "expressions"},
    exp.Filter: {"this", "expression"},
    exp.If: {"this", "true", "false"},
    exp.Extract: {"this", "expression"},
    exp.Substring: {"this", "start", "length"},
    exp.Trim: {"this", "expression", "position"},
    exp.Overlay: {"this", "expression", "from_", "for_"},
    exp.StrPosition: {"this", "substr", "position"},
}
