"""How often a daily look misleads, by method, over thousands of simulated experiments with a known effect.

`python -m benchmarks.experiment_truth_sequential [--experiments 5000] [--only WORD]` prints a Markdown table.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firstday.experiments.difference import difference
from firstday.experiments.group_sequential import Spending, repeated
from firstday.experiments.sequential import always_valid
from firstday.experiments.sums import Floats, Sums
from firstday.stats.estimate import Estimate

ALPHA = 0.05
DRIFT = 2.80  # standard errors of the end: what a fixed horizon finds in 80 of 100 experiments
BATCH = 250  # experiments whose units are in memory together
WEEK = np.array([1.1, 1.0, 0.9, 0.9, 1.0, 1.3, 1.2])  # volumes, and bases, move with it
STAGES = 0.01, 0.05, 0.25, 0.5

Arms = tuple[Sums, Sums]  # treatment and control until each look: (experiments, looks)
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """draw(rng, experiments, effect): the days' sums of treatment and control, of new units a day."""

    name: str
    looks: int
    draw: Callable[[np.random.Generator, int, float], Arms]


@dataclass(frozen=True)
class Looked:
    """What a method said at its looks, and the share of all units each of them had."""

    found: Estimate
    fractions: Floats


@dataclass(frozen=True)
class Result:
    """Shares of the simulated experiments. units: of all, mean until it stopped, with the effect."""

    method: str
    world: str
    looks: int
    experiments: int
    false_positives: float
    coverage: float
    power: float
    units: float


Method = Callable[[Estimate, Floats], Looked]


# -- worlds --------------------------------------------------------------------------------------


def _shares(rng: np.random.Generator, n: Counts, rates: Floats, experiments: int) -> Sums:
    y = rng.binomial(n, rates, (experiments, len(n))).astype(float)
    units = np.broadcast_to(n.astype(float), y.shape)
    none = np.zeros_like(y)
    return Sums(units, y, units, none, y, units, none, y, none, none)


def retained(base: float, days: int, a_day: int) -> World:
    """0 or 1 a unit, equal arms."""
    week = np.resize(WEEK, days)
    n = np.rint(a_day * week).astype(int)

    def draw(rng: np.random.Generator, experiments: int, effect: float) -> Arms:
        rates = base * (0.9 + 0.1 * week)
        return (_shares(rng, n, rates + effect, experiments), _shares(rng, n, rates, experiments))

    return World(f"D1, {100 * base:.0f} %, {a_day:,} an arm a day", days, draw)


