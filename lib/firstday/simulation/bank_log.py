"""The bank's log: what was played as arrays of numbers, and as the tables that a recommender reads."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.simulation.bank_behaviour import Payments, Visits, app_actions
from firstday.simulation.bank_catalog import NAMES, OPEN_END

Whole = NDArray[np.int64]
Exposures = dict[str, NDArray[Any]]

START = pd.Timestamp("2024-03-04", tz="UTC")  # a Monday
CATEGORY_NAMES = np.array(NAMES, object)
REACTIONS = ("click", "dismiss", "join")
# user, category and content are numbers; second since START; slot from 1; reactions: seconds later, 0: none.
EXPOSURE_COLUMNS = ("user", "second", "slot", "category", "content", "policy", "propensity", *REACTIONS)


def instants(seconds: Whole) -> pd.DatetimeIndex:
    """UTC; OPEN_END is missing."""
    none = seconds >= OPEN_END
    known = START + pd.to_timedelta(np.where(none, 0, seconds), unit="s")
    return known.as_unit("us").where(~none)


def joined_up(parts: list[Exposures]) -> Exposures:
    """One log out of several, one after the other."""
    if not parts:
        kinds = {"policy": object, "propensity": np.float64}
        return {name: np.zeros(0, kinds.get(name, np.int64)) for name in EXPOSURE_COLUMNS}
    return {name: np.concatenate([part[name] for part in parts]) for name in EXPOSURE_COLUMNS}


def in_order(log: Exposures) -> Exposures:
    """Sorted by second, user and slot."""
    order = np.lexsort((log["slot"], log["user"], log["second"]))
    return {name: column[order] for name, column in log.items()}


def impression_rows(
    log: Exposures, first: int, user_ids: NDArray[np.object_], content_ids: NDArray[np.object_]
) -> pd.DataFrame:
    """The table impressions; ids are numbered from `first` on."""
    ids = [f"impression-{number:09d}" for number in range(first, first + len(log["user"]))]
    return pd.DataFrame(
        {
            "impression_id": np.array(ids, object),
            "user_id": user_ids[log["user"]],
            "category": CATEGORY_NAMES[log["category"]],
            "content_id": content_ids[log["content"]],
            "slot": log["slot"],
            "shown_at": instants(log["second"]),
            "policy": log["policy"],
            "propensity": log["propensity"],
        }
    )


def reaction_rows(log: Exposures, impressions: pd.DataFrame) -> pd.DataFrame:
    """The table reactions, sorted by time."""
    place = np.concatenate([np.flatnonzero(log[kind]) for kind in REACTIONS])
    kind = np.repeat(REACTIONS, [np.count_nonzero(log[kind]) for kind in REACTIONS]).astype(object)
    wait = np.concatenate([log[kind][log[kind] > 0] for kind in REACTIONS])
    second = log["second"][place] + wait
    order = np.lexsort((place, second))
    return pd.DataFrame(
        {
            "impression_id": impressions["impression_id"].to_numpy(object)[place[order]],
            "kind": kind[order],
            "reacted_at": instants(second[order]),
        }
    )


def transaction_rows(paid: list[Payments], user_ids: NDArray[np.object_]) -> pd.DataFrame:
    """The table transactions, sorted by time."""
    user, category, second, amount = (
        np.concatenate([getattr(part, name) for part in paid])
        for name in ("user", "category", "second", "amount")
    )
    order = np.lexsort((category, user, second))
    return pd.DataFrame(
        {
            "user_id": user_ids[user[order]],
            "category": CATEGORY_NAMES[category[order]],
            "occurred_at": instants(second[order]),
            "amount": amount[order],
        }
    )


def event_rows(seed: int, seen: Visits, log: Exposures, user_ids: NDArray[np.object_]) -> pd.DataFrame:
    """The table events: what was done in the app, views of products and signed contracts among it."""
    user, action, second = app_actions(seed, seen)
    for kind, name in (("click", "view_product"), ("join", "sign_contract")):
        some = log[kind] > 0
        user = np.concatenate([user, log["user"][some]])
        action = np.concatenate([action, np.full(some.sum(), name, object)])
        second = np.concatenate([second, (log["second"] + log[kind])[some]])
    order = np.lexsort((action.astype(str), user, second))
    return pd.DataFrame(
        {"user_id": user_ids[user[order]], "action": action[order], "occurred_at": instants(second[order])}
    )


def holding_rows(
    user: Whole, category: Whole, since: Whole, until: Whole, user_ids: NDArray[np.object_]
) -> pd.DataFrame:
    """The table holdings."""
    return pd.DataFrame(
        {
            "user_id": user_ids[user],
            "category": CATEGORY_NAMES[category],
            "since": instants(since),
            "until": instants(until),
        }
    )
