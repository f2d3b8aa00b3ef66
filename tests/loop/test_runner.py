"""What runs again and what does not: the runner with jobs that only say that they ran."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firstday.errors import ConflictError, DataError, FirstdayError
from firstday.loop.runner import Doors, Runner
from firstday.loop.state import Done, Made, State, made_from
from firstday.loop.steps import Step, steps_of
from firstday.settings import LoopSettings

STEPS = {
    "label": {"votes": "votes"},
    "discover": {"users": "users", "events": "events"},
    "train": {"tables": "log", "objective": "hypotheses"},
}


class Office:
    """Where the jobs work: inputs have versions, outputs the run that published them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state" / "loop_state.json"
        self.steps: dict[str, dict[str, Any]] = {name: dict(values) for name, values in STEPS.items()}
        self.inputs = {"votes": "1", "users": "1", "events": "1", "log": "1"}
        self.outputs: dict[str, str] = {}
        self.failing: dict[str, BaseException] = {}
        self.version = "1.0"
        self.runs = 0

    def loop(self, **settings: Any) -> list[str]:
        """Run the loop; the steps that did something."""
        self.runs += 1
        self.did: list[str] = []
        wanted = LoopSettings(out="out", steps=self.steps, **settings)
        doors = Doors(self._job, self._versions, lambda step: self.outputs.get(step.out))
        self.runner = Runner(State.read(self.file), f"run{self.runs}", doors, self.version)
        self.runner.run(steps_of(wanted), wanted.again)
        return self.did

    def _job(self, step: Step, run_id: str) -> None:
        self.did.append(step.name)
        if step.name in self.failing:
            raise self.failing[step.name]
        self.outputs[step.out] = run_id

    def _versions(self, step: Step) -> dict[str, str]:
        told = {str(value) for key, value in step.settings.model_dump().items() if key != "out"}
        return {name: version for name, version in {**self.inputs, **self.outputs}.items() if name in told}


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_nothing_has_changed(office: Office) -> None:
    assert office.loop() == ["label", "discover", "train"]
    assert office.loop() == []
    assert [(ran.name, ran.seconds) for ran in office.runner.ran] == [(name, None) for name in STEPS]


def change_votes(office: Office) -> None:
    office.inputs["votes"] = "2"


def change_events(office: Office) -> None:
    office.inputs["events"] = "2"


def change_log(office: Office) -> None:
    office.inputs["log"] = "2"


def change_setting(office: Office) -> None:
    office.steps["discover"]["min_users"] = 50


def same_setting(office: Office) -> None:
    office.steps["discover"]["min_users"] = 30  # as it is when it is not given


def change_version(office: Office) -> None:
    office.version = "1.1"


def lose_output(office: Office) -> None:
    del office.outputs["out/discover"]


def run_by_hand(office: Office) -> None:
    office.outputs["out/train"] = "somebody's"


def lose_state(office: Office) -> None:
    office.file.unlink()


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (change_votes, ["label", "discover", "train"]),  # whose inputs are what these wrote
        (change_events, ["discover", "train"]),
        (change_log, ["train"]),
        (change_setting, ["discover", "train"]),
        (same_setting, []),
        (change_version, ["label", "discover", "train"]),
        (lose_output, ["discover", "train"]),
        (run_by_hand, ["train"]),
        (lose_state, ["label", "discover", "train"]),
    ],
)
def test_what_runs_again(office: Office, change: Callable[[Office], None], again: list[str]) -> None:
    office.loop()
    change(office)
    assert office.loop() == again
    assert office.loop() == []


def test_again_forces_one_step(office: Office) -> None:
    office.loop()
    assert office.loop(again=("train",)) == ["train"]
    assert office.loop(again=("discover",)) == ["discover", "train"]


@pytest.mark.parametrize(
    "error",
    [DataError("events must have rows"), ConflictError("x"), RuntimeError("boom"), KeyboardInterrupt()],
)
def test_goes_on_from_the_step_that_failed(
    office: Office, error: BaseException, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstday.logs.log.propagate", True)
    office.failing["discover"] = error
    with pytest.raises(type(error)) as raised:
        office.loop()
    assert raised.value is error  # the exit status is the job's
    assert office.did == ["label", "discover"]
    assert "stopped in step discover. Not reached: train." in caplog.text
    office.failing.clear()
    assert office.loop() == ["discover", "train"]


def test_a_missing_input_stops_before_the_job(office: Office) -> None:
    def missing(step: Step) -> dict[str, str]:
        raise DataError("users must exist")

    runner = Runner(State.read(office.file), "r", Doors(office._job, missing, lambda step: None), "1")
    with pytest.raises(FirstdayError, match="Users must exist"):
        runner.run(steps_of(LoopSettings(out="out", steps=STEPS)))
    assert not office.file.exists()


def test_why_is_told(office: Office) -> None:
    office.loop()
    office.inputs["events"], office.version = "2", "2.0"
    office.steps["discover"] |= {"min_users": 9, "days": [1, 30]}
    office.loop()
    why = {ran.name: ran.why for ran in office.runner.ran}
    assert why["discover"] == (
        "firstday 1.0 is now 2.0; settings: days, min_users; new data: events, out/label"
    )


def test_the_state_tells_what_a_step_was_made_from(office: Office) -> None:
    office.steps["label"]["votes"] = "jdbc://me:secret@host/votes"
    office.loop()
    assert "secret" not in office.file.read_text()
    done = State.read(office.file).done
    assert [*done] == [*STEPS]
    assert done["discover"].run_id == "run1-2-discover"
    assert done["discover"].made.inputs == {"events": "1", "users": "1", "out/label": "run1-1-label"}
    assert office.loop() == []


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"form": 2, "steps": {}}', '{"form": 1, "steps": {"label": {}}}']
)
def test_another_file_is_no_state(tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(DataError, match="a file that firstday loop wrote"):
        State.read(file)


def test_a_killed_loop_leaves_the_state_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State.read(tmp_path / "state.json")
    made = made_from({"a": 1}, {"users": "1"}, "1")
    state.keep("label", Done("one", made, 1.0))

    def killed(*_: object, **__: object) -> int:
        (tmp_path / ".state.json.new").write_bytes(b'{"form": 1, "st')
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        state.keep("discover", Done("two", made, 1.0))
    assert [*State.read(tmp_path / "state.json").done] == ["label"]


def test_settings_are_compared_as_they_are_kept() -> None:
    made = made_from({"days": (1, 7), "shares": {"a": 0.5}}, {}, "1")
    kept = Made(**json.loads(json.dumps(vars(made))))
    assert made.changes_since(kept) == []
    assert made_from({"days": (1, 7)}, {}, "1").changes_since(kept) == ["settings: shares"]


def test_a_step_that_runs_twice_in_one_loop_has_two_run_ids(office: Office) -> None:
    office.loop()
    first = dict(office.outputs)
    office.inputs["events"] = "2"
    office.runner.run(steps_of(LoopSettings(out="out", steps=office.steps)))
    assert office.outputs["out/discover"] != first["out/discover"]
