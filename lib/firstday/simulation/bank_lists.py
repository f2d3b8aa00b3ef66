"""Recommendations as the channel takes them: one list a customer, checked, whatever the order of the rows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.errors import DataError
from firstday.simulation.bank_catalog import NAMES, Contents
from firstday.simulation.bank_clicks import SLOTS

COLUMNS = ("user_id", "slot", "category", "content_id", "policy", "propensity")


@dataclass(frozen=True)
class Lists:
    """What is shown, arrays (lists, slots). content: -1 for nothing; propensity: NaN if not drawn."""

    content: NDArray[np.int64]
    propensity: NDArray[np.float64]
    policy: NDArray[np.object_]

    @classmethod
    def empty(cls, lists: int, slots: int = SLOTS) -> "Lists":
        return cls(
            np.full((lists, slots), -1),
            np.full((lists, slots), np.nan),
            np.full((lists, slots), None, object),
        )

    def of(self, rows: NDArray[np.int64]) -> "Lists":
        return Lists(self.content[rows], self.propensity[rows], self.policy[rows])

    def replaced(self, users: NDArray[np.int64], by: "Lists") -> "Lists":
        """`by` in place of these users' lists, whole: what it leaves empty is empty."""
        content, propensity, policy = self.content.copy(), self.propensity.copy(), self.policy.copy()
        content[users], propensity[users], policy[users] = (
            by.content[users], by.propensity[users], by.policy[users],
        )  # fmt: skip
        return Lists(content, propensity, policy)


def read_lists(
    recommendations: pd.DataFrame, user_ids: NDArray[np.object_], contents: Contents
) -> tuple[NDArray[np.int64], Lists]:
    """The customers (numbers) that have a list, and lists for all of `user_ids`.

    Raises DataError for missing columns, unknown customers or contents, a content of another category, a slot
    that the app has not, two contents in a slot, a category twice in a list, or an impossible propensity.
    """
    missing = [name for name in COLUMNS if name not in recommendations]
    _must(not missing, "recommendations have all columns", missing)
    user = pd.Index(user_ids).get_indexer(recommendations["user_id"])
    content = pd.Index(contents.ids).get_indexer(recommendations["content_id"])
    category = pd.Index(NAMES).get_indexer(recommendations["category"])
    slot = recommendations["slot"].to_numpy()
    propensity = recommendations["propensity"].to_numpy(float, na_value=np.nan)
    _must((user >= 0).all(), "all customers are of this bank", recommendations["user_id"][user < 0])
    _must((content >= 0).all(), "all contents are of this bank", recommendations["content_id"][content < 0])
    other = contents.category[content] != category
    _must(not other.any(), "a content shows its own category", recommendations["content_id"][other])
    outside = ~np.isin(slot, np.arange(1, SLOTS + 1))
    _must(not outside.any(), f"slots are 1 to {SLOTS}", slot[outside])
    _must(not _repeats(user, slot), "a slot of a list shows one content")
    _must(not _repeats(user, category), "a list shows a category once")
    wrong = (propensity <= 0) | (propensity > 1)
    _must(not wrong.any(), "a propensity is above 0 and at most 1, or missing", propensity[wrong])
    lists = Lists.empty(len(user_ids))
    place = slot.astype(np.int64) - 1
    lists.content[user, place] = content
    lists.propensity[user, place] = propensity
    lists.policy[user, place] = recommendations["policy"].to_numpy(object)
    return np.unique(user), lists


def _repeats(*columns: NDArray[np.int64]) -> bool:
    return bool(pd.DataFrame(dict(enumerate(columns))).duplicated().any())


def _must(holds: bool, rule: str, found: object = None) -> None:
    if not holds:
        some = None if found is None else list(found)[:3]  # type: ignore[call-overload]
        raise DataError(rule, value=some, next_step="correct the recommendations")
