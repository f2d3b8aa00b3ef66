"""The page of a loop says what the outputs keep: headlines, figures by unit, effects beside the truth."""

from pathlib import Path
from typing import Any

import pytest

from firstday.answer import Answer, Fact
from firstday.loop.page import content
from firstday.loop.report import index_report, loop_text
from firstday.loop.runner import Doors, Ran, Runner
from firstday.loop.state import State
from firstday.loop.steps import steps_of
from firstday.settings import LoopSettings
from tests.loop.test_steps import PLAN

EFFECT = {"experiment": "push", "metric": "d1", "treatment": "b", "method": "difference"}
KEPT = {
    "discover": Answer(
        "moment", "A moment to test: did friend at least 3 times.", (Fact("recall", 0.5, "share"),)
    ),
    "measure": Answer(
        "better",
        "Ship b: it is better on d1.",
        (
            Fact("d1 of b", 0.031, "points", 0.012, 0.05, "better", EFFECT),
            Fact("spend of b", 1.25, "EUR per user", 0.5, 2.0, "better", EFFECT | {"metric": "spend"}),
            Fact("sample-ratio check", 0.4, "p"),
        ),
    ),
}


def test_the_page_is_made_of_kept_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plan.yml").write_text(PLAN)
    written: dict[str, Any] = {
        "discover": {"users": "u", "events": "e"},
        "assign": {"units": "u", "plan": str(tmp_path / "plan.yml")},
        "measure": {"events": "e"},
    }
    steps = steps_of(LoopSettings(out=str(tmp_path), steps=written))

    def kept(_: Any, out: str, job: str) -> Any:
        assert out == str(tmp_path / job)
        return KEPT[job].as_dict() if job in KEPT else None

    monkeypatch.setattr("firstday.loop.page.published_answer", kept)
    nothing: Any = None
    runner = Runner(State(tmp_path / "state"), "run", Doors(nothing, nothing, nothing), "1")
    runner.ran = [Ran("discover", 3.0, "not done yet"), Ran("assign", None, "nothing has changed")]
    runner.ran.append(Ran("measure", 2.0, "new data"))
    true = {("push", "d1", "b"): 0.036}
    found = content(nothing, str(tmp_path), steps, runner, {"discover": "It was found."}, true)
    assert found.verdict == "A moment to test: did friend at least 3 times. Ship b: it is better on d1."
    discover, assign, measure = found.stages
    assert (discover.report, discover.truth, assign.report) == (
        "discover/discover.html",
        "It was found.",
        None,
    )
    assert [(fact.label, fact.value) for fact in discover.facts] == [("recall", "50.0%")]
    assert "earlier version" in assign.answer
    assert [fact.value for fact in measure.facts[:2]] == ["+3.1 points", "1.2500 EUR per user"]
    # Only effects on shares are drawn.
    [effect] = found.effects
    assert (effect.label, effect.estimate, effect.low, effect.true) == ("push: d1 of b", 0.031, 0.012, 0.036)
    assert "Ship b: it is better on d1." in index_report(found).html
    assert "Ship b: it is better on d1." in loop_text(found)
