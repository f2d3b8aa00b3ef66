"""The tables that discovery writes beside moment_counts and moment_products, without run_id."""

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from firstday.moments import analyse

_KINDS: dict[str, T.DataType] = {
    "s": T.StringType(), "i": T.IntegerType(), "l": T.LongType(),
    "a": T.ArrayType(T.StringType()), "d": T.DoubleType(), "b": T.BooleanType(), "t": T.DateType(),
}  # fmt: skip


def _schema(**columns: str) -> T.StructType:
    return T.StructType([T.StructField(name, _KINDS[kind]) for name, kind in columns.items()])


METRICS = (
    "precision", "precision_low", "precision_high", "recall", "recall_low", "recall_high",
    "lift", "f1", "phi", "difference", "difference_low", "difference_high",
)  # fmt: skip
# In time, from a sample of the users: see `counts.Counts`.
MOMENT_TIMING = _schema(anchor_date="t", leader="s", action="s", events="l", after="l", before="l")
_CANDIDATE = {"segment": "s", "action": "s", "threshold": "i", "day": "i"}
_COUNTS = dict.fromkeys(analyse.COUNTS, "l")
_FIGURES = dict.fromkeys(analyse.FIGURES, "d")
_FINDINGS = {"simpson": "b", "trend": "s", "trend_lag": "i"}

MOMENTS = _schema(
    **_CANDIDATE, **_COUNTS, **dict.fromkeys(METRICS, "d"), **_FIGURES, **_FINDINGS,
    on_frontier="b", verdict="s", reason="s",
)  # fmt: skip
# The same candidates of segment `all` on the dates that the choice was made on, and on those reported on.
MOMENT_HALVES = _schema(half="s", **_CANDIDATE, **_COUNTS, **_FIGURES, **_FINDINGS, dates="i")
ACTION_EVIDENCE = _schema(
    action="s", day="i", share_experienced_once="d", family="s", observed="d", expected="d", effect="d",
    within_factor="d", trend_effect="d", trend_low="d", trend_high="d", trend_factor="d",
    p_cause="d", p_works="d", verdict="s", reason="s",
)  # fmt: skip
# What experiments have said of actions that an earlier run listed; rows are kept from run to run.
TESTED = _schema(
    action="s", threshold="i", day="i", expected_lift="d", estimate="d", low="d", high="d", status="s",
    retention_kind="s",
)  # fmt: skip
# Who leads whom: of the follower's events, the share with one of the leader's before rather than after them.
ACTION_LINKS = _schema(leader="s", follower="s", day="i", lead="d")
SHORTLIST = _schema(
    rank="i", action="s", threshold="i", day="i", p_works="d", p_cause="d", why="s", against="s", family="s",
    effect="d", effect_low="d", effect_high="d", expected_gain="d", lift="d", users_per_arm="l",
    days_needed="l", guardrails="a", guardrail_day="i", sentence="s", status="s",
    retention_kind="s",
)  # fmt: skip
# Of the first day of --days, by anchor date: see `counts.Counts`.
MOMENT_PAIRS = T.StructType(
    [
        *_schema(anchor_date="t", action="s", other_action="s").fields,
        *(T.StructField(name, T.ArrayType(T.LongType())) for name in ("users", "retained")),
    ]
)
# Pairs of actions beside the best single candidate of at least their recall, on the later dates.
CONJUNCTIONS = _schema(
    action="s", threshold="i", other_action="s", other_threshold="i", day="i", **_COUNTS,
    precision="d", precision_low="d", precision_high="d", recall="d",
    single_action="s", single_threshold="i", single_precision="d", single_recall="d",
    gain="d", p_value="d", p_adjusted="d", beats="b", tried="i", dates="i",
)  # fmt: skip
MOMENT_TRENDS = _schema(
    **_CANDIDATE, anchor_date="t", **_COUNTS, share="d", retention="d",
)  # fmt: skip
FUNNEL = _schema(step="i", name="s", candidates="l", dropped="l", loser="s", figure="s")
HYPOTHESES = _schema(
    verdict="s", action="s", threshold="i", day="i", sentence="s", sql="s", reason="s",
    p_cause="d", p_works="d", p_none="d", cause_share="d",
    precision="d", precision_low="d", precision_high="d", recall="d", recall_low="d", recall_high="d",
    adjusted="d", adjusted_low="d", adjusted_high="d",
    baseline="d", detectable_effect="d", users_per_arm="l", days_needed="l", alpha="d", power="d",
    users_a_day="d", users_a_day_first="t", users_a_day_last="t",
    retention_kind="s",
    choosing_users="l", choosing_dates="l", choosing_first="t", choosing_last="t",
    later_users="l", later_dates="l", later_first="t", later_last="t",
    too_little="s", more_needed="d", help="s",
)  # fmt: skip
# The same candidates without the users that labels left out, and with them.
LABEL_CHANGES = _schema(
    population="s", **_CANDIDATE, **_COUNTS, precision="d", recall="d", phi="d",
    adjusted="d", adjusted_low="d", adjusted_high="d", verdict="s", reason="s",
)  # fmt: skip
VERDICTS = _schema(**_CANDIDATE, verdict="s", reason="s")
TABLES = {
    "moments": MOMENTS,
    "moment_halves": MOMENT_HALVES,
    "action_evidence": ACTION_EVIDENCE,
    "moment_trends": MOMENT_TRENDS,
    "funnel": FUNNEL,
    "hypotheses": HYPOTHESES,
    "shortlist": SHORTLIST,
    "action_links": ACTION_LINKS,
    "tested": TESTED,
    "conjunctions": CONJUNCTIONS,
}
# Whatever is asked for.
DECLARED = TABLES | {
    "label_changes": LABEL_CHANGES,
    "moment_timing": MOMENT_TIMING,
    "moment_pairs": MOMENT_PAIRS,
}


def moments(measured: DataFrame, analysed: DataFrame, verdicts: DataFrame) -> DataFrame:
    """The table `moments`: each measured candidate, what was found about it, and why it stayed or fell."""
    keys = list(_CANDIDATE)
    found = analysed.select(*keys, *_FIGURES, *_FINDINGS)
    return measured.join(found, keys, "left").join(verdicts, keys, "left").select(*_cast(MOMENTS))


def halves(analysed: DataFrame) -> DataFrame:
    """The table `moment_halves`, from what `analyse` returned."""
    return analysed.where(F.col("half") != analyse.WHOLE).select(*_cast(MOMENT_HALVES))


def _cast(schema: T.StructType) -> list[Column]:
    return [F.col(field.name).cast(field.dataType).alias(field.name) for field in schema.fields]


def typed(frame: pd.DataFrame, schema: T.StructType) -> tuple[list[tuple[object, ...]], T.StructType]:
    """Rows and schema for `local_rows`: a small table with Python values, unknown ones as None."""
    columns = [
        [_plain(value, field.dataType) for value in frame[field.name]]
        if field.name in frame
        else [None] * len(frame)
        for field in schema.fields
    ]
    return list(zip(*columns, strict=True)), schema


def _plain(value: object, kind: T.DataType) -> object:
    if value is None or value is pd.NaT or (isinstance(value, float | np.floating) and np.isnan(value)):
        return None
    if isinstance(kind, T.IntegerType | T.LongType):
        return int(value)  # type: ignore[call-overload]
    return float(value) if isinstance(kind, T.DoubleType) else value  # type: ignore[arg-type]
