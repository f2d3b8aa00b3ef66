"""An output that is kept in memory, for what does not depend on how results are stored."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Self

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from firstday.tables import Checked, Run
from firstday.tables.check import refuse_beyond


class Memory:
    """Stands for `firstday.tables.Output`: one run, of which nothing is published before."""

    base = None

    def __init__(self, schemas: Mapping[str, StructType], run_id: str) -> None:
        self.schemas = schemas
        self.run_id = run_id
        self.frames: dict[str, DataFrame] = {}
        self.files: dict[str, str] = {}
        self.horizon: datetime | None = None
        self.bad: list[tuple[str, str]] = []  # table, reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def quarantine(self, *inputs: Checked, max_bad_share: float) -> None:
        for checked in inputs:
            self.bad += [(row["table"], row["reason"]) for row in checked.bad.collect()]
            refuse_beyond(checked, max_bad_share)

    def write(self, name: str, frame: DataFrame) -> None:
        found, wanted = (
            {item.name: item.dataType for item in each} for each in (frame.schema, self.schemas[name])
        )
        assert found == wanted, name
        self.frames[name] = frame.localCheckpoint()

    def written(self, name: str) -> DataFrame:
        return self.frames[name]

    def publish(self, *, horizon: datetime, **_: object) -> Run:
        assert set(self.frames) == set(self.schemas)
        self.horizon = horizon
        now = datetime.now(UTC)
        return Run(self.run_id, "discover", 1, now, now, horizon)

    def write_file(self, name: str, content: bytes) -> None:
        self.files[name] = content.decode()

    def table(self, name: str) -> pd.DataFrame:
        return self.frames[name].toPandas()


def opened(
    spark: SparkSession, out: str, *, job: str, run_id: str, schemas: Mapping[str, StructType]
) -> Memory:
    """In the place of `firstday.tables.open_output`."""
    return Memory(schemas, run_id)
