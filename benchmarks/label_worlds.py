"""How good labels of a rare class are: `auto` on the votes of many invented fraud teams.

`python -m benchmarks.label_worlds [--seeds 0 80] [--balances] [--keep FILE]` fits the votes of
`fraud_worlds.fraud_votes(seed)` without gold and prints Markdown; `--balances` fits them with the true
balance and with ones 1.5 times off too, and the sets of `--data`. `--keep` writes a line of JSON a world,
and goes on with what is written there already.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.fraud_worlds import ABSTAIN, FRAUD, fraud_votes
from firstday.labels.models import components, dependencies, fitting, latent_class
from firstday.labels.models.base import Floats, LabelModel
from firstday.labels.models.components import Search
from firstday.labels.patterns import Packing, Patterns

Ints = NDArray[np.integer]

CLASSES = 2
PLAIN_EM = "confusion"  # Dawid & Skene's model, abstaining an outcome, of votes that are independent
BANDS = np.array([0, 0.05, *np.arange(1, 10) / 10, 0.95, 1])
OFF = 1.5  # how many times a balance that is not quite known is off
MOST_SHARE = 0.95
INDEPENDENT = 3  # accusing rules from which, with an exonerating one, the share should be told


@dataclass(frozen=True)
class RareSet:
    """votes: rows × rules, -1 abstains; gold: rows, 1 is the rare class. accusing, exonerating: independent
    rules of that side, where it is known.
    """

    name: str
    votes: Ints
    gold: Ints
    accusing: int | None = None
    exonerating: int | None = None

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Rows on which nobody votes."""
        return np.asarray((self.votes == ABSTAIN).all(axis=1))


@dataclass(frozen=True)
class World:
    """What was found on one set. share: true one of class 1; told: the model's, of all rows; low, high: its
    limits, None where the share is not told. f1: by model; with_balance: auto's F1 by balance. bands: rows,
    sum of P and sum of gold in each of BANDS.
    """

    name: str
    rows: int
    rules: int
    accusing: int | None
    exonerating: int | None
    kind: str
    doubt: str | None
    share: float
    told: float
    low: float | None
    high: float | None
    f1: dict[str, float]
    bands: list[list[float]]
    with_balance: dict[str, float] = field(default_factory=dict)


def world(seed: int) -> RareSet:
    """An invented one."""
    made = fraud_votes(seed)
    return RareSet(str(seed), made.votes, made.gold, made.accusing, made.exonerating)


def shared(data: Path) -> list[RareSet]:
    """Those of data/fraud_votes."""
    found = []
    for file in sorted((data / "fraud_votes").glob("*.parquet")):
        frame = pd.read_parquet(file)
        votes = frame.drop(columns=["row_id", "gold"]).to_numpy(np.int8)
        found.append(RareSet(file.stem, votes, frame["gold"].to_numpy(np.int8)))
    return found


def called(one: RareSet, probability: Floats) -> NDArray[np.bool_]:
    """Rows that are labelled as of class 1: P > 1/2 and somebody votes."""
    return (probability > 0.5) & ~one.silent


def f1(one: RareSet, probability: Floats) -> float:
    """Of class 1."""
    label, fraud = called(one, probability), one.gold == FRAUD
    return float(2 * (label & fraud).sum() / max(label.sum() + fraud.sum(), 1))


def posterior(model: LabelModel, votes: Ints) -> Floats:
    """(rows,): P(class 1)."""
    packing = Packing(votes.shape[1], CLASSES)
    words, row = np.unique(packing.pack(votes), axis=0, return_inverse=True)
    return model.posterior(packing.unpack(words))[row.ravel(), FRAUD]


