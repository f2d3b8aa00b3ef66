"""Which voters copy each other, learned without an answer key (Bach, He, Ratner & Ré 2017, "Learning the
structure of generative models without labeled data").

The votes and the class follow a factor graph: propensity 1[v votes], accuracy 1[vote of v = class], and for
each pair agreement 1[both vote, and alike]. For one voter v at a time the marginal pseudolikelihood

    log P(vote of v | all other votes) = log of the sum over classes of P(vote of v, class | all other votes)

is maximised with an L1 penalty on v's agreements, by accelerated proximal gradient steps (Beck & Teboulle
2009), on distinct patterns with their numbers. An agreement that stays, in both directions, is a dependency.
The paper's agreement factor also counts common silence, and its steps are stochastic; neither is done here:
rules that seldom vote are silent together without being copies, and patterns make exact sums cheap.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from firstday.errors import LimitError
from firstday.labels.models.base import SMALLEST, Floats, VotePatterns, majority

Groups = NDArray[np.intp]

# Log odds of agreeing beyond what the class explains, from which voters count as copies: in one direction
# this much, in the other some. A rule that has several copies shares its agreement out among them, but each
# copy has only the rule: 6 and more in trials. Independent rules that vote one way, and often, come up to 3
# in both, as the accuracy factor does not fit them.
STRONG, SOME = 3.5, 0.5
MOST_COMPARED = 60  # voters, of whom each pair is looked at as a matter of course
FEWEST = 5.0  # rows on which two must vote together to be compared; within a class, about
MOST_STEPS = 100
SETTLED = 1e-4  # the largest change of any parameter in the last step
MOST_COLUMNS = 3_000  # voters times classes
MOST_CELLS = 150_000  # patterns × voters × (classes - 1)² that are looked at; more are sampled


@dataclass(frozen=True)
class Dependencies:
    """agreements: (m, m), as `agreements` has them; None where voters were not compared: everybody is then
    a group alone. groups: (m,), as `copies` has them.
    """

    agreements: Floats | None
    groups: Groups


def learned(counted: VotePatterns, kind: str = "auto") -> Dependencies:
    """Who depends on whom. Few voters are compared as a matter of course, more only for a model of the kind
    that is made of this, as all pairs are looked at.
    """
    voters = len(counted.voters)
    few = voters <= MOST_COMPARED and voters * counted.classes <= MOST_COLUMNS
    if not few and kind != "structure":
        return Dependencies(None, np.arange(voters))
    found = agreements(counted)
    return Dependencies(found, copies(found))


def agreements(counted: VotePatterns) -> Floats:
    """(m, m): log odds of agreement beyond what the class explains, of the voter in the row with that in the
    column, given all others.

    Of very many patterns, rows are drawn. Raises LimitError above MOST_COLUMNS voters times classes.
    """
    voters, classes = len(counted.voters), counted.classes
    if voters * classes > MOST_COLUMNS:
        raise LimitError(
            f"dependencies are learned among at most {MOST_COLUMNS:,} voters times classes",
            value=f"{voters:,} voters, {classes} classes",
            next_step="take another --model-kind: crowd workers seldom copy each other",
        )
    most = max(MOST_CELLS // (voters * (classes - 1) ** 2), 100)
    votes, rows = counted.sample(most)
    shares = rows / rows.sum()
    penalty = np.sqrt(np.log(max(voters, 2)) / counted.total)
    near = _near(votes, shares * counted.total, classes)
    found = np.zeros((voters, voters))
    for voter in np.flatnonzero(near.any(axis=1)):
        found[voter] = _Neighbours(votes, shares, classes, voter).fit(penalty, near[voter])
    return found


def copies(found: Floats) -> Groups:
    """(m,): the group of each voter; voters that are joined by strong agreements are of one group."""
    joined = (np.maximum(found, found.T) >= STRONG) & (np.minimum(found, found.T) >= SOME)
    return connected_components(sp.csr_matrix(joined), directed=False)[1]


def counts_as(groups: Groups) -> Floats:
    """(m,): how much of a vote each voter's counts as, so that a group counts as one voter."""
    return 1 / np.bincount(groups)[groups]


def sentences(groups: Groups, voters: tuple[str, ...]) -> list[str]:
    """A sentence for each group of copies."""
    members = (np.flatnonzero(groups == group) for group in np.flatnonzero(np.bincount(groups) > 1))
    return [
        f"{', '.join(voters[member] for member in group)} vote as copies of one another and count as one"
        for group in members
    ]


def _near(votes: sp.csr_matrix, rows: Floats, classes: int) -> NDArray[np.bool_]:
    """(m, m): pairs who cast a vote together more often than apart, within the classes of majority vote, by
    the odds ratio of Mantel & Haenszel 1959. A screen: only these can pass, and only they are looked at.
    """
    posterior = majority(votes, classes)
    together, apart = np.zeros((2, votes.shape[1], votes.shape[1]))
    for of_class in posterior.T:
        weighted = votes.multiply((rows * of_class)[:, None]).tocsr()
        both = np.asarray((votes.T @ weighted).todense())
        one, everything = both.diagonal(), (rows * of_class).sum() + SMALLEST
        neither = everything - one[:, None] - one + both
        together += both * neither / everything
        apart += (one[:, None] - both) * (one - both) / everything
    odds = np.where(together >= FEWEST, together, 0) / (apart + 0.5)
    alike = np.array([odds[vote::classes, vote::classes] for vote in range(classes)]).max(axis=0)
    np.fill_diagonal(alike, 0)
    return alike >= np.exp(SOME)


