"""How often each banner of a category is to be shown: as likely as it is the best, by its clicks.

Rates are beta distributions: clicks of the last DAYS days; what the days before, MEMORY_DAYS in all, say of
the same banner, as MEMORY impressions at most; and PRIOR impressions at the category's rate, which is
smoothed in the same way by the rate of all banners; that starts from 1 click in 100. A banner is drawn with
the probability that its rate is the highest (Thompson sampling); UNIFORM of the probability is spread over
all evenly, so that each can be learned about. A new banner is as uncertain as its prior, so it gets a good
chance, until it is known.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
POINTS = 20_000  # of the grid, all banners of a category together
LEAST = 1e-6  # probability, so that what is left after clicks can always be drawn from
DAYS = 7  # whose clicks count in full
MEMORY_DAYS = 28  # that are looked back at, the last DAYS among them
PRIOR, MEMORY = 100, 1_000  # impressions
UNIFORM = 0.05
COUNTS = ("clicked", "shown", "clicked_before", "shown_before")
OF_ALL = (1.0, 100.0)  # clicks and impressions that the rate of all banners starts from


def shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Of live banners (content_id, category, shown, clicked, shown_before, clicked_before): content_id,
    category, rate, weight, in order.

    rate: smoothed. weight: the probability, which adds up to 1 within a category. Sorted by category, then
    the greatest weight first, then content_id.
    """
    found = counts.sort_values(["category", "content_id"], ignore_index=True)
    clicked, shown, clicked_before, shown_before = (found[name].to_numpy(dtype=float) for name in COUNTS)
    remembered = np.minimum(1.0, MEMORY / np.maximum(shown_before, 1.0))
    clicked, shown = clicked + remembered * clicked_before, shown + remembered * shown_before
    # Clicks of impressions before the window count without these.
    shown = np.maximum(shown, clicked)
    overall = (clicked.sum() + OF_ALL[0]) / (shown.sum() + OF_ALL[1])
    sums = (
        found.assign(clicked=clicked, shown=shown).groupby("category")[["clicked", "shown"]].transform("sum")
    )
    of_category = (sums["clicked"] + PRIOR * overall) / (sums["shown"] + PRIOR)
    alpha = clicked + PRIOR * of_category.to_numpy()
    beta = shown - clicked + PRIOR * (1 - of_category.to_numpy())
    found = found.assign(rate=alpha / (alpha + beta), weight=0.0)
    for places in found.groupby("category").indices.values():
        best = best_probabilities(alpha[places], beta[places])
        mixed = (1 - UNIFORM) * best + UNIFORM / len(places)
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
