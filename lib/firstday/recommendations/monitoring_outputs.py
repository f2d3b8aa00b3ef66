"""The tables that monitoring writes, without run_id."""

from pyspark.sql import types as T

from firstday.tables.schemas import table_schema

_TEXT, _WHOLE, _NUMBER = T.StringType(), T.LongType(), T.DoubleType()
# dimension: all, policy, source, slot, category, segment, or new lists. value: which of them; null where it
# is not known. low, high: a 95 % interval. impressions: of that value; of new lists their slots.
RECOMMEND_MONITORING = table_schema(
    [
        *((name, _TEXT) for name in ("dimension", "value", "figure")),
        *((name, _NUMBER) for name in ("amount", "low", "high")),
        ("impressions", _WHOLE),
    ]
)
# by_chance: what the index exceeds in 1 of 20 cases if nothing has changed. rows: that were looked at now.
RECOMMEND_DRIFT = table_schema(
    [
        ("feature", _TEXT),
        *((name, _NUMBER) for name in ("psi", "by_chance")),
        ("rows", _WHOLE),
        ("verdict", _TEXT),
    ]
)
TABLES = {"recommend_monitoring": RECOMMEND_MONITORING, "recommend_drift": RECOMMEND_DRIFT}
