"""The sums that off-policy estimates are made of: NumPy makes them of arrays, Spark of a table.

The table's are one aggregation with built-in functions, and one row reaches the driver, whatever the log's
size. With a unit the log is shuffled once, as sums by unit.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.tables.schemas import quoted

Floats = NDArray[np.float64]
T = TypeVar("T")
# What is added up within a unit, and multiplied between units.
PARTS = ("rows", "reward", "weight", "weighted_reward", "weighted_error", "expected")
PAIRS = tuple(combinations_with_replacement(PARTS, 2))
LARGEST = 1e100  # in size, so that squares and their sums stay finite
WRONG = "wrong_"
UNIT = "unit"


@dataclass(frozen=True)
class Range:
    """What a column's values may be, from low to high; null and NaN are in no range."""

    low: float
    high: float
    rule: str
    next_step: str


FINITE = "leave out or repair the rows with null, NaN and infinity"
RANGES = {
    "reward": Range(-LARGEST, LARGEST, "each reward is a finite number", FINITE),
    "propensity": Range(
        1e-9,
        1,
        "each propensity is above 0 (from 1e-9) and at most 1",
        "log the probability of the content in its slot after the last step; leave out slots that were "
        "filled without a draw, or give them 1 if no other content was possible there",
    ),
    "probability": Range(
        0,
        1,
        "each probability of the new policy is from 0 to 1",
        "give its probability of the logged content",
    ),
    "predicted": Range(-LARGEST, LARGEST, "each reward that is predicted is a finite number", FINITE),
    "expected": Range(-LARGEST, LARGEST, "each reward that is expected is a finite number", FINITE),
    "supported": Range(
        0,
        1,
        "the supported share of the new policy's probability is from 0 to 1",
        "add up its probabilities of the contents that the logged policy could show there",
    ),
}
UNIT_RULE = "each row has its unit"
UNIT_STEP = "leave out the rows without one, or give each an id of its own"


@dataclass(frozen=True)
class Sums:
    """A log as sums. `totals`: (6,), of PARTS over all rows. `products`: (6, 6), of a unit's sums of PARTS
    with one another, over units; a row is a unit where none is given. Weights' squares are the rows'.

    supported: the sum of the supported shares, None where they are not known. modelled: whether there
    is a reward model; without one the errors are the rewards and nothing is expected.
    """

    units: int
    totals: Floats
    products: Floats
    squared_weight: float
    greatest_weight: float
    least_reward: float
    greatest_reward: float
    supported: float | None
    modelled: bool


def sums(
    reward: ArrayLike,
    propensity: ArrayLike,
    probability: ArrayLike,
    *,
    predicted: ArrayLike | None = None,
    expected: ArrayLike | None = None,
    supported: ArrayLike | None = None,
    unit: ArrayLike | None = None,
) -> Sums:
    """Add up a log; arrays are (n,). propensity: of the logged content, under the logged policy; probability:
    of the same content, under the new one. predicted: the reward model's for the logged content; expected:
    its mean over contents under the new policy. supported: the new policy's probability, in all, of contents
    that the logged policy could show there. unit: ids of what is independent, say users.

    Raises DataError for null, NaN and what is out of RANGES, arrays of unlike length, a reward model by half.
    """
    given = _given(
        *(reward, propensity, probability), predicted=predicted, expected=expected, supported=supported
    )
    rows = _checked(given)
    size = rows["reward"].size
    weight = rows["probability"] / rows["propensity"]
    parts = np.stack(
        [
            np.ones(size),
            rows["reward"],
            weight,
            weight * rows["reward"],
            weight * (rows["reward"] - rows.get("predicted", 0.0)),
            rows.get("expected", np.zeros(size)),
        ]
    )
    of_units = parts if unit is None else _by_unit(parts, unit)
    return Sums(
        units=of_units.shape[1],
        totals=parts.sum(axis=1),
        products=of_units @ of_units.T,
        squared_weight=float((weight**2).sum()),
        greatest_weight=float(weight.max(initial=0)),
        least_reward=float(rows["reward"].min(initial=0)),
        greatest_reward=float(rows["reward"].max(initial=0)),
        supported=float(rows["supported"].sum()) if "supported" in rows else None,
        modelled=predicted is not None,
    )


def table_sums(
    table: DataFrame,
    *,
    reward: str = "reward",
    propensity: str = "propensity",
    probability: str = "probability",
    predicted: str | None = None,
    expected: str | None = None,
    supported: str | None = None,
    unit: str | None = None,
) -> Sums:
    """The same as sums of the columns with these names; a row is a content shown in a slot.

    Raises DataError as sums does.
    """
    given = _given(
        *(reward, propensity, probability), predicted=predicted, expected=expected, supported=supported
    )
    columns = {name: F.col(quoted(column)).cast("double") for name, column in given.items()}
    rows = table.select(*_row_columns(columns, unit))
    summed = [F.sum(part).alias(part) for part in PARTS] if unit else []
    of_units = rows.groupBy(UNIT).agg(*summed, *_kept(columns, unit)) if unit else rows
    products = (F.sum(F.col(one) * F.col(other)).alias(f"{one} {other}") for one, other in PAIRS)
    totals = (F.sum(part).alias(part) for part in PARTS)
    found = of_units.agg(F.count(F.lit(1)).alias("units"), *totals, *products, *_kept(columns, unit)).first()
    assert found is not None  # an aggregation without groups has one row
    _check_rows(found["units"])
    _refuse_wrong(found, columns, unit)
    return _as_sums(found, columns)


