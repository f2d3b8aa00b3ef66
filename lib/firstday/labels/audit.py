"""Rows checked by hand: which ones, what they say of all rows, and probabilities corrected by them.

Rows are drawn from strata of the label model's probability, more where an answer is more informative (Neyman
1934), at least LEAST from each: few rows are as surely positive as a model says, and only answers from all
strata can show it. What is said of all rows weighs each answer by the rows that it stands for.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import binomtest

from firstday.errors import DataError, SettingsError
from firstday.labels.models.base import Floats

BOUNDS = (0.01, 0.1, 0.3, 0.5, 0.9)  # of P(positive), between the strata
LEAST = 8  # rows of a stratum, if it has so many
DRAWS = 20_000  # of the simulated limits
LEVEL = 0.95
CLIP = 1e-4  # probabilities are this far from 0 and 1 before they are recalibrated
PRIOR_SHIFT, PRIOR_SLOPE = 2.0, 0.5  # standard deviations of what a recalibration may change


@dataclass(frozen=True)
class Estimate:
    """A share of rows, with 95 % limits."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimates:
    """share: of positives among all rows; precision: among the called; recall: the called among positives."""

    share: Estimate
    precision: Estimate
    recall: Estimate


@dataclass(frozen=True)
class Calibration:
    """P' of log odds: slope times those of P, plus shift, plus silent_shift where nobody votes."""

    slope: float
    shift: float
    silent_shift: float

    def odds(self, log_odds: Floats, silent: NDArray[np.bool_]) -> Floats:
        """Log odds of P', of log odds of P."""
        return self.slope * log_odds + self.shift + self.silent_shift * silent


def allocation(rows: Floats, probability: Floats, wanted: int) -> NDArray[np.int64]:
    """(s,): rows to draw from each stratum, `wanted` in all: in proportion to rows × √(p (1 - p)), at least
    LEAST each or all that there are. rows: (s,); probability: (s,), mean P(positive).

    Raises SettingsError where fewer are wanted than that.
    """
    least = np.minimum(rows, LEAST).astype(np.int64)
    if wanted < least.sum():
        raise SettingsError(
            f"an audit needs {LEAST} rows of each of the {len(rows)} strata of the probability",
            value=f"--audit {wanted}",
            next_step=f"draw at least {least.sum()}",
        )
    wanted = int(min(wanted, rows.sum()))
    worth = rows * np.sqrt(np.clip(probability * (1 - probability), 1e-6, None))
    found = least.copy()
    while found.sum() < wanted:
        room = rows - found
        open_ = room > 0
        share = np.where(open_, worth, 0.0)
        left = wanted - found.sum()
        ideal = np.minimum(left * share / share.sum(), room)
        more = np.floor(ideal).astype(np.int64)
        if more.sum() == 0:  # the largest parts get the last rows one by one
            more[np.argsort(-ideal, kind="stable")[:1]] = 1
        found += more
    return found


def estimates(strata: pd.DataFrame, seed: int = 7) -> Estimates:
    """strata: of each rows (all that it stands for), called (0 or 1), answered and positive (of the answers).

    Each stratum's share has exact limits (Clopper & Pearson 1934); those of a sum are quantiles of sums of
    draws from the beta distributions whose quantiles these are: conservative, more than 95 % in trials.
    Raises DataError where a stratum has no answer.
    """
    empty = strata[strata["answered"] == 0]
    if len(empty):
        raise DataError(
            "an audit needs an answer from each stratum",
            value=f"{len(empty)} without any, such as {empty.index[0]}",
            next_step="check a row of it, or draw again",
        )
    rows = strata["rows"].to_numpy(float)
    called = strata["called"].to_numpy(float) > 0
    answered, positive = strata["answered"].to_numpy(float), strata["positive"].to_numpy(float)
    share = positive / answered
    low, high = _ends(positive, answered, rows, np.random.default_rng(seed))

    def total(of: Floats, which: NDArray[np.bool_]) -> Floats:
        return np.asarray((rows * which * of).sum(axis=-1))

    everything = np.ones(len(rows), bool)

    def between(which: NDArray[np.bool_]) -> Estimate:
        return _between(total(share, which), total(low, which), total(high, which), rows[which].sum())

    return Estimates(
        between(everything),
        between(called),
        Estimate(
            float(total(share, called)) / max(float(total(share, everything)), 1e-12),
            _quantile(total(low, called), total(high, ~called), (1 - LEVEL) / 2),
            _quantile(total(high, called), total(low, ~called), (1 + LEVEL) / 2),
        ),
    )


