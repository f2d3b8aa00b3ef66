"""Greedy maximal marginal relevance with quotas, on arrays (Carbonell & Goldstein 1998, SIGIR).

The next category is the one with the greatest balance × score - (1 - balance) × similarity to the most
similar of those chosen so far. All customers of a batch take their next step together: few steps over few
categories, and nothing to be interpreted for each pair of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firstday.errors import SettingsError

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]
Ties = NDArray[np.uint64]


def _all_sources() -> tuple[str, ...]:
    """The names of all sources in the order of their registry."""
    from firstday.recommendations.recall.sources import SOURCES  # which is built on this module

    return tuple(SOURCES)


def quotas_of(candidates: int) -> dict[str, int]:
    """By source, of how many of the candidates it has at least."""
    from firstday.recommendations.recall.sources import SOURCES

    return {name: candidates // source.part for name, source in SOURCES.items()}


@dataclass(frozen=True)
class Merging:
    """most: candidates of a customer. depth: the best of each source that are candidates at all. balance: of
    score against diversity, 1 for score alone. quotas: candidates that each source has at least, as long as
    it has any. A category that several sources name belongs to the first in the order of their registry.
    """

    most: int = 12
    depth: int = 12
    balance: float = 0.7
    quotas: Mapping[str, int] = field(default_factory=lambda: quotas_of(12))

    def __post_init__(self) -> None:
        if self.most < 1 or self.depth < 1 or not 0 <= self.balance <= 1:
            raise SettingsError(
                "most and depth are 1 or more, and balance is from 0 to 1",
                value=[self.most, self.depth, self.balance],
                next_step="change the settings of merge",
            )
        names = _all_sources()
        unknown = sorted(set(self.quotas) - set(names))
        if (
            unknown
            or any(quota < 0 for quota in self.quotas.values())
            or sum(self.quotas.values()) > self.most
        ):
            raise SettingsError(
                f"quotas are of {', '.join(names)}, 0 or more, and together at most `most`",
                value=dict(self.quotas),
                next_step="lower the quotas, or raise `most`",
            )


@dataclass(frozen=True)
class Chosen:
    """customers × steps: the place of each category, -1 after the last; its source's place in `named`, and
    its score, which is its quantile among that source's candidates.
    """

    places: Places
    sources: Places
    scores: Floats


def ties_of(hashes: NDArray[np.int64], categories: int) -> Ties:
    """Customers × categories, what decides between equals: splitmix64 (Steele, Lea & Flood 2014, OOPSLA) of
    the customer's hash and the place.
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        mixed = hashes.view(np.uint64)[:, None] + golden * np.arange(1, categories + 1, dtype=np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Ties = mixed ^ (mixed >> np.uint64(31))
    return found


def ranks(scores: Floats, ties: Ties) -> Places:
    """From 0 for the greatest; of equal scores the smaller tie comes first. NaN comes last."""
    return np.argsort(np.lexsort((ties, -scores)), axis=-1)


def quantiles(scores: Floats, ties: Ties) -> Floats:
    """1 for the customer's best, 1 / n for the last of n; NaN where there is no score."""
    return _placed(scores, ties)[0]


def _placed(scores: Floats, ties: Ties) -> tuple[Floats, Places]:
    named = ~np.isnan(scores)
    count = np.maximum(named.sum(axis=-1, keepdims=True), 1)
    rank = ranks(scores, ties)
    return np.where(named, 1 - rank / count, np.nan), rank


def relevance(als: Floats, co_occurrence: Floats, affinity: Floats, ties: Ties) -> Floats:
    """The views of what a customer did in one, the mean of their quantiles or the one that is there; and the
    mean of it and affinity's quantile. NaN for who has done nothing: novelty is theirs.
    """
    one, other = quantiles(als, ties), quantiles(co_occurrence, ties)
    done = _mean_of_known(one, other)
    return np.where(np.isnan(done), np.nan, _mean_of_known(done, quantiles(affinity, ties)))


def _mean_of_known(one: Floats, other: Floats) -> Floats:
    return np.where(np.isnan(one), other, np.where(np.isnan(other), one, (one + other) / 2))


def greedy(named: Mapping[str, Floats], ties: Ties, similarity: Floats, merging: Merging) -> Chosen:
    """named: of each source customers × categories, NaN where it does not name the category.

    similarity: categories × categories, from 0 to 1. Every category may be next, until the steps that are
    left are all owed to quotas.
    """
    source, score = _attributed(named, ties, merging)
    # Places in the order of the ties: the first of the greatest is then the one that is wanted.
    order = np.argsort(ties, axis=1)
    source, score = np.take_along_axis(source, order, axis=1), np.take_along_axis(score, order, axis=1)
    customers, categories = score.shape
    steps = min(merging.most, categories)
    quota = np.array([merging.quotas.get(name, 0) for name in named])
    available = np.stack([(source == number).sum(axis=1) for number in range(len(named))], axis=1)
    chosen = _nothing(customers, steps)
    worth, nearest = np.where(source >= 0, merging.balance * score, -np.inf), np.zeros_like(score)
    taken = np.zeros_like(available)
    for step in range(steps):
        value = worth - (1 - merging.balance) * nearest
        owed = np.minimum(np.maximum(quota - taken, 0), available)
        tight = np.flatnonzero(owed.sum(axis=1) >= merging.most - step)
        may = np.take_along_axis(owed[tight] > 0, np.maximum(source[tight], 0), axis=1)
        value[tight] = np.where(may, value[tight], -np.inf)
        some = np.flatnonzero(available.any(axis=1))
        pick = value.argmax(axis=1)[some]
        of, place = source[some, pick], order[some, pick]
        chosen.places[some, step], chosen.sources[some, step] = place, of
        chosen.scores[some, step] = score[some, pick]
        worth[some, pick] = -np.inf
        taken[some, of] += 1
        available[some, of] -= 1
        alike = np.take_along_axis(similarity[place], order[some], axis=1)
        nearest[some] = np.maximum(nearest[some], alike)
    return chosen


def _attributed(named: Mapping[str, Floats], ties: Ties, merging: Merging) -> tuple[Places, Floats]:
    """Each category's source, -1 if none names it among its best, and its quantile there, 0 if none."""
    names = list(named)
    source = np.full(ties.shape, -1)
    score = np.zeros(ties.shape)
    for name in reversed(names):
        quantile, rank = _placed(named[name], ties)
        best = ~np.isnan(quantile) & (rank < merging.depth)
        source = np.where(best, names.index(name), source)
        score = np.where(best, quantile, score)
    return source, score


def _nothing(customers: int, steps: int) -> Chosen:
    none = np.full((customers, steps), -1)
    return Chosen(none, none.copy(), np.full((customers, steps), np.nan))
