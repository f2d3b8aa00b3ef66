"""The app's log: what was played as arrays of numbers, and as the tables that firstday's jobs read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.simulation.app_catalog import NAMES
from firstday.simulation.app_people import Whole, user_ids
from firstday.simulation.bank_log import instants
from firstday.simulation.world import ACTIONS

Exposures = dict[str, NDArray[Any]]
Events = tuple[Whole, Whole, Whole]  # user, action, second

REACTIONS = ("click", "dismiss")
# user, category and content are numbers; second since START; slot from 1; reactions: seconds later, 0: none.
EXPOSURE_COLUMNS = ("user", "second", "slot", "category", "content", "policy", "propensity", *REACTIONS)


def joined_up(parts: list[Exposures], columns: Sequence[str] = EXPOSURE_COLUMNS) -> Exposures:
    """One log out of several, one after the other."""
    if not parts:
        kinds = {"policy": object, "propensity": np.float64}
        return {name: np.zeros(0, kinds.get(name, np.int64)) for name in columns}
    return {name: np.concatenate([part[name] for part in parts]) for name in columns}


def in_order(log: Exposures) -> Exposures:
    """Sorted by second, user and slot."""
    order = np.lexsort((log["slot"], log["user"], log["second"]))
    return {name: column[order] for name, column in log.items()}


def impression_rows(log: Exposures, content_ids: NDArray[np.object_], since: int) -> pd.DataFrame:
    """The table impressions, from a second on; ids are numbered in the order of the log."""
    place = np.flatnonzero(log["second"] >= since)
    return pd.DataFrame(
        {
            "impression_id": _impression_ids(place),
            "user_id": user_ids(log["user"][place]),
            "category": np.array(NAMES, object)[log["category"][place]],
            "content_id": content_ids[log["content"][place]],
            "slot": log["slot"][place],
            "shown_at": instants(log["second"][place]),
            "policy": log["policy"][place],
            "propensity": log["propensity"][place],
        }
    )


def reaction_rows(log: Exposures, since: int, before: int) -> pd.DataFrame:
    """The table reactions, sorted by time, from a second on up to before another."""
    place = np.concatenate([np.flatnonzero(log[kind]) for kind in REACTIONS])
    kind = np.repeat(REACTIONS, [np.count_nonzero(log[kind]) for kind in REACTIONS]).astype(object)
    second = log["second"][place] + np.concatenate([log[kind][log[kind] > 0] for kind in REACTIONS])
    order = np.lexsort((place, second))
    order = order[(since <= second[order]) & (second[order] < before)]
    return pd.DataFrame(
        {
            "impression_id": _impression_ids(place[order]),
            "kind": kind[order],
            "reacted_at": instants(second[order]),
        }
    )


def event_rows(parts: list[Events], since: int, before: int) -> pd.DataFrame:
    """The table events, sorted by time, from a second on up to before another."""
    user, action, second = np.hstack([np.zeros((3, 0), np.int64), *map(np.array, parts)])
    wanted = np.flatnonzero((since <= second) & (second < before))
    order = wanted[np.lexsort((action[wanted], user[wanted], second[wanted]))]
    return pd.DataFrame(
        {
            "user_id": user_ids(user[order]),
            "action": np.array(ACTIONS, object)[action[order]],
            "occurred_at": instants(second[order]),
        }
    )


def _impression_ids(number: Whole) -> NDArray[np.object_]:
    return np.array([f"impression-{each:09d}" for each in number], object)
