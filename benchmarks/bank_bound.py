"""What can be had in the simulated bank: the best lists given all that its log shows, beside an oracle's.

`python -m benchmarks.bank_bound OUT.csv [--customers 10000] [--seeds 5] [--first-seed 1]
[--strengths 0.5 1 2] [--stages]`

The learner knows the world's parameters: popularity, banners' appeal, how tastes follow demographics, and how
clicks, dismissals, joins, payments, holdings and statements follow tastes. Of a customer it does not know the
personal part of six taste factors and what else moves the payments. Their posterior is Laplace's
approximation (Newton's method on the log-posterior, which is concave), worked out anew each week by the log
of its own lists; each list has the categories that are most likely clicked now. That is myopic: it does not
explore. No learner that has to find the parameters too can be expected to have more.

With --stages the same learner is played with what firstday's lists have beside a ranker: an exploring slot,
rests, banners by the clicks of last month. What these cost, no better ranker gets back.

A row a world and policy, to be set beside those of `benchmarks.bank_play` for the same seeds.
"""

import argparse
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, softmax

from benchmarks.bank_play import BASE, gains, play
from firstday.recommendations.fatigue import Fatigue
from firstday.simulation import Bank, simulate_bank
from firstday.simulation import bank_clicks as clicks
from firstday.simulation import bank_customers as people
from firstday.simulation.bank import SPOKEN_NOISE
from firstday.simulation.bank_behaviour import payments
from firstday.simulation.bank_catalog import DAY, NAMES
from firstday.simulation.bank_policies import _lists, hand_targeting, oracle, popularity

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
STEPS, LONGEST_STEP = 12, 3.0  # of Newton's method
HISTORY_DAYS = 56


@dataclass(frozen=True)
class Known:
    """What is known of the customers before any log: base (customers, categories), the interest that
    popularity and demographics tell; loading (categories, factors), what a unit of each personal factor adds.
    """

    base: Floats
    loading: Floats
    held_at_first: NDArray[np.bool_]
    is_new: NDArray[np.bool_]


def known(bank: Bank, history_days: int) -> Known:
    """The world's parameters, found by regression of all true tastes: 10,000 customers leave no error."""
    features = people.demographics(bank.customers.drop(columns=["user_id", "joined_at"]))
    columns = np.column_stack([np.ones(len(features)), features])
    taste = bank.people.taste
    told = columns @ np.linalg.lstsq(columns, taste, rcond=None)[0]
    values, vectors = np.linalg.eigh(np.cov((taste - told).T))
    largest = slice(-people.FACTORS, None)
    loading = vectors[:, largest] * np.sqrt(values[largest])
    popular = (bank.people.interest - bank.strength * taste).mean(axis=0)
    joined = bank.people.joined
    return Known(
        base=popular + bank.strength * told,
        loading=bank.strength * loading,
        held_at_first=bank.people.held_until > bank.people.held_since,
        is_new=joined >= max(history_days - 28, 0) * DAY,
    )


@dataclass(frozen=True)
class Shown:
    """Exposures, arrays of one length: user, category, and the click's and the dismissal's logits without the
    customer's interest; looked: the chance that the slot is looked at; what was done.
    """

    user: Whole
    category: Whole
    click_level: Floats
    dismiss_level: Floats
    looked: Floats
    clicked: NDArray[np.bool_]
    dismissed: NDArray[np.bool_]
    joined: NDArray[np.bool_]


def shown(bank: Bank) -> Shown:
    """The log, with how tired each customer was of each category then."""
    log = bank.exposures()
    user, category, slot = log["user"], log["category"], log["slot"]
    pair = user * len(NAMES) + category
    order = np.lexsort((log["second"], pair))
    starts = np.r_[True, pair[order][1:] != pair[order][:-1]]
    nth = np.arange(len(order)) - np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    tired = np.zeros(len(order))
    after, at = np.zeros(bank.people.interest.size), np.zeros(bank.people.interest.size, np.int64)
    for number in range(int(nth.max()) + 1):  # the n-th exposure of every pair at once
        rows = order[nth == number]
        before = clicks.recovered(after[pair[rows]], log["second"][rows] - at[pair[rows]])
        tired[rows] = before
        added = np.where(
            log["dismiss"][rows] > 0, clicks.DISMISSED, np.array(clicks.EXAMINED)[slot[rows] - 1]
        )
        after[pair[rows]] = np.where(log["click"][rows] > 0, 0.0, before + added)
        at[pair[rows]] = log["second"][rows]
    weight = np.minimum(tired, clicks.MOST_TIRED)
    return Shown(
        user,
        category,
        bank.level + bank.banners.appeal[log["content"]] - clicks.TIRED * weight,
        clicks.DISMISS_LEVEL + clicks.DISMISS_TIRED * weight,
        np.array(clicks.EXAMINED)[slot - 1],
        log["click"] > 0,
        log["dismiss"] > 0,
        log["join"] > 0,
    )


