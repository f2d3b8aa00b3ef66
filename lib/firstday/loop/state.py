"""What a loop has done already: by step, what it was made from. Kept as a small JSON file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from firstday.errors import DataError
from firstday.redact import redacted_values

FORM = 1  # of the file


@dataclass(frozen=True)
class Made:
    """What a step's results were made from: its settings, the versions of its inputs, firstday's version."""

    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    version: str

    def changes_since(self, before: "Made") -> list[str]:
        """What is different, in words; empty where nothing is."""
        reasons = []
        if self.version != before.version:
            reasons.append(f"firstday {before.version} is now {self.version}")
        if changed := _different(before.settings, self.settings):
            reasons.append(f"settings: {', '.join(changed)}")
        if changed := _different(before.inputs, self.inputs):
            reasons.append(f"new data: {', '.join(changed)}")
        return reasons


@dataclass(frozen=True)
class Done:
    """A step that was published: by which run, from what, in how many seconds."""

    run_id: str
    made: Made
    seconds: float


@dataclass
class State:
    """The steps that are done, by name, and the file that keeps them."""

    file: Path
    done: dict[str, Done] = field(default_factory=dict)

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """As it is in the file; nothing is done where there is none. Raises DataError for another file."""
        path = Path(file)
        if not path.exists():
            return cls(path)
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["form"] != FORM:
                raise ValueError(f"form {kept['form']}")
            done = {
                name: Done(step["run_id"], Made(**step["made"]), step["seconds"])
                for name, step in kept["steps"].items()
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                "the loop's state must be a file that firstday loop wrote",
                value=str(path),
                next_step="delete it, and all steps run again",
            ) from error
        return cls(path, done)

    def keep(self, name: str, done: Done) -> None:
        """Note that a step is done. The file is replaced whole, so that a killed loop leaves a good one."""
        self.done[name] = done
        steps = {each: asdict(value) for each, value in self.done.items()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.file.with_name(f".{self.file.name}.new")
        unfinished.write_text(json.dumps({"form": FORM, "steps": steps}, indent=1), encoding="utf-8")
        unfinished.replace(self.file)

    def to_do(self, name: str, made: Made, *, published: str | None, again: bool = False) -> str | None:
        """Why a step must run; None where its results are of just this.

        published: the run whose results are in the step's output now, if there is one.
        """
        before = self.done.get(name)
        if before is None:
            return "not done yet"
        if again:
            return "asked for"
        if changes := made.changes_since(before.made):
            return "; ".join(changes)
        if published != before.run_id:
            return (
                "its results are not there any more" if published is None else "its results are another run's"
            )
        return None


def made_from(settings: Mapping[str, Any], inputs: Mapping[str, str], version: str) -> Made:
    """As it will be read from the file again: without secrets, and in JSON's types."""
    return Made(json.loads(json.dumps(redacted_values(dict(settings)))), dict(inputs), version)


def _different(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    missing = object()
    return [name for name in sorted({*before, *now}) if before.get(name, missing) != now.get(name, missing)]