def _given(reward: T, propensity: T, probability: T, **further: T | None) -> dict[str, T]:
    """What is given of a log, by name. Raises DataError where a reward model is given by half."""
    given = {"reward": reward, "propensity": propensity, "probability": probability}
    given |= {name: value for name, value in further.items() if value is not None}
    if ("predicted" in given) != ("expected" in given):
        raise DataError(
            "a reward model gives both what is predicted of the logged content and what is expected of the "
            "new policy",
            value="predicted only" if "predicted" in given else "expected only",
            next_step="give both, or neither for IPS and SNIPS alone",
        )
    return given


def _check_rows(rows: int) -> None:
    """Raise DataError for an empty log."""
    if not rows:
        raise DataError("the log has rows", value=rows, next_step="give impressions with their rewards")


def _checked(arrays: dict[str, ArrayLike]) -> dict[str, Floats]:
    found = {name: np.asarray(array, dtype=float) for name, array in arrays.items()}
    length = found["reward"].size
    shapes = {name: array.shape for name, array in found.items() if array.shape != (length,)}
    if shapes:
        raise DataError(
            "arrays have one dimension and one length", value=shapes, next_step="give a value a row"
        )
    _check_rows(length)
    for name, array in found.items():
        allowed = RANGES[name]
        wrong = array[~((array >= allowed.low) & (array <= allowed.high))]
        if wrong.size:
            raise DataError(allowed.rule, value=float(wrong[0]), next_step=allowed.next_step)
    return found


def _by_unit(parts: Floats, unit: ArrayLike) -> Floats:
    """(6, units), the parts' sums within units."""
    ids = np.asarray(unit)
    if ids.shape != (parts.shape[1],):
        raise DataError("arrays have one dimension and one length", value={"unit": ids.shape})
    place, known = pd.factorize(ids)
    if (place < 0).any():
        raise DataError(UNIT_RULE, value="a null", next_step=UNIT_STEP)
    return np.stack([np.bincount(place, part, len(known)) for part in parts])


def _row_columns(columns: dict[str, Column], unit: str | None) -> list[Column]:
    right = columns["propensity"].between(RANGES["propensity"].low, RANGES["propensity"].high)
    # Guarded: with ANSI SQL a division by 0 would end the query before the rule can be reported.
    weight = F.when(right, columns["probability"] / columns["propensity"])
    error = columns["reward"] - columns.get("predicted", F.lit(0.0))
    values = (
        F.lit(1.0),
        columns["reward"],
        weight,
        weight * columns["reward"],
        weight * error,
        columns.get("expected", F.lit(0.0)),
    )
    found = [value.alias(part) for part, value in zip(PARTS, values, strict=True)]
    found += [(weight * weight).alias("squared_weight"), weight.alias("greatest_weight")]
    found += [columns["reward"].alias("least_reward"), columns["reward"].alias("greatest_reward")]
    if "supported" in columns:
        found.append(columns["supported"].alias("supported"))
    for name, column in columns.items():
        in_range = F.coalesce(column.between(RANGES[name].low, RANGES[name].high), F.lit(False))
        shown = F.coalesce(column.cast("string"), F.lit("null"))
        found.append(F.when(~in_range, shown).alias(WRONG + name))
    if unit:
        found += [
            F.col(quoted(unit)).alias(UNIT),
            F.when(F.col(quoted(unit)).isNull(), "null").alias(WRONG + UNIT),
        ]
    return found


def _kept(columns: dict[str, Column], unit: str | None) -> list[Column]:
    """What is added up, or carried on, by rows and by units alike."""
    found = [
        F.sum("squared_weight").alias("squared_weight"),
        F.max("greatest_weight").alias("greatest_weight"),
    ]
    found += [F.min("least_reward").alias("least_reward"), F.max("greatest_reward").alias("greatest_reward")]
    if "supported" in columns:
        found.append(F.sum("supported").alias("supported"))
    names = [*columns, *([UNIT] if unit else [])]
    return found + [F.max(WRONG + name).alias(WRONG + name) for name in names]


def _refuse_wrong(found: Row, columns: dict[str, Column], unit: str | None) -> None:
    for name in columns:
        if found[WRONG + name] is not None:
            raise DataError(RANGES[name].rule, value=found[WRONG + name], next_step=RANGES[name].next_step)
    if unit and found[WRONG + UNIT] is not None:
        raise DataError(UNIT_RULE, value="a null", next_step=UNIT_STEP)


def _as_sums(found: Row, columns: dict[str, Column]) -> Sums:
    products = np.empty((len(PARTS), len(PARTS)))
    for one, other in PAIRS:
        i, j = PARTS.index(one), PARTS.index(other)
        products[i, j] = products[j, i] = found[f"{one} {other}"]
    return Sums(
        units=found["units"],
        totals=np.array([found[part] for part in PARTS]),
        products=products,
        squared_weight=found["squared_weight"],
        greatest_weight=found["greatest_weight"],
        least_reward=min(found["least_reward"], 0.0),
        greatest_reward=max(found["greatest_reward"], 0.0),
        supported=found["supported"] if "supported" in columns else None,
        modelled="predicted" in columns,
    )
