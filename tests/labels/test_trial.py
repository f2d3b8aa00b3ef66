"""`firstday label --check`: what each label function votes for on a few rows, examples, conflicts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from firstday import logs
from firstday.labels.trial import Conflict, tried
from tests.jobs.small import status

RULES = """
classes: [honest, fraud]
functions:
- {name: reported, when: reports >= 4, vote: fraud}
- {name: scored, when: score > 0.5, vote: fraud, else: honest}
- {name: never, when: score > 100, vote: fraud}
"""


def test_votes_examples_and_conflicts() -> None:
    voted = pd.DataFrame(
        {"row_id": list("abcd"), "x": [1, 2, 3, 4], "one": [1, 1, -1, 0], "two": [0, 1, -1, 1]}
    )
    found = tried(voted, ["one", "two"], ["no", "yes"], {"one": frozenset("x"), "two": frozenset()}, {}, ())
    assert (found.rows, found.uncovered) == (4, 1)
    one, two = found.functions
    assert (one.votes, two.votes) == ({"yes": 2, "no": 1}, {"yes": 2, "no": 1})
    assert one.examples[0] == {"row_id": "d", "x": 4}  # of the rarer vote
    assert found.conflicts == (Conflict("one", "two", 2, 3),)


@pytest.mark.usefixtures("restored_logs")
def test_the_job_tries_the_first_rows_and_writes_nothing(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"row_id": range(1_500), "reports": draw.poisson(1, 1_500)})
    rows["score"] = draw.normal(size=1_500).round(3)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "rules.yml").write_text(RULES)
    where = ["--rows", str(tmp_path / "rows.csv"), "--functions", str(tmp_path / "rules.yml")]
    assert status(["label", "--check", *where]) == 0
    text = logs.last_result()
    first = rows[:1_000]
    reported, scored = (first["reports"] >= 4).sum(), (first["score"] > 0.5).sum()
    assert f"fraud {reported}" in text
    assert f"honest {1_000 - scored}, fraud {scored}" in text
    apart = ((first["reports"] >= 4) & (first["score"] <= 0.5)).sum()
    assert [line.split() for line in text.splitlines() if line.startswith("reported ")][-1] == [
        *("reported", "scored", str(apart), str(reported))
    ]
    assert {each.name for each in tmp_path.iterdir()} == {"rows.csv", "rules.yml"}
