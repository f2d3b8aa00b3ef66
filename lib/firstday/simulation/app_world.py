"""An app that can be played day by day: users sign up, see a home screen, act, and come back or do not."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.errors import SettingsError
from firstday.simulation import app_behaviour as behaviour
from firstday.simulation import app_log as log
from firstday.simulation.app_catalog import NAMES, categories_table, contents_table, make_contents
from firstday.simulation.app_people import (
    Floats,
    People,
    Plan,
    Whole,
    accounts_table,
    draw_people,
    seed_of,
    users_table,
    weekday_weights,
)
from firstday.simulation.bank_catalog import DAY
from firstday.simulation.bank_lists import Lists
from firstday.simulation.bank_log import START

Policy = Callable[["App", Whole, Whole], Lists]  # what these users see at these seconds

EFFECT_COLUMNS = ("treatment", "day", "users", "control_chance", "treatment_chance", "effect", "error")
NEVER = -10_000  # a day long before the first
_STATE = ("_comes", "_done", "_first", "_reached_on")


class App:
    """A world with a state: who reached the moment and when, and the log of what happened until `now`.

    The tables (users, events, customers, categories, contents, impressions, reactions, accounts) are what
    firstday's jobs read; `plan`, `truth`, `return_chances` and `true_effect` are for oracles and tests.
    Users and actions are numbers, times seconds since START. Make one with `simulate_app`.
    """

    def __init__(self, plan: Plan, *, users: int, dates: int) -> None:
        """users: how many sign up over the first `dates`; on later days as many a day, on average."""
        self.plan, self.size, self.dates = plan, users, dates
        self.banners = make_contents(seed_of(plan.seed, 5), dates)
        self.categories, self.contents = categories_table(), contents_table(self.banners)
        self.people = draw_people(plan, seed_of(plan.seed, 6), 0, 0, lift=0.0)
        self.day = 0  # the first that has not been played
        self._comes = np.zeros(0, bool)  # visits on the own day that started last
        self._done = np.zeros(0, np.int64)  # how often the cause was done on it
        self._first = np.zeros(0, bool)  # reached the moment on the first day
        self._reached_on = np.zeros(0, np.int64)  # the latest date whose own day reached it
        self._chances: list[Floats] = []  # a day each
        self._exposures: list[log.Exposures] = []
        self._events: list[log.Events] = []
        self._tables: dict[str, pd.DataFrame] = {}

    @property
    def now(self) -> pd.Timestamp:
        """The first instant that has not been played."""
        return START + pd.Timedelta(days=self.day)

    @property
    def users(self) -> pd.DataFrame:
        """user_id, anchored_at and the segment columns."""
        return self._table("users", lambda: users_table(self.people))

    @property
    def customers(self) -> pd.DataFrame:
        """The users as a recommender reads them: user_id, joined_at and the segment columns."""
        return self.users.rename(columns={"anchored_at": "joined_at"})

    @property
    def accounts(self) -> pd.DataFrame:
        """What label functions and a classifier read, the sanction history and the hidden truth."""
        return self._table("accounts", lambda: accounts_table(self.plan.seed, self.people))

    @property
    def events(self) -> pd.DataFrame:
        """user_id, action, occurred_at: what happened before now."""
        return self._table("events", lambda: self.events_since(0))

    @property
    def impressions(self) -> pd.DataFrame:
        return self._table("impressions", lambda: self.impressions_since(0))

    @property
    def reactions(self) -> pd.DataFrame:
        """Clicks and dismissals before now."""
        return self._table("reactions", lambda: self.reactions_since(0))

    def events_since(self, day: int) -> pd.DataFrame:
        """The rows of events of the played dates from `day` on; the next two likewise."""
        return log.event_rows(self._events, day * DAY, self.day * DAY)

    def impressions_since(self, day: int) -> pd.DataFrame:
        return log.impression_rows(self.exposures(), self.banners.ids, day * DAY)

    def reactions_since(self, day: int) -> pd.DataFrame:
        return log.reaction_rows(self.exposures(), day * DAY, self.day * DAY)

    def exposures(self, since: int = 0, columns: Sequence[str] = log.EXPOSURE_COLUMNS) -> log.Exposures:
        """The log of what was shown from a day on, as arrays of numbers: see `app_log.EXPOSURE_COLUMNS`."""
        return log.joined_up(self._exposures[since:], columns)

    def copy(self) -> "App":
        """The same world in the same state, to be played otherwise."""
        other = copy.copy(self)
        for name in _STATE:
            setattr(other, name, getattr(self, name).copy())
        for name in ("_chances", "_exposures", "_events"):
            setattr(other, name, list(getattr(self, name)))
        other._tables = dict(self._tables)
        return other

    def sign_ups(self, days: int) -> pd.DataFrame:
        """The users who will sign up in the next days, whatever is shown: to assign them beforehand."""
        later = self.people
        for day in range(self.day, self.day + days):
            later = later.followed_by(self._cohort(day))
        return users_table(later).iloc[len(self.people) :].reset_index(drop=True)

    def play(self, days: int, policy: Policy) -> None:
        """Play whole days with lists chosen at each visit. Raises SettingsError for less than a day."""
        if days < 1:
            raise SettingsError("whole days are played", value=days, next_step="give 1 or more")
        for _ in range(days):
            self._play_day(policy)

    def live_contents(self, second: Whole) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """By second: the categories with a live content, and the contents that are live."""
        return self.banners.live_by_category(second, len(NAMES))

    def return_chances(self, day: int) -> Floats:
        """Of each user, to visit on the own day that started on the played date `day`; 1 on the first."""
        return self._chances[day]

    def visited(self, day: int) -> NDArray[np.bool_]:
        """Who visited, or will, on the own day that started on the played date `day`."""
        chance = self._chances[day]
        return behaviour.comes(self.plan, chance, day - self.people.day[: len(chance)])

    def true_effect(
        self,
        control: Policy,
        *treatments: Policy,
        days: Sequence[int] = (1,),
        sign_up_days: int = 0,
        visiting: bool = False,
        honest: bool = False,
    ) -> pd.DataFrame:
        """What each treatment instead of `control`, for everybody from now on, does to the chance of a visit.

        sign_up_days: of those who sign up in so many days from now, on their day n (Dn retention); 0: of
        those who are there already, on their own day that starts n days from now. visiting: of these only
        who visits, under `control`, on the own day that starts today: who meets the change at once. honest:
        without bots.

        All are played in copies of this world, in pairs. A row a treatment (its place) and day: treatment,
        day, users, control_chance and treatment_chance (means), effect, error (the standard error over
        users, of the pairs).

        Raises SettingsError for days below 1, or fewer than two users.
        """
        if min(days, default=0) < 1:
            raise SettingsError("days of return are 1 or more", value=list(days), next_step="give such days")
        worlds = [self._played(policy, max(sign_up_days, 1) + max(days)) for policy in (control, *treatments)]
        people = worlds[0].people
        new = (people.day >= self.day) & (people.day < self.day + sign_up_days)
        counted = (new if sign_up_days else people.day < self.day) & ~(honest & people.bot)
        if visiting:
            counted[: len(worlds[0].return_chances(self.day))] &= worlds[0].visited(self.day)
        who = np.flatnonzero(counted)
        if len(who) < 2:
            raise SettingsError(
                "an effect is one on users", value=len(who), next_step="give sign_up_days, or more users"
            )
        start = people.day[who] if sign_up_days else np.full(len(who), self.day)
        rows: list[dict[str, float]] = []
        for day in days:
            before, *after = (world._chance_of(who, start + day) for world in worlds)
            for place, chance in enumerate(after):
                gain = chance - before
                means = (before.mean(), chance.mean(), gain.mean(), gain.std(ddof=1) / np.sqrt(len(who)))
                rows.append(dict(zip(EFFECT_COLUMNS, (place, day, len(who), *means), strict=True)))
        return pd.DataFrame(rows, columns=EFFECT_COLUMNS).sort_values(["treatment", "day"], ignore_index=True)

    def _played(self, policy: Policy, days: int) -> "App":
        other = self.copy()
        for _ in range(days):
            other._play_day(policy)
        return other

    def _chance_of(self, user: Whole, day: Whole) -> Floats:
        chance = np.full(len(user), np.nan)
        for each in np.unique(day):
            chance[day == each] = self._chances[each][user[day == each]]
        return chance

    def _play_day(self, policy: Policy) -> None:
        shown = []
        self._sign_up()
        age = self.day - self.people.day
        # What is left of the own days that started yesterday, then those that start today: a user's second
        # visit of the date may depend on the first.
        old = np.flatnonzero(self._comes & (age > 0))
        shown.append(self._show_visits(old, self.day - 1, policy))
        self._end_own_days(age - 1)
        chance = behaviour.return_chance(self.plan, self.people, self.day, self._first, self._reached_on)
        self._chances.append(chance)
        self._comes = behaviour.comes(self.plan, chance, age)
        come = np.flatnonzero(self._comes)
        self._act(come, age[come])
        shown.append(self._show_visits(come, self.day, policy))
        self._exposures.append(log.in_order(log.joined_up(shown)))
        self.day += 1
        self._tables = {}

    def _cohort_size(self, day: int) -> int:
        weights = weekday_weights(max(day + 1, self.dates))
        shares = weights / weights[: self.dates].sum()
        if day < self.dates:
            return int(seed_of(self.plan.seed, 7).multinomial(self.size, shares[: self.dates])[day])
        return int(seed_of(self.plan.seed, 7, day).poisson(self.size * shares[day]))

    def _cohort(self, day: int) -> People:
        lift = behaviour.date_lift(self.plan.seed, day)[0]
        draw = seed_of(self.plan.seed, 6, day)
        return draw_people(self.plan, draw, self._cohort_size(day), day, lift)

    def _sign_up(self) -> None:
        new = self._cohort(self.day)
        self.people = self.people.followed_by(new)
        empty = {"_comes": False, "_done": 0, "_first": False, "_reached_on": NEVER}
        for name, value in empty.items():
            state = getattr(self, name)
            setattr(self, name, np.append(state, np.full(len(new), value, state.dtype)))

    def _end_own_days(self, age: Whole) -> None:
        """Note who reached the moment on the own day that is over; age: its number, -1 for none."""
        reached = (self._done >= self.plan.threshold) & (age >= 0)
        self._first |= reached & (age == 0)
        self._reached_on[reached] = self.day - 1
        self._done[:] = 0

    def _act(self, user: Whole, age: Whole) -> None:
        """What users do by themselves on the own day that starts today."""
        counts = behaviour.own_counts(self.plan, self.people, user, age, self.day)
        offsets = behaviour.visit_offsets(self.plan, self.people, user, age)
        row, action, offset = behaviour.own_events(self.plan, user, age, counts, offsets)
        second = self.day * DAY + self.people.second[user[row]] + offset
        self._events.append((user[row], action, second))
        self._done[user] += counts[:, self.plan.cause]

    def _show_visits(self, user: Whole, started: int, policy: Policy) -> log.Exposures:
        """Show what the policy chooses at the visits of today, of the own days that started on a date."""
        offsets = behaviour.visit_offsets(self.plan, self.people, user, started - self.people.day[user])
        second = started * DAY + self.people.second[user][:, None] + offsets
        row, number = np.nonzero((offsets >= 0) & (second // DAY == self.day))
        visitor, at = user[row], second[row, number]
        lists = policy(self, visitor, at)
        live = self.live_contents(at)[1]
        there = (lists.content >= 0) & np.take_along_axis(live, np.maximum(lists.content, 0), axis=1)
        visit, place = np.nonzero(there)
        content = lists.content[visit, place]
        category, shown = self.banners.category[content], (visitor[visit], at[visit], place + 1)
        done = behaviour.react(self.plan, self.people, *shown, category, self.banners.appeal[content])
        led = behaviour.led_events(self.plan, *shown[:2], category, done)
        self._events.append(led)
        np.add.at(self._done, led[0][led[1] == self.plan.cause], 1)
        return {
            **dict(zip(("user", "second", "slot"), shown, strict=True)),
            "category": category,
            "content": content,
            "policy": lists.policy[visit, place],
            "propensity": lists.propensity[visit, place],
            "click": done.click,
            "dismiss": done.dismiss,
        }

    def _table(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Made when it is asked for, and kept until more is played."""
        if name not in self._tables:
            self._tables[name] = make()
        return self._tables[name]