def posterior(bank: Bank, knows: Known) -> tuple[Floats, Floats]:
    """The mean and the variance of each customer's interest in each category, given the log until now."""
    seen = shown(bank)
    users, categories = knows.base.shape
    factors = knows.loading.shape[1]
    free = payments(bank.seed, bank.people, 0, bank.day)
    paid = np.zeros((users, categories))
    np.add.at(paid, (free.user, free.category), 1)
    spoken = _statements(bank)
    # What a latent value adds to interests, and to the logarithm of payments: factors, then payments' noise.
    of_interest = np.column_stack([knows.loading, np.zeros((categories, categories))])
    of_paying = np.column_stack(
        [people.PAYMENT_TASTE * knows.loading, people.PAYMENT_NOISE * np.eye(categories)]
    )
    pay_base = people.PAYMENT_TASTE * knows.base + people.HELD_PAYMENTS * (
        bank.people.held_until > HISTORY_DAYS * DAY
    )
    latent = np.zeros((users, factors + categories))
    total = paid.sum(axis=1, keepdims=True)
    for _ in range(STEPS):
        interest = knows.base + latent @ of_interest.T
        slope, curve = _of_interest(interest, seen, spoken, knows)
        share = softmax(pay_base + latent @ of_paying.T, axis=1)
        gradient = slope @ of_interest + (paid - total * share) @ of_paying - latent
        hessian = np.eye(latent.shape[1]) + np.einsum("uc,ci,cj->uij", curve, of_interest, of_interest)
        mean = share @ of_paying
        hessian += np.einsum("uc,ci,cj->uij", total * share, of_paying, of_paying, optimize=True)
        hessian -= total[..., None] * mean[:, :, None] * mean[:, None, :]
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        length = np.linalg.norm(step, axis=1, keepdims=True)
        latent += step * np.minimum(1.0, LONGEST_STEP / np.maximum(length, 1e-12))
    covariance = np.linalg.inv(hessian)[:, :factors, :factors]
    variance = np.einsum("ci,uij,cj->uc", knows.loading, covariance, knows.loading, optimize=True)
    return knows.base + latent @ of_interest.T, variance


def _statements(bank: Bank) -> tuple[Whole, Whole, Floats]:
    """user, category and interest-like value (strength × taste, with noise) of what was stated until now."""
    stated = bank.preferences[bank.preferences["stated_at"] < bank.now]
    user = pd.Index(bank.user_ids).get_indexer(stated["user_id"])
    category = pd.Index(NAMES).get_indexer(stated["category"])
    value = np.arctanh(np.clip(stated["strength"].to_numpy(float), -0.97, 0.97))
    return user, category, value


def _of_interest(
    interest: Floats, seen: Shown, spoken: tuple[Whole, Whole, Floats], knows: Known
) -> tuple[Floats, Floats]:
    """The slope of the log-likelihood in each interest, and minus its curvature, (users, categories)."""
    slope, curve = np.zeros_like(interest), np.zeros_like(interest)
    own = interest[seen.user, seen.category]
    at = seen.user, seen.category
    # A click: looked × expit. d log p = 1 - expit where clicked, - p (1 - expit) / (1 - p) where not.
    chance = expit(seen.click_level + own)
    clicked = seen.looked * chance
    first = np.where(seen.clicked, 1 - chance, -clicked * (1 - chance) / (1 - clicked))
    np.add.at(slope, at, first)
    np.add.at(curve, at, clicked * (1 - chance) ** 2 / (1 - clicked))  # Fisher's information
    dismissed = seen.looked * expit(seen.dismiss_level + clicks.DISMISS_INTEREST * own)
    apart = np.where(seen.clicked, 0.0, 1.0) * clicks.DISMISS_INTEREST
    np.add.at(slope, at, apart * (seen.dismissed - dismissed))
    np.add.at(curve, at, np.abs(apart) * abs(clicks.DISMISS_INTEREST) * dismissed * (1 - dismissed))
    joining = expit(clicks.JOIN_LEVEL + clicks.JOIN_INTEREST * own)
    weight = seen.clicked * clicks.JOIN_INTEREST
    np.add.at(slope, at, weight * (seen.joined - joining))
    np.add.at(curve, at, weight * clicks.JOIN_INTEREST * joining * (1 - joining))
    holding = expit(
        people.HOLDING_LEVEL + people.HOLDING_TASTE * interest + people.NEW_HOLDING * knows.is_new[:, None]
    )
    slope += people.HOLDING_TASTE * (knows.held_at_first - holding)
    curve += people.HOLDING_TASTE**2 * holding * (1 - holding)
    user, category, value = spoken
    off = value - (interest[user, category] - knows.base.mean(axis=0)[category])
    np.add.at(slope, (user, category), off / SPOKEN_NOISE**2)
    np.add.at(curve, (user, category), 1 / SPOKEN_NOISE**2)
    return slope, curve


