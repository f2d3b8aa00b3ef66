"""Label functions tried on a few rows, as plain text for the terminal."""

from firstday.labels.trial import Trial, Tried
from firstday.report.terminal import aligned

LONGEST = 40  # letters of a value that are shown


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
