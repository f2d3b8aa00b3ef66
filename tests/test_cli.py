import json
import logging
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firstday import __version__, cli, logs
from firstday.errors import ConflictError, DataError
from firstday.settings import DiscoverSettings

HERE = __file__  # a file that is there: whether it is a table is not asked before Spark starts
COMMAND = ["discover", "--users", HERE, "--events", HERE, "--out", "o"]
Run = Callable[[DiscoverSettings, str], Any]

pytestmark = pytest.mark.usefixtures("restored_logs")


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Put a function in the place of the discover job."""

    def put(run: Run) -> None:
        module = types.ModuleType("firstday.jobs.discover")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return put


def status(argv: list[str]) -> int:
    try:
        cli.main(argv)
    except SystemExit as end:
        return int(str(end.code))
    return 0


def test_flags_become_settings(job: Callable[[Run], None], tmp_path: Path) -> None:
    file = tmp_path / "s.yml"
    file.write_text("seed: 1\nquick: true\nbootstrap: 5\n")
    seen: list[DiscoverSettings] = []
    job(lambda settings, run_id: seen.append(settings))
    flags = ["--days", "7,1", "--segments", "country,gender", "--window", "12h", "--no-quick"]
    assert status([*COMMAND, *flags, "--config", str(file), "--set", "seed=2", "--set", "min_users=3"]) == 0
    assert seen == [
        DiscoverSettings(
            users=HERE, events=HERE, out="o", days=(1, 7), segments=("country", "gender"), window="12h",
            seed=2, min_users=3, bootstrap=5,
        )
    ]  # fmt: skip


def test_every_setting_has_a_flag_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    for name, each in cli.JOBS.items():
        assert status([name, "--help"]) == 0
        told = " ".join(capsys.readouterr().out.split())
        for field, info in each.settings.model_fields.items():
            flag = f"--set {field}.KEY=VALUE" if cli._nested(info) else "--" + field.replace("_", "-")
            assert flag in told
            assert info.description, f"{name}: {field} has no description"
            assert info.description.split()[0] in told


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from firstday.cli import main; main(['--help']); main(['discover', '--help']);"
        "heavy = {'pyspark', 'mlflow', 'pandas', 'numpy', 'scipy', 'altair', 'pyarrow'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "discover" in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_a_path_that_the_job_returns_is_shown_as_address(
    job: Callable[[Run], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job(lambda settings, run_id: tmp_path / "my report.html")
    assert status(COMMAND) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (tmp_path / "my report.html").as_uri()


@pytest.mark.parametrize(
    "argv",
    [["discover"], [*COMMAND, "--days", "0"], [*COMMAND, "--dys", "1"], [*COMMAND, "--set", "x"], ["find"]],
)
def test_a_mistake_in_the_command_ends_with_2_and_no_traceback(
    argv: list[str], job: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    job(lambda settings, run_id: pytest.fail("the job must not start"))
    assert status(argv) == 2
    told = capsys.readouterr().err
    assert told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("error", "expected"), [(DataError("rows are bad", value="9 %"), 2), (ConflictError("two runs"), 1)]
)
def test_a_foreseen_error_is_one_record_without_traceback(
    error: Exception, expected: int, job: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    job(raising(error))
    assert status(COMMAND) == expected
    *_, record = map(json.loads, capsys.readouterr().err.splitlines())
    assert (record["message"], record["error"]) == (str(error), type(error).__name__)
    assert record["run_id"]
    assert "traceback" not in record


def test_an_unforeseen_error_is_logged_with_its_traceback(
    job: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    job(raising(ZeroDivisionError("by nothing")))
    assert status(COMMAND) == 1
    *_, record = map(json.loads, capsys.readouterr().err.splitlines())
    assert record["message"] == "the job failed: ZeroDivisionError: by nothing."
    assert "Traceback" in record["traceback"]


@pytest.mark.parametrize(("flags", "shown"), [([], False), (["--debug"], True)])
def test_on_a_terminal_a_traceback_shows_only_with_debug(
    flags: list[str],
    shown: bool,
    job: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    job(raising(ZeroDivisionError("by nothing")))
    assert status([*COMMAND, *flags]) == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError: by nothing" in told
    assert ("Traceback" in told) is shown
    assert ("--debug" in told) is not shown


def test_an_interrupt_is_no_failure_of_the_job(
    job: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    job(raising(KeyboardInterrupt()))
    assert status(COMMAND) == cli.INTERRUPTED
    assert "stopped" in capsys.readouterr().err


def test_the_end_is_the_result_on_standard_output_and_the_address_last(
    job: Callable[[Run], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(settings: DiscoverSettings, run_id: str) -> Path:
        logs.result("metric  effect\nd1        +0.1")
        return tmp_path / settings.out

    job(run)
    assert status(COMMAND) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[1:3] == ["metric  effect", "d1        +0.1"]
    assert lines[-1] == (tmp_path / "o").as_uri()
    assert "starting" in told.err
    job(lambda settings, run_id: None)
    assert status(COMMAND) == 0
    assert "effect" not in capsys.readouterr().out  # of the run before


def test_run_ids_differ_and_sort_by_time(job: Callable[[Run], None]) -> None:
    ids: list[str] = []
    job(lambda settings, run_id: ids.append(run_id))
    status(COMMAND)
    status(COMMAND)
    assert len(set(ids)) == 2
    assert all(len(run_id) == len(ids[0]) and run_id.isascii() for run_id in ids)


def test_run_job_is_the_command_of_one_job(job: Callable[[Run], None]) -> None:
    seen: list[DiscoverSettings] = []
    job(lambda settings, run_id: seen.append(settings))
    cli.run_job("discover", COMMAND[1:])
    assert [settings.users for settings in seen] == [HERE]
    assert logging.getLogger("py4j").level == logging.CRITICAL


def raising(error: BaseException) -> Run:
    def run(settings: DiscoverSettings, run_id: str) -> None:
        raise error

    return run
