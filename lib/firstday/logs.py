"""Say what a job is doing: live lines on a terminal, one JSON object a line elsewhere, on stderr both."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from firstday.errors import reason
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


class Step:
    """One step of a job. What is noted is shown behind its name and kept in the log."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: dict[str, Any] = {}

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
        self.progress.remove_task(self.tasks.pop(step))
        indent = "  " * len(self.tasks)
        self.console.print(f"{indent}{mark} {_described(step)} [dim]{seconds:.1f} s[/dim]", highlight=False)
        if not self.tasks:
            self.progress.stop()


_live: _Live | None = None


def configure(run_id: str, terminal: bool | None = None, debug: bool = False) -> None:
    """Set up logging for this process: live lines on a terminal, else JSON. None asks stderr which it is."""
    global _live
    terminal = sys.stderr.isatty() if terminal is None else terminal
    console = Console(stderr=True)
    _live = _Live(console) if terminal else None
    handler = _TerminalHandler(console) if terminal else logging.StreamHandler(sys.stderr)
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
    started = time.monotonic()
    log.debug(f"{name}: started")
    if _live is not None:
        _live.start(current)
    try:
        yield current
    except BaseException as error:
        _finish(current, started, error)
        raise
    _finish(current, started, None)


def _finish(current: Step, started: float, error: BaseException | None) -> None:
    seconds = time.monotonic() - started
    if _live is not None:
        _live.end(current, "[red]✗[/red]" if error else "[green]✓[/green]", seconds)
        return
    fields = {"seconds": round(seconds, 3), **current.fields}
    if error is None:
        log.info(current.name, extra={"fields": fields})
    else:
        log.error(current.name, extra={"fields": {**fields, "reason": reason(error)}})


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
