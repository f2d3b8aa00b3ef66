"""Rules of label functions in YAML: read and checked but for their SQL, without Spark."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from firstday.errors import SettingsError
from firstday.settings.label import MOST_CLASSES
from firstday.settings.load import Plain, as_written, yaml_fault

ABSTAIN = -1
ABSTAINS = "abstain"


@dataclass(frozen=True)
class Rule:
    """Where the condition `when` (SQL) is met it votes for the class `vote`, else for `otherwise`."""

    name: str
    when: str
    vote: int
    otherwise: int


@dataclass(frozen=True)
class Rules:
    """The rules of a file, and the names of the classes 0, 1, ..."""

    classes: tuple[str, ...]
    rules: tuple[Rule, ...]


class _RuleText(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: StrictStr
    vote: Any
    when: StrictStr
    otherwise: Any = Field(ABSTAINS, alias="else")


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    classes: tuple[StrictStr, ...]
    functions: tuple[_RuleText, ...]


def read_rules(file: Path) -> Rules:
    """The rules of a YAML file; names are as they are written there. Raises SettingsError that names what is
    wrong with it.
    """
    try:
        content = as_written(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(
            f"the label functions {str(file)!r} must be YAML", next_step=yaml_fault(error)
        ) from error
    try:
        read = _File.model_validate(content)
    except ValidationError as error:
        raise _explained(file, content, error) from None
    classes = tuple(map(str, read.classes))
    check_classes(classes)
    check_names([str(rule.name) for rule in read.functions])
    rules = (
        Rule(
            str(rule.name),
            str(rule.when),
            class_number(rule.name, _vote(rule, rule.vote, classes), classes, abstains=False),
            class_number(rule.name, _vote(rule, rule.otherwise, classes), classes),
        )
        for rule in read.functions
    )
    return Rules(classes, tuple(rules))


def _vote(rule: _RuleText, vote: Any, classes: Sequence[str]) -> Any:
    """A vote of YAML: a class's name as it is written, or a number that stands there without quotes.

    Raises SettingsError where it may be either.
    """
    if not isinstance(vote, Plain) or re.fullmatch(r"-?\d+", vote) is None:
        return str(vote) if isinstance(vote, Plain) else vote
    if vote in classes and classes.index(vote) != int(vote) and 0 <= int(vote) < len(classes):
        raise SettingsError(
            f"label function {rule.name!r}: a vote is for one class, this is a class's name and another "
            "one's number",
            value=str(vote),
            next_step=f"put the name in quotes: '{vote}'",
        )
    return str(vote) if vote in classes else int(vote)


def _explained(file: Path, content: Any, error: ValidationError) -> SettingsError:
    rules = []
    for problem in error.errors():
        where, *rest = [str(part) for part in problem["loc"]] or ["the file"]
        if where == "functions" and rest:
            rule = content["functions"][int(rest[0])]
            name = rule.get("name") if isinstance(rule, dict) else None
            place = int(rest[0]) + 1
            where = " of ".join([*rest[1:2], f"function {name!r}" if name else f"function {place}"])
        elif rest:
            where += f" {int(rest[0]) + 1}"
        message = {"extra_forbidden": "there is no such key", "missing": "must be given"}.get(problem["type"])
        rules.append(f"{where}: {message or problem['msg'] + ', got ' + repr(problem['input'])[:100]}")
    return SettingsError(
        f"label functions {str(file)!r}: " + "; ".join(rules[:10]),
        next_step="a file has classes and functions; a function has name, vote, when and, if need be, else; "
        "null is no name, but in quotes",
    )


def check_classes(classes: Sequence[Any]) -> None:
    """Raise SettingsError unless these are names of classes."""
    texts = [name for name in classes if isinstance(name, str) and name.strip()]
    again = [name for name, times in Counter(texts).items() if times > 1]
    if (
        len(texts) < len(classes)
        or again
        or not 2 <= len(classes) <= MOST_CLASSES
        or ABSTAINS in map(str.lower, texts)
    ):
        raise SettingsError(
            f"label functions vote for 2 to {MOST_CLASSES} classes with different names, "
            f"none of them {ABSTAINS!r}",
            value=again or list(classes),
            next_step="write e.g. classes: [honest, fraud]",
        )


def check_names(names: Sequence[Any]) -> None:
    """Raise SettingsError unless these are names of label functions."""
    if not names:
        raise SettingsError("there must be at least one label function")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise SettingsError("a label function must have a name", value=name)
        if name.lower() == "row_id" or name.lower().startswith("firstday_"):
            rule = "a label function may not be called row_id or firstday_...: the tables have such columns"
            raise SettingsError(rule, value=name)
    again = Counter(name.lower() for name in names)
    if max(again.values()) > 1:
        raise SettingsError(
            "label functions must have different names, also without regard to case",
            value=[name for name in names if again[name.lower()] > 1],
        )


def class_number(function: str, vote: Any, classes: Sequence[str], abstains: bool = True) -> int:
    """The number of the class that a function votes for, by name or number. Raises SettingsError."""
    if abstains and (vote == ABSTAINS or (vote == ABSTAIN and not isinstance(vote, bool))):
        return ABSTAIN
    if isinstance(vote, str) and vote in classes:
        return classes.index(vote)
    if isinstance(vote, int) and not isinstance(vote, bool) and 0 <= vote < len(classes):
        return vote
    lowered = {name.lower(): name for name in classes}
    near = difflib.get_close_matches(vote.lower(), lowered, n=1) if isinstance(vote, str) else []
    allowed = ", ".join(f"{name} ({number})" for number, name in enumerate(classes))
    raise SettingsError(
        f"label function {function!r}: a vote is for one of the classes"
        + (", or abstain" if abstains else ""),
        value=vote,
        next_step=f"did you mean {lowered[near[0]]}?" if near else f"the classes are {allowed}",
    )
