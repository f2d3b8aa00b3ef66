"""A label model whose probabilities were set right by rows that were checked by hand."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import log_expit, logsumexp

from firstday.labels.audit import Calibration
from firstday.labels.models.base import Floats, LabelModel, Scores, VotePatterns, Weights


@dataclass(frozen=True)
class Calibrated(Scores):
    """The scores of a model, the odds of one class against all others recalibrated; the others keep their
    proportions.
    """

    inner: Scores
    calibration: Calibration
    positive: int

    def joint(self, votes: sp.csr_matrix) -> Floats:
        return self._recalibrated(self.inner.joint(votes), np.diff(votes.indptr) == 0)

    def without(self, votes: sp.csr_matrix) -> Floats:
        together = np.diff(votes.indptr)
        return self._recalibrated(self.inner.without(votes), np.repeat(together, together) == 1)

    def _recalibrated(self, joint: Floats, silent: NDArray[np.bool_]) -> Floats:
        rest = logsumexp(np.delete(joint, self.positive, axis=1), axis=1)
        odds = self.calibration.odds(joint[:, self.positive] - rest, silent)
        found = joint - rest[:, None] + log_expit(-odds)[:, None]
        found[:, self.positive] = log_expit(odds)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Without the inner scores, which are written as those of any model."""
        return {
            "slope": self.calibration.slope,
            "shift": self.calibration.shift,
            "silent_shift": self.calibration.silent_shift,
            "positive": self.positive,
        }

    @classmethod
    def from_dict(cls, written: dict[str, Any], inner: Scores) -> "Calibrated":
        """What `to_dict` wrote."""
        numbers = (written[name] for name in ("slope", "shift", "silent_shift"))
        return cls(inner, Calibration(*numbers), written["positive"])


def graded(model: LabelModel) -> Scores:
    """The model's scores; for majority vote, whose shares are all or nothing, the difference of the votes."""
    return model.scores or Weights(
        np.tile(np.eye(model.classes), (len(model.voters), 1)), np.log(np.maximum(model.balance, 1e-6))
    )


def calibrated(
    model: LabelModel, counted: VotePatterns, calibration: Calibration, positive: int
) -> LabelModel:
    """The model with the recalibration, and the balance that follows from it."""
    scores = Calibrated(graded(model), calibration, positive)
    mass = counted.expect(scores).of_all(counted.uncovered)
    return replace(model, scores=scores, balance=mass / mass.sum())
