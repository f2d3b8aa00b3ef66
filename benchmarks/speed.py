"""How fast the counting is, against others on the same cores, and how the cost grows.

`python -m benchmarks.speed [--events 20000000] [--repeats 3]` makes the log, runs every side as a process of
its own, one after another and in turns, checks that all made the same histogram, and prints Markdown.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

from benchmarks import growth, rivals, world

EVENTS_A_USER = 60
ROUNDS = 2  # each side is started so often, in turns; the machine's moods then meet all of them
HISTOGRAM = """
    select anchor_date, country, gender, channel, action, cast(count as bigint), cast(total_level as bigint),
        cast(other_level as bigint), cast(users as bigint), {sums}
    from read_parquet('{file}')
"""


def side(module: str, *arguments: object) -> list[float]:
    """The seconds of each repeat of one side, in a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def same_histogram(files: list[Path]) -> int:
    """Rows of the histogram; raises where two differ in any row."""
    sums = ", ".join(f"cast({kind}_d{d} as bigint)" for d in rivals.DAYS for kind in ("matured", "retained"))
    first, *others = (
        HISTOGRAM.format(file=f"{file}/*.parquet" if file.is_dir() else file, sums=sums) for file in files
    )
    for other in others:
        for one, two in ((first, other), (other, first)):
            found = duckdb.execute(f"select count(*) from ({one} except all {two})").fetchone()
            if found is None or found[0]:
                raise AssertionError(f"{found} rows differ")
    rows = duckdb.execute(f"select count(*) from ({first})").fetchone()
    return int(rows[0]) if rows else 0


def full_run(folder: Path, repeats: int) -> str:
    """The table of the full count, with the ratio of medians to DuckDB's."""
    made = folder / "world"
    outs = {name: folder / name for name in ("firstday", "duckdb", "polars")}
    warm: dict[str, list[float]] = {name: [] for name in (*outs, "query")}
    cold: dict[str, list[float]] = {name: [] for name in warm}
    for _ in range(ROUNDS):
        for name in warm:
            if name in rivals.RUN:
                seconds = side("benchmarks.rivals", name, made, outs[name], repeats)
            elif name == "query":
                seconds = side("benchmarks.spark_sides", "query", made, "-", repeats)
            else:
                seconds = side("benchmarks.spark_sides", "count", made, outs[name], repeats + 1)
            cold[name].append(seconds[0])
            warm[name] += seconds[1:]
    rows = same_histogram(list(outs.values()))
    base = statistics.median(warm["duckdb"])
    lines = [
        f"{rows:,} rows of histogram, the same from all three, to the last user.",
        "",
        "| side | first time, s | later, median (least), s | ratio to DuckDB |",
        "| --- | --- | --- | --- |",
    ]
    titles = {"query": "one Spark query, for one candidate and one day"}
    for name, seconds in warm.items():
        median = statistics.median(seconds)
        lines.append(
            f"| {titles.get(name, name)} | {statistics.median(cold[name]):.1f} | "
            f"{median:.1f} ({min(seconds):.1f}) | {median / base:.2f} |"
        )
    even = statistics.median(warm["firstday"]) / statistics.median(warm["query"])
    lines += ["", f"The full count costs as much as {even:.1f} such queries, and answers every candidate."]
    return "\n".join(lines)


def main() -> None:
    """Make the log, run all sides, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="firstday-speed-") as name:
        folder = Path(name)
        world.make(folder / "world", asked.events // EVENTS_A_USER, asked.events)
        print(f"## Counting {asked.events:,} events\n\n{full_run(folder, asked.repeats)}\n", flush=True)
        for title, part in growth.PARTS.items():
            told = subprocess.run(
                [sys.executable, "-m", "benchmarks.growth", part, str(folder / "world")],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            print(f"## {title}\n\n{told.stdout}", flush=True)


if __name__ == "__main__":
    main()
