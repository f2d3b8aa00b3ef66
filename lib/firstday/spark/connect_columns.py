"""What `catalyst` tells of Columns, of those of Spark Connect: from the messages that they are sent as."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.spark.failures import error_class

CHANCE = "INVALID_NON_DETERMINISTIC_EXPRESSIONS"
TYPES = {"int": "integer", "bigint": "long", "smallint": "short", "tinyint": "byte"}
# The messages of an expression, and the classes that Spark has for them.
CLASSES = {
    "unresolved_function": "UnresolvedFunction",
    "call_function": "UnresolvedFunction",
    "unresolved_extract_value": "UnresolvedExtractValue",
    "update_fields": "UpdateFields",
    "lambda_function": "LambdaFunction",
    "unresolved_named_lambda_variable": "UnresolvedNamedLambdaVariable",
    "named_argument_expression": "NamedArgumentExpression",
    "sort_order": "SortOrder",
    "window": "WindowExpression",
    "subquery_expression": "ScalarSubquery",
    "common_inline_user_defined_function": "PythonUDF",
    "typed_aggregate_expression": "PythonUDAF",
}
PART = re.compile(r"`((?:[^`]|``)*)`|([^.`]+)")


def nodes(column: Column) -> tuple[Mapping[str, Any], ...]:
    """The nodes of a Column, each before its children. Raises SettingsError where it holds text in SQL, which
    only the server reads.
    """
    session: Any = SparkSession.getActiveSession()
    made: Any = column
    return tuple(_nodes(made.to_plan(session.client)))


def resolved_nodes(column: Column) -> tuple[Mapping[str, Any], ...]:
    """The same as analysis has them: what a Column reads are references to columns of the rows."""
    return tuple(
        {"class": "AttributeReference", "num-children": 0, "name": _first(str(node["nameParts"])[1:-1])}
        if node["class"] == "UnresolvedAttribute"
        else node
        for node in nodes(column)
    )


def of_a_row(frame: DataFrame, column: Column) -> tuple[bool, bool]:
    """Whether a Column that can be resolved over the frame is of one row, and whether it is deterministic."""
    # The condition of a join may be neither an aggregate, a window, a generator, nor chance.
    other = frame.sparkSession.range(1).select(F.lit(1).alias("firstday_other"))
    try:
        _ = frame.join(other, F.struct(column).isNotNull()).schema
    except AnalysisException as error:
        return error_class(error) == CHANCE, False
    return True, True


def _nodes(message: Any) -> Iterator[Mapping[str, Any]]:
    what = message.WhichOneof("expr_type")
    body = getattr(message, what)
    if what == "alias":
        yield from _nodes(body.expr)
    elif what == "literal":
        yield {"class": "Literal", "num-children": 0, "dataType": body.WhichOneof("literal_type")}
    elif what == "unresolved_attribute":
        name = _plain(body.unparsed_identifier)
        yield {"class": "UnresolvedAttribute", "num-children": 0, "nameParts": f"[{name}]"}
    elif what == "cast":
        kind = body.type_str or body.type.WhichOneof("kind")
        yield {"class": "Cast", "num-children": 1, "dataType": TYPES.get(kind, kind)}
        yield from _nodes(body.expr)
    elif what == "expression_string":
        raise SettingsError(
            "on Spark Connect a function returns Columns that are made in Python, without SQL",
            value=body.expression,
            next_step="write it with pyspark.sql.functions, or as a rule in YAML",
        )
    else:
        below = [each for field, value in body.ListFields() for each in _expressions(field, value)]
        node: dict[str, Any] = {"class": CLASSES.get(what, what), "num-children": len(below)}
        if node["class"] == "UnresolvedFunction":
            node["nameParts"] = f"[{body.function_name}]"
        yield node
        for each in below:
            yield from _nodes(each)


def _expressions(field: Any, value: Any) -> list[Any]:
    """The expressions in a field of a message."""
    if field.message_type is None or field.message_type.name != "Expression":
        return []
    return [value] if hasattr(value, "WhichOneof") else list(value)


def _plain(name: str) -> str:
    """A name without the backticks, where it is one and not dotted."""
    parts = PART.findall(name)
    return parts[0][0].replace("``", "`") or parts[0][1] if len(parts) == 1 else name


def _first(name: str) -> str:
    parts = PART.match(name) if name.startswith("`") else None
    return parts[1].replace("``", "`") if parts else name
