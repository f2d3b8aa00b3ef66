"""The bank's customers: who they are, what they like, how often they come, and what they have already."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from firstday.simulation.bank_catalog import CATEGORIES, DAY, GROUP_OF, GROUPS, OPEN_END, TERM

Floats = NDArray[np.float64]

FACTORS = 6  # of taste
DEMOGRAPHIC_SHARE = 0.4  # of the variance of a taste factor that demographics determine; the rest is personal
GROUP_SHARE = 0.5  # of the direction of a category's taste that its group shares
POPULARITY_SPREAD = 0.5  # standard deviation of a category's popularity, on the logit
NEW_SHARE = 0.12  # of the customers, who joined within the last four weeks of the history
SILENT_NEW, SILENT_OLD = 0.7, 0.05  # shares of new and other customers who never pay by this bank
MEAN_VISIT_DAYS = 0.25  # a day: mean of the customers' chances to open the app
VISIT_SPREAD = 0.9  # standard deviation of the log of that chance
PAYMENTS_A_DAY = 0.4  # median of those who are not silent
PAYMENT_SPREAD = 0.7  # standard deviation of the log of that rate
PAYMENT_TASTE = 0.7  # how the logit of interest moves the log of a category's share of payments
PAYMENT_NOISE = 0.8  # standard deviation of what else moves that share, customer by customer
HELD_PAYMENTS = 0.7  # what holding a category adds to the log of its share
HOLDING_LEVEL, HOLDING_TASTE, NEW_HOLDING = -2.4, 0.7, -1.2  # logit of holding a category at the start
CLOSED_SHARE = 0.1  # of the holdings without a term, that ended before the history
UNTOLD_INCOME = 0.03  # of the customers

REGIONS = ("north", "south", "east", "west", "capital")
REGION_SHARES = (0.22, 0.2, 0.15, 0.15, 0.28)
CHANNELS = ("app", "branch", "partner", "web")
CHANNEL_SHARES = (0.45, 0.25, 0.12, 0.18)
INCOMES = ("low", "middle", "high")
AGE_BANDS = (25, 35, 45, 60)  # the first ages of all bands but the youngest: how the bank segments


@dataclass(frozen=True)
class Population:
    """`customers` is the table; the rest are arrays in its order.

    taste and interest: customers x categories; taste has mean 0 and standard deviation 1 in each category,
    interest = strength x taste + popularity of the category. visiting: chance of opening the app on a day.
    payments: a day; payment_shares: of the categories. held_since, held_until: seconds, of the only holding.
    """

    customers: pd.DataFrame
    joined: NDArray[np.int64]
    taste: Floats
    interest: Floats
    visiting: Floats
    payments: Floats
    payment_shares: Floats
    held_since: NDArray[np.int64]
    held_until: NDArray[np.int64]
    segment: NDArray[np.int64]


def make_population(
    draw: np.random.Generator, customers: int, strength: float, history_days: int, start: pd.Timestamp
) -> Population:
    """Customers who all joined before the history's end."""
    new = draw.random(customers) < NEW_SHARE
    earliest = max(history_days - 28, 0) * DAY
    joined = np.where(
        new,
        draw.integers(earliest, history_days * DAY, customers),
        -draw.integers(DAY, 3_000 * DAY, customers),
    )
    table = _table(draw, customers)
    taste = _tastes(draw, table)
    popularity = draw.normal(0, POPULARITY_SPREAD, len(CATEGORIES))
    interest = strength * taste + popularity
    level = draw.normal(0, 1, customers)  # who comes often also pays often
    silent = draw.random(customers) < np.where(new, SILENT_NEW, SILENT_OLD)
    mixed = 0.5 * level + np.sqrt(0.75) * draw.normal(0, 1, customers)
    since, until = _holdings(draw, interest, new, joined)
    shares = np.exp(
        PAYMENT_TASTE * interest
        + draw.normal(0, PAYMENT_NOISE, interest.shape)
        + HELD_PAYMENTS * (until > history_days * DAY)
    )
    visiting = MEAN_VISIT_DAYS * np.exp(VISIT_SPREAD * level - VISIT_SPREAD**2 / 2)
    table.insert(1, "joined_at", (start + pd.to_timedelta(joined, unit="s")).as_unit("us"))
    return Population(
        customers=table,
        joined=joined,
        taste=taste,
        interest=interest,
        visiting=np.clip(visiting, 0.01, 0.95),
        payments=np.where(silent, 0.0, PAYMENTS_A_DAY * np.exp(PAYMENT_SPREAD * mixed)),
        payment_shares=shares / shares.sum(axis=1, keepdims=True),
        held_since=since,
        held_until=until,
        segment=segments(table),
    )


