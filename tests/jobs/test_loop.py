"""firstday loop: mistakes are told before anything runs; changes are seen in the inputs of a step."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pyspark.sql import SparkSession

from firstday.errors import DataError
from firstday.loop.steps import Step, steps_of
from firstday.loop.versions import published_run, versions
from firstday.settings import LoopSettings, load
from tests.jobs.small import status

CONF = Path(__file__).parents[2] / "conf"


def written(folder: Path, **settings: Any) -> Path:
    file = folder / "loop.yml"
    file.write_text(yaml.safe_dump(settings))
    return file


@pytest.mark.usefixtures("restored_logs")
@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ({"discover": {"users": "u", "events": "e"}, "measure": {"units": "u", "control": 1}}, "metric"),
        ({"discover": {"users": "u", "events": "e"}, "recommend": {"tables": "t"}}, "ranker must be given"),
        ({"discover": {"users": "u", "events": "e", "dais": [1]}}, "did you mean 'days'"),
        ({"label": {"votes": "v"}, "assign": {"plan": "no.yml", "units": "u"}}, "plan must be a readable"),
        ({"guess": {}}, "called as its job"),
    ],
)
def test_a_mistake_in_any_step_is_told_before_anything_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    steps: dict[str, Any],
    told: str,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a session was asked for")

    monkeypatch.setattr("firstday.loop.play.get_session", refuse)
    file = written(tmp_path, out=str(tmp_path / "out"), steps=steps)
    assert status(["loop", "--config", file]) == 2
    [message] = capsys.readouterr().err.splitlines()
    assert told in message
    assert f"tep {[*steps][-1]}" in message or "called as" in message
    assert not (tmp_path / "out").exists()


def test_the_file_to_copy_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(CONF / "experiment.yml", tmp_path)
    monkeypatch.chdir(tmp_path)
    steps = steps_of(load(LoopSettings, CONF / "loop.yml"))
    assert [step.name for step in steps] == ["label", "discover", "train", "recommend", "assign", "measure"]
    assert steps[-1].settings.model_dump()["assignments"] == "results/assign"


def step_of(name: str, out: Path, **values: Any) -> Step:
    [step] = steps_of(LoopSettings(out=str(out), steps={name: values}))
    return step


def test_new_data_are_seen_in_their_versions(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("users", "events"):
        (tmp_path / name).mkdir()
        pd.DataFrame({"user_id": ["a"]}).to_parquet(tmp_path / name / "1.parquet")
    step = step_of(
        "discover", tmp_path / "out", users=str(tmp_path / "users"), events=str(tmp_path / "events")
    )
    before = versions(spark, step)
    assert [*before] == ["users", "events"]
    assert versions(spark, step) == before
    pd.DataFrame({"user_id": ["b"]}).to_parquet(tmp_path / "events" / "2.parquet")
    after = versions(spark, step)
    assert after["users"] == before["users"]
    assert after["events"] != before["events"]
    assert published_run(spark, step) is None


def test_of_many_tables_those_that_are_there_count(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("customers", "impressions"):
        pd.DataFrame({"user_id": ["a"]}).to_parquet(tmp_path / f"{name}.parquet")
    found = versions(spark, step_of("train", tmp_path / "out", tables=str(tmp_path)))
    assert [*found] == ["customers", "impressions"]


def test_a_missing_input_is_an_error(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Users must exist"):
        versions(spark, step_of("discover", tmp_path / "out", users=str(tmp_path / "no"), events="e"))


def test_a_plan_counts_by_what_is_in_it(spark: SparkSession, tmp_path: Path) -> None:
    plan = Path(shutil.copy(CONF / "experiment.yml", tmp_path))
    pd.DataFrame({"user_id": ["a"]}).to_parquet(tmp_path / "users.parquet")
    step = step_of("assign", tmp_path / "out", plan=str(plan), units=str(tmp_path / "users.parquet"))
    before = versions(spark, step)
    plan.touch()
    assert versions(spark, step) == before
    plan.write_text(plan.read_text() + "\n# later\n")
    assert versions(spark, step)["plan"] != before["plan"]
