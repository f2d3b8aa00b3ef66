"""How good the labels are: label models, ours and others', on real votes with gold.

`python -m benchmarks.label_quality [--data ../shared/data] [--more FOLDER]` fits on train votes without gold,
scores on test and prints Markdown; `--more` adds every FOLDER/*/votes.npz (train, test, gold, classes). Then
the same for the fraud votes of `--data`, where a class is rare: fitted and scored on the same rows. What the
rivals answer depends on the votes alone, so it is kept under out/ and only ours is fitted again.
"""

import argparse
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, log_loss, precision_score

from benchmarks import label_rivals, label_worlds
from benchmarks.label_rivals import ABSTAIN, Floats, Ints
from benchmarks.label_worlds import PLAIN_EM, RareSet
from firstday.errors import FirstdayError
from firstday.labels.models import fitting
from firstday.labels.patterns import Packing, Patterns

SAME = 1e-9  # probabilities that differ by less are tied
F1 = ("cage_sms", "sms_cage", "sms")  # scored by F1 of class 1, as they are elsewhere; accuracy on the others
KEPT = label_rivals.OUT / "label_quality"
FAILED = "–"
LEAST_LIKELY = 1e-4  # probabilities are this far from 0 and 1 where a log loss is taken


@dataclass(frozen=True)
class VoteSet:
    """Votes, rows × functions, -1 abstains; gold of the test rows, -1 unknown."""

    name: str
    train: Ints
    test: Ints
    gold: Ints
    classes: int

    @property
    def balance(self) -> Floats:
        """(k,): the true one of the test rows."""
        return np.bincount(self.gold[self.gold != ABSTAIN], minlength=self.classes) / self.gold.size

    @property
    def digest(self) -> str:
        """Stands for all but the name."""
        told = hashlib.sha256()
        for part in (self.train, self.test, self.gold):
            told.update(repr(part.shape).encode() + np.ascontiguousarray(part, np.int16).tobytes())
        return told.hexdigest()[:16]


def wide(folder: Path) -> VoteSet:
    """votes_train.parquet and votes_test.parquet, a column a function."""
    parts = [pd.read_parquet(folder / f"votes_{part}.parquet") for part in ("train", "test")]
    train, test = (part.filter(regex="^lf_").to_numpy(np.int16) for part in parts)
    gold = parts[1]["gold"].to_numpy(np.int16)
    return VoteSet(folder.name, train, test, gold, int(max(train.max(), test.max(), gold.max())) + 1)


def crowd(folder: Path) -> VoteSet:
    """votes.parquet, a row a vote, and gold.parquet; the same items are fitted and scored."""
    gold = pd.read_parquet(folder / "gold.parquet").astype({"row_id": int}).set_index("row_id")["gold"]
    long = pd.read_parquet(folder / "votes.parquet").astype({"row_id": int, "voter": int})
    votes = long.pivot(index="row_id", columns="voter", values="vote")
    table = votes.fillna(ABSTAIN).to_numpy(np.int16)
    known = gold.reindex(votes.index).fillna(ABSTAIN).to_numpy(np.int16)
    return VoteSet(folder.name, table, table, known, int(max(table.max(), known.max())) + 1)


def sets(data: Path, more: Path | None) -> list[VoteSet]:
    """The four sets of `data`, then those of `more` that are not the same once more."""
    found = [wide(data / name) for name in ("wrench_youtube", "wsl_yoruba", "cage_sms")]
    found.append(crowd(data / "crowd_bluebird"))
    for file in sorted(more.glob("*/votes.npz")) if more else ():
        with np.load(file) as arrays:
            train, test, gold = (arrays[name] for name in ("train", "test", "gold"))
            one = VoteSet(file.parent.name, train, test, gold, int(arrays["classes"]))
        if one.digest not in {other.digest for other in found}:
            found.append(one)
    return found