def segments(customers: pd.DataFrame) -> NDArray[np.int64]:
    """How the bank has always cut its customers: region by age band, numbered."""
    band = np.searchsorted(AGE_BANDS, customers["age"].to_numpy(), side="right")
    region = pd.Categorical(customers["region"], REGIONS).codes.astype(np.int64)
    return np.asarray(region * (len(AGE_BANDS) + 1) + band)


def _table(draw: np.random.Generator, customers: int) -> pd.DataFrame:
    age = np.clip(18 + draw.gamma(2.2, 11, customers), 18, 90).astype(np.int64)
    chance = draw.random(customers)
    occupation = np.select(
        [(age < 27) & (chance < 0.6), (age > 62) & (chance < 0.8), chance > 0.85, chance > 0.72],
        ["student", "retired", "self_employed", "at_home"],
        "employee",
    )
    at_work = np.isin(occupation, ("employee", "self_employed"))
    wealth = draw.normal(0, 1, customers) + 0.7 * at_work + 0.015 * (age - 40)
    income = np.array(INCOMES, object)[np.digitize(wealth, (-0.2, 1.1))]
    income[draw.random(customers) < UNTOLD_INCOME] = None
    return pd.DataFrame(
        {
            "user_id": np.array([f"customer-{number:07d}" for number in range(customers)], object),
            "age": age,
            "gender": np.array(("f", "m"), object)[draw.integers(0, 2, customers)],
            "region": np.array(REGIONS, object)[draw.choice(len(REGIONS), customers, p=REGION_SHARES)],
            "income_band": income,
            "channel": np.array(CHANNELS, object)[draw.choice(len(CHANNELS), customers, p=CHANNEL_SHARES)],
            "occupation": occupation.astype(object),
            "household": 1 + draw.poisson(np.where((age > 28) & (age < 55), 1.6, 0.6)),
            "balance": np.exp(6.8 + 0.7 * wealth + draw.normal(0, 0.9, customers)).round(2),
        }
    )


def demographics(customers: pd.DataFrame) -> Floats:
    """(customers, features): what tastes follow, of the columns that say who they are, age in a curve too."""
    features = pd.get_dummies(customers.assign(balance=np.log(customers["balance"])))
    known = _standard(features.to_numpy(float))
    return np.column_stack([known, _standard(known[:, [0]] ** 2)])


def _tastes(draw: np.random.Generator, customers: pd.DataFrame) -> Floats:
    """In part by demographics, age in a curve too, in part personal; categories of a group are alike."""
    known = demographics(customers.drop(columns=["user_id"]))
    by_demographics = _standard(known @ draw.normal(0, 1, (known.shape[1], FACTORS)))
    personal = draw.normal(0, 1, by_demographics.shape)
    factors = np.sqrt(DEMOGRAPHIC_SHARE) * by_demographics + np.sqrt(1 - DEMOGRAPHIC_SHARE) * personal
    group = draw.normal(0, 1, (len(GROUPS), FACTORS))[GROUP_OF]
    own = draw.normal(0, 1, group.shape)
    direction = np.sqrt(GROUP_SHARE) * group + np.sqrt(1 - GROUP_SHARE) * own
    return _standard(factors @ direction.T)


def _holdings(
    draw: np.random.Generator, interest: Floats, new: NDArray[np.bool_], joined: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When each customer took each category, and until when; never held: both 0, an empty span."""
    logit = HOLDING_LEVEL + HOLDING_TASTE * interest + NEW_HOLDING * new[:, None]
    has = draw.random(interest.shape) < expit(logit)
    # Old customers took theirs at some time before the history, new ones as they joined.
    span = np.maximum(-1 - joined, 0)[:, None]
    since = joined[:, None] + (draw.random(interest.shape) * span).astype(np.int64)
    until = np.where(TERM >= OPEN_END, OPEN_END, since + TERM)
    closed = (draw.random(interest.shape) < CLOSED_SHARE) & (TERM >= OPEN_END) & ~new[:, None]
    until = np.where(closed, since + (draw.random(interest.shape) * -since).astype(np.int64), until)
    return np.where(has, since, 0), np.where(has, until, 0)


def _standard(columns: Floats) -> Floats:
    """Mean 0 and standard deviation 1; a constant column is 0."""
    spread = columns.std(axis=0)
    return np.asarray((columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1))
