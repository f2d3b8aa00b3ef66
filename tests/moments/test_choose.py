"""The funnel: each step counts right and can be the last, and what is not known is never passed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from firstday.moments import choose
from firstday.moments.choose import CHOSEN, DROPPED, KEPT, LISTED, MOMENT, NONE, SHORTLIST, Choice
from firstday.moments.evidence import ActionEvidence
from firstday.moments.families import Families
from firstday.moments.trends import DIFFERS, SIMILAR, TOO_LITTLE

GOOD = {
    "users": 1000.0, "experienced": 300.0, "retained": 400.0, "both": 180.0,
    "adjusted": 0.1, "adjusted_phi": 0.2, "q_value": 0.001, "simpson": False,
    "trend": SIMILAR, "trend_effect": 0.1, "trend_effect_high": 0.2,
}  # fmt: skip
STEPS = [
    "all candidates",
    "enough users on both sides",
    "enough dates and actions to compare",
    "not settled by an experiment",
    "its trends do not differ from those of retention",
    "pushing it probably works",
    "holds on the later dates",
    "a test of it fits",
    "likeliest actions at their closest thresholds",
]


def candidates(*rows: Mapping[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**GOOD, "action": "like", "threshold": 1, **row} for row in rows])


def evidence(p_cause: Mapping[str, float], leads: tuple[str, str] | None = None) -> ActionEvidence:
    """P(cause) by action; leads: one of them, and another that it leads to."""
    actions = tuple(p_cause)
    k = len(actions)
    lead, one, zero = np.zeros((k, k)), np.ones(k), np.zeros(k)
    if leads:
        lead[actions.index(leads[0]), actions.index(leads[1])] = 0.5
    return ActionEvidence(
        actions=actions, factors=1, families=Families(np.arange(k), lead, anchorless=False),
        observed=zero, expected=zero, effect=zero, effects=one[:1], effect_weights=one[:, None],
        within_factor=one * 20, trend_effect=zero, trend_error=one, trend_factor=one,
        p_cause=np.array(list(p_cause.values())), p_trait=0.0, p_none=0.0, cause_share=0.5, passing_on=0.8,
    )  # fmt: skip


CONVINCING = evidence({"like": 0.9, "search": 0.05, "rare": 0.01})


def chosen(
    table: pd.DataFrame,
    known: ActionEvidence | None = CONVINCING,
    dates: int = 30,
    later: pd.DataFrame | None = None,
    days: float = 20.0,
    tested: Mapping[str, str] | None = None,
) -> Choice:
    return choose.choose(
        table,
        known,
        min_users=30,
        dates=dates,
        min_dates=14,
        later=table if later is None else later,
        days_needed=lambda rows: pd.Series(days, index=rows.index),
        tested=tested,
    )


def test_what_stands_out_is_the_moment_at_its_closest_threshold() -> None:
    table = candidates(
        {"action": "search", "threshold": 1, "adjusted_phi": 0.9},
        {"threshold": 1, "adjusted_phi": 0.1},
        {"threshold": 2, "adjusted_phi": 0.3},
        {"threshold": 3, "adjusted_phi": 0.2},
    )
    found = chosen(table)
    assert found.verdict == MOMENT
    assert found.chosen is not None
    assert (found.chosen["action"], found.chosen["threshold"]) == ("like", 2)
    verdicts = found.candidates.set_index(["action", "threshold"])["verdict"].to_dict()
    assert verdicts == {("like", 2): CHOSEN, ("like", 1): KEPT, ("like", 3): KEPT, ("search", 1): DROPPED}


def test_what_leads_to_the_moment_is_listed_after_it() -> None:
    """Also where pushing it is as likely to work: 0.2 + 0.8 · 0.8."""
    table = candidates({"action": "look"}, {"action": "like"})
    found = chosen(table, evidence({"look": 0.2, "like": 0.8}, ("look", "like")))
    assert found.verdict == MOMENT
    assert found.listed["action"].tolist() == ["like", "look"]
    assert found.listed["p_works"].tolist() == pytest.approx([0.8, 0.84])
    assert found.listed["verdict"].tolist() == [CHOSEN, LISTED]


def test_where_none_stands_out_there_is_a_list_of_at_most_four_one_row_an_action() -> None:
    names = ("a", "b", "c", "d", "e")
    shares = (0.25, 0.3, 0.22, 0.21, 0.2)
    table = candidates(*({"action": name, "threshold": z} for name in names for z in (1, 2)))
    found = chosen(table, evidence(dict(zip(names, shares, strict=True))))
    assert found.verdict == SHORTLIST
    assert found.listed["action"].tolist() == ["b", "a", "c", "d"]
    assert set(found.listed["verdict"]) == {LISTED}


def test_the_funnel_counts_each_step() -> None:
    table = candidates(
        {"threshold": 1},
        {"threshold": 9, "experienced": 29.0, "both": 20.0},
        {"threshold": 8, "experienced": 971.0},
        {"threshold": 6, "trend": DIFFERS},
        {"action": "rare"},
        {"action": "unknown"},
        {"action": "tested"},
        {"action": "fades"},
    )
    known = evidence({"like": 0.5, "rare": 0.1, "fades": 0.2, "tested": 0.2})
    later = table[table["action"] != "fades"]
    found = chosen(table, known, later=later, tested={"tested": "it did nothing"})
    assert found.funnel["name"].tolist() == STEPS
    assert found.funnel["step"].tolist() == list(range(9))
    assert found.funnel["dropped"].tolist() == [0, 2, 0, 1, 1, 2, 1, 0, 0]
    assert found.funnel["candidates"].tolist() == [8, 6, 6, 5, 4, 2, 1, 1, 1]
    assert len(found.candidates) == 8
    assert not found.candidates.duplicated(["action", "threshold"]).any()
    reasons = found.candidates[found.candidates["verdict"] == DROPPED]["reason"]
    assert not reasons.str.contains("nan").any()
    assert found.funnel["loser"].iloc[4] == "like ≥ 6"


@pytest.mark.parametrize(
    ("change", "options", "step", "figure"),
    [
        ({"experienced": 10.0, "both": 9.0}, {}, 1, "10 of 1,000 users did it"),
        ({}, {"dates": 13}, 2, "not enough data: 13 dates"),
        ({}, {"known": None}, 2, "not enough data"),
        ({}, {"tested": {"like": "it did nothing"}}, 3, "it did nothing"),
        (
            {"trend": DIFFERS, "trend_effect": -0.3, "trend_effect_high": -0.1},
            {},
            4,
            "by the dates an effect of −30.0 points (at most −10.0 points)",
        ),
        ({"action": "rare"}, {}, 5, "P(works) 0.01"),
        ({"action": "never seen"}, {}, 5, "too rare to be judged"),
        ({}, {"later": candidates({"adjusted": -0.01})}, 6, "no positive adjusted difference"),
        ({}, {"later": candidates({"adjusted": np.nan})}, 6, "no positive adjusted difference"),
        ({}, {"later": candidates({"threshold": 2})}, 6, "no positive adjusted difference"),
        ({}, {"known": evidence({"like": 0.5}), "days": 91.0}, 7, "91 days, at most 90"),
        ({}, {"days": np.nan}, 7, "no test can be planned"),
    ],
)
def test_each_step_can_be_the_last(
    change: dict[str, object], options: dict[str, Any], step: int, figure: str
) -> None:
    found = chosen(candidates(change), **options)
    assert found.verdict == NONE
    assert figure in found.reason
    assert found.funnel["name"].iloc[-1] == STEPS[step]
    assert found.ended_at == choose.ENDS[step - 1]
    assert found.funnel["candidates"].iloc[-1] == 0
    assert (found.candidates["verdict"] == DROPPED).all()
    assert found.listed.empty
    assert found.chosen is not None  # the likeliest of those that came furthest


def test_a_moment_is_named_however_long_its_test_takes() -> None:
    assert chosen(candidates({}), days=91.0).verdict == MOMENT


def test_a_trend_that_could_not_tell_leaves_it_to_the_rest() -> None:
    assert chosen(candidates({"trend": TOO_LITTLE})).verdict == MOMENT


def test_no_candidate_at_all() -> None:
    found = chosen(candidates({})[:0])
    assert (found.verdict, found.chosen) == (NONE, None)
    assert "there is no candidate" in found.reason
    assert found.candidates.empty


def test_equal_ones_are_listed_by_name_and_threshold_whatever_their_order() -> None:
    known = evidence({"like": 0.4, "ask": 0.4})
    table = candidates(*({"action": a, "threshold": z} for a in ("like", "ask") for z in (3, 2, 1)))
    for seed in range(5):
        found = chosen(table.sample(frac=1, random_state=seed, ignore_index=True), known)
        pairs = zip(found.listed["action"], found.listed["threshold"], strict=True)
        assert list(pairs) == [("ask", 1), ("like", 1)]


def test_phi_is_the_correlation() -> None:
    draw = np.random.default_rng(1)
    did, back = draw.random((2, 50)) < 0.4
    row = {"users": 50, "experienced": did.sum(), "retained": back.sum(), "both": (did & back).sum()}
    found = choose.phi(candidates(row, {"retained": 0.0, "both": 0.0}))
    assert found.iloc[0] == pytest.approx(np.corrcoef(did, back)[0, 1])
    assert np.isnan(found.iloc[1])
