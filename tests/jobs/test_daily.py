"""A daily run reads what is new and leaves what a full run leaves."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from firstday.errors import DataError, SettingsError
from firstday.moments.inputs import read
from firstday.moments.pipeline import count_from
from firstday.settings import DiscoverSettings
from firstday.tables import Checked, Sources
from firstday.windows import Windows
from tests.jobs.small import LABEL_TABLES, TABLES, Collected, made, run


def test_daily_equals_a_full_run_also_of_those_left_out(
    collected_by_place: dict[str, Collected], tmp_path: Path
) -> None:
    log = made(users=120, dates=12, country=("KR", "US", None))
    middle = log.users["anchored_at"].min() + pd.Timedelta(days=9)
    part = replace(
        log,
        users=log.users[log.users["anchored_at"] < middle],
        events=log.events[log.events["occurred_at"] < middle],
    )
    labels = tmp_path / "labels.parquet"
    doubted = log.users["user_id"].str.endswith("7")
    told = [[0.1, 0.9] if is_doubted else [0.9, 0.1] for is_doubted in doubted]
    pd.DataFrame({"row_id": log.users["user_id"], "probabilities": told}).to_parquet(labels)
    asked: dict[str, Any] = {"segments": ("country",), "days": (1, 3), "quick": True, "labels": str(labels)}
    grown = tmp_path / "grown"
    run(part.saved(tmp_path / "log"), grown, "first", **asked)
    log = log.saved(tmp_path / "log")
    run(log, grown, "second", daily=True, **asked)
    run(log, tmp_path / "full", "whole", **asked)
    by_days, at_once = (collected_by_place[str(out)] for out in (grown, tmp_path / "full"))
    assert by_days is not at_once
    by_days.same_results(at_once, [*TABLES, *LABEL_TABLES])
    assert set(by_days.rows("moments")["day"]) == {1, 3}
    for table, users in (("moment_counts", ~doubted), ("left_out_counts", doubted)):
        counts = by_days.rows(table)
        assert counts.loc[counts["action"].isna(), "users"].sum() == users.sum()
    with pytest.raises(SettingsError, match="window"):
        run(log, grown, "third", daily=True, window="12h", **asked)


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ({}, None),  # all of them
        ({"daily": True}, date(2024, 3, 6)),  # D3 of the 6th ends with the 10th
        ({"since": date(2024, 3, 2)}, date(2024, 3, 2)),
        ({"since": date(2024, 3, 9)}, date(2024, 3, 6)),  # what is still open is always counted anew
        ({"daily": True, "horizon": datetime(2024, 3, 8, tzinfo=UTC)}, date(2024, 3, 4)),
    ],
)
def test_the_first_date_to_count_anew(asked: dict[str, Any], first: date | None) -> None:
    settings = DiscoverSettings(users="u", events="e", out="o", days=(1, 3), **asked)
    horizon = datetime(2024, 3, 10, 12, tzinfo=UTC)
    before = SimpleNamespace(base=SimpleNamespace(horizon=horizon, settings=settings.model_dump(mode="json")))
    assert count_from(settings, Windows.of(settings), cast(Sources, before)) == first


def test_dates_of_partitions_as_text_and_a_log_without_new_rows(spark: SparkSession, tmp_path: Path) -> None:
    log = made(users=40, dates=8)
    days = log.events["occurred_at"].dt
    compact = log.events.assign(dt=days.strftime("%Y%m%d"))
    asked: dict[str, Any] = {"days": (1,), "event_date_column": "dt"}
    now, since = datetime(2024, 6, 1, tzinfo=UTC), date(2024, 3, 6)

    def read_of(events: pd.DataFrame) -> list[Checked]:
        saved = replace(log, events=events).saved(tmp_path / "log")
        settings = saved.settings(tmp_path / "out", **asked)
        return read(Sources(spark), settings, Windows.of(settings), since, now)

    rows = read_of(compact)[1].good.toPandas()
    start = pd.Timestamp("2024-03-05", tz="UTC")  # a day before, as windows may reach over midnight
    assert len(rows) == (log.events["occurred_at"] >= start).sum()
    # What came later is of dates that the column does not say: silence would be a day without users.
    stale = compact.assign(dt="20240301")
    later = (log.events["occurred_at"] >= pd.Timestamp(since, tz="UTC")).sum()
    with pytest.raises(DataError, match=f"leads to no row, but {later:,} occurred since then"):
        read_of(stale)
    early = compact[log.events["occurred_at"] < pd.Timestamp("2024-03-04", tz="UTC")]
    with pytest.raises(DataError, match="needs events from 2024-03-06 on, and the log has none"):
        read_of(early)
