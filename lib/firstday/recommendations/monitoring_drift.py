"""How far today's rows are from those that the model learned from: the population stability index.

PSI = Σ (now - then) ln(now / then) over the bins of a feature (Siddiqi 2006, Credit Risk Scorecards), with
shares of at least LEAST_SHARE, so that an empty bin is no infinity. Below 0.1 a feature is called stable,
below 0.25 moved, above it shifted: rules of thumb, no test. Without any change PSI is about chi-squared with
bins - 1 degrees of freedom, times 1 / rows then + 1 / rows now (Yurdakul 2018): what does not exceed that
chance is stable too. (Rows of one customer are more alike: then chance does more than it says.)

What PSI does not show: whether the model is worse for it (a feature that it hardly uses may shift, and clicks
may follow the same features otherwise than before while no share moves), why (a season, a broken feed, other
customers), and shifts of features only together, each with its old shares. Compare like with like: what was
shown, which models are trained on, was selected by a policy; among all candidates features have other shares.

A number's bins are tenths of the rows then, cut on both sides of a value that holds a tenth alone. Numbers
are first rounded down to 128 steps from one power of 2 to the next, so that a small table of counts, whatever
the rows and their order, is all that reaches the driver. A text's bins are its values; null, NaN and values
that the encoding does not know are `missing`.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy.special import chdtri

from firstday.errors import DataError
from firstday.ranking.encoding import PREFIX, Encoding
from firstday.ranking.outputs import RANKER_PROFILE
from firstday.recommendations.monitoring_outputs import RECOMMEND_DRIFT
from firstday.tables.schemas import column

SCORE = "firstday_score"  # the score, among the features
MISSING = "missing"
LEAST_SHARE = 1e-4
MOVED, SHIFTED = 0.1, 0.25
TENTHS = 10
STEPS = 128  # from one power of 2 to the next: whole numbers to 256, all codes among them, stay exact
SMALLEST, LARGEST = 1e-290, 1e290  # in size; below is 0, above is one


def encoded_columns(encoding: Encoding, score: str | None = None) -> dict[str, str]:
    """The columns that `Encoding.apply` adds, by feature, and the score's, if given, as SCORE."""
    found = {name: PREFIX + name for name in encoding.names}
    return found if score is None else found | {SCORE: score}


def unpacked(rows: DataFrame, encoding: Encoding, vector: str, *others: str) -> DataFrame:
    """The encoded columns again, of a vector that holds them in order, with the columns `others`."""
    values = vector_to_array(column(vector))
    features = (values[place].alias(name) for place, name in enumerate(encoding.columns))
    return rows.select(*map(column, others), *features)


def profile(rows: DataFrame, columns: Mapping[str, str], encoding: Encoding | None = None) -> pd.DataFrame:
    """What the rows that a model learns from are like: the columns of RANKER_PROFILE.

    columns: of numbers, by feature; of features that the encoding has as texts the numbers are codes, each a
    bin of its own.
    Bounded by features × MOST_VALUES bins. One Spark job; each row is read once a column: for tens of
    millions of rows give a sample, by a hash of customers. Raises DataError where there are no rows.
    """
    counts = _counts(rows, columns)
    total = int(counts.loc[counts["feature"] == next(iter(columns)), "rows"].sum()) if len(counts) else 0
    if not total:
        raise DataError("a profile is of at least one row", value=0, next_step="give the rows to train on")
    texts = {one.name: one.values for one in encoding.features if one.values is not None} if encoding else {}
    parts = []
    for feature in columns:
        of_feature = counts[counts["feature"] == feature]
        known = of_feature[of_feature["key"].notna()].sort_values("key")
        values = texts.get(feature)
        codes = [(name, float(code), code + 1.0) for code, name in enumerate(values or ())]
        bins = _tenths(known) if values is None else codes
        parts.append(_binned(of_feature, feature, bins))
    found = pd.concat(parts, ignore_index=True)
    found["share"] = found["rows"] / total
    return found[RANKER_PROFILE.names]


