"""`firstday train` on a ready table: LightGBM's own figures, baselines, champion and challenger, refusals."""

import threading
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from firstday.jobs import train
from mlflow import MlflowClient
from sklearn.datasets import load_svmlight_file

from firstday.ranking.ranker import watched
from firstday.settings import TrainSettings, load
from tests.jobs.small import Collected, status

EXPECTED = {"ndcg@1": 0.5937, "ndcg@3": 0.6467, "ndcg@5": 0.6703, "ndcg@10": 0.7478}


def lists(folder: Path, many: int, seed: int, **columns: Any) -> Path:
    """Lists of 2 to 8 rows; 1 in a list is clicked, by what f0 says and by the category."""
    draw = np.random.default_rng(seed)
    which = np.repeat(np.arange(many), draw.integers(2, 9, many))
    frame = pd.DataFrame({"query_id": [f"list {number}" for number in which]})
    frame["f0"], frame["f1"] = draw.normal(size=(2, len(which)))
    frame["what"] = draw.choice(["loan", "card", "fund"], len(which))
    pull = 1.5 * frame["f0"] + (frame["what"] == "card") + draw.gumbel(size=len(which))
    frame["label"] = (pull == pull.groupby(which).transform("max")).astype(int)
    hours = pd.to_timedelta(which, unit="h")
    frame["shown_at"] = (pd.Timestamp("2024-05-01", tz="UTC") + hours).as_unit("us")
    file = folder / f"lists{seed}.parquet"
    frame.assign(**columns).to_parquet(file)
    return file


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lists(tmp_path_factory.mktemp("lists"), 400, 1)


def settings(file: Path, out: Path, **others: Any) -> TrainSettings:
    given = {"examples": file, "out": out, "group": "query_id", "features": "f*", "seed": 3, **others}
    return load(
        TrainSettings, None, {key: str(value) for key, value in given.items()}, ["train.num_iterations=20"]
    )


