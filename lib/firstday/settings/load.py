"""Load settings: a YAML file < `--set key=value` < flags."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from firstday.errors import SettingsError
from firstday.settings.kinds import Settings

NAME = re.compile(r"[^\W\d]")  # what a setting's name begins with
NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
Model = TypeVar("Model", bound=Settings)


class Plain(str):
    """A text that stood in YAML without quotes."""


class _AsWritten(yaml.SafeLoader):
    """YAML without its guesses: 007 is 007, no is no, 12:30 is 12:30. Only null stays null."""


_AsWritten.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _text(loader: _AsWritten, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    return text if node.style else Plain(text)


_AsWritten.add_constructor("tag:yaml.org,2002:str", _text)


def as_written(text: str) -> Any:
    """The content of YAML with plain values as the text that was written: what they are, settings say, and a
    name that looks like a number stays the name. Raises yaml.YAMLError.
    """
    return yaml.load(text, Loader=_AsWritten)  # noqa: S506 - a SafeLoader


def yaml_fault(error: Exception) -> str:
    """What is wrong with YAML and where, in one line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    return f"look at line {mark.line + 1}, column {mark.column + 1}: {problem}"


def shown(value: Any) -> Any:
    """A value for an error: numbers of YAML without quotes, as they were written there."""
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(shown, value))
    if not isinstance(value, Plain) or not NUMBER.fullmatch(value):
        return value
    return float(value) if {".", "e", "E"} & set(value) else int(value)


def load(
    model: type[Model],
    file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    assignments: Iterable[str] = (),
) -> Model:
    """The settings in `file` (YAML), overridden by `assignments` ("key=value"), then by `overrides` (flags).

    Raises SettingsError that names every key at fault, its value and what is allowed.
    """
    values = _read(Path(file)) if file is not None else {}
    for assignment in assignments:
        _assign(values, assignment)
    values.update(overrides or {})
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explained(model, error.errors()) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        content = as_written(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            "the settings file must be readable",
            value=str(file),
            next_step=f"check --config ({error.strerror})",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the settings file {str(file)!r} must be YAML", next_step=yaml_fault(error)
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) and NAME.match(key) for key in content):
        raise SettingsError(
            f"the settings file {str(file)!r} must hold one setting a line, as 'key: value'",
            next_step="start from the commented files in conf/",
        )
    return content


def _assign(values: dict[str, Any], assignment: str) -> None:
    """Put "a.b=value" into `values`, the value read as YAML."""
    key, equals, text = assignment.partition("=")
    *parents, last = (part.strip() for part in key.split("."))
    if not equals or not last:
        raise SettingsError(
            "--set takes key=value", value=assignment, next_step="write e.g. --set min_users=50"
        )
    try:
        value = as_written(text)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"the value of --set {key} must be YAML",
            value=text,
            next_step="quote it inside, as in key='\"a: b\"'",
        ) from error
    for parent in parents:
        nested = values.get(parent)
        values[parent] = values = dict(nested) if isinstance(nested, dict) else {}
    values[last] = value


def _explained(model: type[Settings], problems: list[ErrorDetails]) -> SettingsError:
    rules = []
    for problem in problems:
        key, fields = _place(model, problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, fields, n=1)
            rules.append(f"there is no setting {key!r}" + (f", did you mean {near[0]!r}?" if near else ""))
        elif problem["type"] == "missing":
            rules.append(f"{key} must be given")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            rules.append(f"{key}: {message}, got {shown(problem['input'])!r}" if key else message)
    command = model.__name__.removesuffix("Settings").lower()
    return SettingsError(
        "settings: " + "; ".join(rules), next_step=f"see firstday {command} --help for all settings"
    )


def _place(model: type[Settings], place: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """The key at a place, as --set takes it, and the keys that may stand there; not the places in a list."""
    if not place:
        return "", []
    key = str(place[0])
    field = model.model_fields.get(key)
    inner = field.annotation if field else None
    if len(place) > 1 and isinstance(inner, type) and issubclass(inner, Settings):
        rest, fields = _place(inner, place[1:])
        return f"{key}.{rest}", [f"{key}.{name}" for name in fields]
    return key, list(model.model_fields)
