"""Mistakes that are found before Spark starts, with the nearest name, in less than two seconds."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from firstday.cli import JOBS
from firstday.errors import UserError
from firstday.preflight import REQUIRED, check, columns_of
from firstday.settings import load
from firstday.tables import schemas

PLAN = """
experiment: push
variants: {control: 0.5, push: 0.5}
starts_at: 2024-06-01T00:00:00Z
metrics:
- {name: back, kind: retention, day: 7}
"""
RAMP = """
experiment: push
variants: {control: 0.5, push: 0.5}
starts_at: 2024-06-01T00:00:00Z
ramp: [{share: 0.5, starts_at: 2024-06-01T00:00:00Z}]
metrics: [{name: paid, kind: column, value: paid}]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small tables of each kind, which the commands run in."""
    rows = pd.DataFrame({"user_id": ["u"], "variant": ["a"], "country": ["KR"], "paid": [1.0], "gold": [1]})
    rows = rows.assign(row_id="u", anchored_at="2024-06-01", action="like", occurred_at="2024-06-01")
    rows.to_parquet(tmp_path / "users.parquet")
    rows.to_csv(tmp_path / "units.csv", index=False)
    (tmp_path / "events.parquet").write_bytes((tmp_path / "users.parquet").read_bytes())
    (tmp_path / "plan.yml").write_text(PLAN)
    (tmp_path / "ramp.yml").write_text(RAMP)
    (tmp_path / "typo.yml").write_text(PLAN.replace("starts_at", "start_at"))
    (tmp_path / "rules.yml").write_text("functions: [{name: a, when: x > 1")
    rule = "classes: [honest, fraud]\nfunctions: [{name: a, when: x > 1, vote: fraud}]"
    (tmp_path / "votes.yml").write_text(rule.replace("vote: fraud", "vote: frauds"))
    (tmp_path / "keys.yml").write_text(rule.replace("vote:", "votes:"))
    (tmp_path / "classes.yml").write_text(rule.replace("honest", "fraud"))
    for name in ("hypotheses", "runs"):
        log = tmp_path / "found" / name / "_delta_log"
        log.mkdir(parents=True)
        told = {"metaData": {"schemaString": json.dumps({"fields": [{"name": "verdict"}]})}}
        (log / "00000000000000000000.json").write_text(json.dumps({"protocol": {}}) + "\n" + json.dumps(told))
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    return tmp_path


UNITS = {"units": "units.csv", "control": "a", "metric": "paid", "out": "out"}
LOG = {"users": "users.parquet", "events": "events.parquet", "out": "out"}
LABEL = {"rows": "users.parquet", "functions": "rules.py", "out": "out"}


@pytest.mark.parametrize(
    ("job", "given", "told"),
    [
        ("measure", UNITS | {"units": "units.parquet"}, "did you mean units.csv?"),
        ("measure", UNITS | {"units": "nowhere/at/all.csv"}, "nowhere"),
        ("measure", UNITS | {"metric": "payd"}, "did you mean 'paid'?"),
        ("measure", UNITS | {"segments": "contry"}, "did you mean 'country'?"),
        ("measure", UNITS | {"unit": "userid"}, "did you mean 'user_id'?"),
        ("measure", UNITS | {"plan": "plan.yml", "control": "control", "metric": ()}, "of kind retention"),
        ("measure", UNITS | {"plan": "ramp.yml", "control": None}, "need the log"),
        ("measure", UNITS | {"plan": "plan.yml", "control": "b"}, "the plan's, 'control'"),
        ("measure", UNITS | {"plan": "typo.yml"}, "did you mean 'starts_at'?"),
        ("measure", UNITS | {"plan": "plan.yaml"}, "did you mean plan.yml?"),
        ("measure", UNITS | {"variants": "b,c"}, "must have the control"),
        ("measure", UNITS | {"out": "file"}, "must be a folder"),
        ("discover", LOG | {"users": "user.parquet"}, "did you mean users.parquet?"),
        ("discover", LOG | {"segments": "country,gender"}, "gender"),
        ("label", LABEL, "did you mean rules.yml?"),
        ("label", LABEL | {"functions": "rules.yml"}, "must be YAML"),
        ("label", LABEL | {"functions": "votes.yml"}, "did you mean fraud?"),
        ("label", LABEL | {"functions": "keys.yml"}, "votes of function 'a': there is no such key"),
        ("label", LABEL | {"functions": "classes.yml"}, "different names"),
        ("label", {"check": True, "votes": "units.csv", "out": "out"}, "--check tries label functions"),
        ("label", LABEL | {"functions": "units.csv", "gold": "golds"}, "did you mean 'gold'?"),
        ("train", {"examples": "units.csv", "out": "out"}, "--label must be a column of examples"),
        ("train", {"tables": "bank", "out": "out"}, "bank"),
        (
            "train",
            {"tables": ".", "out": "out", "objective": "hypotheses", "hypotheses": "foun"},
            "did you mean found?",
        ),
        ("recommend", {"tables": ".", "ranker": "found", "out": "out"}, "it holds hypotheses, runs"),
        ("assign", {"plan": "plan.yml", "units": "unit.csv", "out": "out"}, "did you mean units.csv?"),
        (
            "assign",
            {"plan": "plan.yml", "units": "units.csv", "out": "out", "instant_column": "at"},
            "--instant-column must be a column of units",
        ),
        ("forget", {"out": "fund", "user": "u"}, "did you mean found?"),
        (
            "train",
            {"tables": ".", "table": {"events": "event"}, "out": "out"},
            "did you mean events.parquet?",
        ),
        ("maintain", {"out": "."}, "with its table runs"),
        (
            "loop",
            {"out": "out", "steps": {"assign": {"plan": "plan.yml", "units": "unit.csv"}}},
            "units.csv?",
        ),
    ],
)
def test_a_mistake_is_named_with_what_is_nearest(
    here: Path, job: str, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError) as raised:
        check(load(JOBS[job].settings, None, given))
    assert told.lower() in str(raised.value).lower()


@pytest.mark.parametrize(
    ("job", "given"),
    [
        ("measure", UNITS | {"segments": "Country"}),  # Spark does not tell columns apart by case
        ("measure", UNITS | {"units": "s3a://bucket/units.csv"}),
        ("measure", UNITS | {"units": "part-*.csv"}),
        ("measure", UNITS | {"units": "main.growth.units"}),
        ("measure", {"assignments": "out", "events": "events.parquet", "plan": "plan.yml", "out": "out2"}),
        ("discover", LOG | {"out": "new/folder"}),
        ("train", {"tables": ".", "objective": "hypotheses", "hypotheses": "found", "out": "out"}),
        ("train", {"tables": ".", "table": {"events": "./events"}, "out": "out"}),  # without its ending
        ("simulate", {"out": "out"}),
        ("loop", {"out": "out", "world": "app"}),
        (
            "loop",
            {
                "out": "out",
                "steps": {
                    "assign": {"plan": "plan.yml", "units": "units.csv"},
                    "measure": {"events": "events.parquet"},
                },
            },
        ),
        (
            "loop",
            {
                "out": "out",
                "steps": {
                    "label": {"rows": "users.parquet", "functions": "units.csv"},
                    "discover": {"users": "users.parquet", "events": "{out}/label/soft_labels"},
                    "train": {"tables": ".", "table": {"events": "{out}/discover/moments"}},
                },
            },
        ),
    ],
)
def test_what_cannot_be_seen_from_here_is_left_to_the_job(
    here: Path, job: str, given: dict[str, Any]
) -> None:
    (here / "out").mkdir()
    check(load(JOBS[job].settings, None, given))


@pytest.mark.parametrize(
    ("job", "table", "columns", "missing"),
    [
        ("discover", "users", ["user", "anchored_at"], "user_id"),
        ("discover", "users", ["USER_ID", "signed_up_at"], None),
        ("discover", "events", ["user_id", "event", "occurred_at"], "action"),
        ("label", "votes", ["row", "f1", "f2", "f3"], "row_id"),
    ],
)
def test_what_every_input_of_its_kind_has(
    tmp_path: Path, job: str, table: str, columns: list[str], missing: str | None
) -> None:
    path = tmp_path / f"{table}.parquet"
    pd.DataFrame({name: ["a"] for name in columns}).to_parquet(path)
    given = {table: str(path), "out": str(tmp_path / "out")}
    if table == "users":
        pd.DataFrame({name: ["a"] for name in ("user_id", "action", "occurred_at")}).to_parquet(
            tmp_path / "events.parquet"
        )
        given["events"] = str(tmp_path / "events.parquet")
    if missing is None:
        check(load(JOBS[job].settings, None, given))
        return
    with pytest.raises(UserError, match=f"--{table} must have the column {missing}"):
        check(load(JOBS[job].settings, None, given))
    check(load(JOBS[job].settings, None, given | {"columns": f"{missing}={columns[0]}"}))


def test_the_required_columns_are_those_of_the_contract() -> None:
    contracts = {
        "users": schemas.users(), "events": schemas.events(), "rows": schemas.label_rows([]),
        "votes": schemas.wide_votes([], None),
    }  # fmt: skip
    for table, contract in contracts.items():
        fields = [field for field in contract.fields if not field.optional]
        assert REQUIRED[table] == tuple((f.name, f.alias) if f.alias else (f.name,) for f in fields)


def test_on_a_cluster_places_are_the_cluster_s(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    check(load(JOBS["measure"].settings, None, UNITS | {"units": "/data/units.parquet"}))
    with pytest.raises(UserError, match="start_at"):
        check(load(JOBS["measure"].settings, None, UNITS | {"plan": str(here / "typo.yml")}))


def test_columns_of_what_kind_of_table_ever(here: Path) -> None:
    pd.DataFrame({"a": ["x"], "b": [1]}).to_csv("two.csv", index=False)
    pd.DataFrame({"a": ["x"], "b": [1]}).to_parquet("two.parquet")
    assert columns_of("two.parquet") == columns_of("two.csv") == ["a", "b"]
    assert columns_of("found/hypotheses") == ["verdict"]
    pd.DataFrame({"a": [1], "b": [2]}).to_csv("t.tsv.gz", sep="\t", index=False)
    assert columns_of("t.tsv.gz") is None or columns_of("t.tsv.gz") == ["a", "b"]
    Path("semicolon.csv").write_text("a;b\n1;2\n")
    Path("broken.parquet").write_text("no")
    part = Path("parts/day=1")
    part.mkdir(parents=True)
    pd.DataFrame({"a": [1]}).to_parquet(part / "x.parquet")
    assert columns_of("parts") == ["a", "day"]
    assert [columns_of(each) for each in ("semicolon.csv", "broken.parquet", "nowhere")] == [None] * 3


def test_the_command_says_it_once_before_spark_starts(here: Path) -> None:
    command = ["measure", "--units", "unit.csv", "--control", "a", "--metric", "paid", "--out", "out"]
    code = "import sys; from firstday.cli import main; main(sys.argv[1:])"
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("unit.csv'") == 1
    assert "did you mean units.csv" in done.stderr.lower()
    assert not Path("out").exists()
    assert time.monotonic() - before < 10  # far less at rest; Spark alone takes longer to start
