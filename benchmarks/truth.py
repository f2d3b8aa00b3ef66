"""How often the whole job finds what was planted in simulated apps, and how often it finds what was not.

`python -m benchmarks.truth [--worlds 20]`. Each world is simulated, written, read and judged as a user's is.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from firstday.jobs import discover, simulate

from firstday.settings import DiscoverSettings, SimulateSettings
from firstday.spark.session import get_session
from firstday.tables import read_published

EFFECTS = (0.6, 0.8, 1.1)
SEGMENTS = ("country", "gender", "channel")


@dataclass(frozen=True)
class Result:
    """What was planted (None: nothing), what was named, and what phi alone would have named."""

    effect: float
    common_shocks: bool
    planted: tuple[str, int] | None
    named: tuple[str, int] | None
    highest_phi: tuple[str, int]


def worlds(number: int, effects: tuple[float, ...]) -> Iterator[SimulateSettings]:
    """Half of them with dates that move everybody; seeds from 1,000."""
    for place in range(number):
        yield SimulateSettings(
            out="world",
            effect=effects[place % len(effects)],
            common_shocks=place % 2 == 0,
            seed=1_000 + 10 * place + (effects == (0.0,)),
        )


def judge(world: SimulateSettings, folder: Path) -> Result:
    """One world from simulation to hypothesis."""
    spark = get_session("firstday truth")
    source, out = str(folder / "world"), str(folder / "out")
    simulate.run(world.model_copy(update={"out": source}), "world")
    settings = DiscoverSettings(
        users=f"{source}/users", events=f"{source}/events", out=out, segments=SEGMENTS, days=(1,), quick=True
    )
    discover.run(settings, "judged")
    truth = read_published(spark, source, "truth").first()
    answer = read_published(spark, out, "hypotheses").first()
    moments = read_published(spark, out, "moments").where("segment = 'all' AND phi IS NOT NULL")
    best = moments.orderBy(moments["phi"].desc()).first()
    assert truth is not None
    assert answer is not None
    assert best is not None
    return Result(
        world.effect,
        world.common_shocks,
        (truth["action"], truth["threshold"]) if truth["action"] else None,
        (answer["action"], answer["threshold"]) if answer["verdict"] == "moment" else None,
        (best["action"], best["threshold"]),
    )


def table(results: list[Result]) -> str:
    """Markdown: how many worlds of each kind, and in how many each answer was given."""
    lines = [
        "| effect | dates move everybody | worlds "
        "| action named | threshold too | another named | none | phi alone |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    kinds = sorted({(result.effect, result.common_shocks) for result in results})
    for effect, shocks in kinds:
        of_kind = [r for r in results if (r.effect, r.common_shocks) == (effect, shocks)]
        action = sum(bool(r.named and r.planted and r.named[0] == r.planted[0]) for r in of_kind)
        exact = sum(bool(r.named and r.named == r.planted) for r in of_kind)
        none = sum(r.named is None for r in of_kind)
        phi = sum(bool(r.planted and r.highest_phi[0] == r.planted[0]) for r in of_kind)
        cells = (
            effect,
            "yes" if shocks else "no",
            len(of_kind),
            action,
            exact,
            len(of_kind) - action - none,
            none,
            phi,
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    """Judge the worlds and print the table, with the misses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20, help="with an effect, and as many without")
    number = parser.parse_args().worlds
    results = []
    for world in [*worlds(number, EFFECTS), *worlds(number, (0.0,))]:
        with tempfile.TemporaryDirectory() as folder:
            result = judge(world, Path(folder))
        results.append(result)
        named = result.named[0] if result.named else None
        planted = result.planted[0] if result.planted else None
        print(
            f"seed {world.seed}: planted {result.planted}, named {result.named}",
            "" if named == planted else "MISS",
            flush=True,
        )
    print(table(results))


if __name__ == "__main__":
    main()
