"""Say what a job is doing: live lines on a terminal, one JSON object a line elsewhere, on stderr both."""

import json
import logging
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from firstday.errors import FirstdayError, reason
from firstday.redact import redacted, redacted_values

log = logging.getLogger("firstday")


class JsonLines(logging.Formatter):
    """{"time", "level", "run_id", "message", and what the record carries in `fields`} on one line."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "run_id": self.run_id,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(redacted_values(line), ensure_ascii=False, default=str)


PULSE = 10.0  # seconds after which a job that has said nothing says that it is at work


class Step:
    """One step of a job. What is noted is shown behind its name and kept in the log."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: dict[str, Any] = {}
        self.started = time.monotonic()

    def note(self, **fields: Any) -> None:
        """Add facts, e.g. `step.note(users=1897)`."""
        self.fields.update(fields)
        if _live is not None:
            _live.update(self)


class _Live:
    """The terminal's live lines; steps may be nested."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, transient=True)
        self.tasks: dict[Step, TaskID] = {}

    def start(self, step: Step) -> None:
        if not self.tasks:
            self.progress.start()
        self.tasks[step] = self.progress.add_task(_described(step))

    def update(self, step: Step) -> None:
        self.progress.update(self.tasks[step], description=_described(step))

    def end(self, step: Step, mark: str, seconds: float) -> None:
        _said()
        self.progress.remove_task(self.tasks.pop(step))
        indent = "  " * len(self.tasks)
        self.console.print(f"{indent}{mark} {_described(step)} [dim]{seconds:.1f} s[/dim]", highlight=False)
        if not self.tasks:
            self.progress.stop()


_live: _Live | None = None
_steps: list[Step] = []  # under way
_last_said = time.monotonic()
_result = ""


def result(text: str) -> None:
    """Keep a job's result as plain text, which the command line prints at the end; the latest one stays."""
    global _result
    _result = redacted(text)


def last_result() -> str:
    """What `result` was given last since `configure`; '' where it was not."""
    return _result


def _said() -> None:
    global _last_said
    _last_said = time.monotonic()


def _noticed(_: logging.LogRecord) -> bool:
    """Lets each record pass, and notes that something was said."""
    _said()
    return True


@contextmanager
def pulse(every: float | None = None) -> Iterator[None]:
    """Say what is going on whenever nothing else has been said for `every` (PULSE) seconds, in the `with`."""
    wait, over, began = every or PULSE, threading.Event(), time.monotonic()

    def beat() -> None:
        while not over.wait(max(0.05, wait - (time.monotonic() - _last_said))):
            now = time.monotonic()
            if now - _last_said < wait:
                continue
            current = _steps[-1:]
            name, since = (current[0].name, current[0].started) if current else ("At work", began)
            seconds = now - since
            log.info(f"{name}: {seconds:.0f} s so far", extra={"fields": {"seconds": round(seconds, 1)}})

    _said()
    thread = threading.Thread(target=beat, name="firstday-pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def new_run_id() -> str:
    """The id of a run that begins now: the time, and letters that no other run has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def configure(run_id: str, terminal: bool | None = None, debug: bool = False) -> None:
    """Set up logging for this process: live lines on a terminal, else JSON. None asks stderr which it is."""
    global _live, _result
    _result = ""
    terminal = sys.stderr.isatty() if terminal is None else terminal
    console = Console(stderr=True)
    _live = _Live(console) if terminal else None
    handler = _TerminalHandler(console) if terminal else logging.StreamHandler(sys.stderr)
    handler.addFilter(_noticed)
    handler.setFormatter(logging.Formatter("%(message)s") if terminal else JsonLines(run_id))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    for noisy in ("py4j", "pyspark"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Show and log one step of a job, with its seconds and what is noted on the `Step` it yields."""
    current = Step(name)
    log.debug(f"{name}: started")
    _steps.append(current)
    if _live is not None:
        _live.start(current)
    try:
        yield current
    except BaseException as error:
        _finish(current, error)
        raise
    _finish(current, None)


def _finish(current: Step, error: BaseException | None) -> None:
    _steps.remove(current)
    seconds = time.monotonic() - current.started
    if _live is not None:
        _live.end(current, "[red]✗[/red]" if error else "[green]✓[/green]", seconds)
        return
    fields = {"seconds": round(seconds, 3), **current.fields}
    if error is None:
        log.info(current.name, extra={"fields": fields})
    elif isinstance(error, FirstdayError):  # the message is the command line's to say, once
        log.error(f"{current.name}: stopped", extra={"fields": fields})
    else:
        log.error(f"{current.name}: failed", extra={"fields": {**fields, "reason": reason(error)}})


def _described(step: Step) -> str:
    notes = ", ".join(
        f"{value:,} {key.replace('_', ' ')}" if isinstance(value, int) else f"{key.replace('_', ' ')} {value}"
        for key, value in redacted_values(step.fields).items()
    )
    return escape(step.name) + (f" [dim]{escape(notes)}[/dim]" if notes else "")


class _TerminalHandler(logging.Handler):
    """Log records above the live lines, without disturbing them."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(escape(redacted(self.format(record))), highlight=False, soft_wrap=True)