class _Neighbours:
    """The pseudolikelihood of one voter's vote. Parameters, in this order: the voter's propensity and
    accuracy, the others' accuracies (m), the agreements with them (m).
    """

    def __init__(self, votes: sp.csr_matrix, shares: Floats, classes: int, voter: int) -> None:
        self.shares, self.classes, self.voter = shares, classes, voter
        self.voters = votes.shape[1] // classes
        self.by_class = [votes[:, vote::classes].tocsr() for vote in range(classes)]
        own = votes[:, voter * classes : (voter + 1) * classes].toarray()
        self.vote = np.where(own.any(axis=1), own.argmax(axis=1), -1)
        voted = max(float(shares[self.vote >= 0].sum()), SETTLED)
        accuracies = np.ones(self.voters)
        accuracies[voter] = 0
        own = [np.log(voted / classes), 1.0]
        self.start = np.concatenate([own, accuracies, np.zeros(self.voters)])

    def fit(self, penalty: float, near: NDArray[np.bool_]) -> Floats:
        """(m,): the agreements; those that are not `near`, (m,), stay 0."""
        place, before, momentum, step = self.start, self.start, 1.0, 1.0
        loss, slope = self.loss(place)
        for _ in range(MOST_STEPS):
            while True:  # a shorter step until the quadratic bound holds
                after = self._shrunk(place - step * slope, step * penalty, near)
                moved = after - place
                if self.loss(after)[0] <= loss + slope @ moved + moved @ moved / (2 * step) + 1e-12:
                    break
                step /= 2
            faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            place = after + (momentum - 1) / faster * (after - before)
            change, before, momentum = np.abs(after - before).max(), after, faster
            if change < SETTLED:
                break
            loss, slope = self.loss(place)
            step *= 1.2
        return before[-self.voters :]

    def _shrunk(self, place: Floats, by: float, near: NDArray[np.bool_]) -> Floats:
        own, others, agreements = self._parts(place)
        agreements = agreements * near
        shrunk = np.sign(agreements) * np.maximum(np.abs(agreements) - by, 0)
        return np.concatenate([own, others, shrunk])

    def _parts(self, place: Floats) -> list[Floats]:
        return np.split(place, [2, 2 + self.voters])

    def loss(self, place: Floats) -> tuple[float, Floats]:
        """Minus the mean log pseudolikelihood, and its gradient."""
        (propensity, accuracy), others, agreements = self._parts(place)
        by_class = np.stack([votes @ others for votes in self.by_class], axis=1)
        by_vote = np.stack([votes @ agreements for votes in self.by_class], axis=1)
        own = np.eye(self.classes) * accuracy + propensity
        voting = by_vote[:, :, None] + by_class[:, None, :] + own  # patterns × vote × class
        scores = np.concatenate([by_class[:, None, :], voting], axis=1)  # to abstain comes first
        patterns = len(scores)
        seen = scores[np.arange(patterns), self.vote + 1]
        this_way, of_class = _normalised(seen)
        all_ways, expected = _normalised(scores.reshape(patterns, -1))
        expected = expected.reshape(scores.shape)
        loss = -float(self.shares @ (this_way - all_ways))
        has = np.flatnonzero(self.vote >= 0)
        surplus = -expected[:, 1:].sum(axis=2)
        surplus[has, self.vote[has]] += 1
        surplus *= self.shares[:, None]
        shifted = (of_class - expected.sum(axis=1)) * self.shares[:, None]
        right = self.shares[has] @ of_class[has, self.vote[has]]
        right -= self.shares @ np.einsum("pcc->p", expected[:, 1:])
        own_slope = [surplus.sum(), right]
        slope = np.concatenate([own_slope, *self._each(shifted, surplus)])
        slope[[self.voter - self.voters, self.voter - 2 * self.voters]] = 0  # nobody is his own neighbour
        return loss, -slope

    def _each(self, shifted: Floats, surplus: Floats) -> tuple[Floats, Floats]:
        """Sums over the others' votes, by voter: of `shifted` by class, of `surplus` by vote."""
        pairs = list(enumerate(self.by_class))
        return (
            sum((votes.T @ shifted[:, at] for at, votes in pairs), np.zeros(self.voters)),
            sum((votes.T @ surplus[:, at] for at, votes in pairs), np.zeros(self.voters)),
        )


def _normalised(scores: Floats) -> tuple[Floats, Floats]:
    """(n, k) -> (n,), the log of each row's sum of exponentials; (n, k), the exponentials as shares of it.
    Scores are finite.

    scipy's logsumexp gives the first alone, and takes three times as long for a few thousand rows.
    """
    highest = scores.max(axis=1, keepdims=True)
    powers = np.exp(scores - highest)
    total = powers.sum(axis=1, keepdims=True)
    return (highest + np.log(total))[:, 0], powers / total
