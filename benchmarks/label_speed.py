"""How fast `firstday label` is on many rows, against Snorkel, and what fitting costs when votes repeat.

`python -m benchmarks.label_speed [--rows 10000000] [--functions 10]` simulates votes, runs both sides as
processes of their own, in turns, and prints Markdown. Ours is the whole job, from Parquet to tables, Python's
and Spark's start included, and beside a rival the second of two jobs in one session; Snorkel's is fitting and
predicting alone, on votes that are in memory already.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import label_rivals
from benchmarks.label_rivals import ABSTAIN
from benchmarks.memory import peak_memory
from firstday.labels.models import fitting
from firstday.labels.patterns import Patterns

SEED = 7
CLASSES = 2
SHARE = 0.3  # of class 1
ACCURACIES, PROPENSITIES = (0.6, 0.9), (0.3, 0.7)
CHUNK = 1_000_000  # rows that are made at once
SAMPLE = 1_000_000  # rows whose patterns are fitted again with more rows
START, END = "from the start to the first step", "from the last step to the end"
SESSION = """
import sys
from firstday import cli
for out in sys.argv[2:]:
    cli.main(["label", "--votes", sys.argv[1], "--out", out])
"""


@dataclass(frozen=True)
class Run:
    """What one run of a side took. steps: seconds by the job's own steps."""

    seconds: float
    peak_mb: float
    steps: dict[str, float]

    @property
    def working(self) -> dict[str, float]:
        """The steps but for starting, publishing and ending, which take as long for few rows."""
        return {name: seconds for name, seconds in self.steps.items() if name not in (START, END)}


def make(folder: Path, rows: int, functions: int) -> None:
    """The same votes as votes.parquet, with row ids, and as votes.npy; functions vote for both classes."""
    random = np.random.default_rng(SEED)
    accuracy = np.linspace(*ACCURACIES, functions)
    propensity = random.permutation(np.linspace(*PROPENSITIES, functions))
    names = [f"lf_{number}" for number in range(functions)]
    schema = pa.schema([("row_id", pa.string()), *((name, pa.int8()) for name in names)])
    kept = np.lib.format.open_memmap(folder / "votes.npy", "w+", np.int8, (rows, functions))
    with pq.ParquetWriter(folder / "votes.parquet", schema) as writer:
        for start in range(0, rows, CHUNK):
            many = min(CHUNK, rows - start)
            truth = (random.random((many, 1)) < SHARE).astype(np.int8)
            wrong = random.random((many, functions)) >= accuracy
            votes = np.where(random.random((many, functions)) < propensity, truth ^ wrong, ABSTAIN)
            kept[start : start + many] = votes
            number = pc.cast(pa.array(np.arange(start, start + many) + 1), pa.string())
            ids = pc.binary_join_element_wise("row-", pc.utf8_lpad(number, 7, "0"), "")
            writer.write_table(pa.table([ids, *kept[start : start + many].T.copy()], schema))
    kept.flush()


def job(folder: Path, rows: int, number: int) -> Run:
    """The whole job on votes.parquet; raises where it does not label every row."""
    out = folder / f"out{number}"
    firstday = str(Path(sys.executable).with_name("firstday"))
    command = [firstday, "label", "--votes", str(folder / "votes.parquet"), "--out", str(out)]
    begun = time.time()
    seconds, peak_mb, told = _ended(command, folder, f"log{number}")
    _require_all(out, rows)
    ends = [datetime.fromisoformat(step["time"]).timestamp() - begun for step in told]
    steps = {START: ends[0] - told[0]["seconds"]}
    steps |= {step["message"]: step["seconds"] for step in told}
    steps[END] = seconds - ends[-1]
    return Run(seconds, peak_mb, steps)


def again(folder: Path, rows: int, number: int) -> Run:
    """The second of two jobs in one Spark session, from votes to tables: Java has compiled what it needs."""
    outs = [folder / f"first{number}", folder / f"again{number}"]
    command = [sys.executable, "-c", SESSION, str(folder / "votes.parquet"), *map(str, outs)]
    _, peak_mb, told = _ended(command, folder, f"log-again{number}")
    _require_all(outs[1], rows)
    steps = {step["message"]: step["seconds"] for step in told if step["run_id"] == told[-1]["run_id"]}
    return Run(sum(steps.values()), peak_mb, steps)


