"""How many slots a list should have: what lists of 1, 2, ... slots would earn, going by the log.

The position-based model (Richardson, Dominowska & Ragno 2007): P(click) = examination of the slot × P(click
in the first slot). So the k-th slot of a list earns its examination, which is 1 for the first slot, times the
chance of a click in the first slot of what stands k-th: the k-th best, by the model, of what was shown in the
lists that are measured on. A list of N earns the sum; its click rate is the sum / N.

Examination comes from one of two ways:
- Drawn. Where a policy draws in every slot, the sum of clicks / propensity over the rows of a slot is what
  all that could stand there would earn: the same for all slots but for the examination. Ratios of means so
  weighted are ratios of examinations, without any model (Joachims, Swaminathan & Schnabel 2017, WSDM, who
  swap contents for this; Agarwal et al. 2019, WSDM, who harvest the swaps that a log has).
- Compared. Else, among rows that the model scores alike, whatever slot they were in: P(click) = the rate of
  the score × the examination, by maximum likelihood (Wang et al. 2018, WSDM, fit such a model by EM). It is
  right as far as the score holds all by which the old policy put a row higher; what is left of that makes
  lower slots look worse than they are.

Intervals: the jackknife over GROUPS of customers, by a hash, so that a customer's rows move together. On the
scale of logarithms, Student's t. No plain formula holds for the product of examination and rate.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from firstday.errors import DataError
from firstday.ranking.slot_sums import BINS, GROUPS, LEAST_CLICKS, Reentry, SlotSums, first_slots
from firstday.stats.jackknife import jackknife_error

Floats = NDArray[np.float64]
LEAST_GROUPS = 10  # of customers, for an interval
LEAST_EFFECTIVE = 30  # clicks, of a slot's drawn rows; below, rows are compared
LEAST_GAIN = 0.10
ALPHA = 0.05  # intervals hold at 1 - ALPHA
STEPS, CLOSE = 10_000, 1e-10
COLUMNS = (
    *("slots", "expected_click_rate", "low", "high", "clicks_per_list", "last_slot_click_rate"),
    *("examination", "examination_low", "examination_high", "recommended"),
)
RULE = (
    f"the most slots of which each adds at least {LEAST_GAIN:.0%} to the clicks of the list above it. More "
    "slots bring more clicks per list but fewer per slot shown, so neither figure alone says how many slots "
    "to show; each further slot takes room, and tires customers of what stands in it"
)
DRAWN = "clicks weighted by 1 / propensity, of policies that draw in every slot"
COMPARED = "clicks of rows that the model scores alike, as no policy draws often enough in every slot"


@dataclass(frozen=True)
class SlotCount:
    """table: COLUMNS, a row for each number of slots. recommended: None without a row. way: how examination
    was found. unclear: slots of the log beyond those of the table, which have too few clicks.
    """

    table: pd.DataFrame
    recommended: int | None
    way: str
    reentry: Reentry
    unclear: int

    @property
    def most_slots(self) -> int:
        return len(self.table)

    @property
    def notes(self) -> tuple[str, ...]:
        come = self.reentry
        sentences = [
            f"Customers who are shown contents see {come.lists_per_day:.2f} lists on a day with any, "
            f"{come.lists_per_week:.2f} lists and {come.exposures_per_week:.1f} exposures in 7 days."
        ]
        if self.recommended is not None:
            sentences.insert(0, f"{self.recommended} of {self.most_slots} slots are recommended: {RULE}.")
        if self.unclear:
            first = self.most_slots + 1
            sentences.append(f"Nothing is said of slots from {first} on: too few clicks to learn from.")
        return tuple(sentences)

    @property
    def metrics(self) -> dict[str, float | None]:
        """For the tracking store."""
        come = self.reentry
        rates = zip(self.table["slots"], self.table["expected_click_rate"], strict=True)
        return {
            "slots.recommended": self.recommended,
            "slots.most": self.most_slots,
            "slots.lists_per_day": come.lists_per_day,
            "slots.lists_per_week": come.lists_per_week,
            "slots.exposures_per_week": come.exposures_per_week,
            **{f"slots.click_rate_of_{slots}": float(rate) for slots, rate in rates},
        }


def refuse_unseen(slots: int, most_slots: int) -> None:
    """Raise DataError for more slots than the log can say anything of."""
    if slots > most_slots:
        raise DataError(
            "a list may have no more slots than the log has shown, with clicks",
            value=slots,
            next_step=f"it is known for {most_slots}: show more in an experiment first, or give --force",
        )


def slot_count(sums: SlotSums) -> SlotCount:
    """What each number of slots would earn, and how many are recommended."""
    by_draws = first_slots(_effective(sums.drawn), LEAST_EFFECTIVE)
    by_comparison = _comparable(sums.compared)
    slots, way = (by_draws, DRAWN) if by_draws >= by_comparison else (by_comparison, COMPARED)
    slots = min(slots, int(sums.places["place"].max()) if len(sums.places) else 0)
    seen = max(sums.clicks, default=0)
    if slots == 0 or not sums.compared["clicks"].any():
        return SlotCount(pd.DataFrame(columns=list(COLUMNS)), None, way, sums.reentry, seen)
    by_bin = (BINS, slots)
    shown, clicks = (_stacked(sums.compared, name, ("bin", "slot"), by_bin) for name in ("shown", "clicks"))
    if way == DRAWN:
        rates = (_stacked(sums.drawn, name, ("slot",), (slots,)) for name in ("clicks_w", "weight"))
        examined = _ratio(*rates)
        examined = _ratio(examined, examined[:, :1])
    else:
        examined = _compared(shown, clicks)
    lists = _stacked(sums.places, "lists", ("bin", "place"), by_bin)
    best = _ratio((lists * _rates(shown, clicks, examined)[:, :, None]).sum(axis=1), lists.sum(axis=1))
    table = _table(examined, best)
    return SlotCount(table, int(table["recommended"].argmax()) + 1, way, sums.reentry, seen - slots)


def _effective(drawn: pd.DataFrame) -> dict[int, float]:
    """Clicks, by slot, that would say as much if all had one weight (Kish 1965)."""
    sums = drawn.groupby("slot")[["clicks_w", "clicks_w2"]].sum()
    sums = sums[sums["clicks_w"] > 0]
    return dict(sums["clicks_w"] ** 2 / sums["clicks_w2"])


def _comparable(compared: pd.DataFrame) -> int:
    """How many slots, from the first on, have enough clicks at scores at which those above have some too."""
    clicks = compared.pivot_table(index="bin", columns="slot", values="clicks", aggfunc="sum", fill_value=0.0)
    found = {}
    for slot in clicks:
        above = clicks.loc[:, clicks.columns < slot].sum(axis=1)
        found[slot] = float(clicks.loc[(above > 0) | (slot == 1), slot].sum())
    return first_slots(found, LEAST_CLICKS)


def _stacked(sums: pd.DataFrame, name: str, keys: tuple[str, ...], shape: tuple[int, ...]) -> Floats:
    """The sums by `keys`, numbered from 1: first of all customers, then without each of the groups."""
    inside = (sums[list(keys)].to_numpy(int) <= np.array(shape)).all(axis=1)
    kept = sums[inside]
    parts = np.zeros((GROUPS, *shape))
    parts[tuple(kept[key].to_numpy(int) - (key != "group") for key in ("group", *keys))] = kept[name]
    return np.concatenate([parts.sum(axis=0)[None], parts.sum(axis=0) - parts])


def _compared(shown: Floats, clicks: Floats) -> Floats:
    """Examination by slot, for each of the stack: Poisson's maximum likelihood, slots and bins in turns."""
    examined = np.ones((len(shown), shown.shape[2]))
    for _ in range(STEPS):
        rates = _rates(shown, clicks, examined)
        found = _ratio(clicks.sum(axis=1), (shown * rates[:, :, None]).sum(axis=1))
        found = _ratio(found, found[:, :1])
        moved = np.abs(found - examined).max()
        examined = found
        if moved < CLOSE:
            break
    return examined


