"""A partition of the exchange becomes cells of the histogram and cross products, on Arrow and NumPy."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstday.moments.activity_bins import activity_bin
from firstday.moments.pairs import PairSums, pair_sums, pairs_of
from firstday.moments.products import Flags, Products, Sample, scaled_log
from firstday.moments.tally import UNPAIRED, Integers, Tally, tally
from firstday.moments.timing import pairs_in_time

EPOCH_DATE = date(1970, 1, 1)
CELLS_A_ROW = 1 << 16
PRODUCTS_A_BATCH = 1 << 10

CELL = {
    "cohort": pa.int64(),
    "action": pa.string(),
    "count": pa.int32(),
    "total_level": pa.int32(),
    "other_level": pa.int32(),
}
TALLIES = {"in_window": pa.int64(), "returns": pa.int64(), "top_coded": pa.int64()}
PRODUCTS = {
    "products_of": pa.int64(),
    "day": pa.int32(),
    "matured": pa.int64(),
    "retained": pa.int64(),
    "actions": pa.list_(pa.string()),
    "sum_x": pa.list_(pa.int64()),
    "sum_xr": pa.list_(pa.int64()),
    "sum_xx": pa.list_(pa.int64()),
}
TIMING = {
    "timed_day": pa.int32(),
    "leader": pa.list_(pa.string()),
    "follower": pa.list_(pa.string()),
    "events": pa.list_(pa.int64()),
    "after": pa.list_(pa.int64()),
    "before": pa.list_(pa.int64()),
}
PAIRS = {
    "paired_day": pa.int32(),
    "one": pa.list_(pa.string()),
    "other": pa.list_(pa.string()),
    "pair_users": pa.list_(pa.list_(pa.int32())),
    "pair_retained": pa.list_(pa.list_(pa.int32())),
}


def measures(days: Iterable[int]) -> list[str]:
    """The histogram's sums over users: all, those who have closed day n, those of them who came back."""
    return ["users", *(f"{what}_d{day}" for day in days for what in ("matured", "retained"))]


