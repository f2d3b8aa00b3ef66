"""Rest periods: what a customer has been shown too often, has ignored or dismissed is left out for a while.

A rest begins with an exposure or a reaction, never with the instant of asking, so that it lasts its days: a
count within a window that ends `now` would drop as soon as the category rests, and end the rest.
"""

from dataclasses import dataclass, fields
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.ranking.history import CLICK, DISMISS, JOIN, REACTIONS, SHOWN
from firstday.windows import DAY, timestamp_literal

PLACE = "firstday_place"  # of a fact among those of its customer, category and kind, the latest first
SUMMARIES = ("shown_last", "shown_ignored", "shown_often", "reacted_last", "taken_last", "dismissed_last")


@dataclass(frozen=True)
class Fatigue:
    """When a category rests for a customer, and for how long. All windows and rests are in days.

    dismissed: from the last time that it was dismissed. ignored: shown `ignored_times` since the last
    reaction (click, join or dismiss), all within `ignored_window` up to the last exposure; rests from that.
    seen too often: shown `often_times` within `often_window` up to the last exposure; rests from that.
    reacted: from the last click or join, in categories that make room for another one after a reaction.
    """

    dismissed_rest: float = 60
    ignored_times: int = 8
    ignored_window: float = 28
    ignored_rest: float = 7
    often_times: int = 6
    often_window: float = 7
    often_rest: float = 7
    reacted_rest: float = 14

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 1 if field.name.endswith("_times") else 0
            if not least <= value <= 3_650:
                raise SettingsError(f"{field.name} is from {least} to 3,650", value=value)

    @property
    def lookback(self) -> float:
        """Days; what was shown or done before cannot make a category rest now."""
        return max(
            self.dismissed_rest,
            self.ignored_window + self.ignored_rest,
            self.often_window + self.often_rest,
            self.reacted_rest,
        )


def micros(days: float) -> int:
    """Days as microseconds, which Spark's timestamps have."""
    return round(days * DAY)


def relevant(now: datetime, fatigue: Fatigue) -> Column:
    """Whether a fact can make its category rest."""
    at = F.unix_micros("at")
    since = F.unix_micros(timestamp_literal(now)) - micros(fatigue.lookback) - 1  # for what rounding takes
    return F.col("kind").isin(SHOWN, *REACTIONS) & (F.col("at") <= timestamp_literal(now)) & (at > since)


def placed(facts: DataFrame) -> DataFrame:
    """The facts with their PLACE. A customer's 100,000 exposures are read in order, never held at once."""
    latest_first = Window.partitionBy("user_id", "category", "kind").orderBy(F.col("at").desc())
    return facts.withColumn(PLACE, F.row_number().over(latest_first))


def summaries(fatigue: Fatigue) -> list[Column]:
    """SUMMARIES of a customer's facts of a category, with their PLACE: what the rules look at, microseconds.

    That k exposures are within a window is that the k-th last one is.
    """
    at = F.unix_micros("at")
    place, kind = F.col(PLACE), F.col("kind")
    shown = kind == SHOWN
    conditions = (
        shown & (place == 1),
        shown & (place == fatigue.ignored_times),
        shown & (place == fatigue.often_times),
        kind.isin(*REACTIONS),
        kind.isin(CLICK, JOIN),
        kind == DISMISS,
    )
    return [F.max(F.when(met, at)).alias(name) for name, met in zip(SUMMARIES, conditions, strict=True)]


def verdicts(
    summed: DataFrame, now: datetime, fatigue: Fatigue, another: DataFrame | None = None
) -> DataFrame:
    """`summed` with reason and until in place of SUMMARIES; both null where nothing rests."""
    marked = _marked(summed, another)
    ends = _ends(fatigue)
    still = {name: F.when(end > F.unix_micros(timestamp_literal(now)), end) for name, end in ends.items()}
    marked = marked.select("*", *(end.alias(name) for name, end in still.items()))
    until = F.greatest(*ends)
    reason = F.coalesce(*(F.when(F.col(name) == until, F.lit(name)) for name in ends))
    return marked.select(
        *(name for name in summed.columns if name not in SUMMARIES),
        reason.alias("reason"),
        F.timestamp_micros(until).alias("until"),
    )


def _marked(summed: DataFrame, another: DataFrame | None) -> DataFrame:
    """With `another`: whether the category makes room for another one after a reaction."""
    if another is None:
        return summed.withColumn("another", F.lit(False))
    marked = another.select("category").distinct().withColumn("marked", F.lit(True))
    joined = summed.join(F.broadcast(marked), "category", "left")
    return joined.withColumn("another", F.coalesce("marked", F.lit(False))).drop("marked")


def _ends(fatigue: Fatigue) -> dict[str, Column]:
    """By reason, the end of the rest in microseconds; null where the rule does not hold."""
    last, reacted = F.col("shown_last"), F.col("reacted_last")
    since_reaction = reacted.isNull() | (F.col("shown_ignored") > reacted)
    ignored = (F.col("shown_ignored") > last - micros(fatigue.ignored_window)) & since_reaction
    often = F.col("shown_often") > last - micros(fatigue.often_window)
    return {
        "resting: dismissed": F.col("dismissed_last") + micros(fatigue.dismissed_rest),
        "resting: reacted": F.when(F.col("another"), F.col("taken_last") + micros(fatigue.reacted_rest)),
        "resting: ignored": F.when(ignored, last + micros(fatigue.ignored_rest)),
        "resting: seen too often": F.when(often, last + micros(fatigue.often_rest)),
    }
