"""The last step on the driver: evidence, choice, hypothesis and the small tables that show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.moments import analyse, choose, outputs, rule, shortage
from firstday.moments.adjust import Z_95
from firstday.moments.collect import products_by_date, timing_until, to_driver
from firstday.moments.dates import date_products
from firstday.moments.evidence import LEAST_VARIANCE, ActionEvidence, assess
from firstday.moments.power import Traffic, recent_traffic
from firstday.moments.shortage import Shortage
from firstday.moments.shortlist import Values, family_of, shortlist
from firstday.moments.split import Split
from firstday.moments.tested import Tested
from firstday.segments import ALL
from firstday.settings import DiscoverSettings
from firstday.stats.shares import wilson

SHOWN_TRENDS = 6
# Of retention on log(1 + count): with a larger one, doing it once would move retention by more than all. An
# interval that reaches as far to both sides is of an action that hardly moves by itself: not estimable.
MOST_SLOPE = 1 / np.log(2)
BEFORE_ALL = date(1970, 1, 1)  # earlier than any anchor that the contract lets through
OTHER_SHARES = (0.2, 0.8)  # of apps with a cause, reported beside the one that was set
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
    """Small pandas tables, with the columns of `outputs`. adjusted_for: the segments that the
    evidence is adjusted for. posterior: None where actions or dates are too few.
    """

    choice: choose.Choice
    hypothesis: dict[str, object]
    shortlist: pd.DataFrame
    evidence: pd.DataFrame
    links: pd.DataFrame
    trends: pd.DataFrame
    adjusted_for: tuple[str, ...]
    day: int
    posterior: ActionEvidence | None
    tested: Mapping[str, Tested]
    split: Split

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


def find(
    counts: DataFrame,
    products: DataFrame,
    halves: pd.DataFrame,
    parts: Split,
    settings: DiscoverSettings,
    cohorts: pd.DataFrame,
    timing: DataFrame | None = None,
    *,
    with_event_id: bool = False,
    tested: Mapping[str, Tested] | None = None,
) -> Findings:
    """Choose on the choosing dates. halves: what `analyse` returned for segment `all`, by half. parts: as
    `split` made them of `cohorts`, which are as `cohorts_by_date` has them. timing: moment_timing. tested:
    what experiments said of actions.

    with_event_id: whether the log has an event_id, which the rule's SQL then goes by.
    """
    day, until = settings.days[0], parts.until or BEFORE_ALL
    table = halves.sort_values(["half", "day", "action", "threshold"], ignore_index=True)
    first = table[table["day"] == day]
    choosing, reporting = (first[first["half"] == half] for half in (analyse.CHOOSING, analyse.REPORTING))
    rows, adjusted_for = products_by_date(products, settings.segments, day, until)
    known = None if timing is None else timing_until(timing, until)
    evidence, comparable = None, 0
    if len(rows):
        data = date_products(rows, adjusted_for)
        comparable = int((np.diag(data.within())[:-1] >= LEAST_VARIANCE).sum())
        evidence = assess(data, known, cause_share=settings.cause_share, passing_on=settings.passing_on)
    expected = settings.users_a_day
    traffic = recent_traffic(cohorts) if expected is None else Traffic(expected, None, None)
    values = Values(counts, evidence, known, reporting, traffic, settings)
    choice = choose.choose(
        choosing.reset_index(drop=True),
        evidence,
        min_users=settings.min_users,
        dates=parts.choosing.dates,
        min_dates=settings.min_dates,
        later=reporting,
        days_needed=values.days_needed,
        most_test_days=settings.most_test_days,
        tested={name: each.sentence for name, each in (tested or {}).items() if each.is_settled},
    )
    trends = _trends(counts, choice, day, settings.min_users)
    listed = shortlist(choice, evidence, values, settings, tested or {})
    hypothesis = _hypothesis(choice, reporting, evidence, values, settings, with_event_id)
    hypothesis |= {"retention_kind": settings.retention_kind} | parts.figures() | traffic.figures()
    missing = _shortage(choice, evidence, comparable, parts, values)
    if missing is not None:
        hypothesis |= {
            "too_little": missing.too_little, "more_needed": missing.more, "help": missing.sentence
        }  # fmt: skip
    return Findings(
        choice,
        hypothesis,
        listed.assign(retention_kind=settings.retention_kind),
        _evidence_table(evidence, choice, choosing, day),
        _links(evidence, day),
        trends,
        adjusted_for,
        day,
        evidence,
        tested or {},
        parts,
    )


def _shortage(
    choice: choose.Choice, evidence: ActionEvidence | None, comparable: int, parts: Split, values: Values
) -> Shortage | None:
    """What is too little where nothing is to be tested; None where something is, or no data would change it.

    comparable: actions that are done by enough users.
    """
    settings, row, a_day = values.settings, choice.chosen, values.traffic.users_a_day
    if row is None or choice.ended_at == choose.SIDES:
        if choice.verdict != choose.NONE:
            return None
        return shortage.of_sides(choice.candidates, parts, settings.min_users, a_day)
    if choice.ended_at == choose.DATA:
        few_dates = parts.choosing.dates < settings.min_dates
        return shortage.of_dates(parts, settings.min_dates) if few_dates else shortage.of_actions(comparable)
    if choice.ended_at in (choose.TRENDS, choose.WORKS) and evidence is not None:
        return shortage.of_evidence(row, evidence, parts, a_day)
    if choice.ended_at == choose.LATER:
        return shortage.of_later(row, values.reporting, parts, a_day)
    if choice.ended_at == choose.TEST:
        days = values.days_needed(row.to_frame().T).iloc[0]
        return shortage.of_test(row, float(days), settings.most_test_days, values.traffic)
    return None


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
    values: Values,
    settings: DiscoverSettings,
    with_event_id: bool,
) -> dict[str, object]:
    """The one row of `hypotheses`; its shares and adjusted difference are of the reporting dates."""
    row: dict[str, object] = {"verdict": choice.verdict, "reason": choice.reason, "day": settings.days[0]}
    if evidence is not None:
        row |= {"p_none": 1 - float(evidence.p_cause.sum()), "cause_share": settings.cause_share}
        row["others"] = _other_priors(choice, evidence)
    if choice.verdict == choose.NONE or choice.chosen is None:
        return row
    action, threshold = str(choice.chosen["action"]), int(choice.chosen["threshold"])
    row |= {"action": action, "threshold": threshold}
    row |= {name: float(choice.chosen[name]) for name in ("p_cause", "p_works")}
    row["sentence"] = rule.sentence(action, threshold, settings.window)
    row["sql"] = rule.sql(action, threshold, settings.window, with_event_id)
    there = reporting[(reporting["action"] == action) & (reporting["threshold"] == threshold)]
    later = there.iloc[0]
    row |= {name: float(later[name]) for name in ("adjusted", "adjusted_low", "adjusted_high")}
    for name, part, whole in (("precision", "both", "experienced"), ("recall", "both", "retained")):
        row |= _share(name, later[part], later[whole])
    planned = values.planned(choice.chosen)
    return row | (vars(planned) if planned else {})


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
    low, high = wilson(part / whole, whole)
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
        slope, margin = evidence.trend_effect, Z_95 * evidence.trend_error
        slope = np.where(margin <= MOST_SLOPE, slope, np.nan)
        columns |= {"trend_effect": slope, "trend_low": slope - margin, "trend_high": slope + margin}
        columns["family"] = np.array(
            [", ".join(family_of(evidence, place)) for place in range(len(evidence.actions))], dtype=object
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


def _trends(counts: DataFrame, choice: choose.Choice, day: int, min_users: int) -> pd.DataFrame:
    """By anchor date, for the chosen candidate and the best-known one of each of a few other actions."""
    shown = choice.candidates.assign(phi=choose.phi(choice.candidates))
    shown = shown[shown["experienced"] >= min_users]  # of fewer a line by date says nothing
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
