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
SOURCES = ("relevance", "novelty", "serendipity")


@dataclass(frozen=True)
class Merging:
    """most: candidates of a customer. depth: the best of each source that are candidates at all. balance: of
    score against diversity, 1 for score alone. quotas: candidates that each source has at least, as long as
    it has any. order: to which source a category belongs that several name; the first has it.
    """

    most: int = 12
    depth: int = 12
    balance: float = 0.7
    quotas: Mapping[str, int] = field(
        default_factory=lambda: {"relevance": 4, "novelty": 2, "serendipity": 2}
    )
    order: tuple[str, ...] = SOURCES

    def __post_init__(self) -> None:
        if self.most < 1 or self.depth < 1 or not 0 <= self.balance <= 1:
            raise SettingsError(
                "most and depth are 1 or more, and balance is from 0 to 1",
                value=[self.most, self.depth, self.balance],
                next_step="change the settings of merge",
            )
        if sorted(self.order) != sorted(SOURCES):
            raise SettingsError(
                f"the order names {', '.join(SOURCES)}, each once",
                value=self.order,
                next_step="list all of them",
            )
        unknown = sorted(set(self.quotas) - set(SOURCES))
        if (
            unknown
            or any(quota < 0 for quota in self.quotas.values())
            or sum(self.quotas.values()) > self.most
        ):
            raise SettingsError(
                f"quotas are of {', '.join(SOURCES)}, 0 or more, and together at most `most`",
                value=dict(self.quotas),
                next_step="lower the quotas, or raise `most`",
            )


@dataclass(frozen=True)
class Chosen:
    """customers × steps: the place of each category, -1 after the last; its source's place in SOURCES, and
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
    named = ~np.isnan(scores)
    count = np.maximum(named.sum(axis=-1, keepdims=True), 1)
    return np.where(named, 1 - ranks(scores, ties) / count, np.nan)


def relevance(als: Floats, co_occurrence: Floats, ties: Ties) -> Floats:
    """The two views in one: the mean of their quantiles, or the one that is there."""
    one, other = quantiles(als, ties), quantiles(co_occurrence, ties)
    both = (one + other) / 2
    return np.where(np.isnan(one), other, np.where(np.isnan(other), one, both))


def greedy(named: Mapping[str, Floats], ties: Ties, similarity: Floats, merging: Merging) -> Chosen:
    """named: of each source customers × categories, NaN where it does not name the category.

    similarity: categories × categories, from 0 to 1.
    """
    source, score = _attributed(named, ties, merging)
    customers, categories = score.shape
    steps = min(merging.most, categories)
    quota = np.array([merging.quotas.get(name, 0) for name in SOURCES])
    chosen = Chosen(
        np.full((customers, steps), -1), np.full((customers, steps), -1), np.full((customers, steps), np.nan)
    )
    left, nearest = source >= 0, np.zeros_like(score)
    taken = np.zeros((customers, len(SOURCES)), dtype=np.int64)
    everyone = np.arange(customers)
    for step in range(steps):
        may = left & _within_quotas(source, left, taken, quota, merging.most - step)
        value = np.where(may, merging.balance * score - (1 - merging.balance) * nearest, -np.inf)
        equal = may & (value == value.max(axis=1, keepdims=True))
        pick = np.where(equal, ties, np.iinfo(np.uint64).max).argmin(axis=1)
        some = everyone[may.any(axis=1)]
        pick = pick[some]
        of = source[some, pick]
        chosen.places[some, step], chosen.sources[some, step] = pick, of
        chosen.scores[some, step] = score[some, pick]
        left[some, pick] = False
        taken[some, of] += 1
        nearest[some] = np.maximum(nearest[some], similarity[pick])
    return chosen


def _attributed(named: Mapping[str, Floats], ties: Ties, merging: Merging) -> tuple[Places, Floats]:
    """Each category's source, -1 if none names it among its best, and its quantile there, 0 if none."""
    source = np.full(ties.shape, -1)
    score = np.zeros(ties.shape)
    for name in reversed(merging.order):
        best = ~np.isnan(named[name]) & (ranks(named[name], ties) < merging.depth)
        source = np.where(best, SOURCES.index(name), source)
        score = np.where(best, quantiles(named[name], ties), score)
    return source, score


def _within_quotas(source: Places, left: Flags, taken: Places, quota: Places, steps: int) -> Flags:
    """Whether a category may be next: all may, until the steps that are left are all owed to quotas."""
    available = np.stack([(left & (source == place)).sum(axis=1) for place in range(len(SOURCES))], axis=1)
    owed = np.minimum(np.maximum(quota - taken, 0), available)
    of_owed = np.take_along_axis(owed > 0, np.maximum(source, 0), axis=1)
    return of_owed | (owed.sum(axis=1, keepdims=True) < steps)
