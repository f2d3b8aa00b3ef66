"""The last step on the driver: evidence, choice, hypothesis and the small tables that show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.moments import analyse, choose, outputs, rule
from firstday.moments.collect import products_by_date, timing_until, to_driver
from firstday.moments.dates import date_products
from firstday.moments.evidence import ActionEvidence, assess
from firstday.moments.families import Timing
from firstday.moments.power import PlannedTest, plan_test
from firstday.moments.tested import Tested
from firstday.moments.worth import Reach, Worth, followers, worth
from firstday.segments import ALL
from firstday.settings import DiscoverSettings

SHOWN_TRENDS = 6
GUARDED = 2  # actions of other families that a push may displace, the most frequent ones
OTHER_SHARES = (0.2, 0.8)  # of apps with a cause, told beside the one that was set
FACTOR_SEEN = 3.0  # Bayes factor from which evidence is said to be there
EVIDENCE_COLUMNS = [
    "action", "day", "share_experienced_once", "family", "observed", "expected", "effect", "within_factor",
    "trend_effect", "trend_low", "trend_high", "trend_factor", "p_cause", "p_works", "verdict", "reason",
]  # fmt: skip
TREND_COLUMNS = [
    "segment", "action", "threshold", "day", "anchor_date",
    "users", "experienced", "retained", "both", "share", "retention",
]  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """Small pandas tables, with the columns of `outputs`. held: the segments that the evidence adjusts for.
    posterior: None where actions or dates are too few.
    """

    choice: choose.Choice
    hypothesis: dict[str, object]
    shortlist: pd.DataFrame
    evidence: pd.DataFrame
    links: pd.DataFrame
    trends: pd.DataFrame
    held: tuple[str, ...]
    day: int
    posterior: ActionEvidence | None
    tested: Mapping[str, Tested]

    @property
    def verdicts(self) -> pd.DataFrame:
        """segment, action, threshold, day, verdict, reason of the candidates that the choice looked at."""
        table = self.choice.candidates[["action", "threshold", "verdict", "reason"]]
        return table.assign(segment=ALL, day=self.day)

    def tables(self) -> dict[str, pd.DataFrame]:
        """By the name of the table in the output."""
        return {
            "hypotheses": pd.DataFrame([self.hypothesis]),
            "shortlist": self.shortlist,
            "funnel": self.choice.funnel,
            "action_evidence": self.evidence,
            "action_links": self.links,
            "moment_trends": self.trends,
            "tested": pd.DataFrame(
                [{**vars(each), "status": each.status} for each in self.tested.values()],
                columns=[field.name for field in outputs.TESTED],
            ),
        }


def choosing_until(cohorts: pd.DataFrame, settings: DiscoverSettings) -> date | None:
    """The last anchor date of the choosing half: of the dates with users whose first Dn is known, the earlier
    `choose_share`. None where there are none.
    """
    dates = cohorts.loc[cohorts[f"matured_d{settings.days[0]}"] > 0, "anchor_date"].tolist()
    if not dates:
        return None
    return dates[max(0, min(len(dates) - 1, round(settings.choose_share * len(dates)) - 1))]


def users_a_day(cohorts: pd.DataFrame, day: int) -> float:
    """New users a calendar day, of the dates on which some are known on day n."""
    known = cohorts[cohorts[f"matured_d{day}"] > 0]
    if known.empty:
        return 0.0
    dates = known["anchor_date"]
    return float(known[f"matured_d{day}"].sum() / ((dates.max() - dates.min()).days + 1))


def find(
    counts: DataFrame,
    products: DataFrame,
    halves: pd.DataFrame,
    until: date,
    settings: DiscoverSettings,
    cohorts: pd.DataFrame,
    timing: DataFrame | None = None,
    *,
    with_event_id: bool = False,
    tested: Mapping[str, Tested] | None = None,
) -> Findings:
    """Choose on the dates up to `until`. halves: what `analyse` returned for segment `all`, by half. cohorts:
    as `cohorts_by_date` has them. timing: moment_timing. tested: what experiments said of actions.

    with_event_id: whether the log has an event_id, which the rule's SQL then goes by.
    """
    day = settings.days[0]
    table = halves.sort_values(["half", "day", "action", "threshold"], ignore_index=True)
    first = table[table["day"] == day]
    choosing, reporting = (first[first["half"] == half] for half in (analyse.CHOOSING, analyse.REPORTING))
    rows, held = products_by_date(products, settings.segments, day, until)
    known = None if timing is None else timing_until(timing, until)
    evidence = None
    if len(rows):
        evidence = assess(
            date_products(rows, held), known, cause_share=settings.cause_share, passing_on=settings.passing_on
        )
    values = _Values(counts, evidence, known, reporting, users_a_day(cohorts, day), settings)
    choice = choose.choose(
        choosing.reset_index(drop=True),
        evidence,
        min_users=settings.min_users,
        dates=int(choosing["dates"].max()) if len(choosing) else 0,
        min_dates=settings.min_dates,
        later=reporting,
        days_needed=values.days_needed,
        most_test_days=settings.most_test_days,
        tested={name: each.sentence for name, each in (tested or {}).items() if each.is_settled},
    )
    trends = _trends(counts, choice, day)
    shortlist = _shortlist(choice, evidence, values, settings, tested or {})
    return Findings(
        choice,
        _hypothesis(choice, reporting, evidence, values, settings, with_event_id),
        shortlist,
        _evidence_table(evidence, choice, choosing, day),
        _links(evidence, day),
        trends,
        held,
        day,
        evidence,
        tested or {},
    )


@dataclass
class _Values:
    """What candidates that may work are worth, and their tests; counts are read once for all of them."""

    counts: DataFrame
    evidence: ActionEvidence | None
    timing: Timing | None
    reporting: pd.DataFrame
    users_a_day: float
    settings: DiscoverSettings

    @cached_property
    def cells(self) -> pd.DataFrame:
        """action, count, users (whose day is known), of the actions that may work and what they lead to."""
        assert self.evidence is not None
        works = self.evidence.p_works >= choose.LEAST_P_WORKS
        led = (self.evidence.passed_on[works] > 0).any(axis=0)
        names = [name for name, there in zip(self.evidence.actions, works | led, strict=True) if there]
        users = F.sum(f"matured_d{self.settings.days[0]}").alias("users")
        rows = self.counts.where(F.col("action").isin(names)).groupBy("action", "count").agg(users)
        cohort = self.counts.where(F.col("action").isNull()).agg(users).first()
        table = to_driver(rows, "counts of the shortlisted actions")
        table = table.sort_values(["action", "count"], ignore_index=True)
        table.attrs["users"] = float((cohort and cohort["users"]) or 0.0)
        return table

    @cached_property
    def mean_counts(self) -> dict[str, float]:
        events = (self.cells["count"] * self.cells["users"]).groupby(self.cells["action"]).sum()
        return {str(name): float(value) / self.cells.attrs["users"] for name, value in events.items()}

    def worth(self, action: str, threshold: int) -> Worth:
        assert self.evidence is not None
        cells = self.cells[self.cells["action"] == action]
        count, users = (cells[name].to_numpy(dtype=float) for name in ("count", "users"))
        none = max(self.cells.attrs["users"] - users.sum(), 0.0)
        reach = Reach.of(np.append(count, 0.0), np.append(users, none), threshold)
        return worth(action, reach, self.evidence, self.timing, self.mean_counts)

    def planned(self, row: pd.Series) -> PlannedTest | None:
        """The test of a candidate, a row of the choosing half; its shares are those of the later dates."""
        later = self.reporting
        there = later[(later["action"] == row["action"]) & (later["threshold"] == row["threshold"])]
        known = there.iloc[0] if len(there) else row
        return plan_test(
            baseline=float(known["retained"] / known["users"]),
            share_experienced=float(known["experienced"] / known["users"]),
            effect=self.worth(str(row["action"]), int(row["threshold"])).mean_effect,
            users_a_day=self.users_a_day,
            day=self.settings.days[0],
            alpha=self.settings.test_alpha,
            power=self.settings.test_power,
        )

    def days_needed(self, rows: pd.DataFrame) -> pd.Series:
        plans = [self.planned(row) for _, row in rows.iterrows()]
        return pd.Series([np.nan if plan is None else plan.days_needed for plan in plans], rows.index, float)


def _shortlist(
    choice: choose.Choice,
    evidence: ActionEvidence | None,
    values: _Values,
    settings: DiscoverSettings,
    tested: Mapping[str, Tested],
) -> pd.DataFrame:
    """Rows of the table `shortlist`."""
    rows = []
    for rank, (_, row) in enumerate(choice.listed.iterrows(), start=1):
        assert evidence is not None  # nothing is listed without it
        action, threshold = str(row["action"]), int(row["threshold"])
        place = evidence.actions.index(action)
        value, plan = values.worth(action, threshold), values.planned(row)
        of_family = _family(evidence, place)
        rows.append(
            {
                "rank": rank, "action": action, "threshold": threshold, "day": settings.days[0],
                "p_works": value.p_works, "p_cause": float(evidence.p_cause[place]),
                "why": _why(evidence, place), "against": _against(evidence, place, row),
                "family": ", ".join(of_family),
                "effect": value.effect, "effect_low": value.low, "effect_high": value.high,
                "expected_gain": value.gain, "lift": value.lift,
                "users_per_arm": None if plan is None else plan.users_per_arm,
                "days_needed": None if plan is None else plan.days_needed,
                "guardrails": _guardrails(evidence, of_family),
                "guardrail_day": settings.days[1] if len(settings.days) > 1 else None,
                "sentence": rule.sentence(action, threshold, settings.window),
                "status": tested[action].status if action in tested else "not tested",
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=[field.name for field in outputs.SHORTLIST])


def _family(evidence: ActionEvidence, place: int) -> list[str]:
    """The actions of an action's family, those that lead others first."""
    lead = evidence.families.lead
    members = np.flatnonzero(evidence.families.number == evidence.families.number[place])
    led = (lead - lead.T)[np.ix_(members, members)].sum(axis=0)
    return [evidence.actions[members[i]] for i in np.argsort(led, kind="stable")]


