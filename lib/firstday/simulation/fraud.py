"""An invented game with bots, expert rules and a sanction history that caught one kind of bot, few others.

Who learns from the history learns its mistakes. The rules read neither the classifier's features nor what
the sanctions were based on, so they err elsewhere. Bots behave by kind, so rules for the same kind agree.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstday.errors import SettingsError

# Enthusiasts are honest, but play as long as a grinder. Grinders walk one route by script, traders move gold
# between accounts of one owner, spammers advertise in the chat from new accounts.
HONEST = ("regular", "enthusiast")
BOTS = ("grinder", "trader", "spammer")
KINDS = (*HONEST, *BOTS)
HONEST_SHARES = (0.92, 0.08)
BOT_SHARES = (0.52, 0.28, 0.20)
BOT_SHIFT = 0.12  # from grinders to traders, from the first week to the last
UNSEEN = 0.04  # of the accounts, bots or not: their features look like those of an average account
START = pd.Timestamp("2024-03-04")  # a Monday

HIDDEN = ("is_fraud", "kind")
FEATURES = (
    "session_minutes", "level_speed", "inventory_value", "click_gap_spread", "trades_per_day",
    "distinct_maps", "chat_messages", "friends", "purchases", "parties", "night_share",
)  # fmt: skip
RULE_COLUMNS = (
    "reports", "reporters", "repeated_path_share", "ip_shared_accounts", "trade_partners_top1_share",
    "captcha_failures", "account_age_days", "phone_verified", "guild_months", "voice_minutes",
    "same_card_months", "invites_accepted",
)  # fmt: skip
SANCTION_COLUMNS = ("play_streak_hours", "rejected_moves")

# By kind, in the order of KINDS. Amounts are log-normal: medians, and the standard deviation of the log.
AMOUNTS: dict[str, tuple[tuple[float, ...], float]] = {
    "session_minutes": ((60, 190, 320, 85, 35), 0.55),
    "level_speed": ((1.0, 1.7, 2.3, 0.65, 1.4), 0.4),
    "inventory_value": ((200, 700, 600, 1_400, 40), 0.9),
    "click_gap_spread": ((180, 140, 65, 110, 75), 0.5),
    "account_age_days": ((290, 700, 140, 140, 25), 1.4),
    "play_streak_hours": ((3, 7, 20, 5, 4), 0.45),
}
# Counts are gamma-Poisson: means, and the variance of the gamma factor.
COUNTS: dict[str, tuple[tuple[float, ...], float]] = {
    "trades_per_day": ((1.2, 3.0, 1.5, 8.0, 0.5), 0.5),
    "distinct_maps": ((9, 16, 4, 4, 5), 0.3),
    "chat_messages": ((12, 20, 4, 4, 55), 0.7),
    "friends": ((14, 30, 5, 7, 4), 0.6),
    "purchases": ((1.2, 3.0, 0.4, 0.6, 0.2), 0.6),
    "parties": ((4, 9, 1.2, 1.2, 1.0), 0.6),
    "reports": ((0.55, 1.8, 4.5, 3.0, 7.0), 0.8),
    "ip_shared_accounts": ((0.5, 0.4, 1.2, 5.0, 4.0), 0.5),
    "captcha_failures": ((0.25, 0.2, 1.4, 0.7, 2.6), 0.4),
    "invites_accepted": ((0.8, 1.5, 0.5, 2.2, 2.8), 0.9),
    "rejected_moves": ((0.12, 0.2, 1.9, 0.9, 0.8), 0.8),
}
# Shares are beta: means, and the sum of the two parameters.
SHARES: dict[str, tuple[tuple[float, ...], float]] = {
    "repeated_path_share": ((0.25, 0.35, 0.70, 0.35, 0.40), 8),
    "trade_partners_top1_share": ((0.38, 0.30, 0.45, 0.78, 0.50), 7),
}
# Many have none; the others' are log-normal with this median.
SOME: dict[str, tuple[tuple[float, ...], float]] = {
    "phone_verified": ((0.42, 0.55, 0.12, 0.15, 0.05), 1),
    "guild_months": ((0.45, 0.80, 0.12, 0.15, 0.05), 9),
    "same_card_months": ((0.45, 0.60, 0.08, 0.20, 0.05), 6),
}


@dataclass(frozen=True)
class FraudWorld:
    """`rows`: row_id, week, the hidden columns, the features, what rules and sanctions read, and sanctioned.

    `truth`: seed, fraud_share, kinds (share of all accounts) and sanctioned (share of each kind).
    """

    rows: pd.DataFrame
    truth: dict[str, Any]


def simulate_fraud(
    *, users: int = 20_000, fraud_share: float = 0.15, weeks: int = 12, seed: int = 1
) -> FraudWorld:
    """A world drawn with `seed`, a row an account; the same arguments give the same world.

    fraud_share: of the accounts that are bots, to the nearest account. weeks: accounts are spread over these;
    from the first to the last, bots turn from grinding to trading and players learn to report.

    Raises SettingsError for no users, no weeks, or a share outside [0, 1].
    """
    if users < 1 or weeks < 1:
        raise SettingsError("a world needs users and weeks", value=(users, weeks), next_step="give 1 or more")
    if not 0 <= fraud_share <= 1:
        raise SettingsError("a share is from 0 to 1", value=fraud_share, next_step="give another fraud_share")
    draw = np.random.default_rng(seed)
    week = np.sort(draw.integers(0, weeks, users))
    time = week / max(weeks - 1, 1)
    fraud = draw.permutation(users) < round(users * fraud_share)
    kind = _kinds(draw, fraud, time)
    columns = _features(draw, kind) | _read_by_rules(draw, kind, time) | _read_by_sanctions(draw, kind)
    labels = (START + pd.to_timedelta(7 * np.arange(weeks), unit="D")).strftime("%Y-%m-%d")
    rows = pd.DataFrame(
        {
            "row_id": [f"account-{number:07d}" for number in range(users)],
            "week": labels.to_numpy()[week],
            "is_fraud": fraud.astype(np.int64),
            "kind": np.array(KINDS)[kind],
            **{name: columns[name] for name in (*FEATURES, *RULE_COLUMNS, *SANCTION_COLUMNS)},
            "sanctioned": _sanctioned(columns).astype(np.int64),
        }
    )
    by_kind = rows.groupby("kind")["sanctioned"]
    truth = {
        "seed": seed,
        "fraud_share": float(fraud.mean()),
        "kinds": (by_kind.size() / users).to_dict(),
        "sanctioned": by_kind.mean().to_dict(),
    }
    return FraudWorld(rows, truth)


def _kinds(
    draw: np.random.Generator, fraud: NDArray[np.bool_], time: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The place of each account's kind in KINDS; time: 0 in the first week, 1 in the last."""
    honest = draw.choice(len(HONEST), len(fraud), p=HONEST_SHARES)
    grinders, traders, _ = BOT_SHARES
    shift = BOT_SHIFT * (time - 0.5)
    chance = draw.random(len(fraud))
    bot = (chance >= grinders - shift).astype(np.int64) + (chance >= grinders + traders)
    return np.where(fraud, len(HONEST) + bot, honest)


