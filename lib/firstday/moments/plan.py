"""An experiment's plan from a shortlist of `firstday discover`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import DataFrame

from firstday.errors import DataError, SettingsError
from firstday.moments.tested import arm_name, metric_name
from firstday.settings import ExperimentPlan

HEAD = """# Written by `firstday assign --from-discovery`: read it, edit it, give it to `firstday assign`.
# Each arm helps new users to reach its candidate; the control leaves them alone. The names of arms and
# metrics are what `firstday discover --results` goes by.
"""


def plan_from(shortlist: DataFrame, ranks: Sequence[int], starts_at: datetime | None) -> dict[str, Any]:
    """The plan for these ranks of a shortlist, as `ExperimentPlan` has it; by default it starts at the next
    midnight in UTC.
    """
    rows = {row["rank"]: row.asDict() for row in shortlist.collect()}
    missing = sorted(set(ranks) - set(rows))
    if missing:
        raise DataError(
            "--ranks must be ranks of the shortlist",
            value=", ".join(map(str, missing)),
            next_step=f"choose of {', '.join(map(str, sorted(rows)))}" if rows else "its shortlist is empty",
        )
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return planned([rows[rank] for rank in ranks], starts_at or midnight)


def written(plan: dict[str, Any], path: str | Path) -> Path:
    """The file that the plan was written to; nothing is overwritten."""
    where = Path(path)
    if where.exists():
        raise SettingsError(
            "--plan must be a new file with --from-discovery", value=str(path), next_step="name another file"
        )
    ExperimentPlan.model_validate(plan)  # what is written can be read
    where.write_text(HEAD + yaml.safe_dump(plan, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return where


def planned(rows: Sequence[dict[str, Any]], starts_at: datetime) -> dict[str, Any]:
    """As `ExperimentPlan` has it: an arm a row of the shortlist, equal shares, the longest test's days."""
    arms = [arm_name(row["action"], row["threshold"]) for row in rows]
    share = round(1 / (len(rows) + 1), 6)
    day = rows[0]["day"]
    # The days of each row are for two arms; the users a day are shared among all.
    new_users = max(row["days_needed"] - row["day"] - 1 for row in rows)
    days = -(-new_users * (len(rows) + 1) // 2) + day + 1
    smallest = min(row["lift"] for row in rows)
    kind = str(rows[0].get("retention_kind") or "on")

    def retention(day: int, **further: float) -> dict[str, Any]:
        same = {} if kind == "on" else {"retention_kind": kind}
        return {"name": metric_name(day, kind), "kind": "retention", "day": day, **same, **further}

    metrics = [retention(day, smallest_effect=smallest)]
    metrics += [
        {
            "name": f"reached {arm}",
            "kind": "moment",
            "actions": [row["action"]],
            "threshold": row["threshold"],
        }
        for arm, row in zip(arms, rows, strict=True)
    ]
    later = rows[0]["guardrail_day"]
    if later is not None:
        metrics.append(retention(later, margin=smallest))
    pushed = {row["action"] for row in rows}
    watched = [name for row in rows for name in row["guardrails"] if name not in pushed]
    metrics += [
        {"name": f"watched: {name}", "kind": "count", "actions": [name], "window": "1d"}
        for name in dict.fromkeys(watched)
    ]
    plan: dict[str, Any] = {
        "experiment": f"push: {', '.join(arms)}",
        "variants": {"control": round(1 - share * len(rows), 6), **dict.fromkeys(arms, share)},
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(days=days)).isoformat(),
        "planned_units": max(row["users_per_arm"] for row in rows),
        "metrics": metrics,
    }
    if len(rows) == 1:
        plan["encouragement"] = {"moment": f"reached {arms[0]}", "outcome": metric_name(day, kind)}
    return plan
