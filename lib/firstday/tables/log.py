"""A log of events: its users, where it is all there is, and the names of its actions."""

from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.tables import Checked, column, schemas
from firstday.tables.check import made_of
from firstday.tables.schemas import ANCHOR_ACTION
from firstday.tables.values import stripped

MOST_NAMES = 5  # that a note shows


def fold(name: str) -> str:
    """An action's name without regard to case and blanks at its ends, as `folded` has it."""
    return name.strip().lower()


def folded(checked: Checked, fold_actions: bool) -> Checked:
    """The log with actions that differ by case or blanks at their ends as one; or a note on those that do."""
    plain = F.lower(stripped(column("action")))
    if fold_actions:
        return replace(checked, good=checked.good.withColumn("action", plain))
    names = checked.good.select("action").distinct().groupBy(plain.alias("plain"))
    several = names.agg(F.sort_array(F.collect_set("action")).alias("names")).where(F.size("names") > 1)
    rows = several.orderBy("plain").limit(MOST_NAMES + 1).collect()
    if not rows:
        return checked
    shown = "; ".join(", ".join(map(repr, row["names"][:MOST_NAMES])) for row in rows[:MOST_NAMES])
    more = " and more" if len(rows) > MOST_NAMES else ""
    note = (
        f"Actions of {checked.source.name} differ by case or blanks only: {shown}{more}. Each counts for "
        "itself; --fold-actions takes them for one."
    )
    return replace(checked, notes=(*checked.notes, note))


def users_of_log(log: Checked, segments: Sequence[str], anchor_action: str | None) -> Checked:
    """The users of a checked log: their clock starts with their first event, or their first `anchor_action`;
    of a segment column the first value that is there counts.

    Raises DataError where nobody did `anchor_action`.
    """
    good = log.good
    starts = F.lit(True) if anchor_action is None else F.col("action") == F.lit(anchor_action)
    first = F.min(F.when(starts, F.struct("occurred_at", "action")))
    values = [
        F.min(F.when(column(name).isNotNull(), F.struct("occurred_at", column(name).alias("value"))))
        for name in segments
    ]
    by_user = good.groupBy("user_id").agg(
        first.alias("first"), *(value.alias(f"segment_{at}") for at, value in enumerate(values))
    )
    users: DataFrame = by_user.where(F.col("first").isNotNull()).select(
        "user_id",
        F.col("first.occurred_at").alias("anchored_at"),
        *(F.col(f"segment_{at}.value").alias(name) for at, name in enumerate(segments)),
        F.col("first.action").alias(ANCHOR_ACTION),
    )
    begins = log.profile.earliest
    what = "their first event" if anchor_action is None else f"their first {anchor_action!r}"
    note = f"Without --users, each user's clock starts with {what} in the log." + (
        f" The log begins on {begins:%Y-%m-%d}: who was there before counts as new then." if begins else ""
    )
    found = made_of(log.source, users, schemas.users(segments), (note,))
    if not found.profile.rows and log.profile.rows > log.profile.bad_rows:
        raise DataError(
            "somebody must have done --anchor-action",
            value=anchor_action,
            next_step="check the name: its case and blanks count, unless --fold-actions is given",
        )
    return found
