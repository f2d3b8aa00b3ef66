"""Conditions in SQL, of users: parsed by Spark, checked whole before anything runs, then used as parsed.

No text is put together with other text: what Spark's parser returned for the checked text is what runs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from py4j.java_gateway import JavaObject
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, NumericType, StringType, StructType

from firstday.errors import SettingsError, reason
from firstday.expressions.builtins import (
    FUNCTIONS,
    GROUPS,
    PYTHON,
    REGULAR,
    Node,
    called,
    check_kinds,
    kind,
    nearest,
    refuse_clock,
    refused,
    sizes,
    tree,
)
from firstday.expressions.uses import Uses, uses
from firstday.tables.schemas import quoted


class Columns:
    """The columns of a frame, found as Spark finds them."""

    def __init__(self, frame: DataFrame) -> None:
        setting = frame.sparkSession.conf.get("spark.sql.caseSensitive", "false")
        self.sensitive = str(setting).lower() == "true"
        self.names = tuple(frame.columns)
        self._by_key = {self._key(name): name for name in self.names}

    def find(self, name: str) -> str | None:
        """The column called `name`, as the frame spells it."""
        return self._by_key.get(self._key(name))

    def uses(self, expression: Column) -> Uses:
        """As what an expression uses the columns, by the frame's names; one that is no column is left out."""
        parsed: Any = expression
        found = uses(tree(parsed._jc.expr()))

        def own(names: Iterable[str]) -> set[str]:
            return {name for each in names if (name := self.find(each)) is not None}

        pairs = {(one, other) for pair in found.pairs for one, other in [[self.find(each) for each in pair]]}
        known = {(one, other) for one, other in pairs if one is not None and other is not None}
        return Uses(own(found.numbers), own(found.texts), known)

    def unknown(self, function: str, name: str) -> SettingsError:
        """What to say where there is no column `name`."""
        near = nearest(name, self.names)
        dotted = [each for each in self.names if each.lower().startswith(name.lower() + ".")]
        shown = ", ".join(repr(each) for each in near)
        return refused(
            function,
            "it may read columns of the rows only, by their names without a table",
            name,
            f"put the name in backticks: {quoted(dotted[0])}"
            if dotted
            else f"did you mean {shown}?"
            if near
            else f"the rows have {', '.join(repr(each) for each in self.names[:20])}",
        )

    def _key(self, name: str) -> str:
        return name if self.sensitive else name.lower()


class Conditions:
    """Conditions over the rows of one frame."""

    def __init__(self, frame: DataFrame) -> None:
        self.columns = Columns(frame)
        session = frame.sparkSession
        assert session._jvm is not None
        self._jvm: Any = session._jvm
        self._state = session._jsparkSession.sessionState()
        self._own: dict[str, bool] = {}

    def condition(self, name: str, text: str) -> Column:
        """The condition, checked but for its type.

        Raises SettingsError that says whose it is (`name`, as in "label function 'x'") and what it may
        not have.
        """
        if "${" in text:  # Spark would put settings and environment variables in its place
            raise refused(name, "a condition may have no variables", text, "write the value itself")
        try:
            parsed = self._state.sqlParser().parseExpression(text)
            nodes = tree(parsed)
        except (PySparkException, Py4JError) as error:
            raise refused(name, "the condition must be one SQL expression", text, _reason(error)) from error
        check_kinds(name, text, nodes)
        self._check_functions(name, nodes)
        self._check_patterns(name, nodes)
        for node in nodes:
            if kind(node) == "UnresolvedAttribute":
                self._check_column(name, node["nameParts"])
        return Column(self._jvm.org.apache.spark.sql.Column(parsed))

    def _check_functions(self, name: str, nodes: Sequence[Node]) -> None:
        for word in {called(node): None for node in nodes if kind(node) == "UnresolvedFunction"}:
            if word not in FUNCTIONS:
                group = self._group(word)
                near = nearest(word, FUNCTIONS)
                raise refused(
                    name,
                    "a condition may call built-in functions of the row's values only",
                    f"{word}, {group}" if group else word,
                    "put what it needs of other rows into a column beforehand"
                    if group
                    else f"did you mean {' or '.join(near)}?"
                    if near
                    else "all that may be called are in firstday/expressions/builtins.py",
                )
            if not self._is_own(word):
                raise refused(
                    name,
                    "the session has a function of its own in place of Spark's",
                    word,
                    "register it under another name, and put its result into a column beforehand",
                )

    def _check_patterns(self, name: str, nodes: Sequence[Node]) -> None:
        """A regular expression that cannot be read would end the job at its first row."""
        for place, node in enumerate(nodes):
            regular = kind(node) == "RLike" or (
                kind(node) == "UnresolvedFunction" and called(node) in REGULAR and node["num-children"] > 1
            )
            if not regular:
                continue
            pattern = nodes[place + 1 + sizes(nodes)[place + 1]]
            if kind(pattern) == "Literal" and pattern["dataType"] == "string":
                try:
                    self._jvm.java.util.regex.Pattern.compile(pattern["value"])
                except (PySparkException, Py4JError) as error:
                    raise refused(
                        name, "the pattern must be a regular expression", pattern["value"], _reason(error)
                    ) from error

    def _check_column(self, function: str, shown: str) -> None:
        # "[a, b]" is a.b or `a, b`: either is enough here, the analysis goes by the real parts.
        text = shown[1:-1]
        ends = [match.start() for match in re.finditer(", ", text)]
        if not any(self.columns.find(text[:end]) for end in [*ends, len(text)]):
            raise self.columns.unknown(function, text[: ends[0]] if ends else text)

    def _is_own(self, word: str) -> bool:
        """Whether the session means Spark's own function: one registered under its name would hide it."""
        if word not in self._own:
            self._own[word] = self._found(self._state.functionRegistry(), word) == self._found(
                self._builtin, word
            )
        return self._own[word]

    @cached_property
    def _builtin(self) -> JavaObject:
        return self._jvm.org.apache.spark.sql.catalyst.analysis.FunctionRegistry.builtin()

    def _group(self, word: str) -> str | None:
        found = self._lookup(self._builtin, word)
        return GROUPS.get(found.getGroup()) if found is not None else None

    def _found(self, registry: JavaObject, word: str) -> str | None:
        found = self._lookup(registry, word)
        return found.getClassName() if found is not None else None

    def _lookup(self, registry: JavaObject, word: str) -> Any:
        found = registry.lookupFunction(self._jvm.org.apache.spark.sql.catalyst.FunctionIdentifier(word))
        return found.get() if found.isDefined() else None


