"""An invented app in which one action, done often enough on the first day, makes users stay, or none does.

A hidden engagement drives every action and retention alike, so each action predicts retention; the one that
predicts it best is seldom the cause. Dates move single actions and, if wished, everybody at once.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.errors import SettingsError

ACTIONS = (
    "browse", "search", "view_profile", "like", "message", "friend",
    "video_chat", "share", "comment", "follow", "save", "invite",
)  # fmt: skip
SEGMENTS: dict[str, tuple[str, ...]] = {
    "country": ("BR", "DE", "KR", "US"),
    "gender": ("f", "m"),
    "channel": ("ads", "friend", "search"),
}
START = pd.Timestamp("2024-03-01", tz="UTC")
RETURN_DAYS = (1, 3, 7, 14)
DAY = 86_400  # seconds
BOT_SHARE = 1 / 3_000

Engagement = Literal["normal", "skewed", "heavy_tailed", "two_groups"]


@dataclass(frozen=True)
class Truth:
    """What was planted. `action` is None in a world without a moment."""

    action: str | None
    threshold: int | None
    effect: float  # on the logit of retention
    seed: int
    common_shocks: bool


@dataclass(frozen=True)
class World:
    """`users`: user_id, anchored_at and the segment columns; `events`: user_id, action, occurred_at."""

    users: pd.DataFrame
    events: pd.DataFrame
    truth: Truth


def simulate(
    *,
    users: int = 30_000,
    dates: int = 42,
    effect: float = 0.8,
    common_shocks: bool = True,
    seed: int = 1,
    engagement: Engagement = "normal",
    overdispersion: float = 0.0,
) -> World:
    """A world drawn with `seed`; the same arguments give the same world.

    effect: what reaching the planted threshold adds to the logit of retention; 0 plants nothing.
    common_shocks: dates (weekends, campaigns) that lift everybody's engagement and retention together.
    overdispersion: variance of the gamma factor on each user's rate of each action; 0 leaves it Poisson.
    """
    if users < 1 or dates < 1:
        raise SettingsError("a world needs users and dates", value=(users, dates), next_step="give 1 or more")
    if effect < 0:
        raise SettingsError("a planted effect is not negative", value=effect, next_step="give 0 or more")
    draw = np.random.default_rng(seed)
    date = draw.integers(0, dates, users)
    segment = {name: draw.integers(0, len(values), users) for name, values in SEGMENTS.items()}
    lift = _date_lift(draw, dates) if common_shocks else np.zeros(dates)
    level = _engagement(draw, engagement, users) + _segment_effects(draw, segment) + lift[date]
    counts, loadings = _counts(draw, level, date, dates, overdispersion)
    action, threshold = _planted(draw, counts, loadings)
    reached = counts[:, action] >= threshold
    base = draw.uniform(-1.2, -0.2) + draw.uniform(0.7, 1.1) * level + _segment_effects(draw, segment)
    shock = draw.normal(0, 0.1, dates) if common_shocks else np.zeros(dates)
    logit = base + shock[date] + effect * reached
    bots = draw.choice(users, round(users * BOT_SHARE), replace=False)
    counts[bots] = np.where(draw.random((len(bots), len(ACTIONS))) < 0.4, draw.integers(300, 1_500), 0)
    anchor = date * DAY + draw.integers(0, DAY, users)
    ids = np.array([f"user-{i:07d}" for i in range(users)])
    truth = Truth(ACTIONS[action], threshold, effect, seed, common_shocks)
    return World(
        users=_users(ids, anchor, segment),
        events=_events(draw, ids, anchor, counts, logit),
        truth=truth if effect > 0 else Truth(None, None, 0.0, seed, common_shocks),
    )


def _date_lift(draw: np.random.Generator, dates: int) -> NDArray[np.float64]:
    weekend = np.isin((START.dayofweek + np.arange(dates)) % 7, (5, 6))
    return draw.normal(0, 0.3, dates) + 0.3 * weekend


def _engagement(draw: np.random.Generator, kind: Engagement, users: int) -> NDArray[np.float64]:
    """Mean 0 and variance 1 in each kind."""
    if kind == "skewed":
        return draw.gamma(2, 1, users) / np.sqrt(2) - np.sqrt(2)
    if kind == "heavy_tailed":
        return draw.standard_t(5, users) / np.sqrt(5 / 3)
    if kind == "two_groups":
        return np.where(draw.random(users) < 0.3, 1.5275, -0.6547)
    return draw.normal(0, 1, users)


def _segment_effects(draw: np.random.Generator, segment: dict[str, NDArray[np.int64]]) -> NDArray[np.float64]:
    effects = [draw.normal(0, 0.25, len(SEGMENTS[name]))[index] for name, index in segment.items()]
    return np.asarray(sum(effects))


def _counts(
    draw: np.random.Generator,
    level: NDArray[np.float64],
    date: NDArray[np.int64],
    dates: int,
    overdispersion: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """First-day counts, users x actions, and how strongly each action follows the engagement."""
    loadings = draw.uniform(0.3, 1.1, len(ACTIONS))
    shocks = draw.normal(0, 0.35, (dates, len(ACTIONS)))
    log_rate = draw.uniform(-1.5, 1.0, len(ACTIONS)) + np.outer(level, loadings) + shocks[date]
    rate = np.exp(np.minimum(log_rate, 5.0))
    if overdispersion > 0:
        rate *= draw.gamma(1 / overdispersion, overdispersion, rate.shape)
    return draw.poisson(rate), loadings


def _planted(
    draw: np.random.Generator, counts: NDArray[np.int64], loadings: NDArray[np.float64]
) -> tuple[int, int]:
    """A cause among the half of the actions that follow engagement least, reached by 10 to 60 % of users."""
    action = int(draw.choice(np.argsort(loadings)[: len(loadings) // 2]))
    shares = {threshold: float((counts[:, action] >= threshold).mean()) for threshold in range(1, 9)}
    fitting = [threshold for threshold, share in shares.items() if 0.1 <= share <= 0.6]
    return action, int(draw.choice(fitting)) if fitting else 1


def _users(
    ids: NDArray[np.str_], anchor: NDArray[np.int64], segment: dict[str, NDArray[np.int64]]
) -> pd.DataFrame:
    columns = {name: np.array(SEGMENTS[name])[index] for name, index in segment.items()}
    return pd.DataFrame({"user_id": ids, "anchored_at": _instants(anchor), **columns})


def _events(
    draw: np.random.Generator,
    ids: NDArray[np.str_],
    anchor: NDArray[np.int64],
    counts: NDArray[np.int64],
    logit: NDArray[np.float64],
) -> pd.DataFrame:
    """The first day's events, then one to three events on each day that a user came back on."""
    user, action = np.nonzero(counts)
    times = counts[user, action]
    users, actions = [np.repeat(user, times)], [np.repeat(action, times)]
    offsets = [draw.integers(0, DAY, len(users[0]))]
    for day in RETURN_DAYS:
        back = np.flatnonzero(draw.random(len(ids)) < 1 / (1 + np.exp(0.35 * np.log(day) - logit)))
        back = np.repeat(back, draw.integers(1, 4, len(back)))
        users.append(back)
        actions.append(draw.integers(0, len(ACTIONS), len(back)))
        offsets.append(day * DAY + draw.integers(0, DAY, len(back)))
    who = np.concatenate(users)
    occurred = anchor[who] + np.concatenate(offsets)
    order = np.argsort(occurred, kind="stable")
    frame = {"user_id": ids[who], "action": np.array(ACTIONS)[np.concatenate(actions)]}
    return pd.DataFrame({**frame, "occurred_at": _instants(occurred)}).iloc[order].reset_index(drop=True)


def _instants(seconds: NDArray[np.int64]) -> pd.DatetimeIndex:
    return (START + pd.to_timedelta(seconds, unit="s")).as_unit("us")