def _rates(shown: Floats, clicks: Floats, examined: Floats) -> Floats:
    """The chance of a click in the first slot, by bin of scores."""
    return _ratio(clicks.sum(axis=2), (shown * examined[:, None, :]).sum(axis=2))


def _ratio(over: Floats, under: Floats) -> Floats:
    """0 where there is nothing."""
    return np.divide(over, under, out=np.zeros(np.broadcast(over, under).shape), where=under > 0)


def _table(examined: Floats, best: Floats) -> pd.DataFrame:
    earned = examined * best
    lists = earned.cumsum(axis=1)
    slots = np.arange(1, earned.shape[1] + 1)
    gains = _ratio(earned[0, 1:], lists[0, :-1])
    recommended = 1 + int((gains >= LEAST_GAIN).cumprod().sum())
    low, high = _interval(lists / slots)
    examination_low, examination_high = _interval(examined)
    columns = (
        *(slots, lists[0] / slots, low, high, lists[0], earned[0]),
        *(examined[0], examination_low, examination_high, slots == recommended),
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _interval(values: Floats) -> tuple[Floats, Floats]:
    """By slot; values: of all customers, then without each of the groups. NaN where too little is known."""
    whole, parts = values[0], values[1:]
    kept = np.abs(parts - whole).max(axis=1) > 0  # groups without a row change nothing
    many = int(kept.sum())
    none = np.full(len(whole), np.nan)
    if many < LEAST_GROUPS or (values <= 0).any():
        return none, none
    logs = np.log(parts[kept])
    margin = np.exp(float(stdtrit(many - 1, 1 - ALPHA / 2)) * jackknife_error(logs))
    return whole / margin, whole * margin
