"""The tables that recommending writes, without run_id."""

from pyspark.sql import types as T

from firstday.recommendations.monitoring_outputs import TABLES as MONITORING
from firstday.tables.schemas import table_schema

_TEXT, _WHOLE, _NUMBER, _INSTANT = T.StringType(), T.LongType(), T.DoubleType(), T.TimestampType()
# score: what the list is ordered by. propensity: the probability of that content in that slot after every
# step; null where neither the category (of the exploring slot only) nor the content was drawn.
RECOMMENDATIONS = table_schema(
    [
        ("user_id", _TEXT),
        ("slot", T.IntegerType()),
        ("category", _TEXT),
        ("content_id", _TEXT),
        ("score", _NUMBER),
        ("source", _TEXT),
        ("reason", _TEXT),
        ("propensity", _NUMBER),
        ("policy", _TEXT),
        ("batch_id", _TEXT),
        ("valid_from", _INSTANT),
        ("valid_to", _INSTANT),
    ]
)
# What is not shown to whom, why, and until when, where that is known.
NOT_SHOWN = table_schema([("user_id", _TEXT), ("category", _TEXT), ("reason", _TEXT), ("until", _INSTANT)])
# Each step in figures: pairs are of a customer and a category. source, reason: what a figure is of.
RECOMMEND_STEPS = table_schema(
    [*((name, _TEXT) for name in ("step", "figure", "source", "reason")), ("value", _NUMBER)]
)
TABLES = {
    **MONITORING,
    "recommendations": RECOMMENDATIONS,
    "not_shown": NOT_SHOWN,
    "recommend_steps": RECOMMEND_STEPS,
}
