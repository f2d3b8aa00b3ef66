"""`firstday discover` on logs as real teams have them: the right counts, or one sentence with status 2."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.jobs.measured import told
from tests.jobs.small import Collected, Log, brute_force, counted, made, status

pytestmark = pytest.mark.usefixtures("restored_logs")
DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def log() -> Log:
    return made(users=70, dates=6, actions=("browse", "like", "send"))


def ran(collected: Collected, *flags: object, days: str = "1") -> dict[Any, Any]:
    """The counts that the job came to."""
    collected.clear()
    assert status(["discover", *flags, "--out", "memory", "--quick", "--days", days, "--min-users", "5"]) == 0
    return counted(collected.rows("moments"))


def refused(capfd: pytest.CaptureFixture[str], *flags: object) -> str:
    capfd.readouterr()
    assert status(["discover", *flags, "--out", "memory", "--quick", "--days", "1"]) == 2
    message = capfd.readouterr().err
    assert "Traceback" not in message
    return told(message)


def iso(times: pd.Series) -> pd.Series:
    return times.dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_files_of_pandas_of_two_systems_and_of_later_writers(
    collected: Collected, log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    right = brute_force(log, (), (1,), 5)
    nanoseconds = [frame.copy() for frame in (log.users, log.events)]
    nanoseconds[0]["anchored_at"] = nanoseconds[0]["anchored_at"].dt.as_unit("ns")
    nanoseconds[1]["occurred_at"] = nanoseconds[1]["occurred_at"].dt.as_unit("ns")
    users, events = tmp_path / "users.parquet", tmp_path / "events.parquet"
    for frame, file in zip(nanoseconds, (users, events), strict=True):
        frame.to_parquet(file)
    assert ran(collected, "--users", users, "--events", events) == right

    # A folder: a file with line ends of either system, and one with a column more, in another order.
    folder = tmp_path / "log"
    folder.mkdir()
    text = log.events.assign(occurred_at=iso(log.events["occurred_at"]))[["user_id", "occurred_at", "action"]]
    half, third = len(text) // 2, len(text) // 3
    lines = text[:third].to_csv(index=False) + text[third:half].to_csv(
        index=False, header=False, lineterminator="\r\n"
    )
    (folder / "a.csv").write_bytes(lines.encode())
    later = text[half:].assign(event_id=np.arange(len(text) - half))
    (folder / "b.csv").write_bytes(
        later[["action", "event_id", "user_id", "occurred_at"]]
        .to_csv(index=False, lineterminator="\r\n")
        .encode()
    )
    assert ran(collected, "--users", users, "--events", folder) == right

    # Times as numbers: with their unit, or refused with the date that each unit would give.
    anchors = log.users["anchored_at"].astype("int64") // 1_000
    numbers = tmp_path / "numbers.parquet"
    log.users.assign(anchored_at=anchors).to_parquet(numbers)
    message = refused(capfd, "--users", numbers, "--events", events)
    assert "--time-unit" in message
    assert "ms would make it 2024-03-0" in message
    assert ran(collected, "--users", numbers, "--events", events, "--time-unit", "ms") == right


def test_a_log_is_enough(collected: Collected, log: Log, tmp_path: Path) -> None:
    first = log.events.sort_values(["occurred_at", "action"]).drop_duplicates("user_id")
    users = first[["user_id", "occurred_at"]].rename(columns={"occurred_at": "anchored_at"})
    places = np.array(["web", "app"])[np.arange(len(users)) % 2]
    users = users.assign(platform=places)
    rest = log.events.drop(first.index)
    right = brute_force(Log(users, rest), ("platform",), (1,), 5, horizon=log.events["occurred_at"].max())
    shown = log.events.merge(users[["user_id", "platform"]], on="user_id")
    # Of a user's first event the platform is not known; later on it changes.
    shown.loc[shown.duplicated("user_id") & shown.index.isin(shown.index[-40:]), "platform"] = "tv"
    shown.loc[~shown.duplicated("user_id"), "platform"] = None
    firsts = shown.dropna(subset=["platform"]).drop_duplicates("user_id").set_index("user_id")["platform"]
    named = shown.rename(columns={"user_id": "who", "action": "event", "occurred_at": "timestamp"})
    file = tmp_path / "clicks.csv"
    named.assign(timestamp=iso(named["timestamp"])).to_csv(file, index=False)
    columns = "user_id=who,action=event,occurred_at=timestamp"
    found = ran(collected, "--events", file, "--columns", columns, "--segments", "platform")
    alone = {key: value for key, value in right.items() if key[0] == "all"}
    assert {key: value for key, value in found.items() if key[0] == "all"} == alone
    sizes = firsts.value_counts()
    for name in ("web", "app"):
        [matured] = {value[0] for key, value in found.items() if key[0] == f"platform={name}"}
        assert matured <= sizes[name]
    assert any("first event" in note for note in notes_of(collected))

    # The clock starts with the first 'browse', which is no candidate, and a return all the same.
    browsed = log.events[log.events["action"] == "browse"].drop_duplicates("user_id")
    users = browsed[["user_id", "occurred_at"]].rename(columns={"occurred_at": "anchored_at"})
    right = brute_force(Log(users, log.events), (), (1,), 5, horizon=log.events["occurred_at"].max())
    found = ran(collected, "--events", file, "--columns", columns, "--anchor-action", "browse")
    assert found == {key: value for key, value in right.items() if key[1] != "browse"}


def notes_of(collected: Collected) -> list[str]:
    """The report's text, a piece a line."""
    page = str(collected.files["discover.html"])
    return page.replace("</", "\n</").split("\n")


