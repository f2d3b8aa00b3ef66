"""What may be wrong with a fitted label model, said in words."""

from dataclasses import replace

import numpy as np

from firstday.labels.models.base import LabelModel, VotePatterns
from firstday.labels.models.precision import ALWAYS

VANISHED = 1e-3  # share of all rows below which a class is as good as gone
MOST_NAMED = 5


def with_warnings(model: LabelModel, counted: VotePatterns) -> LabelModel:
    """The model, with what to be wary of added to its notes."""
    return replace(model, notes=(*model.notes, *_warnings(model, counted)))


def _warnings(model: LabelModel, counted: VotePatterns) -> list[str]:
    votes = counted.given.sum(axis=1)
    found = []
    if not model.converged:
        found.append(f"the fit had not settled after {model.iterations} steps: weigh its figures with care")
    cast = counted.given.sum(axis=0)
    gone = np.flatnonzero((model.balance < VANISHED) & (cast > VANISHED * cast.sum()))
    found += [
        f"class {place} is voted for, but the model gives it {model.balance[place]:.2%} of the rows: it "
        "cannot be told from the others by these votes; give --balance, or take another --model-kind"
        for place in gone
    ]
    if model.scores is not None and cast.any():
        right = counted.expect(model.scores).right.sum()
        if right < cast.sum() / model.classes:
            found.append(
                f"by the model {right / cast.sum():.0%} of all votes are right, fewer than by chance: the "
                "classes may have changed places"
            )
    found += _named(counted, votes == 0, "never vote")
    found += _named(counted, votes >= ALWAYS * counted.total, "vote on nearly every row")
    return found


def _named(counted: VotePatterns, which: np.ndarray, what: str) -> list[str]:
    names = [counted.voters[voter] for voter in np.flatnonzero(which)]
    # Where all do so, as in a small crowd, there is nothing to say.
    if not names or len(names) == len(counted.voters):
        return []
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return [f"{', '.join(names[:MOST_NAMED])}{more} {what}"]
