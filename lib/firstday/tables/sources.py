"""Where a stage reads from: addresses, or DataFrames and results handed over in their place."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from firstday.errors import DataError
from firstday.tables.check import Checked, refuse_beyond
from firstday.tables.delta import Run
from firstday.tables.published import find_table, open_table, read_published
from firstday.tables.read import Input, Reading, of_frame, open_input
from firstday.tables.write import Output

Tables = Mapping[str, DataFrame]


class Sources:
    """The inputs of one run of a stage.

    given: by the address that stands for it in the settings, a DataFrame, the tables of an earlier result by
    name, or what else is taken instead of a file. output: where the run's results go, and its bad rows before
    that; without one there is no earlier run. registered: as `tracking.registered`. failing: is given the
    error before a process has to be ended.
    """

    def __init__(
        self,
        spark: SparkSession,
        *,
        given: Mapping[str, Any] | None = None,
        output: Output | None = None,
        registered: Callable[[str, str, str], Any] = lambda *_: None,
        failing: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self.spark = spark
        self.registered = registered
        self.failing = failing
        self.given = dict(given or {})
        self.output = output
        self.caches = ExitStack()  # of what was handed over, released with the result

    def open(self, address: str, name: str, reading: Reading) -> Input:
        """The input `name` at `address`; see `open_input`."""
        return self._handed_over(address, name, name, reading) or open_input(
            self.spark, address, name=name, reading=reading
        )

    def open_table(self, address: str, table: str, name: str, reading: Reading) -> Input:
        """The same, or what is published as `table` where the address is an output of ours."""
        return self._handed_over(address, table, name, reading) or open_table(
            self.spark, address, table, name=name, reading=reading
        )

    def find_table(self, address: str, table: str, reading: Reading) -> Input | None:
        """As `open_table`, or None where there is nothing."""
        return self._handed_over(address, table, table, reading) or find_table(
            self.spark, address, table, reading=reading
        )

    def published(self, address: str, table: str) -> DataFrame:
        """The rows of `table` of the run that is published at `address`, without run_id."""
        given = self.given.get(address)
        if given is None:
            return read_published(self.spark, address, table)
        return given if isinstance(given, DataFrame) else _table_of(given, table, address)

    def quarantine(self, *checked: Checked, max_bad_share: float) -> None:
        """Keep the inputs' bad rows in the output, if there is one. Raises DataError where one has too many,
        without an output with the rows.
        """
        if self.output is not None:
            self.output.quarantine(*checked, max_bad_share=max_bad_share)
            return
        for each in checked:
            try:
                refuse_beyond(each, max_bad_share)
            except DataError as error:
                error.quarantine = each.bad
                raise

    @property
    def base(self) -> Run | None:
        """The run that was published in the output when this one began."""
        return self.output.base if self.output is not None else None

    def location(self, table: str) -> str:
        """Where a table of the output is; "" without one."""
        return self.output.location(table) if self.output is not None else ""

    def previous(self, table: str) -> DataFrame | None:
        """That run's rows of a table, if any."""
        return self.output.previous(table) if self.output is not None else None

    def _handed_over(self, address: str, table: str, name: str, reading: Reading) -> Input | None:
        given = self.given.get(address)
        if given is None:
            return None
        frame = given if isinstance(given, DataFrame) else _table_of(given, table, address)
        return of_frame(self.spark, frame, address, name, reading)


def _table_of(tables: Tables, table: str, address: str) -> DataFrame:
    if table in tables:
        return tables[table]
    raise DataError(
        f"{address} must hold the table {table}",
        value=sorted(tables),
        next_step="give the result of another stage, or the table itself",
    )