def _why(evidence: ActionEvidence, place: int) -> str:
    said = []
    if evidence.p_cause[place] >= choose.LEAST_P_WORKS / 2:
        said.append(f"it is itself a cause with probability {evidence.p_cause[place]:.2f}")
        if evidence.within_factor[place] > FACTOR_SEEN:
            said.append("users of the same date who do it come back more than engagement explains")
        if evidence.trend_factor[place] > FACTOR_SEEN:
            said.append("on dates when more did it, more came back")
    for name, lead, p in followers(evidence.actions[place], evidence):
        if p >= choose.LEAST_P_WORKS / 2:
            said.append(
                f"{lead:.0%} of {name} (a cause with probability {p:.2f}) follow it within 30 minutes"
            )
    return "; ".join(said)


def _against(evidence: ActionEvidence, place: int, row: pd.Series) -> str:
    said = []
    if evidence.trend_factor[place] < 1 / FACTOR_SEEN:
        said.append("the dates speak against it")
    elif evidence.trend_factor[place] < FACTOR_SEEN:
        said.append("the dates say little for or against it")
    if evidence.within_factor[place] < 1 / FACTOR_SEEN:
        said.append("engagement explains how much more its users come back")
    others = [
        f"{name} ({p:.2f})"
        for name, p in sorted(zip(evidence.actions, evidence.p_cause, strict=True), key=lambda pair: -pair[1])
        if p >= choose.LEAST_P_WORKS / 2 and name != evidence.actions[place]
    ][:3]
    if others:
        said.append(f"the cause may be {' or '.join(others)}")
    if evidence.p_trait >= choose.LEAST_P_WORKS / 2:
        said.append(f"a taste that users bring along may be behind it ({evidence.p_trait:.2f})")
    if evidence.p_none >= choose.LEAST_P_WORKS / 2:
        said.append(f"nothing but engagement may be at work ({evidence.p_none:.2f})")
    if evidence.p_works[place] > evidence.p_cause[place] + choose.LEAST_P_WORKS / 2:
        said.append("that what follows it would also follow a push is an assumption (--passing-on)")
    if evidence.families.anchorless:
        said.append("nearly all actions follow from one another: there is little to compare it with")
    if not row["adjusted"] > 0:
        said.append("with other activity adjusted for nothing is left of the difference")
    return "; ".join(said)


