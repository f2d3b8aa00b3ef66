"""The bank's tables as the job writes them: under their schemas, rules that Spark reads as the world does."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from firstday.jobs import simulate as job
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.settings import SimulateSettings, load
from firstday.simulation import Bank, pipeline, simulate_bank
from firstday.simulation.bank_catalog import NAMES
from firstday.simulation.tables import BANK_TABLES
from tests.jobs.small import Collected

SETTINGS = {"world": "bank", "users": 60, "seed": 3, "history_days": 5}


@cache
def small() -> Bank:
    return simulate_bank(customers=60, seed=3, history_days=5)


def test_the_job_writes_every_table(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Collected(spark)
    monkeypatch.setattr("firstday.tables.write.Store", lambda spark, out: store)
    job.run(load(SimulateSettings, overrides=SETTINGS | {"out": "bank"}), "run-1")
    for name, schema in BANK_TABLES.items():
        made = small().truth() if name == "truth" else getattr(small(), name)
        rows = store.rows(name)
        assert [field for field in rows if field != "run_id"] == schema.names
        texts = [field.name for field in schema if field.dataType.simpleString() == "string"]
        assert rows[texts].equals(made[texts].astype(object).where(made[texts].notna(), None))


def test_tables_are_of_their_schemas(spark: SparkSession) -> None:
    made = small()
    rows = pipeline._bank(load(SimulateSettings, overrides=SETTINGS | {"out": "o"}))
    assert list(rows) == list(BANK_TABLES)
    for name in ("customers", "transactions", "contents"):
        known = getattr(made, name)
        pd.testing.assert_frame_equal(rows[name], known)
        table = spark.createDataFrame(known, BANK_TABLES[name])
        # A missing number is null, as in the tables of any bank, and no NaN.
        missing = table.select(
            [F.sum(F.col(column).isNull().cast("int")) for column in table.columns]
        ).first()
        assert missing is not None
        assert list(missing) == known.isna().sum().tolist()
        assert sum(missing) > 0


def test_rules_mean_in_spark_what_they_mean_in_the_world(spark: SparkSession) -> None:
    made = simulate_bank(customers=2_000, history_days=1)
    customers = spark.createDataFrame(made.customers, BANK_TABLES["customers"])
    rules = made.eligibility.groupby("category")["rule"].agg(
        lambda parts: "({})".format(") AND (".join(parts))
    )
    answers = customers.select(
        "user_id", *(F.coalesce(F.expr(rule), F.lit(False)).alias(name) for name, rule in rules.items())
    )
    known = pd.DataFrame(made.eligible, made.customers["user_id"], NAMES)
    answered = pd.DataFrame(answers.toPandas()).set_index("user_id")
    np.testing.assert_array_equal(answered, known[list(rules.index)])
    assert known[[name for name in NAMES if name not in rules.index]].all(axis=None)
    assert 0 < known["mortgage"].mean() < 1
    assert made.customers["income_band"].isna().any()


@pytest.mark.parametrize(
    "wrong", [{"strength": -1}, {"strength": "inf"}, {"history_days": 0}, {"world": "b"}]
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        load(SimulateSettings, overrides={"out": "o"} | wrong)
