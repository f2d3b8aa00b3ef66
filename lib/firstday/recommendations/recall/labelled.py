"""What customers are, in words: each column's text, numbers in bins."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, NumericType

from firstday.errors import SettingsError
from firstday.tables.schemas import column

UNKNOWN = "unknown"
SAMPLED = 100_000  # customers


def labelled(customers: DataFrame, names: Sequence[str], bins: int) -> list[Column]:
    """Of each column its text after its name, as `age 30 to 40` for a number, in `bins` by its quantiles.

    One job where there are numbers. Raises SettingsError for a column that customers have not.
    """
    kinds = {field.name: field.dataType for field in customers.schema}
    absent = [name for name in names if name not in kinds]
    if absent:
        raise SettingsError(
            "profile columns are columns of the customers", value=absent, next_step="check the names"
        )
    binned = [name for name in names if isinstance(kinds[name], NumericType)]
    edges = _edges(customers, binned, bins)
    return [
        F.concat(
            F.lit(f"{name} "),
            _bin(column(name), edges[name])
            if name in edges
            else F.coalesce(_text(name, kinds), F.lit(UNKNOWN)),
        )
        for name in names
    ]


def _text(name: str, kinds: Mapping[str, object]) -> Column:
    if isinstance(kinds[name], BooleanType):
        return F.when(column(name), "yes").when(~column(name), "no")
    return column(name).cast("string")


def _edges(customers: DataFrame, names: Sequence[str], bins: int) -> dict[str, list[float]]:
    """Exact inner quantiles, of SAMPLED customers where there are more: approximate ones would change with
    the partitions, and exact ones of all be one executor's work.
    """
    if not names:
        return {}
    some = customers.orderBy(F.xxhash64("user_id"), "user_id").limit(SAMPLED)
    shares = F.array(*(F.lit(place / bins) for place in range(1, bins)))
    numbers = (F.when(~F.isnan(column(name).cast("double")), column(name).cast("double")) for name in names)
    found = some.agg(*(F.percentile(number, shares) for number in numbers)).first()
    assert found is not None  # an aggregation without groups has one row
    return {name: sorted(set(edges or [])) for name, edges in zip(names, found, strict=True)}


def _bin(value: Column, edges: Sequence[float]) -> Column:
    number = value.cast("double")
    if not edges:
        return F.lit(UNKNOWN)
    label = F.when(number.isNull() | F.isnan(number), UNKNOWN).when(number < edges[0], f"below {edges[0]:g}")
    for low, high in pairwise(edges):
        label = label.when(number < high, f"{low:g} to {high:g}")
    return label.otherwise(f"from {edges[-1]:g}")