@dataclass(frozen=True)
class Analysed:
    """An expression over a frame: its type, the frame's columns that it reads, and what it is made of."""

    type: DataType
    reads: frozenset[str]
    nodes: tuple[Node, ...]
    deterministic: bool

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(map(kind, self.nodes))


def analyse(frame: DataFrame, expressions: Mapping[str, Column]) -> dict[str, Analysed]:
    """Let Spark resolve the expressions together, without running anything.

    Raises SettingsError that names the first one whose expression is none over the frame's rows.
    """
    columns = Columns(frame)
    try:
        return dict(zip(expressions, _analysed(frame, columns, list(expressions.values())), strict=True))
    except (PySparkException, Py4JError, _OtherRowsError):
        analysed = {}
        for name, expression in expressions.items():  # which one?
            try:
                [analysed[name]] = _analysed(frame, columns, [expression])
            except _OtherRowsError:
                raise refused(
                    name,
                    "it must be made from one row of the frame",
                    next_step="leave out aggregates, windows, generators and hidden columns",
                ) from None
            except (PySparkException, Py4JError) as error:
                raise refused(name, "Spark must be able to resolve it", next_step=_reason(error)) from error
        return analysed


def check_condition(name: str, analysed: Analysed) -> None:
    """Raise SettingsError where an expression is no condition."""
    refuse_python(name, analysed)
    refuse_clock(name, analysed.nodes)
    if not isinstance(analysed.type, BooleanType):
        shown = analysed.type.simpleString()
        raise refused(name, "a condition must be boolean", shown, "compare it with something")


def refuse_mixed(name: str, found: Uses, schema: StructType) -> None:
    """Raise SettingsError where an expression compares text with a number: Spark would take the text for a
    whole number, and what is none for nothing.
    """
    kinds = {each.name: each.dataType for each in schema}
    wrong = [each for each in sorted(found.numbers) if isinstance(kinds[each], StringType)]
    wrong += [
        each
        for pair in sorted(found.pairs)
        for each, other in (pair, pair[::-1])
        if isinstance(kinds[each], StringType) and isinstance(kinds[other], NumericType)
    ]
    if wrong:
        raise refused(
            name,
            "text may not be compared with a number",
            wrong[0],
            "make the column a number where the table is written, or say CAST(... AS DOUBLE)",
        )


def refuse_python(name: str, analysed: Analysed) -> None:
    """Raise SettingsError where an expression calls Python."""
    if analysed.kinds & PYTHON:
        raise refused(name, "no Python runs on the rows", "a Python UDF", "write it with Spark's functions")


class _OtherRowsError(Exception):
    """An expression needs more than a projection."""


def _analysed(frame: DataFrame, columns: Columns, expressions: list[Column]) -> list[Analysed]:
    # In one struct, so that no expression sees the name of another as a column.
    selected = frame.select(
        F.struct(*(each.alias(str(place)) for place, each in enumerate(expressions))).alias("struct")
    )
    plan = selected._jdf.queryExecution().analyzed()
    below = frame._jdf.queryExecution().analyzed()
    if plan.getClass().getSimpleName() != "Project" or not plan.child().fastEquals(below):
        raise _OtherRowsError
    values = plan.projectList().apply(0).child().valExprs()
    types = selected.schema[0].dataType
    assert isinstance(types, StructType)
    found = []
    for place, field in enumerate(types.fields):
        expression = values.apply(place)
        nodes = tree(expression)
        reads = frozenset(columns.find(name) or name for name in _references(nodes))
        found.append(Analysed(field.dataType, reads, nodes, expression.deterministic()))
    return found


def _references(nodes: Iterable[Node]) -> Iterator[str]:
    return (str(node["name"]) for node in nodes if kind(node) == "AttributeReference")


def _reason(error: Exception) -> str:
    """Why, without the type of the error: Spark's own sentence says enough."""
    return reason(error).removeprefix(f"{type(error).__name__}: ")