def _guardrails(evidence: ActionEvidence, family: Sequence[str]) -> list[str]:
    """The actions of other families that follow engagement most: a push may displace them."""
    order = np.argsort(-np.abs(evidence.expected), kind="stable")
    return [evidence.actions[i] for i in order if evidence.actions[i] not in family][:GUARDED]


def _links(evidence: ActionEvidence | None, day: int) -> pd.DataFrame:
    """Rows of the table `action_links`."""
    lead = np.zeros((0, 0)) if evidence is None else evidence.families.lead
    names = () if evidence is None else evidence.actions
    rows = [(names[a], names[b], day, float(lead[a, b])) for a, b in np.argwhere(lead > 0)]
    return pd.DataFrame(rows, columns=[field.name for field in outputs.ACTION_LINKS])


def _hypothesis(
    choice: choose.Choice,
    reporting: pd.DataFrame,
    evidence: ActionEvidence | None,
    values: _Values,
    settings: DiscoverSettings,
    with_event_id: bool,
) -> dict[str, object]:
    """The one row of `hypotheses`; its shares and adjusted difference are of the reporting dates."""
    told: dict[str, object] = {"verdict": choice.verdict, "reason": choice.reason, "day": settings.days[0]}
    if evidence is not None:
        told |= {"p_none": 1 - float(evidence.p_cause.sum()), "cause_share": settings.cause_share}
        told["others"] = _other_priors(choice, evidence)
    if choice.verdict == choose.NONE or choice.chosen is None:
        return told
    action, threshold = str(choice.chosen["action"]), int(choice.chosen["threshold"])
    told |= {"action": action, "threshold": threshold}
    told |= {name: float(choice.chosen[name]) for name in ("p_cause", "p_works")}
    told["sentence"] = rule.sentence(action, threshold, settings.window)
    told["sql"] = rule.sql(action, threshold, settings.window, with_event_id)
    there = reporting[(reporting["action"] == action) & (reporting["threshold"] == threshold)]
    later = there.iloc[0]
    told |= {name: float(later[name]) for name in ("adjusted", "adjusted_low", "adjusted_high")}
    for name, part, whole in (("precision", "both", "experienced"), ("recall", "both", "retained")):
        told |= _share(name, later[part], later[whole])
    planned = values.planned(choice.chosen)
    return told | (vars(planned) if planned else {})


