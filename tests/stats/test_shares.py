"""Intervals of shares, against SciPy's and statsmodels'."""

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from firstday.stats.shares import wilson


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("part", "whole"), [(0, 1), (0, 30), (7, 7), (19, 40), (3.25, 8.5), (990, 1000)])
def test_wilson_is_scipys_and_statsmodels(part: float, whole: float, level: float) -> None:
    found = wilson(part / whole, whole, alpha=1 - level)
    assert found == pytest.approx(proportion_confint(part, whole, 1 - level, method="wilson"), abs=1e-12)
    if isinstance(part, int) and isinstance(whole, int):
        other = binomtest(part, whole).proportion_ci(level, method="wilson")
        assert found == pytest.approx((other.low, other.high), abs=1e-12)


def test_wilson_of_arrays_is_of_each_entry() -> None:
    low, high = wilson([0.0, 0.5, np.nan, 0.5], [5, 10, 10, 0])
    assert low[0] == 0
    assert np.isnan([*low[2:], *high[2:]]).all()
    assert (low[1], high[1]) == wilson(0.5, 10)
