"""What the app's home screen shows: policies as functions of the app, users and seconds, to be composed.

`uniform` and `popularity` draw and log propensities; `push` puts an action's categories first; `listed` shows
recommendations, and new users their segment's list; `by_variant` goes by the variant that is assigned.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.errors import DataError, SettingsError
from firstday.simulation.app_behaviour import SLOTS
from firstday.simulation.app_catalog import LEADS_TO, NAMES
from firstday.simulation.app_people import Floats, Whole
from firstday.simulation.app_world import App, Policy
from firstday.simulation.bank_catalog import DAY, Contents
from firstday.simulation.bank_lists import Lists
from firstday.simulation.bank_log import START
from firstday.simulation.bank_random import Stream, uniforms
from firstday.simulation.world import ACTIONS, SEGMENTS

EXPLORING = 0.3  # share of popularity's lists that are drawn at random, whole
LOOKED_BACK = 7  # days of the log that popularity reads
PRIOR = 50.0  # exposures at the overall rate that a click rate is smoothed with
COLUMNS = ("user_id", "slot", "category", "content_id", "policy", "propensity")


def uniform(app: App, user: Whole, second: Whole) -> Lists:
    """Random categories, drawn anew at each visit, with any of their live contents."""
    live = app.live_contents(second)[0]
    category = _random_categories(app, user, second, live)
    chance = np.broadcast_to(1 / live.sum(axis=1, keepdims=True), category.shape)
    return _with_contents(app, user, second, category, "uniform", chance)


def popularity(app: App, user: Whole, second: Whole) -> Lists:
    """The categories most clicked in the last 7 days, for a share of the lists any; the history is made so.

    The propensity is that of the content in its slot, whatever the rest of the list, and exact.
    """
    rates = click_rates(app)
    if rates is None:
        return uniform(app, user, second)
    live = app.live_contents(second)[0]
    random = _random_categories(app, user, second, live)
    best = np.argsort(np.where(live, -rates, np.inf), axis=1, kind="stable")[:, :SLOTS]
    explores = uniforms(app.plan.seed, Stream.EXPLORE, user, second) < EXPLORING
    category = np.where(explores[:, None], random, best)
    chance = (1 - EXPLORING) * (category == best) + EXPLORING / live.sum(axis=1, keepdims=True)
    return _with_contents(app, user, second, category, "popularity", chance)


def push(action: str, base: Policy = popularity) -> Policy:
    """The categories that lead to `action` first, then what `base` shows; without propensities.

    Raises SettingsError for an action that the app has not.
    """
    if action not in ACTIONS:
        raise SettingsError("an action of the app is pushed", value=action, next_step=f"one of {ACTIONS}")
    leading = np.flatnonzero(ACTIONS.index(action) == LEADS_TO)

    def pushed(app: App, user: Whole, second: Whole) -> Lists:
        after = base(app, user, second)
        first = np.broadcast_to(leading, (len(user), len(leading)))
        before = _with_contents(app, user, second, first, f"push_{action}", np.full(first.shape, np.nan))
        content = np.hstack([before.content, after.content])
        again = np.zeros(content.shape, bool)
        again[:, len(leading) :] = np.isin(app.banners.category[after.content], leading)
        order = np.argsort(again | (content < 0), axis=1, kind="stable")[:, :SLOTS]
        content = np.where(
            np.take_along_axis(again, order, axis=1), -1, np.take_along_axis(content, order, axis=1)
        )
        return Lists(
            content,
            np.full(content.shape, np.nan),
            np.full(content.shape, f"push_{action}", object),
        )

    return pushed


def by_variant(
    assignments: pd.DataFrame, policies: Mapping[str, Policy], otherwise: Policy = popularity
) -> Policy:
    """Each user sees the policy of the variant that was assigned last, before the visit or at its instant.

    assignments: unit_id (or user_id), variant and assigned_at; users may be named who have not signed up yet.
    Users see `otherwise` before they are assigned and, where there is no policy of the variant, after.

    Raises DataError for missing columns or users that are not of the app.
    """
    unit = "unit_id" if "unit_id" in assignments else "user_id"
    _must(
        not (missing := {unit, "variant", "assigned_at"} - set(assignments)),
        "assignments have all columns",
        missing,
    )
    user_of, at = numbers(assignments[unit]), _seconds(assignments["assigned_at"])
    order = np.lexsort((at, user_of))
    span = 2**34  # seconds: more than any app is played
    key = user_of[order] * span + at[order]
    names = [*policies]
    # The last place stands for all that is assigned nothing, or a variant without a policy.
    variant = np.append(pd.Index(names).get_indexer(assignments["variant"])[order], -1)

    def assigned(app: App, user: Whole, second: Whole) -> Lists:
        place = np.searchsorted(key, user * span + second, side="right") - 1
        known = (place >= 0) & (user_of[order][place] == user) if len(key) else np.zeros(len(user), bool)
        chosen = variant[np.where(known, place, -1)]
        shown = Lists.empty(len(user), SLOTS)
        for number, policy in enumerate([*policies.values(), otherwise]):
            rows = np.flatnonzero(chosen == (number if number < len(names) else -1))
            if len(rows):
                _fill(shown, rows, policy(app, user[rows], second[rows]))
        return shown

    return assigned


def listed(
    app: App,
    recommendations: pd.DataFrame,
    by: Sequence[str] = tuple(SEGMENTS),
    otherwise: Policy = popularity,
) -> Policy:
    """Recommendations as `firstday recommend` makes them; who has none gets the list of the segment.

    recommendations: user_id, slot (1 to 4), category, content_id, policy, propensity. A segment's list, for
    those who have signed up since, has the categories that stand highest in the lists of its users; where
    there are none, `otherwise` chooses. What is not live any more is not shown.

    Raises DataError for recommendations that cannot be shown.
    """
    lists, user_of = _read(recommendations, app.banners)
    place = [[*SEGMENTS].index(name) for name in by]
    sizes = [len(values) for values in (SEGMENTS[name] for name in by)]
    known = user_of < len(app.people)
    _must(bool(known.all()), "recommendations are for users who have signed up", user_of[~known])

    def segment_of(world: App, user: Whole) -> Whole:
        columns = world.people.segment[user][:, place].T
        return (
            np.asarray(np.ravel_multi_index(tuple(columns), sizes)) if by else np.zeros(len(user), np.int64)
        )

    defaults, has_default = _defaults(lists, segment_of(app, user_of), int(np.prod(sizes)), app.banners)
    row_of = np.full(len(app.people), -1)
    row_of[user_of] = np.arange(len(user_of))

    def shown(world: App, user: Whole, second: Whole) -> Lists:
        row = np.where(user < len(row_of), row_of[np.minimum(user, len(row_of) - 1)], -1)
        segment = segment_of(world, user)
        found = _with_contents(
            world, user, second, defaults[segment], "segment", np.full((len(user), SLOTS), np.nan)
        )
        own, none = row >= 0, (row < 0) & ~has_default[segment]
        _fill(found, np.flatnonzero(own), lists.of(row[own]))
        if none.any():
            _fill(found, np.flatnonzero(none), otherwise(world, user[none], second[none]))
        return found

    return shown


def click_rates(app: App) -> Floats | None:
    """Smoothed click rates of the last 7 days by category, as they stand; None without a log."""
    recent = app.exposures(max(app.day - LOOKED_BACK, 0), ("category", "click"))
    if not len(recent["category"]):
        return None
    shown = np.bincount(recent["category"], minlength=len(NAMES))
    clicked = np.bincount(recent["category"], recent["click"] > 0, minlength=len(NAMES))
    return np.asarray((clicked + PRIOR * clicked.sum() / shown.sum()) / (shown + PRIOR))


def numbers(user_ids: pd.Series) -> Whole:
    """The numbers of users, also of those who have not signed up yet. Raises DataError for other ids."""
    found = user_ids.astype(str).str.extract(r"^user-(\d{7,})$")[0]
    _must(bool(found.notna().all()), "all users are of this app", user_ids[found.isna()])
    return found.to_numpy().astype(np.int64)


def _fill(lists: Lists, rows: Whole, by: Lists) -> None:
    """Put lists of their own, one each, into these rows."""
    for name in ("content", "propensity", "policy"):
        getattr(lists, name)[rows] = getattr(by, name)


def _random_categories(app: App, user: Whole, second: Whole, live: NDArray[np.bool_]) -> Whole:
    keys = (user[:, None], second[:, None], np.arange(len(NAMES)))
    luck = np.where(live, uniforms(app.plan.seed, Stream.EXPLORE_ORDER, *keys), np.inf)
    return np.argsort(luck, axis=1)[:, :SLOTS]


def _with_contents(
    app: App, user: Whole, second: Whole, category: Whole, policy: str, chance: Floats
) -> Lists:
    """Any live content of each category of the lists, -1 stays empty. chance: of the category in its slot."""
    live = app.live_contents(second)[1]
    keys = (user[:, None], second[:, None], category.clip(0))
    draws = uniforms(app.plan.seed, Stream.CONTENT, *keys)
    sizes = np.bincount(app.banners.category, minlength=len(NAMES))
    # Contents are sorted by category: the n-th of a category is `first + n`.
    first = np.searchsorted(app.banners.category, np.arange(len(NAMES)))[category]
    nth = np.arange(sizes.max())
    places = np.minimum(first[..., None] + nth, len(app.banners.ids) - 1)
    is_live = live[np.arange(len(user))[:, None, None], places] & (nth < sizes[category][..., None])
    count = is_live.sum(axis=2) * (category >= 0)
    wanted = (draws * count).astype(np.int64)
    chosen = np.argmax(is_live & (is_live.cumsum(axis=2) == wanted[..., None] + 1), axis=2)
    filled = count > 0
    return Lists(
        np.where(filled, first + chosen, -1),
        np.where(filled, chance / np.maximum(count, 1), np.nan),
        np.full(category.shape, policy, object),
    )


def _defaults(
    lists: Lists, segment: Whole, segments: int, contents: Contents
) -> tuple[Whole, NDArray[np.bool_]]:
    """(segments, SLOTS): the categories that stand highest in the lists or -1; and which have any."""
    row, slot = np.nonzero(lists.content >= 0)
    points = np.zeros((segments, len(NAMES)))
    np.add.at(points, (segment[row], contents.category[lists.content[row, slot]]), SLOTS - slot)
    best = np.argsort(-points, axis=1, kind="stable")[:, :SLOTS]
    return np.where(np.take_along_axis(points, best, axis=1) > 0, best, -1), points.any(axis=1)


def _read(recommendations: pd.DataFrame, contents: Contents) -> tuple[Lists, Whole]:
    """A list for each user named, and the users' numbers."""
    missing = [name for name in COLUMNS if name not in recommendations]
    _must(not missing, "recommendations have all columns", missing)
    user, row = np.unique(numbers(recommendations["user_id"]), return_inverse=True)
    content = pd.Index(contents.ids).get_indexer(recommendations["content_id"])
    _must(
        bool((content >= 0).all()), "all contents are of this app", recommendations["content_id"][content < 0]
    )
    category = pd.Index(NAMES).get_indexer(recommendations["category"])
    other = contents.category[content] != category
    _must(not other.any(), "a content shows its own category", recommendations["content_id"][other])
    slot = recommendations["slot"].to_numpy()
    outside = ~np.isin(slot, np.arange(1, SLOTS + 1))
    _must(not outside.any(), f"slots are 1 to {SLOTS}", slot[outside])
    for column, rule in (
        (slot, "a slot of a list shows one content"),
        (category, "a list shows a category once"),
    ):
        _must(not pd.DataFrame({"row": row, "column": column}).duplicated().any(), rule)
    lists = Lists.empty(len(user), SLOTS)
    place = slot.astype(np.int64) - 1
    lists.content[row, place] = content
    lists.propensity[row, place] = recommendations["propensity"].to_numpy(float, na_value=np.nan)
    lists.policy[row, place] = recommendations["policy"].to_numpy(object)
    return lists, user


def _seconds(instants: pd.Series) -> Whole:
    """Whole seconds since START, rounded up: an assignment does not reach back."""
    since = (pd.to_datetime(instants, utc=True) - START) / pd.Timedelta(seconds=1)
    return np.ceil(since.clip(lower=-DAY)).to_numpy().astype(np.int64)


def _must(holds: bool, rule: str, found: object = None) -> None:
    if not holds:
        some = None if found is None else list(found)[:3]  # type: ignore[call-overload]
        raise DataError(rule, value=some, next_step="correct the table")
