"""What experiments have said of actions that an earlier run proposed: the loop learns."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from firstday.rounding import points
from firstday.segments import ALL
from firstday.windows import day_name

PROVED, DISPROVED, OPEN = "proved", "disproved", "open"
DISPROVING_SHARE = 0.5  # of the expected lift: an upper limit below it disproves


@dataclass(frozen=True)
class Tested:
    """Of one action. status: PROVED (the interval lies above 0), DISPROVED (its upper limit is below half of
    the lift that was expected) or OPEN. All but the names are differences of shares.
    """

    action: str
    threshold: int
    day: int
    expected_lift: float
    estimate: float
    low: float
    high: float
    retention_kind: str = "on"

    @property
    def status(self) -> str:
        if self.low > 0:
            return PROVED
        return DISPROVED if self.high < DISPROVING_SHARE * self.expected_lift else OPEN

    @property
    def is_settled(self) -> bool:
        return self.status != OPEN

    @property
    def sentence(self) -> str:
        return (
            f"{self.status} by an experiment: {points(self.estimate)} in "
            f"{day_name(self.day, self.retention_kind)} retention ({points(self.low)} to "
            f"{points(self.high)}); {points(self.expected_lift)} were expected"
        )


def arm_name(action: str, threshold: int) -> str:
    """Of the variant in which users are pushed towards a candidate."""
    return f"{action} at least {threshold}"


def metric_name(day: int, kind: str = "on") -> str:
    """Of Dn retention in a plan."""
    return f"d{day}" if kind == "on" else f"{kind}_d{day}"


def experiment_outcomes(
    results: pd.DataFrame, listed: pd.DataFrame, earlier: pd.DataFrame
) -> Mapping[str, Tested]:
    """By action. results: experiment_results; listed: an earlier shortlist; earlier: the table `tested`.

    An arm is a candidate's by the name that `assign --from-discovery` gave it. Of an arm's rows that are
    tests the last look decides.
    """
    known = {
        str(row["action"]): Tested(
            # The table has status beside them.
            **{name: row[name] for name in Tested.__dataclass_fields__ if name in row}
        )
        for _, row in earlier.iterrows()
    }
    # Verdicts are given to rows that are tests; sample-ratio checks and plain figures have no such interval.
    tests = results[(results["segment"] == ALL) & results["low"].notna() & results["high"].notna()]
    tests = tests[tests["method"].isin(DECIDING)].sort_values("date", na_position="last", kind="stable")
    for _, row in listed.iterrows():
        arm = arm_name(str(row["action"]), int(row["threshold"]))
        kind = str(row.get("retention_kind") or "on")
        metric = metric_name(int(row["day"]), kind)
        mine = tests[(tests["treatment"] == arm) & (tests["metric"] == metric)]
        if mine.empty:
            continue
        last = mine.iloc[-1]
        known[str(row["action"])] = Tested(
            str(row["action"]), int(row["threshold"]), int(row["day"]), float(row["lift"]),
            float(last["estimate"]), float(last["low"]), float(last["high"]), kind,
        )  # fmt: skip
    return known


# Of `experiments.results`: differences of shares. Ratios and lifts are in other units.
DECIDING = ("difference", "difference_to_date", "always_valid", "group_sequential", "ramp", "cluster")
