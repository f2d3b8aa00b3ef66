"""The two parts of the anchor dates: the earlier ones to choose on, the later ones to report on."""

from dataclasses import dataclass
from datetime import date

import pandas as pd


@dataclass(frozen=True)
class Part:
    """Users whose label is known, on how many anchor dates, from the first to the last (None: of none)."""

    users: int
    dates: int
    first: date | None
    last: date | None

    @classmethod
    def of(cls, known: pd.Series) -> "Part":
        """known: users by anchor date, in the order of the dates."""
        if known.empty:
            return cls(0, 0, None, None)
        return cls(int(known.sum()), len(known), known.index[0], known.index[-1])


@dataclass(frozen=True)
class Split:
    """choosing: the dates that the choice is made on; later: those that had no part in it."""

    choosing: Part
    later: Part

    @property
    def until(self) -> date | None:
        """The last anchor date to choose on; None where nobody's label is known."""
        return self.choosing.last

    @property
    def users(self) -> int:
        return self.choosing.users + self.later.users

    @property
    def dates(self) -> int:
        return self.choosing.dates + self.later.dates

    def figures(self) -> dict[str, object]:
        """As columns of the table `hypotheses`."""
        return {
            f"{name}_{figure}": getattr(part, figure)
            for name, part in (("choosing", self.choosing), ("later", self.later))
            for figure in ("users", "dates", "first", "last")
        }


def split(cohorts: pd.DataFrame, day: int, share: float) -> Split:
    """The split at the first anchor date by which `share` of the users have come whose Dn is known; where
    that is the last date of several, at the one before, so that something is left to report on.

    cohorts: anchor_date and matured_dn, in any order. Counted by users and not by dates: where an app grows,
    most of its users come on the last dates.
    """
    known = cohorts.set_index("anchor_date")[f"matured_d{day}"].sort_index()
    known = known[known > 0]
    come = known.cumsum()
    reached = int((come < share * known.sum()).sum()) + 1
    chosen = min(reached, max(len(known) - 1, 1))
    return Split(Part.of(known.iloc[:chosen]), Part.of(known.iloc[chosen:]))