def _ended(command: list[str], folder: Path, log: str) -> tuple[float, float, list[dict[str, Any]]]:
    """Seconds and peak memory of a process, and the steps that it has told of."""
    tracking = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    with (folder / log).open("w") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, cwd=folder, env={**os.environ, **tracking}
        )
        with peak_memory(process.pid) as peak:
            status = process.wait()
            seconds = time.perf_counter() - start
    lines = (folder / log).read_text().splitlines()
    if status:
        raise RuntimeError("\n".join(lines[-20:]))
    told = [json.loads(line) for line in lines if line.startswith("{") and '"seconds"' in line]
    return seconds, peak.megabytes, told


def _require_all(out: Path, rows: int) -> None:
    files = f"{out}/soft_labels/**/*.parquet"
    labelled = duckdb.execute("select count(*) from read_parquet(?)", [files]).fetchone()
    assert labelled == (rows,), labelled


def snorkel(model: str, folder: Path) -> Run:
    """Fitting and predicting only."""
    told = json.loads(label_rivals.run("time", model, folder / "votes.npy"))
    return Run(told["seconds"], told["peak_mb"], {})


def sides(folder: Path, rows: int, model: str | None, rounds: int) -> str:
    """Both in turns, or ours alone: seconds, ratio and memory; then our steps."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for number in range(rounds):
        whole = job(folder, rows, number)
        runs["firstday label, the whole job"].append(whole)
        runs["of it, from votes to tables"].append(replace(whole, seconds=sum(whole.working.values())))
        if model:
            runs["the same, in a session that has labelled before"].append(again(folder, rows, number))
            runs[f"{model}, fit and predict_proba"].append(snorkel(model, folder))
    ours, *_, last = runs.values()
    base = statistics.median(run.seconds for run in last)
    lines = [
        f"| side | seconds | median | ratio to {model or 'that'} | peak memory, MB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in runs.items():
        median = statistics.median(run.seconds for run in found)
        each = ", ".join(f"{run.seconds:.1f}" for run in found)
        peak = max(run.peak_mb for run in found)
        lines.append(f"| {name} | {each} | {median:.1f} | {median / base:.2f} | {peak:,.0f} |")
    lines += ["", "| step of the job | median seconds |", "| --- | --- |"]
    for name in ours[0].steps:
        lines.append(f"| {name} | {statistics.median(run.steps[name] for run in ours):.1f} |")
    return "\n".join(lines)


def repeated(folder: Path, times: int, rounds: int) -> str:
    """Seconds of fitting the same patterns, each standing for its rows and for `times` as many, in turns."""
    votes = np.load(folder / "votes.npy", mmap_mode="r")[:SAMPLE]
    patterns = Patterns.of(votes, CLASSES)
    lines = [
        f"{len(patterns.rows):,} patterns of {len(votes):,} rows.",
        "",
        f"| model | seconds | with the votes {times} times | ratio | steps |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in fitting.KINDS:
        seconds: dict[int, list[float]] = {1: [], times: []}
        steps: dict[int, int] = {}
        for _ in range(rounds):
            for many, taken in seconds.items():
                counted = replace(patterns, rows=patterns.rows * many)  # a new one: the old one keeps sums
                start = time.perf_counter()
                steps[many] = fitting.fit(counted, kind).iterations
                taken.append(time.perf_counter() - start)
        one, more = (statistics.median(taken) for taken in seconds.values())
        told = " and ".join(str(number) for number in steps.values())
        lines.append(f"| {kind} | {one:.2f} | {more:.2f} | {more / one:.2f} | {told} |")
    return "\n".join(lines)


def main() -> None:
    """Make the votes, run all, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--functions", type=int, default=10)
    parser.add_argument("--rival", default="snorkel-100", choices=["snorkel-100", "snorkel-500"])
    parser.add_argument("--alone", action="store_true", help="no rival and no repeated votes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat-votes", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="firstday-label-speed-") as name:
        folder = Path(name)
        if not asked.alone:
            label_rivals.environment()
        make(folder, asked.rows, asked.functions)
        title = f"## Labelling {asked.rows:,} rows by {asked.functions} functions"
        rival = None if asked.alone else asked.rival
        print(f"{title}\n\n{sides(folder, asked.rows, rival, asked.rounds)}\n", flush=True)
        if not asked.alone:
            found = repeated(folder, asked.repeat_votes, asked.rounds)
            print(f"## The same votes repeated\n\n{found}", flush=True)


if __name__ == "__main__":
    main()
