import json
import logging
import time

import pytest

from firstday import logs
from firstday.errors import DataError

pytestmark = pytest.mark.usefixtures("restored_logs")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_elsewhere_each_step_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("r1", terminal=False)
    with logs.step("Counting the log") as counting:
        counting.note(events=1_897, source='a\n"b" ☃')
    (line,) = lines(capsys)
    assert line.pop("time")
    seconds = line.pop("seconds")
    assert isinstance(seconds, float)
    assert line == {
        "level": "INFO",
        "run_id": "r1",
        "message": "Counting the log",
        "events": 1_897,
        "source": 'a\n"b" ☃',
    }


def test_a_step_that_fails_says_why_unless_the_command_line_will(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("r1", terminal=False)
    with pytest.raises(ValueError, match="boom"), logs.step("Reading"):
        raise ValueError("boom")
    with pytest.raises(DataError), logs.step("Reading"):
        raise DataError("rows are bad")
    failed, stopped = lines(capsys)
    assert (failed["level"], failed["reason"]) == ("ERROR", "ValueError: boom")
    assert stopped["level"] == "ERROR"
    assert "rows are bad" not in json.dumps(stopped).lower()


def test_whoever_is_silent_says_that_it_is_at_work(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("r1", terminal=False)
    with logs.pulse(0.2), logs.step("Counting the log"):
        time.sleep(0.7)
    *beats, done = [line["message"] for line in lines(capsys)]
    assert 2 <= len(beats) <= 3
    assert all(str(beat).startswith("Counting the log: ") for beat in beats)
    assert done == "Counting the log"
    with logs.pulse(0.2):
        for _ in range(8):
            time.sleep(0.05)
            logs.log.info("Busy")
    assert {line["message"] for line in lines(capsys)} == {"Busy"}


def test_the_result_is_kept_for_the_end() -> None:
    logs.configure("r1", terminal=False)
    assert logs.last_result() == ""
    logs.result("password=hunter2 and 3 rows")
    assert "3 rows" in logs.last_result()
    assert "hunter2" not in logs.last_result()


def test_records_of_the_package_carry_the_run_id(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("r2", terminal=False)
    logging.getLogger("firstday.tables").warning("%d rows are bad", 3)
    logging.getLogger("firstday.tables").info("fine", extra={"fields": {"rows": 4}})
    first, second = lines(capsys)
    assert (first["run_id"], first["level"], first["message"]) == ("r2", "WARNING", "3 rows are bad")
    assert second["rows"] == 4


def test_on_a_terminal_steps_are_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("r1", terminal=True)
    with logs.step("Counting [the] log") as counting:
        counting.note(events=1_897)
        with logs.step("Reading"):
            logs.log.warning("2 rows are bad [x]")
    told = capsys.readouterr().err
    assert "Counting [the] log 1,897 events" in told
    assert "  ✓ Reading" in told
    assert "2 rows are bad [x]" in told
    assert "{" not in told


def test_on_a_terminal_a_failed_step_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("r1", terminal=True)
    with pytest.raises(ValueError, match="boom"), logs.step("Reading"):
        raise ValueError("boom")
    assert "✗ Reading" in capsys.readouterr().err