@dataclass(frozen=True)
class Kernel:
    """What mapInArrow runs on each partition.

    `keys` has the actions' keys in the order of their names, `leading` the actions of each anchor date that
    enter its cross products. `timed` are the actions whose events may be timed, by position in the rows.
    `in_label`: (days, days) whether the label window of the second day holds a return that is counted under
    the first (`windows.own_part`); by default each day's its own. `paired` has the actions of each anchor
    date whose pairs are counted, on the first of `days`.
    """

    keys: Mapping[str, int]
    leading: Mapping[date, tuple[str, ...]]
    days: tuple[int, ...]
    count_cap: int
    timed: tuple[str, ...] = ()
    in_label: tuple[tuple[bool, ...], ...] | None = None
    paired: Mapping[date, tuple[str, ...]] = field(default_factory=dict)

    @property
    def cells(self) -> dict[str, pa.DataType]:
        """The columns of the histogram."""
        return CELL | dict.fromkeys(measures(self.days), pa.int32())

    @property
    def schema(self) -> pa.Schema:
        """A row holds arrays of up to CELLS_A_ROW cells, or the products of a cohort for a day, or the pairs
        of an anchor date, in time or of users; else nulls.

        Arrays of cells, as Spark takes in and caches a long array several times faster than as many rows.
        """
        arrays = {name: pa.list_(kind) for name, kind in self.cells.items()}
        return pa.schema([*(arrays | TALLIES | PRODUCTS | TIMING | PAIRS).items()])

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The partition's rows, in batches of the schema."""
        counted = tally(
            batches, len(self.days), list(self.keys.values()), [self.keys[name] for name in self.timed]
        )
        if not len(counted.user):
            return
        partition = Partition.of(counted, len(self.days), self.count_cap, self.in_label)
        tallies = {name: [int(getattr(partition, name))] for name in TALLIES}
        yield self._batch(tallies)
        names = pa.array(list(self.keys), pa.string())
        for cells in (self._cohort_cells(partition), self._action_cells(partition)):
            for first in range(0, len(cells["cohort"]), CELLS_A_ROW):
                part = {name: column[first : first + CELLS_A_ROW] for name, column in cells.items()}
                part["cohort"] = partition.cohorts[part["cohort"]]
                if "action" in part:
                    part["action"] = names.take(pa.array(part["action"]))
                yield self._batch(self._as_one_row(part))
        products = self._sample(partition).products()
        while rows := list(islice(products, PRODUCTS_A_BATCH)):
            yield self._batch(self._product_columns(rows))
        for pairs in self._timing(counted):
            yield self._batch(pairs)
        for sums in self._pairs(partition):
            pair = pairs_of(self.paired.get(EPOCH_DATE + timedelta(days=sums.anchor_day), ()))
            yield self._batch(
                {
                    "paired_day": [sums.anchor_day],
                    "one": [[one for one, _ in pair]],
                    "other": [[other for _, other in pair]],
                    "pair_users": [sums.users.tolist()],
                    "pair_retained": [sums.retained.tolist()],
                }
            )

    def _pairs(self, partition: "Partition") -> Iterator[PairSums]:
        """Of the users whose first day is known and whom labels don't leave out."""
        known = (partition.closed & 1 == 1) & (partition.closed & UNPAIRED == 0)
        there = known[partition.who]
        place = np.cumsum(known) - 1
        return pair_sums(
            *(partition.anchor_day[known], partition.retained[known, 0], place[partition.who[there]]),
            *(partition.action[there], partition.count[there]),
            self._columns(partition, self.paired),
        )

    def _columns(
        self, partition: "Partition", actions: Mapping[date, tuple[str, ...]]
    ) -> dict[int, Integers]:
        """By anchor date the place of each action among the date's `actions`, or -1."""
        position = {action: place for place, action in enumerate(self.keys)}
        columns = {}
        for day in np.unique(partition.anchor_day).tolist():
            chosen = actions.get(EPOCH_DATE + timedelta(days=day), ())
            columns[day] = np.full(len(position), -1)
            columns[day][[position[action] for action in chosen]] = np.arange(len(chosen))
        return columns

    def _timing(self, counted: Tally) -> Iterator[dict[str, Any]]:
        """Of each anchor date with timed users the pairs of its leading actions that occur in time."""
        day = counted.anchor_day[counted.timed_who]
        names = np.array(self.timed, dtype=object)
        for anchor_day in np.unique(day).tolist():
            leading = self.leading.get(EPOCH_DATE + timedelta(days=anchor_day), ())
            there = (day == anchor_day) & np.isin(names, leading)[counted.timed_action]
            columns = (counted.timed_who[there], counted.timed_action[there], counted.timed_at[there])
            events, after, before = pairs_in_time(*columns, len(names))
            leader, follower = np.nonzero((after > 0) | (before > 0) | np.diag(events > 0))
            yield {
                "timed_day": [anchor_day],
                "leader": [names[leader].tolist()],
                "follower": [names[follower].tolist()],
                "events": [events[follower].tolist()],
                "after": [after[leader, follower].tolist()],
                "before": [before[leader, follower].tolist()],
            }

    def _cohort_cells(self, partition: "Partition") -> dict[str, Integers]:
        keys = {"cohort": partition.cohort, "total_level": activity_bin(partition.total)}
        cells = _summed(keys, partition.measures(self.days))
        return {"count": np.zeros(len(cells["cohort"]), np.int64), **cells}

    def _action_cells(self, partition: "Partition") -> dict[str, Integers]:
        who = partition.who
        keys = {
            "cohort": partition.cohort[who],
            "action": partition.action,
            "count": partition.count,
            "total_level": activity_bin(partition.total)[who],
            "other_level": activity_bin(partition.total[who] - partition.count),
        }
        return _summed(keys, {name: value[who] for name, value in partition.measures(self.days).items()})

    def _sample(self, partition: "Partition") -> Sample:
        return Sample(
            cohort=partition.cohorts[partition.cohort],
            anchor_day=partition.anchor_day,
            closed=partition.closed,
            retained=partition.retained,
            who=partition.who,
            action=partition.action,
            x=scaled_log(partition.count),
            column=self._columns(partition, self.leading),
        )

    def _product_columns(self, rows: Sequence[Products]) -> dict[str, Any]:
        return {
            "products_of": [row.cohort for row in rows],
            "day": [self.days[row.day] for row in rows],
            "matured": [row.users for row in rows],
            "retained": [row.retained for row in rows],
            "actions": [self.leading.get(EPOCH_DATE + timedelta(days=row.anchor_day), ()) for row in rows],
            "sum_x": _arrays([row.x for row in rows]),
            "sum_xr": _arrays([row.xr for row in rows]),
            "sum_xx": _arrays([row.xx for row in rows]),
        }

    def _as_one_row(self, cells: Mapping[str, Any]) -> dict[str, pa.Array]:
        rows = len(cells["cohort"])
        whole = {name: cells.get(name, pa.nulls(rows, kind)) for name, kind in self.cells.items()}
        return {
            name: pa.ListArray.from_arrays([0, rows], pa.array(column).cast(self.cells[name]))
            for name, column in whole.items()
        }

    def _batch(self, columns: Mapping[str, Any]) -> pa.RecordBatch:
        rows = len(next(iter(columns.values())))
        whole = [
            pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
            for field in self.schema
        ]
        return pa.RecordBatch.from_arrays(whole, schema=self.schema)


