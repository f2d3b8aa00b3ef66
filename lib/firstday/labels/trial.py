"""Label functions tried on a few rows: what each votes for, rows to look at, and which of them conflict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from firstday.labels.patterns import ABSTAIN
from firstday.report.terminal import aligned

MOST_EXAMPLES = 3  # rows a function
MOST_CONFLICTS = 5  # pairs of functions
LONGEST = 40  # letters of a value that are shown


@dataclass(frozen=True)
class Tried:
    """A function on the rows: votes by class (those that abstain are left out), and rows that it votes on,
    row_id and the columns that it reads, its rarer votes first.
    """

    name: str
    votes: Mapping[str, int]
    examples: tuple[Mapping[str, object], ...]


@dataclass(frozen=True)
class Conflict:
    """Two functions that vote for different classes on `rows` of the `both` rows that both vote on."""

    function: str
    other: str
    rows: int
    both: int


@dataclass(frozen=True)
class Trial:
    """Functions on the `rows` that were read first; `uncovered`: rows on which all abstain; `bad`: rows that
    were left out, by reason.
    """

    rows: int
    functions: tuple[Tried, ...]
    conflicts: tuple[Conflict, ...]
    uncovered: int
    bad: Mapping[str, int]
    notes: tuple[str, ...] = ()


def tried(
    voted: pd.DataFrame,
    names: Sequence[str],
    classes: Sequence[str],
    reads: Mapping[str, frozenset[str]],
    bad: Mapping[str, int],
    notes: Sequence[str],
) -> Trial:
    """voted: row_id, the columns that functions read, and a column of votes for each of `names`."""
    return Trial(
        len(voted),
        tuple(_tried(voted, name, classes, sorted(reads[name])) for name in names),
        tuple(_conflicts(voted, names)),
        int((voted[list(names)] == ABSTAIN).all(axis=1).sum()),
        bad,
        tuple(notes),
    )


def _tried(voted: pd.DataFrame, name: str, classes: Sequence[str], columns: Sequence[str]) -> Tried:
    own = voted[voted[name] != ABSTAIN]
    counts = own[name].value_counts()
    rarest = own[name].map(counts).sort_values(kind="stable").index
    shown = own.loc[rarest[:MOST_EXAMPLES], list(dict.fromkeys(["row_id", *columns]))]
    votes = {classes[number]: int(count) for number, count in counts.items()}
    return Tried(name, votes, tuple(shown.to_dict("records")))


def _conflicts(voted: pd.DataFrame, names: Sequence[str]) -> list[Conflict]:
    found = []
    for one, other in combinations(names, 2):
        both = (voted[one] != ABSTAIN) & (voted[other] != ABSTAIN)
        apart = int((both & (voted[one] != voted[other])).sum())
        if apart:
            found.append(Conflict(one, other, apart, int(both.sum())))
    return sorted(found, key=lambda each: (-each.rows, each.function, each.other))[:MOST_CONFLICTS]


def trial_text(trial: Trial) -> str:
    """What each function votes for, three rows of each, and those that conflict most."""
    bad = sum(trial.bad.values())
    lines = [
        f"{len(trial.functions):,} label functions, tried on the first {trial.rows:,} rows: all abstain on "
        f"{trial.uncovered:,} of them.",
        *([f"{bad:,} more rows are bad ({'; '.join(trial.bad)})."] if bad else []),
        *trial.notes,
        "",
    ]
    table = [(each.name, f"{sum(each.votes.values()):,}", _votes(each)) for each in trial.functions]
    lines += [aligned(("function", "rows", "votes for"), table, ("rows",)), "", "Rows that it votes on:"]
    for each in trial.functions:
        lines += [each.name, *(f"  {_row(example)}" for example in each.examples)]
        lines += [] if each.examples else ["  none: it abstains on all of these rows"]
    lines += ["", "Functions that conflict most:" if trial.conflicts else "No two functions conflict."]
    if trial.conflicts:
        pairs = [(each.function, each.other, f"{each.rows:,}", f"{each.both:,}") for each in trial.conflicts]
        lines.append(aligned(("function", "other", "against", "of"), pairs, ("against", "of")))
    return "\n".join(lines)


def _votes(each: Tried) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in each.votes.items()) or "nothing"


def _row(example: object) -> str:
    assert isinstance(example, dict)
    return ", ".join(f"{name}={_short(str(value))}" for name, value in example.items())


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
