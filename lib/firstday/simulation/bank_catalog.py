"""What the bank offers: categories in groups, who may have them, and the contents that show them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DAY = 86_400  # seconds
OPEN_END = np.iinfo(np.int64).max // 4  # of a content or a holding without an end, in seconds


@dataclass(frozen=True)
class Category:
    """weight: the bank's own. term: days until a holding ends by itself. amount: median of a payment."""

    name: str
    group: str
    weight: float = 1.0
    term: int | None = None
    amount: float | None = None


CATEGORIES = (
    Category("salary_account", "accounts", amount=2_400),
    Category("savings_account", "accounts", amount=200),
    Category("time_deposit", "accounts", term=180, amount=3_000),
    Category("currency_account", "accounts", weight=1.1, amount=400),
    Category("credit_card", "cards", amount=45),
    Category("travel_card", "cards", amount=90),
    Category("debit_card", "cards", amount=25),
    Category("student_card", "cards", weight=1.1, amount=15),
    Category("mortgage", "loans", amount=900),
    Category("personal_loan", "loans", amount=250),
    Category("car_loan", "loans", amount=300),
    Category("overdraft", "loans", weight=0.9, amount=120),
    Category("fund", "investment", amount=300),
    Category("brokerage", "investment", amount=700),
    Category("pension_plan", "investment", weight=1.1, amount=150),
    Category("gold_account", "investment", weight=1.2, amount=500),
    Category("car_insurance", "insurance", term=365, amount=60),
    Category("health_insurance", "insurance", amount=110),
    Category("home_insurance", "insurance", weight=1.1, amount=35),
    Category("travel_insurance", "insurance", term=30, amount=40),
    Category("bill_payment", "services"),
    Category("spending_report", "services"),
    Category("subscription_manager", "services", weight=1.2),
    Category("donations", "services", weight=1.3, amount=20),
)
NAMES = tuple(category.name for category in CATEGORIES)
GROUPS = tuple(dict.fromkeys(category.group for category in CATEGORIES))
GROUP_OF = np.array([GROUPS.index(category.group) for category in CATEGORIES])
TERM = np.array([OPEN_END if category.term is None else category.term * DAY for category in CATEGORIES])

# Of each rule all comparisons must hold, and of a category all rules. A missing value satisfies none.
Comparison = tuple[str, str, int | float | str]
ELIGIBILITY: tuple[tuple[str, tuple[Comparison, ...]], ...] = (
    ("mortgage", (("age", ">=", 21), ("income_band", "<>", "low"))),
    ("mortgage", (("age", "<=", 65),)),
    ("personal_loan", (("age", ">=", 21), ("occupation", "<>", "student"))),
    ("car_loan", (("age", ">=", 19), ("income_band", "<>", "low"))),
    ("overdraft", (("age", ">=", 19),)),
    ("credit_card", (("age", ">=", 19),)),
    ("student_card", (("age", "<", 30), ("occupation", "=", "student"))),
    ("brokerage", (("balance", ">=", 500.0),)),
    ("pension_plan", (("age", "<", 60),)),
)

MOST_CONTENTS = 4  # of a category; at least two
APPEAL_SPREAD = 0.3  # standard deviation of a content's appeal, on the logit of a click
SEASONAL = NAMES.index("gold_account")  # has a gap without any live content: from the history's middle on


@dataclass(frozen=True)
class Contents:
    """The banners, arrays (contents,): id, category (number), starts and ends in seconds, appeal."""

    ids: NDArray[np.object_]
    category: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    appeal: NDArray[np.float64]

    def live(self, second: NDArray[np.int64] | int) -> NDArray[np.bool_]:
        """Whether each content (last axis) may be shown at each second."""
        at = np.asarray(second)[..., None]
        return np.asarray((self.starts <= at) & (at < self.ends))

    def live_by_category(
        self, second: NDArray[np.int64], categories: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """By second: which categories, of so many, have a live content, and which contents are live."""
        days, place = np.unique(second // DAY, return_inverse=True)  # contents start and end at midnight
        contents = self.live(days * DAY)
        found = np.zeros((len(days), categories), bool)
        for content, category in enumerate(self.category):
            found[:, category] |= contents[:, content]
        return found[place], contents[place]


def make_contents(draw: np.random.Generator, history_days: int) -> Contents:
    """Two to four a category. The first runs always; others start or end before, in or after the history.

    One category, SEASONAL, has nothing live from the middle of the history until two weeks after it.
    """
    category, starts, ends = [], [], []
    for number in range(len(CATEGORIES)):
        if number == SEASONAL:
            spans = [(-90, history_days // 2), (history_days + 14, None)]
        else:
            spans = [(-90, None)]
            for _ in range(int(draw.integers(1, MOST_CONTENTS))):
                start = int(draw.integers(-60, history_days + 20))
                spans.append((start, None if draw.random() < 0.4 else start + int(draw.integers(14, 90))))
        category += [number] * len(spans)
        starts += [start * DAY for start, _ in spans]
        ends += [OPEN_END if end is None else end * DAY for _, end in spans]
    ids = [f"{NAMES[number]}-{place + 1:03d}" for place, number in enumerate(category)]
    appeal = draw.normal(0, APPEAL_SPREAD, len(category))
    return Contents(
        np.array(ids, object), np.array(category), np.array(starts), np.array(ends, np.int64), appeal
    )


def categories_table() -> pd.DataFrame:
    """category, category_group, weight."""
    rows = [(category.name, category.group, category.weight) for category in CATEGORIES]
    return pd.DataFrame(rows, columns=["category", "category_group", "weight"])


def eligibility_table() -> pd.DataFrame:
    """category, rule: an SQL expression over the customers' columns."""
    rows = [(category, " AND ".join(_sql(*part) for part in rule)) for category, rule in ELIGIBILITY]
    return pd.DataFrame(rows, columns=["category", "rule"])


def eligible(customers: pd.DataFrame) -> NDArray[np.bool_]:
    """Who may have what, customers x categories."""
    allowed = np.ones((len(customers), len(CATEGORIES)), bool)
    for category, rule in ELIGIBILITY:
        for column, compared, value in rule:
            allowed[:, NAMES.index(category)] &= _holds(customers[column], compared, value)
    return allowed


def _sql(column: str, compared: str, value: int | float | str) -> str:
    return f"{column} {compared} " + (f"'{value}'" if isinstance(value, str) else f"{value}")


def _holds(column: pd.Series, compared: str, value: int | float | str) -> NDArray[np.bool_]:
    known = column.notna()
    answer = {
        ">=": lambda: column.ge(value),
        "<=": lambda: column.le(value),
        "<": lambda: column.lt(value),
        "=": lambda: column.eq(value),
        "<>": lambda: column.ne(value),
    }[compared]()
    return np.asarray(answer & known, bool)
