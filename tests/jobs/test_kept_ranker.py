"""`firstday recommend` by a ranker that was trained elsewhere: no part of it needs SynapseML."""

import json
from pathlib import Path
from typing import Any

import pytest
from firstday.jobs import recommend
from pyspark.sql import DataFrame, SparkSession

from firstday.ranking import outputs
from firstday.recommendations.recall import relevance
from firstday.settings import RecommendSettings, load
from firstday.simulation import simulate_bank
from firstday.simulation.tables import BANK_TABLES
from firstday.spark import synapseml
from tests.jobs.small import Collected

# What `firstday train` published for this bank, with 10 trees.
KEPT: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("kept_ranker.json").read_text(encoding="utf-8")
)


@pytest.mark.usefixtures("ansi")
def test_lists_by_a_ranker_that_was_trained_elsewhere(
    collected: Collected, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = simulate_bank(customers=120, strength=1.5, seed=3, history_days=21)
    for name in BANK_TABLES:
        if name != "truth":
            getattr(bank, name).to_parquet(tmp_path / f"{name}.parquet", coerce_timestamps="us")

    def published(_: SparkSession, out: str, table: str) -> DataFrame:
        assert out == "elsewhere"
        schema = outputs.TABLES[table]
        rows = [tuple(row.get(column) for column in schema.names) for row in KEPT[table]]
        return spark.createDataFrame(rows, schema)

    monkeypatch.setattr("firstday.tables.sources.read_published", published)
    monkeypatch.setattr(relevance, "BLOCKS", 1)
    monkeypatch.setattr(relevance, "ITERATIONS", 1)
    monkeypatch.setattr(synapseml, "available", lambda spark: False)
    asked = {"tables": str(tmp_path), "ranker": "elsewhere", "out": "lists", "force": "true"}
    asked["now"] = bank.now.isoformat()
    recommend.run(load(RecommendSettings, None, asked), "batch")
    lists = collected.rows("recommendations")
    by_user = lists.groupby("user_id")
    assert lists["user_id"].nunique() == 120
    assert (by_user["slot"].max() == by_user.size()).all()
    assert (by_user["category"].nunique() == by_user.size()).all()
    assert lists.loc[lists["source"] != "fallback", "score"].between(0, 10).all()
    # Nothing is there to compare with yet: the next run has this one's profile.
    assert collected.rows("recommend_drift").empty
    assert set(collected.rows("recommend_profile")["at"].dt.tz_localize(None)) == {bank.now.tz_localize(None)}
