"""The loop's tables as the job writes them: under their schemas, and as the other jobs take them."""

import re
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml
from firstday.jobs import simulate as job
from pyspark.sql import SparkSession

from firstday.errors import SettingsError
from firstday.ranking.bank import contract
from firstday.settings import SimulateSettings, load
from firstday.settings.bank import TABLES
from firstday.simulation import pipeline
from firstday.simulation.app import simulate_app, truth
from firstday.simulation.app_world import App
from firstday.simulation.tables import LOOP_TABLES
from firstday.tables import schemas
from firstday.tables.schemas import Contract
from tests.jobs.small import Collected

CONF = Path(__file__).parents[2] / "conf"
SETTINGS = {"world": "loop", "users": 80, "seed": 3, "dates": 3}
EMPTY = ("eligibility", "holdings", "transactions", "preferences")


@cache
def small() -> App:
    return simulate_app(users=80, dates=3, seed=3)


def test_the_job_writes_every_table(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Collected(spark)
    monkeypatch.setattr("firstday.tables.write.Store", lambda spark, out: store)
    job.run(load(SimulateSettings, overrides=SETTINGS | {"out": "loop"}), "run-1")
    for name in (*LOOP_TABLES, "accounts"):
        rows = store.rows(name)
        if name in EMPTY:
            assert len(rows) == 0
            continue
        made = truth(small()) if name == "truth" else getattr(small(), name)
        assert [field for field in rows if field != "run_id"] == list(made.columns)
        texts = [field for field in made if made[field].dtype == object]
        assert texts
        assert rows[texts].equals(made[texts].where(made[texts].notna(), None))


def test_missing_values_are_null(spark: SparkSession) -> None:
    rows = pipeline._loop(load(SimulateSettings, overrides=SETTINGS | {"out": "o", "effect": 0}))
    found = spark.createDataFrame(rows["truth"], LOOP_TABLES["truth"]).first()
    assert found is not None
    assert (found["action"], found["threshold"], found["pushed_action_d1"]) == (None, None, None)
    assert found["pushed_decoy_d1"] == 0
    ends = spark.createDataFrame(rows["contents"], LOOP_TABLES["contents"]).where("ends_at is null").count()
    assert ends == small().contents["ends_at"].isna().sum() > 0


def test_what_the_jobs_must_have_is_there() -> None:
    made = {name: LOOP_TABLES[name].names for name in LOOP_TABLES}

    def lacking(name: str, needs: Contract) -> set[str]:
        there = set(made[name])
        return {field.name for field in needs.fields if not field.optional} - there

    for name in TABLES:
        assert not lacking(name, contract(name, made[name])), name
    assert not lacking("users", schemas.users(("country", "gender", "channel")))
    assert not lacking("events", schemas.events())


def test_the_demo_of_labels_reads_the_accounts() -> None:
    accounts = small().accounts
    demo = yaml.safe_load((CONF / "label_demo.yml").read_text("utf-8"))
    rules = yaml.safe_load((CONF / "label_functions_demo.yml").read_text("utf-8"))["functions"]
    read = {re.split(r"\W+", rule["when"])[0] for rule in rules}
    named = {demo["old_label"], demo["gold"], demo["period"], *demo["old_label_columns"], *demo["features"]}
    assert read | named | {"row_id"} <= set(accounts)
    assert accounts["row_id"].equals(small().users["user_id"].rename("row_id"))
    week = pd.to_datetime(accounts["week"], utc=True)
    since = small().users["anchored_at"] - week
    assert since.between(pd.Timedelta(0), pd.Timedelta(days=7), inclusive="left").all()


@pytest.mark.parametrize("wrong", [{"effect": -1}, {"effect": "inf"}, {"dates": 0}, {"users": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        load(SimulateSettings, overrides=SETTINGS | {"out": "o"} | wrong)