def _other_priors(choice: choose.Choice, evidence: ActionEvidence) -> str:
    """P(cause) of the action that came furthest with other shares of apps with a cause."""
    name = None if choice.chosen is None else str(choice.chosen["action"])
    if name not in evidence.actions:
        return ""
    place = evidence.actions.index(name)
    return ", ".join(
        f"{evidence.with_share(share).p_cause[place]:.2f} if {share:.0%} have" for share in OTHER_SHARES
    )


def _share(name: str, part: float, whole: float) -> dict[str, object]:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(part, whole, method="wilson")
    return {name: part / whole, f"{name}_low": float(low), f"{name}_high": float(high)}


def _evidence_table(
    evidence: ActionEvidence | None, choice: choose.Choice, choosing: pd.DataFrame, day: int
) -> pd.DataFrame:
    """One row an action, also for those that could not be judged."""
    once = choosing.sort_values("threshold").drop_duplicates("action").set_index("action")
    table = pd.DataFrame({"share_experienced_once": once["experienced"] / once["users"]})
    if evidence is not None:
        names = (
            "observed", "expected", "effect", "within_factor", "trend_effect", "trend_factor",
            "p_cause", "p_works",
        )  # fmt: skip
        columns = {name: getattr(evidence, name) for name in names}
        margin = 1.959963984540054 * evidence.trend_error
        columns |= {"trend_low": evidence.trend_effect - margin, "trend_high": evidence.trend_effect + margin}
        columns["family"] = np.array(
            [", ".join(_family(evidence, place)) for place in range(len(evidence.actions))], dtype=object
        )
        table = table.join(pd.DataFrame(columns, index=list(evidence.actions)))
    # An action's fate is that of the candidate of its that came furthest.
    order = {choose.DROPPED: 0, choose.KEPT: 1, choose.LISTED: 2, choose.CHOSEN: 3}
    fate = choice.candidates.assign(
        rank=choice.candidates["verdict"].map(order), position=range(len(choice.candidates))
    )
    fate = fate.sort_values(["rank", "position"]).drop_duplicates("action", keep="last").set_index("action")
    table = table.join(fate[["verdict", "reason"]]).rename_axis("action").reset_index().assign(day=day)
    return table.reindex(columns=EVIDENCE_COLUMNS)  # without evidence its figures are unknown


