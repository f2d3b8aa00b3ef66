"""The sample-ratio check: the real test's figures and words, its level, and bad input named."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from firstday.errors import DataError, FirstdayError, SettingsError
from firstday.experiments.sample_ratio import sample_ratio

GATES = {"gate_30": 44_700, "gate_40": 45_489}


def test_the_gate_fails_at_one_limit_and_passes_at_the_other() -> None:
    told = sample_ratio(GATES)
    assert (round(told.chi2, 3), round(told.p_value, 4)) == (6.902, 0.0086)
    assert told.passes
    assert "barely (p\u00a00.0086, below 0.01 but not 0.001)" in told.sentence
    strict = sample_ratio(GATES, limit=0.01)
    assert not strict.passes
    assert "do not fit" in strict.sentence


def test_words_where_both_limits_agree() -> None:
    halves = {"a": 0.5, "b": 0.5}
    assert sample_ratio({"a": 100, "b": 101}, halves).sentence.startswith("Group sizes are as planned (p")
    lost = sample_ratio({"a": 10_000, "b": 9_000}, halves)
    assert lost.sentence.startswith("Group sizes do not fit the plan (p")
    assert not lost.passes
    assert "crash" in lost.next_step


def test_equal_shares_that_nobody_planned_are_called_assumed() -> None:
    fits = sample_ratio({"a": 1_000, "b": 1_010, "c": 990})
    assert "planned 33" not in fits.sentence
    assert "equal shares, which are assumed as none were planned" in fits.sentence
    counts = {"control": 1_000, "not_in_test": 1_900, "test": 1_010}
    odd = sample_ratio(counts)
    assert (odd.passes, odd.planned) == (False, False)
    assert odd.sentence.endswith("not_in_test fits least.")
    assert "--variants control,test" in odd.next_step
    assert "--shares control=...,not_in_test=...,test=..." in odd.next_step
    assert sample_ratio({"a": 1_000, "b": 300, "c": 1_010}).sentence.endswith("b fits least.")
    assert "--variants" not in sample_ratio({"a": 1_000, "b": 300}).next_step


def test_many_variants_against_their_shares() -> None:
    counts = {"control": 5_100, "one": 2_400, "other": 2_500}
    told = sample_ratio(counts, {"other": 0.25, "control": 0.5, "one": 0.25})
    oracle = chisquare([5_100, 2_400, 2_500], [5_000, 2_500, 2_500])
    assert (told.chi2, told.p_value) == pytest.approx((oracle.statistic, oracle.pvalue))
    assert told.expected == {"control": 5_000, "one": 2_500, "other": 2_500}


def test_thirds_need_not_add_up_to_the_last_digit() -> None:
    shares = dict.fromkeys("abc", 0.3333333)
    assert sample_ratio({"a": 1_000, "b": 1_000, "c": 1_000}, shares).passes


def test_it_holds_its_level() -> None:
    drawn = np.random.default_rng(1).multinomial(20_000, [0.9, 0.1], 400)
    shares = {"a": 0.9, "b": 0.1}
    failed = [not sample_ratio({"a": a, "b": b}, shares, 0.05).passes for a, b in drawn]
    assert np.mean(failed) == pytest.approx(0.05, abs=0.038)


@pytest.mark.parametrize(
    ("counts", "rest", "kind", "said"),
    [
        ({"a": 10, "b": 0}, {}, DataError, "Every variant has units. Got: 'b'"),
        ({"a": 10, "b": 9}, {"shares": {"a": 0.5, "b": 0.3, "c": 0.2}}, DataError, "has units. Got: 'c'"),
        ({"a": 10, "b": 9}, {"shares": {"a": 1.0}}, DataError, "planned share. Got: 'b'"),
        ({"a": 10}, {}, DataError, "two variants"),
        ({"a": 10, "b": 9}, {"shares": {"a": 1.5, "b": -0.5}}, SettingsError, "Shares are above 0"),
        ({"a": 10, "b": 9}, {"shares": {"a": float("nan"), "b": 0.5}}, SettingsError, "Shares are above 0"),
        ({"a": 10, "b": 9}, {"shares": {"a": 0.6, "b": 0.6}}, SettingsError, "Shares add up to 1"),
        ({"a": 10, "b": 9}, {"limit": 0}, SettingsError, "limit lies between 0 and 1"),
    ],
)
def test_bad_input(
    counts: dict[str, int], rest: dict[str, Any], kind: type[FirstdayError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        sample_ratio(counts, **rest)
    assert said in str(caught.value)
    assert caught.value.next_step
