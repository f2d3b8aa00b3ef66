"""The rows that are called, with what is expected of the calls and what is known of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame

from firstday.labels import decision, soft, votes
from firstday.labels.audit import Estimate
from firstday.labels.decision import Distribution, RowFigures
from firstday.labels.models.base import LabelModel


@dataclass(frozen=True)
class Called:
    """The patterns with their labels, and which rows are called, with what is expected of them and, where it
    is given, known.
    """

    patterns: DataFrame
    rule: decision.Rule
    decision: decision.Decision
    distribution: Distribution
    positive: int
    name: str
    figures: RowFigures

    @property
    def metrics(self) -> dict[str, float | None]:
        found = self.decision
        precision = None if np.isnan(found.precision) else found.precision
        return {"called": found.called, "expected_precision": precision, "expected_missed": found.missed}

    def rows(self, cast: votes.Votes, *, few: bool) -> DataFrame:
        """The rows with their soft labels."""
        labelled = soft.soft_labels(cast, self.patterns, few=few)
        return decision.first_ones(labelled, self.decision, self.positive)

    def table(self, model: LabelModel, audited: Estimate | None) -> pd.DataFrame:
        """One row: which rows are called, what is expected of them, and what is known of the class's share.
        audited: that share, by rows that were checked by hand.
        """
        found, shares, positive = self.decision, model.class_shares, self.positive
        low, high = np.nan, np.nan
        doubt: str | None = "this kind of model has no limits of it"
        if audited:
            low, high, doubt = audited.low, audited.high, None
        elif shares:
            low, high, doubt = shares.low[positive], shares.high[positive], shares.doubt
        stakes = self.figures.stakes or (np.nan, np.nan)
        return pd.DataFrame(
            {
                "positive": [self.name],
                "rule": [self.rule.described],
                "threshold": [found.threshold if found.called else np.nan],
                "called": [round(found.called)],
                "precision": [found.precision],
                "missed": [found.missed],
                "missed_without_votes": [self.distribution.silent * self.distribution.silent_rows],
                "stake_called": [stakes[0]],
                "stake_missed": [stakes[1]],
                "share": [audited.value if audited else model.balance[positive]],
                "share_low": [low],
                "share_high": [high],
                "share_doubt": [doubt],
            }
        )


def call(
    cast: votes.Votes,
    model: LabelModel,
    answered: DataFrame,
    rule: decision.Rule,
    positive: int,
    names: Sequence[str],
    beside: Sequence[Column] = (),
) -> Called:
    """Call rows by the rule. answered: `soft.label_patterns`; positive: the class that is called, of `names`;
    beside: columns of the rows, decision.STAKE, decision.KNOWN or both.
    """
    silent = float(model.posterior(votes.nothing(cast))[0, positive])
    distribution = decision.distribution(answered, positive, silent)
    decided = decision.decide(distribution, rule)
    patterns = decision.with_labels(answered, decided, positive) if rule.is_given else answered
    rows = soft.joined(cast, patterns.select(*cast.words, "probabilities", "label"), beside)
    figures = decision.row_figures(decision.first_ones(rows, decided, positive), positive)
    return Called(patterns, rule, decided, distribution, positive, names[positive], figures)