def test_one_clock_that_runs_ahead_closes_no_days(
    collected: Collected, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(4)
    start = pd.Timestamp("2024-03-01", tz="UTC")
    count = 300
    anchors = start + pd.to_timedelta(np.sort(draw.integers(0, 30 * 86_400, count)), unit="s")
    users = pd.DataFrame({"user_id": [f"u{n}" for n in range(count)], "anchored_at": anchors.as_unit("us")})
    who = draw.integers(0, count, 9_000)
    at = anchors[who] + pd.to_timedelta(draw.integers(0, 40 * 86_400, len(who)), unit="s")
    events = pd.DataFrame({"user_id": users["user_id"].to_numpy()[who], "action": "open", "occurred_at": at})
    events = events[events["occurred_at"] < start + 31 * DAY]
    ahead = events.iloc[:1].assign(occurred_at=start + 106 * DAY)  # 15 June
    both = pd.concat([events, ahead])
    log = Log(users, events.assign(occurred_at=events["occurred_at"].dt.as_unit("us"))).saved(tmp_path / "a")
    stray = Log(users, both.assign(occurred_at=both["occurred_at"].dt.as_unit("us"))).saved(tmp_path / "b")
    right = brute_force(log, (), (7,), 5)
    of_day = {value[0] for value in right.values()}
    assert of_day < {count} or of_day != {count}
    for each in (log, stray):
        inputs = ("--users", each.folder / "users.parquet", "--events", each.folder / "events.parquet")
        assert ran(collected, *inputs, days="7") == right
    assert "1 row of the log lies beyond" in told(capfd.readouterr())
    as_told = ran(collected, *inputs, "--horizon", "2024-06-16T00:00:00Z", days="7")
    assert {value[0] for value in as_told.values()} == {count}


def test_ids_that_never_meet_are_refused(
    log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str], collected: Collected
) -> None:
    number = log.users["user_id"].str.removeprefix("user ").astype(int) + 1
    of_event = log.events["user_id"].str.removeprefix("user ").astype(int) + 1
    cases = {
        "zeros": (number, of_event.map("{:07}".format), "without blanks, case, leading zeros"),
        "fractions": (number, of_event.map("{}.0".format), "without blanks, case, leading zeros"),
        "case": (number.map("{:x}-AB".format), of_event.map("{:x}-ab".format), "without blanks, case"),
        "blanks": (number.map(str), of_event.map("{:<9}".format), "without blanks"),
        "others": (number.map("a{}".format), of_event.map("b{}".format), "none do"),
    }
    for name, (ids, of_events, message) in cases.items():
        saved = replace(
            log, users=log.users.assign(user_id=ids), events=log.events.assign(user_id=of_events)
        ).saved(tmp_path / name)
        inputs = ("--users", saved.folder / "users.parquet", "--events", saved.folder / "events.parquet")
        assert message in refused(capfd, *inputs), name
    assert not collected.runs