def measure(one: RareSet, balances: bool) -> World:
    """Fit it without gold, and score."""
    patterns = Patterns.of(one.votes, CLASSES)
    groups = dependencies.learned(patterns, "auto").groups

    def fitted(kind: str, balance: Floats | None = None) -> tuple[LabelModel, Floats]:
        model = fitting.fit(patterns, kind, balance, groups if kind == "auto" else None)
        return model, posterior(model, one.votes)

    with searching_once():
        model, probability = fitted("auto")
        scores = {"auto": f1(one, probability)}
        scores |= {kind: f1(one, fitted(kind)[1]) for kind in (PLAIN_EM, "majority")}
        share = float((one.gold == FRAUD).mean())
        given: dict[str, float] = {}
        for name, factor in (("true", 1.0), ("more", OFF), ("less", 1 / OFF)) if balances else ():
            off = min(share * factor, MOST_SHARE)
            given[name] = f1(one, fitted("auto", np.array([1 - off, off]))[1])
    band = np.clip(np.digitize(probability, BANDS[1:-1]), 0, len(BANDS) - 2)
    sums = [
        np.bincount(band, of, len(BANDS) - 1) for of in (None, probability, (one.gold == FRAUD).astype(float))
    ]
    shares = model.class_shares
    is_told = shares is not None and shares.doubt is None
    return World(
        one.name,
        one.votes.shape[0],
        one.votes.shape[1],
        one.accusing,
        one.exonerating,
        model.kind,
        None if is_told else (shares.doubt if shares else "no limits"),
        share,
        float(model.balance[FRAUD]),
        float(shares.low[FRAUD]) if is_told and shares else None,
        float(shares.high[FRAUD]) if is_told and shares else None,
        scores,
        np.array(sums, float).T.tolist(),
        given,
    )


@contextmanager
def searching_once() -> Iterator[None]:
    """The latent class model's search, and the limits of shares, do not know the balance; within this they
    are made once for the same patterns. (They take nearly all of the time.)
    """
    made: dict[bytes, Search] = {}
    limits: dict[int, tuple[Floats, Floats]] = {}
    search: Callable[..., Search] = components.search
    share_limits = latent_class.share_limits

    def remembered(counted: Patterns, *more: object, **named: object) -> Search:
        key = counted.votes.indices.tobytes() + counted.rows.tobytes() + repr((more, named)).encode()
        if key not in made:
            made[key] = search(counted, *more, **named)
        return made[key]

    def limits_of(found: Search) -> tuple[Floats, Floats]:
        if id(found) not in limits:  # `made` keeps it, so that no other gets its id
            limits[id(found)] = share_limits(found)
        return limits[id(found)]

    searching = patch.object(latent_class, "search", remembered)
    limiting = patch.object(latent_class, "share_limits", limits_of)
    with searching, limiting:
        yield


def summary(found: list[World]) -> str:
    """A table of what is asked of all worlds together."""
    table = pd.DataFrame([asdict(each) for each in found])
    scores = pd.DataFrame(table["f1"].tolist())
    told = table["low"].notna()
    ratio = (table["told"] / table["share"])[told]
    inside = ((table["low"] <= table["share"]) & (table["share"] <= table["high"]))[told]
    able = (table["accusing"] >= INDEPENDENT) & (table["exonerating"] >= 1)
    behind = scores["auto"] - scores["majority"]
    width = (table["high"] / table["low"])[told]

    def share(of: pd.Series) -> str:
        return f"{of.mean():.1%} of {len(of)}" if len(of) else "–"

    lines = [
        ("worlds", f"{len(table)}"),
        *((f"mean F1, {name}", f"{scores[name].mean():.3f}") for name in scores),
        ("worst F1 of auto against majority", f"{behind.min():+.3f}, in {table['name'][behind.idxmin()]}"),
        ("worlds in which auto is below majority by more than .05", f"{(behind < -0.05).sum()}"),
        ("the share is told", share(told)),
        (f"told, of worlds with {INDEPENDENT} accusing and 1 exonerating rules or more", share(told[able])),
        ("where told, within a factor of 2", share(ratio.between(0.5, 2))),
        ("where told, told / true: median, least, most", _spread(ratio)),
        ("where told, the interval covers", share(inside)),
        ("where told, median width (high / low)", f"{width.median():.2f}"),
        ("auto takes", ", ".join(f"{kind} {n}" for kind, n in table["kind"].value_counts().items())),
    ]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in lines)])


