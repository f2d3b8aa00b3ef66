"""Damages small inputs and runs jobs on them: each must end in an answer, or in one sentence with status 2.

    .venv/bin/python benchmarks/fuzz_inputs.py --seconds 120 --seed 1

Bytes are flipped, cut out and doubled; cells become what files hold in the wild (nothing, NaN, far dates,
other scripts, very long ones); headers lose, double and rename columns. What ends otherwise (status 1, a
stack trace, an exception) is kept with its input, and the script ends with 1.
"""

import argparse
import io
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from firstday import cli
from firstday.errors import FirstdayError
from firstday.spark.session import get_session
from firstday.tables import check, data_errors, open_input, schemas
from firstday.tables.schemas import Contract, Field

CELLS = [
    "", " ", "NULL", "\\N", "NaN", "inf", "-inf", "1e999", "0x1p3", "1d", "007", "7.0", "-1", "9" * 20,
    "true", "2024-02-30", "0001-01-01T00:00:00Z", "99999-01-01T00:00:00Z", "2024-03-01 12:00:00 EST",
    "1709287205000", '"', '"open', "a,b", "a\nb", "a\r\nb", "\r", "\x00", "\ufeff", "é", "漢字", "😀",
    "'; DROP TABLE users; --", "${x}", "x" * 120_000,
]  # fmt: skip
START = pd.Timestamp("2024-03-01", tz="UTC")
FORMS = ("csv", "jsonl", "parquet")


