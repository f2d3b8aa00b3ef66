"""Confusion matrices in which copies count once: the dependencies are learned first, then used.

Voters that are joined by strong agreements make a group, and each counts as one part of a vote in as many as
the group has: five copies of a rule weigh as much as one.
"""

from dataclasses import replace

from firstday.labels.models import confusion, dependencies
from firstday.labels.models.base import Floats, LabelModel, VotePatterns


def fit(counted: VotePatterns, balance: Floats | None, groups: dependencies.Groups) -> LabelModel:
    """The model, with the groups of copies in its notes. groups: (m,), from `dependencies`."""
    found = confusion.fit(counted, balance, counts_as=dependencies.counts_as(groups))
    return replace(
        found, kind="structure", notes=(*found.notes, *dependencies.sentences(groups, counted.voters))
    )
