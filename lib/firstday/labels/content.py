"""What the label job's report is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from firstday.labels.audit import Estimates
from firstday.labels.decision import Decision, Distribution, Rule
from firstday.labels.models.base import ClassShares
from firstday.report import words


@dataclass(frozen=True)
class LabelContent:
    """What the report shows.

    summary, comparison (or None), drift (or None), overlaps (label_pairs, or None): the tables of these
    names. statuses: rows by status. notes: what the model says of itself. classes: their names. balance:
    their shares. positive: the one that is called; the last where None. settings, inputs: as in the run.

    class_shares: limits of the shares, or why there are none. decision, rule, distribution, thresholds: as
    `firstday.labels.decision` returns them. gold_share: true share of positives among the rows with a known
    label; gold_precision, gold_recall: of the called, on these rows. audit: what rows checked by hand say;
    reliability: of each stratum its name, rows, answered, positive, told (mean P before), recalibrated
    (after), low and high (exact limits of the share found). stakes: the amounts that are expected to be
    positives', called and missed; stake: their column.
    """

    run_id: str
    kind: str
    classes: Sequence[str]
    balance: Sequence[float]
    statuses: Mapping[str, int]
    summary: pd.DataFrame
    comparison: pd.DataFrame | None
    drift: pd.DataFrame | None
    notes: Sequence[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    positive: str | None = None
    class_shares: ClassShares | None = None
    decision: Decision | None = None
    rule: Rule | None = None
    distribution: Distribution | None = None
    thresholds: pd.DataFrame | None = None
    overlaps: pd.DataFrame | None = None
    gold_share: float | None = None
    gold_precision: float | None = None
    gold_recall: float | None = None
    audit: Estimates | None = None
    reliability: pd.DataFrame | None = None
    stakes: tuple[float, float] | None = None
    stake: str | None = None

    @cached_property
    def called_class(self) -> int:
        """The number of the class that is called."""
        classes = list(self.classes)
        return classes.index(self.positive) if self.positive in classes else len(classes) - 1

    @property
    def called_name(self) -> str:
        """Its name, fit for a sentence."""
        return words.name(self.positive or self.classes[self.called_class], 40)

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.statuses.values())

    @property
    def share(self) -> tuple[float, float | None, float | None]:
        """The class's share of all rows and its limits, where they are known: by rows checked by hand."""
        if self.audit is not None:
            return self.audit.share.value, self.audit.share.low, self.audit.share.high
        shares, at = self.class_shares, self.called_class
        if shares is None or shares.doubt is not None:
            return self.balance[at], None, None
        return self.balance[at], float(shares.low[at]), float(shares.high[at])

    @property
    def doubt(self) -> str | None:
        """Why the shares, and with them what is expected, are not to be trusted. An audit ends it."""
        return self.class_shares.doubt if self.class_shares and self.audit is None else None
