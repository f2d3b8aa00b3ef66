"""Which voters copy one another, and how many kinds of rows each class has, without an answer key.

Candidates are mixtures with and without the copies that were found and with several numbers of components.
The best has the greatest likelihood less a penalty a parameter, the likelihood discounted by how much more
than chance the votes that meet differ from the best explanation of them.

Shapes: m voters, k classes, C components, o outcomes of blocks.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from firstday.labels.models.base import SMALLEST, Floats
from firstday.labels.models.blocks import MOST_MEMBERS, Blocks, containments, merged
from firstday.labels.models.mixture import STARTS, Encoded, Fit, Ints, climb
from firstday.labels.patterns import Patterns

LAYOUTS = ((2, 1), (1, 2), (2, 2))  # components of each class to begin with, besides one of each
SPLITS, SHORT = 5, 30  # starts of each layout, and the steps after which the likeliest goes on
FEWEST = 5.0  # rows on which two must vote alike to be looked at as copies
CONTAINED = 0.6  # of the rarer one's votes, those that the other repeats, from which they are looked at
MOST_PAIRS = 200
LIFT_ROWS, MOST_LIFT = 1.0, 3.0  # rows of a prior, and the log ratio beyond which a vote names no clearer
AMBIGUOUS = 0.1  # of the way from one class's extreme to the other's, about the middle


def named(lifts: Floats) -> Ints:
    """(C,): the class of each component. lifts: (k, C), the sum over the votes for a class, each weighing the
    same, of log P(vote | component) / P(vote).

    As many components as classes get a class each, so that the sum of their lifts is greatest: none can go
    without one, and none can change places. Of more components, for two classes, each is of the class whose
    extreme it is nearer to: a habit that sets off some accusing rules looks like the honest to all others.
    """
    if lifts.shape[0] == lifts.shape[1]:
        classes, components = linear_sum_assignment(-lifts)
        return classes[np.argsort(components)]
    towards = lifts[1] - lifts[0]
    return (towards > (towards.max() + towards.min()) / 2).astype(np.intp)


def lifts_of(by_vote: Floats, mass: Floats, classes: int) -> Floats:
    """(k, C), for `named`. by_vote: (m · k, C), votes by component; mass: (C,), rows."""
    cast = np.flatnonzero(by_vote.sum(axis=1) > 0)
    rate = by_vote[cast].sum(axis=1, keepdims=True) / mass.sum()
    inside = (by_vote[cast] + rate * LIFT_ROWS) / (mass + LIFT_ROWS)
    lift = np.clip(np.log(inside / rate), -MOST_LIFT, MOST_LIFT)
    return np.array([lift[cast % classes == each].sum(axis=0) for each in range(classes)])


# --- how well a fit explains which votes meet


@dataclass(frozen=True)
class Meetings:
    """Chi-square of the rows on which two votes of different blocks meet, (observed - expected)^2 / expected,
    under a fit and under independence, and the degrees of freedom of both.
    """

    chi_square: float
    free: int
    chi_square_apart: float
    free_apart: int

    @property
    def misfit(self) -> float:
        """Chi-square over its degrees of freedom, at least 1: how much more than chance moves the counts
        (Wedderburn 1974).
        """
        return max(self.chi_square / self.free, 1.0)

    @property
    def index(self) -> float:
        """The comparative fit index (Bentler 1990): 1 is a perfect fit, 0 that of independent votes. It does
        not grow with the rows; a stated heuristic here, no test.
        """
        surplus = max(self.chi_square - self.free, 0.0)
        apart = max(self.chi_square_apart - self.free_apart, surplus, SMALLEST)
        return 1 - surplus / apart


def meetings(blocks: Blocks, by_vote: Floats, mass: Floats, together: Floats) -> Meetings:
    """by_vote: (m · k, C), votes by component; mass: (C,), rows; together: (m · k, m · k), rows on which two
    votes are given together.
    """
    given, votes = by_vote.sum(axis=1), np.arange(len(by_vote))
    block = np.repeat(blocks.groups, blocks.classes)
    expected = (by_vote / np.maximum(mass, SMALLEST)) @ by_vote.T
    apart = np.outer(given, given) / mass.sum()
    cast = given > 0
    pairs = (votes[:, None] < votes) & (block[:, None] != block) & np.outer(cast, cast)

    def chi_square(of: Floats) -> float:
        return float(((together[pairs] - of[pairs]) ** 2 / np.maximum(of[pairs], 0.5)).sum())

    many, more = int(pairs.sum()), len(mass) - 1
    parameters = int(cast.sum()) * more + more
    return Meetings(chi_square(expected), max(many - parameters, 1), chi_square(apart), many)


# --- the search for copies and components


@dataclass(frozen=True)
class Candidate:
    """A fit, its components named, with the patterns that it was fitted to. lifts: (k, C), for `named`."""

    encoded: Encoded
    fit: Fit
    meetings: Meetings
    lifts: Floats

    @classmethod
    def of(cls, encoded: Encoded, fit: Fit, together: Floats) -> "Candidate":
        """With its components named."""
        weighted = encoded.posterior(fit.scores) * encoded.rows[:, None]
        by_vote, mass = np.asarray(encoded.votes.T @ weighted), weighted.sum(axis=0)
        lifts = lifts_of(by_vote, mass, encoded.blocks.classes)
        fit = replace(fit, scores=replace(fit.scores, classes=named(lifts)))
        return cls(encoded, fit, meetings(encoded.blocks, by_vote, mass, together), lifts)

    @property
    def is_ambiguous(self) -> bool:
        """Whether a component is of neither class, as near to the extreme of one as to that of the other."""
        towards = self.lifts[-1] - self.lifts[0]
        place = (towards - towards.min()) / max(np.ptp(towards), SMALLEST)
        return bool((np.abs(place - 0.5) < AMBIGUOUS).any())

    @property
    def parameters(self) -> int:
        """Free ones: of each component, its outcomes' probabilities and its share."""
        components = len(self.fit.shares)
        return components * len(self.encoded.blocks.outcomes) + components - 1

    def criterion(self, misfit: float = 1.0) -> float:
        """The Bayesian information criterion (Schwarz 1978), the greater the better; with a misfit above 1
        the likelihood counts as that of fewer rows (QBIC: Anderson, Burnham & White 1994).
        """
        return self.fit.log_likelihood / misfit - 0.5 * np.log(self.encoded.rows.sum()) * self.parameters


