"""`firstday train --tables` and `firstday recommend` on a small simulated bank, from files to lists."""

import json
import re
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from firstday.jobs import recommend, train

import firstday as fd
from firstday.errors import SettingsError
from firstday.recommendations.monitoring_policy import PolicyValue, policy_value
from firstday.recommendations.recall import relevance
from firstday.settings import RecommendSettings, TrainSettings, load
from firstday.simulation import Bank, simulate_bank
from firstday.simulation.tables import BANK_TABLES
from tests.jobs.small import Collected, status
from tests.jobs.test_api import assert_same

NEVER_SHOWN = {"held", "not_eligible", "no_content"}


@pytest.fixture(scope="module")
def bank() -> Bank:
    return simulate_bank(customers=250, strength=1.5, seed=3, history_days=28)


@pytest.fixture(scope="module")
def tables(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    for name in BANK_TABLES:
        if name not in ("truth", "customers"):
            getattr(bank, name).to_parquet(folder / f"{name}.parquet", coerce_timestamps="us")
    # As a team has them: text, and one word among the numbers that a rule compares.
    stray = bank.customers.iloc[:1].astype({"balance": object}).assign(user_id="stray", balance="n/a")
    pd.concat([bank.customers, stray]).to_csv(folder / "customers.csv", index=False)
    return folder


@pytest.mark.synapseml
@pytest.mark.usefixtures("ansi")
def test_from_a_log_to_lists(
    collected_by_place: dict[str, Collected],
    bank: Bank,
    tables: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {"tables": str(tables), "out": "ranker", "segment": "region", "profile": "region,age"}
    # Blocks and iterations are for many customers; here each costs tasks.
    monkeypatch.setattr(relevance, "BLOCKS", 1)
    monkeypatch.setattr(relevance, "ITERATIONS", 1)
    few = ["train.num_iterations=10", "train.min_data_in_leaf=20", "train.early_stopping_round=0"]
    train.run(load(TrainSettings, None, told, few), "learned")
    ranker = collected_by_place["ranker"]
    [model] = ranker.rows("ranker_model").itertuples(index=False)
    assert model.objective == "binary"
    assert json.loads(model.recall) == {"segment": ["region"], "profile": ["region", "age"], "actions": []}
    assert model.features[-1] == "slot"
    assert {"category", "state", "recall_relevance", "preference", "region"} <= set(model.features)
    [bad] = ranker.rows("quarantine").to_dict("records")
    assert (bad["table"], bad["reason"]) == ("customers", "balance is not a number")
    encoded = json.loads(model.encoding)["features"]
    texts = {each["name"] for each in encoded if each["values"] is not None}
    assert "region" in texts
    assert not {"age", "household", "balance"} & texts  # of a text file, and numbers
    _rises_only(model.native, list(model.features))
    # What is told, stored and tracked is what LightGBM got: here of the log's own defaults.
    got = dict(re.findall(r"^\[(\w+): (.*)\]$", model.native, re.MULTILINE))
    kept = ranker.runs[-1].settings["train"]
    assert kept == json.loads(model.parameters)
    assert (kept["num_leaves"], kept["learning_rate"], kept["num_iterations"]) == (8, 0.03, 10)
    assert {name: float(got[name]) for name in kept} == pytest.approx(kept)
    page = ranker.files["train.html"].decode()
    assert "&#39;num_leaves&#39;: 8" in page
    assert "It has 10 trees." in page
    metrics = ranker.rows("ranker_metrics").set_index(["split", "model", "metric"])["value"]
    assert metrics["train", "model", "auc"] > metrics["train", "category mean", "auc"] > 0.5
    # A model of ready examples, or one that is not shown to be good, is refused; the latter unless forced.
    monkeypatch.setattr(
        "firstday.tables.sources.read_published",
        lambda spark, out, name: collected_by_place[out].read(name, "learned"),
    )
    asked = {"tables": str(tables), "ranker": "ranker", "out": "lists", "force": "true"}
    asked["now"] = bank.now.isoformat()
    recommend.run(load(RecommendSettings, None, asked, ["rest.ignored_times=3"]), "batch")
    lists = collected_by_place["lists"].rows("recommendations")
    used = collected_by_place["lists"].runs[-1].settings
    advised = ranker.rows("ranker_slots").query("recommended")["slots"]
    size = int(advised.iloc[0]) if len(advised) else 4
    assert (used["slots"], used["exploring_slot"]) == (size, size)
    assert (used["segment"], used["profile"]) == (["region"], ["region", "age"])
    page = collected_by_place["lists"].files["recommend.html"].decode()
    assert f"full list of {size} slots." in page.split('class="verdict"')[1].split("</p>")[0]
    assert f"Lists have {size} slots" in page
    # The function gives the tables that the job publishes.
    judging: dict[str, Any] = {}

    def judged(tables: Any, now: Any, window: Any, odds: Any) -> PolicyValue:
        judging["odds"] = odds
        return policy_value(tables, now, window, odds)

    monkeypatch.setattr("firstday.recommendations.pipeline.policy_value", judged)
    keywords: dict[str, Any] = {"force": True, "now": bank.now.isoformat(), "rest": {"ignored_times": 3}}
    with fd.recommend("ranker", tables=str(tables), **keywords) as found:
        assert found.answer.as_dict() == collected_by_place["lists"].runs[-1].answer
        for table in ("recommendations", "not_shown", "recommend_steps"):
            assert_same(found.tables[table].toPandas(), collected_by_place["lists"].rows(table))
        odds = judging["odds"]
        # New lists are judged by what they would have been a week before, as they are drawn for that instant.
        keywords["now"] = (bank.now - pd.Timedelta(days=7)).isoformat()
        with fd.recommend("ranker", tables=str(tables), random_share=0.3, **keywords) as before:
            shown = before.tables["recommendations"].drop("score")
            judged_rows: pd.DataFrame = odds(shown).toPandas()
            blocked: pd.DataFrame = before.tables["not_shown"].toPandas()
    allowed = len(bank.categories) - judged_rows["user_id"].map(blocked["user_id"].value_counts()).fillna(0)
    ranked = ~judged_rows["source"].isin(["random", "exploring"])
    assert judged_rows["source"].isin(["random"]).groupby(judged_rows["user_id"]).nunique().eq(1).all()
    assert 40 < judged_rows.loc[judged_rows["source"] == "random", "user_id"].nunique() < 110
    mixed = judged_rows["probability"] * (0.7 + 0.3 / allowed)
    assert judged_rows.loc[ranked, "propensity"].to_numpy() == pytest.approx(mixed[ranked].to_numpy())
    assert (judged_rows["propensity"] > 0.7 * judged_rows["probability"]).all()
    with pytest.raises(SettingsError, match="must be what the ranker was trained with"):
        recommend.run(load(RecommendSettings, None, asked | {"segment": "age"}), "other")
    # Whole lists, slots without gaps, no category twice, the exploring slot drawn and no other one.
    by_user = lists.groupby("user_id")
    assert lists["user_id"].nunique() == 250
    assert (by_user["slot"].max() == by_user.size()).all()
    assert (by_user["category"].nunique() == by_user.size()).all()
    assert (by_user.size() == size).mean() > 0.95
    drawn = lists["source"] == "exploring"
    assert (lists.loc[drawn, "slot"] == size).all()
    assert lists.loc[drawn, "propensity"].between(0, 1, inclusive="right").all()
    assert lists.loc[~drawn, "propensity"].isna().all()
    # Nothing that is blocked, by what the job says and by the bank itself.
    blocked = collected_by_place["lists"].rows("not_shown")
    assert not lists.merge(blocked, on=["user_id", "category"]).size
    assert set(blocked["reason"]) >= NEVER_SHOWN
    now = bank.now
    held = bank.holdings[(bank.holdings["until"].isna()) | (bank.holdings["until"] > now)]
    assert not lists.merge(held, on=["user_id", "category"]).size
    live = bank.contents[
        (bank.contents["starts_at"] <= now)
        & (bank.contents["ends_at"].isna() | (bank.contents["ends_at"] > now))
    ]
    assert set(lists["content_id"]) <= set(live["content_id"])
    numbers = pd.Series(np.arange(250), index=bank.user_ids)
    offerable = bank.offerable(np.arange(250), np.full(250, bank.day * 86_400))
    places = {name: place for place, name in enumerate(bank.categories["category"])}
    assert offerable[numbers[lists["user_id"]], lists["category"].map(places)].all()
    # The world takes them.
    shown, _ = bank.copy().show(
        lists[["user_id", "slot", "category", "content_id", "policy", "propensity"]],
        now,
        now + pd.Timedelta(days=1),
    )
    assert set(shown["policy"]) == {"firstday"}
    steps = collected_by_place["lists"].rows("recommend_steps").fillna({"source": "", "reason": ""})
    value = steps.set_index(["step", "figure", "source", "reason"])["value"]
    assert value["slots", "slots", "", ""] == len(lists)
    assert value["slots", "slots"].drop(("", "")).sum() == len(lists)
    assert value["filters", "pairs", "", "all"] == 250 * len(bank.categories)
    assert value["filters", "pairs", "", "all"] == value["filters", "pairs", "", "allowed"] + len(blocked)


def _rises_only(native: str, features: list[str]) -> None:
    """A higher recall score never lowers the model's score, and a later slot never raises it."""
    booster = lightgbm.Booster(model_str=native)
    rows = np.random.default_rng(1).uniform(0, 3, (50, len(features)))
    for name, sign in (("recall_relevance", 1), ("category_click_rate", 1), ("slot", -1)):
        raised = [
            booster.predict(_with(rows, features.index(name), value)) for value in np.linspace(0, 4, 20)
        ]
        assert (sign * np.diff(raised, axis=0) >= 0).all(), name
    assert booster.num_trees() == 10


def _with(rows: np.ndarray, place: int, value: float) -> np.ndarray:
    changed = rows.copy()
    changed[:, place] = value
    return changed


def test_mistakes_are_told(tables: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    slots = ["--slots", "3", "--exploring-slot", "4"]
    for argv, told in (
        (
            ["train", "--tables", tables / "absent", "--out", tmp_path / "o"],
            "--tables must be a file or folder",
        ),
        (["train", "--out", tmp_path / "o"], "--examples, or --tables"),
        (["train", "--tables", tables, "--out", tmp_path / "o", "--objective", "hypotheses"], "go together"),
        (["recommend", "--ranker", tmp_path, "--out", tmp_path / "o"], "tables must be given"),
        (
            ["recommend", "--tables", tables, "--ranker", tmp_path / "none", "--out", tmp_path / "o"],
            "--ranker must be an output that is there",
        ),
        (
            ["recommend", "--tables", tables, "--ranker", tables, "--out", tmp_path / "o"],
            "must be an output with the table ranker_model",
        ),
        (
            ["recommend", "--tables", tables, "--ranker", tables, "--out", "o", *slots],
            "exploring_slot must be one of the 3 slots",
        ),
    ):
        assert status(argv) == 2, told
        message = capfd.readouterr().err
        assert told.lower() in message.lower()
        assert "Traceback" not in message
