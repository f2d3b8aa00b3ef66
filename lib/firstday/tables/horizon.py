"""Up to when a log is complete: one clock that runs ahead must not close days that are not over."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from statistics import median

from firstday.tables.check import Checked

EMPTY = 0.01  # of the median date's events: a date with fewer counts as empty
GAP = 7  # empty dates in a row that part two stretches
LEAST = 0.01  # of the log: a stretch with less says nothing of its end


@dataclass(frozen=True)
class Horizon:
    """The log is complete up to `at`. `beyond`: rows later than that; `latest`: the last of them."""

    at: datetime
    beyond: int
    latest: datetime

    @property
    def note(self) -> str | None:
        """What a reader must know; None where nothing lies beyond."""
        if not self.beyond:
            return None
        rows = "1 row of the log lies" if self.beyond == 1 else f"{self.beyond:,} rows of the log lie"
        return (
            f"The log is taken as complete up to {self.at:%Y-%m-%d %H:%M} UTC: {rows} beyond, up to "
            f"{self.latest:%Y-%m-%d %H:%M} UTC, on dates with next to nothing, as of clocks that run ahead. "
            "--horizon says otherwise."
        )


def complete_until(log: Iterable[Checked]) -> Horizon | None:
    """Where the log ends, all its tables together; None without rows.

    Dates (UTC) with under EMPTY of the median date's rows count as empty. GAP empty dates in a row part
    stretches. The log ends with the last row, of a date that is not empty, of the last stretch that has LEAST
    of all rows.
    """
    rows: dict[date, int] = defaultdict(int)
    latest: dict[date, datetime] = {}
    for checked in log:
        for day, (count, last) in checked.profile.dates.items():
            rows[day] += count
            latest[day] = max(last, latest.get(day, last))
    if not rows:
        return None
    enough = EMPTY * median(rows.values())
    full = sorted(day for day, count in rows.items() if count >= enough)
    starts = [full[0], *(day for before, day in pairwise(full) if (day - before).days > GAP)]
    total = sum(rows.values())
    for start, end in reversed(list(zip(starts, [*starts[1:], date.max], strict=True))):
        inside = [day for day in rows if start <= day < end]
        if sum(rows[day] for day in inside) < LEAST * total and start != starts[0]:
            continue
        end_of_log = max(day for day in inside if rows[day] >= enough)
        beyond = sum(count for day, count in rows.items() if day > end_of_log)
        return Horizon(latest[end_of_log], beyond, max(latest.values()))
    raise AssertionError("the first stretch always counts")
