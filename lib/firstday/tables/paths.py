"""Columns of an input under the names that the jobs know, also where they lie inside of nested columns."""

from collections.abc import Iterator, Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StringType, StructType

from firstday.tables.schemas import column


def mapped(frame: DataFrame, columns: Mapping[str, Sequence[str]]) -> DataFrame:
    """The frame with each of `columns` taken from the first of its paths that is not null.

    A path is a column's name, or names with dots between them that lead into structs, maps, JSON texts and
    lists of key and value (`event_params.page`). Where the frame has none of the paths, nothing changes.
    """
    values = {}
    for name, paths in columns.items():
        found = [value for path in paths for value in _at(frame, path)]
        if found:
            values[name] = found[0] if len(found) == 1 else F.coalesce(*found)
    if not values:
        return frame
    # Spark does not tell columns apart by case: the old column would stand beside the new one.
    taken = {name.lower() for name in values}
    kept = [column(name) for name in frame.columns if name.lower() not in taken]
    return frame.select(*kept, *(value.alias(name) for name, value in values.items()))


def leads_somewhere(frame: DataFrame, paths: Sequence[str]) -> bool:
    """Whether the frame has one of the paths."""
    return any(True for path in paths for _ in _at(frame, path))


def _at(frame: DataFrame, path: str) -> Iterator[Column]:
    """The value at a path; nothing where the frame has no such column. Case tells no columns apart."""
    kinds = {each.name.lower(): (each.name, each.dataType) for each in frame.schema}
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        name, kind = kinds.get(".".join(parts[:count]).lower(), (None, None))
        if name is not None and kind is not None:
            yield from _inside(column(name), kind, parts[count:])
            return


def _inside(value: Column, kind: DataType, parts: Sequence[str]) -> Iterator[Column]:
    if not parts:
        yield value
    elif isinstance(kind, StructType):
        for count in range(len(parts), 0, -1):  # a field's name may have dots, too
            name = ".".join(parts[:count])
            if name in kind.names:
                yield from _inside(value.getField(name), kind[name].dataType, parts[count:])
                return
    elif isinstance(kind, MapType) and isinstance(kind.keyType, StringType):
        yield from _inside(F.try_element_at(value, F.lit(parts[0])), kind.valueType, parts[1:])
    elif isinstance(kind, ArrayType) and isinstance(kind.elementType, StructType):
        yield from _of_key(value, kind.elementType, parts)
    elif isinstance(kind, StringType):  # JSON within a column
        steps = "".join(f"['{part}']" for part in parts if "'" not in part)
        yield F.get_json_object(value, "$" + steps)


def _of_key(value: Column, element: StructType, parts: Sequence[str]) -> Iterator[Column]:
    """The value beside a key, in a list of structs of both; of typed values the one that is there."""
    if not {"key", "value"} <= set(element.names):
        return
    name, kind = ".".join(parts), element["value"].dataType
    first = F.try_element_at(F.filter(value, lambda each: each["key"] == F.lit(name)), F.lit(1))["value"]
    if isinstance(kind, StructType):
        yield F.coalesce(*(first.getField(each.name).cast("string") for each in kind))
    else:
        yield first
