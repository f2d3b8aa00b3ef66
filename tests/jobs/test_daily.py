"""A daily run reads what is new and leaves what a full run leaves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from firstday.errors import SettingsError
from tests.jobs.small import made, published, run, same_results


def test_daily_and_since_equal_a_full_run(spark: SparkSession, tmp_path: Path) -> None:
    log = made(users=120, dates=12, country=("KR", "US", None))
    middle = log.users["anchored_at"].min() + pd.Timedelta(days=9)
    part = replace(
        log,
        users=log.users[log.users["anchored_at"] < middle],
        events=log.events[log.events["occurred_at"] < middle],
    )
    asked: dict[str, Any] = {"segments": ("country",), "days": (1, 3), "quick": True}
    grown = tmp_path / "grown"
    run(part.saved(tmp_path / "log"), grown, "first", **asked)
    log = log.saved(tmp_path / "log")
    run(log, grown, "second", daily=True, **asked)
    run(log, tmp_path / "full", "whole", **asked)
    same_results(spark, grown, tmp_path / "full")
    since = sorted(set(log.users["anchored_at"].dt.date))[3]
    run(log, grown, "third", since=since, **asked)
    same_results(spark, grown, tmp_path / "full")
    assert set(published(spark, grown, "moments")["day"]) == {1, 3}
    with pytest.raises(SettingsError, match="window"):
        run(log, grown, "fourth", daily=True, window="12h", **asked)