@dataclass(frozen=True)
class Partition:
    """The users of a partition and what each of them did.

    `cohorts` are their keys. Of users: cohort (position in `cohorts`), anchor_day (days since 1970), closed
    (bits), retained (users × days), total (events in the window, counts held at the cap). Of users' actions:
    who (position of the user), action (position), count (held at the cap). Of the partition: in_window and
    returns (events), top_coded (counts above the cap).
    """

    cohorts: Integers
    cohort: Integers
    anchor_day: Integers
    closed: Integers
    retained: Flags
    total: Integers
    who: Integers
    action: Integers
    count: Integers
    in_window: int
    returns: int
    top_coded: int

    @classmethod
    def of(
        cls,
        counted: Tally,
        days: int,
        count_cap: int,
        in_label: tuple[tuple[bool, ...], ...] | None = None,
    ) -> "Partition":
        """Take apart what `tally` has counted. in_label: see `Kernel`."""
        acted = counted.code >= days
        who, n = counted.who[acted], counted.n[acted]
        count = np.minimum(n, count_cap)
        cohorts, cohort = np.unique(counted.cohort, return_inverse=True)
        returned = np.zeros((len(counted.user), days), dtype=bool)
        returned[counted.who[~acted], counted.code[~acted]] = True
        if in_label is not None:
            returned = returned @ np.array(in_label)  # of flags: whether any of a label's parts has one
        return cls(
            cohorts=cohorts,
            cohort=cohort,
            anchor_day=counted.anchor_day,
            closed=counted.closed,
            retained=returned & _bits(counted.closed, days),
            # Exact, as all sums stay below 2**53.
            total=np.bincount(who, weights=count, minlength=len(counted.user)).astype(np.int64),
            who=who,
            action=counted.code[acted] - days,
            count=count,
            in_window=n.sum(),
            returns=counted.n[~acted].sum(),
            top_coded=(n > count_cap).sum(),
        )

    def measures(self, days: Sequence[int]) -> dict[str, Flags]:
        """What each user adds to the sums over users."""
        closed = _bits(self.closed, len(days))
        by_day = (flags[:, day] for day in range(len(days)) for flags in (closed, self.retained))
        return dict(zip(measures(days), [np.ones(len(closed), dtype=bool), *by_day], strict=True))


def _bits(numbers: Integers, width: int) -> Flags:
    return (numbers[:, None] >> np.arange(width)) & 1 == 1


def _summed(keys: dict[str, Integers], values: dict[str, NDArray[Any]]) -> dict[str, Integers]:
    """One entry for each combination of keys that occurs, with the sums of the values."""
    order, starts = _grouped(_packed([*keys.values()]))
    if not len(order):
        return dict.fromkeys([*keys, *values], order)
    first = order[starts]
    return {name: key[first] for name, key in keys.items()} | {
        name: np.add.reduceat(value[order].astype(np.int32), starts) for name, value in values.items()
    }


def _grouped(packed: Integers) -> tuple[Integers, Integers]:
    """An order that sorts the values, and where in it each new value begins."""
    order = np.argsort(packed)
    ordered = packed[order]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(new)


def _packed(columns: list[Integers]) -> Integers:
    """One integer a row that tells apart all combinations of values, each from 0 to below 2**31."""
    packed, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        values = int(column.max(initial=0)) + 1
        if size * values > 2**62:
            packed = np.unique(packed, return_inverse=True)[1]
            size = int(packed.max(initial=0)) + 1
        packed, size = packed * values + column, size * values
    return packed


def _arrays(rows: list[Integers]) -> pa.Array:
    ends = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, np.concatenate(rows))
