"""How an experiment's figures are written: points or numbers, as many digits as their error allows."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from firstday.experiments.amounts import Amounts, amounts, finer
from firstday.experiments.difference import difference
from firstday.experiments.sums import Sums


def row_of(metric: str, treatment: Sums, control: Sums) -> dict[str, Any]:
    """The row of the results that compares two arms."""
    row: dict[str, Any] = {"metric": metric, "segment": "all", "method": "difference"}
    row["standard_error"] = float(difference(treatment, control).standard_error)
    for name, arm in (("treatment", treatment), ("control", control)):
        row |= {f"n_{name}": float(arm.n), f"value_{name}": float(arm.y / arm.d)}
    return row


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.0006, 0.0124, "a fall of 0.06 to a rise of 1.24 points"),
        (0.0031, 0.0133, "a rise of 0.31 to 1.33 points"),
        (-0.0133, -0.0031, "a fall of 0.31 to 1.33 points"),
        (None, 0.0124, "any effect up to +1.24 points"),
        (-0.0006, None, "any effect from −0.06 points on"),
        (None, np.nan, "any effect"),
    ],
)
def test_intervals_in_words(low: float | None, high: float | None, said: str) -> None:
    assert Amounts().span(low, high) == said


def test_digits_and_units_come_from_the_rows() -> None:
    random = np.random.default_rng(3)
    outcomes = {
        "retention_1": random.binomial(1, 0.4, (2, 4_000)),
        "spend": random.exponential(0.4, (2, 4_000)),  # below 1, but no share
        "coins": random.poisson(900, (2, 4_000)),
    }
    rows = []
    for metric, (first, second) in outcomes.items():
        rows.append(row_of(metric, Sums.of(first.astype(float)), Sums.of(second.astype(float))))
    found = amounts(pd.DataFrame(rows), None)
    assert {name: one.is_share for name, one in found.items()} == {
        **{"retention_1": True, "spend": False, "coins": False}
    }
    assert found["retention_1"].arm_value(0.44819) == "44.8%"  # its standard error is 1.1 points
    assert found["spend"].effect(-0.01234) == "−0.0123"
    assert found["coins"].effect_with(1234.567, -0.04, 2) == "+1,234.57 (−0.04 to +2.00)"
    assert found["coins"].effect(None) == "–"
    assert Amounts().effect(-0.00001) == "0.00 points"
    assert finer(Amounts(), 0.00004).effect(-0.0004) == "−0.0400 points"
    assert amounts(pd.DataFrame(rows), ["spend"])["spend"].is_share
