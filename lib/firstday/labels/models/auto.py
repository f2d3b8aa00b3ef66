"""Choose a label model without an answer key, by what the votes themselves show.

Rules that vote one way, of two classes one rare, as those of a fraud team, are left to the latent class model
where it fits; where it does not, to majority vote, which overstates no rule. All else is chosen as follows.

Likelihoods are no guide alone: a model that is wrong in its independence buys likelihood by splitting rows
along whatever makes rules speak together, such as a text's length. So a model is taken only where what it
rests on holds in the votes: enough overlaps to identify its parameters, overlaps as often as it expects, and
no voter below chance. Otherwise the precision model, which assumes least, is taken.
"""

from dataclasses import replace

import numpy as np

from firstday.labels.models import confusion, dependencies, latent_class, majority, precision
from firstday.labels.models.base import (
    ClassShares,
    Expected,
    Floats,
    LabelModel,
    VotePatterns,
    identity_information,
)

REDUNDANT_SHARE = 0.2  # of covered rows that have three votes or more by voters who choose
MISFIT = 1.5  # mean squared standardised difference of overlaps; 1 is what chance makes
BELOW_CHANCE = 0.02  # of all votes


def fit(counted: VotePatterns, balance: Floats | None, groups: dependencies.Groups) -> LabelModel:
    """The model that `auto` takes, with the reason in its notes. groups: (m,), copies of one another."""
    part = dependencies.counts_as(groups)
    if identity_information(counted.given) <= confusion.FUNCTION_LIKE:
        covered = counted.total - counted.uncovered
        if counted.redundant >= REDUNDANT_SHARE * covered:
            found = confusion.fit(counted, balance, abstaining_tells=False, counts_as=part)
            reason = "voters vote for any class and most rows have several votes, so that confusions show"
        else:
            # Of many classes errors do not fall on the others alike, and little shows on which.
            two = counted.classes == 2
            found = _precise(counted, balance, part) if two else majority.fit(counted, balance)
            reason = (
                f"fewer than {REDUNDANT_SHARE:.0%} of the rows have three votes of voters who choose between "
                "classes, so that confusions do not show"
            )
    else:
        found, reason = _of_rare(counted, balance) or _of_functions(counted, balance, groups)
    copies = () if found.kind == "latent_class" else dependencies.sentences(groups, counted.voters)
    notes = (f"auto takes the {found.kind} model: {reason}", *copies)
    return replace(found, notes=(*found.notes, *notes))


def _of_rare(counted: VotePatterns, balance: Floats | None) -> tuple[LabelModel, str] | None:
    """A model for rules of two classes of which one is rare; None where none is."""
    if counted.classes != 2:
        return None
    found, doubt = latent_class.attempt(counted, balance)
    if doubt is None:
        return found, "voters vote one way, a class is rare, and classes explain which votes meet"
    if _won(counted).min() > latent_class.RARE:
        return None
    unknown = np.full(counted.classes, np.nan)
    shares = ClassShares(unknown, unknown, f"the latent class model does not hold, as {doubt}")
    return replace(majority.fit(counted, balance), class_shares=shares), (
        f"voters vote one way and a class is rare, but {doubt}; probabilities are shares of the votes, and "
        "not calibrated"
    )


def _won(counted: VotePatterns) -> Floats:
    """(k,): share of the rows with votes that each class wins by majority vote. Where nobody votes for a
    class, rows without votes are won by it.
    """
    mass, cast = counted.expect(None).mass, counted.given.sum(axis=0)
    won = mass + counted.uncovered * (cast == 0)
    return won / won.sum()


def _of_functions(
    counted: VotePatterns, balance: Floats | None, groups: dependencies.Groups
) -> tuple[LabelModel, str]:
    """A model for voters who vote one way, and why it is taken."""
    part = dependencies.counts_as(groups)
    doubt: str | None = "there are fewer overlaps than parameters"
    if _enough_overlaps(counted):
        found = confusion.fit(counted, balance, abstaining_tells=True, counts_as=part)
        doubt = doubts(counted, found, groups)
        if doubt is None:
            return found, "voters vote one way and overlap as independent ones would"
    return _precise(counted, balance, part), f"voters vote one way, and {doubt}"


def _precise(counted: VotePatterns, balance: Floats | None, part: Floats) -> LabelModel:
    """The precision model; majority vote where that does not settle, as with many classes and few agreements,
    when one class may take all.
    """
    found = precision.fit(counted, balance, part)
    return found if found.converged or balance is not None else majority.fit(counted)


def doubts(counted: VotePatterns, found: LabelModel, groups: dependencies.Groups) -> str | None:
    """Why the votes speak against independence given the class, if they do."""
    if not found.converged:
        return "confusion matrices did not settle"
    assert found.scores is not None
    expected = counted.expect(found.scores)
    share = below_chance(counted, expected)
    if share > BELOW_CHANCE:
        return f"a model of independent votes has {share:.0%} of them below chance"
    mean = misfit(counted, expected, groups)
    if mean > MISFIT:
        return f"overlaps differ {mean:.1f} times as much as chance allows from those of independent votes"
    return None


def below_chance(counted: VotePatterns, expected: Expected) -> float:
    """Share of votes that are cast by voters who are right less often than by chance, by voter and class."""
    given = counted.given
    below = (given > 0) & (expected.right <= given / counted.classes)
    return float(given[below].sum() / given.sum())


def misfit(counted: VotePatterns, expected: Expected, groups: dependencies.Groups) -> float:
    """Mean over pairs of votes by two voters of (observed - expected)^2 / expected rows with both.

    Voters of one group are known to depend on each other and are not compared.
    """
    voters, classes = counted.given.shape
    flat = expected.joint.reshape(voters * classes, classes)
    mass = expected.of_all(counted.uncovered)
    together = (flat / np.maximum(mass, 0.5)) @ flat.T
    voter = np.repeat(np.arange(voters), classes)
    cast = flat.sum(axis=1) > 0
    group = groups[voter]
    pairs = (voter[:, None] < voter) & (group[:, None] != group) & np.outer(cast, cast)
    if not pairs.any():
        return 0.0
    observed, least = counted.together[pairs], np.maximum(together[pairs], 0.5)
    return float(((observed - together[pairs]) ** 2 / least).mean())


def _enough_overlaps(counted: VotePatterns) -> bool:
    """Whether single votes and the pairs that occur are at least as many as the parameters, which are the
    votes by class and the balance. Above MOST_COLUMNS the pairs are not counted.
    """
    voters, classes = counted.given.shape
    if voters * classes > dependencies.MOST_COLUMNS:
        return False
    seen = int((counted.given > 0).sum())
    voter = np.repeat(np.arange(voters), classes)
    pairs = int(((counted.together >= dependencies.FEWEST) & (voter[:, None] < voter)).sum())
    return seen + pairs >= seen * classes + classes - 1
