"""How often each banner of a category is to be shown: as likely as it is the best, by its clicks."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from firstday.errors import SettingsError

Floats = NDArray[np.float64]
Choice = Literal["thompson", "optimistic"]
POINTS = 20_000  # of the grid, all banners of a category together
LEAST = 1e-6  # probability, so that what is left after clicks can always be drawn from
MEMORY_DAYS = 28  # that are looked back at, the last `days` among them
COUNTS = ("clicked", "shown", "clicked_before", "shown_before")
OF_ALL = (1.0, 100.0)  # clicks and impressions that the rate of all banners starts from
LIMITS = (
    ("days", 0.01, 365),
    ("prior", 1, 1e6),
    ("memory", 0, 1e6),
    ("uniform", 0, 1),
    ("bonus", 0, 10),
)


@dataclass(frozen=True)
class Sharing:
    """How a banner of a category is chosen by its click rate.

    Rates are beta distributions: clicks of the last `days` days; what the days before, MEMORY_DAYS in all,
    say of the same banner, as `memory` impressions at most; and `prior` impressions at the category's rate,
    which is smoothed in the same way by the rate of all banners; that starts from 1 click in 100.

    thompson: a banner is drawn with the probability that its rate is the highest, as Thompson sampling does;
    `uniform` of the probability is spread over all evenly, so that each can be learned about. A new banner
    is as uncertain as its prior, so it gets a good chance, until it is known.
    optimistic: always the banner with the highest mean + `bonus` standard deviations; nothing is drawn.
    """

    choice: Choice = "thompson"
    days: float = 7
    prior: float = 100
    memory: float = 1_000
    uniform: float = 0.05
    bonus: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{name} of contents is from {low:g} to {high:g}", value=value)
        if self.choice not in ("thompson", "optimistic"):
            raise SettingsError("contents are chosen by thompson or optimistic", value=self.choice)

    @property
    def looked_back(self) -> float:
        """Days of the log that count at all."""
        return max(self.days, MEMORY_DAYS)


def shares(counts: pd.DataFrame, sharing: Sharing) -> pd.DataFrame:
    """Of live banners (content_id, category, shown, clicked, shown_before, clicked_before): content_id,
    category, rate, weight, in order.

    rate: smoothed. weight: adds up to 1 within a category; for optimistic it is the bound by which the
    highest is chosen. Sorted by category, then the greatest weight first, then content_id.
    """
    found = counts.sort_values(["category", "content_id"], ignore_index=True)
    clicked, shown, clicked_before, shown_before = (found[name].to_numpy(dtype=float) for name in COUNTS)
    remembered = np.minimum(1.0, sharing.memory / np.maximum(shown_before, 1.0))
    clicked, shown = clicked + remembered * clicked_before, shown + remembered * shown_before
    # Clicks of impressions before the window count without these.
    shown = np.maximum(shown, clicked)
    overall = (clicked.sum() + OF_ALL[0]) / (shown.sum() + OF_ALL[1])
    sums = (
        found.assign(clicked=clicked, shown=shown).groupby("category")[["clicked", "shown"]].transform("sum")
    )
    of_category = (sums["clicked"] + sharing.prior * overall) / (sums["shown"] + sharing.prior)
    alpha = clicked + sharing.prior * of_category.to_numpy()
    beta = shown - clicked + sharing.prior * (1 - of_category.to_numpy())
    found = found.assign(rate=alpha / (alpha + beta), weight=0.0)
    if sharing.choice == "optimistic":
        found["weight"] = found["rate"] + sharing.bonus * stats.beta.std(alpha, beta)
    else:
        for places in found.groupby("category").indices.values():
            best = best_probabilities(alpha[places], beta[places])
            mixed = (1 - sharing.uniform) * best + sharing.uniform / len(places)
            floored = np.maximum(mixed, LEAST)
            found.loc[places, "weight"] = floored / floored.sum()
    ordered = found.sort_values(["category", "weight", "content_id"], ascending=[True, False, True])
    return ordered[["content_id", "category", "rate", "weight"]].reset_index(drop=True)


def best_probabilities(alpha: ArrayLike, beta: ArrayLike) -> Floats:
    """(n,) the probabilities that each of n independent beta variables is the greatest; they add up to 1.

    By integrating the product of the others' distribution functions over each one's own, on a grid that is
    made of quantiles of all, so that narrow and wide ones are both followed.
    """
    a, b = np.asarray(alpha, dtype=float), np.asarray(beta, dtype=float)
    if a.size == 1:
        return np.ones(1)
    quantiles = np.linspace(0, 1, max(POINTS // a.size, 9))
    grid = np.unique(np.concatenate([stats.beta.ppf(quantiles, *each) for each in zip(a, b, strict=True)]))
    below = stats.beta.cdf(grid, a[:, None], b[:, None])
    with np.errstate(divide="ignore"):
        logs = np.log(below)
    # Where several are 0 no product of others is above 0; where one is, only its own is.
    zeros = np.isneginf(logs)
    total = np.where(zeros, 0.0, logs).sum(axis=0)
    others: Any = np.where(zeros.sum(axis=0) - zeros > 0, 0.0, np.exp(total - np.where(zeros, 0.0, logs)))
    steps = np.diff(below, axis=1)
    found = (steps * (others[:, 1:] + others[:, :-1]) / 2).sum(axis=1)
    return np.asarray(found / found.sum())
