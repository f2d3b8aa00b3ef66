"""`firstday forget` and `firstday maintain` on what `firstday assign` has written; no id is kept anywhere."""

import ast
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from pyspark.sql import SparkSession

from firstday.settings import ForgetSettings, MaintainSettings
from firstday.tables import maintain
from firstday.tables.forget import PERSON_COLUMNS
from tests.jobs.small import published, status
from tests.tables import independent

PLAN = {"experiment": "push", "variants": {"control": 0.5, "new": 0.5}, "starts_at": "2024-06-01T00:00:00Z"}
GONE, BAD, KEPT = "gone-8412", "bad-8412", [f"kept-{number}" for number in range(30)]
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("restored_logs")


@pytest.fixture
def assigned(spark: SparkSession, tmp_path: Path) -> Path:
    """Assignments of 31 units, and two contradicting rows of a unit in quarantine."""
    plan = PLAN | {"strata": ["country"]}
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(plan))
    rows = pd.DataFrame({"user_id": [*KEPT, GONE, BAD, BAD], "country": ["DE"] * 32 + ["JP"]})
    rows.to_parquet(tmp_path / "units.parquet")
    where = [
        "--plan",
        tmp_path / "plan.yml",
        "--units",
        tmp_path / "units.parquet",
        "--out",
        tmp_path / "out",
    ]
    assert status(["assign", *where, "--max-bad-share", "0.5"]) == 0
    return tmp_path / "out"


def told(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]


@pytest.mark.usefixtures("ansi")
def test_from_a_dry_run_to_maintenance(
    spark: SparkSession, assigned: Path, tracking_store: str, capfd: pytest.CaptureFixture[str]
) -> None:
    forget = ["forget", "--out", assigned, "--user", GONE, "--user", BAD]
    assert status([*forget, "--dry-run"]) == 0
    messages = [line["message"] for line in told(capfd)]
    assert "assignments: 1 rows would be removed." in messages
    assert "quarantine: 2 rows would be removed." in messages
    assert units(assigned) == {*KEPT, GONE}
    assert not (assigned / "forgotten").exists()

    assert status([*forget, "--vacuum"]) == 0
    lines = told(capfd)
    assert {"assignments: 1 rows removed.", "quarantine: 2 rows removed."} <= {
        each["message"] for each in lines
    }
    assert units(assigned) == set(KEPT)
    forgotten = published(assigned, "forgotten").set_index("table")["rows"]
    assert {name: rows for name, rows in forgotten.items() if rows} == {"assignments": 1, "quarantine": 2}
    runs = independent.rows(assigned, "runs")
    told_of = runs.loc[runs["job"] == "forget", "settings"]
    assert [json.loads(settings)["users"] for settings in told_of] == [2]
    # Neither logs nor MLflow nor any file of the output has the ids; of deleted files nothing is left.
    assert GONE not in json.dumps(lines)
    client = MlflowClient(tracking_store)
    [run] = client.search_runs([each.experiment_id for each in client.search_experiments()],
                               "tags.job = 'forget'")  # fmt: skip
    assert run.data.metrics["removed.assignments"] == 1
    assert GONE not in repr(run.to_dictionary())
    assert holding(assigned, GONE) == []
    assert holding(assigned, KEPT[0])

    assert status(["forget", "--out", assigned, "--user", GONE, "--dry-run"]) == 0  # again
    assert any(line["message"].startswith("Nothing was found") for line in told(capfd))

    assert status(["maintain", "--out", assigned]) == 0
    done = published(assigned, "maintained").set_index("table")
    assert done.loc["runs", "files_before"] == 2
    assert done.loc["runs", "files_after"] == 1
    assert units(assigned) == set(KEPT)


def test_files_are_deleted_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    deleted = []
    monkeypatch.setattr(maintain, "size", lambda store, name: maintain.Size(1, 10))
    monkeypatch.setattr(maintain, "optimize", lambda store, name: None)
    monkeypatch.setattr(maintain, "purgeable", lambda store, name, retention: {"kept": 0, "left": 2}[name])
    monkeypatch.setattr(maintain, "vacuum", lambda store, name, retention: deleted.append(name))
    store: Any = None
    purged = [maintain.maintained(store, name, (), maintain.WEEK)[5] for name in ("kept", "left")]
    assert (purged, deleted) == ([0, 2], ["left"])


def units(out: Path) -> set[str]:
    return set(published(out, "assignments")["unit_id"])


def holding(out: Path, text: str) -> list[str]:
    """Data files of the output's tables in which a text occurs."""
    files = [file for file in out.rglob("*.parquet") if "_delta_log" not in file.parts]
    return [str(file) for file in files if text in repr(pd.read_parquet(file).to_dict("list"))]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["forget", "--user", "1"], "must be an output of firstday"),
        (["forget"], "user must be given"),
        (["forget", "--user", ""], "at least one id"),
        (["forget", "--set", "user=0012"], "must be an output of firstday"),
        (["maintain"], "must be an output of firstday"),
        (["maintain", "--retention", "1h"], "--no-reader-is-older"),
    ],
)
def test_mistakes_end_with_2_and_say_what_to_do(
    argv: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], spark: SparkSession
) -> None:
    assert status([*argv, "--out", tmp_path]) == 2
    assert message in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ids_are_taken_as_they_are_written() -> None:
    assert ForgetSettings(out="o", user="007,8,007").user == ("007", "8")
    assert ForgetSettings(out="o", user=["a,b"]).user == ("a,b",)
    assert MaintainSettings(out="o", retention="1h", no_reader_is_older=True).retention.seconds == 3_600


def test_reports_and_what_mlflow_gets_know_no_column_of_people() -> None:
    """A report that shows a person would have to name the column that says who it is."""
    library = REPOSITORY / "lib/firstday"
    names = ("report", "sections", "charts", "content")  # of a stage's report, beside its pipeline
    files = sorted((library / "report").rglob("*.py"))
    files += sorted(file for name in names for file in library.glob(f"*/{name}.py"))
    files.append(REPOSITORY / "lib/firstday/tracking.py")
    assert len(files) > 10
    found = {
        f"{file.name}: {node.value}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in PERSON_COLUMNS
    }
    assert found == set()
