"""Which columns are voters, which are features, and which must not be."""

from collections.abc import Iterable, Mapping, Sequence

from firstday.errors import DataError, SettingsError

GOLD = "gold"  # a column of this name is never a voter, known or not
PANDAS_INDEX = ("__index_level_", "Unnamed: ")  # what pandas adds to files of its own accord


def wide_voters(names: Sequence[str], others: Iterable[str]) -> tuple[str, ...]:
    """The columns of wide votes that are voters: all but the row's id, known labels and `others`."""
    kept_out = {"row_id", GOLD, *others}
    voters = tuple(name for name in names if name not in kept_out and not name.startswith(PANDAS_INDEX))
    if not voters:
        raise DataError(
            "votes must have a column for each voter, or the columns voter and vote",
            value=list(names),
            next_step="check that this is the right table",
        )
    return voters


def positive_class(name: str | None, names: Sequence[str]) -> int:
    """The class that is looked for, by name or number; the last, if none is given."""
    wanted = name or names[-1]
    numbers = [str(number) for number in range(len(names))]
    if wanted not in (*names, *numbers):
        raise SettingsError(
            "the positive class must be one of the classes, by name or number",
            value=f"--positive {wanted}",
            next_step=f"the classes are {', '.join(names)}",
        )
    return names.index(wanted) if wanted in names else int(wanted)


def refuse_leaks(
    reads: Mapping[str, Iterable[str]], features: Iterable[str], kept_apart: Iterable[str], gold: str | None
) -> None:
    """Raise SettingsError where a feature is an id, a period or a label, or a function reads the known label:
    what is measured then would be the answer itself.
    """
    leaked = sorted(set(features) & set(kept_apart))
    if leaked:
        raise SettingsError(
            "features may not be row_id, the known label, the old label or the period",
            value=leaked,
            next_step="leave them out of --features; * takes every column",
        )
    readers = [name for name, columns in reads.items() if gold is not None and gold in set(columns)]
    if readers:
        raise SettingsError(
            f"label functions may not read the known label {gold!r}: it is for measuring only",
            value=readers,
            next_step="mend the functions, or name another --gold",
        )