def drift(before: pd.DataFrame, rows: DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The columns of RECOMMEND_DRIFT, the greatest index first; index and verdict are null without rows.

    before: of `profile`, as it was kept. columns: the same, of today's rows. One Spark job; give a sample of
    many rows, as for `profile`. Raises DataError where a feature of the profile is missing.
    """
    features = list(dict.fromkeys(before["feature"]))
    absent = [name for name in features if name not in columns]
    if absent:
        raise DataError(
            "drift is of the features that the model was trained on",
            value=absent,
            next_step="give the profile that was kept with the model",
        )
    counts = _counts(rows, {name: columns[name] for name in features})
    found = []
    for feature in features:
        then = before[before["feature"] == feature]
        bins = [
            (str(one.bin), one.low, one.high) for one in then.itertuples(index=False) if not _none(one.low)
        ]
        now = _binned(counts[counts["feature"] == feature], feature, bins).set_index("bin")["rows"]
        index, chance = psi(then.set_index("bin")["rows"], now)
        found.append((feature, index, chance, int(now.sum()), verdict(index, chance)))
    table = pd.DataFrame(found, columns=RECOMMEND_DRIFT.names)
    return table.sort_values(["psi", "feature"], ascending=[False, True], ignore_index=True)


def psi(then: pd.Series, now: pd.Series) -> tuple[float, float]:
    """The index of counts by the same bins, and what chance alone exceeds in 1 of 20 cases."""
    of_then, of_now = float(then.sum()), float(now.sum())
    if not of_then or not of_now:
        return math.nan, math.nan
    one = (then / of_then).clip(lower=LEAST_SHARE)
    other = (now.reindex(then.index, fill_value=0) / of_now).clip(lower=LEAST_SHARE)
    index = float(((other - one) * np.log(other / one)).sum())
    used = int(((then > 0) | (now.reindex(then.index, fill_value=0) > 0)).sum())
    chance = float(chdtri(used - 1, 0.05)) * (1 / of_then + 1 / of_now) if used > 1 else 0.0
    return index, chance


def verdict(index: float, chance: float) -> str | None:
    """'stable', 'moved' or 'shifted'; None without an index."""
    if math.isnan(index):
        return None
    if index < MOVED or index <= chance:
        return "stable"
    return "moved" if index < SHIFTED else "shifted"


def _counts(rows: DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """feature, key, rows: how many rows there are of each rounded value; the key NaN is missing."""
    names = list(columns)
    pairs = F.array(
        *(
            F.struct(F.lit(place).alias("place"), column(columns[name]).cast("double").alias("value"))
            for place, name in enumerate(names)
        )
    )
    # Rounded once they stand below each other: one formula, where one a feature is too long to compile.
    values = rows.select(F.inline(pairs)).select("place", _rounded(F.col("value")).alias("key"))
    counted = values.groupBy("place", "key").agg(F.count(F.lit(1)).alias("rows"))
    found: pd.DataFrame = counted.toPandas()
    found["feature"] = [names[place] for place in found["place"]]
    return found.astype({"key": float})[["feature", "key", "rows"]]


def _rounded(value: Column) -> Column:
    """Down to a step; null for what is no number."""
    size = F.least(F.abs(value), F.lit(LARGEST))
    power = F.pow(F.lit(2.0), F.floor(F.log2(size)).cast("double"))
    steps = size / power * STEPS
    down = F.when(value > 0, F.floor(steps)).otherwise(-F.ceil(steps)).cast("double") * power / STEPS
    return (
        F.when(value.isNull() | F.isnan(value), F.lit(None)).when(size < SMALLEST, F.lit(0.0)).otherwise(down)
    )


Bins = list[tuple[str, float, float]]


def _tenths(known: pd.DataFrame) -> Bins:
    """Bins of about a tenth of the rows, from all below to all above. known: key, rows, by key."""
    least = known["rows"].sum() / TENTHS
    edges: list[float] = []
    size = 0
    for key, rows in zip(known["key"], known["rows"], strict=True):
        if size and (size >= least or rows >= least):
            edges.append(float(key))
            size = 0
        size += rows
    bounds = [-math.inf, *edges, math.inf]
    return [(f"from {low:.6g} to {high:.6g}", low, high) for low, high in pairwise(bounds)]


def _binned(counts: pd.DataFrame, feature: str, bins: Bins) -> pd.DataFrame:
    """feature, bin, low, high, rows; the last is MISSING, with what is in no bin."""
    keys, rows = counts["key"].to_numpy(), counts["rows"].to_numpy()
    inside = [int(rows[(keys >= low) & (keys < high)].sum()) for _, low, high in bins]
    binned = [(name, low, high, number) for (name, low, high), number in zip(bins, inside, strict=True)]
    binned.append((MISSING, math.nan, math.nan, int(rows.sum()) - sum(inside)))
    return pd.DataFrame(binned, columns=["bin", "low", "high", "rows"]).assign(feature=feature)


def _none(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
