"""What is too little is named, and with so much more of it the same figures would be enough."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from firstday.moments import shortage
from firstday.moments.adjust import Z_95
from firstday.moments.evidence import ActionEvidence
from firstday.moments.families import Families
from firstday.moments.power import Traffic
from firstday.moments.shortage import ACTIONS, DATES, SHOCKS, TO_BE_CLEAR, TO_SPEAK, USERS
from firstday.moments.split import Part, Split

FIRST = date(2024, 3, 1)
TRAFFIC = Traffic(200.0, FIRST, FIRST + timedelta(days=27))
PARTS = Split(
    Part(8_000, 40, FIRST, FIRST + timedelta(days=39)),
    Part(2_000, 10, FIRST + timedelta(days=40), FIRST + timedelta(days=49)),
)


def evidence(effect: float, trend_error: float) -> ActionEvidence:
    one, zero = np.ones(1), np.zeros(1)
    return ActionEvidence(
        actions=("like",), factors=1, families=Families(np.zeros(1, int), np.zeros((1, 1)), anchorless=False),
        observed=zero, expected=zero, effect=one * effect, effects=one, effect_weights=one[:, None],
        within_factor=one, trend_effect=zero, trend_error=one * trend_error, trend_factor=one,
        p_cause=one * 0.1, p_trait=0.0, p_none=0.9, cause_share=0.5, passing_on=0.8,
    )  # fmt: skip


def candidate(adjusted: float, error: float, **further: Any) -> pd.Series:
    row = {"action": "like", "threshold": 2, "adjusted": adjusted, "adjusted_high": adjusted + Z_95 * error}
    return pd.Series(row | further)


def test_too_few_dates_take_as_many_as_fill_the_choosing_part() -> None:
    few = Split(Part(80, 8, FIRST, FIRST), Part(20, 2, FIRST, FIRST))
    found = shortage.of_dates(few, 14)
    assert (found.too_little, found.more) == (DATES, 8)  # of which 0.8 are to choose on
    assert 0.8 * (10 + 8) >= 14
    assert shortage.of_dates(Split(Part(0, 0, None, None), Part(0, 0, None, None)), 14).more == 14


def test_too_few_actions_and_sides() -> None:
    assert (shortage.of_actions(1).too_little, shortage.of_actions(1).more) == (ACTIONS, 3)
    table = pd.DataFrame({"experienced": [12, 8], "users": [8_000, 8_000]})
    found = shortage.of_sides(table, PARTS, min_users=30, users_a_day=200)
    assert (found.too_little, found.more) == (USERS, 15_000)
    assert 12 * (10_000 + 15_000) / 10_000 == 30
    assert "about 75 days" in found.sentence
    assert shortage.of_sides(table[:0], PARTS, 30, 200).more is None


def test_a_difference_that_may_be_chance_takes_more_users() -> None:
    found = shortage.of_evidence(candidate(0.02, 0.02), evidence(0.01, 0.1), PARTS, 200)
    assert found.too_little == USERS
    assert found.more is not None
    error = 0.02 * np.sqrt(10_000 / (10_000 + found.more))
    assert 0.02 / error == pytest.approx(TO_BE_CLEAR, rel=1e-3)
    assert "+2.0 points" in found.sentence


@pytest.mark.parametrize(("trend_error", "kind"), [(0.08, DATES), (0.2, SHOCKS)])
def test_a_clear_difference_takes_dates_or_shocks(trend_error: float, kind: str) -> None:
    found = shortage.of_evidence(candidate(0.1, 0.01), evidence(0.1, trend_error), PARTS, 200)
    assert found.too_little == kind
    assert found.more is not None
    more = found.more if kind == DATES else 50 * (found.more**2 - 1)
    error = trend_error * np.sqrt(50 / (50 + more))
    assert 0.1 / error == pytest.approx(TO_SPEAK, rel=0.01)


@pytest.mark.parametrize(
    ("row", "known"),
    [
        (candidate(-0.01, 0.01), evidence(0.1, 0.01)),
        (candidate(np.nan, np.nan), evidence(0.1, 0.01)),
        (candidate(0.1, 0.01), evidence(0.1, 0.01)),  # all is clear: it is engagement
        (candidate(0.1, 0.01, action="rare"), evidence(0.1, 0.01)),
    ],
)
def test_where_the_log_speaks_against_it_more_of_it_is_not_promised(
    row: pd.Series, known: ActionEvidence
) -> None:
    found = shortage.of_evidence(row, known, PARTS, 200)
    assert (found.too_little, found.more) == (None, None)
    assert "nan" not in found.sentence


def test_what_does_not_hold_later_is_gone_or_has_too_few_users() -> None:
    row = candidate(0.05, 0.01)
    later = pd.DataFrame([candidate(-0.01, 0.06)])
    found = shortage.of_later(row, later, PARTS, 200)
    assert found.too_little == USERS
    assert found.more is not None
    assert 0.05 / (0.06 * np.sqrt(2_000 / (2_000 + found.more))) == pytest.approx(TO_BE_CLEAR, rel=1e-2)
    assert shortage.of_later(row, pd.DataFrame([candidate(-0.01, 0.005)]), PARTS, 200).too_little is None
    assert shortage.of_later(row, later[:0], PARTS, 200).too_little == USERS


def test_a_test_that_takes_too_long_needs_more_users_a_day() -> None:
    found = shortage.of_test(candidate(0.1, 0.01), 180, 90, TRAFFIC)
    assert (found.too_little, found.more) == (USERS, 200)
    assert shortage.of_test(candidate(0.1, 0.01), float("nan"), 90, TRAFFIC).too_little is None
