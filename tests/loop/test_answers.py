"""What the index page says of an experiment: of all its estimates, the one that decides."""

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from firstday.inputs.loop_answers import asked, deciding
from firstday.settings import MeasureSettings
from tests.loop.test_steps import PLAN

COLUMNS = ["metric", "treatment", "method", "segment", "population", "part", "date", "estimate"]
FIRST, LAST = date(2024, 6, 1), date(2024, 6, 9)
RESULTS = pd.DataFrame(
    [
        ("d1", "treatment", "always_valid", "all", "all", None, FIRST, 1.0),
        ("d1", "treatment", "always_valid", "all", "all", None, LAST, 2.0),
        ("d1", "treatment", "difference", "all", "all", None, None, 3.0),
        ("d1", "other", "difference", "all", "all", None, None, 4.0),
        ("d1", "treatment", "difference", "country=KR", "all", None, None, 5.0),
        ("d1", "treatment", "difference", "all", "triggered", None, None, 6.0),
        ("d1", "treatment", "difference_to_date", "all", "all", None, LAST, 7.0),
        ("d1", "treatment", "cuped", "all", "all", None, None, 8.0),
        ("d1", "treatment", "ramp_stage", "all", "all", "1", None, 9.0),
        ("d1", "treatment", "ramp", "all", "all", None, None, 10.0),
    ],
    columns=COLUMNS,
)
RAMP = """
ramp:
- {share: 0.1, starts_at: 2024-06-01T00:00:00Z}
- {share: 0.5, starts_at: 2024-06-05T00:00:00Z}
"""


@pytest.mark.parametrize(
    ("plan", "settings", "estimates"),
    [
        (PLAN, {}, [3.0, 4.0]),
        (PLAN, {"peeking": True}, [2.0]),
        (PLAN + "looked_at_daily: true", {}, [2.0]),
        (PLAN.replace("day: 1}", "day: 1, covariate: pre}"), {}, [8.0]),
        (PLAN + RAMP, {}, [10.0]),
    ],
)
def test_one_row_decides(tmp_path: Path, plan: str, settings: dict[str, Any], estimates: list[float]) -> None:
    file = tmp_path / "plan.yml"
    file.write_text(plan)
    measure = MeasureSettings(plan=str(file), assignments="a", events="e", out="o", **settings)
    assert list(deciding(RESULTS, asked(measure))["estimate"]) == estimates


def test_without_a_plan_the_columns_are_asked_for() -> None:
    measure = MeasureSettings(units="u", control="control", metric=("d1",), out="o")
    assert list(deciding(RESULTS, asked(measure))["estimate"]) == [3.0, 4.0]


def test_metrics_are_told_in_the_plan_s_order() -> None:
    measure = MeasureSettings(units="u", control="control", metric=("late", "d1"), out="o")
    rows = pd.concat([RESULTS, RESULTS.tail(8).head(1).assign(metric="late")], ignore_index=True)
    assert list(deciding(rows, asked(measure))["metric"]) == ["late", "d1", "d1"]
