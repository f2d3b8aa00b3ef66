"""What discover's report is made of: small pandas tables, with these columns, and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pandas as pd

from firstday.report import words

COLUMNS: dict[str, tuple[str, ...]] = {
    "moments": (
        *("segment", "action", "threshold", "day", "users", "experienced", "retained", "both"),
        *("precision", "precision_low", "precision_high", "recall", "recall_low", "recall_high"),
        *("lift", "f1", "phi", "difference", "difference_low", "difference_high"),
        *("segment_adjusted", "segment_adjusted_low", "segment_adjusted_high"),
        *("adjusted", "adjusted_low", "adjusted_high", "e_value", "q_value", "simpson"),
        *("on_frontier", "frontier_share", "trend", "trend_effect", "trend_effect_low", "trend_effect_high"),
        *("verdict", "reason"),
    ),
    "actions": (
        *("action", "share_experienced_once", "family", "within_factor", "trend_factor"),
        *("trend_effect", "trend_low", "trend_high", "p_cause", "p_works", "expected", "observed"),
        *("verdict", "reason"),
    ),
    "shortlist": (
        *("rank", "action", "threshold", "day", "p_works", "p_cause", "why", "against", "family"),
        *("effect", "effect_low", "effect_high", "expected_gain", "users_per_arm", "days_needed"),
        *("guardrails", "guardrail_day", "sentence", "status"),
    ),
    "links": ("leader", "follower", "lead"),
    "conjunctions": (
        *("action", "threshold", "other_action", "other_threshold", "experienced", "precision"),
        *("precision_low", "precision_high", "recall", "single_action", "single_threshold"),
        *("single_precision", "single_recall", "gain", "p_adjusted", "beats", "tried", "dates"),
    ),
    "trends": ("segment", "action", "threshold", "day", "anchor_date", "users", "share", "retention"),
    "consistency": ("anchor_date", "users"),
    "day_effects": ("day", "precision", "recall", "adjusted", "low", "high"),
    "funnel": ("step", "name", "candidates", "dropped", "loser", "figure"),
}
VERDICTS = ("moment", "shortlist", "none")


@dataclass(frozen=True)
class DiscoverContent:
    """The answer, its evidence and how the run was made. Shares and their differences are 0..1, not percent.

    `hypothesis` has the keys verdict ('moment', 'shortlist' or 'none'), action, threshold, day, sentence
    ('within 24 h of sign-up, did friend at least 3 times'), sql, reason, p_cause, p_works, cause_share (the
    prior), others (P(cause) with other priors, as a text); precision, recall
    and adjusted, each with _low and _high, on the reporting dates; and of the planned test baseline,
    detectable_effect (a difference of shares), users_per_arm, days_needed, alpha, power; users_a_day,
    of the dates users_a_day_first to users_a_day_last; retention_kind; of
    the dates to choose on and the later ones choosing_users, choosing_dates, choosing_first, choosing_last,
    later_users, ...; where nothing is to be tested `help`: what is too little, and how much more it takes. A
    value that does not apply is None or absent.

    `moments`: one row for each (segment, action, threshold, day), those of segment 'all' and of the largest
    segments, thinned to a few thousand. trend is 'similar', 'differs' or 'not enough data'; verdict is
    'chosen', 'kept' or 'dropped'.
    `actions`: one row an action. observed is its covariance with retention, expected what that would be if
    the action only measured engagement; within_factor and trend_factor are Bayes factors of a cause.
    `shortlist`: what to test, in this order. `links`: who leads whom, and in what share of the follower's
    events the leader comes before rather than after it, within 30 minutes.
    `conjunctions`: pairs of actions tried on the later dates, each beside the single candidate of the highest
    precision among those of at least its recall; beats: whether it is better by more than chance.
    `trends`: the chosen candidate and the strongest losers by anchor date; share is that of the users who
    experienced it.
    `consistency`: one row an anchor date; beside its columns one a day, d1, d7, ...: the share retained, null
    where the date's users have not matured.
    `day_effects`: the chosen candidate, or the best-known one (named by two more columns, action and
    threshold), on each day n: figures of the reporting dates.
    `funnel`: one row a step: the candidates left after it, those it dropped, the best-known one of these and
    its figure, as text.
    `settled`: of actions that experiments proved or disproved: the name, which, and the figures.
    `labels`: what leaving users out by labels changed: `kept` and `everyone`, each with users (whose day is
    known), retained and its hypothesis, and the table `candidates`, one row a population and candidate.
    """

    run_id: str
    generated_at: datetime
    hypothesis: Mapping[str, Any]
    moments: pd.DataFrame
    actions: pd.DataFrame
    trends: pd.DataFrame
    consistency: pd.DataFrame
    day_effects: pd.DataFrame
    funnel: pd.DataFrame
    shortlist: pd.DataFrame
    links: pd.DataFrame
    conjunctions: pd.DataFrame
    settings: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] | list[str] = ()
    tallies: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Any] | None = None
    settled: Sequence[tuple[str, str, str]] = ()

    def __post_init__(self) -> None:
        for table, columns in COLUMNS.items():
            missing = [column for column in columns if column not in getattr(self, table).columns]
            if missing:
                raise ValueError(f"the report's table {table!r} lacks the columns {missing}")
        if self.hypothesis.get("verdict") not in VERDICTS:
            raise ValueError(f"verdict must be one of {VERDICTS}, not {self.hypothesis.get('verdict')!r}")

    @property
    def kind(self) -> str:
        """What counts as a return: 'on' day n, 'within' days 1 to n, 'on_or_after' day n."""
        return str(self.hypothesis.get("retention_kind") or "on")

    def day(self, value: Any) -> str:
        """Dn by its name: 'D7', 'D1–7', 'D7+'."""
        return words.day(value, self.kind)

    def whom(self, part: Literal["choosing", "later", "all"]) -> str:
        """The users and dates of a part: 'choosing dates, 2,864 users, 2024-01-01 to 2024-03-31'."""
        found = self.hypothesis
        names = ("choosing", "later") if part == "all" else (part,)
        users = [found.get(f"{name}_users") for name in names]
        ends = [found.get(f"{names[0]}_first"), found.get(f"{names[-1]}_last") or found.get("choosing_last")]
        if any(words.absent(each) for each in (*users, *ends)):
            return f"{part} dates"
        total = words.some(sum(map(words.count, users)), "user", "users")
        return f"{part} dates, {total}, {' to '.join(map(words.iso_date, ends))}"
