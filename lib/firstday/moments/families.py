"""Which actions follow from one another: families, and who leads whom.

A reply follows a message, an order a cart. Such actions have a correlation of their own beside engagement. As
one family they are kept out of each other's factors; who leads in it says what pushing one of them may bring.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstday.moments.factors import (
    Flags,
    Floats,
    number_of_factors,
    principal_axes,
    residual_correlation,
    unexplained,
)

LEAST_LEAD = 0.10  # of an action's events, more with the leader before than after
LEAST_LEAD_Z = 4.0
LEAST_RESIDUAL = 0.08  # correlation beside engagement, for who leads to follow from more than from the order
JOINING_RESIDUAL = 0.20  # from which two actions are of one family, whoever leads
JOINING_ROUNDS = 3
LARGEST_FAMILY = 0.6  # share of the actions
# Of `unexplained`: invented apps with families have less, apps whose users walk from action to action more.
MOST_UNEXPLAINED = 0.15


@dataclass(frozen=True)
class Timing:
    """Who comes before whom, in a sample of users' first days.

    events: (actions,) events of each. after[a, b]: events of b with an a of the same user shortly before;
    before[a, b]: events of b with an a shortly after.
    """

    actions: tuple[str, ...]
    events: Floats
    after: Floats
    before: Floats

    def only(self, actions: Sequence[str]) -> "Timing":
        """The same for these actions, zeros for those that are not in it."""
        place = {action: position for position, action in enumerate(self.actions)}
        known = np.array([action in place for action in actions], dtype=bool)
        index = np.array([place.get(action, 0) for action in actions], dtype=int)
        if not self.actions:
            none = np.zeros((len(actions), len(actions)))
            return Timing(tuple(actions), np.zeros(len(actions)), none, none)
        pairs = np.ix_(index, index)
        both = known[:, None] & known
        return Timing(
            tuple(actions),
            np.where(known, self.events[index], 0.0),
            np.where(both, self.after[pairs], 0.0),
            np.where(both, self.before[pairs], 0.0),
        )


@dataclass(frozen=True)
class Families:
    """number: (actions,) the family of each action, from 0. lead[a, b]: share of b's events that have an a
    before rather than after them, where a leads b, else 0. anchorless: nearly all actions follow from one
    another, or no few factors explain how the others go together, so that there is no measure of engagement
    to compare with; each is then a family of its own.
    """

    number: NDArray[np.int64]
    lead: Floats
    anchorless: bool

    @property
    def together(self) -> Flags:
        """(actions, actions) whether the covariance of two is left free: in a family all are; without any,
        those of which one leads the other.
        """
        if self.anchorless:
            return np.asarray((self.lead > 0) | (self.lead.T > 0) | np.eye(len(self.number), dtype=bool))
        return np.asarray(self.number[:, None] == self.number)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(families,) actions of each."""
        return np.bincount(self.number)


def families(covariance: Floats, users: float, timing: Timing | None) -> Families:
    """From the covariance within dates of so many users and, if there is one, the actions' timing."""
    actions = len(covariance)
    lead = np.zeros((actions, actions)) if timing is None else _arcs(covariance, timing)
    groups = _Groups(actions)
    for one, other in np.argwhere(lead > 0):
        groups.join(one, other)
    anchorless = Families(np.arange(actions), lead, anchorless=True)
    if groups.largest > LARGEST_FAMILY * actions:
        return anchorless
    for _ in range(JOINING_ROUNDS):
        residual = residual_correlation(covariance, groups.together)
        pairs = np.argwhere(np.triu((residual >= JOINING_RESIDUAL) & ~groups.together))
        if not len(pairs):
            break
        for one, other in sorted(pairs.tolist(), key=lambda pair: (-residual[*pair], pair)):
            groups.join(one, other, LARGEST_FAMILY * actions)
    found = Families(groups.number, lead, anchorless=False)
    loadings = common_loadings(covariance, users, found)
    return anchorless if unexplained(covariance, loadings, found.together) > MOST_UNEXPLAINED else found


def common_loadings(covariance: Floats, users: float, related: Families) -> Floats:
    """(actions, factors) on as many factors as the families can carry and need."""
    factors = number_of_factors(covariance, users, related.together, most=len(related.sizes) // 4)
    return principal_axes(covariance, factors, related.together)


def _arcs(covariance: Floats, timing: Timing) -> Floats:
    """The lead of each action over each other, (actions, actions), 0 where there is none to speak of.

    Sequence symmetry (Hallas 1996): what merely happens in the same session comes as often before as after.
    What opens a session comes before everything, so an action's median lead is taken off its leads.
    """
    either = timing.after + timing.before
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(timing.events > 0, (timing.after - timing.before) / timing.events, 0.0)
    others = ~np.eye(len(share), dtype=bool)
    usual = np.array(
        [np.median(row[there]) if there.any() else 0.0 for row, there in zip(share, others, strict=True)]
    )
    own = share - np.maximum(usual, 0.0)[:, None]
    z = np.where(either > 0, own * timing.events / np.sqrt(np.maximum(either, 1.0)), 0.0)
    leads = others & (own >= LEAST_LEAD) & (z >= LEAST_LEAD_Z)
    arcs = leads
    for _ in range(2):  # which pairs are left out of the fit depends on the arcs, and they on the fit
        arcs = leads & (residual_correlation(covariance, arcs | arcs.T) >= LEAST_RESIDUAL)
    return np.where(arcs, own, 0.0)


class _Groups:
    """Actions joined into components."""

    def __init__(self, actions: int) -> None:
        self.first = np.arange(actions)

    @property
    def number(self) -> NDArray[np.int64]:
        return np.unique(self.first, return_inverse=True)[1].astype(np.int64)

    @property
    def together(self) -> Flags:
        return np.asarray(self.first[:, None] == self.first)

    @property
    def largest(self) -> int:
        return int(np.bincount(self.first).max(initial=0))

    def join(self, one: int, other: int, most: float = np.inf) -> None:
        """One component of two, unless it would have more than `most` actions."""
        both = np.isin(self.first, self.first[[one, other]])
        if both.sum() <= most:
            self.first[both] = self.first[both].min()