@pytest.mark.synapseml
@pytest.mark.real_data
def test_lightgbms_own_example(collected: Collected, real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "lightgbm-lambdarank"
    frames = {}
    for part in ("train", "test"):
        values, label = load_svmlight_file(str(folder / f"rank.{part}"), n_features=301, zero_based=True)
        sizes = np.loadtxt(folder / f"rank.{part}.query", dtype=int)
        frame = pd.DataFrame(values.toarray(), columns=[f"f{at}" for at in range(301)])
        frame.insert(0, "query_id", np.repeat(np.arange(len(sizes)), sizes))
        frame.insert(0, "row", np.arange(len(frame)))
        frames[part] = frame.assign(label=label)
        frames[part].sample(frac=1, random_state=2).to_parquet(tmp_path / f"{part}.parquet")
    told = {"examples": tmp_path / "train.parquet", "valid": tmp_path / "test.parquet", "order_by": "row"}
    given = {**told, "out": tmp_path, "group": "query_id", "features": "f*", "registered_model": "example"}
    train.run(load(TrainSettings, None, {key: str(value) for key, value in given.items()}), "run")
    metrics = collected.rows("ranker_metrics")
    own = metrics[(metrics["split"] == "valid") & (metrics["model"] == "model")].set_index("metric")["value"]
    assert own.round(4).to_dict() == EXPECTED
    # Python's LightGBM finds the same model, and the exported one scores the same rows alike.
    features = [f"f{at}" for at in range(301)]
    parameters = {
        "objective": "lambdarank", "num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 50,
        "min_sum_hessian_in_leaf": 5.0, "metric": "ndcg", "eval_at": [1, 3, 5, 10], "verbose": -1,
    }  # fmt: skip
    kept, against = (
        lightgbm.Dataset(frame[features].to_numpy(), frame["label"], group=frame.groupby("query_id").size())
        for frame in frames.values()
    )
    evaluated: dict[str, Any] = {}
    lightgbm.train(parameters, kept, 100, [against], callbacks=[lightgbm.record_evaluation(evaluated)])
    python = {name: round(values[-1], 4) for name, values in evaluated["valid_0"].items()}
    assert python == EXPECTED
    exported = lightgbm.Booster(model_str=collected.files["ranker.lightgbm.txt"].decode())
    scores = collected.rows("ranker_scores")
    valid = scores[scores["split"] == "valid"].assign(row=lambda rows: rows["key"].astype(int))
    again = exported.predict(frames["test"][features].to_numpy())
    np.testing.assert_allclose(valid.sort_values("row")["score"], again, rtol=0, atol=1e-9)


@pytest.mark.synapseml
def test_a_champion_stays_until_it_is_beaten_on_the_same_lists(
    collected: Collected, clicks: Path, tmp_path: Path, tracking_store: str
) -> None:
    client = MlflowClient(tracking_store)

    def versions() -> dict[str, str]:
        aliases = client.get_registered_model("ours").aliases
        return {alias: str(version) for alias, version in aliases.items()}

    told = {"category": "what", "time": "shown_at", "registered_model": "ours"}
    # f1 says nothing: chance is not beaten, and nobody becomes champion.
    train.run(settings(clicks, tmp_path, **{**told, "features": "f1", "category": "query_id"}), "noise")
    assert not collected.rows("ranker_model")["beats"].any()
    assert "not shown to beat" in collected.files["train.html"].decode()
    assert versions() == {"challenger": "1"}
    collected.clear()
    train.run(settings(clicks, tmp_path, **told), "first")
    figures = collected.rows("ranker_metrics").set_index(["split", "model", "metric"])
    valid = figures.loc["valid"]["value"]
    assert valid["model", "ndcg@10"] > valid["category mean", "ndcg@10"] > valid["random", "ndcg@10"]
    assert collected.rows("ranker_model")["beats"].all()
    assert versions() == {"challenger": "2", "champion": "2"}
    # The latest fifth is measured on, and no list is in both.
    scores = collected.rows("ranker_scores")
    shown = scores["list"].str.removeprefix("list ").astype(int)
    assert shown[scores["split"] == "train"].max() < shown[scores["split"] == "valid"].min()
    assert (scores["split"] == "valid").mean() == pytest.approx(0.2, abs=0.03)
    # The same again is no better than the champion.
    collected.clear()
    train.run(settings(clicks, tmp_path, **told), "second")
    again = collected.rows("ranker_metrics").set_index(["split", "model", "metric"])
    assert again.loc[("valid", "champion", "ndcg@10"), "gain"] == 0
    assert versions() == {"challenger": "3", "champion": "2"}
    # Other features cannot be compared.
    collected.clear()
    train.run(settings(clicks, tmp_path, **{**told, "features": "f0"}), "third")
    assert any("other features" in note for note in collected.rows("ranker_model")["notes"][0])
    assert versions() == {"challenger": "4", "champion": "2"}


@pytest.mark.synapseml
def test_binary_gives_probabilities_and_auc(collected: Collected, clicks: Path, tmp_path: Path) -> None:
    train.run(
        settings(clicks, tmp_path, objective="binary", valid_share=0.3, registered_model="binary"), "run"
    )
    scores = collected.rows("ranker_scores")
    valid = scores[scores["split"] == "valid"]
    assert valid["score"].between(0, 1).all()
    assert valid["score"].mean() == pytest.approx(valid["label"].mean(), abs=0.03)
    figures = collected.rows("ranker_metrics").set_index(["split", "model", "metric"])["value"]
    assert figures["valid", "model", "auc"] > 0.75
    assert figures["valid", "random", "auc"] == 0.5
    importance = collected.rows("ranker_features")
    assert importance["feature"][0] == "f0"
    assert importance["gain_share"].sum() == pytest.approx(1)


@pytest.mark.synapseml
def test_the_order_of_rows_and_their_format_change_nothing(
    collected_by_place: dict[str, Collected], clicks: Path, tmp_path: Path
) -> None:
    frame = pd.read_parquet(clicks)
    frame.sample(frac=1, random_state=5).to_csv(tmp_path / "lists.csv", index=False)
    for place, file in (("one", clicks), ("two", tmp_path / "lists.csv")):
        train.run(settings(file, Path(place), registered_model=f"of {place}"), place)
    one, two = (collected_by_place[place] for place in ("one", "two"))
    one.same_results(two, ["ranker_metrics", "ranker_scores", "ranker_features"])


@pytest.mark.synapseml
def test_mistakes_are_told(clicks: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_parquet(clicks).head(300)
    negative, words, alike = (tmp_path / f"{name}.parquet" for name in ("negative", "words", "alike"))
    frame.assign(label=-1).to_parquet(negative)
    frame.assign(f1="much").to_parquet(words)
    frame.assign(label=1).to_parquet(alike)
    asked = ["train", "--out", tmp_path / "out", "--group", "query_id"]
    for further, told in (
        (["--examples", negative], "label is below 0"),
        (["--examples", words], "f1 is not a number"),
        (["--examples", alike], "abels of the rows to learn from must differ"),
        (["--examples", clicks, "--features", "shown_at"], "must be numbers"),
        (["--examples", clicks, "--features", "f*,label"], "label (--label)"),
        (["--examples", clicks, "--features", "g*"], "'g*'"),
        (["--examples", clicks, "--label", "query_id"], "different columns"),
        (["--examples", clicks, "--set", "train.num_leafs=3"], "did you mean 'train.num_leaves'"),
        (["--examples", clicks, "--set", "train.num_leaves=1"], "train.num_leaves"),
        (["--examples", clicks, "--valid", clicks, "--time", "shown_at"], "not both"),
        (["--examples", clicks, "--group", "label", "--label", "f0"], "label"),
    ):
        assert status([*asked, *further]) == 2, told
        message = capfd.readouterr().err
        assert told in message
        assert "Traceback" not in message


@pytest.mark.synapseml
def test_a_registry_that_cannot_be_reached_is_told_before_any_work(
    clicks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", unreachable)
    assert status(["train", "--examples", clicks, "--out", tmp_path / "out", "--group", "query_id"]) == 1
    message = capfd.readouterr().err
    assert "no route to host" in message
    assert "MLFLOW_REGISTRY_URI" in message


def test_a_fit_that_does_not_end_is_ended() -> None:
    ended = threading.Event()
    with watched(60, ended.set):
        pass
    assert not ended.is_set()
    with watched(0.01, ended.set):
        assert ended.wait(10)
