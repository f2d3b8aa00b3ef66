"""`firstday label`: votes to soft labels, mistakes, and a fitted model on other rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from firstday.jobs import label
from pyspark.sql import SparkSession

from firstday.labels.inputs import read
from firstday.labels.models import em, fitting
from firstday.labels.patterns import Packing, Patterns
from firstday.settings import LabelSettings
from firstday.tables import Sources
from tests.jobs.small import Collected, published, status
from tests.labels.test_latent_class import fraud
from tests.labels.worlds import Votes, one_sided, two_sided


def frame_of(cast: Votes, **others: Any) -> pd.DataFrame:
    names = [f"lf_{at}" for at in range(cast.shape[1])]
    return pd.DataFrame({"row_id": np.arange(len(cast)), **dict(zip(names, cast.T, strict=True)), **others})


def saved(frame: pd.DataFrame, file: Path) -> str:
    frame.to_parquet(file)
    return str(file)


def labelled(frame: pd.DataFrame, store: Collected, tmp_path: Path, **settings: Any) -> pd.DataFrame:
    """soft_labels by row_id, of a run whose tables stay in memory."""
    file = saved(frame, tmp_path / "votes.parquet")
    store.clear()
    label.run(LabelSettings(votes=file, out="memory", **settings), "run")
    return store.rows("soft_labels").set_index("row_id").sort_index()


def test_a_model_is_fitted_published_and_applied_to_other_rows(
    spark: SparkSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    world = one_sided(600, (0.6, 0.4), 1)
    train = saved(frame_of(world.votes), tmp_path / "train.parquet")
    other = frame_of(world.votes[:50, ::-1], gold=world.truth[:50], note="x")
    other.columns = ["row_id", *[f"lf_{at}" for at in reversed(range(8))], "gold", "note"]
    test = saved(other, tmp_path / "test.parquet")
    fitted, applied = tmp_path / "fitted", tmp_path / "applied"
    assert status(["label", "--votes", train, "--out", fitted]) == 0
    assert status(["label", "--votes", test, "--model", fitted, "--out", applied]) == 0
    model = fitting.fit(Patterns.of(world.votes, 2, [f"lf_{at}" for at in range(8)]))
    packing = Packing(8, 2)
    expected = model.posterior(packing.unpack(packing.pack(world.votes[:50])))
    for out, rows in ((fitted, 600), (applied, 50)):
        labels = published(out, "soft_labels")
        assert len(labels) == rows
        labels.index = labels["row_id"].astype(int)
        found = np.stack(labels.sort_index()["probabilities"].to_list())
        np.testing.assert_allclose(found[:50], expected, atol=1e-9)
    summary = published(fitted, "label_summary")
    assert len(summary) == 8
    assert published(fitted, "label_model")["kind"].to_list() == [model.kind]
    patterns = published(applied, "label_patterns")
    assert patterns["rows"].sum() == 50
    # Long votes, some by voters whom the model does not know; then all by such.
    long = other.melt(["row_id", "gold", "note"], var_name="voter", value_name="vote").drop(columns="note")
    long["voter"] = long["voter"].where(long["row_id"] % 2 == 0, "new " + long["voter"])
    some = saved(long, tmp_path / "some.parquet")
    found = read(Sources(spark), LabelSettings(votes=some, model=str(fitted), out="memory"))
    assert found.passed_over == ((long["row_id"] % 2 == 1) & (long["vote"] >= 0)).sum()
    assert f"{found.passed_over:,} of {(long['vote'] >= 0).sum():,} votes" in found.notes[0]
    strangers = saved(long[long["row_id"] % 2 == 1], tmp_path / "strangers.parquet")
    for further, told in (
        (["--votes", strangers], "voters whom the model knows"),
        (["--votes", test, "--classes", "3"], "the 2 classes of the model"),
    ):
        assert status(["label", *further, "--model", fitted, "--out", tmp_path / "refused"]) == 2
        assert told in capfd.readouterr().err


def test_rows_that_break_a_rule_are_set_aside(collected: Collected, tmp_path: Path) -> None:
    cast = two_sided(200, 4, (0.6, 0.4), 1).votes
    frame = frame_of(cast).astype("float")
    frame.loc[0, "lf_0"] = np.nan  # as of a voter that came later: it abstains
    frame.loc[1, "lf_1"] = 7
    frame.loc[2, "lf_2"] = -3
    frame.loc[3, "lf_2"] = 0.5
    frame["row_id"] = [f"r{at}" for at in range(200)]
    again = frame.loc[[10, 11]].copy()  # the one equal, the other not
    again.loc[11, "lf_3"] = 1 - max(again.loc[11, "lf_3"], 0)
    found = labelled(pd.concat([frame, again]), collected, tmp_path, classes=2)
    assert set(frame["row_id"]) - set(found.index) == {"r1", "r2", "r3", "r11"}
    assert found.index.is_unique
    reasons = collected.rows("quarantine")["reason"].value_counts().to_dict()
    assert reasons == {
        "lf_1 is a vote outside of the classes": 1,
        "lf_2 is a vote outside of the classes": 1,
        "lf_2 is not a whole number": 1,
        "row_id is given more than once, with different values": 2,
    }


def test_odd_inputs_that_are_no_mistakes(collected: Collected, tmp_path: Path) -> None:
    cast = two_sided(300, 4, (0.6, 0.4), 1).votes
    cast[7] = -1
    # A known label on few rows measures, and changes nothing else.
    gold = np.where(np.arange(300) % 100 == 0, 1.0, np.nan)
    plain = labelled(frame_of(cast), collected, tmp_path)
    measured = labelled(frame_of(cast, truth=gold), collected, tmp_path, gold="truth")
    summary = collected.rows("label_summary")
    assert (summary["correct"] + summary["incorrect"]).max() <= 3
    pd.testing.assert_frame_equal(plain, measured)
    assert plain.loc["7", ["label", "status"]].to_list() == [-1, "unknown"]
    # A row that nobody speaks on is of the classes' shares.
    model = collected.rows("label_model")
    assert plain.loc["7", "probabilities"] == pytest.approx(model["balance"].iloc[0], abs=0.01)
    # Classes that nobody votes for; a column named gold is never a voter; drift by period.
    wide = frame_of(cast, gold=0, week=np.where(np.arange(300) < 100, "1", "2"))
    six = labelled(wide, collected, tmp_path, classes=6, period="week")
    assert {len(each) for each in six["probabilities"]} == {6}
    assert len(collected.rows("label_summary")) == 4
    drift = collected.rows("label_drift")
    assert drift.groupby("function")["rows"].sum().to_list() == [300] * 4
    # Everybody says the same.
    same = labelled(frame_of(np.ones((50, 3), dtype=np.int64)), collected, tmp_path)
    assert set(same["label"]) == {1}


def test_the_driver_is_left_out_where_patterns_are_many(
    collected: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(em, "MOST_STEPS", 5)  # each is a Spark job
    cast = two_sided(300, 6, (0.6, 0.4), 1).votes
    few, many = (
        labelled(frame_of(cast), collected, tmp_path, max_patterns=limit, model_kind="confusion")
        for limit in (10_000, 20)
    )
    one, other = (np.stack(each["probabilities"].to_list()) for each in (few, many))
    np.testing.assert_allclose(one, other, atol=1e-9)
    pd.testing.assert_frame_equal(few.drop(columns="probabilities"), many.drop(columns="probabilities"))


def test_mistakes_end_with_status_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cast = two_sided(20, 3, (0.5, 0.5), 1).votes
    good = saved(frame_of(cast, truth=9), tmp_path / "good.parquet")
    silent = saved(frame_of(np.full((20, 3), -1)), tmp_path / "silent.parquet")
    empty = saved(frame_of(cast).iloc[:0], tmp_path / "empty.parquet")
    no_id = saved(frame_of(cast).drop(columns="row_id"), tmp_path / "no_id.parquet")
    only_id = saved(frame_of(cast)[["row_id"]], tmp_path / "only_id.parquet")
    stray = frame_of(cast)
    stray.loc[3, "lf_1"] = 999_999
    stray_vote = saved(stray, tmp_path / "stray.parquet")
    text = saved(frame_of(cast, remark=["a", "b"] * 10), tmp_path / "text.parquet")
    for further, told in (
        (["--votes", silent], "all voters abstain"),
        (["--votes", empty], "must have rows"),
        (["--votes", no_id], "row_id"),
        (["--votes", only_id], "a column for each voter"),
        (["--votes", text], "remark"),
        (["--votes", good, "--gold", "truth"], "must hold classes"),
        (["--votes", good, "--gold", "absent"], "absent"),
        (["--votes", good, "--balance", "0.5,0.6"], "add up to 1"),
        (["--votes", good, "--balance", "0.5,0.5", "--classes", "3"], "2 shares for 3 classes"),
        (["--votes", good, "--model", str(tmp_path / "nowhere")], "--model must be an output"),
        (["--votes", good, "--classes", "1"], "classes"),
        (["--votes", stray_vote], "999999 in the column lf_1"),
        (["--votes", good, "--balance", ",".join(["0.005"] * 200)], "balance"),
        ([], "--votes"),
    ):
        out = tmp_path / "out"
        assert status(["label", *further, "--out", out]) == 2, told
        message = capfd.readouterr().err
        assert told in message
        assert "Traceback" not in message


def test_rows_are_called_by_a_rule_and_checked_by_hand(collected: Collected, tmp_path: Path) -> None:
    """A rare class: a capacity that ends among equals, amounts, an audit, its answers; and a sum by Spark."""
    votes, truth = fraud(6_000, 11)
    frame = frame_of(votes, gold=truth)
    with_amounts = frame.assign(amount=np.where(truth == 1, 10.0, 2.0))
    plain = labelled(with_amounts, collected, tmp_path, stake="amount", audit=120)
    [decision] = collected.rows("label_decision").to_dict("records")
    probability = np.stack(plain["probabilities"].to_list())[:, 1]
    called = (plain["label"] == 1).to_numpy()
    assert decision["called"] == called.sum() > 100
    assert decision["precision"] == pytest.approx(probability[called].mean(), abs=1e-4)
    assert decision["missed"] == pytest.approx(probability[~called].sum(), rel=1e-3)
    amount = with_amounts["amount"].to_numpy()[plain.index.astype(int)]
    assert decision["stake_called"] == pytest.approx((probability * amount)[called].sum(), rel=1e-3)
    assert decision["share_low"] < truth.mean() < decision["share_high"]
    assert decision["share_doubt"] is None
    drawn = collected.rows("label_audit")
    assert len(drawn) == 120
    assert drawn["row_id"].is_unique
    assert (drawn.groupby("stratum").size() >= 8).all()
    sizes = drawn.drop_duplicates("stratum")["stratum_rows"]
    assert sizes.sum() == 6_000

    # The answers: estimates in limits, probabilities recalibrated; the same rows, known labels changing none.
    answers = drawn.assign(answer=truth[drawn["row_id"].astype(int)])
    answers.loc[answers.index[0], "answer"] = None
    checked = saved(answers, tmp_path / "answers.parquet")
    after = labelled(frame, collected, tmp_path, audited=checked)
    audited = collected.rows("label_audited").set_index("figure")
    hit = truth[plain.index.astype(int)] == 1
    for name, true in (
        ("share", truth.mean()),
        ("precision", hit[called].mean()),
        ("recall", called[hit].mean()),
    ):
        assert audited.loc[name, "low"] <= true <= audited.loc[name, "high"]
    assert not np.allclose(np.stack(after["probabilities"].to_list())[:, 1], probability)
    again = labelled(frame, collected, tmp_path, audited=checked, gold="gold")
    pd.testing.assert_frame_equal(after, again)

    few = labelled(frame, collected, tmp_path, capacity=100)
    assert (few["label"] == 1).sum() == 100
    assert np.stack(few["probabilities"].to_list())[:, 1] == pytest.approx(probability, abs=1e-9)
    assert probability[(few["label"] == 1).to_numpy()].min() >= np.sort(probability)[-100] - 1e-6
    assert set(few.loc[few["status"] == "unknown", "label"]) <= {-1}

    by_spark = labelled(frame, collected, tmp_path, max_patterns=1)
    found = np.stack(by_spark["probabilities"].to_list())[:, 1]
    np.testing.assert_allclose(found, probability, atol=1e-4)
