"""An output's tables as a reader without Spark has them: no job of it, and an answer that owes it nothing."""

import json
from pathlib import Path

import deltalake
import pandas as pd

from firstday.tables.delta import Store


def rows(out: Path | str, name: str) -> pd.DataFrame:
    """All rows, with run_id, as a reader sees them that does not ask which run is published."""
    return deltalake.DeltaTable(str(Path(out, name))).to_pyarrow_table().to_pandas()


def run_ids(out: Path | str, name: str) -> set[str]:
    """Of all rows."""
    return set(rows(out, name)["run_id"])


def published(out: Path | str, name: str) -> pd.DataFrame:
    """The rows of the latest published run that wrote the table, without run_id."""
    runs = rows(out, "runs").sort_values("sequence")
    latest = runs.loc[[name in json.loads(written) for written in runs["row_counts"]], "run_id"].iloc[-1]
    found = rows(out, name)
    return found.loc[found["run_id"] == latest].drop(columns="run_id")


def folder(store: Store) -> str:
    """Where the tables of an output lie, also those of a schema."""
    if store.is_folder:
        return store.out
    return store.spark.catalog.getDatabase(store.out).locationUri.removeprefix("file:")
