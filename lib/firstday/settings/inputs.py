"""The settings of all jobs' inputs, and those that read a log of theirs."""

import codecs
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from firstday.settings.kinds import Location, Settings, Share, TimeZone, listed

NONE = "none"  # as --event-id: the log has none
TimeUnit = Literal["s", "ms", "us", "ns"]


def _columns(value: Any) -> Any:
    """`a=b,c=d`, and mappings, also one of each table, are pairs of a name and where it is taken from."""
    if isinstance(value, dict):
        pairs: list[tuple[str, Any]] = []
        for name, taken in value.items():
            of_table = taken.items() if isinstance(taken, dict) else None
            pairs += [(f"{name}.{inner}", path) for inner, path in of_table] if of_table else [(name, taken)]
        return [(name, tuple(listed(path))) for name, path in pairs]
    pairs = []
    for item in listed(value):
        if not isinstance(item, str):
            pairs.append(item)
            continue
        name, equals, path = item.partition("=")
        if not equals or not name.strip() or not path.strip():
            raise ValueError("must be pairs, as in user_id=distinct_id,occurred_at=timestamp")
        pairs.append((name.strip(), (path.strip(),)))
    return pairs


def _once(pairs: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("each column may be mapped once")
    return pairs


def _encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise ValueError("must be an encoding of text, such as utf-8, latin-1 or cp1252") from error


ColumnMap = Annotated[
    tuple[tuple[str, tuple[str, ...]], ...], BeforeValidator(_columns), AfterValidator(_once)
]


class InputSettings(Settings):
    """How inputs are read."""

    columns: ColumnMap = Field(
        (),
        description="Columns that have other names, as in user_id=distinct_id,action=event; of one table: "
        "events.action=event; inside of another: country=geo.country.",
    )
    input_time_zone: TimeZone | None = Field(
        None, description="Zone of input timestamps that carry none; without it such input is refused."
    )
    time_unit: TimeUnit | None = Field(
        None, description="Unit of input times that are numbers, counted from 1970; without it refused."
    )
    encoding: Annotated[str, AfterValidator(_encoding)] = Field(
        "utf-8", description="Encoding of text files; of a row that is not written in it, text is lost."
    )
    max_bad_share: Share = Field(0.05, description="Stop when a larger share of an input's rows is bad.")


class LogSettings(InputSettings):
    """How a log of events is read."""

    format: Location | None = Field(
        None,
        description="Whose export the events are: ga4, posthog, amplitude, mixpanel, segment or snowplow, or "
        "a YAML file as those in conf/formats.",
    )
    event_id: Location | None = Field(
        None,
        description="Column of the events with an id of each, by which what was sent twice counts once "
        "[default: event_id, where there is one]; none: there is no id.",
    )
    fold_actions: bool = Field(
        False, description="Take actions that differ only by case or blanks at their ends for one."
    )
