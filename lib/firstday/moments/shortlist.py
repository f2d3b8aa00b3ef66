"""What to test next: the rows of the table `shortlist`, and what each candidate and its test are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.moments import choose, outputs, rule
from firstday.moments.collect import to_driver
from firstday.moments.evidence import ActionEvidence
from firstday.moments.families import Timing
from firstday.moments.power import PlannedTest, Traffic, plan_test
from firstday.moments.tested import Tested
from firstday.moments.worth import Reach, Spread, Worth, followers, worth
from firstday.settings import DiscoverSettings

GUARDED = 2  # actions of other families that a push may displace, the most frequent ones
FACTOR_SEEN = 3.0  # Bayes factor from which evidence is said to be there


@dataclass
class Values:
    """What candidates that may work are worth, and their tests; counts are read once for all of them."""

    counts: DataFrame
    evidence: ActionEvidence | None
    timing: Timing | None
    reporting: pd.DataFrame
    traffic: Traffic
    settings: DiscoverSettings

    @cached_property
    def cells(self) -> pd.DataFrame:
        """action, count, users (whose day is known) and retained, of the actions that may work and what they
        lead to.
        """
        assert self.evidence is not None
        works = self.evidence.p_works >= choose.LEAST_P_WORKS
        led = (self.evidence.passed_on[works] > 0).any(axis=0)
        names = [name for name, there in zip(self.evidence.actions, works | led, strict=True) if there]
        day = self.settings.days[0]
        sums = F.sum(f"matured_d{day}").alias("users"), F.sum(f"retained_d{day}").alias("retained")
        rows = self.counts.where(F.col("action").isin(names)).groupBy("action", "count").agg(*sums)
        cohort = self.counts.where(F.col("action").isNull()).agg(*sums).first()
        table = to_driver(rows, "counts of the shortlisted actions")
        table = table.sort_values(["action", "count"], ignore_index=True)
        table.attrs |= {name: float((cohort and cohort[name]) or 0.0) for name in ("users", "retained")}
        return table

    @cached_property
    def spreads(self) -> dict[str, Spread]:
        """By action; those who did not do it at all are what is left of everybody."""
        found = {}
        for action, cells in self.cells.groupby("action"):
            sums = (cells[name].to_numpy(dtype=float) for name in ("users", "retained"))
            none = zip(sums, (self.cells.attrs[name] for name in ("users", "retained")), strict=True)
            users, retained = (np.append(some, max(total - some.sum(), 0.0)) for some, total in none)
            found[str(action)] = Spread(np.append(cells["count"].to_numpy(dtype=float), 0.0), users, retained)
        return found

    def worth(self, action: str, threshold: int) -> Worth:
        assert self.evidence is not None
        reach = Reach.of(self.spreads[action], threshold)
        return worth(action, reach, self.evidence, self.timing, self.spreads)

    def planned(self, row: pd.Series) -> PlannedTest | None:
        """The test of a candidate, a row of the choosing half; its shares are those of the later dates."""
        later = self.reporting
        there = later[(later["action"] == row["action"]) & (later["threshold"] == row["threshold"])]
        known = there.iloc[0] if len(there) else row
        return plan_test(
            baseline=float(known["retained"] / known["users"]),
            share_experienced=float(known["experienced"] / known["users"]),
            effect=self.worth(str(row["action"]), int(row["threshold"])).mean_effect,
            users_a_day=self.traffic.users_a_day,
            day=self.settings.days[0],
            alpha=self.settings.test_alpha,
            power=self.settings.test_power,
        )

    def days_needed(self, rows: pd.DataFrame) -> pd.Series:
        plans = [self.planned(row) for _, row in rows.iterrows()]
        return pd.Series([np.nan if plan is None else plan.days_needed for plan in plans], rows.index, float)


def shortlist(
    choice: choose.Choice,
    evidence: ActionEvidence | None,
    values: Values,
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
        of_family = family_of(evidence, place)
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


def family_of(evidence: ActionEvidence, place: int) -> list[str]:
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
