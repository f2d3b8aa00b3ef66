"""Settings of what `firstday train` and `firstday recommend` read: the tables of who sees contents."""

from typing import Literal, get_args

from pydantic import Field

from firstday.settings.kinds import Location, Names, Settings, Share, TimeZone

Table = Literal[
    "customers",
    "categories",
    "eligibility",
    "contents",
    "holdings",
    "transactions",
    "preferences",
    "impressions",
    "reactions",
    "events",
]
TABLES: tuple[Table, ...] = get_args(Table)


class BankSettings(Settings):
    """Where the tables are, and which of the customers' columns say what customers are like."""

    tables: Location | None = Field(
        None,
        description="Folder or catalog.schema with the tables customers, categories, eligibility, contents, "
        "holdings, transactions, preferences, impressions, reactions and events, as far as there are.",
    )
    table: dict[Table, Location] = Field(
        {}, description="Tables that are elsewhere, as in --set table.contents=cms.banners."
    )
    segment: Names = Field((), description="Columns of customers whose values have click rates of their own.")
    profile: Names = Field(
        (), description="Columns of customers to find similar ones by, the most telling first."
    )
    actions: Names = Field(
        (), description="App actions to count as features; * takes more than one, - leaves out."
    )
    max_bad_share: Share = Field(0.05, description="Stop when a larger share of an input's rows is bad.")
    input_time_zone: TimeZone | None = Field(
        None, description="Zone of input timestamps that carry none; without it such input is refused."
    )

    def address(self, name: Table) -> str | None:
        """Where a table is to be looked for; None where nothing says."""
        if name in self.table:
            return self.table[name]
        if self.tables is None:
            return None
        slash = "/" in self.tables or "." not in self.tables
        return f"{self.tables.rstrip('/')}{'/' if slash else '.'}{name}"
