"""Runs on a log that grows, killed in between: each leaves what one full run on the whole log leaves."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from firstday.errors import SettingsError
from firstday.tables import Output
from firstday.tables.delta import Store
from tests.jobs.small import TABLES, Log, made, published, run, same_results

ACTIONS = ("it's", 'say "hi"', "two\nlines", "🎉", "'; DROP TABLE users; --", "a,b=c\\d")
SEGMENT = 'sel`ect "1".2;\n\'é'
VALUES = ("x,y", "p=q", "back\\slash", None)
LABELS = {"x\\,y", "p\\=q", "back\\\\slash", "\\N"}
ASKED: dict[str, Any] = {
    "segments": (SEGMENT,), "days": (1, 3), "event_date_column": "date", "retention": "calendar",
    "time_zone": "Europe/Berlin", "min_dates": 3,
}  # fmt: skip


class Killed(BaseException):
    """Stands for a process that is killed: nothing is tidied up behind it."""


def killed(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, work: Callable[[], object], told: str
) -> None:
    """Do `work`, and have it killed when `owner.name` has been called with `told` among its arguments."""
    original = getattr(owner, name)

    def fatal(*arguments: Any, **named: Any) -> Any:
        done = original(*arguments, **named)
        if told in str(arguments):
            raise Killed
        return done

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fatal)
        patch.setattr(Output, "discard", lambda self: None)
        with pytest.raises(Killed):
            work()


def by_date(log: Log, folder: Path) -> Log:
    """Saved with the events partitioned by their UTC date."""
    shutil.rmtree(folder, ignore_errors=True)
    log = log.saved(folder)
    dated = log.events.assign(date=log.events["occurred_at"].dt.strftime("%Y-%m-%d"))
    dated.to_parquet(folder / "dated.parquet", partition_cols=["date"], coerce_timestamps="us")
    return log


def run_ids(spark: SparkSession, out: Path, name: str) -> set[str]:
    """Of all rows, as a reader sees them who does not ask which run is published."""
    rows = spark.read.format("delta").load(str(out / name)).select("run_id").distinct().collect()
    return {row["run_id"] for row in rows}


def test_runs_on_a_growing_log_equal_a_full_run(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Clocks are put forward on 31 March. Some events come twice, some have no id.
    log = made(
        users=120, dates=12, start=pd.Timestamp("2024-03-24", tz="UTC"), actions=ACTIONS, **{SEGMENT: VALUES}
    )
    events = log.events.assign(event_id=[f"e{number}" for number in log.events.index])
    events.loc[events.index % 7 == 0, "event_id"] = None
    events = pd.concat([events, events[events.index % 5 == 1]]).sort_values("occurred_at", ignore_index=True)
    log = Log(log.users, events)
    middle = pd.Timestamp("2024-04-02 12:00", tz="UTC")
    part = replace(
        log, users=log.users[log.users["anchored_at"] < middle], events=events[events["occurred_at"] < middle]
    )
    grown, full, dated = tmp_path / "grown", tmp_path / "full", tmp_path / "log" / "dated.parquet"
    work = partial(run, events=str(dated), **ASKED)

    page = work(by_date(part, tmp_path / "log"), grown, "first")
    assert page is not None
    assert "Europe/Berlin" in page.read_text()
    assert (
        "D1 begins for some users before their action window ends: that part is cut off" in page.read_text()
    )
    before = published(spark, grown, "moments")
    log = by_date(log, tmp_path / "log")
    work(log, full, "whole")
    moments = published(spark, full, "moments")
    assert set(moments["action"]) == set(ACTIONS)
    assert set(moments["segment"]) == {"all"} | {
        "{}={}".format(SEGMENT.replace("\\", "\\\\").replace(",", "\\,"), label) for label in LABELS
    }
    # On 2 April D3 is known of those who signed up until 28 March; what they did need not be there any more.
    first_open = date(2024, 3, 29)
    for folder in dated.iterdir():
        if folder.name < f"date={first_open - timedelta(days=2)}":
            shutil.rmtree(folder)

    killed(monkeypatch, Output, "write", lambda: work(log, grown, "second", daily=True), "'moments'")
    pd.testing.assert_frame_equal(published(spark, grown, "moments"), before)
    killed(monkeypatch, Store, "publish", lambda: work(log, grown, "third", daily=True), "third")
    assert run_ids(spark, grown, "moments") == {"first", "second", "third"}
    same_results(spark, grown, full)
    work(log, grown, "fourth", since=first_open)
    same_results(spark, grown, full)
    for name in TABLES:
        assert run_ids(spark, grown, name) <= {"fourth"}
    with pytest.raises(SettingsError, match="same settings"):
        work(log, grown, "fifth", daily=True, window="12h")
