"""How often the evidence names the cause, or a false one, in apps that `firstday simulate` does not make.

`python -m benchmarks.truth_elsewhere [--apps 600]`. All that the method must not rest on is drawn anew for
each app: how engagement is spread, how actions and retention follow it, how often the cause is done, how
strong shocks are. Without Spark, from users' counts to the action that the choice would name.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from firstday.moments.evidence import assess
from tests.oracle import App, Floats, Integers, named

ENGAGEMENTS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda draw, users: draw.normal(size=users),
    "two groups": lambda draw, users: (
        np.where(draw.random(users) < 0.35, 1.2, -0.65) + draw.normal(0, 0.4, users)
    ),
    "skewed": lambda draw, users: (draw.gamma(2, size=users) - 2) / 2**0.5,
    "heavy tails": lambda draw, users: draw.standard_t(5, size=users) / (5 / 3) ** 0.5,
}
# From a base rate on the logit and what drives a user to the logit of coming back.
RETENTIONS: dict[str, Callable[[float, Floats], Floats]] = {
    "logistic": lambda base, drive: base + drive,
    "saturating": lambda base, drive: logit(np.clip(-np.expm1(-np.exp(0.7 * base + drive)), 1e-6, 1 - 1e-6)),
    "nearly a step": lambda base, drive: base - 0.7 + 2 * np.tanh(1.5 * drive),
}
PLAIN = "nothing"
TOLD = ("counts", "retention", "base", "engagement", "users", "shocks", "everybody", "effect", "cause")
LEAST_SHARE = 0.05  # of users who do the cause


@dataclass(frozen=True)
class Kind:
    """What is drawn of an app before its users are. effect: of the cause on the logit, 0 for none. shocks,
    everybody: standard deviations over dates, of single actions and of all engagement.
    """

    harder: str
    counts: str
    retention: str
    engagement: str
    users: int
    dates: int
    actions: int
    effect: float
    shocks: float
    everybody: float
    base: float
    slope: float


def kind_of_app(draw: np.random.Generator) -> Kind:
    """Each property by chance."""
    return Kind(
        harder=draw.choice([PLAIN, PLAIN, PLAIN, "a second trait", "followers of the cause"]),
        counts=draw.choice(["Poisson", "overdispersed", "saturating", "dealt by chance"]),
        retention=draw.choice(list(RETENTIONS)),
        engagement=draw.choice(list(ENGAGEMENTS)),
        users=int(draw.choice([8_000, 30_000, 90_000])),
        dates=int(draw.choice([28, 42, 60])),
        actions=int(draw.integers(6, 17)),
        effect=draw.choice([0.0, 0.0, 0.6, 0.8, 1.1]),
        shocks=draw.choice([0.05, 0.2, 0.4]),
        everybody=draw.choice([0.0, 0.3]),
        base=draw.choice([-2.5, -1.0, 0.0, 1.5]),
        slope=draw.choice([0.4, 1.0]),
    )


def app(kind: Kind, draw: np.random.Generator) -> App:
    """Users of that kind, and what each did."""
    date = np.arange(kind.users) % kind.dates
    lift = draw.normal(0, kind.everybody, kind.dates)[date]
    level = np.clip(ENGAGEMENTS[kind.engagement](draw, kind.users) + lift, -3, 3.5)
    trait = draw.normal(size=kind.users) * (kind.harder == "a second trait")
    counts = _counts(kind, draw, level, trait, draw.normal(0, kind.shocks, (kind.dates, kind.actions))[date])
    cause = int(draw.choice(np.flatnonzero((counts > 0).mean(axis=0) > LEAST_SHARE)))
    if kind.harder == "followers of the cause":  # as a reply follows a message
        followers = [draw.binomial(counts[:, cause], share) for share in (0.4, 0.7)]
        counts = np.column_stack([counts, *followers])
    back = RETENTIONS[kind.retention](kind.base, kind.slope * level + 0.5 * trait)
    back = back + kind.effect * _caused(draw, counts[:, cause])
    retained = (draw.random(kind.users) < expit(back)).astype(float)
    actions = tuple(f"action {number}" for number in range(counts.shape[1]))
    return App(counts, retained, date, cause if kind.effect else None, actions)


def _counts(kind: Kind, draw: np.random.Generator, level: Floats, trait: Floats, shocks: Floats) -> Integers:
    """(users, actions): what each did on the first day; every third action follows the second trait, too."""
    often, loading = draw.uniform(-2.5, 1.8, kind.actions), draw.uniform(0.3, 1.0, kind.actions)
    own = often + shocks + 0.5 * trait[:, None] * (np.arange(kind.actions) % 3 == 0)
    if kind.counts == "dealt by chance":
        share = np.exp(own) / np.exp(own).sum(axis=1, keepdims=True)
        return draw.multinomial(draw.poisson(np.exp(2.5 + 0.8 * level)), share)
    follows = level[:, None] * loading
    rate = np.exp(own) * (4 * expit(2 * follows) if kind.counts == "saturating" else np.exp(follows))
    if kind.counts == "overdispersed":
        rate = rate * draw.gamma(1.5, 1 / 1.5, rate.shape)
    return draw.poisson(np.minimum(rate, 10_000))


def _caused(draw: np.random.Generator, count: Integers) -> Floats:
    """What the cause adds to the logit of coming back, for an effect of 1: at a threshold, or each time."""
    threshold = max(1, int(np.quantile(count, draw.uniform(0.5, 0.85))))
    at_once = draw.random() < 0.5
    return np.asarray(count >= threshold if at_once else np.log1p(count) / np.log1p(max(threshold, 2)))


def judged(seed: int) -> dict[str, object]:
    """What was drawn, which of the actions the cause was, and the answer: right, wrong or none."""
    draw = np.random.default_rng(seed)
    kind = kind_of_app(draw)
    made = app(kind, draw)
    found = assess(made.products)
    position = None if found is None else named(found)
    answer = "none"
    if found is not None and position is not None:
        right = made.cause is not None and found.actions[position] == made.actions[made.cause]
        answer = "right" if right else "wrong"
    done = (made.counts > 0).mean(axis=0)
    return {
        **asdict(kind),
        "cause": "-" if made.cause is None else "most done" if done.argmax() == made.cause else "another",
        "answer": answer,
    }


def table(apps: pd.DataFrame) -> str:
    """Markdown: in how many apps each answer was given, and of the plain ones by each property in turn."""
    lines = [
        "| | | with a cause | named | another named | none | without a cause | one named |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    plain = apps[apps["harder"] == PLAIN]
    for name, among in [("harder", apps), *((name, plain) for name in TOLD)]:
        lines += [f"| {name} | {value} | {_answers(alike)} |" for value, alike in among.groupby(name)]
    return "\n".join(lines)


def _answers(apps: pd.DataFrame) -> str:
    caused, free = apps[apps["effect"] > 0]["answer"], apps[apps["effect"] == 0]["answer"]
    given = [(caused == kind).sum() for kind in ("right", "wrong", "none")]
    return " | ".join(map(str, (len(caused), *given, len(free), (free == "wrong").sum())))


def main() -> None:
    """Judge the apps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=600)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.apps)
    print(table(pd.DataFrame([judged(seed) for seed in seeds])))


if __name__ == "__main__":
    main()
