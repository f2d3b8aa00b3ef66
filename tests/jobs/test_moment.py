"""A world with a planted moment, from the simulation to the hypothesis, its SQL and its record in MLflow."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from pyspark.sql import SparkSession

from tests.jobs.small import KEYS, Log, published, status


@dataclass(frozen=True)
class World:
    spark: SparkSession
    folder: Path
    status: int

    def table(self, name: str) -> pd.DataFrame:
        return published(self.spark, self.folder / "out", name)


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    planted = ["--users", 6000, "--dates", 30, "--effect", 3, "--seed", 7, "--no-common-shocks"]
    assert status(["simulate", "--out", folder / "in", *planted]) == 0
    inputs = ["--users", folder / "in" / "users", "--events", folder / "in" / "events"]
    asked = ["--segments", "gender,country", "--days", "1,3", "--bootstrap", 20]
    return World(spark, folder, status(["discover", *inputs, "--out", folder / "out", *asked]))


def test_it_finds_the_planted_action(world: World) -> None:
    assert world.status == 0
    truth = published(world.spark, world.folder / "in", "truth").iloc[0]
    hypotheses = world.table("hypotheses")
    assert len(hypotheses) == 1
    found = hypotheses.iloc[0]
    assert (found["verdict"], found["action"], found["day"]) == ("moment", truth["action"], 1)
    assert found["sentence"] == f"within 24 h of sign-up, did {found['action']} at least " + (
        "once" if found["threshold"] == 1 else f"{found['threshold']} times"
    )
    assert found[["reason", "precision", "recall", "adjusted", "baseline", "users_per_arm"]].notna().all()


def test_its_sql_gives_those_who_experienced_it(world: World) -> None:
    found = world.table("hypotheses").iloc[0]
    moments = world.table("moments").set_index(KEYS)
    row = moments.loc[("all", found["action"], found["threshold"], 1)]
    assert row["verdict"] == "chosen"
    for name in ("users", "events"):
        world.spark.read.format("delta").load(str(world.folder / "in" / name)).createOrReplaceTempView(name)
    users = world.spark.sql(found["sql"]).join(world.spark.table("users"), "user_id")
    horizon = world.spark.table("events").selectExpr("max(occurred_at)").first()
    assert horizon is not None
    known = users.where(users["anchored_at"] + pd.Timedelta(days=2).to_pytimedelta() <= horizon[0])
    assert known.count() == row["experienced"]
    assert known.select("user_id").distinct().count() == row["experienced"]
    for name in ("users", "events"):
        world.spark.catalog.dropTempView(name)


def test_the_tables_hold_together(world: World) -> None:
    moments = world.table("moments")
    assert not moments.duplicated(KEYS).any()
    assert "gender=f,country=KR" in set(moments["segment"])
    chosen = moments[moments["verdict"] == "chosen"]
    assert list(chosen["segment"]) == ["all"]
    judged = moments[moments["verdict"].notna()]
    assert judged["reason"].notna().all()
    assert set(judged["segment"]) == {"all"}
    funnel = world.table("funnel").sort_values("step")
    assert funnel["candidates"].iloc[0] == len(judged)
    assert (funnel["candidates"] + funnel["dropped"]).iloc[1:].tolist() == funnel["candidates"].iloc[
        :-1
    ].tolist()
    assert funnel["candidates"].iloc[-1] == 1
    halves = world.table("moment_halves")
    assert set(halves["half"]) == {"choosing", "reporting"}
    totals = halves.groupby(KEYS)["users"].sum().rename("sum").reset_index()
    both = moments.merge(totals, on=KEYS)
    assert (both["sum"] <= both["users"]).all()
    assert set(world.table("moment_trends")["action"]) >= set(chosen["action"])


def test_mlflow_has_the_run(world: World, tracking_store: str) -> None:
    record = recorded(tracking_store, str(world.folder / "out"))
    assert record.info.status == "FINISHED"
    assert record.data.params["days"] == "[1, 3]"
    assert record.data.tags["verdict"] == "moment"
    assert record.data.tags["input.events.format"] == "delta"
    assert record.data.tags["input.events.version"].startswith("Delta version")
    assert record.data.metrics["users"] == 6000
    assert record.data.metrics["rows_hypotheses"] == 1
    assert record.data.metrics["rows_moments"] == len(world.table("moments"))
    client = MlflowClient(tracking_store)
    assert "report.html" in [item.path for item in client.list_artifacts(record.info.run_id)]
    figures = [item.path for item in client.list_artifacts(record.info.run_id, "figures")]
    assert figures
    assert all(path.endswith(".png") for path in figures)


def test_a_failed_run_is_marked_with_its_reason(
    spark: SparkSession, small: Log, tmp_path: Path, tracking_store: str
) -> None:
    inputs = ["--users", small.folder / "users.parquet", "--events", small.folder / "nothing.parquet"]
    assert status(["discover", *inputs, "--out", tmp_path]) == 2
    record = recorded(tracking_store, str(tmp_path))
    assert record.info.status == "FAILED"
    assert "nothing.parquet" in record.data.tags["failure_reason"]


def recorded(store: str, out: str) -> Run:
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("firstday")
    assert experiment is not None
    runs = [run for run in client.search_runs([experiment.experiment_id]) if run.data.params["out"] == out]
    assert len(runs) == 1
    return runs[0]
