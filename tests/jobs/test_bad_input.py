"""What the job makes of mistakes: status, a message that teaches, nothing half-written."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tests.jobs.small import TABLES, Collected, Log, made, published, run, status

NASTY = ["it's", 'say "hi"', "two\nlines", "🎉", "'; DROP TABLE users; --", "a,b=c\\d"]


def discover(log: Log, out: Path, *further: object) -> int:
    inputs = ["--users", log.folder / "users.parquet", "--events", log.folder / "events.parquet"]
    return status(["discover", *inputs, "--out", out, "--quick", *further])


def test_mistakes_end_with_status_2_and_leave_no_results(
    small: Log, collected: Collected, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    empty = Log(small.users, small.events.iloc[:0]).saved(tmp_path / "empty")
    nameless = Log(small.users.drop(columns="user_id"), small.events).saved(tmp_path / "nameless")
    (tmp_path / "corrupt").mkdir()
    small.users.to_parquet(tmp_path / "corrupt" / "users.parquet")
    (tmp_path / "corrupt" / "events.parquet").write_bytes(b"PAR1 not really PAR1")
    corrupt = Log(small.users, small.events, tmp_path / "corrupt")
    for number, (log, further, told) in enumerate(
        (
            (small, ["--days", "0"], "days"),
            (small, ["--segments", "country"], "country"),
            (small, ["--window", "3d", "--overlap", "refuse"], "window"),
            (empty, [], "must have rows"),
            (nameless, [], "user_id"),
            (corrupt, [], "events.parquet"),
        )
    ):
        out = tmp_path / f"out{number}"
        assert discover(log, out, *further) == 2
        message = capfd.readouterr().err
        assert told in message
        assert "Traceback" not in message
        assert not collected.runs
        assert not any(collected.tables.get(table) for table in TABLES)
        assert not collected.files


def test_names_are_data(spark: SparkSession, tmp_path: Path) -> None:
    name = 'sel`ect "1"'
    segments: dict[str, Any] = {name: ("x,y", "p=q", "back\\slash", None)}
    log = made(users=80, dates=4, actions=NASTY, **segments).saved(tmp_path / "log")
    page = run(log, tmp_path / "out", "nasty", segments=(name,), days=(1,), quick=True)
    moments = published(tmp_path / "out", "moments")
    assert set(moments["action"]) == set(NASTY)
    assert {label for label in moments["segment"] if label != "all"} == {
        f"{name}={value}" for value in ("x\\,y", "p\\=q", "back\\\\slash", "\\N")
    }
    assert page is not None


@pytest.mark.parametrize("case", ["one user", "one action", "nobody retained", "everybody retained"])
def test_poor_logs_end_with_none(collected: Collected, tmp_path: Path, case: str) -> None:
    log = made(users=60, dates=4)
    users, events = log.users, log.events
    since = events["occurred_at"] - events["user_id"].map(users.set_index("user_id")["anchored_at"])
    if case == "one user":
        users = users.iloc[:1]
        events = events[events["user_id"] == users["user_id"].iloc[0]]
    elif case == "one action":
        events = events.assign(action="browse")
    elif case == "nobody retained":
        events = events[(since < pd.Timedelta(days=1)) | (since >= pd.Timedelta(days=3))]
    else:
        back = users.assign(action="browse", occurred_at=users["anchored_at"] + pd.Timedelta(hours=30))
        events = pd.concat([events, back[events.columns]])
        events["occurred_at"] = events["occurred_at"].dt.as_unit("us")
    run(Log(users, events).saved(tmp_path / "log"), tmp_path / "out", "poor", days=(1,), quick=True)
    [hypothesis] = collected.rows("hypotheses").to_dict("records")
    assert hypothesis["verdict"] == "none"
    assert hypothesis["reason"]
    assert b"poor" in collected.files["discover.html"]  # its run_id
    moments = collected.rows("moments")
    if case == "nobody retained":
        assert moments["recall"].isna().all()
        assert not moments["on_frontier"].any()
