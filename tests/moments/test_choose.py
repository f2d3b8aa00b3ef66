"""The funnel: each step counts right and can be the last, and what is not known is never passed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from firstday.moments import choose
from firstday.moments.choose import CHOSEN, DROPPED, KEPT, MOMENT, NONE, Choice
from firstday.moments.evidence import ActionEvidence
from firstday.moments.trends import DIFFERS, SIMILAR, TOO_LITTLE

GOOD = {
    "users": 1000.0, "experienced": 300.0, "retained": 400.0, "both": 180.0,
    "adjusted": 0.1, "adjusted_phi": 0.2, "q_value": 0.001, "simpson": False,
    "trend": SIMILAR, "trend_effect": 0.1, "trend_effect_high": 0.2,
}  # fmt: skip
STEPS = [
    "all candidates",
    "enough users on both sides",
    "goes with retention",
    "still does with segments and other activity held",
    "enough dates and actions to compare",
    "its trends do not differ from those of retention",
    "stands out from what engagement explains",
    "is borne out by its daily ups and downs",
    "holds on the later dates",
    "the closest threshold",
]


def candidates(*rows: Mapping[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**GOOD, "action": "like", "threshold": 1, **row} for row in rows])


def evidence(**by_action: tuple[float, float, float]) -> ActionEvidence:
    """By action: proportion_t, proportion_p, odds."""
    t, p, odds = map(np.array, zip(*by_action.values(), strict=True))
    zero, one = np.zeros(len(t)), np.ones(len(t))
    return ActionEvidence(
        actions=tuple(by_action), factors=1, observed=zero, expected=zero, effect=zero,
        proportion_t=t, proportion_p=p, proportion_odds=odds,
        trend_effect=zero, trend_error=one, trend_odds=one,
    )  # fmt: skip


CONVINCING = evidence(like=(5.0, 0.001, 20.0), search=(4.0, 0.01, 10.0), rare=(0.1, 1.0, 1.0))


def chosen(
    table: pd.DataFrame,
    known: ActionEvidence | None = CONVINCING,
    dates: int = 30,
    later: pd.DataFrame | None = None,
) -> Choice:
    return choose.choose(
        table,
        known,
        min_users=30,
        dates=dates,
        min_dates=14,
        false_discovery_rate=0.05,
        later=table if later is None else later,
    )


def test_the_best_odds_win_at_the_closest_threshold() -> None:
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
    assert verdicts == {("like", 2): CHOSEN, ("like", 1): KEPT, ("like", 3): KEPT, ("search", 1): KEPT}
    assert "like" in found.reason


def test_the_funnel_counts_each_step() -> None:
    table = candidates(
        {"threshold": 1},
        {"threshold": 9, "experienced": 29.0, "both": 20.0},
        {"threshold": 8, "experienced": 971.0},
        {"threshold": 2, "both": 100.0},
        {"threshold": 3, "adjusted": -0.01},
        {"threshold": 4, "q_value": 0.06},
        {"threshold": 5, "simpson": True},
        {"threshold": 6, "trend": DIFFERS},
        {"action": "rare"},
        {"action": "unknown"},
        {"action": "weak"},
        {"action": "search"},
    )
    known = evidence(
        like=(5.0, 0.001, 20.0), search=(4.0, 0.01, 10.0), rare=(0.1, 1.0, 1.0), weak=(3.0, 0.1, 3.9)
    )
    later = table[table["action"] == "like"]
    found = chosen(table, known, later=later)
    assert found.funnel["name"].tolist() == STEPS
    assert found.funnel["step"].tolist() == list(range(10))
    assert found.funnel["dropped"].tolist() == [0, 2, 1, 3, 0, 1, 2, 1, 1, 0]
    assert found.funnel["candidates"].tolist() == [12, 10, 9, 6, 6, 5, 3, 2, 1, 1]
    assert found.chosen is not None
    assert found.chosen["threshold"] == 1
    assert len(found.candidates) == 12
    assert not found.candidates.duplicated(["action", "threshold"]).any()
    reasons = found.candidates[found.candidates["verdict"] == DROPPED]["reason"]
    assert len(reasons) == 11
    assert not reasons.str.contains("nan").any()
    assert found.funnel["loser"].iloc[5] == "like ≥ 6"


@pytest.mark.parametrize(
    ("change", "step", "figure"),
    [
        ({"experienced": 10.0, "both": 9.0}, 1, "10 of 1,000 users did it"),
        ({"both": 120.0}, 2, "precision 0.400"),
        ({"adjusted": np.nan, "q_value": np.nan, "simpson": np.nan}, 3, "no adjusted difference"),
        ({"q_value": 0.2}, 3, "false discovery rate 0.2"),
        ({"simpson": True}, 3, "adjusted difference"),
        (
            {"trend": DIFFERS, "trend_effect": -0.3, "trend_effect_high": -0.1},
            5,
            "effect over dates -0.300 (up to -0.100)",
        ),
        ({"action": "rare"}, 6, "t 0.1, chance 1"),
        ({"action": "never seen"}, 6, "too rare to be judged"),
    ],
)
def test_each_step_can_be_the_last(change: dict[str, object], step: int, figure: str) -> None:
    found = chosen(candidates(change))
    assert found.verdict == NONE
    assert "no moment found" in found.reason
    assert figure in found.reason
    assert found.funnel["name"].iloc[-1] == STEPS[step]
    assert found.funnel["candidates"].iloc[-1] == 0
    assert (found.candidates["verdict"] == DROPPED).all()
    assert found.chosen is not None  # the best known of those that came furthest


def test_odds_that_do_not_convince() -> None:
    found = chosen(candidates({}), evidence(like=(3.0, 0.1, 3.9)))
    assert (found.verdict, found.funnel["name"].iloc[-1]) == (NONE, STEPS[7])
    assert "3.9 to 1" in found.reason


@pytest.mark.parametrize("later", [{"adjusted": -0.01}, {"adjusted": np.nan}, {"threshold": 2}])
def test_what_does_not_hold_later_is_no_moment(later: dict[str, object]) -> None:
    found = chosen(candidates({}), later=candidates(later))
    assert (found.verdict, found.funnel["name"].iloc[-1]) == (NONE, STEPS[8])


@pytest.mark.parametrize(("dates", "known"), [(13, CONVINCING), (0, CONVINCING), (30, None)])
def test_too_few_dates_or_actions_are_not_enough_data(dates: int, known: ActionEvidence | None) -> None:
    found = chosen(candidates({"trend": TOO_LITTLE}), known, dates=dates)
    assert found.verdict == NONE
    assert "not enough data" in found.reason
    assert found.funnel["name"].iloc[-1] == STEPS[4]


def test_a_trend_that_could_not_tell_leaves_it_to_the_odds() -> None:
    found = chosen(candidates({"trend": TOO_LITTLE}))
    assert found.verdict == MOMENT
    assert "say little" in found.reason  # its trend odds are 1


def test_no_candidate_at_all() -> None:
    found = chosen(candidates({})[:0])
    assert (found.verdict, found.chosen) == (NONE, None)
    assert "there is no candidate" in found.reason
    assert found.candidates.empty


def test_equal_ones_are_chosen_by_name_and_threshold_whatever_their_order() -> None:
    known = evidence(like=(5.0, 0.001, 20.0), ask=(5.0, 0.001, 20.0))
    table = candidates(*({"action": a, "threshold": z} for a in ("like", "ask") for z in (3, 2, 1)))
    for seed in range(5):
        found = chosen(table.sample(frac=1, random_state=seed, ignore_index=True), known)
        assert found.chosen is not None
        assert (found.chosen["action"], found.chosen["threshold"]) == ("ask", 1)


def test_phi_is_the_correlation() -> None:
    draw = np.random.default_rng(1)
    did, back = draw.random((2, 50)) < 0.4
    row = {"users": 50, "experienced": did.sum(), "retained": back.sum(), "both": (did & back).sum()}
    found = choose.phi(candidates(row, {"retained": 0.0, "both": 0.0}))
    assert found.iloc[0] == pytest.approx(np.corrcoef(did, back)[0, 1])
    assert np.isnan(found.iloc[1])
