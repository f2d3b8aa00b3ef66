"""Majority vote: all weights 1, the baseline of every table."""

from firstday.labels.models.base import Floats, LabelModel, VotePatterns


def fit(counted: VotePatterns, balance: Floats | None = None) -> LabelModel:
    """Nothing is learned but P(class), the shares of rows that the vote gives each class.

    `balance` changes no vote.
    """
    mass = counted.expect(None).mass + counted.uncovered / counted.classes
    votes = counted.given.sum(axis=1)
    shares = mass / mass.sum() if balance is None else balance
    return LabelModel(
        "majority", counted.voters, counted.classes, None, shares, {"propensity": votes / counted.total}
    )
