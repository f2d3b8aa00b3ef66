"""The tables that training writes, without run_id."""

from pyspark.sql import types as T

from firstday.tables.schemas import table_schema

_TEXT, _WHOLE, _NUMBER = T.StringType(), T.LongType(), T.DoubleType()
# model: 'model' or a baseline. gain: what the model has over this one, on the same lists.
RANKER_METRICS = table_schema(
    [
        *((name, _TEXT) for name in ("split", "model", "metric")),
        *((name, _NUMBER) for name in ("value", "low", "high", "gain", "gain_low", "gain_high")),
        *((name, _WHOLE) for name in ("lists", "lists_left_out")),
    ]
)
RANKER_SCORES = table_schema(
    [
        *((name, _TEXT) for name in ("split", "list", "key", "category")),
        *((name, _NUMBER) for name in ("label", "score")),
    ]
)
RANKER_FEATURES = table_schema(
    [
        ("feature", _TEXT),
        ("gain", _NUMBER),
        ("gain_share", _NUMBER),
        ("splits", _WHOLE),
        ("mean_absolute_shap", _NUMBER),
    ]
)
# recall: the columns and actions that features were made with, as JSON. encoding: how features are made of
# the tables. native: LightGBM's text. beats: whether it is shown to be better than all baselines.
RANKER_MODEL = table_schema(
    [
        ("objective", _TEXT),
        ("features", T.ArrayType(_TEXT)),
        ("encoding", _TEXT),
        ("recall", _TEXT),
        ("parameters", _TEXT),
        ("beats", T.BooleanType()),
        ("notes", T.ArrayType(_TEXT)),
        ("native", _TEXT),
    ]
)
# What lists of so many slots would earn; last_slot_click_rate: what is in the last of them. Empty for ready
# examples.
RANKER_SLOTS = table_schema(
    [
        ("slots", _WHOLE),
        *((name, _NUMBER) for name in ("expected_click_rate", "low", "high", "clicks_per_list")),
        *((name, _NUMBER) for name in ("last_slot_click_rate", "examination")),
        *((name, _NUMBER) for name in ("examination_low", "examination_high")),
        ("recommended", T.BooleanType()),
    ]
)
TABLES = {
    "ranker_metrics": RANKER_METRICS,
    "ranker_scores": RANKER_SCORES,
    "ranker_features": RANKER_FEATURES,
    "ranker_model": RANKER_MODEL,
    "ranker_slots": RANKER_SLOTS,
}