def _trends(counts: DataFrame, choice: choose.Choice, day: int) -> pd.DataFrame:
    """By anchor date, for the chosen candidate and the best-known one of each of a few other actions."""
    shown = choice.candidates.assign(phi=choose.phi(choice.candidates))
    ranks = {
        key: rank
        for rank, key in enumerate(zip(choice.listed["action"], choice.listed["threshold"], strict=True))
    }
    pairs_shown = zip(shown["action"], shown["threshold"], strict=True)
    shown = shown.assign(order=[ranks.get(pair, len(ranks)) for pair in pairs_shown])
    shown = shown.sort_values(
        ["order", "phi", "action", "threshold"], ascending=[True, False, True, True]
    ).drop_duplicates("action")
    pairs = [(str(row["action"]), int(row["threshold"])) for _, row in shown.head(SHOWN_TRENDS).iterrows()]
    if not pairs:
        return pd.DataFrame(columns=TREND_COLUMNS)
    table = to_driver(_series(counts, pairs, day), "trends")
    return table.sort_values(["action", "threshold", "anchor_date"], ignore_index=True)


def _series(counts: DataFrame, candidates: Sequence[tuple[str, int]], day: int) -> DataFrame:
    """Share experienced and retention by anchor date for a few candidates, in segment `all`; dates on which
    nobody's day is known are left out.
    """
    matured, retained = f"matured_d{day}", f"retained_d{day}"
    cohort = counts.where(F.col("action").isNull()).groupBy("anchor_date")
    cohort_sums = cohort.agg(F.sum(matured).alias("users"), F.sum(retained).alias("retained"))
    reached = [(F.col("action") == F.lit(action)) & (F.col("count") >= times) for action, times in candidates]
    sums = [
        F.sum(F.when(there, F.col(name))).alias(f"{name}_{place}")
        for place, there in enumerate(reached)
        for name in (matured, retained)
    ]
    of_actions = counts.where(F.col("action").isNotNull()).groupBy("anchor_date").agg(*sums)
    parts = F.array(
        *(
            F.struct(
                F.lit(action).alias("action"),
                F.lit(threshold).alias("threshold"),
                F.coalesce(F.col(f"{matured}_{place}"), F.lit(0)).alias("experienced"),
                F.coalesce(F.col(f"{retained}_{place}"), F.lit(0)).alias("both"),
            )
            for place, (action, threshold) in enumerate(candidates)
        )
    )
    rows = cohort_sums.where("users > 0").join(of_actions, "anchor_date", "left")
    rows = rows.select("anchor_date", "users", "retained", F.inline(parts))
    derived = {
        "segment": F.lit(ALL),
        "day": F.lit(day),
        "share": F.col("experienced") / F.col("users"),
        "retention": F.col("retained") / F.col("users"),
    }
    return rows.withColumns(derived).select(*TREND_COLUMNS)
