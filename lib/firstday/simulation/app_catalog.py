"""What the app's home screen can show: categories, the action that each leads to, and their contents."""

import numpy as np
import pandas as pd

from firstday.simulation.bank_catalog import DAY, OPEN_END, Contents
from firstday.simulation.bank_log import instants
from firstday.simulation.world import ACTIONS

# Two categories lead to each action: group, then the categories.
LEADING = {
    "browse": ("discover", "todays_picks", "whats_new"),
    "search": ("discover", "trending_topics", "treasure_hunt"),
    "view_profile": ("people", "people_nearby", "new_faces"),
    "like": ("media", "photos_of_the_day", "short_clips"),
    "message": ("talk", "ice_breakers", "chat_rooms"),
    "friend": ("people", "people_you_may_know", "same_interests"),
    "video_chat": ("live", "live_rooms", "speed_dates"),
    "share": ("together", "greeting_cards", "challenges"),
    "comment": ("talk", "hot_debates", "open_questions"),
    "follow": ("live", "creators", "rising_stars"),
    "save": ("media", "collections", "guides"),
    "invite": ("together", "bring_a_friend", "team_games"),
}
NAMES = tuple(name for _, *names in LEADING.values() for name in names)
LEADS_TO = np.repeat(np.arange(len(ACTIONS)), 2)  # the action (number) of each category

MOST_CONTENTS = 3  # of a category; at least two
APPEAL_SPREAD = 0.3  # standard deviation of a content's appeal, on the logit of a click


def make_contents(draw: np.random.Generator, history_days: int) -> Contents:
    """Two or three a category. The first runs always; others start or end before, in or after the history."""
    category, starts, ends = [], [], []
    for number in range(len(NAMES)):
        spans: list[tuple[int, int | None]] = [(-30, None)]
        for _ in range(int(draw.integers(1, MOST_CONTENTS))):
            start = int(draw.integers(-30, history_days + 14))
            spans.append((start, start + int(draw.integers(14, 60))))
        category += [number] * len(spans)
        starts += [start * DAY for start, _ in spans]
        ends += [OPEN_END if end is None else end * DAY for _, end in spans]
    places = np.concatenate([np.arange(category.count(number)) for number in range(len(NAMES))])
    ids = [f"{NAMES[number]}-{place + 1:03d}" for number, place in zip(category, places, strict=True)]
    appeal = draw.normal(0, APPEAL_SPREAD, len(category))
    return Contents(
        np.array(ids, object), np.array(category), np.array(starts), np.array(ends, np.int64), appeal
    )


def categories_table() -> pd.DataFrame:
    """category, category_group, weight."""
    rows = [(name, group, 1.0) for group, *names in LEADING.values() for name in names]
    return pd.DataFrame(rows, columns=["category", "category_group", "weight"])


def contents_table(contents: Contents) -> pd.DataFrame:
    """content_id, category, starts_at, ends_at (missing: no end)."""
    return pd.DataFrame(
        {
            "content_id": contents.ids,
            "category": np.array(NAMES, object)[contents.category],
            "starts_at": instants(contents.starts),
            "ends_at": instants(contents.ends),
        }
    )
