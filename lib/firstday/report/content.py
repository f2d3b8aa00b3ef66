"""What the reports are made from: small pandas tables, with these columns, and figures."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

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


RESULT_COLUMNS = (
    *("experiment", "metric", "segment", "population", "treatment", "control", "method", "date", "part"),
    *("estimate", "low", "high", "standard_error", "statistic", "p_value", "p_adjusted"),
    *("n_treatment", "n_control", "value_treatment", "value_control", "verdict", "note"),
)


class Decision(Protocol):
    """verdict: 'withheld' where the sample-ratio check failed. headline: the answer in a sentence. ship: what
    to do by it. warnings: sentences on what to mind; rows: sentences on the rows that decide.
    """

    @property
    def verdict(self) -> str: ...
    @property
    def headline(self) -> str: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def rows(self) -> Sequence[str]: ...
    @property
    def ship(self) -> str: ...


@dataclass(frozen=True)
class MeasureContent:
    """The results of an experiment and the decision that was taken from them.

    `results`: experiment_results. Shares and their differences are 0..1, not percent. `shares`: the metrics
    that are shares; None: those that look like it. `methods`: by metric the method that decides, such as
    'always_valid'; where it is not told, the one that fits what is there. Intervals hold at 1 - `alpha`.
    `units`: by metric that is no share, its unit, such as 'EUR per user'. `fall_is_good`: metrics of which
    less is better.
    """

    run_id: str
    experiment: str
    results: pd.DataFrame
    decision: Decision
    notes: Sequence[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    shares: Collection[str] | None = None
    methods: Mapping[str, str] = field(default_factory=dict)
    alpha: float = 0.05
    units: Mapping[str, str] = field(default_factory=dict)
    fall_is_good: Collection[str] = ()

    def __post_init__(self) -> None:
        missing = [column for column in RESULT_COLUMNS if column not in self.results.columns]
        if missing:
            raise ValueError(f"the report's table 'results' lacks the columns {missing}")


class Comparison(Protocol):
    """A ranker against another model. gain: its metric less the other's; low, high: of its interval."""

    @property
    def other(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def gain(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class SlotContent:
    """table: ranker_slots. way: how examination was found. lists_per_week: a customer. notes: sentences."""

    table: pd.DataFrame
    way: str
    lists_per_week: float
    notes: Sequence[str]


@dataclass(frozen=True)
class TrainContent:
    """What the report shows.

    comparisons, champion: sentences on the model against each baseline, and against the champion; against:
    the same in figures. metrics,
    features: ranker_metrics and ranker_features. slots: None for ready examples. sizes: by split, lists,
    rows, and lists whose labels differ. settings: with the parameters that LightGBM got. trees: of the model.
    """

    run_id: str
    objective: str
    beats: bool
    comparisons: Sequence[str]
    champion: str | None
    metrics: pd.DataFrame
    features: pd.DataFrame
    sizes: Mapping[str, tuple[int, int, int]]
    notes: Sequence[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    slots: SlotContent | None = None
    trees: int | None = None
    against: Sequence[Comparison] = ()


@dataclass(frozen=True)
class RecommendContent:
    """What the report shows.

    customers: asked for; lists: that are not empty; full: those of `size` slots; slots: filled in all.
    sources: how many by source. window: the days that monitoring is of, in words. steps: step, figure, value.
    monitoring, drift (empty without an earlier run): recommend_monitoring and recommend_drift. off_policy:
    sentences, the answer or the refusal first; none if it was not asked.
    """

    run_id: str
    customers: int
    lists: int
    full: int
    slots: int
    size: int
    sources: Mapping[str, int]
    window: str
    steps: pd.DataFrame
    monitoring: pd.DataFrame
    drift: pd.DataFrame
    off_policy: Sequence[str]
    notes: Sequence[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
