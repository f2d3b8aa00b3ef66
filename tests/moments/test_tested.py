"""From a shortlist to a plan, and from an experiment's results back: the loop closes."""

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest

from firstday.moments.plan import planned
from firstday.moments.tested import DISPROVED, OPEN, PROVED, experiment_outcomes
from firstday.settings import ExperimentPlan

START = datetime(2026, 6, 1, tzinfo=UTC)
NO_RESULTS = ["treatment", "metric", "segment", "method", "date", "estimate", "low", "high"]
KEPT = ["action", "threshold", "day", "expected_lift", "estimate", "low", "high", "status"]


def row(action: str, **changes: Any) -> dict[str, Any]:
    made = {"rank": 1, "action": action, "threshold": 2, "day": 1, "lift": 0.02, "users_per_arm": 4_000}
    made |= {"days_needed": 42, "guardrails": ["browse", "reply"], "guardrail_day": 7}
    return made | changes


def result(arm: str, low: float, high: float, **changes: Any) -> dict[str, Any]:
    made = {"treatment": arm, "metric": "d1", "segment": "all", "method": "difference", "date": None}
    return made | {"estimate": (low + high) / 2, "low": low, "high": high} | changes


def test_one_candidate_is_planned_with_its_metrics_and_sizes() -> None:
    plan = ExperimentPlan.model_validate(planned([row("it's: a")], START))
    assert plan.treatments == ("it's: a at least 2",)
    assert plan.planned_units == 4_000
    assert plan.ends_at is not None
    assert (plan.ends_at - plan.starts_at).days == 42
    kinds = {metric.name: metric for metric in plan.metrics}
    assert kinds["d1"].smallest_effect == 0.02
    assert kinds["d7"].margin == 0.02
    assert kinds["reached it's: a at least 2"].threshold == 2
    assert plan.encouragement is not None
    assert {"watched: browse", "watched: reply"} <= set(kinds)


def test_several_arms_share_the_users() -> None:
    rows = [row("message"), row("reply", users_per_arm=5_000, days_needed=50, lift=0.01)]
    plan = ExperimentPlan.model_validate(planned(rows, START))
    assert list(plan.variants) == ["control", "message at least 2", "reply at least 2"]
    assert plan.planned_units == 5_000
    assert plan.ends_at is not None
    assert (plan.ends_at - plan.starts_at).days == 74  # 48 days of users for two arms are 72 for three
    assert "watched: reply" not in {metric.name for metric in plan.metrics}


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(0.001, 0.03, PROVED), (-0.02, 0.009, DISPROVED), (-0.01, 0.011, OPEN), (0.0, 0.03, OPEN)],
)
def test_an_interval_proves_disproves_or_leaves_open(low: float, high: float, status: str) -> None:
    results = pd.DataFrame(
        [
            result("message at least 2", low, high, date=date(2026, 6, 2)),
            result("message at least 2", -9, 9, date=date(2026, 6, 1)),  # an earlier look
            result("message at least 2", 5, 9, method="relative_lift"),
            result("message at least 2", 5, 9, metric="d7"),
            result("message at least 2", 5, 9, segment="country=DE"),
            result("something else", 5, 9),
        ]
    )
    found = experiment_outcomes(results, pd.DataFrame([row("message")]), pd.DataFrame(columns=KEPT))
    assert {name: each.status for name, each in found.items()} == {"message": status}


def test_what_an_earlier_run_knew_is_kept() -> None:
    known = experiment_outcomes(
        pd.DataFrame([result("message at least 2", 0.01, 0.03)]),
        pd.DataFrame([row("message")]),
        pd.DataFrame(columns=KEPT),
    )
    kept = pd.DataFrame([{**vars(each), "status": each.status} for each in known.values()])
    again = experiment_outcomes(pd.DataFrame(columns=NO_RESULTS), pd.DataFrame([row("reply")]), kept)
    assert again == known
