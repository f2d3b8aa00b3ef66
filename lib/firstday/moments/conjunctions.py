"""Two actions together: pairs whose users come back more often than those of any action that finds as many.

Products often define activation by two actions. The pair's thresholds are chosen on the choosing dates; on
the later ones it is compared with the single candidate of the highest precision among those of at least its
recall, chosen there, which favours the single one. It says whom to look at; no claim that it is a cause.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.special import ndtr

from firstday.moments import choose, outputs
from firstday.moments.analyse import CHOOSING
from firstday.moments.cells import Floats, Integers
from firstday.moments.collect import to_driver
from firstday.moments.pairs import CELLS, THRESHOLDS
from firstday.moments.split import Split
from firstday.settings import DiscoverSettings
from firstday.stats.corrections import holm
from firstday.stats.shares import wilson

MOST_CANDIDATES = 10  # actions whose pairs are looked at
LEAST_COVERED = (
    0.9  # of the users of either part: of the dates on which all these actions are counted in pairs
)
TRIED_FROM = 1.645  # standard errors on the choosing dates: 5 %, one-sided
LEVEL = 0.05  # of the family of pairs tried, by Holm


@dataclass(frozen=True)
class Singles:
    """The single candidates of one part of the dates; arrays (candidates,)."""

    action: tuple[str, ...]
    threshold: Integers
    users: Floats
    retained: Floats

    @classmethod
    def of(cls, cells: pd.DataFrame) -> "Singles":
        """cells: action, count, users, retained, in any order: users that did the action just so often."""
        table = cells.sort_values(["action", "count"], ascending=[True, False])
        reached = table.groupby("action")[["users", "retained"]].cumsum()
        return cls(
            tuple(table["action"]),
            table["count"].to_numpy(dtype=np.int64),
            *(reached[name].to_numpy(dtype=float) for name in ("users", "retained")),
        )

    def rivals(self, retained: Floats) -> Integers:
        """For pairs with so many retained users (pairs,): the place of the candidate of highest precision
        among those with as many at least, of equals the one with more users; -1 where there is none.
        """
        if not len(self.users):
            return np.full(len(retained), -1)
        precision = self.retained / np.maximum(self.users, 1)
        order = np.lexsort((self.users, precision, self.retained))
        best = np.empty(len(order), dtype=np.int64)
        leader = -1
        for place in order[::-1]:
            if leader < 0 or (precision[place], self.users[place]) > (precision[leader], self.users[leader]):
                leader = int(place)
            best[place] = leader
        # Of candidates with equal numbers retained, the first in the order stands for all of them.
        first = np.searchsorted(self.retained[order], retained)
        return np.where(first < len(order), best[order][np.minimum(first, len(order) - 1)], -1)


@dataclass(frozen=True)
class Pairs:
    """Pairs of one part of the dates: actions (pairs of names); users, retained (pairs, CELLS)."""

    actions: tuple[tuple[str, str], ...]
    users: Floats
    retained: Floats

    def z(self, singles: Singles) -> tuple[Floats, Integers]:
        """How many standard errors each cell's precision lies above that of its rival, and the rival.

        Both precisions are means over users who may overlap; if they were equal, each user's variance would
        be p(1 - p), p pooled, and that of the difference p(1 - p)(1/n + 1/m - 2 o/(n m)), o users in both. o
        is known from below: where the rival is one of the two actions by the pair's cells, else 0, which
        makes the error too large, never too small. -inf where there are no users or no rival.
        """
        place = singles.rivals(self.retained.ravel()).reshape(self.users.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            there, m = place >= 0, singles.users[place]
            n, overlap = self.users, np.minimum(self.overlap(singles, place), m)
            pooled = (self.retained + singles.retained[place]) / (n + m)
            variance = pooled * (1 - pooled) * (1 / n + 1 / m - 2 * overlap / (n * m))
            z = (self.retained / n - singles.retained[place] / m) / np.sqrt(variance)
        return np.where(there & (variance > 1e-15), z, -np.inf), place

    def overlap(self, singles: Singles, place: Integers) -> Floats:
        """(pairs, CELLS): at least so many users of the cell are users of the rival."""
        found = np.zeros(self.users.shape)
        steps = np.array(THRESHOLDS)
        for row, cell in np.argwhere(place >= 0):
            name, times = singles.action[place[row, cell]], singles.threshold[place[row, cell]]
            one, other = divmod(int(cell), len(steps))
            if name not in self.actions[row]:
                continue
            at = int(np.searchsorted(steps, times))  # the next step up holds fewer users
            if self.actions[row][0] == name:
                one = max(one, at)
            else:
                other = max(other, at)
            if max(one, other) < len(steps):
                found[row, cell] = self.users[row, one * len(steps) + other]
        return found


def compared(
    choosing: tuple[Pairs, Singles], later: tuple[Pairs, Singles], totals: Floats, *, min_users: int
) -> pd.DataFrame:
    """Pairs tried on the later dates, those that beat every single candidate first. choosing, later: the same
    pairs of both parts. totals: users and retained users of the later dates.
    """
    pairs, singles = later
    users, retained = totals
    early, _ = choosing[0].z(choosing[1])
    early = np.where(choosing[0].users >= min_users, early, -np.inf)
    cell = early.argmax(axis=1) if len(early) else np.zeros(0, dtype=np.int64)
    row = np.arange(len(cell))
    z, place = (each[row, cell] for each in pairs.z(singles))
    tried = (early[row, cell] >= TRIED_FROM) & (pairs.users[row, cell] >= min_users) & (place >= 0)
    row, cell, z, place = (each[tried] for each in (row, cell, z, place))
    experienced, both = pairs.users[row, cell], pairs.retained[row, cell]
    low, high = wilson(both / experienced, experienced)
    p = ndtr(-z)
    steps = np.array(THRESHOLDS)
    single_precision = singles.retained[place] / singles.users[place]
    table = pd.DataFrame(
        {
            "action": [pairs.actions[each][0] for each in row],
            "threshold": steps[cell // len(steps)],
            "other_action": [pairs.actions[each][1] for each in row],
            "other_threshold": steps[cell % len(steps)],
            "users": users, "experienced": experienced, "retained": retained, "both": both,
            "precision": both / experienced, "precision_low": low, "precision_high": high,
            "recall": both / retained,
            "single_action": [singles.action[each] for each in place],
            "single_threshold": singles.threshold[place],
            "single_precision": single_precision,
            "single_recall": singles.retained[place] / retained,
            "gain": both / experienced - single_precision,
            "p_value": p,
            "p_adjusted": holm(p),
            "tried": len(row),
        }
    )  # fmt: skip
    table["beats"] = table["p_adjusted"] <= LEVEL
    keys = ["beats", "gain", "action", "other_action"]
    return table.sort_values(keys, ascending=[False, False, True, True], ignore_index=True)


def conjunctions(
    pairs: DataFrame,
    counts: DataFrame,
    halves: pd.DataFrame,
    cohorts: pd.DataFrame,
    parts: Split,
    settings: DiscoverSettings,
) -> pd.DataFrame:
    """Rows of the table `conjunctions`, of moment_pairs and moment_counts. halves: what `analyse` returned
    for segment `all`. cohorts: as `collect.cohorts_by_date` has them.
    """
    day, min_users = settings.days[0], settings.min_users
    candidates = halves[(halves["half"] == CHOOSING) & (halves["day"] == day)]
    empty = pd.DataFrame(columns=[field.name for field in outputs.CONJUNCTIONS])
    if parts.until is None or not parts.later.dates:
        return empty
    named = F.explode(F.array("action", "other_action")).alias("action")
    tracked = to_driver(pairs.select("anchor_date", named).distinct(), "actions counted in pairs")
    known = cohorts.set_index("anchor_date")[f"matured_d{day}"]
    known = known[known > 0]
    actions, dates = covered(_leading(candidates, min_users), tracked, known, parts.until)
    if len(actions) < 2:
        return empty
    early = (F.col("anchor_date") <= F.lit(parts.until)).alias("early")
    there = F.lit(True) if len(dates) == len(known) else F.col("anchor_date").isin(*dates)
    ours = F.col("action").isin(*actions) & F.col("other_action").isin(*actions)
    added = [
        F.array(*(F.sum(F.col(name)[cell]) for cell in range(CELLS))).alias(name)
        for name in ("users", "retained")
    ]
    of_pairs = pairs.where(there & ours).groupBy(early, "action", "other_action").agg(*added)
    sums = [F.sum(f"matured_d{day}").alias("users"), F.sum(f"retained_d{day}").alias("retained")]
    of_singles = counts.where(there).groupBy(early, "action", "count").agg(*sums)
    table, cells = to_driver(of_pairs, "pairs of actions"), to_driver(of_singles, "candidates")
    found = {
        part: (
            _pairs(table[table["early"] == part], actions),
            Singles.of(cells[(cells["early"] == part) & cells["action"].notna() & (cells["users"] > 0)]),
        )
        for part in (True, False)
    }
    of_later = cells[~cells["early"] & cells["action"].isna()]
    totals = of_later[["users", "retained"]].sum().to_numpy(dtype=float)
    result = compared(found[True], found[False], totals, min_users=min_users)
    return result.assign(day=day, dates=sum(each > parts.until for each in dates))


def covered(
    leading: Sequence[str], tracked: pd.DataFrame, known: pd.Series, until: date
) -> tuple[list[str], list[date]]:
    """At most MOST_CANDIDATES of the leading actions, in the order of their names, and the dates on which all
    of them are counted in pairs: of either part dates with LEAST_COVERED of its users. tracked: anchor_date,
    action. known: users whose day is known, by anchor date.
    """
    dates_of: Mapping[str, set[date]] = {
        str(action): set(rows) for action, rows in tracked.groupby("action")["anchor_date"]
    }
    least = {part: LEAST_COVERED * known[(known.index <= until) == part].sum() for part in (True, False)}

    def enough(dates: set[date]) -> bool:
        left = known[known.index.isin(dates)]
        return all(left[(left.index <= until) == part].sum() >= least[part] for part in (True, False))

    chosen: list[str] = []
    dates = set(known.index)
    for action in leading:
        fewer = dates & dates_of.get(action, set())
        if len(chosen) < MOST_CANDIDATES and enough(fewer):
            chosen.append(action)
            dates = fewer
    return sorted(chosen), sorted(dates)


def _leading(candidates: pd.DataFrame, min_users: int) -> list[str]:
    """Actions by the highest phi of their candidates on the choosing dates."""
    sides = candidates["experienced"], candidates["users"] - candidates["experienced"]
    known = candidates[(sides[0] >= min_users) & (sides[1] >= min_users)]
    best = choose.phi(known).groupby(known["action"]).max()  # in the order of the names
    return [str(action) for action in best.sort_values(ascending=False, kind="stable").index]


def _pairs(table: pd.DataFrame, actions: Sequence[str]) -> Pairs:
    """All pairs of these actions, in their order; those that are not in the table have no users."""
    names = tuple(combinations(actions, 2))
    place = {pair: position for position, pair in enumerate(names)}
    sums = np.zeros((2, len(names), CELLS))
    for one, other, *both in table[["action", "other_action", "users", "retained"]].itertuples(index=False):
        sums[:, place[one, other]] = both
    return Pairs(names, *sums)
