"""What an audit of labels is worth: whether its limits hold, how wide they are, and probabilities after it.

`python -m benchmarks.label_audit [--first 200] [--worlds 20] [--audits 10] [--rows 150 500]` labels the
votes of invented fraud teams (`fraud_worlds`) with `auto`, draws rows as `firstday label --audit` does,
answers them with the truth and prints Markdown.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import label_worlds
from benchmarks.fraud_worlds import FRAUD
from benchmarks.label_worlds import CLASSES, RareSet
from firstday.labels import audit
from firstday.labels.models import fitting
from firstday.labels.models.base import Floats, LabelModel
from firstday.labels.models.calibrated import Calibrated, graded
from firstday.labels.patterns import Packing, Patterns

FIGURES = ("share", "precision", "recall")
ASKED = 0.95


@dataclass(frozen=True)
class Labelled:
    """A world that `auto` has labelled. patterns: the model's distinct ones; pattern, told, called, stratum:
    of each row its pattern, P(fraud), whether it is called, and its stratum's number.
    """

    one: RareSet
    model: LabelModel
    patterns: Patterns
    pattern: NDArray[np.intp]
    told: Floats
    called: NDArray[np.bool_]
    stratum: NDArray[np.intp]

    @classmethod
    def of(cls, one: RareSet) -> "Labelled":
        """Strata as `audit_rows` makes them: a span of P(fraud), silent rows apart, called or not."""
        patterns = Patterns.of(one.votes, CLASSES)
        model = fitting.fit(patterns, "auto")
        words = Packing(one.votes.shape[1], CLASSES).pack(one.votes)
        _, pattern = np.unique(words, axis=0, return_inverse=True)
        told = model.posterior(patterns.votes)[:, FRAUD][pattern.ravel()]
        called = label_worlds.called(one, told)
        span = np.where(one.silent, -1, np.searchsorted(audit.BOUNDS, told, side="right"))
        _, stratum = np.unique(2 * span + called, return_inverse=True)
        return cls(one, model, patterns, pattern.ravel(), told, called, stratum)

    @property
    def truth(self) -> dict[str, float]:
        """What the audit is to tell; NaN where nothing is called."""
        fraud = self.one.gold == FRAUD
        hits = float((self.called & fraud).sum())
        number = float(self.called.sum())
        return {
            "share": float(fraud.mean()),
            "precision": hits / number if number else np.nan,
            "recall": hits / float(fraud.sum()),
        }

    def loss(self, told: Floats) -> float:
        """Log loss of P(fraud), (rows,), over all rows."""
        sure = np.clip(told, audit.CLIP, 1 - audit.CLIP)
        return float(-np.log(np.where(self.one.gold == FRAUD, sure, 1 - sure)).mean())


def audited(world: Labelled, wanted: int, draw: np.random.Generator) -> tuple[audit.Estimates, float]:
    """The estimates of one audit, and the log loss of the probabilities that it sets right."""
    sizes = np.bincount(world.stratum).astype(float)
    mean = np.bincount(world.stratum, world.told) / sizes
    taken = audit.allocation(sizes, mean, wanted)
    rows = np.concatenate(
        [
            draw.choice(np.flatnonzero(world.stratum == each), number, replace=False)
            for each, number in enumerate(taken)
        ]
    )
    positive = world.one.gold[rows] == FRAUD
    strata = pd.DataFrame(
        {
            "rows": sizes,
            "called": np.bincount(world.stratum, world.called) > 0,
            "answered": np.bincount(world.stratum[rows], minlength=len(sizes)),
            "positive": np.bincount(world.stratum[rows], positive, len(sizes)),
        }
    )
    scores = graded(world.model)
    plain = scores.posterior(world.patterns.votes)[:, FRAUD][world.pattern]
    calibration = audit.recalibrated(plain[rows], world.one.silent[rows], positive)
    after = Calibrated(scores, calibration, FRAUD).posterior(world.patterns.votes)[:, FRAUD][world.pattern]
    return audit.estimates(strata), world.loss(after)


def trials(first: int, worlds: int, audits: int, wanted: list[int]) -> pd.DataFrame:
    """A row an audit: of each figure whether its limits cover and how wide they are; the log losses."""
    found = []
    for seed in range(first, first + worlds):
        world = Labelled.of(label_worlds.world(seed))
        truth, before = world.truth, world.loss(world.told)
        shares = world.model.class_shares
        for rows in wanted:
            for number in range(audits):
                told, after = audited(world, rows, np.random.default_rng([seed, rows, number]))
                line: dict[str, float] = {"seed": seed, "rows": rows, "before": before, "after": after}
                line["is_told"] = shares is not None and shares.doubt is None
                for name in FIGURES:
                    one: audit.Estimate = getattr(told, name)
                    if np.isfinite(truth[name]):
                        line[f"{name} covers"] = one.low <= truth[name] <= one.high
                        line[f"{name} ratio"] = one.high / one.low if one.low > 0 else np.inf
                        line[f"{name} width"] = one.high - one.low
                        line[f"{name} upper"] = one.high / truth[name] if truth[name] else np.nan
                found.append(line)
    return pd.DataFrame(found)


def table(found: pd.DataFrame) -> str:
    """By rows of an audit: coverage and widths, then log losses."""
    lines = [
        "| rows | figure | covers | high / low, median | high - low, median | high / true, median |",
        f"|{' --- |' * 6}",
    ]
    for rows, part in found.groupby("rows"):
        for name in FIGURES:
            covers = part[f"{name} covers"].dropna().astype(float)
            medians = (part[f"{name} {width}"].median() for width in ("ratio", "width", "upper"))
            cells = " | ".join(f"{value:.2f}" for value in medians)
            lines.append(f"| {rows:.0f} | {name} | {covers.mean():.1%} of {len(covers)} | {cells} |")
    lines += [
        "",
        "| rows | log loss before, mean | after, mean | worst rise | audits after which it is higher |",
        f"|{' --- |' * 5}",
    ]
    for rows, part in found.groupby("rows"):
        rise = part["after"] - part["before"]
        where = part["seed"][rise.idxmax()]
        lines.append(
            f"| {rows:.0f} | {part['before'].mean():.4f} | {part['after'].mean():.4f} | "
            f"{rise.max():+.4f} (seed {where:.0f}) | {(rise > 0).mean():.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Audit all worlds, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=200)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--audits", type=int, default=10)
    parser.add_argument("--rows", type=int, nargs="+", default=[150, 500])
    asked = parser.parse_args()
    found = trials(asked.first, asked.worlds, asked.audits, asked.rows)
    print(table(found))
    missing = found.groupby(["rows", "seed"])[[f"{name} covers" for name in FIGURES]].mean().astype(float)
    for (rows, seed), row in missing[(missing < ASKED).any(axis=1)].iterrows():
        print(f"\n{rows:.0f} rows, seed {seed:.0f}: covers {', '.join(f'{value:.0%}' for value in row)}.")


if __name__ == "__main__":
    main()
