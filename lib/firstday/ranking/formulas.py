"""The features' settings, names and formulas over the measures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from firstday.errors import SettingsError
from firstday.ranking.measures import ACTION_DAYS, AT, action_names
from firstday.ranking.rates import CATEGORY_RATE, PRIOR, SEGMENT_RATE, smoothed
from firstday.windows import DAY

STATE = "state"
HALF_LIFE_DAYS = 90.0  # after which a stated preference counts half
TENURE_FROM = "tenure_from"  # microseconds since 1970 in UTC


@dataclass(frozen=True)
class FeatureSettings:
    """actions: app actions to count, as given to `facts`. segment: the customers' column whose values have
    click rates of their own.
    """

    actions: tuple[str, ...] = ()
    segment: str | None = None

    def __post_init__(self) -> None:
        if len(set(self.actions)) < len(self.actions):
            raise SettingsError("each action is counted once", value=self.actions)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' columns in order; category and state are texts, the others numbers."""
        rate = (CATEGORY_RATE,) if self.segment is None else (CATEGORY_RATE, SEGMENT_RATE)
        return ("category", STATE, *formulas(self), *rate)


def formulas(settings: FeatureSettings) -> Mapping[str, Callable[[], Column]]:
    """Each number's formula over the measures."""
    pair_counts = ("shown_7d", "shown_28d", "shown", "clicks_28d", "clicks", "joins", "dismissals")
    user_counts = ("user_shown_28d", "user_shown", "user_clicks_28d", "user_clicks", "user_transactions_28d")
    actions = [f"{name}_{ACTION_DAYS}d" for name in action_names(settings.actions)]
    return {
        **_as_they_are(*pair_counts, "transactions_28d", "transactions"),
        "amount_28d": lambda: F.col("amount_28d").cast("double"),
        "unanswered": lambda: F.col("shown") - F.coalesce("answered", F.lit(0)),
        "days_since_shown": _days_since("last_shown"),
        "days_since_click": _days_since("last_click"),
        "days_since_dismissal": _days_since("last_dismissal"),
        "days_since_transaction": _days_since("last_transaction"),
        "used_7d": lambda: (F.col("used_7d") > 0).cast("int"),
        "held": lambda: (F.col("open") > 0).cast("int"),
        "preference": _decayed,
        **_as_they_are(*user_counts, "user_categories_met"),
        "user_click_rate": lambda: smoothed("user_clicks", "user_shown", PRIOR),
        "days_since_anything": _days_since("user_last"),
        "tenure_days": lambda: F.when(F.col(TENURE_FROM) <= F.col(AT), _days_since(TENURE_FROM)()),
        **_as_they_are(*actions),
    }


def _as_they_are(*names: str) -> dict[str, Callable[[], Column]]:
    return {name: lambda name=name: F.col(name) for name in names}  # type: ignore[misc]


def _days_since(instant: str) -> Callable[[], Column]:
    """Null where it never was."""
    return lambda: (F.col(AT) - F.col(instant)) / DAY


def _decayed() -> Column:
    """The strength stated last; of several at one instant the greatest."""
    age = (F.col(AT) - F.col("stated").getField(AT)) / DAY
    return F.col("stated").getField("value") * F.pow(F.lit(2.0), -age / HALF_LIFE_DAYS)
