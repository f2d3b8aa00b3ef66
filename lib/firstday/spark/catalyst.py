"""What Spark makes of a Column: the one place that looks into its parsed and analysed expressions.

Columns that Python functions return can be looked into nowhere else. SQL of users needs none of it: that is
read by `expressions.parse`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyspark
from pyspark import SparkContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructType

Node = Mapping[str, Any]
SPARK_3 = pyspark.__version__.startswith("3.")


class OtherRowsError(Exception):
    """An expression needs more than the row that it is for: an aggregate, a window, a generator."""


@dataclass(frozen=True)
class Analysed:
    """An expression over a frame: its type, its nodes, each before its children, and what it reads."""

    type: DataType
    nodes: tuple[Node, ...]
    deterministic: bool

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(map(kind, self.nodes))

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(str(node["name"]) for node in self.nodes if kind(node) == "AttributeReference")


def kind(node: Node) -> str:
    """The node's class, without its package and what Scala adds to unnamed ones."""
    return str(node["class"]).rpartition(".")[2].partition("$$")[0]


def parsed(column: Column) -> tuple[Node, ...]:
    """The nodes of a Column before analysis; an operator may be a function of its name, as `>=`."""
    return _tree(_expression(column))


def analysed(frame: DataFrame, columns: Sequence[Column]) -> list[Analysed]:
    """The Columns over a frame, analysed together; nothing runs.

    Raises PySparkException where Spark cannot resolve one, OtherRowsError where one is not of one row.
    """
    # In one struct, so that no expression sees the name of another as a column.
    selected: Any = frame.select(
        F.struct(*(each.alias(str(place)) for place, each in enumerate(columns))).alias("struct")
    )
    rows: Any = frame
    plan = selected._jdf.queryExecution().analyzed()
    below = rows._jdf.queryExecution().analyzed()
    if plan.getClass().getSimpleName() != "Project" or not plan.child().fastEquals(below):
        raise OtherRowsError
    values = plan.projectList().apply(0).child().valExprs()
    types = selected.schema[0].dataType
    assert isinstance(types, StructType)
    expressions = [values.apply(place) for place in range(len(types.fields))]
    return [
        Analysed(field.dataType, _tree(each), each.deterministic())
        for field, each in zip(types.fields, expressions, strict=True)
    ]


def _expression(column: Any) -> Any:
    """The expression of a Column. Spark 4 makes it only where the Column is used."""
    if SPARK_3:
        return column._jc.expr()
    jvm: Any = SparkContext._jvm
    converter = getattr(jvm, "org.apache.spark.sql.classic.ColumnNodeToExpressionConverter$")
    return getattr(converter, "MODULE$").apply(column._jc.node())


def _tree(expression: Any) -> tuple[Node, ...]:
    if "CASE WHEN" not in expression.toString():
        return tuple(json.loads(expression.toJSON()))
    # Spark's JSON has the branches of a CASE twice, and twice at each level of nested ones: go down by hand.
    below = expression.children()
    node: dict[str, Any] = {"class": expression.getClass().getName(), "num-children": below.size()}
    if kind(node) == "UnresolvedFunction":
        node["nameParts"] = expression.nameParts().mkString("[", ", ", "]")
    elif kind(node) == "Cast":
        node["dataType"] = expression.dataType().typeName()
    return (node, *(each for place in range(below.size()) for each in _tree(below.apply(place))))
