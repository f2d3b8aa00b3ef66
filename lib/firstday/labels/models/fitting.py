"""Fit a label model by its kind; write it down and read it back."""

import json
from collections.abc import Callable

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
from firstday.labels.models.base import ClassShares, Counted, Floats, LabelModel, Weights
from firstday.labels.models.calibrated import Calibrated
from firstday.labels.models.dependencies import Groups
from firstday.labels.models.mixture import LatentClasses

KINDS: dict[str, Callable[[Counted, Floats | None, Groups], LabelModel]] = {
    "auto": auto.fit,
    "majority": lambda counted, balance, _: majority.fit(counted, balance),
    "propensity": lambda counted, balance, _: propensity.fit(counted, balance),
    "confusion": lambda counted, balance, _: confusion.fit(counted, balance),
    "structure": structure.fit,
    "precision": lambda counted, balance, _: precision.fit(counted, balance),
    "latent_class": lambda counted, balance, _: latent_class.fit(counted, balance),
}
BY_GROUPS = ("auto", "structure")  # kinds that take copies into account


def fit(
    counted: Counted, kind: str = "auto", balance: Floats | None = None, groups: Groups | None = None
) -> LabelModel:
    """The label model of this kind, one of KINDS. Raises DataError where nobody votes at all.

    balance: (k,), P(class) where it is known. groups: (m,), which voters are copies of one another; learned
    where not given, for BY_GROUPS.
    """
    if not counted.given.any():
        raise DataError(
            "at least one vote must be given, but all voters abstain on all rows",
            next_step="check that votes are 0, 1, ... and -1 only where a voter abstains",
        )
    if groups is None:
        alone = np.arange(len(counted.voters))
        groups = dependencies.learned(counted, kind).groups if kind in BY_GROUPS else alone
    return with_warnings(KINDS[kind](counted, balance, groups), counted)


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
        "weights": inner.to_dict() if isinstance(inner, Weights) else None,
        "latent_classes": inner.to_dict() if isinstance(inner, LatentClasses) else None,
        "calibrated": model.scores.to_dict() if isinstance(model.scores, Calibrated) else None,
        "class_shares": shares and {"low": [*shares.low], "high": [*shares.high], "doubt": shares.doubt},
    }
    return json.dumps(written)


def from_json(text: str) -> LabelModel:
    """What `to_json` wrote."""
    written = json.loads(text)
    weights, latent = written.pop("weights"), written.pop("latent_classes", None)
    shares = written.pop("class_shares", None)
    written["scores"] = Weights.from_dict(weights) if weights else None
    if latent:
        written["scores"] = LatentClasses.from_dict(latent)
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