def score(one: VoteSet, probabilities: Floats) -> float:
    """Accuracy or F1, × 100. A tie is an equal share of each tied class: the expectation of drawing one."""
    known = one.gold != ABSTAIN
    gold, told = one.gold[known].astype(int), probabilities[known]
    share = (told >= told.max(axis=1, keepdims=True) - SAME).astype(float)
    share /= share.sum(axis=1, keepdims=True)
    if one.name not in F1:
        return 100 * float(share[np.arange(len(gold)), gold].mean())
    both = share[gold == 1, 1].sum()
    return 100 * float(2 * both / (share[:, 1].sum() + (gold == 1).sum()))


def answers(model: str, votes: list[VoteSet]) -> dict[str, Floats | str]:
    """By set, a rival's P(class) of the test rows or why there is none; what was not answered before is
    fitted now, in one process.
    """
    version = hashlib.sha256(Path(label_rivals.__file__).read_bytes() + label_rivals.PINS.read_bytes())
    folder = KEPT / version.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    kept = {one.name: folder / f"{model}-{one.classes}-{one.digest}.npz" for one in votes}
    with tempfile.TemporaryDirectory(prefix="firstday-label-") as name:
        files: list[Path] = []
        for one in votes:
            if not kept[one.name].exists():
                files += [Path(name) / f"{one.name}.npz", kept[one.name]]
                given = {"balance": one.balance} if model in label_rivals.KNOWING else {}
                np.savez(files[-2], train=one.train, test=one.test, classes=one.classes, **given)
        if files:
            # One thread: on votes as small as these more of them mostly wait for each other.
            label_rivals.run(model, *files, threads=1)
    found: dict[str, Floats | str] = {}
    for one in votes:
        with np.load(kept[one.name]) as told:
            found[one.name] = str(told["failed"]) if "failed" in told else told["probabilities"]
    return found


def rival(model: str, votes: list[VoteSet]) -> dict[str, float | str]:
    """By set, the score or why there is none."""
    told = answers(model, votes)
    return {
        one.name: answer if isinstance(answer := told[one.name], str) else score(one, answer) for one in votes
    }


def ours(one: VoteSet, kind: str) -> tuple[float | str, str]:
    """The score or why there is none, and the kind that was taken."""
    packing = Packing(one.train.shape[1], one.classes)
    try:
        model = fitting.fit(Patterns.of(one.train, one.classes), kind)
    except FirstdayError as error:
        return str(error), kind
    found = model.posterior(packing.unpack(packing.pack(one.test)))
    found[(one.test == ABSTAIN).all(axis=1)] = 1 / one.classes  # no class is decided there: as for the rivals
    return score(one, found), model.kind


def table(votes: list[VoteSet], columns: dict[str, dict[str, float | str]], taken: dict[str, str]) -> str:
    """A row a set; means over the sets that all models answer; each one's worst difference to majority."""

    def number(value: float | str) -> str:
        return f"{value:.1f}" if isinstance(value, float) else FAILED

    lines = [
        f"| set | {' | '.join(columns)} | auto took |",
        f"|{' --- |' * (len(columns) + 2)}",
    ]
    for one in votes:
        cells = [number(column[one.name]) for column in columns.values()]
        lines.append(f"| {one.name}{' (F1)' * (one.name in F1)} | {' | '.join(cells)} | {taken[one.name]} |")
    scores = pd.DataFrame(columns).apply(pd.to_numeric, errors="coerce")
    behind, shared = scores.sub(scores["majority"], axis=0), scores.dropna()
    for title, row in ((f"mean of {len(shared)}", shared.mean()), ("worst against majority", behind.min())):
        lines.append(f"| **{title}** | {' | '.join(number(float(value)) for value in row)} | |")
    worst = behind["auto"].idxmin()
    lines += [
        "",
        f"auto against majority vote at its worst: {behind['auto'].min():+.1f}, on {worst}.",
        *(
            f"{name} on {where}: {value.rstrip('.')}."
            for name, column in columns.items()
            for where, value in column.items()
            if isinstance(value, str)
        ),
    ]
    return "\n".join(lines)


# --- fraud votes: a class is rare


