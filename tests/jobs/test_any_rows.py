"""`firstday label` on text files: numbers are numbers, signs are no classes, text is no number."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.jobs.measured import told
from tests.jobs.small import Collected, status

pytestmark = pytest.mark.usefixtures("restored_logs")


def labelled(rows: Path, functions: Path, *flags: object) -> int:
    return status(["label", "--rows", rows, "--functions", functions, "--out", "memory", *flags])


def rules(tmp_path: Path, **conditions: str) -> Path:
    file = tmp_path / "rules.yml"
    each = [{"name": name, "vote": "bad", "else": "good", "when": text} for name, text in conditions.items()]
    file.write_text(yaml.safe_dump({"classes": ["good", "bad"], "functions": each}))
    return file


@pytest.mark.usefixtures("ansi")
def test_numbers_of_text_files_are_numbers(
    collected: Collected, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "row_id": range(300),
            "score": draw.choice([0.4, -0.2, 0.0], 300),
            "debit": draw.integers(1, 30, 300),
            "credit": draw.integers(1, 30, 300),
            "code": draw.choice(["007", "010"], 300),
        }
    )
    file = tmp_path / "rows.csv"
    rows.to_csv(file, index=False)
    functions = rules(tmp_path, high="score > 0", over="debit > credit", seven="code = '007'")
    assert labelled(file, functions, "--model-kind", "majority") == 0
    summary = collected.rows("label_summary").set_index("function")
    right = {
        "high": rows["score"] > 0, "over": rows["debit"] > rows["credit"], "seven": rows["code"] == "007",
    }  # fmt: skip
    soft = collected.rows("soft_labels").set_index("row_id")
    votes = sum(met.astype(int) for met in right.values())
    expected = {str(n): int(count >= 2) for n, count in zip(rows["row_id"], votes, strict=True)}
    assert soft["label"].astype(int).to_dict() == expected
    assert set(summary.index) == set(right)
    assert "debit (whole number)" in told(capfd.readouterr())

    # One word among numbers is one bad row; as much text as numbers stops the job.
    odd = rows.astype({"score": str, "debit": str})
    odd.loc[[3, 5], ["score", "debit"]] = [["n/a", "1"], ["0.4", "x"]]
    odd.to_csv(file, index=False)
    collected.clear()
    assert labelled(file, functions, "--model-kind", "majority") == 0
    assert sorted(collected.rows("quarantine")["reason"]) == [
        "debit is not a number",
        "score is not a number",
    ]
    typed = tmp_path / "rows.parquet"
    odd.to_parquet(typed)
    assert labelled(typed, functions) == 2
    message = told(capfd.readouterr())
    assert "text may not be compared with a number" in message.lower()
    assert "'score'" in message


def test_signs_are_told_from_classes(
    collected: Collected, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(1)
    truth = draw.random(400) < 0.5
    votes = pd.DataFrame({"row_id": range(400)})
    for name in ("a", "b", "c"):
        right = np.where(draw.random(400) < 0.8, truth, ~truth)
        votes[name] = np.where(draw.random(400) < 0.6, 0, np.where(right, 1, -1))
    file = tmp_path / "votes.csv"
    votes.to_csv(file, index=False)
    flags = ("label", "--votes", file, "--out", "memory", "--model-kind", "majority")
    assert status(flags) == 2
    message = told(capfd.readouterr())
    assert "--votes-coding signs" in message
    assert "--votes-coding classes" in message
    assert status([*flags, "--votes-coding", "signs"]) == 0
    soft = collected.rows("soft_labels")
    total = votes.set_index("row_id")[["a", "b", "c"]].sum(axis=1)
    known = soft[soft["status"] == "decided"]
    found = known.set_index(known["row_id"].astype(int))["label"].astype(int)
    clear = total[total != 0].index.intersection(found.index)
    assert len(clear) > 200
    assert (found[clear] == (total[clear] > 0).astype(int)).all()
    # An empty cell abstains, whatever the coding; a table of a row a vote has the same signs.
    rows = votes.melt("row_id", var_name="voter", value_name="vote")
    cells = {
        "empty": votes.replace({name: {0: None} for name in "abc"}),
        "long": rows,
        "none": rows[rows["vote"] != 0],
    }
    for name, frame in cells.items():
        frame.to_csv(file, index=False)
        assert status(flags) == 2, name
        assert "--votes-coding signs" in told(capfd.readouterr()), name
        collected.clear()
        assert status([*flags, "--votes-coding", "signs"]) == 0, name
        soft = collected.rows("soft_labels")
        again = soft[soft["status"] == "decided"].set_index("row_id")["label"].rename(index=int)
        assert (again.reindex(clear).astype(int) == found[clear]).all(), name
    # Where classes and empty cells are told apart, nothing is asked.
    votes.astype(object).replace({name: {0: None, -1: 0} for name in "abc"}).to_csv(file, index=False)
    collected.clear()
    assert status(flags) == 0
    soft = collected.rows("soft_labels")
    again = soft[soft["status"] == "decided"].set_index("row_id")["label"].rename(index=int)
    assert (again.reindex(clear).astype(int) == found[clear]).all()
