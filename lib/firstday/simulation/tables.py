"""The schemas of a simulated world's tables, without run_id."""

import pandas as pd
from pyspark.sql.types import (
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from firstday.simulation.world import SEGMENTS


def _schema(**columns: type) -> StructType:
    return StructType([StructField(name, kind()) for name, kind in columns.items()])


TABLES = {
    "users": _schema(user_id=StringType, anchored_at=TimestampType, **dict.fromkeys(SEGMENTS, StringType)),
    "events": _schema(user_id=StringType, action=StringType, occurred_at=TimestampType),
    "truth": _schema(
        action=StringType, threshold=IntegerType, effect=DoubleType, seed=LongType, common_shocks=BooleanType
    ),
}


def accounts(frame: pd.DataFrame) -> StructType:
    """The schema of a fraud world's accounts: text, whole numbers and fractions, as they are in `frame`."""
    kinds = {"i": LongType, "f": DoubleType}
    return _schema(**{name: kinds.get(kind.kind, StringType) for name, kind in frame.dtypes.items()})
