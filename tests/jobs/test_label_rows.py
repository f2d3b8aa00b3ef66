"""`firstday label` with label functions on rows: a classifier before and after, and what is refused."""

from pathlib import Path

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
from firstday.jobs import label
from mlflow import MlflowClient

from firstday.settings import LabelSettings
from firstday.simulation.fraud import FEATURES, SANCTION_COLUMNS, simulate_fraud
from tests.jobs.small import Collected, status

RULES = Path(__file__).parents[2] / "conf" / "label_functions_demo.yml"


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = simulate_fraud(users=6_000, seed=3).rows
    rows.loc[::50, "night_share"] = np.nan
    rows["label"], rows["status"] = rows["is_fraud"], 1  # names that the answers have too
    rows["friends"] = rows["friends"].astype("Int64")
    rows.loc[::70, "friends"] = pd.NA
    file = tmp_path_factory.mktemp("fraud") / "accounts.parquet"
    rows.to_parquet(file)
    return file


@pytest.mark.synapseml
def test_a_model_of_soft_labels_beats_one_of_the_old_labels(
    collected: Collected, accounts: Path, tmp_path: Path, tracking_store: str
) -> None:
    collected.files.clear()
    settings = LabelSettings(
        rows=str(accounts),
        functions=str(RULES),
        out=str(tmp_path),
        gold="label",
        old_label="sanctioned",
        old_label_columns=SANCTION_COLUMNS,
        features=(*FEATURES, "status"),
        period="week",
    )
    label.run(settings, "run")
    figures = collected.rows("label_comparison").set_index(["against", "model", "measure"])["value"]
    assert figures["gold", "after", "f1"] > figures["gold", "before", "f1"] + 0.1
    assert figures["label model", "after", "precision"] > 0.75
    shares = figures["models"].groupby("measure").sum()
    assert shares.sum() == pytest.approx(1)
    types = [f"newly positive, {status}" for status in ("positive", "negative", "unknown")]
    assert sum(figures[kind].xs("share", level="measure").iloc[0] for kind in types) == pytest.approx(1)
    labels = collected.rows("soft_labels")
    assert len(labels) == 6_000
    assert set(labels["status"]) <= {"decided", "tie", "unknown"}
    # The portable model is LightGBM's own text.
    booster = lightgbm.Booster(model_str=collected.files["after.lightgbm.txt"].decode())
    scores = np.asarray(booster.predict(np.zeros((3, len(FEATURES) + 1))))
    assert ((scores > 0) & (scores < 1)).all()
    # So is the registered one.
    client = MlflowClient(tracking_store)
    version = client.get_model_version_by_alias("firstday-label", "challenger")
    model = mlflow.pyfunc.load_model(
        client.download_artifacts(str(version.run_id), "model"),
    )
    assert list(model.metadata.signature.inputs.input_names()) == [*FEATURES, "status"]
    again = model.predict(pd.DataFrame(np.zeros((3, len(FEATURES) + 1)), columns=[*FEATURES, "status"]))
    np.testing.assert_allclose(again, scores)


@pytest.mark.synapseml
def test_functions_that_teach_the_rule_to_itself_are_refused(
    accounts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["label", "--rows", accounts, "--out", tmp_path / "out"]
    header = "classes: [honest, fraud]\nfunctions:\n"
    overlap = "  - {name: few_friends, vote: fraud, when: friends < 2}\n"
    sneaky = '  - {name: sneaky, vote: fraud, when: "reports > 1; drop table accounts"}\n'
    for number, (rules, further, told) in enumerate(
        (
            (overlap, ["--features", "friends", "--old-label", "sanctioned"], "few_friends reads 'friends'"),
            (sneaky, [], "sneaky"),
            (overlap + overlap, [], "few_friends"),
            ("  - {name: java, vote: fraud, when: \"java_method('a', 'b') = 1\"}\n", [], "java"),
            (overlap, ["--features", "kind", "--old-label", "sanctioned"], "kind: string"),
            (overlap, ["--features", "friends"], "--old-label and --features"),
            (overlap, ["--classes", "3"], "2 classes"),
            (overlap, ["--features", "frends", "--old-label", "sanctioned"], "mean 'friends'"),
            (overlap, ["--features", "zz_*", "--old-label", "sanctioned"], "zz_*"),
            (overlap, ["--features", "is_*", "--gold", "is_fraud", "--old-label", "sanctioned"], "is_fraud"),
            (overlap, ["--gold", "friends"], "few_friends"),
        )
    ):
        file = tmp_path / f"rules{number}.yml"
        file.write_text(header + rules)
        assert status([*asked, "--functions", file, *further]) == 2, told
        message = capfd.readouterr().err
        assert told in message
        assert "Traceback" not in message
