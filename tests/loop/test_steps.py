"""The steps of a loop: joined to one another, and all checked before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from firstday.errors import SettingsError
from firstday.loop.steps import steps_of
from firstday.settings import LoopSettings, load

PLAN = """
experiment: push
variants: {control: 0.5, treatment: 0.5}
starts_at: 2024-06-01T00:00:00Z
metrics: [{name: d1, kind: retention, day: 1}]
"""


@pytest.fixture
def plan(tmp_path: Path) -> str:
    file = tmp_path / "plan.yml"
    file.write_text(PLAN)
    return str(file)


def all_steps(plan: str) -> dict[str, dict[str, Any]]:
    """In an order that is not theirs."""
    return {
        "measure": {"events": "log.events", "planned_units": 10},
        "assign": {"plan": plan, "units": "log.users"},
        "recommend": {"tables": "log"},
        "train": {"tables": "log", "objective": "hypotheses"},
        "discover": {"users": "log.users", "events": "log.events"},
        "label": {"votes": "log.votes"},
    }


def settings_of(steps: dict[str, dict[str, Any]], out: str = "out/loop", **others: Any) -> dict[str, Any]:
    return {step.name: step.settings for step in steps_of(LoopSettings(out=out, steps=steps, **others))}


def test_each_takes_what_another_wrote(plan: str) -> None:
    found = settings_of(all_steps(plan), out="out/loop/")
    assert [*found] == ["label", "discover", "train", "recommend", "assign", "measure"]
    assert {name: step.out for name, step in found.items()} == {name: f"out/loop/{name}" for name in found}
    assert found["discover"].labels == "out/loop/label"
    assert found["train"].hypotheses == "out/loop/discover"
    assert found["recommend"].ranker == "out/loop/train"
    assert found["measure"].assignments == "out/loop/assign"
    assert found["measure"].plan == plan


def test_of_two_experiments_each_is_measured_by_its_own_plan(plan: str, tmp_path: Path) -> None:
    other = tmp_path / "ramp.yml"
    other.write_text(PLAN.replace("push", "ramp"))
    found = settings_of(
        {
            "measure": {"events": "log.events"},
            "measure_ramp": {"events": "log.events"},
            "assign": {"plan": plan, "units": "log.users"},
            "assign_ramp": {"plan": str(other), "units": "log.users"},
        }
    )
    assert [*found] == ["assign", "assign_ramp", "measure", "measure_ramp"]
    assert (found["measure"].assignments, found["measure"].plan) == ("out/loop/assign", plan)
    assert (found["measure_ramp"].assignments, found["measure_ramp"].plan) == (
        "out/loop/assign_ramp",
        str(other),
    )


def test_what_is_given_stays(plan: str) -> None:
    steps = all_steps(plan)
    steps["discover"] |= {"labels": None, "out": "elsewhere"}
    steps["train"] |= {"hypotheses": "{out}/older", "table": {"events": "{out}/events"}}
    found = settings_of(steps)
    assert found["discover"].labels is None
    assert found["train"].hypotheses == "out/loop/older"
    assert found["train"].table == {"events": "out/loop/events"}
    assert found["discover"].out == "elsewhere"


def test_hypotheses_are_for_those_who_ask_for_them(plan: str) -> None:
    steps = all_steps(plan)
    steps["train"] = {"tables": "log"}
    assert settings_of(steps)["train"].hypotheses is None


def test_in_a_schema_all_write_there(plan: str) -> None:
    found = settings_of(all_steps(plan), out="main.growth", state="state.json")
    assert {step.out for step in found.values()} == {"main.growth"}
    assert found["discover"].labels == "main.growth"


def test_two_steps_of_a_job_need_two_outputs(plan: str) -> None:
    steps = all_steps(plan)
    steps["assign_later"], steps["measure_later"] = dict(steps["assign"]), dict(steps["measure"])
    assert "measure_later" in settings_of(steps)
    with pytest.raises(SettingsError, match="outputs of their own"):
        settings_of(steps, out="main.growth", state="state.json")


def test_the_last_step_s_mistake_is_told_first(plan: str) -> None:
    steps = all_steps(plan)
    steps["measure"] |= {"alpha": 2}
    with pytest.raises(SettingsError, match=r"(?i)step measure: settings: alpha.*less than 1"):
        settings_of(steps)


def test_a_plan_is_read_beforehand(plan: str) -> None:
    Path(plan).write_text(PLAN.replace("0.5}", "0.6}"))
    with pytest.raises(SettingsError, match=r"(?i)step assign: .*add up to 1"):
        settings_of(all_steps(plan))


@pytest.mark.parametrize("name", ["", "labels", "assign-ramp", "simulate", "loop", "_discover"])
def test_a_step_of_no_job(name: str) -> None:
    with pytest.raises(SettingsError, match="called as its job"):
        settings_of({name: {}})


def test_again_names_steps() -> None:
    with pytest.raises(SettingsError, match="--again names steps"):
        settings_of({"label": {"votes": "v"}}, again=("discover",))


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"out": "o"}, "give steps"),
        ({"out": "o", "world": "app", "steps": {"label": {}}}, "give steps"),
        ({"out": "a.b", "world": "app"}, "must be a folder"),
        ({"out": "a.b", "steps": {"label": {}}}, "state must be given"),
        ({"out": "o", "steps": {"label": {}}, "users": 900}, "users goes with --world"),
        ({"out": "o", "world": "app", "users": 3}, "users"),
        ({"out": "o", "steps": ["label"]}, "steps"),
    ],
)
def test_settings_that_contradict_themselves(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        load(LoopSettings, None, values)
