"""How far the candidates of today are from those of a run before: the population stability index.

PSI = Σ (now - then) ln(now / then) over the bins of a feature (Siddiqi 2006, Credit Risk Scorecards), with
shares of at least LEAST_SHARE, so that an empty bin is no infinity. Below 0.1 a feature is called stable,
below 0.25 moved, above it shifted: rules of thumb, no test. Without any change PSI is about chi-squared with
bins - 1 degrees of freedom, times 1 / rows then + 1 / rows now (Yurdakul 2018): what does not exceed that
chance is stable too. (Rows of one customer are more alike: then chance does more than it says.)

Like is compared with like: all candidates of the same sample of customers, in a run that was made some days
before. What a ranker learned from was selected by another policy, and logs grow, so that a comparison with
training finds half of the features shifted in a healthy bank. Rates of a whole category are left out: some
forty values that are worked out anew each time say nothing of customers.

What PSI does not show: whether the model is worse for it (a feature that it hardly uses may shift, and clicks
may follow the same features otherwise than before while no share moves), why (a season, a broken feed, other
customers), shifts of features only together, each with its old shares, and what changes slowly.

A number's bins are tenths of the rows then, cut on both sides of a value that holds a tenth alone. Numbers
are first rounded down to 128 steps from one power of 2 to the next, so that a small table of counts, whatever
the rows and their order, is all that reaches the driver. A text's bins are its values; null, NaN and values
that were not known then are `missing`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy.special import chdtri

from firstday.ranking.encoding import PREFIX, Encoding
from firstday.ranking.rates import CATEGORY_RATE, SEGMENT_RATE
from firstday.recommendations.monitoring_outputs import RECOMMEND_DRIFT, RECOMMEND_PROFILE
from firstday.tables.schemas import column

SCORE = "firstday_score"  # the score, among the features
MISSING = "missing"
LEAST_SHARE = 1e-4
MOVED, SHIFTED = 0.1, 0.25
TENTHS = 10
STEPS = 128  # from one power of 2 to the next: whole numbers to 256, all codes among them, stay exact
SMALLEST, LARGEST = 1e-290, 1e290  # in size; below is 0, above is one


def watched_columns(encoding: Encoding, score: str | None = None) -> dict[str, str]:
    """The columns that `Encoding.apply` adds, by feature, but for rates of categories, and the score's, if
    given, as SCORE.
    """
    found = {name: PREFIX + name for name in encoding.names if name not in (CATEGORY_RATE, SEGMENT_RATE)}
    return found if score is None else found | {SCORE: score}


def unpacked(rows: DataFrame, encoding: Encoding, vector: str, *others: str) -> DataFrame:
    """The encoded columns again, of a vector that holds them in order, with the columns `others`."""
    values = vector_to_array(column(vector))
    features = (values[place].alias(name) for place, name in enumerate(encoding.columns))
    return rows.select(*map(column, others), *features)


def counted(rows: DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """feature, key, rows: how many rows there are of each rounded value; the key NaN is missing.

    columns: of numbers, by feature; of texts their codes. One Spark job; each row is read once a column: for
    tens of millions of rows give a sample, by a hash of customers.
    """
    names = list(columns)
    pairs = F.array(
        *(
            F.struct(F.lit(place).alias("place"), column(columns[name]).cast("double").alias("value"))
            for place, name in enumerate(names)
        )
    )
    # Rounded once they stand below each other: one formula, where one a feature is too long to compile.
    values = rows.select(F.inline(pairs)).select("place", _rounded(F.col("value")).alias("key"))
    found: pd.DataFrame = values.groupBy("place", "key").agg(F.count(F.lit(1)).alias("rows")).toPandas()
    found["feature"] = [names[place] for place in found["place"]]
    return found.astype({"key": float}).sort_values(["place", "key"])[["feature", "key", "rows"]]


def profile(counts: pd.DataFrame, encoding: Encoding, at: datetime) -> pd.DataFrame:
    """What the rows of `counted` are like, at `at`: the columns of RECOMMEND_PROFILE.

    Bounded by features × MOST_VALUES bins.
    """
    texts = _texts(encoding)
    parts = []
    for feature, of_feature in counts.groupby("feature", sort=False):
        known = of_feature[of_feature["key"].notna()]
        bins = _tenths(known) if feature not in texts else _codes(texts[feature], texts[feature])
        binned = _binned(of_feature, str(feature), bins)
        parts.append(binned.assign(share=binned["rows"] / of_feature["rows"].sum()))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=RECOMMEND_PROFILE.names)
    return found.assign(at=at)[RECOMMEND_PROFILE.names]


def kept(profiles: pd.DataFrame, now: datetime, window: timedelta) -> pd.DataFrame:
    """The profiles that a later run may be compared with, the one for this run first: the last that is
    `window` old, or else the first there is, and those after it.
    """
    earlier = profiles[profiles["at"] < now].sort_values("at", kind="stable", ignore_index=True)
    old = earlier.loc[earlier["at"] <= now - window, "at"]
    return earlier[earlier["at"] >= (old.max() if len(old) else earlier["at"].min())]


def drift(before: pd.DataFrame, counts: pd.DataFrame, encoding: Encoding) -> pd.DataFrame:
    """The columns of RECOMMEND_DRIFT, the greatest index first; index and verdict are null without rows.

    before: of one `profile`, as it was kept; its features that today's rows do not have are passed over.
    counts: of today's rows.
    """
    texts = _texts(encoding)
    found = []
    for feature, then in before.groupby("feature", sort=False):
        of_feature = counts[counts["feature"] == feature]
        if of_feature.empty:
            continue
        known = then[then["low"].notna()]
        bins = (
            _codes(known["bin"], texts[feature])
            if feature in texts
            else list(zip(known["bin"], known["low"], known["high"], strict=True))
        )
        now = _binned(of_feature, str(feature), bins).set_index("bin")["rows"]
        index, chance = psi(then.set_index("bin")["rows"], now)
        found.append((feature, index, chance, int(now.sum()), verdict(index, chance), then["at"].iloc[0]))
    table = pd.DataFrame(found, columns=RECOMMEND_DRIFT.names)
    return table.sort_values(["psi", "feature"], ascending=[False, True], ignore_index=True)


def _texts(encoding: Encoding) -> dict[object, Sequence[str]]:
    return {one.name: one.values for one in encoding.features if one.values is not None}


def _codes(names: Iterable[str], values: Sequence[str]) -> "Bins":
    """The bins of texts: by today's codes, an empty one for those that have none."""
    code = {name: float(place) for place, name in enumerate(values)}
    return [(name, code.get(name, math.inf), code.get(name, math.inf) + 1.0) for name in names]


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
