"""The errors a job may end with. Each names the broken rule, the value that broke it and the next step."""

import re
from typing import Any

from firstday.redact import redacted


class FirstdayError(Exception):
    """A job cannot go on, for a reason that is understood.

    `rule` is a sentence on what must hold, `value` what was found instead, `next_step` what to do about it.
    The command line ends with `exit_status` and shows the message without a traceback.
    """

    exit_status = 1

    def __init__(self, rule: str, *, value: Any = None, next_step: str | None = None) -> None:
        self.rule = rule
        self.value = value
        self.next_step = next_step
        parts = [_sentence(rule)]
        if value is not None:
            parts.append(f"Got: {_shown(value)}.")
        if next_step:
            parts.append(f"Next: {_sentence(next_step)}")
        super().__init__(redacted(" ".join(parts)))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a traceback's place: the sentence."""
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception pickles its composed message as the only argument; a worker's error must arrive whole.
        return _rebuild, (type(self), self.rule, self.value, self.next_step)


class UserError(FirstdayError):
    """The user's mistake: something in the command, the settings or the data has to change."""

    exit_status = 2


class SettingsError(UserError):
    """A setting is unknown, missing or outside its range."""


class DataError(UserError):
    """An input cannot be read, or breaks its contract beyond what quarantine may take.

    quarantine: the rows that break it (table, reason, row), a DataFrame, where they were not written to an
    output's quarantine.
    """

    quarantine: Any = None


class OutputError(UserError):
    """The output exists with another schema."""


class LimitError(UserError):
    """A table that must stay small enough for the driver would grow beyond its limit."""


class ConflictError(FirstdayError):
    """Another run published its results while this one was working."""


def reason(error: BaseException, limit: int = 300) -> str:
    """One line that says why: the message itself for our own errors, type and cause for others.

    Spark puts whole stack traces into a message. The cause is in the last "Caused by", or in the last line of
    a Python worker's traceback, or behind "An error occurred while calling ..."; elsewhere in the first line.
    """
    if isinstance(error, FirstdayError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    if not causes and any(line.startswith("Traceback") for line in lines):
        causes = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    if not causes and lines and lines[0].startswith("An error occurred while calling"):
        causes = lines[1:2]
    cause = [line.removeprefix("Caused by:").strip(": ") for line in causes[-1:] or lines[:1]]
    return _shortened(redacted(": ".join([type(error).__name__, *cause])), limit)


def _rebuild(kind: type[FirstdayError], rule: str, value: Any, next_step: str | None) -> FirstdayError:
    return kind(rule, value=value, next_step=next_step)


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _shown(value: Any) -> str:
    """Strings are quoted, so that names with newlines or blanks stay on one line and can be told apart."""
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_shown(item) for item in value) or "nothing"
    return _shortened(redacted(repr(value)), 300)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
