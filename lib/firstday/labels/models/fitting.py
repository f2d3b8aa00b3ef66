"""Fit a label model by its kind; write it down and read it back."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from firstday.errors import DataError
from firstday.labels.checks import with_warnings
from firstday.labels.models import (
    auto,
    confusion,
    dependencies,
    latent_class,
    majority,
    precision,
    propensity,
    structure,
)
from firstday.labels.models.base import ClassShares, Floats, LabelModel, VotePatterns, Weights
from firstday.labels.models.calibrated import Calibrated
from firstday.labels.models.dependencies import Groups
from firstday.labels.models.mixture import LatentClasses


class WrittenScores(Protocol):
    """Scores that can be written down and read back."""

    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> Any: ...


Fitting = Callable[[VotePatterns, Floats | None, Groups], LabelModel]


@dataclass(frozen=True)
class Kind:
    """A kind of label model.

    fit: from counted votes, P(class) where it is known, and which voters are copies of one another, to the
    model. takes_copies: whether it takes copies into account, so that they are looked for. scores: the class
    of its scores, where it has one of its own, under the name by which it is written down; with `from_dict`.
    """

    fit: Fitting
    takes_copies: bool = False
    scores: tuple[str, type[WrittenScores]] | None = None


# By name. A new kind is a file, a line here and its name in `settings.label.ModelKind`.
KINDS = {
    "auto": Kind(auto.fit, takes_copies=True),
    "majority": Kind(lambda counted, balance, _: majority.fit(counted, balance)),
    "propensity": Kind(lambda counted, balance, _: propensity.fit(counted, balance)),
    "confusion": Kind(
        lambda counted, balance, _: confusion.fit(counted, balance), scores=("weights", Weights)
    ),
    "structure": Kind(structure.fit, takes_copies=True),
    "precision": Kind(lambda counted, balance, _: precision.fit(counted, balance)),
    "latent_class": Kind(
        lambda counted, balance, _: latent_class.fit(counted, balance),
        scores=("latent_classes", LatentClasses),
    ),
}


def _scores() -> dict[str, type[WrittenScores]]:
    """Classes of scores, by the name under which they are written."""
    return dict(kind.scores for kind in KINDS.values() if kind.scores is not None)


def fit(
    counted: VotePatterns, kind: str = "auto", balance: Floats | None = None, groups: Groups | None = None
) -> LabelModel:
    """The label model of this kind, one of KINDS. Raises DataError where nobody votes at all.

    balance: (k,), P(class) where it is known. groups: (m,), which voters are copies of one another; learned
    where not given, for kinds that take copies into account.
    """
    if not counted.given.any():
        raise DataError(
            "at least one vote must be given, but all voters abstain on all rows",
            next_step="check that votes are 0, 1, ... and -1 only where a voter abstains",
        )
    if groups is None:
        alone = np.arange(len(counted.voters))
        groups = dependencies.learned(counted, kind).groups if KINDS[kind].takes_copies else alone
    return with_warnings(KINDS[kind].fit(counted, balance, groups), counted)


def groups_of(model: LabelModel, learned: Groups) -> Groups:
    """(m,): the copies that the model counts as one voter; `learned` where it has none of its own."""
    inner = model.scores.inner if isinstance(model.scores, Calibrated) else model.scores
    return inner.blocks.groups if isinstance(inner, LatentClasses) else learned


def to_json(model: LabelModel) -> str:
    """All of the model, to the last digit."""
    shares = model.class_shares
    inner = model.scores.inner if isinstance(model.scores, Calibrated) else model.scores
    written = {
        "kind": model.kind,
        "voters": model.voters,
        "classes": model.classes,
        "balance": model.balance.tolist(),
        "figures": {name: values.tolist() for name, values in model.figures.items()},
        "notes": model.notes,
        "iterations": model.iterations,
        "converged": model.converged,
        "class_names": model.class_names,
        **{
            name: inner.to_dict() if inner and isinstance(inner, kind) else None
            for name, kind in _scores().items()
        },
        "calibrated": model.scores.to_dict() if isinstance(model.scores, Calibrated) else None,
        "class_shares": shares and {"low": [*shares.low], "high": [*shares.high], "doubt": shares.doubt},
    }
    return json.dumps(written)


def from_json(text: str) -> LabelModel:
    """What `to_json` wrote."""
    written = json.loads(text)
    shares = written.pop("class_shares", None)
    found = {name: written.pop(name, None) for name in _scores()}
    written["scores"] = next(
        (kind.from_dict(found[name]) for name, kind in _scores().items() if found[name]), None
    )
    calibration = written.pop("calibrated", None)
    if calibration:
        written["scores"] = Calibrated.from_dict(calibration, written["scores"])
    if shares:
        low, high = np.array(shares["low"], float), np.array(shares["high"], float)
        written["class_shares"] = ClassShares(low, high, shares["doubt"])
    for name in ("voters", "notes", "class_names"):
        written[name] = tuple(written.get(name, ()))  # models were once written without class_names
    written["balance"] = np.array(written["balance"])
    written["figures"] = {name: np.array(values) for name, values in written["figures"].items()}
    return LabelModel(**written)
