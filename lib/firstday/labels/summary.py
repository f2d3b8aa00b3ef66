"""What each label function does: the figures of Snorkel's LFAnalysis, from patterns, and what they mean.

m voters, k classes; a vote is column v · k + c of the votes.
"""

from functools import partial

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from firstday.labels.models.base import Floats, LabelModel, Sums, VotePatterns, Weights, tally
from firstday.labels.models.dependencies import Groups
from firstday.labels.models.latent_class import likelihood_ratios
from firstday.labels.patterns import ABSTAIN
from firstday.labels.soft import SAME

# Verdicts on a function.
DEAD, REDUNDANT, AGAINST, FINE = "dead", "redundant", "speaks against its class", "fine"
LEAST_RATIO = 0.8  # P(vote | its class) / P(vote | another), below which a vote speaks against its own class


def summarise(counted: VotePatterns, model: LabelModel, groups: Groups) -> pd.DataFrame:
    """A row a function, in the voters' order.

    polarity: the classes that it votes for. coverage, overlaps, conflicts: shares of all rows on which it
    votes, on which others vote too, on which others vote otherwise. correct, incorrect, empirical_accuracy:
    on rows with a known label; NaN where there are none. learned_accuracy: by the model, its accuracy or
    precision. likelihood_ratio: by the model, P(vote | its class) / P(vote | another), the least of its
    classes'. agreement: share of its overlapping votes that are as the model has it. changed: share of all
    rows whose label would be another without its vote, the model as it is. copies: the others of its group.
    verdict: dead (never votes), speaks against its class (a ratio below LEAST_RATIO), redundant (a copy, or
    nothing would change), fine.
    """
    overlaps, conflicts, right, shared, changed, correct, known = counted.add(partial(_sums, model))
    given = counted.given.sum(axis=1)
    members = [np.flatnonzero(groups == group) for group in groups]
    copies = [
        [counted.voters[other] for other in group if other != voter] for voter, group in enumerate(members)
    ]
    agreement, changed = _ratio(right, shared), changed / counted.total
    by_vote = likelihood_ratios(counted, counted.expect(model.scores))
    ratios = np.where(given > 0, np.where(counted.given > 0, by_vote, np.inf).min(axis=1), np.nan)
    measured, nothing = known > 0, np.full(len(given), np.nan)
    return pd.DataFrame(
        {
            "function": list(counted.voters),
            "polarity": [np.flatnonzero(votes).tolist() for votes in counted.given],
            "coverage": given / counted.total,
            "overlaps": overlaps / counted.total,
            "conflicts": conflicts / counted.total,
            "correct": np.where(measured, correct, np.nan),
            "incorrect": np.where(measured, known - correct, np.nan),
            "empirical_accuracy": _ratio(correct, known),
            "learned_accuracy": model.figures.get("accuracy", model.figures.get("precision", nothing)),
            "likelihood_ratio": ratios,
            "agreement": agreement,
            "changed": changed,
            "copies": copies,
            "verdict": [_verdict(*each) for each in zip(given, ratios, changed, copies, strict=True)],
        }
    )


def pairs(counted: VotePatterns, agreements: Floats) -> pd.DataFrame:
    """A row for each two functions that ever vote together: rows with both, share on which they agree, and
    the log odds of agreement beyond what the class explains.
    """
    voters, classes = len(counted.voters), counted.classes
    blocks = counted.together.reshape(voters, classes, voters, classes)
    both, alike = blocks.sum(axis=(1, 3)), np.einsum("acbc->ab", blocks)
    one, other = np.nonzero(np.triu(both, 1))
    names = np.array(counted.voters, dtype=object)
    return pd.DataFrame(
        {
            "function": names[one],
            "other": names[other],
            "rows": both[one, other].astype(np.int64),
            "agreement": alike[one, other] / both[one, other],
            "dependency": np.maximum(agreements[one, other], agreements[other, one]),
        }
    )


def drift(
    periods: list[str], given: NDArray[np.float64], rows: Floats, voters: tuple[str, ...]
) -> pd.DataFrame:
    """A row for each function and period: rows, votes, coverage, and the p-value of no change at all.

    given: periods × m × k, rows on which each votes for each class; rows: of each period. The p-value is of
    the chi-square test of votes (abstaining one of them) by period; 1 where there is nothing to compare.
    """
    found = []
    for voter, name in enumerate(voters):
        cast = given[:, voter, :]
        table = np.column_stack([rows - cast.sum(axis=1), cast])
        table = table[:, table.sum(axis=0) > 0]
        comparable = min(table.shape) > 1
        p_value = float(chi2_contingency(table).pvalue) if comparable else 1.0
        found += [
            (period, name, int(total), int(votes), votes / total, p_value)
            for period, total, votes in zip(periods, rows, cast.sum(axis=1), strict=True)
        ]
    return pd.DataFrame(found, columns=["period", "function", "rows", "votes", "coverage", "p_value"])


def _sums(model: LabelModel, votes: sp.csr_matrix, rows: Floats, gold: Floats | None) -> Sums:
    """By voter: rows on which others vote too, and otherwise; of the former the P(class = vote) and their
    number; rows whose label would change; rows with a known label that it has right, and all of them.
    """
    classes = model.classes
    voters = len(model.voters)
    together = np.diff(votes.indptr)
    cast = votes @ sp.csr_matrix(np.repeat(np.eye(voters), classes, axis=0))
    shared = rows * (together > 1)
    known = np.zeros((len(rows), classes)) if gold is None else gold
    by_model = votes.T @ (model.posterior(votes) * shared[:, None])
    by_gold = votes.T @ known
    return (
        cast.T @ shared,
        cast.T @ (rows * ((tally(votes, classes) > 0).sum(axis=1) > 1)),
        *_right(by_model, classes),
        _changed(model, votes, rows),
        *_right(by_gold, classes),
    )


def _right(joint: Floats, classes: int) -> tuple[Floats, Floats]:
    """Sums by vote and class, (m · k, k) -> by voter, those that agree and all."""
    blocks = np.asarray(joint).reshape(-1, classes, classes)
    return np.einsum("vcc->v", blocks), blocks.sum(axis=(1, 2))


def _changed(model: LabelModel, votes: sp.csr_matrix, rows: Floats) -> Floats:
    """Rows whose label would be another if the voter had abstained, weights as they are."""
    classes, voters = model.classes, len(model.voters)
    scores = model.scores or Weights(np.tile(np.eye(classes), (voters, 1)), np.zeros(classes))
    joint = scores.joint(votes)
    together = np.diff(votes.indptr)
    row = np.repeat(np.arange(len(together)), together)
    after = _label(scores.without(votes))
    after[together[row] == 1] = ABSTAIN  # nobody else votes
    changed = rows[row] * (_label(joint)[row] != after)
    return np.bincount(votes.indices // classes, changed, voters).astype(float)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """NaN where there is nothing."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _label(joint: Floats) -> NDArray[np.int64]:
    """The most likely class; -1 where two are."""
    order = np.sort(joint, axis=1)
    return np.where(order[:, -1] - order[:, -2] <= SAME, ABSTAIN, joint.argmax(axis=1))


def _verdict(given: float, ratio: float, changed: float, copies: list[str]) -> str:
    if given == 0:
        return DEAD
    if ratio < LEAST_RATIO:
        return AGAINST
    return REDUNDANT if copies or changed <= 0 else FINE
