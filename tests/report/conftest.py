"""Contents of reports as the discover job hands them over, from a small invented world without Spark."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from firstday.moments.content import COLUMNS, DiscoverContent

NASTY = (
    "</script><script>alert(1)</script>",
    "a\"b'c & d",
    "line\nbreak\u2028\u202e",
    "🎉 party",
    "dots.and[brackets]",
    "'; DROP TABLE users; -- {{ 7*7 }}",
    "x" * 200,
)
PLAIN = (
    "friend",
    "message",
    "match",
    "profile",
    "swipe",
    "abuse",
    "like",
    "call",
    "gift",
    "search",
    "invite",
)
THRESHOLD = 3
DAYS = (1, 7, 14)
DATES = 30
FIGURES = ("difference", "segment_adjusted", "adjusted")


@pytest.fixture(scope="session")
def moment() -> DiscoverContent:
    """The first action at least 3 times is the moment; the others only go with engagement."""
    return content(PLAIN)


@pytest.fixture(scope="session")
def nasty() -> DiscoverContent:
    """The same with names that would break a page which takes them for more than text."""
    return content(NASTY + PLAIN[:5])


@pytest.fixture(scope="session")
def none(moment: DiscoverContent) -> DiscoverContent:
    """The same world in which nothing is found."""
    return replace(
        moment,
        hypothesis={"verdict": "none", "day": 1, "reason": "no candidate stands out"},
        moments=moment.moments.assign(verdict="dropped", reason="stands out: t 0.4"),
        actions=moment.actions.assign(verdict="dropped", reason="stands out: t 0.4", p_works=0.11),
        day_effects=moment.day_effects.assign(adjusted=None, low=None, high=None),
        funnel=moment.funnel.assign(candidates=[105, 40, 0], dropped=[0, 65, 40]),
        shortlist=moment.shortlist[:0],
    )


@pytest.fixture(scope="session")
def empty(none: DiscoverContent) -> DiscoverContent:
    """Every table empty, as an empty log leaves them."""
    tables = {name: pd.DataFrame(columns=list(columns)) for name, columns in COLUMNS.items()}
    return replace(none, **tables, notes=(), tallies={}, settings={}, inputs={})


def content(actions: Sequence[str], users: int = 4000) -> DiscoverContent:
    """A world of these actions, in which the first one is a cause."""
    world = _World(actions, users)
    chosen = actions[0]
    return DiscoverContent(
        run_id="20261123T101500-7f3a",
        generated_at=datetime(2026, 11, 23, 10, 15, tzinfo=UTC),
        hypothesis={
            **{"verdict": "moment", "action": chosen, "threshold": THRESHOLD, "day": 1, "p_cause": 0.93},
            **{"p_works": 0.93, "cause_share": 0.5, "others": "0.81 if 25% have"},
            "sentence": f"within 24 h of sign-up, did {chosen} at least 3 times",
            "sql": f"SELECT user_id FROM events WHERE action = '{chosen}'",
            "reason": f"{chosen} stands out from what engagement explains",
            **{"precision": 0.6123, "precision_low": 0.58, "precision_high": 0.64},
            **{"recall": 0.5234, "recall_low": 0.49, "recall_high": 0.55},
            **{"adjusted": 0.142, "adjusted_low": 0.09, "adjusted_high": 0.19},
            **{"baseline": 0.364, "detectable_effect": 0.025, "users_per_arm": 5480},
            **{"days_needed": 77, "alpha": 0.05, "power": 0.8, "retention_kind": "on"},
            **{"choosing_users": 3_200, "choosing_dates": 24, "choosing_first": date(2026, 9, 1)},
            **{"choosing_last": date(2026, 9, 24), "later_users": 800, "later_dates": 6},
            **{"later_first": date(2026, 9, 25), "later_last": date(2026, 9, 30)},
        },
        moments=world.moments(),
        actions=world.evidence(),
        trends=world.trends(),
        consistency=world.consistency(),
        day_effects=pd.DataFrame(
            {
                **{"day": DAYS, "precision": (0.61, 0.34, 0.22), "recall": (0.52, 0.57, 0.6)},
                **{"adjusted": (0.142, 0.081, None), "low": (0.09, -0.01, None), "high": (0.19, 0.12, None)},
            }
        ),
        funnel=pd.DataFrame(
            [
                (0, "all candidates", 105, 0, None, None),
                (1, "enough users on both sides", 40, 65, f"{actions[1]} ≥ 40", "12 of 4,000 users did it"),
                (2, "stands out from what engagement explains", 1, 39, f"{actions[2]} ≥ 2", "t 0.4"),
            ],
            columns=list(COLUMNS["funnel"]),
        ),
        shortlist=pd.DataFrame([_test(rank, name) for rank, name in enumerate(actions[:2], start=1)]),
        links=pd.DataFrame([(actions[1], chosen, 0.41)], columns=list(COLUMNS["links"])),
        conjunctions=pd.DataFrame([_pair(chosen, actions[1], 0.06), _pair(chosen, actions[2], 0.004)]),
        settings={"window": "24h", "days": "1, 7, 14", "segments": "country, gender", "seed": "7"},
        inputs={"users": "users.parquet (fingerprint 9f2c)", "events": "lake.product.events (version 41)"},
        notes=[f"412 users are left out of D14; the chosen action is {chosen}."],
        tallies={"events": 1_203_442, "before_anchor": 377},
    )


def _pair(action: str, other: str, gain: float) -> dict[str, Any]:
    return {
        **{"action": action, "threshold": 3, "other_action": other, "other_threshold": 2, "experienced": 211},
        **{"precision": 0.61 + gain, "precision_low": 0.55, "precision_high": 0.74, "recall": 0.31},
        **{"single_action": action, "single_threshold": 5, "single_precision": 0.61, "single_recall": 0.33},
        **{"gain": gain, "p_adjusted": 0.01 if gain > 0.05 else 0.4, "beats": gain > 0.05},
        **{"tried": 2, "dates": 6},
    }


def _test(rank: int, action: str) -> dict[str, Any]:
    row: dict[str, Any] = {"rank": rank, "action": action, "threshold": THRESHOLD, "day": 1}
    row |= {
        "p_works": 0.93 / rank,
        "p_cause": 0.93 / rank**4,
        "why": "on dates when more did it, more came back",
    }
    row |= {"against": "that what follows it would also follow a push is an assumption", "family": action}
    row |= {"effect": 0.14, "effect_low": 0.08, "effect_high": 0.19, "expected_gain": 0.023}
    row |= {
        "users_per_arm": 5480,
        "days_needed": 77,
        "guardrails": ["match"],
        "guardrail_day": 7,
        "status": "not tested",
    }
    return row | {"sentence": f"within 24 h of sign-up, did {action} at least 3 times"}


class _World:
    """Counts of first days and retention of `users` users with one hidden engagement."""

    def __init__(self, actions: Sequence[str], users: int) -> None:
        random = np.random.default_rng(3)
        self.actions, self.users = list(actions), users
        self.date = random.integers(0, DATES, users)
        country = random.choice(["KR", "US"], users, p=[0.7, 0.3])
        gender = random.choice(["f", "m"], users)
        self.segments: dict[str, np.ndarray] = {
            "all": np.ones(users, bool),
            "country=KR": country == "KR",
            "country=US": country == "US",
            "country=KR,gender=f": (country == "KR") & (gender == "f"),
        }
        engagement = random.normal(0, 1, users) + random.normal(0, 0.3, DATES)[self.date]
        rates = np.linspace(-0.3, 1.1, len(actions)) + np.outer(engagement, np.linspace(0.5, 1, len(actions)))
        self.counts = random.poisson(np.exp(rates + random.normal(0, 0.5, (DATES, len(actions)))[self.date]))
        logit = -0.7 + 0.8 * engagement + 0.8 * (self.counts[:, 0] >= THRESHOLD)
        self.retained = {n: random.random(users) < 1 / (1 + np.exp(0.07 * n - logit)) for n in DAYS}

    def moments(self) -> pd.DataFrame:
        rows = [
            self._candidate(segment, inside, day, place, threshold)
            for segment, inside in self.segments.items()
            for day in DAYS
            for place in range(len(self.actions))
            for threshold in (1, 2, THRESHOLD, 4, 6, 8, 12, 20, 40)
        ]
        table = pd.DataFrame([row for row in rows if row["experienced"]], columns=list(COLUMNS["moments"]))
        ranked = table.sort_values(["recall", "precision"], ascending=False)
        best = ranked.groupby(["segment", "day"])["precision"].cummax()
        return table.assign(on_frontier=ranked["precision"] >= best)

    def _candidate(
        self, segment: str, inside: np.ndarray, day: int, place: int, threshold: int
    ) -> dict[str, Any]:
        did, back = self.counts[inside, place] >= threshold, self.retained[day][inside]
        users, experienced, retained, both = (
            len(did), int(did.sum()), int(back.sum()), int((did & back).sum()),
        )  # fmt: skip
        row: dict[str, Any] = {"segment": segment, "action": self.actions[place], "threshold": threshold}
        row |= {"day": day, "users": users, "experienced": experienced, "retained": retained, "both": both}
        if not 0 < experienced < users:
            return row
        precision, others = both / experienced, (retained - both) / (users - experienced)
        wide = 1 / np.sqrt(experienced)
        row |= {"precision": precision, "precision_low": precision - wide, "precision_high": precision + wide}
        row |= {"recall": both / retained, "recall_low": 0.1, "recall_high": 0.9, "f1": 0.5, "e_value": 1.8}
        row |= {"lift": precision * users / retained, "phi": np.corrcoef(did, back)[0, 1], "q_value": 0.0004}
        kept = 0.7 if place == 0 else 0.1
        for name, part in zip(FIGURES, (1.0, 0.9, kept), strict=True):
            value = part * (precision - others)
            row |= {name: value, f"{name}_low": value - wide, f"{name}_high": value + wide}
        row |= {"trend": "similar" if place == 0 else "differs", "simpson": place == 4 and threshold == 2}
        row |= {"trend_effect": kept, "trend_effect_low": kept - 0.2, "trend_effect_high": kept + 0.2}
        if segment == "all" and day == 1:  # only these are judged
            chosen = place == 0 and threshold == THRESHOLD
            row["verdict"] = "chosen" if chosen else "kept" if place == 0 else "dropped"
            row["reason"] = None if place == 0 else "stands out from what engagement explains: t 0.4"
        return row

    def evidence(self) -> pd.DataFrame:
        expected = np.linspace(0.05, 0.1, len(self.actions))
        is_cause = np.arange(len(self.actions)) == 0
        return pd.DataFrame(
            {
                **{"action": self.actions, "share_experienced_once": (self.counts > 0).mean(axis=0)},
                **{"expected": expected, "observed": expected + 0.06 * is_cause},
                **{"within_factor": np.where(is_cause, 8e4, 0.5), "trend_effect": 0.3 * is_cause},
                **{"trend_low": -0.1, "trend_high": 0.5, "trend_factor": np.where(is_cause, 3.2, 0.5)},
                **{"p_cause": np.where(is_cause, 0.93, 0.005), "p_works": np.where(is_cause, 0.93, 0.005)},
                **{"family": self.actions, "verdict": "dropped", "reason": None},
            }
        )

    def trends(self) -> pd.DataFrame:
        rows = []
        for place, action in enumerate(self.actions[:6]):
            did = self.counts[:, place] >= THRESHOLD
            for day in range(DATES):
                on = self.date == day
                row = {"segment": "all", "action": action, "threshold": THRESHOLD, "day": 1}
                row |= {"anchor_date": _date(day), "users": int(on.sum())}
                rows.append(row | {"share": did[on].mean(), "retention": self.retained[1][on].mean()})
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
