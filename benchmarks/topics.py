"""Invented apps whose users come for topics: kept for judging, so that nothing of the method is chosen on
them.

A session is about one topic, which the user's interests and the date decide; a topic makes some actions
likely. So actions go together by interest as well as by engagement, some come late in a session without
following from anything, and a few bring another one about. In some apps one interest drives retention too.
"""

import numpy as np
from scipy.special import expit

from benchmarks.chains import DAY, MINUTE, ChainsApp, Events
from tests.oracle import App, Floats, Integers

LATE = 20 * MINUTE  # from a session's first action to its last, at most


def topics(seed: int) -> ChainsApp:
    """One app; `leads` are the actions that bring the cause about."""
    draw = np.random.default_rng([seed, 5])
    users = int(draw.choice([8_000, 20_000, 50_000]))
    dates = int(draw.choice([28, 40, 56]))
    effect = float(draw.choice([0.0, 0.0, 0.5, 0.8, 1.1]))
    with_trait = draw.random() < 0.4
    k, n_topics = int(draw.integers(8, 19)), int(draw.integers(3, 7))
    date = np.sort(np.arange(users) % dates)
    tide = draw.normal(0, draw.choice([0.0, 0.15, 0.3]), dates)
    level = np.clip(draw.normal(size=users) + tide[date], -3, 3.5)
    interest = draw.normal(size=(users, n_topics))
    shocks = float(draw.choice([0.1, 0.25, 0.4]))
    drawn_to = interest + draw.normal(0, 0.7, n_topics) + draw.normal(0, shocks / 2, (dates, n_topics))[date]
    below = np.cumsum(_softmax(draw.choice([0.6, 1.0]) * drawn_to), axis=1)
    general = draw.dirichlet(np.full(k, 1.0))
    own = draw.dirichlet(np.full(k, 0.4), n_topics)
    likely = (0.4 * general + 0.6 * own) * np.exp(draw.normal(0, shocks, (dates, 1, k)))
    action_below = np.cumsum(likely / likely.sum(axis=2, keepdims=True), axis=2)  # (dates, topics, actions)

    sessions = 1 + draw.poisson(np.minimum(np.exp(0.2 + 0.6 * level), 40))
    session_of = np.repeat(np.arange(users), sessions)
    topic = (draw.random(len(session_of))[:, None] > below[session_of]).sum(axis=1).clip(0, n_topics - 1)
    start = np.floor(draw.random(len(session_of)) ** 1.7 * (DAY - 120 * MINUTE))
    length = draw.negative_binomial(1.5, 1.5 / (1.5 + draw.choice([2.0, 4.0])), len(session_of)) + 1
    session = np.repeat(np.arange(len(session_of)), length)
    owner = session_of[session]
    chance = draw.random(len(owner))
    what = np.empty(len(owner), dtype=np.int64)
    for topic_now in range(n_topics):
        there = np.flatnonzero(topic[session] == topic_now)
        what[there] = (chance[there, None] > action_below[date[owner[there]], topic_now]).sum(axis=1)
    what = what.clip(0, k - 1)
    tends = draw.uniform(-0.4, 0.4, k) * (draw.random(k) < 0.5)  # early or late in a session
    at = start[session] + LATE * np.clip(draw.random(len(owner)) + tends[what], 0, 1)

    owner, what, at, brings = _with_brought_about(draw, owner, what, at, k)
    counts = np.zeros((users, k), dtype=np.int64)
    np.add.at(counts, (owner, what), 1)
    events = Events.of(draw, date)
    timed = np.isin(np.arange(users), events.users)[owner]
    for action in range(k):
        there = timed & (what == action)
        events.add(action, owner[there], at[there])
    done = (counts > 0).mean(axis=0)
    cause = int(draw.choice(np.flatnonzero((done > 0.05) & (done < 0.95))))
    caused = _caused(draw, counts[:, cause])
    taste = 0.5 * with_trait * interest[:, int(draw.integers(n_topics))]
    engaged = draw.choice([0.5, 0.9]) * (level if draw.random() < 0.5 else 1.5 * np.tanh(level))
    logit = draw.choice([-2.0, -1.0, 0.5]) + engaged + taste + effect * caused
    retained = (draw.random(users) < expit(logit)).astype(float)
    actions = tuple(f"action {number}" for number in range(k))
    return ChainsApp(
        App(counts, retained, date, cause if effect else None, actions),
        events.timing(actions),
        tuple(first for first, then in brings if then == cause),
        "topics and a trait" if with_trait else "topics",
    )


def _with_brought_about(
    draw: np.random.Generator, owner: Integers, what: Integers, at: Floats, k: int
) -> tuple[Integers, Integers, Floats, list[tuple[int, int]]]:
    """The events with those that up to three actions bring about, each of another action, within minutes."""
    brings: list[tuple[int, int]] = []
    for _ in range(int(draw.integers(0, 4))):
        first, then = (int(each) for each in draw.choice(k, 2, replace=False))
        chosen = (what == first) & (draw.random(len(what)) < draw.uniform(0.2, 0.5))
        owner = np.concatenate([owner, owner[chosen]])
        at = np.concatenate([at, at[chosen] + draw.exponential(4 * MINUTE, chosen.sum())])
        what = np.concatenate([what, np.full(chosen.sum(), then)])
        brings.append((first, then))
    return owner, what, at, brings


def _caused(draw: np.random.Generator, count: Integers) -> Floats:
    """What the cause adds to the logit for an effect of 1: at a threshold, or more with each time."""
    threshold = max(1, int(np.quantile(count, draw.uniform(0.4, 0.85))))
    at_once = draw.random() < 0.5
    return np.asarray(count >= threshold if at_once else np.log1p(count) / np.log1p(max(threshold, 2)))


def _softmax(values: Floats) -> Floats:
    weights = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
