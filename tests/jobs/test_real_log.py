"""The message log of a student network, counted to the last user, and so the same on every line of Spark."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tests.jobs.small import Log, brute_force, published, run

KEYS = ["segment", "action", "threshold", "day"]
COUNTS = ["users", "experienced", "retained", "both"]


@pytest.mark.real_data
def test_every_candidate_of_the_real_log(spark: SparkSession, real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "collegemsg"
    log = Log(
        pd.read_parquet(folder / "users.parquet").rename(columns={"signed_up_at": "anchored_at"}),
        pd.read_parquet(folder / "events.parquet"),
        folder,
    )
    run(log, tmp_path, "real", segments=("month",), days=(1, 7), min_users=30, users_a_day=40, quick=True)
    moments = published(tmp_path, "moments")
    assert not moments.duplicated(KEYS).any()
    found = {tuple(row[:4]): tuple(row[4:]) for row in moments[KEYS + COUNTS].itertuples(index=False)}
    assert found == brute_force(log, ("month",), (1, 7), min_users=30)
    n, experienced, retained, both = moments[COUNTS].to_numpy(dtype=float).T
    apart = np.sqrt(experienced * (n - experienced) * retained * (n - retained))
    with np.errstate(divide="ignore", invalid="ignore"):  # null where there is nothing to divide by
        fractions = {
            "precision": both / experienced,
            "recall": both / retained,
            "phi": (n * both - experienced * retained) / apart,
        }
    for name, values in fractions.items():
        np.testing.assert_allclose(moments[name].to_numpy(dtype=float), values, rtol=0, atol=1e-9)
    figures = moments.set_index(KEYS)
    for action, threshold, experienced, both, precision, recall, phi in (
        ("new_partner", 2, 566, 414, 0.7314, 0.5625, 0.4596),
        ("send", 3, 520, 389, 0.7481, 0.5285, 0.4541),
    ):
        row = figures.loc[("all", action, threshold, 1)]
        assert tuple(row[COUNTS]) == (1897, experienced, 736, both)
        assert tuple(row[["precision", "recall", "phi"]].astype(float).round(4)) == (precision, recall, phi)
    hypotheses = published(tmp_path, "hypotheses")
    assert list(hypotheses["verdict"]) == ["shortlist"]
    assert list(hypotheses["action"]) == ["new_partner"]
    assert (tmp_path / "discover.html").is_file()
