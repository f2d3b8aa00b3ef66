"""Invented votes of a fraud team, harsher than the sets in ../shared/data/fraud_votes.

Frauds are of one to three kinds, each caught by other rules; habits, in frauds and honest accounts alike,
trigger several rules together; some rules are noisy copies of others, some are wrong, one may vote by
default.
Seeds below 1,000 were looked at while the label model was chosen; those from 1,000 on were scored once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HONEST, FRAUD, ABSTAIN = 0, 1, -1


@dataclass(frozen=True)
class FraudVotes:
    """votes: rows × rules; gold: rows; names: of the rules. accusing, exonerating: rules of that side that
    are neither copies nor wrong nor the default. copies: pairs of rules of which one is made from the other.
    """

    votes: NDArray[np.int8]
    gold: NDArray[np.int8]
    names: tuple[str, ...]
    accusing: int
    exonerating: int
    copies: tuple[tuple[str, str], ...]


def fraud_votes(seed: int) -> FraudVotes:
    """A world drawn with `seed`."""
    draw = np.random.default_rng([seed, 2026])
    rows = int(np.exp(draw.uniform(np.log(1_500), np.log(60_000))))
    share = float(np.exp(draw.uniform(np.log(0.005), np.log(0.2))))
    share = max(share, 15 / rows)
    fraud = draw.permutation(rows) < round(share * rows)
    kinds = int(draw.integers(1, 4))
    kind = draw.choice(kinds, rows, p=draw.dirichlet(np.full(kinds, 2.0)))
    accusing, exonerating = int(draw.integers(1, 7)), int(draw.choice(7, p=[0.15, *[0.85 / 6] * 6]))
    chances: dict[str, NDArray[np.float64]] = {}
    for number in range(accusing):
        recall, precision = draw.beta(1.3, 2.2), draw.uniform(0.25, 0.97)
        by_kind = np.clip(recall * draw.gamma(1.5, 1 / 1.5, kinds), 0.002, 0.97)
        false = min(recall * share / (1 - share) * (1 - precision) / precision, 0.3)
        chances[f"accuse_{number}"] = np.where(fraud, by_kind[kind], false)
    for number in range(exonerating):
        rate, ratio = draw.uniform(0.05, 0.75), np.exp(draw.uniform(np.log(0.03), np.log(0.7)))
        by_kind = np.clip(rate * ratio * draw.gamma(2.0, 0.5, kinds), 0.001, 0.9)
        chances[f"clear_{number}"] = np.where(fraud, by_kind[kind], rate)
    if draw.random() < 0.35:  # a wrong rule: it accuses the honest as often as frauds, or oftener
        rate, ratio = draw.uniform(0.01, 0.1), draw.uniform(0.3, 1.1)
        chances["accuse_wrong"] = np.where(fraud, rate * ratio, rate)
    for _ in range(int(draw.integers(0, 3))):  # a habit and the rules that it triggers, or keeps silent
        has = draw.random(rows) < draw.uniform(0.05, 0.4)
        moved = [name for name in chances if draw.random() < 0.4]
        factor = np.exp(draw.uniform(np.log(1.5), np.log(12)))
        for name in moved:
            odds = chances[name] / (1 - chances[name])
            odds = odds * np.where(has, factor, 1.0)
            chances[name] = odds / (1 + odds)
    side = {name: FRAUD if name.startswith("accuse") else HONEST for name in chances}
    votes = {
        name: np.where(draw.random(rows) < chance, side[name], ABSTAIN) for name, chance in chances.items()
    }
    copies = []
    for name in list(votes):
        if draw.random() < 0.25:
            kept, added = draw.uniform(0.8, 0.98), draw.uniform(0, 0.15) * (votes[name] >= 0).mean()
            speaks = np.where(votes[name] >= 0, draw.random(rows) < kept, draw.random(rows) < added)
            votes[f"{name}_copy"] = np.where(speaks, side[name], ABSTAIN)
            copies.append((name, f"{name}_copy"))
    if draw.random() < 0.15:  # "else honest", on nearly all rows
        votes["clear_default"] = np.where(draw.random(rows) < 0.99, HONEST, ABSTAIN)
    names = tuple(draw.permutation(sorted(votes)).tolist())
    table = np.column_stack([votes[name] for name in names]).astype(np.int8)
    return FraudVotes(table, fraud.astype(np.int8), names, accusing, exonerating, tuple(copies))
