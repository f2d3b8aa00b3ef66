"""What is written stays in the output, and holds no secrets."""

import json
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstday.errors import SettingsError
from firstday.settings import TrainSettings, load
from firstday.tables.delta import Run, Store

NO_SPARK: Any = None


@pytest.mark.parametrize("out", ["out/results", "catalog.schema"])
@pytest.mark.parametrize(
    "name", ["..", ".", "", "../report.html", "a/b", "/etc/x", "a\\b", "t; DROP TABLE x", "t`", "a..b", "t\n"]
)
def test_names_that_lead_elsewhere_are_refused(name: str, out: str) -> None:
    with pytest.raises(ValueError, match="is no name of a table or file"):
        Store(NO_SPARK, out).location(name)


@given(st.text("ab.-_/\\ ;`~", max_size=8))
def test_a_location_is_one_step_below_the_output(name: str) -> None:
    try:
        location = Store(NO_SPARK, "out/results/").location(name)
    except ValueError:
        return
    assert location == f"out/results/{name}"
    assert "/" not in name
    assert ".." not in name


@pytest.mark.parametrize("name", ["moment_counts", "report.html", ".report.html.0a1b", "after.lightgbm.txt"])
def test_names_that_are_used(name: str) -> None:
    assert Store(NO_SPARK, "out").location(name) == f"out/{name}"


@pytest.mark.parametrize("name", ["../users", "customers/..", "runs", "x; DROP TABLE y"])
def test_only_known_tables_can_be_named_in_settings(name: str) -> None:
    with pytest.raises(SettingsError, match="table"):
        load(TrainSettings, None, {"tables": "bank", "out": "o", "table": {name: "elsewhere"}})


def test_runs_keep_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[tuple[Any, ...]] = []

    class Session:
        def createDataFrame(self, values: pd.DataFrame, _: Any) -> pd.DataFrame:  # noqa: N802 - Spark's name
            rows.extend(values.itertuples(index=False))
            return values

    store: Any = Store(Session(), "out")  # type: ignore[arg-type]
    monkeypatch.setattr(store, "_append", lambda *_: None)
    monkeypatch.setattr(store, "_has_just_published", lambda _: True)
    source = "s3a://id:Zq7rW2xY9vK4@bucket/users"
    now = datetime(2026, 1, 1, tzinfo=UTC)
    settings = {"users": source, "password": "Zq7rW2xY9vK4", "days": [1, 7]}
    run = Run("r", "discover", 1, now, now, inputs={"users": {"source": source}}, settings=settings)
    assert store.publish(run)
    assert "Zq7r" not in str(rows)
    kept = [json.loads(value) for value in rows[0] if isinstance(value, str) and value.startswith("{")]
    hidden = "s3a://id:***@bucket/users"
    assert {"users": {"source": hidden}} in kept
    assert {"users": hidden, "password": "***", "days": [1, 7]} in kept