@dataclass(frozen=True)
class Search:
    """best: the candidate with the greatest criterion. others: those with the same blocks and another number
    of components.
    """

    best: Candidate
    others: tuple[Candidate, ...]


def search(counted: Patterns) -> Search:
    """The blocks and components that explain the votes best: with the copies that were found and without any,
    one component a class and, for two classes, several.
    """
    found = [copies(counted)]
    alone = np.arange(len(counted.voters))
    if len(found[0].encoded.blocks.members) < len(alone):
        found.append(one_a_class(_encoded(counted, alone), counted.together))
    if counted.classes == 2:
        found += [more for one in tuple(found) for more in several_a_class(one.encoded, counted.together)]
    misfit = min(each.meetings.misfit for each in found)
    best = max(found, key=lambda each: each.criterion(misfit))
    same = (each for each in found if each is not best and each.encoded is best.encoded)
    return Search(best, tuple(same))


def copies(counted: Patterns) -> Candidate:
    """The fit with one component a class and the blocks that raise the criterion: pairs that vote alike are
    merged in the order of how much of the rarer one's votes the other repeats. Each time the fit begins anew:
    one that took two copies for the class is not mended by going on from it.
    """
    groups, together = np.arange(len(counted.voters)), counted.together
    best = one_a_class(_encoded(counted, groups), together)
    for pair in containments(together, len(groups), FEWEST, CONTAINED)[:MOST_PAIRS]:
        joined = merged(groups, pair)
        if groups[pair[0]] == groups[pair[1]] or np.bincount(joined).max() > MOST_MEMBERS:
            continue
        found = one_a_class(_encoded(counted, joined), together)
        if found.criterion() > best.criterion():
            groups, best = joined, found
    return best


def one_a_class(encoded: Encoded, together: Floats, balance: Floats | None = None) -> Candidate:
    """The likelier of the fits with one component a class."""
    classes = np.arange(encoded.blocks.classes)
    starts = (encoded.begun(encoded.start(sure), classes, balance) for sure in STARTS)
    fits = [climb(encoded.expect, start, balance) for start in starts]
    return Candidate.of(encoded, max(fits, key=lambda each: each.log_likelihood), together)


def several_a_class(encoded: Encoded, together: Floats) -> list[Candidate]:
    """For each of LAYOUTS, the likeliest of SPLITS fits: few steps for all, more for the best (Biernacki,
    Celeux & Govaert 2003).
    """
    found = []
    for layout in LAYOUTS:
        classes = np.repeat(np.arange(len(layout)), layout)
        starts = (encoded.begun(encoded.split(classes, seed), classes) for seed in range(SPLITS))
        short = [climb(encoded.expect, start, steps=SHORT) for start in starts]
        best = max(short, key=lambda each: each.log_likelihood)
        found.append(Candidate.of(encoded, climb(encoded.expect, best.scores), together))
    return found


def _encoded(counted: Patterns, groups: Ints) -> Encoded:
    return Encoded(counted.votes, counted.rows, Blocks.of(groups, counted))
