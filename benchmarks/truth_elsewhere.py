"""How often the evidence names the cause, or a false one, in apps that `firstday simulate` does not make.

`python -m benchmarks.truth_elsewhere [--apps 400] [--first-seed 0] [--only NAME ...]`: so many apps of each
generator (this one, chains and journeys of `benchmarks.chains`, and `benchmarks.topics`, which nothing is
chosen on), and in how many the evidence is right, before and now; and what is true of actions that are told
some probability of being the cause, or that pushing them works. All that the method must not rest on is drawn
anew for each app: how engagement is spread, how actions and retention follow it, how often the cause is done,
how strong shocks are. Without Spark, from users' counts to the action that the choice would name.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from benchmarks import chains
from benchmarks import evidence_with_gates as gated
from benchmarks.topics import topics
from firstday.moments.choose import LEAST_P_WORKS, LONGEST_LIST
from firstday.moments.evidence import ActionEvidence, assess
from firstday.moments.families import Timing
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


def app(kind: Kind, draw: np.random.Generator) -> tuple[App, int]:
    """Users of that kind, what each did, and the action that is the cause if there is one."""
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
    return App(counts, retained, date, cause if kind.effect else None, actions), cause


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


BANDS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.001)
FOLLOWERS = "followers of the cause"


Drawn = tuple[dict[str, object], App, Timing | None, tuple[int, ...]]
Told = list[tuple[float, bool]]  # a probability, and whether it is so


def elsewhere(seed: int) -> Drawn:
    """What was drawn, the app, the timing of its actions (None where nothing follows from anything), and
    which actions bring the cause about.
    """
    draw = np.random.default_rng(seed)
    kind = kind_of_app(draw)
    made, cause = app(kind, draw)
    timing = chains.followers_timing(seed, made, cause) if kind.harder == FOLLOWERS else None
    done = (made.counts > 0).mean(axis=0)
    common = "-" if made.cause is None else "most done" if done.argmax() == made.cause else "another"
    return {**asdict(kind), "kind": kind.harder, "cause": common}, made, timing, ()


def _of(make: Callable[[int], chains.ChainsApp]) -> Callable[[int], Drawn]:
    """The same of another generator."""

    def drawn(seed: int) -> Drawn:
        made = make(seed)
        return {"kind": made.kind}, made.app, made.timing, made.leads

    return drawn


GENERATORS: dict[str, Callable[[int], Drawn]] = {
    "elsewhere": elsewhere,
    "chains": _of(chains.chains),
    "journeys": _of(chains.journeys),
    "topics": _of(topics),
}


def judged(
    drawn: dict[str, object], made: App, timing: Timing | None, leads: tuple[int, ...]
) -> tuple[dict[str, object], Told, Told]:
    """The answers (right, wrong or none); what is told of each action with whether it is the cause, and with
    whether pushing it works.
    """
    cause = None if made.cause is None else made.actions[made.cause]
    works = {cause, *(made.actions[place] for place in leads)} if cause is not None else set()
    data = made.products
    found, before = assess(data, timing), gated.assess(data)
    row = {**drawn, "caused": cause is not None, "before": "none", "now": "none", "listed": 0}
    if before is not None:
        row["before"] = _answer(before, gated.named(before), cause)
    if found is None:
        return {**row, "first": False, "first three": False}, [], []
    row["now"] = _answer(found, named(found), cause)
    order = np.lexsort((np.arange(len(found.actions)), -found.p_works))
    listed = [found.actions[i] for i in order if found.p_works[i] >= LEAST_P_WORKS][:LONGEST_LIST]
    row |= {"listed": len(listed), "first": cause in listed[:1], "first three": cause in listed[:3]}
    told = [
        [(float(p), name in true) for p, name in zip(told_of, found.actions, strict=True)]
        for told_of, true in ((found.p_cause, {cause}), (found.p_works, works))
    ]
    return row, told[0], told[1]


def _answer(found: gated.ActionEvidence | ActionEvidence, position: int | None, cause: str | None) -> str:
    if position is None:
        return "none"
    return "right" if found.actions[position] == cause else "wrong"


def table(apps: pd.DataFrame) -> str:
    """Markdown: by kind, right / wrong / none of the apps with a cause, false moments of those without."""
    lines = [
        "| kind | before: right / wrong / none; false | now | first, first three of the list "
        "| a list without a cause |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, alike in [*apps.groupby("kind"), ("all", apps)]:
        caused, free = alike[alike["caused"]], alike[~alike["caused"]]
        cells = [_answers(caused[method], free[method]) for method in ("before", "now")]
        cells.append(f"{caused['first'].mean():.2f}, {caused['first three'].mean():.2f}")
        cells.append(f"{(free['listed'] > 0).mean():.2f}")
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _answers(caused: pd.Series, free: pd.Series) -> str:
    given = " / ".join(str((caused == answer).sum()) for answer in ("right", "wrong", "none"))
    return f"{given} of {len(caused)}; {(free == 'wrong').sum()} of {len(free)}"


def reliability(what: str, told: dict[str, Told]) -> str:
    """Markdown: of actions told some probability, the share of which it is so, and how many there are."""
    names = [f"{low:g} to {min(high, 1):g}" for low, high in pairwise(BANDS)]
    lines = [f"| told {what} | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    for name, pairs in [*told.items(), ("all", [pair for each in told.values() for pair in each])]:
        probability, is_cause = np.array(pairs).T
        cells = []
        for low, high in pairwise(BANDS):
            there = (probability >= low) & (probability < high)
            cells.append(
                f"{is_cause[there].mean():.2f} of {probability[there].mean():.2f} ({there.sum()})"
                if there.any()
                else "-"
            )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Judge the apps and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=400, help="of each generator")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(GENERATORS), default=list(GENERATORS))
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.apps)
    rows: list[dict[str, object]] = []
    of_cause: dict[str, Told] = {}
    of_works: dict[str, Told] = {}
    for name in options.only:
        for seed in seeds:
            row, causes, works = judged(*GENERATORS[name](seed))
            rows.append(row)
            of_cause.setdefault(name, []).extend(causes)
            of_works.setdefault(name, []).extend(works)
    print(table(pd.DataFrame(rows)))
    print(reliability("P(cause)", of_cause))
    print(reliability("P(works)", of_works))


if __name__ == "__main__":
    main()
