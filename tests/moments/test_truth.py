"""From a simulated world to a verdict, without Spark: what is planted is named, or nothing if nothing is."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from firstday.moments.activity_bins import activity_bin
from firstday.moments.analyse import CHOOSING, REPORTING, Plan, analyse_segment
from firstday.moments.choose import MOMENT, NONE, Choice, choose
from firstday.moments.evidence import assess
from firstday.settings import DiscoverSettings
from firstday.simulation import ACTIONS, SEGMENTS, World, simulate
from tests.oracle import FirstDays, Floats, Integers, first_days, products, with_level_sums

SETTINGS = DiscoverSettings(users="users", events="events", out="out")  # as shipped
START = date(2024, 3, 1)


@dataclass(frozen=True)
class Told:
    """A world's truth, what was found in it, and the action of the candidate with the highest phi."""

    planted: str | None
    threshold: int | None
    choice: Choice
    best_phi: str

    @property
    def named(self) -> str | None:
        if self.choice.verdict != MOMENT or self.choice.chosen is None:
            return None
        return str(self.choice.chosen["action"])


def discovered(world: World, dates: int) -> Told:
    days = first_days(world)
    segment = world.users.groupby(list(SEGMENTS)).ngroup().to_numpy()
    last = round(SETTINGS.choose_share * dates) - 1
    plan = Plan((1,), START + timedelta(days=last), SETTINGS.min_users, SETTINGS.min_dates, resamples=0)
    strata, by_date = histograms(days, segment, last)
    rows = analyse_segment(strata, with_level_sums(by_date, plan.days), plan)
    choosing, reporting = (
        rows[rows["half"] == half].reset_index(drop=True) for half in (CHOOSING, REPORTING)
    )
    early = days.date <= last
    choice = choose(
        choosing,
        assess(products(*net_of_segments(days, segment, early), days.date[early], ACTIONS)),
        min_users=SETTINGS.min_users,
        dates=last + 1,
        min_dates=SETTINGS.min_dates,
        later=reporting,
    )
    return Told(world.truth.action, world.truth.threshold, choice, days.best_phi)


def histograms(days: FirstDays, segment: Integers, last: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """moment_counts of segment `all`, by stratum and by date, as `analyse` hands them to its kernel."""
    total = days.counts.sum(axis=1)
    who, action = np.nonzero(days.counts)
    count = days.counts[who, action]
    users = np.concatenate([np.arange(len(total)), who])
    frame = pd.DataFrame(
        {
            "stratum": segment[users].astype(str),
            "anchor_date": np.array([START + timedelta(days=n) for n in range(days.date.max() + 1)])[
                days.date[users]
            ],
            "early": days.date[users] <= last,
            "action": np.concatenate([np.full(len(total), None), np.array(ACTIONS, dtype=object)[action]]),
            "count": np.concatenate([np.zeros_like(total), count]),
            "total_level": activity_bin(total[users]),
            "other_level": np.concatenate([np.full(len(total), -1), activity_bin(total[who] - count)]),
            "matured_d1": 1,
            "retained_d1": days.retained[users],
        }
    )
    cell = ["action", "count", "total_level", "other_level"]

    def summed(keys: list[str]) -> pd.DataFrame:
        table = frame.groupby([*keys, *cell], dropna=False, as_index=False)[
            ["matured_d1", "retained_d1"]
        ].sum()
        return table.assign(segment="all", other_level=table["other_level"].where(table["action"].notna()))

    return summed(["stratum", "early"]), summed(["anchor_date"])


def net_of_segments(days: FirstDays, segment: Integers, among: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    values = np.column_stack([np.log1p(days.counts), days.retained])[among]
    means = pd.DataFrame(values).groupby(segment[among]).transform("mean").to_numpy()
    net = values - means + values.mean(axis=0)
    return net[:, :-1], net[:, -1]


@pytest.fixture(scope="module")
def worlds() -> list[Told]:
    """Of the size that is shipped; dates move everybody in every second one."""
    return [
        discovered(simulate(effect=effect, common_shocks=bool(seed % 2), seed=seed), dates=42)
        for seed, effect in enumerate((0.6, 0.8, 1.1, 0.8, 0.8, 0.6), start=20)
    ]


def test_what_is_planted_is_named(worlds: list[Told]) -> None:
    assert sum(told.named == told.planted for told in worlds) >= len(worlds) - 1
    assert all(told.named in (told.planted, None) for told in worlds)


def test_also_where_the_best_phi_is_a_decoy(worlds: list[Told]) -> None:
    fooled = [told for told in worlds if told.best_phi != told.planted]
    assert len(fooled) > len(worlds) / 2
    assert sum(told.named == told.planted for told in fooled) >= len(fooled) - 1


def test_the_threshold_is_near_the_planted_one(worlds: list[Told]) -> None:
    for told in worlds:
        if told.choice.verdict == MOMENT and told.choice.chosen is not None:
            assert abs(int(told.choice.chosen["threshold"]) - (told.threshold or 0)) <= 1


@pytest.mark.parametrize("common_shocks", [True, False])
@pytest.mark.parametrize("seed", [31, 32])
def test_where_nothing_is_planted_no_moment_is_found(seed: int, common_shocks: bool) -> None:
    told = discovered(simulate(effect=0.0, common_shocks=common_shocks, seed=seed), dates=42)
    assert told.choice.verdict != MOMENT


def test_a_fortnight_is_not_enough_data() -> None:
    told = discovered(simulate(users=8_000, dates=10, effect=1.1, seed=3), dates=10)
    assert told.choice.verdict == NONE
    assert "not enough data: 8 dates" in told.choice.reason
