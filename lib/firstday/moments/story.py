"""Small tables that describe a run: verdicts, retention by date, the largest segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.moments.analyse import REPORTING
from firstday.moments.collect import to_driver
from firstday.moments.findings import Findings
from firstday.segments import ALL

SHOWN_SEGMENTS = 8
SHOWN_CANDIDATES = 2_000


@dataclass(frozen=True)
class Facts:
    """What a reader must know of how a run was made.

    unmatured: users left out of each Dn. cut_days: days whose label window lost its overlap with the action
    window. counted_from: first anchor date counted anew. adjusted_for: segment columns of the evidence.
    """

    unmatured: Mapping[int, int]
    tallies: Mapping[str, int]
    cut_days: Sequence[int]
    counted_from: date | None
    adjusted_for: Sequence[str]

    def sentences(self) -> list[str]:
        """For the report."""
        sentences = [
            f"Users left out of D{day}, as its time had not run out at the horizon: {users:,}."
            for day, users in self.unmatured.items()
            if users
        ]
        sentences += [
            f"D{day} begins for some users before their action window ends: that part is cut off, so that "
            "no event counts both as an action and as a return."
            for day in self.cut_days
        ]
        sentences += [
            text.format(self.tallies[name]) for name, text in TALLIES.items() if self.tallies.get(name)
        ]
        if self.counted_from:
            sentences.append(f"Anchor dates before {self.counted_from} are as an earlier run counted them.")
        if self.adjusted_for:
            sentences.append(f"The evidence is adjusted for segments ({', '.join(self.adjusted_for)}).")
        return [*sentences, OTHER_ACTIVITY]


TALLIES = {
    "before_anchor": "Events before their user's anchor, left out: {:,}.",
    "unknown_users": "Events of users that are not in the table of users, left out: {:,}.",
    "after_horizon": "Events after the horizon, left out: {:,}.",
    "duplicates": "Events with an event_id that had been there already, left out: {:,}.",
    "top_coded": "Counts above the cap, held at it: {:,}.",
}
OTHER_ACTIVITY = (
    "Adjusted differences compare users with as much other activity on their first day. Other activity may "
    "itself follow from the action; what flows through it is then missing from the adjusted difference."
)


def settings_shown(settings: Mapping[str, object]) -> dict[str, str]:
    """Settings as a reader would write them; those that say nothing are left out."""
    shown = {}
    for name, value in settings.items():
        if value is None or value == []:
            continue
        shown[name] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return shown


def numbers(hypothesis: Mapping[str, object]) -> dict[str, float]:
    """The figures of the hypothesis, for tracking."""
    return {name: float(value) for name, value in hypothesis.items() if isinstance(value, int | float)}


def shown(moments: DataFrame, day: int) -> pd.DataFrame:
    """Rows of one day for the report: segment `all` and the largest others; thresholds that were adjusted or
    are on the frontier.
    """
    of_day = moments.where(F.col("day") == day)
    sizes = of_day.where(F.col("segment") != ALL).groupBy("segment").agg(F.first("users").alias("users"))
    largest = sizes.orderBy(F.col("users").desc(), "segment").limit(SHOWN_SEGMENTS)
    names = [ALL, *(row["segment"] for row in largest.collect())]
    rows = of_day.where(
        F.col("segment").isin(*names) & (F.col("adjusted").isNotNull() | F.col("on_frontier"))
    )
    table = to_driver(rows, "candidates in the report")
    order = {name: place for place, name in enumerate(names)}
    table = table.assign(order=table["segment"].map(order), apart=table["verdict"] != "chosen")
    table = table.sort_values(
        ["order", "apart", "phi", "action", "threshold"], ascending=[True, True, False, True, True]
    )
    return (
        table.groupby("segment", sort=False)
        .head(SHOWN_CANDIDATES)
        .drop(columns=["order", "apart"])
        .reset_index(drop=True)
    )


def day_effects(halves: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    """The chosen candidate, or the best-known one, for each day n on the reporting dates."""
    columns = ["action", "threshold", "day", "precision", "recall", "adjusted", "low", "high"]
    best = findings.choice.chosen
    if best is None:
        return pd.DataFrame(columns=columns)
    there = halves[(halves["half"] == REPORTING) & (halves["segment"] == ALL)]
    there = there[
        (there["action"] == best["action"]) & (there["threshold"] == best["threshold"])
    ].sort_values("day")
    return there.assign(
        precision=there["both"] / there["experienced"],
        recall=there["both"] / there["retained"].where(there["retained"] > 0),
        low=there["adjusted_low"],
        high=there["adjusted_high"],
    )[columns].reset_index(drop=True)


def unmatured(cohorts: pd.DataFrame, days: Sequence[int]) -> dict[int, int]:
    """For each day n, users left out of Dn because its window had not ended at the horizon."""
    return {day: int((cohorts["users"] - cohorts[f"matured_d{day}"]).sum()) for day in days}


def retention_by_date(cohorts: pd.DataFrame, days: Sequence[int]) -> pd.DataFrame:
    """anchor_date, users and, for each n, dn: the share retained, NaN where nobody's day n is known."""
    shares = {}
    for day in days:
        known = cohorts[f"matured_d{day}"].to_numpy(dtype=float)
        none = np.full(len(known), np.nan)
        shares[f"d{day}"] = np.divide(cohorts[f"retained_d{day}"], known, out=none, where=known > 0)
    return cohorts[["anchor_date", "users"]].assign(**shares)
