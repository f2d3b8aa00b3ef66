"""Latent class analysis of the votes of one-sided rules (Lazarsfeld & Henry 1968; Dawid & Skene 1979).

Rows come from C components, each of one class; given the component, blocks of voters (`blocks`) are
independent, and to abstain is an outcome like any other:

    log P(component g, votes) = log pi_g + sum over blocks of log theta[outcome of the block, g].

With one component a class this is Dawid & Skene's model; more components a class let rules depend on each
other, as different kinds of fraud, or habits that set off several rules, make them do. Maximum a posteriori
by expectation maximisation: theta = (n_outcome,g + rate_outcome) / (n_g + 1), a prior of one row, which
fades; pi is free. Blocks and components are chosen by a likelihood criterion that discounts what no candidate
explains.

Shapes: m voters, k classes, C components, o outcomes of blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import expit, logit, logsumexp, softmax
from scipy.stats import chi2, gamma

from firstday.labels.models.base import (
    SMALLEST,
    ClassShares,
    Counted,
    Expected,
    Floats,
    LabelModel,
    Scores,
    Sums,
)
from firstday.labels.models.blocks import MOST_MEMBERS, Blocks, containments, merged
from firstday.labels.patterns import Patterns, uniform

Ints = NDArray[np.intp]

MOST_STEPS = 300
LAST_STEPS = 2_000  # of the last climb, over all patterns
MOST_JOBS = 45  # of Spark, one a step, where patterns are too many for the driver
SETTLED = 1e-6  # change of the log-likelihood at which EM ends, times max(1, rows · 1e-4)
MOST_PATTERNS = 3_000  # that blocks and components are searched on
STARTS = (0.8, 0.95)  # P(class) of a row's sole majority winner before anything is learned
EDGE = 0.1  # no other row starts surer than this
LAYOUTS = ((2, 1), (1, 2), (2, 2))  # components of each class to begin with, besides one of each
SPLITS, SHORT = 5, 30  # starts of each layout, and the steps after which the likeliest goes on
SPREAD = 0.5  # of the Dirichlet draws: below 1 most rows start nearly whole in one component
FEWEST = 5.0  # rows on which two must vote alike to be looked at as copies
CONTAINED = 0.6  # of the rarer one's votes, those that the other repeats, from which they are looked at
MOST_PAIRS = 200
LIFT_ROWS, MOST_LIFT = 1.0, 3.0  # rows of a prior, and the log ratio beyond which a vote names no clearer
FIRST_REACH, REACH = 0.05, 2.0  # steps of the log odds of a share by which its limits are looked for

RARE = 0.3  # share of the rarer class up to which the model is for
FITS = 0.9  # of the comparative fit index
AMBIGUOUS = 0.1  # of the way from one class's extreme to the other's, about the middle
TELLS = 1.5  # P(vote | its class) / P(vote | not), from which a voter tells something of the class
ENOUGH = 3  # independent voters for the rarer class that tell its share
WIDEST = 4.0  # limits (high / low) up to which it is told: within a factor of two of their middle


@dataclass(frozen=True)
class LatentClasses(Scores):
    """table: (o, C), log theta of an outcome less that of the block's silence; base: (C,), log P(component,
    all silent). classes: (C,), the class of each component.
    """

    blocks: Blocks
    table: Floats
    base: Floats
    classes: Ints

    def components(self, outcomes: sp.csr_matrix) -> Floats:
        """Log P(component, outcomes), rows × C. outcomes: rows × o, as `Blocks.encode` has them."""
        return np.asarray(outcomes @ self.table) + self.base

    def joint(self, votes: sp.csr_matrix) -> Floats:
        return self._by_class(self.components(self.blocks.encode(votes)))

    def without(self, votes: sp.csr_matrix) -> Floats:
        row = np.repeat(np.arange(votes.shape[0]), np.diff(votes.indptr))
        table = np.vstack([self.table, np.zeros(len(self.base))])  # the last, -1, is silence
        given, rest = self.blocks.leaving_out(votes)
        return self._by_class(self.components(self.blocks.encode(votes))[row] - table[given] + table[rest])

    def _by_class(self, components: Floats) -> Floats:
        own = [components[:, self.classes == each] for each in range(self.blocks.classes)]
        return np.column_stack([logsumexp(part, axis=1) for part in own])

    def to_dict(self) -> dict[str, Any]:
        return {
            "blocks": self.blocks.to_dict(),
            "table": self.table.tolist(),
            "base": self.base.tolist(),
            "classes": self.classes.tolist(),
        }

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> "LatentClasses":
        """What `to_dict` wrote."""
        classes = np.array(written["classes"], np.intp)
        table = np.array(written["table"], float).reshape(-1, len(classes))
        return cls(Blocks.from_dict(written["blocks"]), table, np.array(written["base"]), classes)


# --- expectation maximisation

# What a step is made of, under given scores: rows by outcome and component, (o, C); by component, (C,); and
# the log-likelihood.
Expect = Callable[[LatentClasses], Sums]


@dataclass(frozen=True)
class Fit:
    """A fit: its scores, the components' shares of all rows, (C,), the log-likelihood and the steps taken."""

    scores: LatentClasses
    shares: Floats
    log_likelihood: float
    steps: int
    converged: bool

    def of_class(self) -> Floats:
        """(k,): the classes' shares of all rows."""
        return np.bincount(self.scores.classes, self.shares, self.scores.blocks.classes).astype(float)


