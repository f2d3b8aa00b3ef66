"""Contents of reports as the discover job would hand them over, from a small invented world."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from firstday.report.content import COLUMNS, DiscoverContent

NASTY = (
    "</script><script>alert(1)</script>",
    "a\"b'c",
    "line\nbreak",
    "🎉 party",
    "dots.and[brackets]",
    "'; DROP TABLE users; --",
)
PLAIN = (
    "friend",
    "message",
    "match_request",
    "view_profile",
    "swipe",
    "report_abuse",
    "like",
    "call",
    "gift",
    "search",
    "settings",
    "invite",
)
CHOSEN = ("friend", 3)
DAYS = (1, 7, 14)
DATES = 42


def moment(actions: tuple[str, ...] = PLAIN, users: int = 6000) -> DiscoverContent:
    """A world where the first action at least 3 times is a cause, and the others only go with engagement."""
    world = _World(actions, users)
    chosen = (actions[0], 3)
    moments = world.moments(chosen)
    best = moments[
        (moments["segment"] == "all") & (moments["day"] == 1) & (moments["verdict"] == "chosen")
    ].iloc[0]
    figures = ("precision", "recall", "adjusted")
    return DiscoverContent(
        run_id="20261123-1015-7f3a",
        generated_at=datetime(2026, 11, 23, 10, 15, tzinfo=UTC),
        hypothesis={
            **{"verdict": "moment", "action": chosen[0], "threshold": 3, "day": 1, "odds": 25.4},
            "sentence": f"within 24 h of sign-up, did {chosen[0]} at least 3 times",
            "sql": f"SELECT user_id\nFROM events\nWHERE action = '{chosen[0]}'\nGROUP BY user_id\nHAVING count(*) >= 3",
            "reason": "it stands out from engagement, and its trend agrees in 5 of 6 segments",
            **{
                f"{figure}{end}": best[f"{figure}{end}"]
                for figure in figures
                for end in ("", "_low", "_high")
            },
            **{"baseline": world.retained[1].mean(), "detectable_effect": 0.025, "users_per_arm": 5480},
            **{"days_needed": 77, "alpha": 0.05, "power": 0.8},
        },
        moments=moments,
        actions=world.action_rows(chosen),
        trends=world.trends([chosen, *((action, 2) for action in actions[1:6])]),
        consistency=world.consistency(),
        day_effects=pd.DataFrame(
            {
                "day": [1, 7, 14],
                "precision": [0.61, 0.34, 0.22],
                "recall": [0.52, 0.57, 0.6],
                "adjusted": [0.142, 0.081, 0.022],
                "low": [0.09, 0.04, -0.01],
                "high": [0.19, 0.12, 0.06],
            }
        ),
        funnel=_funnel(len(moments[(moments["segment"] == "all") & (moments["day"] == 1)]), 1, actions),
        settings={
            "window": "24h",
            "days": "1, 7, 14",
            "segments": "country, gender",
            "retention": "rolling",
            "seed": "7",
        },
        inputs={
            "users": "users.parquet (fingerprint 9f2c)",
            "events": "lake.product.events (Delta version 41)",
        },
        notes=[
            "other activity may itself follow from the action, so the adjusted difference may say too little",
            "412 users whose D14 is not over yet are left out of D14",
        ],
        tallies={
            "users": users,
            "events read": 1_203_442,
            "events before sign-up, left out": 377,
            "counts held at 10,000": 3,
        },
    )


def none(actions: tuple[str, ...] = PLAIN) -> DiscoverContent:
    """The same world in which nothing is found."""
    content = moment(actions)
    moments = content.moments.assign(verdict="dropped", reason="only a companion of engagement")
    return replace(
        content,
        hypothesis={
            **dict.fromkeys(content.hypothesis),
            "verdict": "none",
            "reason": "no action's tie with retention exceeds what engagement alone gives it",
        },
        moments=moments,
        actions=content.actions.assign(
            observed=content.actions["expected"] * 1.02,
            odds=content.actions["odds"].clip(upper=1.4) / 2,
            verdict="dropped",
            reason="its tie is what engagement alone gives it (t 0.4)",
        ),
        trends=content.trends[content.trends["action"] != actions[0]],
        funnel=_funnel(len(moments[(moments["segment"] == "all") & (moments["day"] == 1)]), 0, actions),
    )


def empty() -> DiscoverContent:
    """Every table empty: an empty log."""
    content = none()
    return replace(
        content,
        **{table: pd.DataFrame(columns=list(columns)) for table, columns in COLUMNS.items()},
        notes=[],
        tallies={},
        settings={},
        inputs={},
    )


class _World:
    def __init__(self, actions: tuple[str, ...], users: int) -> None:
        random = np.random.default_rng(3)
        self.actions = actions
        self.date = random.integers(0, DATES, users)
        self.segments = {
            "country": random.choice(["KR", "US", "DE"], users, p=[0.5, 0.3, 0.2]),
            "gender": random.choice(["f", "m"], users),
        }
        day_lift = random.normal(0, 0.3, DATES)[self.date]
        engagement = random.normal(0, 1, users) + day_lift
        rates = np.linspace(0.2, 1.6, len(actions))
        self.loading = np.linspace(0.5, 1.0, len(actions))
        own = random.normal(0, 0.5, (DATES, len(actions)))
        self.counts = np.stack(
            [
                random.poisson(np.exp(rate + load * engagement + own[self.date, place] - 0.5))
                for place, (rate, load) in enumerate(zip(rates, self.loading, strict=True))
            ],
            axis=1,
        )
        logit = -0.7 + 0.8 * engagement + 0.8 * (self.counts[:, 0] >= 3)
        self.retained = {day: random.random(users) < 1 / (1 + np.exp(-logit + 0.07 * day)) for day in DAYS}
        self.users = users

    def moments(self, chosen: tuple[str, int]) -> pd.DataFrame:
        rows = []
        everyone = np.ones(self.users, bool)
        parts = {"all": everyone}
        for column, values in self.segments.items():
            parts |= {f"{column}={value}": values == value for value in np.unique(values)}
        parts |= {
            f"country=KR,gender={value}": (self.segments["country"] == "KR")
            & (self.segments["gender"] == value)
            for value in "fm"
        }
        for segment, inside in parts.items():
            for day in DAYS if segment == "all" else DAYS[:1]:
                for place, action in enumerate(self.actions):
                    for threshold in (1, 2, 3, 4, 6, 8, 12, 20, 40):
                        rows.append(self._candidate(segment, inside, day, place, action, threshold))
        frame = pd.DataFrame([row for row in rows if row["experienced"] >= 5])
        for _, part in frame.groupby(["segment", "day"]):
            ranked = part.sort_values(["recall", "precision"], ascending=False)
            frame.loc[ranked.index, "on_frontier"] = ranked["precision"] >= ranked["precision"].cummax()
        frame["on_frontier"] = frame["on_frontier"].astype(bool)
        frame["frontier_share"] = np.where(frame["on_frontier"], 0.8, 0.02)
        is_chosen = (frame["action"] == chosen[0]) & (frame["threshold"] == chosen[1])
        frame["verdict"] = np.where(
            is_chosen, "chosen", np.where(frame["action"].isin(self.actions[:2]), "kept", "dropped")
        )
        frame["reason"] = np.where(
            frame["verdict"] == "dropped", "its trend differs: −0.02 (−0.11 to 0.07)", None
        )
        frame["trend"] = np.where(frame["verdict"] == "dropped", "differs", "similar")
        frame.loc[frame["threshold"] > 12, "trend"] = "not enough data"
        return frame[list(COLUMNS["moments"])]

    def _candidate(
        self, segment: str, inside: np.ndarray, day: int, place: int, action: str, threshold: int
    ) -> dict[str, Any]:
        did, back = self.counts[inside, place] >= threshold, self.retained[day][inside]
        users, experienced, retained, both = (
            len(did),
            int(did.sum()),
            int(back.sum()),
            int((did & back).sum()),
        )
        precision = both / experienced if experienced else None
        others = users - experienced
        row: dict[str, Any] = dict.fromkeys(COLUMNS["moments"])
        row |= {"segment": segment, "action": action, "threshold": threshold, "day": day, "users": users}
        row |= {"experienced": experienced, "retained": retained, "both": both, "recall": both / retained}
        if precision is None:
            return row
        wide = 1.96 * np.sqrt(0.25 / max(experienced, 1))
        row |= {"precision": precision, "precision_low": precision - wide, "precision_high": precision + wide}
        row |= {"recall_low": row["recall"] - 0.03, "recall_high": row["recall"] + 0.03}
        row |= {"lift": precision * users / retained, "f1": 2 * both / (experienced + retained)}
        row["phi"] = np.corrcoef(did, back)[0, 1] if 0 < experienced < users else None
        row |= {"e_value": 1.8, "q_value": 0.0004, "simpson": action == self.actions[4] and threshold == 2}
        if others:
            crude = precision - (retained - both) / others
            kept = 0.7 if place == 0 else 0.1 + 0.03 * place
            for name, value in (
                ("difference", crude),
                ("segment_adjusted", crude * 0.95),
                ("adjusted", crude * kept),
            ):
                row |= {name: value, f"{name}_low": value - wide, f"{name}_high": value + wide}
            row |= {"trend_effect": kept - 0.3, "trend_effect_low": kept - 0.5, "trend_effect_high": kept}
        return row

    def action_rows(self, chosen: tuple[str, int]) -> pd.DataFrame:
        rows = []
        for place, action in enumerate(self.actions):
            expected = 0.1 * self.loading[place]
            observed = expected + (0.06 if place == 0 else 0.006 * np.sin(place))
            rows.append(
                {
                    "action": action,
                    "share_experienced_once": (self.counts[:, place] > 0).mean(),
                    "proportion_t": (observed - expected) / 0.008,
                    "proportion_p": 1e-9 if place == 0 else 0.4,
                    "proportion_odds": 40.0 if place == 0 else 0.3,
                    "trend_effect": 0.3 if place == 0 else 0.02,
                    "trend_low": -0.1,
                    "trend_high": 0.4,
                    "trend_odds": 3.0 if place == 0 else 0.2,
                    "odds": 25.4 if place == 0 else 0.3 / (place + 1),
                    "expected": expected,
                    "observed": observed,
                    "verdict": "chosen" if action == chosen[0] else "dropped",
                    "reason": None if action == chosen[0] else "its tie is what engagement alone gives it",
                }
            )
        return pd.DataFrame(rows)

    def trends(self, candidates: list[tuple[str, int]]) -> pd.DataFrame:
        rows = []
        for action, threshold in candidates:
            did = self.counts[:, self.actions.index(action)] >= threshold
            for day in range(DATES):
                on = self.date == day
                rows.append(
                    {
                        "segment": "all",
                        "action": action,
                        "threshold": threshold,
                        "day": 1,
                        "anchor_date": _date(day),
                        "users": int(on.sum()),
                        "share": did[on].mean(),
                        "retention": self.retained[1][on].mean(),
                    }
                )
        return pd.DataFrame(rows)

    def consistency(self) -> pd.DataFrame:
        rows = []
        for day in range(DATES):
            on = self.date == day
            shares = {f"d{n}": self.retained[n][on].mean() if day < DATES - n else None for n in DAYS}
            rows.append({"anchor_date": _date(day), "users": int(on.sum()), **shares})
        return pd.DataFrame(rows)


def _date(day: int) -> date:
    return date(2026, 9, 28) + timedelta(days=day)


def _funnel(candidates: int, left: int, actions: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (
                1,
                "enough users on both sides",
                candidates,
                36,
                f"{actions[1]} ≥ 40",
                "12 users did it, 30 are needed",
            ),
            (2, "more than chance", candidates - 21, 21, f"{actions[5]} ≥ 8", "q 0.21"),
            (
                3,
                "survives engagement held still",
                30,
                candidates - 51,
                f"{actions[3]} ≥ 4",
                "adjusted +0.4 points (−1.0 to +1.8)",
            ),
            (4, "stands out from engagement", 6 * left, 30 - 6 * left, f"{actions[1]} ≥ 2", "odds 1 to 12"),
            (5, "one threshold an action", left, 5 * left, None, None),
        ],
        columns=list(COLUMNS["funnel"]),
    )
