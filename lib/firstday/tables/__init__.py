"""The only reader and writer of tables: contracts, quarantine, idempotent Delta writes."""

from firstday.tables.check import Checked, Profile, check, latest_instant
from firstday.tables.delta import Run
from firstday.tables.faults import data_errors
from firstday.tables.published import find_table, open_table, read_published
from firstday.tables.read import Input, open_input
from firstday.tables.schemas import column
from firstday.tables.sources import Sources
from firstday.tables.write import Output, open_output

__all__ = [
    "Checked",
    "Input",
    "Output",
    "Profile",
    "Run",
    "Sources",
    "check",
    "column",
    "data_errors",
    "find_table",
    "latest_instant",
    "open_input",
    "open_output",
    "open_table",
    "read_published",
]
