"""A bank that can be played day by day: show recommendations, see what customers do, and what it changes."""

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.errors import SettingsError
from firstday.simulation import bank_clicks as clicks
from firstday.simulation import bank_log as log
from firstday.simulation.bank_behaviour import Payments, Visits, follow_ups, payments, visits
from firstday.simulation.bank_catalog import (
    DAY,
    NAMES,
    OPEN_END,
    TERM,
    Contents,
    categories_table,
    eligibility_table,
    eligible,
)
from firstday.simulation.bank_customers import Population
from firstday.simulation.bank_lists import Lists, read_lists

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]
Choose = Callable[[Whole, Whole], Lists]  # what these customers see at these seconds

GROWING = ("holdings", "transactions", "impressions", "reactions", "events")
_STATE = ("_since", "_until", "_tired", "_tired_at", "_clicked_at", "_joined_at")


class Bank:
    """A world with a state: who holds what, who is tired of what, and the log of what happened until `now`.

    The tables (customers, categories, eligibility, contents, holdings, transactions, preferences,
    impressions, reactions, events) are what a recommender may read; `truth`, `click_chances` and
    `click_probability` are for oracles and tests.
    Arrays are customers x categories, times in seconds since START. Make one with `simulate_bank`.
    """

    def __init__(
        self, *, seed: int, strength: float, people: Population, contents: Contents, preferences: pd.DataFrame
    ) -> None:
        self.seed, self.strength = seed, strength
        self.people, self.banners = people, contents
        self.customers, self.preferences = people.customers, preferences
        self.categories, self.eligibility = categories_table(), eligibility_table()
        self.contents = pd.DataFrame(
            {
                "content_id": contents.ids,
                "category": log.CATEGORY_NAMES[contents.category],
                "starts_at": log.instants(contents.starts),
                "ends_at": log.instants(contents.ends),
            }
        )
        self.eligible = eligible(people.customers)
        self.user_ids = people.customers["user_id"].to_numpy(object)
        unheld = self.eligible & (people.held_until <= 0)
        self.level = clicks.intercept(people.interest, unheld if unheld.any() else np.ones_like(unheld))
        self.day = 0  # the first that has not been played
        shape = people.interest.shape
        self._since, self._until = people.held_since.copy(), people.held_until.copy()
        self._tired, self._tired_at = np.zeros(shape), np.zeros(shape, np.int64)
        self._clicked_at, self._joined_at = np.full(shape, -OPEN_END), np.full(shape, OPEN_END)
        self._lists = Lists.empty(len(self.user_ids))
        self._exposures = [log.joined_up([])]
        user, category = np.nonzero(self._until > self._since)
        since, until = self._since[user, category], self._until[user, category]
        self._grown: dict[str, list[pd.DataFrame]] = {name: [] for name in GROWING}
        self._grown["holdings"].append(log.holding_rows(user, category, since, until, self.user_ids))

    @property
    def now(self) -> pd.Timestamp:
        """The first instant that has not been played."""
        return log.START + pd.Timedelta(days=self.day)

    @property
    def holdings(self) -> pd.DataFrame:
        return self._table("holdings")

    @property
    def transactions(self) -> pd.DataFrame:
        return self._table("transactions")

    @property
    def impressions(self) -> pd.DataFrame:
        return self._table("impressions")

    @property
    def reactions(self) -> pd.DataFrame:
        return self._table("reactions")

    @property
    def events(self) -> pd.DataFrame:
        return self._table("events")

    def copy(self) -> "Bank":
        """The same world in the same state, to be played otherwise."""
        other = copy.copy(self)
        for name in _STATE:
            setattr(other, name, getattr(self, name).copy())
        other._exposures = list(self._exposures)
        other._grown = {name: list(parts) for name, parts in self._grown.items()}
        return other

    def visits(self, day: pd.Timestamp) -> pd.DataFrame:
        """user_id and shown_at of all visits of the day that starts at `day`, whatever will be shown."""
        seen = visits(self.seed, self.people, _day(day), 1, log.START.dayofweek)
        frame = pd.DataFrame({"user_id": self.user_ids[seen.user], "shown_at": log.instants(seen.second)})
        return frame.sort_values(["shown_at", "user_id"], ignore_index=True)

    def show(
        self, recommendations: pd.DataFrame, since: pd.Timestamp, until: pd.Timestamp
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Play whole days, from `since` (which is `now`) to before `until`: its impressions and reactions.

        recommendations: user_id, slot, category, content_id, policy, propensity. They replace the lists of
        the customers whom they name, the others' stay as they were; who has none visits without being shown
        anything, and a content that is not live is left out. Order of rows changes nothing.

        Raises DataError for recommendations that cannot be shown, SettingsError for another period.
        """
        first, end = _day(since), _day(until)
        if first != self.day or end <= first:
            raise SettingsError(
                "a period starts now and has whole days",
                value=(str(since), str(until)),
                next_step=f"now is {self.now}",
            )
        users, lists = read_lists(recommendations, self.user_ids, self.banners)
        self._lists = self._lists.replaced(users, lists)
        return self.play(end - first, lambda user, _: self._lists.of(user))

    def play(self, days: int, choose: Choose) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Play `days` with lists chosen at each visit; the history is made so."""
        seen = visits(self.seed, self.people, self.day, days, log.START.dayofweek)
        paid = [payments(self.seed, self.people, self.day, days)]
        shown = []
        key = seen.second // DAY * 10 + seen.number
        for day in range(self.day, self.day + days):
            paid.append(follow_ups(self.seed, day, self._clicked_at, self._joined_at, self._until))
            low, high = np.searchsorted(key, (day * 10, day * 10 + 10))
            # A customer is at most once among the visits of one number, so that they are one step.
            for part in np.split(np.arange(low, high), np.flatnonzero(np.diff(key[low:high])) + 1):
                if len(part):
                    user, second = seen.user[part], seen.second[part]
                    shown.append(self._visit(user, second, choose(user, second)))
        self.day += days
        return self._publish(seen, shown, paid)

    def held(self) -> NDArray[np.bool_]:
        """Who holds what now."""
        return np.asarray((self._since <= self.day * DAY) & (self.day * DAY < self._until))

    def offerable(self, user: Whole, second: Whole) -> NDArray[np.bool_]:
        """What may be shown to these customers at these seconds: eligible, not held, with a live content."""
        at = second[:, None]
        held = (self._since[user] <= at) & (at < self._until[user])
        return np.asarray(self.eligible[user] & ~held & self.live_contents(second)[0])

    def live_contents(self, second: Whole) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """By second: the categories with a live content, and the contents that are live."""
        return self.banners.live_by_category(second, len(NAMES))

    def click_chances(self, *, rested: bool = False) -> Floats:
        """Of a click in slot 1 on a content of average appeal, now; `rested`: as if never shown."""
        user, category = np.indices(self.people.interest.shape)
        now = np.array(self.day * DAY)
        return self._chances(user, category, now, slot=np.array(1), appeal=0.0, rested=rested).click

    def click_probability(self, rows: pd.DataFrame) -> Floats:
        """The chance of a click now, for rows of user_id, category and, if there, slot (1) and content_id."""
        user = pd.Index(self.user_ids).get_indexer(rows["user_id"])
        category = pd.Index(NAMES).get_indexer(rows["category"])
        slot = rows["slot"].to_numpy(np.int64) if "slot" in rows else np.ones(len(rows), np.int64)
        appeal = np.zeros(len(rows))
        if "content_id" in rows:
            appeal = self.banners.appeal[pd.Index(self.banners.ids).get_indexer(rows["content_id"])]
        return self._chances(user, category, np.array(self.day * DAY), slot=slot, appeal=appeal).click

    def truth(self) -> pd.DataFrame:
        """A row a customer and category: interest, eligible, held, tired (exposures), click_probability.

        interest is on the logit of a click, less `level`; the probability is `click_chances`.
        """
        user, category = (part.ravel() for part in np.indices(self.people.interest.shape))
        tired = clicks.recovered(self._tired, self.day * DAY - self._tired_at)
        return pd.DataFrame(
            {
                "user_id": self.user_ids[user],
                "category": log.CATEGORY_NAMES[category],
                "interest": self.people.interest.ravel(),
                "eligible": self.eligible.ravel(),
                "held": self.held().ravel(),
                "tired": tired.ravel(),
                "click_probability": self.click_chances().ravel(),
            }
        )

    def exposures(self, since: int = 0) -> log.Exposures:
        """The log from a day on, as arrays of numbers: see `bank_log.EXPOSURE_COLUMNS`."""
        whole = log.joined_up([part for part in self._exposures if (part["second"] >= since * DAY).any()])
        recent = whole["second"] >= since * DAY
        return {name: column[recent] for name, column in whole.items()}

    def _chances(
        self,
        user: Whole,
        category: Whole,
        second: Whole,
        *,
        slot: Whole,
        appeal: Floats | float,
        rested: bool = False,
    ) -> clicks.Chances:
        tired = clicks.recovered(self._tired[user, category], second - self._tired_at[user, category])
        held = (self._since[user, category] <= second) & (second < self._until[user, category])
        return clicks.chances(
            self.people.interest[user, category],
            level=self.level,
            appeal=appeal,
            slot=slot,
            tired=np.zeros_like(tired) if rested else tired,
            held=held,
            eligible=self.eligible[user, category],
        )

    def _visit(self, users: Whole, seconds: Whole, lists: Lists) -> log.Exposures:
        """Show, draw the reactions and move the state on; each customer is there once."""
        live = self.live_contents(seconds)[1]
        there = (lists.content >= 0) & np.take_along_axis(live, np.maximum(lists.content, 0), axis=1)
        row, place = np.nonzero(there)
        user, second, slot, content = users[row], seconds[row], place + 1, lists.content[row, place]
        category = self.banners.category[content]
        chance = self._chances(user, category, second, slot=slot, appeal=self.banners.appeal[content])
        done = clicks.react(self.seed, chance, user, second, slot, content)
        tired = clicks.recovered(self._tired[user, category], second - self._tired_at[user, category])
        tired += np.where(done.dismiss > 0, clicks.DISMISSED, np.array(clicks.EXAMINED)[place])
        self._tired[user, category] = np.where(done.click > 0, 0.0, tired)
        self._tired_at[user, category] = second
        clicked, joined = done.click > 0, done.join > 0
        self._clicked_at[user[clicked], category[clicked]] = (second + done.click)[clicked]
        self._join(user[joined], category[joined], (second + done.join)[joined])
        return {
            "user": user,
            "second": second,
            "slot": slot,
            "category": category,
            "content": content,
            "policy": lists.policy[row, place],
            "propensity": lists.propensity[row, place],
            **vars(done),
        }

    def _join(self, user: Whole, category: Whole, second: Whole) -> None:
        term = TERM[category]
        until = np.where(term >= OPEN_END, OPEN_END, second + term)
        self._since[user, category], self._until[user, category] = second, until
        self._joined_at[user, category] = second
        if len(user):
            self._grown["holdings"].append(log.holding_rows(user, category, second, until, self.user_ids))

    def _publish(
        self, seen: Visits, shown: list[log.Exposures], paid: list[Payments]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Let the tables grow by a period; returns its impressions and reactions."""
        exposures = log.in_order(log.joined_up(shown))
        first = sum(len(part["user"]) for part in self._exposures)
        impressions = log.impression_rows(exposures, first, self.user_ids, self.banners.ids)
        reactions = log.reaction_rows(exposures, impressions)
        self._exposures.append(exposures)
        self._grown["impressions"].append(impressions)
        self._grown["reactions"].append(reactions)
        self._grown["transactions"].append(log.transaction_rows(paid, self.user_ids))
        self._grown["events"].append(log.event_rows(self.seed, seen, exposures, self.user_ids))
        return impressions, reactions

    def _table(self, name: str) -> pd.DataFrame:
        parts = self._grown[name]
        if len(parts) > 1:
            # Parts without a row have columns without a type of their own.
            parts[:] = [pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)]
        return parts[0]


def _day(instant: pd.Timestamp) -> int:
    """Days since START; a period starts and ends at midnight."""
    days = (instant - log.START) / pd.Timedelta(days=1)
    if days != int(days) or days < 0:
        raise SettingsError(
            "days start at midnight UTC", value=str(instant), next_step=f"give a midnight from {log.START} on"
        )
    return int(days)
