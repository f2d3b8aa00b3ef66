"""What a skewed partition does to the kernel that holds it: memory and time by its rows and its users.

`python -m benchmarks.skew`. Each partition is counted in a process of its own, fed as Spark feeds it, so that
the peak is its own. A row is two 64-bit integers.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa

from firstday.moments.kernel import EPOCH_DATE, Kernel
from firstday.moments.tally import COHORT, DAY_ZERO, FIRST_KEY

ACTIONS, BATCH = 40, 10_000  # Spark's default of rows in an Arrow batch
ANCHOR_DAY = (date(2026, 1, 1) - EPOCH_DATE).days
PLANNED = 1_000_000  # rows
CASES = {  # rows, users, whether there is a bot
    "as planned": (PLANNED, 15_000, False),
    "ten times the rows and the users": (10_000_000, 150_000, False),
    "ten times the rows, what is more is of one user": (10_000_000, 15_000, True),
    "forty times the rows, what is more is of one user": (40_000_000, 15_000, True),
}


def batches(rows: int, users: int, bot: bool) -> Iterator[pa.RecordBatch]:
    """The users' own rows, then events; with a bot, those beyond PLANNED are of one user."""
    draw = np.random.default_rng(1)
    ids = draw.integers(-(2**62), 2**62, users)
    cohort = COHORT + 1 + np.arange(users) % 25
    about = np.full(users, -1 - ((ANCHOR_DAY + DAY_ZERO) << 32) - 1)
    for own in (cohort, about):
        yield pa.RecordBatch.from_arrays([pa.array(ids), pa.array(own)], ["user", "what"])
    for start in range(0, rows, BATCH):
        who = ids[draw.integers(0, users, BATCH)]
        if bot and start >= PLANNED:
            who = np.full(BATCH, ids[0])
        what = np.where(draw.random(BATCH) < 0.3, 0, FIRST_KEY + draw.integers(0, ACTIONS, BATCH))
        yield pa.RecordBatch.from_arrays([pa.array(who), pa.array(what)], ["user", "what"])


def peak_mb() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def count(case: str) -> None:
    """Count one partition and print its line of the table."""
    rows, users, bot = CASES[case]
    names = [f"action_{number:02}" for number in range(ACTIONS)]
    kernel = Kernel(
        dict(zip(names, range(FIRST_KEY, FIRST_KEY + ACTIONS), strict=True)),
        {date(2026, 1, 1): tuple(names)},
        (1,),
        10_000,
    )
    before, start = peak_mb(), time.perf_counter()
    for _ in kernel(batches(rows, users, bot)):
        pass
    seconds = time.perf_counter() - start
    print(f"| {case} | {rows:,} | {users:,} | {peak_mb() - before:,.0f} | {seconds / rows * 1e6:.2f} |")


def main() -> None:
    """All cases, one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, help="only this one, in this process")
    case = parser.parse_args().case
    if case:
        count(case)
        return
    print("| partition | rows | users | MB more at the peak | seconds a million rows |", flush=True)
    print("| --- | --- | --- | --- | --- |", flush=True)
    for name in CASES:
        subprocess.run([sys.executable, "-m", "benchmarks.skew", "--case", name], check=True)


if __name__ == "__main__":
    main()