def ramp(base: float, days: int, a_day: int) -> World:
    """The treated share grows stage by stage; the base stays: where it moves, `ramp` is the estimator."""
    treated = np.rint(a_day * np.repeat(STAGES, days // len(STAGES))).astype(int)

    def draw(rng: np.random.Generator, experiments: int, effect: float) -> Arms:
        rates = np.full(days, base)
        one, other = rates + effect, rates
        return (_shares(rng, treated, one, experiments), _shares(rng, a_day - treated, other, experiments))

    return World(f"D1, {100 * base:.0f} %, ramp 1, 5, 25, 50 % of {a_day:,} a day", days, draw)


def click_rates(days: int, a_day: int) -> World:
    """Users arrive in cohorts, impressions are heavy-tailed, users differ in how much they click."""

    def arm(rng: np.random.Generator, experiments: int, effect: float) -> Sums:
        shape = experiments, days, a_day
        shown = 1 + rng.poisson(rng.lognormal(1, 0.8, shape))
        own = np.where(rng.random(shape) < 0.25, 2.5, 0.5)
        clicks = rng.binomial(shown, own * (0.1 + effect))
        return Sums.of(clicks.astype(float), shown.astype(float))

    def draw(rng: np.random.Generator, experiments: int, effect: float) -> Arms:
        return arm(rng, experiments, effect), arm(rng, experiments, 0.0)

    return World(f"clicks per impression, {a_day:,} users an arm a day", days, draw)


def drawn(world: World, rng: np.random.Generator, experiments: int, effect: float) -> tuple[Estimate, Floats]:
    """Estimates at each look, and the units of the smaller arm."""
    parts = []
    for done in range(0, experiments, BATCH):
        treatment, control = world.draw(rng, min(BATCH, experiments - done), effect)
        parts.append((treatment.cumulative(), control.cumulative()))
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = [difference(treatment, control, alpha=ALPHA) for treatment, control in parts]
    estimate, error = (np.vstack([getattr(one, part) for one in plain]) for part in PARTS)
    units = np.vstack([np.minimum(treatment.n, control.n) for treatment, control in parts])
    return Estimate.normal(estimate, error, ALPHA), units


PARTS = ("estimate", "standard_error")


# -- methods -------------------------------------------------------------------------------------


def once(plain: Estimate, units: Floats) -> Looked:
    """The plain test, at the end."""
    return Looked(_at(plain, [-1]), (units / units[:, -1:])[0, -1:])


def peeking(plain: Estimate, units: Floats) -> Looked:
    """The plain test, at every look: what not to do."""
    return Looked(plain, (units / units[:, -1:])[0])


def always(planned: float) -> Method:
    """planned: the share of all units at which the sequence is tightest."""

    def look(plain: Estimate, units: Floats) -> Looked:
        found = always_valid(
            plain.estimate,
            plain.standard_error,
            units,
            planned_units=planned * units[0, -1],
            alpha=ALPHA,
        )
        return Looked(found, (units / units[:, -1:])[0])

    return look


def group_sequential(spending: Spending, every: int) -> Method:
    """A look every so many days; fractions by the plan's information, from the mean standard errors."""

    def look(plain: Estimate, units: Floats) -> Looked:
        days = [day for day in range(units.shape[1]) if (day + 1) % every == 0 or day + 1 == units.shape[1]]
        some = _at(plain, days)
        information = np.nanmean(some.standard_error, axis=0) ** -2
        fractions = information / information[-1]
        found = repeated(some.estimate, some.standard_error, fractions, alpha=ALPHA, spending=spending)
        return Looked(found, (units / units[:, -1:])[0, days])

    return look


METHODS: dict[str, Method] = {
    "fixed horizon, looked at once": once,
    "fixed horizon, looked at daily (not ours)": peeking,
    "always valid, tightest at the end": always(1.0),
    "always valid, tightest half-way": always(0.5),
    "group sequential, O'Brien-Fleming, weekly": group_sequential("obrien_fleming", 7),
    "group sequential, O'Brien-Fleming, daily": group_sequential("obrien_fleming", 1),
    "group sequential, Pocock, weekly": group_sequential("pocock", 7),
}


def _at(plain: Estimate, looks: list[int]) -> Estimate:
    return Estimate(*(part[:, looks] for part in vars(plain).values()))


# -- judging -------------------------------------------------------------------------------------


def judge(world: World, experiments: int, seed: int) -> list[Result]:
    """All methods on the same experiments, first without an effect, then with what DRIFT says."""
    rng = np.random.default_rng(seed)
    without = drawn(world, rng, experiments, 0.0)
    effect = DRIFT * float(np.nanmean(without[0].standard_error[:, -1]))
    with_effect = drawn(world, rng, experiments, effect)
    return [_result(name, method, world, without, with_effect, effect) for name, method in METHODS.items()]


def _result(
    name: str,
    method: Method,
    world: World,
    without: tuple[Estimate, Floats],
    with_effect: tuple[Estimate, Floats],
    effect: float,
) -> Result:
    null, looked = method(*without).found, method(*with_effect)
    found, significant = looked.found, looked.found.p_value <= ALPHA
    stopped = np.where(significant.any(-1), looked.fractions[significant.argmax(-1)], 1.0)
    return Result(
        name,
        world.name,
        found.p_value.shape[-1],
        len(significant),
        float((null.p_value <= ALPHA).any(-1).mean()),
        # An interval that is not there yet, or is empty, excludes nothing.
        float(1 - ((found.low > effect) | (found.high < effect)).any(-1).mean()),
        float(significant.any(-1).mean()),
        float(stopped.mean()),
    )


def worlds() -> list[World]:
    """Those of the table."""
    return [
        *(retained(base, 28, 1_000) for base in (0.05, 0.2, 0.45)),
        *(retained(base, 90, 100) for base in (0.05, 0.45)),
        ramp(0.2, 28, 20_000),
        click_rates(28, 40),
    ]


def table(results: list[Result]) -> str:
    """Markdown; ± is two standard errors of the simulation itself."""
    lines = [
        "| world | method | looks | false positives, % | all intervals cover, % | power, % | units used, % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        shares = (result.false_positives, result.coverage, result.power)
        cells = (
            result.world,
            result.method,
            str(result.looks),
            *(_percent(share, result.experiments) for share in shares),
            f"{100 * result.units:.0f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(share: float, experiments: int) -> str:
    return f"{100 * share:.1f} ± {200 * np.sqrt(share * (1 - share) / experiments):.1f}"


def main() -> None:
    """Judge all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--experiments", type=int, default=5_000, help="simulated without an effect; and with"
    )
    parser.add_argument("--only", default="", help="worlds whose name has this in it")
    asked = parser.parse_args()
    chosen = [world for world in worlds() if asked.only in world.name]
    judged = [judge(world, asked.experiments, seed) for seed, world in enumerate(chosen)]
    print(table([result for results in judged for result in results]))


if __name__ == "__main__":
    main()
