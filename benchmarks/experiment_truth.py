"""How often the experiments' methods are right, over thousands of simulated experiments with a known effect.

`python -m benchmarks.experiment_truth [--experiments 5000] [--only WORD]` prints a Markdown table. To add a
method, yield its `Simulation`s in `simulations`.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.experiment_worlds import (
    Arm,
    clicks,
    habits,
    heights,
    minutes,
    retained,
    two_arms,
)
from firstday.experiments.covariate import adjusted_difference
from firstday.experiments.difference import arm_value, difference, ratio, unit_variance, zero_one
from firstday.experiments.sums import Sums
from firstday.stats.estimate import Estimate
from firstday.stats.power import detectable_effect

ALPHA = 0.05
POWER = 0.8
BATCH = 250  # experiments whose units are in memory together
PILOT = 500_000  # units, from which the effect that POWER is planned for is found

Method = Callable[[Sums, Sums], Estimate]


@dataclass(frozen=True)
class Simulation:
    """run(rng, experiments, effect) draws experiments with that true effect and measures them.

    effect: what power and coverage are measured at; planned_power: what the plan says it is found with, None
    where nothing was planned. Significant is what has a p_value below ALPHA.
    """

    metric: str
    method: str
    run: Callable[[np.random.Generator, int, float], Estimate]
    effect: float
    planned_power: float | None = POWER


@dataclass(frozen=True)
class Result:
    """Shares of the simulated experiments."""

    simulation: Simulation
    experiments: int
    false_positives: float
    coverage: float
    power: float


def judge(simulation: Simulation, experiments: int, seed: int) -> Result:
    """Half of the work without an effect, half with it."""
    rng = np.random.default_rng(seed)
    batches = [min(BATCH, experiments - done) for done in range(0, experiments, BATCH)]
    without = [simulation.run(rng, batch, 0.0) for batch in batches]
    found = [simulation.run(rng, batch, simulation.effect) for batch in batches]
    covered = [(one.low <= simulation.effect) & (simulation.effect <= one.high) for one in found]
    return Result(
        simulation,
        experiments,
        float(np.concatenate([one.p_value < ALPHA for one in without]).mean()),
        float(np.concatenate(covered).mean()),
        float(np.concatenate([one.p_value < ALPHA for one in found]).mean()),
    )


HEAD = """| metric | method | false positives, % | coverage of 95 % bounds, % | power planned | reached |
| --- | --- | --- | --- | --- | --- |"""


def row(result: Result) -> str:
    """Of a Markdown table below HEAD; ± is two standard errors of the simulation itself."""
    planned = result.simulation.planned_power
    cells = (
        result.simulation.metric,
        result.simulation.method,
        _percent(result.false_positives, result.experiments),
        _percent(result.coverage, result.experiments),
        "" if planned is None else f"{100 * planned:.0f}",
        _percent(result.power, result.experiments),
    )
    return "| " + " | ".join(cells) + " |"


def _percent(share: float, experiments: int) -> str:
    return f"{100 * share:.1f} ± {200 * np.sqrt(share * (1 - share) / experiments):.1f}"


def two_arm(
    metric: str,
    method: str,
    arm: Arm,
    units: tuple[int, int],
    measured: Method,
    *,
    reduction: float = 0.0,
    planned: bool = True,
) -> Simulation:
    """With the effect that the plan finds with POWER; reduction: of the variance, by a covariate.

    planned: False where the plan does not hold, as it takes z, or is not this method's.
    """
    pilot = arm(np.random.default_rng(0), 1, PILOT, 0.0)
    variance = float(unit_variance(pilot)[0]) * (1 - reduction)
    shares = (units[0] / sum(units), units[1] / sum(units))
    rate = float(ratio(pilot)[0]) if zero_one(pilot).all() else None
    found = detectable_effect(variance, sum(units), alpha=ALPHA, power=POWER, shares=shares, rate=rate)
    effect = float(found)
    sizes = " and ".join(f"{each:,}" for each in sorted(set(units)))
    return Simulation(
        f"{metric}, {sizes} an arm",
        method,
        lambda rng, experiments, true: measured(*two_arms(arm, rng, experiments, units, true)),
        effect,
        POWER if planned else None,
    )


def by_z(treatment: Sums, control: Sums) -> Estimate:
    """Welch's variances with the normal distribution."""
    over, under = arm_value(treatment), arm_value(control)
    return Estimate.normal(over.value - under.value, np.sqrt(over.variance + under.variance), ALPHA)


def by_row(treatment: Sums, control: Sums) -> Estimate:
    """What not to do: impressions as if each were a user of its own."""
    one, other = treatment.y / treatment.d, control.y / control.d
    variance = one * (1 - one) / treatment.d + other * (1 - other) / control.d
    return Estimate.normal(one - other, np.sqrt(variance), ALPHA)


def two_arm_simulations() -> Iterator[Simulation]:
    """Fixed horizon: looked at once."""
    yield two_arm("D1, 20 %", "two proportions", retained(0.2), (2_000, 2_000), difference)
    rare, uneven = retained(0.01), (500, 9_500)
    yield two_arm("bought, 1 %", "two proportions", rare, uneven, difference)
    yield two_arm("bought, 1 %", "unpooled z (not ours)", rare, uneven, by_z, planned=False)
    yield two_arm("mean, skewed", "Welch's t", minutes, (1_000, 1_000), difference)
    yield two_arm("mean, normal", "Welch's t", heights, (10, 10), difference, planned=False)
    yield two_arm("mean, normal", "z (not ours)", heights, (10, 10), by_z, planned=False)
    yield two_arm("clicks per impression", "delta method", clicks, (2_000, 2_000), difference)
    yield two_arm(
        "clicks per impression", "each impression a unit (not ours)", clicks, (2_000, 2_000), by_row
    )
    yield two_arm(
        "mean, covariate with correlation 0.7",
        "CUPED",
        habits(0.7),
        (500, 500),
        adjusted_difference,
        reduction=0.7**2,
    )
    pilot = clicks(np.random.default_rng(1), 2, PILOT, 0.0)
    reduction = float(adjusted_difference(pilot[:1], pilot[1:]).variance_reduction[0])
    yield two_arm(
        "clicks per impression",
        f"CUPED (variance -{100 * reduction:.0f} %)",
        clicks,
        (2_000, 2_000),
        adjusted_difference,
        reduction=reduction,
    )


def simulations() -> Iterator[Simulation]:
    """All rows of the table."""
    yield from two_arm_simulations()


def main() -> None:
    """Judge all and print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--experiments", type=int, default=5_000, help="simulated without an effect; and with"
    )
    parser.add_argument("--only", default="", help="rows whose metric or method has this in it")
    asked = parser.parse_args()
    print(HEAD)
    for seed, simulation in enumerate(simulations()):
        if asked.only in f"{simulation.metric} {simulation.method}":
            print(row(judge(simulation, asked.experiments, seed)), flush=True)


if __name__ == "__main__":
    main()
