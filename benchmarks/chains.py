"""Invented apps whose actions follow from one another: chains, a hidden trait, and what pushing one brings.

Three generators, drawn anew for each app. `chains`: each step of a chain follows the one before by chance, or
comes by itself. `journeys`: users walk from action to action (a Markov chain), so that nearly everything
follows from something. `looks`: a look causes a message with a stated chance (or does not, and both come of
the same wish); it is what expected gains are judged by.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from firstday.moments.families import Timing
from firstday.moments.timing import pairs_in_time
from tests.oracle import App, Floats, Integers

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
TIMED_A_DATE = 150


@dataclass(frozen=True)
class ChainsApp:
    """An app, who precedes whom in it, and which actions bring the cause about if they are pushed."""

    app: App
    timing: Timing
    leads: tuple[int, ...]
    kind: str


@dataclass
class Events:
    """Event times of a sample of users, action by action, while counts are made for all."""

    users: Integers
    user: list[Integers]
    action: list[Integers]
    at: list[Floats]

    @classmethod
    def of(cls, draw: np.random.Generator, date: Integers) -> "Events":
        order = np.lexsort((draw.random(len(date)), date))
        place = np.arange(len(date)) - np.searchsorted(date[order], date[order])
        return cls(np.sort(order[place < TIMED_A_DATE]), [], [], [])

    def add(self, action: int, user: Integers, at: Floats) -> None:
        early = at < DAY
        self.user.append(user[early])
        self.action.append(np.full(early.sum(), action))
        self.at.append(at[early])

    def timing(self, actions: tuple[str, ...]) -> Timing:
        user, action = np.concatenate(self.user), np.concatenate(self.action)
        at = np.concatenate(self.at).astype(np.int64)
        return Timing(
            actions, *(each.astype(float) for each in pairs_in_time(user, action, at, len(actions)))
        )


def _in_sessions(draw: np.random.Generator, user: Integers, sessions: Integers) -> Floats:
    """A time for each event of these users: in one of their sessions, most of them early."""
    which = np.floor(draw.random(len(user)) ** 1.5 * sessions[user]).astype(np.int64)
    start = np.random.default_rng(7).random(100_003)[(user * 31 + which * 7_919) % 100_003] ** 2
    return np.asarray((start * (DAY - 120 * MINUTE)) + draw.exponential(15 * MINUTE, len(user)))


def _timed(timed: Integers, counts: Integers) -> Integers:
    """The user of each event, of the timed users."""
    return np.repeat(timed, counts[timed])


def chains(seed: int) -> ChainsApp:
    """Two or three chains of two to four steps and some lone actions; in half of the apps a trait."""
    draw = np.random.default_rng([seed, 1])
    users = int(draw.choice([8_000, 15_000, 30_000, 60_000]))
    dates = int(draw.choice([28, 35, 50]))
    effect = float(draw.choice([0.0, 0.0, 0.5, 0.8, 1.1]))
    shocks = float(draw.choice([0.1, 0.25, 0.4]))
    tide = float(draw.choice([0.0, 0.15, 0.3]))
    with_trait = draw.random() < 0.5
    date = np.sort(np.arange(users) % dates)
    skewed = draw.random() < 0.5
    level = (draw.gamma(2, size=users) - 2) / 2**0.5 if skewed else draw.normal(size=users)
    level = np.clip(level + draw.normal(0, tide, dates)[date], -3, 3.5)
    trait = draw.normal(size=users)
    lengths = [int(length) for length in draw.integers(2, 5, draw.integers(2, 4))]
    lone = int(draw.integers(4, 9))
    actions = tuple(
        [f"chain {n} step {m}" for n, length in enumerate(lengths) for m in range(length)]
        + [f"lone {n}" for n in range(lone)]
    )
    k = len(actions)
    shock = draw.normal(0, shocks, (dates, k))[date]
    spread = draw.choice(["Poisson", "overdispersed"])
    events = Events.of(draw, date)
    sessions = 1 + draw.poisson(np.exp(0.5 + 0.5 * level))
    trait_chain = int(draw.integers(len(lengths)))
    of_trait = float(draw.choice([0.3, 0.6])) * with_trait
    counts = np.zeros((users, k), dtype=np.int64)

    def alone(action: int, often: float, loading: float, taste: float) -> Integers:
        rate = np.exp(often + loading * level + shock[:, action] + taste * trait)
        if spread == "overdispersed":
            rate = rate * draw.gamma(2, 0.5, users)
        return draw.poisson(np.minimum(rate, 2_000))

    place = 0
    chain_of = np.full(k, -1)
    for chain, length in enumerate(lengths):
        taste = of_trait * (chain == trait_chain)
        times: tuple[Integers, Floats] | None = None
        for step in range(length):
            chain_of[place] = chain
            if step == 0:
                spontaneous = alone(place, draw.uniform(-0.6, 1.2), draw.uniform(0.4, 1.0), taste)
                triggered = np.zeros(users, dtype=np.int64)
            else:
                # The share that goes on differs from date to date and from user to user.
                share = draw.uniform(0.25, 0.6)
                goes_on = expit(np.log(share / (1 - share)) + shock[:, place] + 0.3 * draw.normal(size=users))
                triggered = draw.binomial(counts[:, place - 1], goes_on)
                spontaneous = alone(place, draw.uniform(-3.0, -1.0), draw.uniform(0.3, 0.8), taste / 2)
            counts[:, place] = triggered + spontaneous
            user = _timed(events.users, spontaneous)
            at = _in_sessions(draw, user, sessions)
            if times is not None:
                before, when = times
                order = np.lexsort((draw.random(len(before)), before))
                before, when = before[order], when[order]
                nth = np.arange(len(before)) - np.searchsorted(before, before)
                chosen = nth < triggered[before]
                user = np.concatenate([user, before[chosen]])
                at = np.concatenate([at, when[chosen] + draw.exponential(6 * MINUTE, chosen.sum())])
            events.add(place, user, at)
            times = user, at
            place += 1
    for action in range(place, k):
        counts[:, action] = alone(action, draw.uniform(-2.0, 1.5), draw.uniform(0.3, 1.0), 0.0)
        user = _timed(events.users, counts[:, action])
        events.add(action, user, _in_sessions(draw, user, sessions))
    done = (counts > 0).mean(axis=0)
    may = (
        (done > 0.05) & (done < 0.9) & ((chain_of != trait_chain) | (draw.random() < 0.2) | (not with_trait))
    )
    may_be = np.flatnonzero(may & (chain_of >= 0)) if draw.random() < 0.8 else np.flatnonzero(may)
    cause = int(draw.choice(may_be if len(may_be) else np.flatnonzero(may)))
    threshold = max(1, int(np.quantile(counts[:, cause], draw.uniform(0.4, 0.8))))
    at_once = draw.random() < 0.6
    caused = (
        (counts[:, cause] >= threshold) * 1.0
        if at_once
        else np.log1p(counts[:, cause]) / np.log1p(max(threshold, 2))
    )
    logit = draw.choice([-2.0, -1.0, 0.0]) + draw.choice([0.5, 0.9]) * level + 0.5 * with_trait * trait
    retained = (draw.random(users) < expit(logit + effect * caused)).astype(float)
    first = cause - int((chain_of[:cause] == chain_of[cause]).sum()) if chain_of[cause] >= 0 else cause
    return ChainsApp(
        App(counts, retained, date, cause if effect else None, actions),
        events.timing(actions),
        tuple(range(first, cause)),
        "chains and a trait" if with_trait else "chains",
    )


def journeys(seed: int) -> ChainsApp:
    """Sessions in which each action leads on to some others: nothing of it was used to choose the method."""
    draw = np.random.default_rng([seed, 2])
    users = int(draw.choice([10_000, 25_000, 60_000]))
    dates = int(draw.choice([30, 45, 60]))
    effect = float(draw.choice([0.0, 0.0, 0.6, 0.9]))
    k = int(draw.integers(9, 15))
    date = np.sort(np.arange(users) % dates)
    level = np.clip(draw.normal(size=users) + draw.normal(0, draw.choice([0.0, 0.25]), dates)[date], -3, 3.5)
    begins = draw.dirichlet(np.full(k, 1.5))
    goes_to = np.zeros((k, k))
    for action in range(k):
        others = draw.choice(np.delete(np.arange(k), action), int(draw.integers(1, 4)), replace=False)
        goes_to[action, others] = draw.uniform(0.25, 0.7) * draw.dirichlet(np.ones(len(others)))
    shock = np.exp(draw.normal(0, draw.choice([0.15, 0.35]), (dates, k)))
    start = begins * shock
    on = goes_to * shock[:, None, :]
    on = on / np.maximum(on.sum(axis=2, keepdims=True) / 0.95, 1.0)
    start_below = np.cumsum(start / start.sum(axis=1, keepdims=True), axis=1)
    on_below = np.cumsum(on, axis=2)
    taste = draw.normal(size=users)
    with_trait = draw.random() < 0.3
    liked = int(draw.integers(k))
    sessions = 1 + draw.poisson(np.minimum(np.exp(0.4 + 0.6 * level), 60))
    owner = np.repeat(np.arange(users), sessions)
    if with_trait:  # sessions that begin with what one likes
        extra = np.repeat(np.arange(users), draw.poisson(np.exp(-1 + 0.6 * taste)))
        owner = np.concatenate([owner, extra])
    else:
        extra = np.zeros(0, dtype=np.int64)
    what = np.minimum((draw.random(len(owner))[:, None] > start_below[date[owner]]).sum(axis=1), k - 1)
    what[len(owner) - len(extra) :] = liked
    at = np.floor(draw.random(len(owner)) ** 2 * (DAY - 120 * MINUTE))
    counts = np.zeros((users, k), dtype=np.int64)
    events = Events.of(draw, date)
    timed = np.isin(np.arange(users), events.users)
    for _ in range(15):
        np.add.at(counts, (owner, what), 1)
        for action in range(k):
            there = (what == action) & timed[owner]
            events.add(action, owner[there], at[there])
        following = (draw.random(len(owner))[:, None] > on_below[date[owner], what]).sum(axis=1)
        goes_on = following < k
        owner, what = owner[goes_on], following[goes_on]
        at = at[goes_on] + draw.exponential(5 * MINUTE, goes_on.sum())
        if not len(owner):
            break
    done = (counts > 0).mean(axis=0)
    cause = int(draw.choice(np.flatnonzero((done > 0.05) & (done < 0.95))))
    threshold = max(1, int(np.quantile(counts[:, cause], draw.uniform(0.4, 0.8))))
    caused = counts[:, cause] >= threshold
    logit = draw.choice([-1.5, -0.5, 0.5]) + 0.7 * level + 0.5 * with_trait * taste + effect * caused
    retained = (draw.random(users) < expit(logit)).astype(float)
    actions = tuple(f"action {number}" for number in range(k))
    return ChainsApp(
        App(counts, retained, date, cause if effect else None, actions),
        events.timing(actions),
        tuple(np.flatnonzero(goes_to[:, cause] > 0.1).tolist()),
        "journeys and a trait" if with_trait else "journeys",
    )


def followers_timing(seed: int, app: App, cause: int) -> Timing:
    """Of an app of `truth_elsewhere` whose last two actions follow the cause, each time within minutes."""
    draw = np.random.default_rng([seed, 3])
    events = Events.of(draw, app.date)
    sessions = 1 + draw.poisson(2, len(app.date))
    user = _timed(events.users, app.counts[:, cause])
    at = _in_sessions(draw, user, sessions)
    for action in range(app.counts.shape[1] - 2):
        mine = _timed(events.users, app.counts[:, action])
        events.add(action, *((user, at) if action == cause else (mine, _in_sessions(draw, mine, sessions))))
    order = np.lexsort((draw.random(len(user)), user))
    user, at = user[order], at[order]
    nth = np.arange(len(user)) - np.searchsorted(user, user)
    for action in (app.counts.shape[1] - 2, app.counts.shape[1] - 1):
        chosen = nth < app.counts[user, action]
        events.add(action, user[chosen], at[chosen] + draw.exponential(6 * MINUTE, chosen.sum()))
    return events.timing(app.actions)