def chances(bank: Bank, knows: Known) -> Floats:
    """(customers, categories): the chance of a click now, in slot 1, by what is known."""
    mean, variance = posterior(bank, knows)
    user, category = np.indices(mean.shape)
    now = np.array(bank.day * DAY)
    there = bank._chances(user, category, now, slot=np.array(1), appeal=0.0)  # tired and held, as it is known
    # What is tired or held moves the logit by the same for every interest.
    moved = np.log(there.click) - np.log1p(-there.click) - bank.level - bank.people.interest
    return np.asarray(expit((bank.level + mean + moved) / np.sqrt(1 + np.pi * variance / 8)))


def attainable(bank: Bank, knows: Known, stage: str = "") -> pd.DataFrame:
    """The lists of the next week, with one of STAGES in the way if asked."""
    chance = chances(bank, knows)
    if stage == "exploring slot":
        chance = explored(bank, chance)
    elif stage == "rests":
        chance = np.where(resting(bank), chance * 1e-6, chance)
    known = None if stage == "banners by clicks" else bank.banners.appeal
    return _lists(bank, chance, "attainable", 4, appeal=known)


STAGES = ("exploring slot", "rests", "banners by clicks")


def explored(bank: Bank, chance: Floats) -> Floats:
    """The chances with, behind the best three, a category drawn by the square of its chance, a tenth even."""
    users = np.arange(len(chance))
    offerable = bank.offerable(users, np.full(len(users), bank.day * DAY))
    open_ = np.where(offerable, chance, 0.0)
    third = np.sort(open_, axis=1)[:, -3]
    pool = offerable & (open_ < third[:, None])
    weight = np.where(pool, open_**2, 0.0)
    odds = 0.9 * weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    odds += 0.1 * pool / np.maximum(pool.sum(axis=1, keepdims=True), 1)
    draw = np.random.default_rng((bank.seed, bank.day)).random((len(users), 1))
    taken = (odds.cumsum(axis=1) > draw * odds.sum(axis=1, keepdims=True)).argmax(axis=1)
    found = np.where(pool, open_ * 1e-6, open_)
    found[users, taken] = np.where(pool[users, taken], third * (1 - 1e-9), found[users, taken])
    return np.asarray(found)


def resting(bank: Bank) -> NDArray[np.bool_]:
    """(customers, categories): what rests by firstday's defaults (`firstday.recommendations.fatigue`)."""
    rules, log = Fatigue(), bank.exposures(max(bank.day - 60, 0))
    now, shape = bank.day * DAY, bank.people.interest.shape
    pair = log["user"] * shape[1] + log["category"]
    answered = (log["click"] > 0) | (log["dismiss"] > 0)

    def latest(rows: NDArray[np.bool_]) -> Floats:
        found = np.full(bank.people.interest.size, -np.inf)
        np.maximum.at(found, pair[rows], log["second"][rows])
        return found

    def rested(times: int, window: float, rest: float, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        recent = rows & (log["second"] >= now - window * DAY)
        often = np.bincount(pair[recent], minlength=bank.people.interest.size) >= times
        return np.asarray(often & (latest(recent) >= now - rest * DAY))

    ignored = ~answered & (log["second"] > latest(answered)[pair])
    every = np.ones(len(pair), bool)
    found = latest(log["dismiss"] > 0) >= now - rules.dismissed_rest * DAY
    found |= rested(rules.ignored_times, rules.ignored_window, rules.ignored_rest, ignored)
    found |= rested(rules.often_times, rules.often_window, rules.often_rest, every)
    return np.asarray(found.reshape(shape))


def main() -> None:
    """Play all worlds and write a row each, as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 1.0, 2.0])
    asked = parser.parse_args()
    rows: list[dict[str, object]] = []
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        for strength in asked.strengths:
            world = simulate_bank(
                customers=asked.customers, strength=strength, seed=seed, history_days=HISTORY_DAYS
            )
            knows = known(world, HISTORY_DAYS)
            policies: dict[str, Callable[[Bank], pd.DataFrame]] = {
                BASE: hand_targeting,
                "popularity": popularity,
                "attainable": functools.partial(attainable, knows=knows),
                "oracle": oracle,
            }
            for stage in STAGES if asked.stages else ():
                policies[f"attainable, {stage}"] = functools.partial(attainable, knows=knows, stage=stage)
            for name, policy in policies.items():
                found = play(world.copy(), policy, 7)
                rows.append({"seed": seed, "strength": strength, "policy": name, **found})
                pd.DataFrame(rows).to_csv(asked.out, index=False)
                print(rows[-1], flush=True)
    print(f"\n{gains(pd.DataFrame(rows))}")


if __name__ == "__main__":
    main()
