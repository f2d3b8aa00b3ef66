"""How the figures of an experiment are written: shares in percent and points, other metrics as numbers."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from firstday.report import words
from firstday.rounding import digits

LIKE_A_SHARE = 0.1  # by which a share's standard error may miss the binomial one
# Methods whose figures are not in the metric's unit.
OTHER_UNITS: tuple[str, ...] = (
    "relative_lift",
    "days_needed",
    "sample_ratio",
    "novelty_trend",
    "detectable_effect",
)
OTHER_UNITS += ("novelty_change", "novelty_later", "novelty")


@dataclass(frozen=True)
class Amounts:
    """One metric's figures. digits: after the decimal point, so that two of the standard error are shown.
    per: the unit of a metric that is no share, such as ' EUR per user'.
    """

    is_share: bool = True
    digits: int = 2
    unit_name: str = " points"
    per: str = ""

    @property
    def plain(self) -> str:
        """What its value is called on an axis."""
        return "Percent" if self.is_share else f"Value,{self.per}" if self.per else "Value"

    @property
    def scale(self) -> float:
        """What a figure is multiplied with before it is written or drawn."""
        return 100.0 if self.is_share else 1.0

    @property
    def unit(self) -> str:
        return self.unit_name if self.is_share else self.per

    def arm_value(self, value: Any) -> str:
        """A variant's own value: '44.82%', '3.214'"""
        return words.share(value, self.digits) if self.is_share else words.decimal(value, self.digits)

    def effect(self, value: Any) -> str:
        """'+0.59 points', '+0.0312'"""
        text = self._signed(value)
        return text if text == words.NOTHING else f"{text}{self.unit}"

    def size(self, value: Any) -> str:
        """Without its sign: '0.93 points'"""
        return words.NOTHING if words.absent(value) else f"{value * self.scale:,.{self.digits}f}{self.unit}"

    def bounds(self, low: Any, high: Any) -> str:
        """'−0.06 to +1.24'; a bound that is missing is called none."""
        if words.absent(low) and words.absent(high):
            return words.NOTHING
        texts = ["no bound" if words.absent(bound) else self._signed(bound) for bound in (low, high)]
        return " to ".join(texts)

    def effect_with(self, value: Any, low: Any, high: Any) -> str:
        """'+0.59 points (−0.06 to +1.24)'"""
        between = self.bounds(low, high)
        return self.effect(value) if between == words.NOTHING else f"{self.effect(value)} ({between})"

    def span(self, low: Any, high: Any) -> str:
        """What the data leave open, in words: 'a fall of 0.06 to a rise of 1.24 points'"""
        if words.absent(low):
            return "any effect" if words.absent(high) else f"any effect up to {self.effect(high)}"
        if words.absent(high):
            return f"any effect from {self.effect(low)} on"
        falls, rises = low < 0, high > 0
        first, last = (f"{abs(bound) * self.scale:,.{self.digits}f}" for bound in (low, high))
        if falls and rises:
            return f"a fall of {first} to a rise of {last}{self.unit}"
        return (
            f"a fall of {last} to {first}{self.unit}" if falls else f"a rise of {first} to {last}{self.unit}"
        )

    def _signed(self, value: Any) -> str:
        if words.absent(value) or math.isinf(value):
            return words.NOTHING
        figure = f"{value * self.scale:+,.{self.digits}f}"
        return figure.replace("-", "−") if figure.strip("+-0.,") else figure.strip("+-")


def amounts(
    results: pd.DataFrame, shares: Collection[str] | None, units: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Amounts]:
    """How to write each metric of `results`. shares: those that are; None: those that look like it. units: of
    the others, by metric, such as 'EUR per user'.
    """
    found = {}
    for name, rows in results[results["metric"].notna()].groupby("metric", sort=False):
        own = rows[~rows["method"].isin(OTHER_UNITS)]
        is_share = looks_like_a_share(own) if shares is None else name in shares
        per = f" {units[str(name)]}" if units.get(str(name)) else ""
        found[str(name)] = finer(Amounts(is_share, per=per), _smallest_error(own))
    return found


def looks_like_a_share(rows: pd.DataFrame) -> bool:
    """A share lies in 0..1 and, one value of 0 or 1 a unit, has the binomial standard error; a mean below 1
    of something else is rarely like that.
    """
    values = rows[["value_treatment", "value_control"]].astype(float)
    if values.isna().all(axis=None) or not ((values >= 0) & (values <= 1) | values.isna()).all(axis=None):
        return False
    plain = rows[(rows["method"] == "difference") & (rows["standard_error"].astype(float) > 0)]
    if plain.empty:  # a panel: units are in many periods
        return True
    row = plain.loc[plain["n_control"].astype(float).idxmax()]
    variance = sum(
        row[f"value_{arm}"] * (1 - row[f"value_{arm}"]) / row[f"n_{arm}"] for arm in ("treatment", "control")
    )
    return bool(abs(math.sqrt(variance) / row["standard_error"] - 1) <= LIKE_A_SHARE)


def finer(amount: Amounts, standard_error: Any) -> Amounts:
    """The same for a figure with another standard error, such as a trend by day."""
    found = None if words.absent(standard_error) else digits(standard_error * amount.scale)
    return amount if found is None else replace(amount, digits=found)


def _smallest_error(rows: pd.DataFrame) -> float | None:
    """Among all units, where there are any."""
    errors = rows.loc[rows["segment"] == "all", "standard_error"].astype(float)
    return float(errors[errors > 0].min()) if (errors > 0).any() else None
