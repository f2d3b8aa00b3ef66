"""How each kind of metric is counted in a group-by over a unit's rows of the log: by built-in functions."""

from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from firstday.settings.metrics import PRE, Metric
from firstday.windows import MICROSECOND, Windows

BITS_A_WORD = 63  # of a long; the sign is left alone
CATEGORY_BIT = "category_bit"  # a category's number, from 0 on


@dataclass(frozen=True)
class Interval:
    """From start, until before end (microseconds)."""

    start: Column
    end: Column

    def holds(self, at: Column) -> Column:
        return (at >= self.start) & (at < self.end)

    @classmethod
    def after(cls, window: timedelta | None) -> "Interval":
        """What counts for the outcome: from the assignment on, for a window, before the variant ends."""
        start, end = F.col("start"), F.col("end")
        if window is None:
            return cls(start, end)
        return cls(start, F.least(end, start + F.lit(window // MICROSECOND)))

    @classmethod
    def before(cls, window: timedelta) -> "Interval":
        """What counts for the covariate: the time before the unit's first assignment."""
        return cls(F.col("first") - F.lit(window // MICROSECOND), F.col("first"))


@dataclass(frozen=True)
class CategoryBits:
    """Sets of categories as the bits of longs."""

    categories: int

    def words(self, counts: Column) -> Column:
        """Aggregate: an array of longs, a bit for each category with a row that counts."""
        word_of = F.floor(F.col(CATEGORY_BIT) / BITS_A_WORD)
        bit = F.expr(f"shiftleft(1L, pmod({CATEGORY_BIT}, {BITS_A_WORD}))")
        words = max(1, -(-self.categories // BITS_A_WORD))
        return F.array(*(F.bit_or(F.when(counts & (word_of == word), bit)) for word in range(words)))

    @staticmethod
    def size(words: Column) -> Column:
        """How many categories are in the set."""
        return F.aggregate(
            words, F.lit(0), lambda total, word: total + F.coalesce(F.bit_count(word), F.lit(0))
        )


@dataclass(frozen=True)
class Counting:
    """Of each metric the aggregates of a unit's rows (`totals`), and what these come to (`values`)."""

    horizon: int
    time_zone: str
    bits: CategoryBits

    def totals(self, metric: Metric) -> dict[str, Column]:
        """Aggregates by part: total and, of a ratio, whole; past_total and past_whole before."""
        after = Interval.after(metric.counting_window)
        if metric.kind == "retention":
            found = {"total": F.bool_or(self._returns(metric).holds(F.col("at")) & _acts(metric))}
        else:
            found = self._within(metric, after)
        if metric.covariate == PRE:
            before = self._within(metric, Interval.before(metric.pre_window))
            found |= {f"past_{part}": total for part, total in before.items()}
        return found

    def values(self, metric: Metric, at: int, covariates: tuple[str, ...]) -> dict[str, Column]:
        """y, d of a ratio, x with a covariate, of the aggregates whose names end on _at."""
        known = self._known(metric)
        found = {"y": F.when(known, self._number(metric, F.col(f"total_{at}")))}
        if metric.is_ratio:
            found["d"] = F.when(known, F.col(f"whole_{at}").cast("double"))
        if metric.covariate == PRE:
            found["x"] = self._number(metric, F.col(f"past_total_{at}"))
            if metric.is_ratio:
                found["x"] = _share(found["x"], F.col(f"past_whole_{at}"))
        elif metric.covariate:
            found["x"] = F.coalesce(F.col(f"covariate_{covariates.index(metric.covariate)}"), F.lit(0.0))
        return found

    def _within(self, metric: Metric, interval: Interval) -> dict[str, Column]:
        """The aggregates of what happened in an interval."""
        inside = interval.holds(F.col("at"))
        if metric.kind == "retention":
            return {"total": F.bool_or(inside & _acts(metric))}
        if metric.kind in ("moment", "count"):
            return {"total": F.count_if(inside & _acts(metric))}
        if metric.kind == "sum":
            return {"total": F.sum(F.when(inside & _acts(metric), F.col(f"`value {metric.value}`")))}
        if metric.kind == "click_rate":
            shown = inside & F.col("shown")
            return {
                "total": F.count_if(shown & (F.col("click_at") < interval.end)),
                "whole": F.count_if(shown),
            }
        used = F.col("action").isin(*metric.actions) if metric.actions else F.lit(False)
        return {"total": self.bits.words(inside & (used | (F.col("met_at") < interval.end)))}

    def _number(self, metric: Metric, total: Column) -> Column:
        if metric.kind == "moment":
            total = total >= F.lit(metric.threshold)
        if metric.kind == "categories":
            total = self.bits.size(total)
        return F.coalesce(total.cast("double"), F.lit(0.0))

    def _known(self, metric: Metric) -> Column:
        """Whether the time that counts has passed, all of it under the unit's variant."""
        start, end = F.col("start"), F.col("end")
        if metric.kind == "retention":
            # Of on_or_after, too, each unit has had its day n.
            windows, day = self._windows(metric), metric.day or 1
            return windows.matured(day, start, self.horizon) & (windows.label_end(day, start) <= end)
        if metric.counting_window is None:
            return F.lit(True)
        closed = start + F.lit(metric.counting_window // MICROSECOND)
        return (closed <= F.lit(self.horizon)) & (closed <= end)

    def _returns(self, metric: Metric) -> Interval:
        """When a unit's rows are returns, before its variant ends."""
        windows, day, start = self._windows(metric), metric.day or 1, F.col("start")
        first = windows.label_start(1 if metric.retention_kind == "within" else day, start)
        if metric.retention_kind == "on_or_after":
            return Interval(first, F.col("end"))
        return Interval(first, F.least(windows.label_end(day, start), F.col("end")))

    def _windows(self, metric: Metric) -> Windows:
        window, day = metric.counting_window or timedelta(hours=24), metric.day or 1
        days = (1, day) if metric.retention_kind == "within" and day > 1 else (day,)
        return Windows(window, days, metric.retention or "rolling", self.time_zone)


def _acts(metric: Metric) -> Column:
    """Whether a row of the log is one of the metric's actions; without any, whether it is an event."""
    action = F.col("action")
    return action.isin(*metric.actions) if metric.actions else action.isNotNull()


def _share(part: Column, whole: Column) -> Column:
    """A unit's rate; 0 without anything it could be a share of."""
    return F.when(whole > 0, part / whole).otherwise(F.lit(0.0))
