"""The last step on the driver: evidence, choice, hypothesis and the small tables that show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.moments import analyse, choose, rule
from firstday.moments.collect import products_by_date, to_driver
from firstday.moments.dates import date_products
from firstday.moments.evidence import ActionEvidence, assess
from firstday.moments.power import PlannedTest, plan_test
from firstday.segments import ALL
from firstday.settings import DiscoverSettings

SHOWN_TRENDS = 6
EVIDENCE_COLUMNS = [
    "action", "day", "share_experienced_once", "observed", "expected", "effect",
    "proportion_t", "proportion_p", "proportion_odds",
    "trend_effect", "trend_low", "trend_high", "trend_odds", "odds", "verdict", "reason",
]  # fmt: skip
TREND_COLUMNS = [
    "segment", "action", "threshold", "day", "anchor_date",
    "users", "experienced", "retained", "both", "share", "retention",
]  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """Small pandas tables, with the columns of `outputs`; `held` are the segments held in the evidence."""

    choice: choose.Choice
    hypothesis: dict[str, object]
    evidence: pd.DataFrame
    trends: pd.DataFrame
    held: tuple[str, ...]
    day: int

    @property
    def verdicts(self) -> pd.DataFrame:
        """segment, action, threshold, day, verdict, reason of the candidates that the choice looked at."""
        table = self.choice.candidates[["action", "threshold", "verdict", "reason"]]
        return table.assign(segment=ALL, day=self.day)

    def tables(self) -> dict[str, pd.DataFrame]:
        """By the name of the table in the output."""
        return {
            "hypotheses": pd.DataFrame([self.hypothesis]),
            "funnel": self.choice.funnel,
            "action_evidence": self.evidence,
            "moment_trends": self.trends,
        }


def choosing_until(cohorts: pd.DataFrame, settings: DiscoverSettings) -> date | None:
    """The last anchor date of the choosing half: of the dates with users whose first Dn is known, the earlier
    `choose_share`. None where there are none.
    """
    dates = cohorts.loc[cohorts[f"matured_d{settings.days[0]}"] > 0, "anchor_date"].tolist()
    if not dates:
        return None
    return dates[max(0, min(len(dates) - 1, round(settings.choose_share * len(dates)) - 1))]


def find(
    counts: DataFrame,
    products: DataFrame,
    halves: pd.DataFrame,
    until: date,
    settings: DiscoverSettings,
    *,
    with_event_id: bool = False,
) -> Findings:
    """Choose on the dates up to `until`. halves: what `analyse` returned for segment `all`, by half.

    with_event_id: whether the log has an event_id, which the rule's SQL then goes by.
    """
    day = settings.days[0]
    table = halves.sort_values(["half", "day", "action", "threshold"], ignore_index=True)
    first = table[table["day"] == day]
    choosing, reporting = (first[first["half"] == half] for half in (analyse.CHOOSING, analyse.REPORTING))
    rows, held = products_by_date(products, settings.segments, day, until)
    evidence = assess(date_products(rows, held)) if len(rows) else None
    choice = choose.choose(
        choosing.reset_index(drop=True),
        evidence,
        min_users=settings.min_users,
        dates=int(choosing["dates"].max()) if len(choosing) else 0,
        min_dates=settings.min_dates,
        false_discovery_rate=settings.false_discovery_rate,
        later=reporting,
    )
    trends = _trends(counts, choice, day)
    return Findings(
        choice,
        _hypothesis(choice, reporting, trends, settings, with_event_id),
        _evidence_table(evidence, choice, choosing, day),
        trends,
        held,
        day,
    )


def _hypothesis(
    choice: choose.Choice,
    reporting: pd.DataFrame,
    trends: pd.DataFrame,
    settings: DiscoverSettings,
    with_event_id: bool,
) -> dict[str, object]:
    """The one row of `hypotheses`; its figures are of the reporting dates."""
    told: dict[str, object] = {"verdict": choice.verdict, "reason": choice.reason, "day": settings.days[0]}
    if choice.verdict == choose.NONE or choice.chosen is None:
        return told
    action, threshold = str(choice.chosen["action"]), int(choice.chosen["threshold"])
    told |= {"action": action, "threshold": threshold, "odds": float(choice.chosen["odds"])}
    told["sentence"] = rule.sentence(action, threshold, settings.window)
    told["sql"] = rule.sql(action, threshold, settings.window, with_event_id)
    there = reporting[(reporting["action"] == action) & (reporting["threshold"] == threshold)]
    later = there.iloc[0]
    told |= {name: float(later[name]) for name in ("adjusted", "adjusted_low", "adjusted_high")}
    for name, part, whole in (("precision", "both", "experienced"), ("recall", "both", "retained")):
        told |= _share(name, later[part], later[whole])
    planned = _planned(later, trends, settings)
    return told | (vars(planned) if planned else {})


def _share(name: str, part: float, whole: float) -> dict[str, object]:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(part, whole, method="wilson")
    return {name: part / whole, f"{name}_low": float(low), f"{name}_high": float(high)}


def _planned(later: pd.Series, trends: pd.DataFrame, settings: DiscoverSettings) -> PlannedTest | None:
    dates = trends["anchor_date"]
    span = (dates.max() - dates.min()).days + 1 if len(dates) else 1
    one = trends.drop_duplicates("anchor_date")
    return plan_test(
        baseline=float(later["retained"] / later["users"]),
        share_experienced=float(later["experienced"] / later["users"]),
        effect=float(later["adjusted"]),
        users_a_day=float(one["users"].sum() / span),
        day=settings.days[0],
        alpha=settings.test_alpha,
        power=settings.test_power,
    )


def _evidence_table(
    evidence: ActionEvidence | None, choice: choose.Choice, choosing: pd.DataFrame, day: int
) -> pd.DataFrame:
    """One row an action, also for those that could not be judged."""
    once = choosing.sort_values("threshold").drop_duplicates("action").set_index("action")
    table = pd.DataFrame({"share_experienced_once": once["experienced"] / once["users"]})
    if evidence is not None:
        columns = {
            name: getattr(evidence, name)
            for name in (
                "observed", "expected", "effect", "proportion_t", "proportion_p", "proportion_odds",
                "trend_effect", "trend_odds", "odds",
            )
        }  # fmt: skip
        reach = 1.959963984540054 * evidence.trend_error
        columns |= {"trend_low": evidence.trend_effect - reach, "trend_high": evidence.trend_effect + reach}
        table = table.join(pd.DataFrame(columns, index=list(evidence.actions)))
    # An action's fate is that of the candidate of its that came furthest.
    order = {choose.DROPPED: 0, choose.KEPT: 1, choose.CHOSEN: 2}
    fate = choice.candidates.assign(
        rank=choice.candidates["verdict"].map(order), position=range(len(choice.candidates))
    )
    fate = fate.sort_values(["rank", "position"]).drop_duplicates("action", keep="last").set_index("action")
    table = table.join(fate[["verdict", "reason"]]).rename_axis("action").reset_index().assign(day=day)
    return table.reindex(columns=EVIDENCE_COLUMNS)  # without evidence its figures are unknown


def _trends(counts: DataFrame, choice: choose.Choice, day: int) -> pd.DataFrame:
    """By anchor date, for the chosen candidate and the best-known one of each of a few other actions."""
    shown = choice.candidates.assign(phi=choose.phi(choice.candidates))
    shown = shown.assign(first=shown["verdict"] == choose.CHOSEN)
    shown = shown.sort_values(
        ["first", "phi", "action", "threshold"], ascending=[False, False, True, True]
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