def tables(draw: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Small inputs, all columns as text."""
    users = pd.DataFrame({"user_id": [f"u{n}" for n in range(40)]})
    users["anchored_at"] = START + pd.to_timedelta(draw.integers(0, 5 * 86_400, 40), unit="s")
    who = draw.integers(0, 40, 300)
    events = users.iloc[who].reset_index(drop=True).rename(columns={"anchored_at": "occurred_at"})
    events["occurred_at"] += pd.to_timedelta(draw.integers(0, 3 * 86_400, 300), unit="s")
    events["action"] = draw.choice(["browse", "like"], 300)
    events["event_id"] = [f"e{n}" for n in range(300)]
    units = pd.DataFrame({"user_id": range(80), "variant": draw.choice(["a", "b"], 80)})
    units["spend"] = draw.normal(10, 3, 80)
    votes = pd.DataFrame({"row_id": range(80)})
    for name in ("one", "two", "three"):
        votes[name] = draw.choice([-1, 0, 1, 1], 80)
    found = {"users": users, "events": events, "units": units, "votes": votes}
    for frame in found.values():
        for name in frame.columns:
            if isinstance(frame[name].dtype, pd.DatetimeTZDtype):
                frame[name] = frame[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
            frame[name] = frame[name].astype(str)
    return found


def damaged_cells(frame: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    """With some cells, or all of a column, as something else."""
    frame = frame.copy()
    for _ in range(draw.integers(1, 4)):
        name = draw.choice(frame.columns)
        rows = slice(None) if draw.random() < 0.2 else draw.integers(0, len(frame), draw.integers(1, 9))
        frame.loc[frame.index[rows], name] = str(draw.choice(CELLS))
    return frame


def damaged_header(frame: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    """With a column lost, doubled or renamed, or without rows."""
    names = list(frame.columns)
    at = int(draw.integers(0, len(names)))
    what = draw.integers(0, 5)
    if what == 0:
        return frame.drop(columns=names[at])
    if what == 1:
        return pd.concat([frame, frame[[names[at]]].add_suffix(str(draw.choice(["", " ", "_2"])))], axis=1)
    if what == 2:
        return frame.rename(
            columns={names[at]: str(draw.choice([*CELLS[:-1], names[at].upper(), "a.b", "`"]))}
        )
    return frame.iloc[:0] if what == 3 else frame[names[::-1]]


def damaged_bytes(data: bytes, draw: np.random.Generator) -> bytes:
    """With some bytes flipped, a piece cut out, or a piece there twice."""
    array = bytearray(data)
    for _ in range(draw.integers(1, 6)):
        at = int(draw.integers(0, max(1, len(array))))
        length = int(draw.integers(1, 40))
        what = draw.integers(0, 3)
        if what == 0 and array:
            array[at] = int(draw.integers(0, 256))
        elif what == 1:
            del array[at : at + length]
        else:
            array[at:at] = array[at : at + length]
    return bytes(array)


def written(frame: pd.DataFrame, file: Path) -> None:
    """As CSV, JSON Lines or Parquet, by the file's extension."""
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    elif file.suffix == ".jsonl":
        names = [str(name) for name in frame.columns]
        unique = frame.set_axis([f"{n}{names[:k].count(n) or ''}" for k, n in enumerate(names)], axis=1)
        unique.to_json(file, orient="records", lines=True)
    else:
        names = [str(name) for name in frame.columns]
        frame.set_axis([f"{n}{names[:k].count(n) or ''}" for k, n in enumerate(names)], axis=1).to_parquet(
            file
        )


def commands(files: dict[str, Path]) -> list[list[str]]:
    """The jobs that read these inputs."""
    return [
        ["discover", "--users", str(files["users"]), "--events", str(files["events"]), "--quick"],
        ["discover", "--events", str(files["events"]), "--quick", "--days", "1"],
        ["measure", "--units", str(files["units"]), "--control", "a", "--metric", "spend"],
        ["label", "--votes", str(files["votes"]), "--model-kind", "majority", "--votes-coding", "classes"],
    ]


def ended(argv: list[str]) -> tuple[int, str]:
    """The exit status of a command, and what it said."""
    said = io.StringIO()
    status = 0
    with redirect_stderr(said), redirect_stdout(said):
        try:
            cli.main(argv)
        except SystemExit as end:
            status = int(str(end.code))
    return status, said.getvalue()


def checked(files: dict[str, Path]) -> tuple[int, str]:
    """As `ended`, of reading and checking the inputs: most of what can go wrong, and quicker."""
    spark = get_session("firstday fuzz")
    number = Contract("units", (Field("user_id", "id"), Field("variant", "text"), Field("spend", "number")))
    contracts = {"users": schemas.users(), "events": schemas.events(), "units": number}
    try:
        for name, contract in contracts.items():
            with data_errors(name, str(files[name])):
                opened = open_input(spark, str(files[name]), name=name, time_zone="UTC")
                check(opened, contract, now=datetime.now(UTC)).good.collect()
    except FirstdayError as error:
        return error.exit_status, str(error)
    except Exception as error:  # noqa: BLE001 - what should not happen is what is looked for
        return 1, f"{type(error).__name__}: {error}"
    return 0, ""


def main() -> int:
    """Run until the time is over; returns how many ended as they should not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reading", action="store_true", help="read and check only, without whole jobs")
    told = parser.parse_args()
    draw = np.random.default_rng(told.seed)
    get_session("firstday fuzz")  # that it starts is none of the time
    end = time.monotonic() + told.seconds
    statuses: Counter[int] = Counter()
    failed = 0
    damages: list[Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]] = [
        damaged_cells,
        damaged_header,
    ]
    while time.monotonic() < end:
        folder = Path(tempfile.mkdtemp(prefix="firstday-fuzz-"))
        files = {}
        clean = tables(draw)
        for name, frame in clean.items():
            files[name] = folder / f"{name}.{draw.choice(FORMS)}"
            victim = draw.random() < 0.6
            written(damages[int(draw.integers(0, 2))](frame, draw) if victim else frame, files[name])
            if draw.random() < 0.4:
                files[name].write_bytes(damaged_bytes(files[name].read_bytes(), draw))
        argv = commands(files)[int(draw.integers(0, 4))]
        status, said = checked(files) if told.reading else ended([*argv, "--out", str(folder / "out")])
        statuses[status] += 1
        if status in (0, 2) and "Traceback" not in said and "stack trace" not in said:
            shutil.rmtree(folder)
            continue
        failed += 1
        print(f"status {status}: {' '.join(argv)}\n  kept in {folder}\n  {said[-1_500:]}", flush=True)
    print(f"{sum(statuses.values())} runs, by status {dict(statuses)}; {failed} ended as none should")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
