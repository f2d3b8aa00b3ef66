"""How a job's inputs are read: what its settings say, and the format that its events have."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from firstday import logs
from firstday.errors import SettingsError
from firstday.expressions.uses import Uses
from firstday.settings import load
from firstday.settings.inputs import NONE, ColumnMap, InputSettings, LogSettings, TimeUnit
from firstday.settings.kinds import Settings, TimeZone
from firstday.tables import Checked, Input
from firstday.tables.infer import inferred, note, typed
from firstday.tables.read import TEXT_FORMATS, Reading

FORMATS = files("firstday.conf").joinpath("formats")
EVENTS = "events"


class Format(Settings):
    """Where a tool's export has what the jobs ask for; a YAML file in conf/formats.

    columns: as --columns; of several places the first that is not null counts. time_unit: of times that are
    numbers. time_zone: of times that carry none.
    """

    columns: ColumnMap
    time_unit: TimeUnit | None = None
    time_zone: TimeZone | None = None
    about: Annotated[str, BeforeValidator(str)] = Field("")


def format_of(name: str) -> Format:
    """The format of this name, or in this file. Raises SettingsError where there is none."""
    known = sorted(file.name.removesuffix(".yml") for file in FORMATS.iterdir() if file.name.endswith(".yml"))
    if name.lower() in known:
        return load(Format, str(FORMATS.joinpath(f"{name.lower()}.yml")))
    if not Path(name).is_file():
        raise SettingsError(
            f"a format is one of {', '.join(known)}, or a YAML file",
            value=name,
            next_step="copy one of conf/formats and edit it",
        )
    return load(Format, name)


def reading(settings: InputSettings, table: str) -> Reading:
    """How the input `table` is read. A flag goes before what a format says."""
    columns: dict[str, tuple[str, ...]] = {}
    unit, zone = settings.time_unit, settings.input_time_zone
    if isinstance(settings, LogSettings) and table == EVENTS:
        if settings.format is not None:
            found = format_of(settings.format)
            columns |= dict(found.columns)
            unit, zone = unit or found.time_unit, zone or found.time_zone
        if settings.event_id not in (None, NONE):
            columns["event_id"] = (settings.event_id,)
    given = dict(settings.columns)
    columns |= {name: paths for name, paths in given.items() if "." not in name}
    own = {name: paths for name, paths in given.items() if name.startswith(f"{table}.")}
    columns |= {name.removeprefix(f"{table}."): paths for name, paths in own.items()}
    needed = frozenset(name.removeprefix(f"{table}.") for name in own)
    return Reading(zone, unit, settings.encoding, columns, needed)


def has_event_id(settings: LogSettings) -> bool:
    """Whether an event's id is to be looked for."""
    return settings.event_id != NONE


def noted(checked: Checked, note: str | None) -> Checked:
    """With a sentence on it, where there is one."""
    return checked if note is None else replace(checked, notes=(*checked.notes, note))


def typed_by_use(
    source: Input, names: Sequence[str], found: Uses, also: Set[str] = frozenset()
) -> tuple[Input, frozenset[str], str | None]:
    """The input with types that text files cannot say; its columns that are to be numbers; a note on both.

    names: columns that may be typed. Numbers are `also`, and what an expression uses as one or compares with
    one. Of the others those are typed of which all values are of a type, unless an expression uses them as
    text.
    """
    if source.format not in TEXT_FORMATS:
        return source, frozenset(), None
    free = [name for name in names if name not in found.texts]
    used = found.numbers | also
    kinds = inferred(source, [name for name in free if name not in found.numbers])
    numbers = used | {name for name, kind in kinds.items() if "number" in kind}
    for _ in found.pairs:  # what is compared with a number is one, and so on along the pairs
        numbers |= {each for pair in found.pairs if numbers & {*pair} for each in pair}
    kinds = {name: kind for name, kind in kinds.items() if name not in used}
    return typed(source, kinds), frozenset(numbers) & {*free} - {*kinds}, note(source, kinds)


def said(*checked: Checked) -> None:
    """Say what was made of the inputs."""
    for each in checked:
        for sentence in each.notes:
            logs.log.info(sentence)


def notes_of(checked: Iterable[Checked]) -> tuple[str, ...]:
    """What was made of the inputs, for a report."""
    return tuple(note for each in checked for note in each.notes)