def of_rare(one: RareSet, told: Floats) -> dict[str, float]:
    """Measures of one model's P(class 1), (rows,)."""
    label = label_worlds.called(one, told)
    covered = ~one.silent
    return {
        "F1": label_worlds.f1(one, told),
        "precision": float(precision_score(one.gold, label, zero_division=0)),
        # Silent rows come last: nobody looks at them.
        "average precision": float(average_precision_score(one.gold, np.where(covered, told, -1))),
        "log loss of covered rows": float(
            log_loss(one.gold[covered], np.clip(told[covered], LEAST_LIKELY, 1 - LEAST_LIKELY))
        ),
        "told / true share of covered rows": float(told[covered].mean() / one.gold[covered].mean()),
    }


def rare(found: list[RareSet]) -> str:
    """A table a measure; then what auto tells of the share of all rows."""
    votes = [VoteSet(f"fraud_{one.name}", one.votes, one.votes, one.gold, 2) for one in found]
    measures: dict[str, dict[str, dict[str, float]]] = {}  # model, set, measure
    failures, shares = [], []
    for model in (*label_rivals.MODELS, *label_rivals.KNOWING):
        measures[model] = {}
        for one, answer in zip(found, answers(model, votes).values(), strict=True):
            if isinstance(answer, str):
                failures.append(f"{model} on {one.name}: {answer.rstrip('.')}.")
            else:
                measures[model][one.name] = of_rare(one, answer[:, 1])
    for kind in (PLAIN_EM, "latent_class", "auto"):
        title = "plain EM" if kind == PLAIN_EM else kind
        measures[title] = {}
        for one in found:
            fitted = fitting.fit(Patterns.of(one.votes, 2), kind)
            measures[title][one.name] = of_rare(one, label_worlds.posterior(fitted, one.votes))
            if kind == "auto":
                limits = fitted.class_shares
                said = (
                    "–" if limits is None else limits.doubt or f"{limits.low[1]:.2%} to {limits.high[1]:.2%}"
                )
                told = fitted.balance[1]
                shares.append(f"| {one.name} | {one.gold.mean():.2%} | {told:.2%} | {said} | {fitted.kind} |")
    lines, edge = [], f"|{' --- |' * (len(measures) + 1)}"
    for measure in of_rare(found[0], np.full(len(found[0].gold), 0.5)):
        cells = pd.DataFrame(
            {model: {name: of[measure] for name, of in sets.items()} for model, sets in measures.items()},
            index=[one.name for one in found],
            columns=list(measures),
        )
        cells.loc["**mean**"] = cells.mean(skipna=False)
        lines += [
            f"{measure}:",
            "",
            f"| set | {' | '.join(measures)} |",
            edge,
        ]
        for name, row in cells.iterrows():
            told_ = " | ".join(FAILED if pd.isna(value) else f"{value:.3f}" for value in row)
            lines.append(f"| {name} | {told_} |")
        lines.append("")
    lines += [
        "Share of all rows:",
        "",
        "| set | true | auto tells | limits | auto took |",
        f"|{' --- |' * 5}",
    ]
    return "\n".join([*lines, *shares, "", *failures])


def main() -> None:
    """Fit all, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--more", type=Path)
    asked = parser.parse_args()
    votes = sets(asked.data, asked.more)
    columns = {model: rival(model, votes) for model in label_rivals.MODELS}
    taken = {}
    for kind in sorted(fitting.KINDS, key="auto".__eq__):  # auto last
        fitted = {one.name: ours(one, kind) for one in votes}
        scores = {name: value for name, (value, _) in fitted.items()}
        if kind == "majority":  # the same votes, counted twice
            other = [name for name, value in scores.items() if value != columns[kind][name]]
            print(f"Our majority vote differs from Snorkel's on {', '.join(other) or 'no set'}.\n")
        else:
            columns[kind] = scores
        if kind == "auto":
            taken = {name: took for name, (_, took) in fitted.items()}
    print(table(votes, columns, taken))
    found = label_worlds.shared(asked.data)
    print(f"\n## Fraud votes\n\n{rare(found)}")


if __name__ == "__main__":
    main()
