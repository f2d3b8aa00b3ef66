"""Choose a label model without an answer key, by what the votes themselves show.

Likelihoods are no guide alone: a model that is wrong in its independence buys likelihood by splitting rows
along whatever makes rules speak together, such as a text's length. So a model is taken only where what it
rests on holds in the votes: enough overlaps to tell its parameters, overlaps as often as it expects, and no
voter below chance. Otherwise the precision model, which assumes least, is taken.
"""

from dataclasses import replace

import numpy as np

from firstday.labels.models import confusion, precision
from firstday.labels.models.base import Counted, Expected, Floats, LabelModel, identity_information

REDUNDANT_SHARE = 0.2  # of covered rows that have three votes or more by voters who choose
MISFIT = 1.5  # mean squared standardised difference of overlaps; 1 is what chance makes
BELOW_CHANCE = 0.02  # of all votes


def fit(counted: Counted, balance: Floats | None = None) -> LabelModel:
    """The model that `auto` takes, with the reason in its notes."""
    if identity_information(counted.given) <= confusion.FUNCTION_LIKE:
        covered = counted.total - counted.uncovered
        if counted.redundant >= REDUNDANT_SHARE * covered:
            return _because(
                confusion.fit(counted, balance, abstaining_tells=False),
                "voters vote for any class, and most rows have several votes: confusion matrices can be told",
            )
        return _because(
            precision.fit(counted, balance),
            f"fewer than {REDUNDANT_SHARE:.0%} of the rows have three votes of voters who choose between "
            "classes: confusion matrices cannot be told",
        )
    doubt = None if _enough_overlaps(counted) else "there are fewer overlaps than parameters"
    if doubt is None:
        found = confusion.fit(counted, balance, abstaining_tells=True)
        doubt = doubts(counted, found)
        if doubt is None:
            return _because(found, "voters vote one way and overlap as independent ones would")
    return _because(precision.fit(counted, balance), f"voters vote one way, and {doubt}")


def doubts(counted: Counted, found: LabelModel) -> str | None:
    """Why the votes speak against independence given the class, if they do."""
    if not found.converged:
        return "confusion matrices did not settle"
    expected = counted.expect(found.weights)
    share = below_chance(counted, expected)
    if share > BELOW_CHANCE:
        return f"a model of independent votes has {share:.0%} of them below chance"
    mean = misfit(counted, expected)
    if mean > MISFIT:
        return f"overlaps differ {mean:.1f} times as much as chance allows from those of independent votes"
    return None


def below_chance(counted: Counted, expected: Expected) -> float:
    """Share of votes that are cast by voters who are right less often than by chance, by voter and class."""
    given = counted.given
    below = (given > 0) & (expected.right <= given / counted.classes)
    return float(given[below].sum() / given.sum())


def misfit(counted: Counted, expected: Expected) -> float:
    """Mean over pairs of votes by two voters of (observed - expected)^2 / expected rows with both."""
    voters, classes = counted.given.shape
    flat = expected.joint.reshape(voters * classes, classes)
    mass = expected.mass + counted.uncovered * expected.silent
    together = (flat / np.maximum(mass, 0.5)) @ flat.T
    voter = np.repeat(np.arange(voters), classes)
    pairs = (voter[:, None] < voter) & np.outer(flat.sum(axis=1) > 0, flat.sum(axis=1) > 0)
    if not pairs.any():
        return 0.0
    observed, least = counted.together[pairs], np.maximum(together[pairs], 0.5)
    return float(((observed - together[pairs]) ** 2 / least).mean())


def _enough_overlaps(counted: Counted) -> bool:
    """Whether single votes and pairs are at least as many as the parameters, votes by class and balance."""
    seen = int((counted.given > 0).sum())
    return seen + seen * (seen - 1) // 2 >= seen * counted.classes + counted.classes - 1


def _because(found: LabelModel, reason: str) -> LabelModel:
    return replace(found, notes=(*found.notes, f"auto takes the {found.kind} model: {reason}"))
