"""Corrections: by hand, NaN apart, and the errors they promise to hold."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from firstday.experiments.sums import Floats
from firstday.stats.corrections import benjamini_hochberg, holm


def holm_by_hand(p_values: Floats) -> list[float]:
    order = np.argsort(p_values)
    told, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        told[place] = highest
    return told


def benjamini_hochberg_by_hand(p_values: Floats) -> list[float]:
    return [
        min(
            min(1.0, other * len(p_values) / sum(each <= other for each in p_values))
            for other in p_values
            if other >= p_value
        )
        for p_value in p_values
    ]


def test_by_hand() -> None:
    p_values = np.random.default_rng(1).random(20) ** 3
    assert holm(p_values) == pytest.approx(holm_by_hand(p_values))
    assert benjamini_hochberg(p_values) == pytest.approx(benjamini_hochberg_by_hand(p_values))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_tests_not_made_take_no_part(correct: Callable[[Floats], Floats]) -> None:
    p_values = np.array([[0.01, np.nan, 0.04], [np.nan, 0.03, 0.5]])
    told = correct(p_values)
    assert np.isnan(told).tolist() == np.isnan(p_values).tolist()
    assert told[~np.isnan(told)] == pytest.approx(correct(np.array([0.01, 0.04, 0.03, 0.5])))
    assert np.isnan(correct(np.array([np.nan, np.nan]))).all()
    assert correct(np.array([])).shape == (0,)
    assert correct(np.array([0.02])) == pytest.approx([0.02])


def test_the_share_of_false_finds() -> None:
    """Of 10 tests 5 have an effect: half of 5 % of the finds are wrong, at most."""
    rng = np.random.default_rng(2)
    shift = np.repeat([0.0, 3.0], 5)
    wrong = []
    for _ in range(2_000):
        finds = benjamini_hochberg(2 * norm.sf(abs(rng.standard_normal(10) + shift))) < 0.05
        wrong.append(finds[:5].sum() / max(1, finds.sum()))
    assert np.mean(wrong) == pytest.approx(0.025, abs=0.006)


def test_holm_is_the_stricter_and_bonferroni_stricter_still() -> None:
    p_values = np.array([0.001, 0.01, 0.02, 0.03, 0.04])
    assert (benjamini_hochberg(p_values) < holm(p_values)).sum() == 4
    assert (holm(p_values)[1:] < 5 * p_values[1:]).all()
