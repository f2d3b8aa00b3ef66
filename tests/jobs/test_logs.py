"""Small and odd logs: each candidate as counted user by user, and an answer in every case."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from firstday.jobs import discover
from pyspark.sql import SparkSession

from tests.jobs import memory
from tests.jobs.memory import Memory
from tests.jobs.small import DAY, START, Log, brute_force, counted, made, run

Analysed = Callable[..., Memory]
HOUR = pd.Timedelta(hours=1)


@pytest.fixture
def analysed(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Analysed:
    """Run the job on a log, with its results in memory."""
    outputs: list[Memory] = []

    def opened(*arguments: Any, **named: Any) -> Memory:
        outputs.append(memory.opened(*arguments, **named))
        return outputs[-1]

    def work(log: Log, **settings: Any) -> Memory:
        run(log.saved(tmp_path / "log"), tmp_path / "out", "memory", **{"quick": True, **settings})
        return outputs[-1]

    monkeypatch.setattr(discover, "open_output", opened)
    return work


def answers_none(output: Memory) -> str:
    """The reason of the one row of hypotheses, which says that there is no moment."""
    hypotheses = output.table("hypotheses")
    assert list(hypotheses["verdict"]) == ["none"]
    assert hypotheses[["action", "threshold", "sentence", "sql", "precision", "odds"]].isna().all(axis=None)
    assert "no moment" in output.files["report.html"].lower()
    reason = str(hypotheses["reason"].iloc[0])
    assert reason.startswith("no moment found")
    return reason


def test_rows_that_do_not_count_are_left_out_and_told(analysed: Analysed) -> None:
    log = made(users=60, dates=6, seed=5, plan=("free", "paid", None))
    one, other = log.users["user_id"].iloc[:2]
    anchor = log.users["anchored_at"].iloc[0]
    ids = log.events.assign(event_id=[f"e{number}" for number in range(len(log.events))])
    ids.loc[ids.index % 7 == 0, "event_id"] = None
    doubled = ids[ids.index % 5 == 0].dropna(subset="event_id")
    added = pd.DataFrame(
        [
            (one, "early", anchor - HOUR, None),
            ("nobody", "like", anchor, "e-1"),
            (None, "like", anchor, None),
            (one, None, anchor, None),
            (one, "like", None, None),
            (one, "like", pd.Timestamp("1970-01-01", tz="UTC"), None),
            (one, "like", pd.Timestamp.now(tz="UTC") + 9 * DAY, None),
        ],
        columns=list(ids.columns),
    ).astype({"occurred_at": ids["occurred_at"].dtype})
    users = pd.concat(
        [
            log.users,
            log.users.iloc[5:6],  # twice the same
            log.users.iloc[1:2].assign(plan="another"),  # contradicts: nobody knows which one holds
            log.users.iloc[2:3].assign(user_id=None),
            log.users.iloc[2:3].assign(user_id="zoneless", anchored_at=pd.NaT),
        ]
    ).astype({"anchored_at": log.users["anchored_at"].dtype})
    odd = Log(users, pd.concat([ids, doubled, added]))
    output = analysed(odd, segments=("plan",), days=(1, 3), max_bad_share=0.1)
    clean = Log(log.users[log.users["user_id"] != other].fillna({"plan": "\\N"}), log.events)
    assert counted(output.table("moments")) == brute_force(clean, ("plan",), (1, 3), min_users=5)
    assert sorted(output.bad) == [
        ("events", "action is null"),
        ("events", "occurred_at is before 1990"),
        ("events", "occurred_at is more than a day ahead of now"),
        ("events", "occurred_at is null"),
        ("events", "user_id is null"),
        ("users", "anchored_at is null"),
        ("users", "user_id is given more than once, with different values"),
        ("users", "user_id is given more than once, with different values"),
        ("users", "user_id is null"),
    ]
    page = unescape(output.files["report.html"])
    of_other = int((log.events["user_id"] == other).sum())
    assert "Events before their user's anchor, left out: 1." in page
    assert f"Events of users that are not in the table of users, left out: {of_other + 1}." in page
    assert "Events with an event_id that had been there already, left out:" in page


def test_thresholds_horizon_and_returns_as_asked(analysed: Analysed) -> None:
    log = made(users=80, dates=8, country=("KR", "US"), plan=("free", "paid"))
    horizon = START + 7 * DAY + 5 * HOUR
    output = analysed(
        log, segments=("plan", "country"), days=(1, 3), thresholds=(1, 2, 60),
        return_actions=("like", "save"), horizon=horizon.to_pydatetime(),
    )  # fmt: skip
    moments = output.table("moments")
    expected = brute_force(
        log, ("plan", "country"), (1, 3), min_users=5,
        horizon=horizon, thresholds=(1, 2, 60), returns=("like", "save"),
    )  # fmt: skip
    assert counted(moments) == expected
    assert output.horizon == horizon
    assert "plan=free,country=KR" in set(moments["segment"])
    assert {str(moments[name].dtype) for name in ("threshold", "day")} == {"int32"}
    never = moments[moments["threshold"] == 60]
    assert (never["experienced"] == 0).all()
    assert never[["precision", "lift", "phi", "difference"]].isna().all(axis=None)
    page = output.files["report.html"]
    assert "Events after the horizon, left out:" in page
    assert "Users left out of D3," in page


def test_one_user(analysed: Analysed) -> None:
    log = made(users=60, dates=4)
    one = log.users["user_id"].iloc[0]
    log = Log(log.users[log.users["user_id"] == one], log.events[log.events["user_id"] == one])
    output = analysed(log, days=(1, 7))
    assert "users did it" in answers_none(output) or "no candidate" in answers_none(output)
    assert counted(output.table("moments")) == brute_force(log, (), (1, 7), min_users=5)


def test_one_action(analysed: Analysed) -> None:
    log = made(users=60, dates=4, actions=("browse",))
    output = analysed(log, days=(1,))
    answers_none(output)
    assert counted(output.table("moments")) == brute_force(log, (), (1,), min_users=5)


@pytest.mark.parametrize("everybody", [False, True])
def test_nobody_or_everybody_retained(analysed: Analysed, everybody: bool) -> None:
    log = made(users=60, dates=16)
    since = log.events["occurred_at"] - log.events["user_id"].map(
        log.users.set_index("user_id")["anchored_at"]
    )
    events = log.events[(since < DAY) | (since >= 2 * DAY)]
    if everybody:
        back = log.users.assign(action="browse", occurred_at=log.users["anchored_at"] + 30 * HOUR)
        events = pd.concat([events, back[events.columns]])
    output = analysed(Log(log.users, events), days=(1,))
    answers_none(output)
    moments = output.table("moments")
    assert counted(moments) == brute_force(Log(log.users, events), (), (1,), min_users=5)
    assert moments["phi"].isna().all()
    if everybody:
        assert (moments["precision"] == 1).all()
    else:
        assert moments[["recall", "lift"]].isna().all(axis=None)
        assert not moments["on_frontier"].any()


def test_nothing_done_or_nothing_known(analysed: Analysed) -> None:
    log = made(users=40, dates=3)
    late = log.events.assign(occurred_at=log.events["occurred_at"] + 20 * DAY)
    idle = analysed(Log(log.users, late), days=(1,))
    assert "no candidate" in answers_none(idle)
    assert len(idle.table("moments")) == 0
    before = (START - DAY).to_pydatetime()
    unknown = analysed(log, days=(1,), horizon=before)
    answers_none(unknown)
    assert unknown.table("moment_counts")["matured_d1"].sum() == 0


def test_a_clock_that_runs_ahead_closes_no_days(analysed: Analysed) -> None:
    log = made(users=40, dates=3)
    started = datetime.now(UTC)
    ahead = log.events.iloc[:1].assign(occurred_at=started + timedelta(hours=20))
    ahead = ahead.astype({"occurred_at": log.events["occurred_at"].dtype})
    output = analysed(Log(log.users, pd.concat([log.events, ahead])), days=(1,))
    assert output.horizon is not None
    assert started <= output.horizon <= datetime.now(UTC)
    assert "Events after the horizon, left out: 1." in output.files["report.html"]