def test_event_ids_that_are_none(
    collected: Collected, log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    users = log.saved(tmp_path).folder / "users.parquet"
    right = brute_force(log, (), (1,), 5)
    # Each event delivered twice, the second time later; where there is no id it says so in words.
    ids = np.where(np.arange(len(log.events)) % 2, [f"e{n}" for n in range(len(log.events))], "NULL")
    events = log.events.assign(event_id=ids)
    again = events[events["event_id"] != "NULL"].assign(
        occurred_at=lambda e: e["occurred_at"] + pd.Timedelta("1s")
    )
    file = tmp_path / "twice.parquet"
    end = events["occurred_at"].max()
    again["occurred_at"] = again["occurred_at"].clip(upper=end)
    pd.concat([events, again]).astype({"occurred_at": "datetime64[us, UTC]"}).to_parquet(file)
    found = ran(collected, "--users", users, "--events", file)
    assert {key: value[:2] for key, value in found.items()} == {k: value[:2] for k, value in right.items()}
    assert any(f"{len(again):,} rows of events were delivered before" in note for note in notes_of(collected))
    # The kind of event is no id of it.
    log.events.assign(event_id=log.events["action"] + "!").to_parquet(file)
    message = refused(capfd, "--users", users, "--events", file)
    assert "--event-id none" in message
    assert ran(collected, "--users", users, "--events", file, "--event-id", "none") == right


def test_names_that_differ_by_case_or_blanks(
    collected: Collected, log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    users = log.saved(tmp_path).folder / "users.parquet"
    odd = log.events["action"].where(
        np.arange(len(log.events)) % 3 > 0, log.events["action"].str.title() + " "
    )
    file = tmp_path / "odd.parquet"
    log.events.assign(action=odd).to_parquet(file)
    capfd.readouterr()
    split = ran(collected, "--users", users, "--events", file)
    assert {key[1] for key in split} == {"browse", "like", "send", "Browse ", "Like ", "Send "}
    assert "differ by case or blanks only" in told(capfd.readouterr())
    right = brute_force(log, (), (1,), 5)
    assert ran(collected, "--users", users, "--events", file, "--fold-actions") == right


@pytest.mark.usefixtures("ansi")
def test_ancient_times_other_encodings_and_a_strict_session(
    collected: Collected, log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    born = [pd.Timestamp("1200-03-01").date()] * len(log.users)
    users = log.users.assign(born=born)
    old = users.iloc[:1].assign(user_id="old", anchored_at=pd.Timestamp("0001-01-01", unit="s", tz="UTC"))
    users["anchored_at"] = users["anchored_at"].astype("datetime64[us, UTC]")
    old["anchored_at"] = pd.Series(
        np.array(["0001-01-01"], "datetime64[us]"), index=old.index
    ).dt.tz_localize("UTC")
    file = tmp_path / "users.parquet"
    pd.concat([users, old]).to_parquet(file)
    events = log.events.assign(occurred_at=iso(log.events["occurred_at"]), action="café")
    latin = tmp_path / "events.csv"
    latin.write_bytes(events.to_csv(index=False).encode("latin-1"))
    one = replace(log, events=log.events.assign(action="café"))
    right = brute_force(one, (), (1,), 5)
    message = refused(capfd, "--users", file, "--events", latin)
    assert "not UTF-8" in message
    assert "--encoding" in message
    found = ran(collected, "--users", file, "--events", latin, "--encoding", "latin-1", "--segments", "born")
    assert {key: value for key, value in found.items() if key[0] == "all"} == right
    assert {key[0] for key in found} == {"all", "born=1200-03-01"}
    [bad] = collected.rows("quarantine").to_dict("records")
    assert bad["reason"] == "anchored_at is before 1990"
