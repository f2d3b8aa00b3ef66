"""Features of one ask by reading every fact, in plain Python: what the fast ways must agree with."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from firstday.ranking.features import FeatureSettings
from firstday.ranking.measures import action_names

HALF_LIFE_DAYS, PRIOR_WEIGHT, REACTION_LASTS = 90, 100, 4  # as docs/train.md says
START = datetime(2024, 3, 1, tzinfo=UTC)


class Fact(NamedTuple):
    """A row of `facts`."""

    user_id: str
    category: str
    kind: str
    at: datetime
    value: float | None = None


class Ask(NamedTuple):
    """A row of asks with a key of its own."""

    ask_id: int
    user_id: str
    category: str
    asked_at: datetime


Customers = dict[str, dict[str, Any]]


def features_of(
    ask: Ask, facts: Sequence[Fact], settings: FeatureSettings, customers: Customers | None = None
) -> dict[str, Any]:
    now = ask.asked_at
    known = [fact for fact in facts if fact.at < now]
    user = [fact for fact in known if fact.user_id == ask.user_id]
    pair = [fact for fact in user if fact.category == ask.category and fact.kind != "action"]
    found: dict[str, Any] = {"category": ask.category}
    reactions = ("click", "join", "dismiss")
    for name, kind, windows in (
        ("shown", "shown", (7, 28, None)),
        ("clicks", "click", (28, None)),
        ("joins", "join", (None,)),
        ("dismissals", "dismiss", (None,)),
        ("transactions", "transaction", (28, None)),
    ):
        for days in windows:
            found[name if days is None else f"{name}_{days}d"] = len(since(pair, now, days, kind))
    paid = since(pair, now, 28, "transaction")
    found["amount_28d"] = sum(fact.value or 0.0 for fact in paid)
    for name, kind in (
        ("shown", "shown"),
        ("click", "click"),
        ("dismissal", "dismiss"),
        ("transaction", "transaction"),
    ):
        found[f"days_since_{name}"] = age(pair, now, kind)
    last_reaction = max((fact.at for fact in pair if fact.kind in reactions), default=None)
    found["unanswered"] = sum(
        fact.kind == "shown" and (last_reaction is None or fact.at > last_reaction) for fact in pair
    )
    found["used_7d"] = int(bool(since(pair, now, 7, "transaction", "join", "since")))
    opened, ended = (sum(fact.kind == kind for fact in pair) for kind in ("since", "until"))
    found["held"] = int(opened > ended)
    stated = max(((fact.at, fact.value) for fact in pair if fact.kind == "preference"), default=None)
    found["preference"] = (
        None
        if stated is None or stated[1] is None
        else stated[1] * 0.5 ** (days_of(now - stated[0]) / HALF_LIFE_DAYS)
    )
    found |= of_user(user, now)
    for action, name in zip(settings.actions, action_names(settings.actions), strict=True):
        recent = since(user, now, 7, "action")
        found[f"{name}_7d"] = sum(fact.category == action for fact in recent)
    found["state"] = state_of(pair, found["unanswered"], last_reaction)
    found |= rates_of(ask, known, found, settings, customers)
    joined = (customers or {}).get(ask.user_id, {}).get("joined_at")
    found["tenure_days"] = days_of(now - joined) if joined is not None and joined <= now else None
    return found


def since(facts: Sequence[Fact], now: datetime, days: int | None, *kinds: str) -> list[Fact]:
    start = None if days is None else now - timedelta(days=days)
    return [fact for fact in facts if fact.kind in kinds and (start is None or fact.at >= start)]


def age(facts: Sequence[Fact], now: datetime, *kinds: str) -> float | None:
    last = max((fact.at for fact in facts if fact.kind in kinds), default=None)
    return None if last is None else days_of(now - last)


def days_of(span: timedelta) -> float:
    return span / timedelta(days=1)


def of_user(user: Sequence[Fact], now: datetime) -> dict[str, Any]:
    met = {fact.category for fact in user if fact.kind in ("click", "join", "transaction", "since")}
    kinds = ("shown", "click", "join", "dismiss", "transaction", "since", "preference")
    return {
        "user_shown_28d": len(since(user, now, 28, "shown")),
        "user_shown": len(since(user, now, None, "shown")),
        "user_clicks_28d": len(since(user, now, 28, "click")),
        "user_clicks": len(since(user, now, None, "click")),
        "user_transactions_28d": len(since(user, now, 28, "transaction")),
        "user_categories_met": len(met),
        "days_since_anything": age(user, now, *kinds),
    }


def state_of(pair: Sequence[Fact], unanswered: int, last: datetime | None) -> str:
    if last is not None and unanswered < REACTION_LASTS:
        dismissed = any(fact.kind == "dismiss" and fact.at == last for fact in pair)
        return "dismissed" if dismissed else "reacted"
    if unanswered == 0:
        return "never"
    return "shown_once" if unanswered == 1 else "shown_2_3" if unanswered < 4 else "shown_4_plus"


def rates_of(
    ask: Ask,
    known: Sequence[Fact],
    found: dict[str, Any],
    settings: FeatureSettings,
    customers: Customers | None,
) -> dict[str, Any]:
    end = ask.asked_at.date()

    def rate(rows: Sequence[Fact], prior: float | None) -> float | None:
        shown = sum(fact.kind == "shown" for fact in rows)
        clicks = sum(fact.kind == "click" for fact in rows)
        if prior is None:
            return clicks / shown if shown else None
        return (clicks + PRIOR_WEIGHT * prior) / (shown + PRIOR_WEIGHT)

    def recent(day: date) -> bool:
        return end - timedelta(days=28) <= day < end

    rows = [fact for fact in known if recent(fact.at.date())]
    prior = rate(rows, None)
    if prior is None:
        return dict.fromkeys(("user_click_rate", "category_click_rate", "segment_click_rate"))
    weight = PRIOR_WEIGHT
    of_category = [fact for fact in rows if fact.category == ask.category]
    category = rate(of_category, prior)
    segments = {user: row.get(settings.segment or "") for user, row in (customers or {}).items()}
    mine = segments.get(ask.user_id)
    of_segment = [fact for fact in of_category if segments.get(fact.user_id) == mine]
    return {
        "user_click_rate": (found["user_clicks"] + weight * prior) / (found["user_shown"] + weight),
        "category_click_rate": category,
        "segment_click_rate": rate(of_segment, category),
    }
