"""Conditions in SQL, of users: read by sqlglot and checked whole before anything runs.

Spark runs the text itself. No text is put together with other text.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, NumericType, StringType, StructType

from firstday.errors import SettingsError, reason
from firstday.expressions.builtins import (
    FUNCTIONS,
    PYTHON,
    REFUSED,
    REGULAR,
    nearest,
    other_rows,
    refused,
)
from firstday.expressions.clock import refuse_clock
from firstday.expressions.nodes import Node, ReadingError
from firstday.expressions.parse import parse
from firstday.expressions.uses import Uses, called, uses
from firstday.spark import catalyst
from firstday.tables.schemas import quoted

# With these Spark reads a text differently: "..." as a name, `...` as a pattern, current_date as the clock.
OTHER_SYNTAX = (
    "spark.sql.ansi.doubleQuotedIdentifiers",
    "spark.sql.ansi.enforceReservedKeywords",
    "spark.sql.parser.quotedRegexColumnNames",
)
OWN = "org.apache.spark.sql.catalyst.expressions."  # classes of Spark's own functions


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

    def uses(self, nodes: Sequence[catalyst.Node]) -> Uses:
        """As what a parsed expression uses the frame's columns; a name that is no column is left out."""
        found = uses(nodes)

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


T = TypeVar("T")


@dataclass(frozen=True)
class Condition:
    """A condition over a frame: what Spark runs, the columns that it reads, and as what it uses them."""

    column: Column
    reads: frozenset[str]
    uses: Uses