def _spread(values: pd.Series) -> str:
    return f"{values.median():.2f}, {values.min():.2f}, {values.max():.2f}" if len(values) else "–"


def calibration(found: list[World]) -> str:
    """Told probabilities of all rows beside true shares: of all worlds, and of those whose share is told."""

    def cells(worlds: list[World]) -> list[str]:
        total = np.sum([each.bands for each in worlds], axis=0) if worlds else np.zeros((len(BANDS) - 1, 3))
        return [
            f"{rows:,.0f} | {told / rows:.3f} | {true / rows:.3f}" if rows else "0 | – | –"
            for rows, told, true in total
        ]

    lines = [
        "| told | rows, all worlds | mean told | true | rows, share told | mean told | true |",
        f"|{' --- |' * 7}",
    ]
    both = zip(cells(found), cells([each for each in found if each.low is not None]), strict=True)
    for low, high, (every, told) in zip(BANDS, BANDS[1:], both, strict=False):
        lines.append(f"| {low:g}–{high:g} | {every} | {told} |")
    return "\n".join(lines)


def of_balances(found: list[World]) -> str:
    """F1 with a balance less that without: mean, worst, and the worlds that fall."""
    names = {"true": "true", "more": f"true × {OFF}", "less": f"true / {OFF}"}
    lines = [
        "| balance | mean F1 | mean change | worst | worlds worse by more than .02 |",
        "|" + " --- |" * 5,
    ]
    for name, title in names.items():
        change = {each.name: each.with_balance[name] - each.f1["auto"] for each in found}
        mean = np.mean([each.with_balance[name] for each in found])
        worst = min(change, key=lambda each: change[each])
        fallen = [f"{each} ({by:+.3f})" for each, by in sorted(change.items(), key=lambda item: item[1])]
        fallen = fallen[: sum(by < -0.02 for by in change.values())]
        lines.append(
            f"| {title} | {mean:.3f} | {np.mean(list(change.values())):+.3f} | "
            f"{change[worst]:+.3f} ({worst}) | {', '.join(fallen) or 'none'} |"
        )
    return "\n".join(lines)


def all_of(sets: Iterator[RareSet], balances: bool, keep: Path | None) -> list[World]:
    """Each measured, or read from `keep`."""
    kept: dict[str, Any] = {}
    if keep and keep.exists():
        kept = {line["name"]: line for line in map(json.loads, keep.read_text().splitlines())}
    found = []
    for one in sets:
        if one.name not in kept:
            measured = asdict(measure(one, balances))
            kept[one.name] = measured
            if keep:
                with keep.open("a") as file:
                    file.write(json.dumps(measured) + "\n")
        found.append(World(**kept[one.name]))
    return found


def main() -> None:
    """Fit all, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 80), metavar=("FIRST", "END"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--balances", action="store_true")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    if asked.balances and (asked.data / "fraud_votes").is_dir():
        sets = all_of(iter(shared(asked.data)), True, asked.keep)
        print(
            f"## A balance, on the sets of {asked.data.name}/fraud_votes\n\n{of_balances(sets)}\n", flush=True
        )
    worlds = all_of(map(world, range(*asked.seeds)), asked.balances, asked.keep)
    print(f"## Worlds {asked.seeds[0]} to {asked.seeds[1] - 1}\n\n{summary(worlds)}\n")
    print(f"## Told and true\n\n{calibration(worlds)}\n")
    if asked.balances:
        print(f"## A balance\n\n{of_balances(worlds)}")


if __name__ == "__main__":
    main()
