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
# What candidates were like at the instants that a later run may be compared with. bin: a text's value,
# `missing`, or the bounds of numbers, from low (inclusive) to high; both null for `missing`.
RECOMMEND_PROFILE = table_schema(
    [
        ("at", T.TimestampType()),
        *((name, _TEXT) for name in ("feature", "bin")),
        *((name, _NUMBER) for name in ("low", "high", "share")),
        ("rows", _WHOLE),
    ]
)
# by_chance: what the index exceeds in 1 of 20 cases if nothing has changed. rows: that were looked at now.
# since: the instant of the run that this one is compared with.
RECOMMEND_DRIFT = table_schema(
    [
        ("feature", _TEXT),
        *((name, _NUMBER) for name in ("psi", "by_chance")),
        ("rows", _WHOLE),
        ("verdict", _TEXT),
        ("since", T.TimestampType()),
    ]
)
TABLES = {
    "recommend_monitoring": RECOMMEND_MONITORING,
    "recommend_drift": RECOMMEND_DRIFT,
    "recommend_profile": RECOMMEND_PROFILE,
}