def climb(
    expect: Expect,
    scores: LatentClasses,
    balance: Floats | None = None,
    steps: int = MOST_STEPS,
) -> Fit:
    """EM from the given scores until the log-likelihood settles. balance: (k,), if it is known."""
    before, taken = -np.inf, 0
    for _ in range(steps):
        taken += 1
        sums, mass, reached = expect(scores)
        scores, shares = maximise(scores.blocks, sums, mass, scores.classes, balance)
        settled = abs(float(reached) - before) < SETTLED * max(1.0, mass.sum() * 1e-4)
        before = float(reached)
        if settled:
            break
    return Fit(scores, shares, before, taken, bool(settled))


def maximise(
    blocks: Blocks, sums: Floats, mass: Floats, classes: Ints, balance: Floats | None
) -> tuple[LatentClasses, Floats]:
    """The M step, and the components' shares. sums: (o, C); mass: (C,); balance: (k,), if it is known."""
    shares = mass / mass.sum()
    if balance is not None:
        of_class = np.bincount(classes, mass, blocks.classes)
        shares = mass / np.maximum(of_class, SMALLEST)[classes] * balance[classes]
    theta = (sums + blocks.rates[:, None]) / (mass + 1)
    rate = np.maximum(blocks.silent(blocks.rates, np.ones(1)), 0)[:, None]
    silence = np.maximum(blocks.silent(sums, mass), 0) + rate
    # A block that never kept silent has no silence: as a combination never seen it adds nothing.
    quiet = np.where(rate > SMALLEST, np.log(np.maximum(silence, SMALLEST) / (mass + 1)), 0.0)
    table = np.log(np.maximum(theta, SMALLEST)) - quiet[blocks.outcomes[:, 0]]
    base = np.log(np.maximum(shares, SMALLEST)) + quiet.sum(axis=0)
    return LatentClasses(blocks, table, base, classes), shares


def expected_sums(
    scores: LatentClasses, blocks: Blocks, votes: sp.csr_matrix, rows: Floats, _: Floats | None
) -> Sums:
    """As Expect has them, by the outcomes of `blocks`, which may be others than those of the scores."""
    outcomes = scores.blocks.encode(votes)
    sums, mass, reached = _expect(scores, outcomes, outcomes.T, rows)
    if blocks is not scores.blocks:
        weighted = softmax(scores.components(outcomes), axis=1) * rows[:, None]
        sums = np.asarray(blocks.encode(votes).T @ weighted)
    return sums, mass, reached