def _features(draw: np.random.Generator, kind: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """What the classifier sees. One hidden activity moves an account's amounts and counts together."""
    seen = np.where(draw.random(len(kind)) < UNSEEN, KINDS.index("regular"), kind)
    activity = np.exp(draw.normal(0, 0.35, len(kind)))
    found: dict[str, NDArray[Any]] = {name: _amount(draw, name, seen) for name in FEATURES if name in AMOUNTS}
    found |= {name: _count(draw, name, seen, activity) for name in FEATURES if name in COUNTS}
    found["session_minutes"] = found["session_minutes"] * activity
    # Scripts run around the clock, a third of it at night: more than most people, less than night owls.
    awake = np.where(draw.random(len(kind)) < 0.12, draw.beta(9, 4, len(kind)), draw.beta(2, 10, len(kind)))
    script = np.isin(seen, [KINDS.index("grinder"), KINDS.index("spammer")])
    found["night_share"] = np.where(script, draw.beta(10, 20, len(kind)), awake)
    return found


def _read_by_rules(
    draw: np.random.Generator, kind: NDArray[np.int64], time: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """What the expert rules read. `reporters` nearly repeats `reports`; who is in a guild talks."""
    users = len(kind)
    found: dict[str, NDArray[Any]] = {
        "reports": _count(draw, "reports", kind, 0.9 + 0.2 * time),
        "account_age_days": np.floor(_amount(draw, "account_age_days", kind)).astype(np.int64),
    }
    found["reporters"] = draw.binomial(found["reports"], 0.85)
    cafe = draw.random(users) < 0.02  # an internet café or a dormitory: many accounts behind one address
    found["ip_shared_accounts"] = _count(draw, "ip_shared_accounts", kind) + draw.poisson(6, users) * cafe
    found |= {name: _count(draw, name, kind) for name in ("captcha_failures", "invites_accepted")}
    for name, (means, total) in SHARES.items():
        mean = np.array(means)[kind]
        found[name] = draw.beta(total * mean, total * (1 - mean))
    for name, (chances, median) in SOME.items():
        amount = np.ceil(median * np.exp(draw.normal(0, 0.8, users))).astype(np.int64)
        found[name] = (draw.random(users) < np.array(chances)[kind]) * (1 if median == 1 else amount)
    talks = draw.random(users) < np.where(found["guild_months"] > 0, 0.55, 0.18)
    found["voice_minutes"] = np.round(talks * 40 * np.exp(draw.normal(0, 1, users)), 1)
    return found


def _read_by_sanctions(draw: np.random.Generator, kind: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    return {
        "play_streak_hours": _amount(draw, "play_streak_hours", kind),
        "rejected_moves": _count(draw, "rejected_moves", kind),
    }


def _sanctioned(columns: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """The old rule: whoever plays on without sleep, or moves as the client cannot."""
    return np.asarray((columns["play_streak_hours"] >= 15) | (columns["rejected_moves"] >= 3))


def _amount(draw: np.random.Generator, name: str, kind: NDArray[np.int64]) -> NDArray[np.float64]:
    medians, spread = AMOUNTS[name]
    return np.asarray(np.array(medians)[kind] * np.exp(draw.normal(0, spread, len(kind))))


def _count(
    draw: np.random.Generator,
    name: str,
    kind: NDArray[np.int64],
    factor: NDArray[np.float64] | float = 1.0,
) -> NDArray[np.int64]:
    means, spread = COUNTS[name]
    rate = np.array(means)[kind] * factor * draw.gamma(1 / spread, spread, len(kind))
    return np.asarray(draw.poisson(rate))