class Conditions:
    """Conditions over the rows of one frame."""

    def __init__(self, frame: DataFrame) -> None:
        self.columns = Columns(frame)
        self._frame = frame
        self._session = frame.sparkSession
        self._schema = frame.schema
        self._own: dict[str, bool] = {}
        self._patterns: set[str] = set()
        for setting in OTHER_SYNTAX:
            if str(self._session.conf.get(setting, "false")).lower() == "true":
                raise SettingsError(
                    f"conditions are in Spark's plain SQL, without {setting}",
                    value="true",
                    next_step="set it to false in the session",
                )

    def condition(self, name: str, text: str) -> Condition:
        """The condition, checked but for its type, which `check_conditions` looks at.

        Raises SettingsError that says whose it is (`name`, as in "label function 'x'") and what it may
        not have.
        """
        if "${" in text:  # Spark would put settings and environment variables in its place
            raise refused(name, "a condition may have no variables", text, "write the value itself")
        try:
            nodes = parse(text)
        except ReadingError as error:
            raise refused(name, "the condition must be one SQL expression", text, str(error)) from error
        self._check_kinds(name, nodes)
        self._check_functions(name, nodes)
        self._check_patterns(name, nodes)
        reads = [self._read(name, node["parts"]) for node in nodes if node["class"] == "UnresolvedAttribute"]
        refuse_clock(name, nodes, self._is_text)
        try:
            column = F.expr(text)
        except PySparkException as error:
            raise refused(name, "the condition must be one SQL expression", text, _reason(error)) from error
        return Condition(column, frozenset().union(*reads), self.columns.uses(nodes))

    def _check_kinds(self, name: str, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if node["class"] in REFUSED:
                raise refused(
                    name,
                    "a condition looks at one row, with operators and plain functions",
                    REFUSED[node["class"]],
                    "put what it needs of other rows or tables into a column of the rows beforehand",
                )

    def _check_functions(self, name: str, nodes: Sequence[Node]) -> None:
        for word in {called(node): None for node in nodes if node["class"] == "UnresolvedFunction"}:
            if word not in FUNCTIONS:
                what = other_rows(word)
                near = nearest(word, FUNCTIONS)
                raise refused(
                    name,
                    "a condition may call built-in functions of the row's values only",
                    f"{word}, {what}" if what else word,
                    "put what it needs of other rows into a column beforehand"
                    if what
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
            regular = node["class"] == "RLike" or (
                node["class"] == "UnresolvedFunction" and called(node) in REGULAR and node["num-children"] > 1
            )
            if not regular:
                continue
            pattern = nodes[place + 1 + _size(nodes, place + 1)]
            if pattern["class"] != "Literal" or pattern["dataType"] != "string":
                continue
            value = pattern["value"]
            if value in self._patterns:
                continue
            try:
                _match_nothing(self._session, value)
            except PySparkException as error:
                raise refused(
                    name, "the pattern must be a regular expression", value, _reason(error)
                ) from error
            self._patterns.add(value)

    def _read(self, name: str, parts: Sequence[str]) -> frozenset[str]:
        """The columns that a dotted name reads: one, or all that it may read."""
        found = self.columns.find(parts[0])
        if found is None:
            raise self.columns.unknown(name, parts[0])
        others = frozenset(each for part in parts[1:] if (each := self.columns.find(part)) is not None)
        if others:
            # s.x is a field of the column s, or the column x of a frame called s: Spark prefers the latter.
            try:
                dotted = F.col(".".join(map(quoted, parts)))
                _ = self._frame.drop(F.col(quoted(found))).select(dotted).schema
            except PySparkException:
                return frozenset({found})
            return others
        return frozenset({found})

    def _is_text(self, parts: Sequence[str]) -> bool:
        """Whether a dotted name is a text; False where that is not sure."""
        kind: DataType = self._schema
        for part in parts:
            fields = [each for each in kind.fields if each.name.lower() == part.lower()] if (
                isinstance(kind, StructType)
            ) else []  # fmt: skip
            if len(fields) != 1:
                return False
            kind = fields[0].dataType
        return isinstance(kind, StringType)

    def _is_own(self, word: str) -> bool:
        """Whether the session means Spark's own function: one registered under its name would hide it."""
        if word not in self._own:
            found = self._session.catalog.getFunction(quoted(word))
            self._own[word] = str(found.className).startswith(OWN)
        return self._own[word]


def check_conditions(frame: DataFrame, conditions: Mapping[str, Condition]) -> None:
    """Let Spark resolve the conditions over the frame, without running anything.

    Raises SettingsError that names the first one that it cannot resolve, or that is not boolean.
    """
    for name, found in _each(frame, {name: each.column for name, each in conditions.items()}, _types).items():
        if not isinstance(found, BooleanType):
            raise refused(
                name, "a condition must be boolean", found.simpleString(), "compare it with something"
            )


def analyse(frame: DataFrame, expressions: Mapping[str, Column]) -> dict[str, catalyst.Analysed]:
    """Let Spark resolve the expressions that Python functions made, without running anything.

    Raises SettingsError that names the first one whose expression is none over the frame's rows.
    """
    return _each(frame, expressions, catalyst.analysed)


def _each(
    frame: DataFrame,
    expressions: Mapping[str, Column],
    resolve: Callable[[DataFrame, Sequence[Column]], Sequence[T]],
) -> dict[str, T]:
    """What `resolve` finds for each expression: of all together, where it fails of one after another."""
    if not expressions:
        return {}
    try:
        return dict(zip(expressions, resolve(frame, list(expressions.values())), strict=True))
    except (PySparkException, catalyst.OtherRowsError):
        found = {}
        for name, expression in expressions.items():  # which one?
            try:
                [found[name]] = resolve(frame, [expression])
            except catalyst.OtherRowsError:
                raise refused(
                    name,
                    "it must be made from one row of the frame",
                    next_step="leave out aggregates, windows, generators and hidden columns",
                ) from None
            except PySparkException as error:
                raise refused(name, "Spark must be able to resolve it", next_step=_reason(error)) from error
        return found


def _types(frame: DataFrame, columns: Sequence[Column]) -> list[DataType]:
    # In one struct, so that no expression sees the name of another as a column.
    made = F.struct(*(each.alias(str(place)) for place, each in enumerate(columns))).alias("struct")
    [field] = frame.select(made).schema.fields
    assert isinstance(field.dataType, StructType)
    return [each.dataType for each in field.dataType.fields]


def _match_nothing(session: SparkSession, pattern: str) -> None:
    """Raises PySparkException where the pattern is no regular expression."""
    session.range(1).select(F.rlike(F.lit(""), F.lit(pattern))).collect()


def _size(nodes: Sequence[Node], place: int) -> int:
    """How many nodes one is with all below it."""
    end, missing = place, 1
    while missing:
        missing += nodes[end]["num-children"] - 1
        end += 1
    return end - place


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


def refuse_python(name: str, analysed: catalyst.Analysed) -> None:
    """Raise SettingsError where an expression calls Python."""
    if analysed.kinds & PYTHON:
        raise refused(name, "no Python runs on the rows", "a Python UDF", "write it with Spark's functions")


def _reason(error: Exception) -> str:
    """Why, without the type of the error: Spark's own sentence says enough."""
    return reason(error).removeprefix(f"{type(error).__name__}: ")
