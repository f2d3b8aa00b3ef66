"""What is in the folder of an output: tables, files that are being written, and whether two hold the same."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.tables.independent import rows, run_ids

SHARED = {"runs", "attempts", "quarantine"}
ROUNDING = 1e-9  # relative: sums of fractions depend on the order of partitions


def tables(out: Path) -> set[str]:
    """Names of the tables that a job has written, without the SHARED ones."""
    return {log.parent.name for log in out.glob("*/_delta_log")} - SHARED


def begun_file(out: Path, name: str) -> Path | None:
    """A file of rows that somebody has begun to write to the table; None if there is none yet."""
    return next((out / name).glob("**/*.parquet"), None)


def has_rows(out: Path, name: str) -> bool:
    """Whether rows of the table are committed, published or not."""
    return any((out / name / "_delta_log").glob("*.json")) and len(rows(out, name)) > 0


def same_tables(out: Path, expected: Path, *, ignored: str | None = None, apart: str | None = None) -> None:
    """Both have the same tables with the same rows, and nothing but one run's; fractions within ROUNDING.

    ignored: a column that tells the runs apart. apart: a table that the caller compares.
    """
    assert tables(out) == tables(expected) != set()
    for name in sorted(tables(out)):
        assert len(run_ids(out, name)) <= 1, name
        if name == apart:
            continue
        left_out = ["run_id", *([ignored] if ignored else [])]
        one, other = (
            _ordered(rows(where, name).drop(columns=left_out, errors="ignore")) for where in (out, expected)
        )
        pd.testing.assert_frame_equal(one, other, rtol=ROUNDING, atol=ROUNDING, obj=name)


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Sorted by all columns but fractions, which may differ in the last digit."""
    for column in frame.select_dtypes("object").columns:
        frame[column] = [list(value) if isinstance(value, np.ndarray) else value for value in frame[column]]
    keys = [name for name in frame.columns if not _fractions(frame[name])]
    order = frame[keys].map(repr).sort_values(keys, kind="stable").index if keys else frame.index
    return frame.loc[order].reset_index(drop=True)


def _fractions(column: pd.Series) -> bool:
    return column.dtype.kind == "f" or any(
        isinstance(value, float)
        or (isinstance(value, list) and any(isinstance(item, float) for item in value))
        for value in column.head(100)
    )