def recalibrated(probability: Floats, silent: NDArray[np.bool_], positive: NDArray[np.bool_]) -> Calibration:
    """The logistic recalibration (Cox 1958) of answered rows that is most probable a posteriori, with a prior
    of a slope about 1 and shifts about 0. Which rows were drawn hangs on their probability alone, which the
    regression is on, so that answers need no weights.
    """
    log_odds = logit(np.clip(probability, CLIP, 1 - CLIP))

    def loss(at: Floats) -> tuple[float, Floats]:
        slope, shift, silent_shift = at
        score = slope * log_odds + shift + silent_shift * silent
        error = expit(score) - positive
        prior = ((slope - 1) / PRIOR_SLOPE) ** 2 + (shift**2 + silent_shift**2) / PRIOR_SHIFT**2
        value = float(np.logaddexp(0, np.where(positive, -score, score)).sum() + prior / 2)
        slopes = np.array([error @ log_odds, error.sum(), error @ silent])
        slopes += [(slope - 1) / PRIOR_SLOPE**2, shift / PRIOR_SHIFT**2, silent_shift / PRIOR_SHIFT**2]
        return value, slopes

    bounds = [(0.05, None), (None, None), (None, None)]  # the order of rows stays
    found = minimize(loss, np.array([1.0, 0.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Calibration(float(found[0]), float(found[1]), float(found[2]))


def applied(calibration: Calibration, probability: Floats, silent: NDArray[np.bool_]) -> Floats:
    """P' of P."""
    return np.asarray(expit(calibration.odds(logit(np.clip(probability, CLIP, 1 - CLIP)), silent)))


def with_limits(strata: pd.DataFrame) -> pd.DataFrame:
    """The strata, with the share of positives among the answers and its exact limits: value, low, high."""
    exact = [
        binomtest(int(row.positive), int(row.answered)).proportion_ci(LEVEL, method="exact")
        for row in strata.itertuples()
    ]
    return strata.assign(
        value=strata["positive"] / strata["answered"],
        low=[limits.low for limits in exact],
        high=[limits.high for limits in exact],
    )


def table(found: Estimates, strata: pd.DataFrame | None) -> pd.DataFrame:
    """The estimates, a row each, and then the strata of `with_limits`."""
    every = {"share": found.share, "precision": found.precision, "recall": found.recall}
    rows = [
        {"figure": name, "value": one.value, "low": one.low, "high": one.high} for name, one in every.items()
    ]
    whole = pd.DataFrame(rows)
    if strata is None:
        return whole
    return pd.concat([whole, strata.reset_index().assign(figure="stratum").drop(columns="called")])


def random_sample(positive: NDArray[np.int64], called: NDArray[np.bool_]) -> Estimates:
    """What a random sample of all rows says, with exact limits (Clopper & Pearson 1934). positive, called:
    (n,), 0 or 1.
    """
    hits = np.asarray(positive, bool)
    return Estimates(_exact(hits), _exact(hits[called]), _exact(called[hits]))


def _exact(hits: NDArray[np.bool_]) -> Estimate:
    if not len(hits):
        return Estimate(np.nan, np.nan, np.nan)
    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(LEVEL, method="exact")
    return Estimate(float(hits.mean()), float(found.low), float(found.high))


def _ends(
    positive: Floats, answered: Floats, rows: Floats, draw: np.random.Generator
) -> tuple[Floats, Floats]:
    """DRAWS × s: draws of the shares whose quantiles are the lower and the upper exact limits. A stratum of
    which all rows are answered has none.
    """
    share = positive / answered
    size = (DRAWS, len(rows))
    low = np.where(positive > 0, draw.beta(np.maximum(positive, 1), answered - positive + 1, size), 0.0)
    high = np.where(
        positive < answered, draw.beta(positive + 1, np.maximum(answered - positive, 1), size), 1.0
    )
    whole = answered >= rows
    return np.where(whole, share, low), np.where(whole, share, high)


def _between(total: Floats, low: Floats, high: Floats, whole: float) -> Estimate:
    if whole <= 0:
        return Estimate(np.nan, np.nan, np.nan)
    edges = np.quantile(low, (1 - LEVEL) / 2), np.quantile(high, (1 + LEVEL) / 2)
    return Estimate(float(total) / whole, float(edges[0]) / whole, float(edges[1]) / whole)


def _quantile(part: Floats, rest: Floats, at: float) -> float:
    return float(np.quantile(part / np.maximum(part + rest, 1e-12), at))
