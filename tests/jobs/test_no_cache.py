"""Sessions that refuse to cache, as serverless ones do: everything is worked out anew, and is the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

import firstday as fd
from tests.jobs.small import made
from tests.jobs.test_api import accounts, assert_same, many_posts, no_friends, spends


class Refused(PySparkException):
    """What Databricks' serverless sessions say."""

    def __init__(self) -> None:
        super().__init__(
            "[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported on serverless compute."
        )

    def getCondition(self) -> str:  # noqa: N802 - PySpark's names
        return "NOT_SUPPORTED_WITH_SERVERLESS"

    getErrorClass = getCondition  # noqa: N815


def results() -> dict[str, fd.Result]:
    log = made(users=80, dates=10)
    plan = {"experiment": "push", "variants": {"control": 0.5, "b": 0.5}, "starts_at": "2024-06-01T00:00:00Z"}
    units = pd.DataFrame({"user_id": [f"u{at}" for at in range(50)]})
    variants = ("control", "b")
    assigned = pd.DataFrame(
        {
            "unit_id": log.users["user_id"],
            "experiment": "push",
            "variant": np.array(variants, dtype=object)[np.arange(len(log.users)) % 2],
            "assigned_at": log.users["anchored_at"],
        }
    )
    in_log = {
        **plan,
        "starts_at": "2024-03-01T00:00:00Z",
        "metrics": [{"name": "d1", "kind": "retention", "day": 1}],
    }
    return {
        "discover": fd.discover(log.users, log.events, days=(1, 3), min_users=5, quick=True),
        "label": fd.label(accounts(), functions=[many_posts, no_friends]),
        "assign": fd.assign(units, plan),
        "measure": fd.measure(spends(), control="control", metric=["spend", "came"]),
        "measure a log": fd.measure(assignments=assigned, events=log.events, plan=in_log),
    }


def test_results_are_the_same_where_nothing_can_be_cached(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = results()

    def refuse(*_: Any, **__: Any) -> None:
        raise Refused

    kind = type(spark.range(1))
    for method in ("persist", "cache", "unpersist"):
        monkeypatch.setattr(kind, method, refuse)
    for name, found in results().items():
        assert found.tables.keys() == expected[name].tables.keys()
        assert found.answer.headline == expected[name].answer.headline
        for table, rows in found.tables.items():
            assert_same(rows.toPandas(), expected[name].tables[table].toPandas())
        if name == "discover":
            found.save(str(tmp_path), track=False)
            saved = spark.read.format("delta").load(f"{tmp_path}/moments")
            assert saved.count() == expected[name].tables["moments"].count()
        found.close()
