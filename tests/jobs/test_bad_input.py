"""What the job makes of mistakes: status, a message that teaches, nothing half-written."""

from pathlib import Path

import pytest

from tests.jobs.small import Log, status

NASTY = ["it's", 'say "hi"', "two\nlines", "🎉", "'; DROP TABLE users; --", "a,b=c\\d"]


def discover(log: Log, out: Path, *further: object) -> int:
    inputs = ["--users", log.folder / "users.parquet", "--events", log.folder / "events.parquet"]
    return status(["discover", *inputs, "--out", out, "--quick", *further])


def test_mistakes_end_with_status_2_and_leave_no_results(
    small: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    empty = Log(small.users, small.events.iloc[:0]).saved(tmp_path / "empty")
    nameless = Log(small.users.drop(columns="user_id"), small.events).saved(tmp_path / "nameless")
    (tmp_path / "corrupt").mkdir()
    small.users.to_parquet(tmp_path / "corrupt" / "users.parquet")
    (tmp_path / "corrupt" / "events.parquet").write_bytes(b"PAR1 not really PAR1")
    corrupt = Log(small.users, small.events, tmp_path / "corrupt")
    for number, (log, further, told) in enumerate(
        (
            (small, ["--days", "0"], "days"),
            (small, ["--segments", "country"], "country"),
            (small, ["--window", "3d", "--overlap", "refuse"], "window"),
            (empty, [], "must have rows"),
            (nameless, [], "user_id"),
            (corrupt, [], "events.parquet"),
        )
    ):
        out = tmp_path / f"out{number}"
        assert discover(log, out, *further) == 2
        message = capfd.readouterr().err
        assert told in message
        assert "Traceback" not in message
        assert not (out / "moments").exists()
        assert not (out / "report.html").exists()
