"""Discovery without the users that labels leave out."""

from pathlib import Path

import pandas as pd
import pytest

from firstday.errors import DataError
from tests.jobs.small import Collected, Log, brute_force, counted, made, run

ASKED = {"days": (1,), "quick": True}


@pytest.fixture(scope="module")
def bots(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A small log, in which a fifth of the users are bots that come back for sure, with their labels."""
    log = made(users=150, dates=16)
    folder = tmp_path_factory.mktemp("bots")
    bot = log.users.index % 5 == 0
    back = log.users[bot].assign(action="invite", occurred_at=log.users["anchored_at"] + pd.Timedelta("30h"))
    events = pd.concat([log.events, back[log.events.columns]], ignore_index=True)
    events["occurred_at"] = events["occurred_at"].dt.as_unit("us")
    told = [[0.2, 0.8] if is_bot else [0.8, 0.2] for is_bot in bot]
    labels = pd.DataFrame({"row_id": log.users["user_id"], "probabilities": told})
    labels.iloc[7:].to_parquet(folder / "labels.parquet")  # some users have no label, two of them bots
    return Log(log.users, events).saved(folder)


def test_only_those_kept_are_learned_from_and_the_difference_is_told(
    bots: Log, collected: Collected, tmp_path: Path
) -> None:
    run(bots, tmp_path / "out", "labelled", labels=str(bots.folder / "labels.parquet"), **ASKED)
    kept = bots.users[(bots.users.index % 5 != 0) | (bots.users.index < 7)]
    horizon = bots.events["occurred_at"].max()
    of_kept = brute_force(Log(kept, bots.events), (), (1,), 5, horizon=horizon)
    assert counted(collected.rows("moments")) == of_kept
    changes = collected.rows("label_changes").assign(segment="all")
    for population, expected in (
        ("kept", of_kept),
        ("everyone", brute_force(bots, (), (1,), 5, horizon=horizon)),
    ):
        rows = changes[changes["population"] == population]
        assert counted(rows) == expected
        assert "dropped" in set(rows["verdict"])
    page = collected.files["discover.html"].decode()
    assert "28 users of " in page
    assert "What the labels changed" in page


def test_labels_that_are_none_are_refused(bots: Log, collected: Collected, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="probabilities"):
        run(bots, tmp_path / "out", "wrong", labels=str(bots.folder / "users.parquet"), **ASKED)