def _expect(scores: LatentClasses, outcomes: sp.csr_matrix, transposed: sp.spmatrix, rows: Floats) -> Sums:
    joint = scores.components(outcomes)
    highest = joint.max(axis=1, keepdims=True)
    weighted = np.exp(joint - highest)
    total = weighted.sum(axis=1, keepdims=True)
    weighted *= rows[:, None] / total
    return np.asarray(transposed @ weighted), weighted.sum(axis=0), rows @ (highest + np.log(total))[:, 0]


class Encoded:
    """Patterns on the driver, encoded once: votes, rows and outcomes of the blocks."""

    def __init__(self, votes: sp.csr_matrix, rows: Floats, blocks: Blocks) -> None:
        self.votes, self.rows, self.blocks = votes, rows, blocks
        self.outcomes = blocks.encode(votes)
        self.transposed = self.outcomes.T.tocsr()

    def expect(self, scores: LatentClasses) -> Sums:
        """As Expect has it."""
        return _expect(scores, self.outcomes, self.transposed, self.rows)

    def posterior(self, scores: LatentClasses) -> Floats:
        """P(component | votes), rows × C."""
        return np.asarray(softmax(scores.components(self.outcomes), axis=1))

    def begun(self, posterior: Floats, classes: Ints, balance: Floats | None = None) -> LatentClasses:
        """The scores that a posterior, rows × C, leads to."""
        weighted = posterior * self.rows[:, None]
        sums = np.asarray(self.transposed @ weighted)
        return maximise(self.blocks, sums, weighted.sum(axis=0), classes, balance)[0]

    def start(self, sure: float) -> Floats:
        """P(class) of each row before anything is learned, rows × k: `sure` of a sole majority winner."""
        winners, classes = self._winners, self.blocks.classes
        sole = winners.max(axis=1) == 1
        absent = np.setdiff1d(np.arange(classes), self.votes.indices % classes)
        if len(absent):  # whoever is not accused is taken for what nobody votes for
            winners = winners.copy()
            winners[~sole] = np.isin(np.arange(classes), absent) / len(absent)
        begun = np.clip(winners, EDGE, 1 - EDGE)
        begun[sole] = np.where(winners[sole] == 1, sure, (1 - sure) / (classes - 1))
        return begun / begun.sum(axis=1, keepdims=True)

    def split(self, classes: Ints, seed: int) -> Floats:
        """A start for several components a class, rows × C: each class's is shared out by a Dirichlet draw,
        which is a hash of the pattern.
        """
        shares = gamma.ppf(uniform(self.votes, len(classes), seed), SPREAD) + SMALLEST
        for each in np.unique(classes):
            own = classes == each
            shares[:, own] /= shares[:, own].sum(axis=1, keepdims=True)
        return shares * self.start(STARTS[0])[:, classes]

    @cached_property
    def _winners(self) -> Floats:
        """Rows × k: 1 for the class that most blocks vote for, shared among tied ones."""
        classes, row = self.blocks.classes, np.repeat(np.arange(len(self.rows)), np.diff(self.votes.indptr))
        block = self.blocks.groups[self.votes.indices // classes]
        shape = (len(self.rows), len(self.blocks.members))
        given = sp.csr_matrix((np.ones(len(row)), (row, block)), shape)
        tally = np.zeros((len(self.rows), classes))
        np.add.at(tally, (row, self.votes.indices % classes), 1 / np.asarray(given[row, block]).ravel())
        most = tally >= tally.max(axis=1, keepdims=True) - 1e-9
        return most / most.sum(axis=1, keepdims=True)


# --- which class a component is of


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


# --- how common each class is


def share_limits(found: Search) -> tuple[Floats, Floats]:
    """(k,) and (k,): 95 % limits of the shares of all rows that are of each class."""
    classes = len(found.best.fit.of_class())
    if classes == 2:
        low, high = _limits(found, 1)
        return np.array([1 - high, low]), np.array([1 - low, high])
    low, high = np.array([_limits(found, each) for each in range(classes)]).T
    return low, high


def _limits(found: Search, of_class: int) -> tuple[float, float]:
    """Limits of one class's share. They span the profile likelihood's, the
    shares at which the log-likelihood, all else fitted anew, is 1.92 times the misfit below its maximum, and
    what other numbers of components say. They hold if rules depend on each other no more than is modelled.
    """
    limits = (_limit(found.best, of_class, direction) for direction in (-1.0, 1.0))
    said = [*limits, *(each.fit.of_class()[of_class] for each in found.others)]
    return float(min(said)), float(max(said))


def _limit(candidate: Candidate, of_class: int, direction: float) -> float:
    """A limit of the profile likelihood, by steps outward that grow."""
    encoded, fit = candidate.encoded, candidate.fit
    shares = fit.of_class()
    most = np.sqrt(chi2.ppf(0.95, 1) / 2 * candidate.meetings.misfit)
    scores, before, reached, step = fit.scores, float(logit(shares[of_class])), 0.0, FIRST_REACH
    while step < REACH and np.isfinite(before):
        after = before + direction * step
        balance = shares / max(1 - shares[of_class], SMALLEST) * expit(-after)
        balance[of_class] = expit(after)
        found = climb(encoded.expect, scores, balance)
        # The root of the loss grows about as the distance does.
        loss = np.sqrt(max(fit.log_likelihood - found.log_likelihood, 0.0))
        if loss >= most:
            part = (most - reached) / max(loss - reached, SMALLEST)
            return float(expit(before + part * (after - before)))
        scores, before, reached, step = found.scores, after, loss, step * 1.5
    return float(direction > 0)


# --- the label model


def fit(counted: Counted, balance: Floats | None = None) -> LabelModel:
    """The latent class model. balance: (k,), shares of all rows, silent ones included, where they are known:
    it decides where the votes do not say how common the classes are; where they do, it is kept within their
    limits, and left aside beyond.

    Blocks and components are found on at most MOST_PATTERNS patterns, a sample of more; the last climb is
    over all patterns, where they are too many for the driver by a Spark job a step.
    """
    return attempt(counted, balance)[0]


def attempt(counted: Counted, balance: Floats | None = None) -> tuple[LabelModel, str | None]:
    """The model, and why the votes of one-sided rules on a rare class are better not left to it, if so."""
    sampled = Patterns.sampled(counted, MOST_PATTERNS)
    found = search(sampled)
    ratios = likelihood_ratios(sampled, sampled.expect(found.best.fit.scores))
    known = _class_shares(found, ratios)
    best, kept = found.best, balance
    notes: tuple[str, ...] = ()
    if balance is not None and known.doubt is None and ((balance < known.low) | (balance > known.high)).any():
        kept, notes = None, (_contradicted(balance, known),)
    elif balance is not None:
        best, known = _given(found.best, sampled, balance), ClassShares(balance, balance, None)
    last = _on_all(counted, best, kept)
    expected, votes = counted.expect(last.scores), counted.given.sum(axis=1)
    model = LabelModel(
        "latent_class",
        counted.voters,
        counted.classes,
        last.scores,
        last.of_class(),
        {
            "accuracy": expected.right.sum(axis=1) / np.maximum(votes, 1),
            "propensity": votes / counted.total,
        },
        notes=(*notes, *_described(last, counted.voters)),
        iterations=last.steps,
        converged=last.converged,
        class_shares=known,
    )
    return model, _doubt(found.best, last.of_class(), ratios)


def likelihood_ratios(counted: Counted, expected: Expected) -> Floats:
    """(m, k): P(vote | its class) / P(vote | any other); NaN where it is never given. Below 1 a vote speaks
    against the class that it is for.
    """
    of_class, right, given = expected.of_all(counted.uncovered), expected.right, counted.given
    inside = right / np.maximum(of_class, SMALLEST)
    outside = np.maximum(given - right, SMALLEST) / np.maximum(counted.total - of_class, SMALLEST)
    return np.where(given > 0, inside / outside, np.nan)


def _given(best: Candidate, sampled: Patterns, balance: Floats) -> Candidate:
    """The candidate under a known balance: of going on from what was found freely, and of beginning anew, the
    likelier.
    """
    on = replace(best, fit=climb(best.encoded.expect, best.fit.scores, balance))
    anew = one_a_class(best.encoded, sampled.together, balance)
    is_named = (anew.fit.scores.classes == np.arange(len(balance))).all()
    return anew if is_named and anew.criterion() > on.criterion() else on


def _contradicted(balance: Floats, known: ClassShares) -> str:
    spans = zip(known.low, known.high, strict=True)
    return (
        f"the votes contradict --balance {', '.join(f'{share:.1%}' for share in balance)}, which is left "
        f"aside: they say {', '.join(f'{low:.1%} to {high:.1%}' for low, high in spans)}"
    )


def _on_all(counted: Counted, best: Candidate, balance: Floats | None) -> Fit:
    """The candidate's fit, gone on with over all patterns."""
    blocks, scores = Blocks.of(best.encoded.blocks.groups, counted), best.fit.scores
    sums, mass, _ = counted.add(partial(expected_sums, scores, blocks))
    begun = maximise(blocks, sums, mass, scores.classes, balance)[0]
    if counted.on_driver is not None:
        return climb(Encoded(*counted.on_driver, blocks).expect, begun, balance, LAST_STEPS)

    def in_spark(now: LatentClasses) -> Sums:
        return counted.add(partial(expected_sums, now, now.blocks))

    return climb(in_spark, begun, balance, MOST_JOBS)


def _class_shares(found: Search, ratios: Floats) -> ClassShares:
    """What the votes say of the classes' shares. ratios: (m, k), as `likelihood_ratios` has them."""
    shares, blocks = found.best.fit.of_class(), found.best.encoded.blocks
    rare, unknown = int(shares.argmin()), np.full(len(shares), np.nan)
    voters = len(set(blocks.groups[ratios[:, rare] >= TELLS].tolist()))
    if voters < ENOUGH:
        doubt = f"{voters} independent rules speak for it, and {ENOUGH} are needed"
        return ClassShares(unknown, unknown, doubt)
    if not (np.delete(ratios, rare, axis=1) > 1).any():
        return ClassShares(unknown, unknown, "no rule speaks against it")
    low, high = share_limits(found)
    if high[rare] > WIDEST * low[rare]:
        return ClassShares(unknown, unknown, f"it may be {low[rare]:.1%} or {high[rare]:.1%} of the rows")
    return ClassShares(low, high, None)


def _doubt(best: Candidate, shares: Floats, ratios: Floats) -> str | None:
    rare = int(shares.argmin())
    if shares[rare] > RARE:
        return f"no class is rare: the rarer one would have {shares[rare]:.0%} of the rows"
    if best.meetings.index < FITS:
        return f"which votes meet is explained by {best.meetings.index:.0%} only"
    if best.is_ambiguous:
        return "a kind of rows is as near to one class as to the other"
    if not (ratios[:, rare] >= TELLS).any():
        return "no rule tells the rarer class from the other"
    return None


def _described(last: Fit, voters: tuple[str, ...]) -> list[str]:
    """A sentence for each block, and one on the components."""
    blocks = [block for block in last.scores.blocks.members if len(block) > 1]
    found = [
        f"{', '.join(voters[voter] for voter in block)} vote as copies of one another and count as one voter"
        for block in blocks
    ]
    of_class = np.bincount(last.scores.classes)
    if of_class.max() > 1:
        found.append(
            f"rules depend on one another: the classes have {', '.join(map(str, of_class))} kinds of rows"
        )
    return found
