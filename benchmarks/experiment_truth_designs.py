"""How often designs other than the plain A/B test are right, over thousands of experiments of known effect.

`python -m benchmarks.experiment_truth_designs [--experiments 5000] [--only WORD]` prints a Markdown table.
Beside each method stands what it replaces, in the same world.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firstday.experiments.clusters import cluster_difference, randomisation_test
from firstday.experiments.crossover import Crossover, crossover
from firstday.experiments.encouragement import Encouragement, encouragement
from firstday.experiments.panels import PanelSums
from firstday.experiments.ramp import Ramp, ramp
from firstday.experiments.sums import Floats, Sums
from firstday.stats.estimate import Estimate

ALPHA = 0.05
BATCH = 250  # experiments whose units are in memory together

# What a world hands to a method: arrays of (experiments, units or clusters[, periods]).
World = Callable[[np.random.Generator, int, float], tuple[npt.NDArray, ...]]
Method = Callable[..., Estimate]


@dataclass(frozen=True)
class Simulation:
    """A method in a world; effect: what coverage, bias and power are measured at."""

    design: str
    world: str
    method: str
    draw: World
    measure: Method
    effect: float


@dataclass(frozen=True)
class Result:
    """Shares of the simulated experiments; bias: of the median, in the metric's unit."""

    simulation: Simulation
    experiments: int
    false_positives: float
    coverage: float
    bias: float
    power: float


def judge(simulation: Simulation, experiments: int, seed: int) -> Result:
    """Half of the work without an effect, half with it."""
    rng = np.random.default_rng(seed)
    batches = [min(BATCH, experiments - done) for done in range(0, experiments, BATCH)]
    effect = simulation.effect
    without = [simulation.measure(*simulation.draw(rng, batch, 0.0)).p_value for batch in batches]
    found = [simulation.measure(*simulation.draw(rng, batch, effect)) for batch in batches]
    covered = [(one.low <= effect) & (effect <= one.high) for one in found]
    return Result(
        simulation,
        experiments,
        float((np.concatenate(without) <= ALPHA).mean()),
        float(np.concatenate(covered).mean()),
        float(np.nanmedian(np.concatenate([one.estimate for one in found])) - effect),
        float(np.concatenate([one.p_value <= ALPHA for one in found]).mean()),
    )


def table(results: list[Result]) -> str:
    """Markdown; ± is two standard errors of the simulation itself."""
    lines = [
        "| design | world | method | false positives, % | coverage of 95 % bounds, % "
        "| effect | bias of the median | power, % |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        one = result.simulation
        cells = (
            one.design,
            one.world,
            one.method,
            _percent(result.false_positives, result.experiments),
            _percent(result.coverage, result.experiments),
            f"{one.effect:g}",
            f"{result.bias:+.4f}",
            _percent(result.power, result.experiments),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(share: float, experiments: int) -> str:
    return f"{100 * share:.1f} ± {200 * np.sqrt(share * (1 - share) / experiments):.1f}"


AB_BA = np.array([[1, 0], [0, 1]])
THREE = {
    "ABB/BAA": np.array([[1, 0, 0], [0, 1, 1]]),
    "ABA/BAB": np.array([[1, 0, 1], [0, 1, 0]]),
}
SEQUENCE = (np.arange(400) % 4 == 0).astype(int)  # one in four is BA


def spends(arms: npt.NDArray[np.int_], carry_over: float = 0.0) -> World:
    """Units differ four times as much as one unit's periods do; each period everyone spends more."""
    before = np.hstack([np.zeros_like(arms[:, :1]), arms[:, :-1]])

    def draw(rng: np.random.Generator, experiments: int, effect: float) -> tuple[npt.NDArray, ...]:
        size = (experiments, len(SEQUENCE), arms.shape[1])
        planted = effect * arms[SEQUENCE] + carry_over * before[SEQUENCE]
        y = 2 * rng.normal(size=(*size[:2], 1)) + np.arange(arms.shape[1]) + planted + rng.normal(size=size)
        return y, np.ones(size)

    return draw


def banners(rng: np.random.Generator, experiments: int, effect: float) -> tuple[npt.NDArray, ...]:
    """Clicks and impressions in two periods: a few see many, some see none, all click more in period 2."""
    volume = rng.gamma(0.5, 8, (experiments, len(SEQUENCE), 1)) * [1.0, 1.6]
    impressions = rng.poisson(volume)
    taste = rng.beta(2, 18, (experiments, len(SEQUENCE), 1))
    chance = np.minimum(taste + [0.0, 0.05] + effect * AB_BA[SEQUENCE], 1.0)
    return rng.binomial(impressions, chance), impressions


def away(world: World) -> World:
    """A third of the units is there in one period only."""

    def draw(rng: np.random.Generator, experiments: int, effect: float) -> tuple[npt.NDArray, ...]:
        y, d = world(rng, experiments, effect)
        present = np.ones(d.shape)
        present[:, ::6, 0] = present[:, 3::6, 1] = 0
        return y * present, d * present

    return draw


def crossed(y: npt.NDArray, d: npt.NDArray, arms: npt.NDArray[np.int_] = AB_BA, **options: bool) -> Crossover:
    """By sequence and by the periods that a unit was there in."""
    patterns = 2 ** arms.shape[1]
    here = (
        (d[0] > 0) @ (2 ** np.arange(arms.shape[1])) if (d <= 1).all() else np.zeros(len(SEQUENCE), dtype=int)
    )
    sums = PanelSums.of(y, d, group=SEQUENCE * patterns + here, groups=2 * patterns)
    return crossover(sums, np.repeat(arms, patterns, axis=0), **options)


def pooled(arms: npt.NDArray[np.int_], group: npt.NDArray[np.int_]) -> Method:
    """What not to do: all that was seen under treatment against all under control, as if of other units."""

    def measure(y: npt.NDArray, d: npt.NDArray) -> Estimate:
        sides = [arms[group] == 1, arms[group] == 0]
        sums = [Sums.of(y[:, side], d[:, side]) for side in sides]
        rates = [one.y / one.d for one in sums]
        squares = [one.yy - 2 * r * one.yd + r**2 * one.dd for one, r in zip(sums, rates, strict=True)]
        variances = [square / one.d**2 for one, square in zip(sums, squares, strict=True)]
        return Estimate.normal(rates[0] - rates[1], np.sqrt(sum(variances)), ALPHA)

    return measure


def chosen_by_pretest(y: npt.NDArray, d: npt.NDArray) -> Estimate:
    """What not to do: period 1 alone where Grizzle's test of carry-over is significant at 10 %."""
    result = crossed(y, d)
    sides = [Sums.of(y[:, one == SEQUENCE, 0]) for one in (0, 1)]
    variances = [(one.yy - one.y**2 / one.n) / (one.n - 1) / one.n for one in sides]
    first = Estimate.normal(sides[0].y / sides[0].n - sides[1].y / sides[1].n, np.sqrt(sum(variances)), ALPHA)
    switch = result.carry_over.p_value < 0.1
    parts = {name: np.where(switch, vars(first)[name], part) for name, part in vars(result.effect).items()}
    return Estimate(**parts)


def crossovers() -> Iterator[Simulation]:
    """Two sequences, 300 and 100 units."""
    weeks = "spend, everyone spends more in period 2"
    of_two = spends(AB_BA)
    yield Simulation("AB/BA", weeks, "within units", of_two, lambda y, d: crossed(y, d).effect, 0.25)
    yield Simulation("AB/BA", weeks, "pooled (not ours)", of_two, pooled(AB_BA, SEQUENCE), 0.25)
    yield Simulation("AB/BA", weeks, "chosen by pre-test (not ours)", of_two, chosen_by_pretest, 0.25)
    yield Simulation(
        "AB/BA",
        f"{weeks}, a third there once",
        "within units",
        away(of_two),
        lambda y, d: crossed(y, d).effect,
        0.25,
    )
    clicks = "click rate, higher in period 2"
    yield Simulation("AB/BA", clicks, "within units", banners, lambda y, d: crossed(y, d).effect, 0.05)
    yield Simulation("AB/BA", clicks, "pooled (not ours)", banners, pooled(AB_BA, SEQUENCE), 0.05)
    lasts = "spend, more by period, 0.3 carries over"
    for design, arms in THREE.items():
        for adjust, name in ((True, "with carry-over as a term"), (False, "without the term")):

            def measure(
                y: npt.NDArray, d: npt.NDArray, arms: npt.NDArray = arms, adjust: bool = adjust
            ) -> Estimate:
                return crossed(y, d, arms, adjust_carry_over=adjust).effect

            yield Simulation(design, lasts, name, spends(arms, carry_over=0.3), measure, 0.25)


STAGES = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
SWITCH = np.repeat(np.arange(5), [20, 80, 400, 500, 1000])  # 1, 5, 25 and 50 % of 2,000


def returns(rng: np.random.Generator, experiments: int, effect: float) -> tuple[npt.NDArray, ...]:
    """Retained by stage, while the base goes from 20 to 50 %; the loyal stay loyal."""
    size = (experiments, len(SWITCH), 4)
    loyalty = np.clip(0.15 * rng.normal(size=(*size[:2], 1)), -0.2, 0.2)
    chance = np.array([0.2, 0.3, 0.35, 0.5]) + loyalty + effect * STAGES[SWITCH]
    return (rng.random(size) < chance).astype(float), np.ones(size)


def ramp_clicks(rng: np.random.Generator, experiments: int, effect: float) -> tuple[npt.NDArray, ...]:
    """Clicks and impressions by stage; both grow."""
    impressions = rng.poisson(rng.gamma(0.5, 8, (experiments, len(SWITCH), 1)) * [1.0, 1.2, 1.5, 2.0])
    taste = rng.beta(2, 18, (experiments, len(SWITCH), 1))
    chance = np.minimum(taste + [0.0, 0.02, 0.04, 0.08] + effect * STAGES[SWITCH], 1.0)
    return rng.binomial(impressions, chance), impressions


def ramped(y: npt.NDArray, d: npt.NDArray) -> Ramp:
    """By the stage that a unit switches at."""
    return ramp(PanelSums.of(y, d, group=SWITCH, groups=5), STAGES)


def stages_apart(y: npt.NDArray, d: npt.NDArray) -> Estimate:
    """What not to do: variances added up as if each stage had other people."""
    result = ramped(y, d)
    error = np.sqrt((result.weights**2 * result.difference.standard_error**2).sum(-1))
    return Estimate.normal(result.effect.estimate, error, ALPHA)


def ramps() -> Iterator[Simulation]:
    """2,000 units in four stages."""
    for world, draw, effect in (
        ("retention, base from 20 to 50 %", returns, 0.04),
        ("click rate, impressions and base grow", ramp_clicks, 0.015),
    ):
        design = "ramp 1, 5, 25, 50 %"
        yield Simulation(design, world, "stage-weighted", draw, lambda y, d: ramped(y, d).effect, effect)
        yield Simulation(design, world, "pooled (not ours)", draw, pooled(STAGES, SWITCH), effect)
        yield Simulation(design, world, "stages as if of other people (not ours)", draw, stages_apart, effect)


PUSHED = np.arange(1000) % 2 == 0


def pushes(strength: float) -> World:
    """The engaged reach the moment, and stay, by themselves; the push moves some more."""

    def draw(rng: np.random.Generator, experiments: int, effect: float) -> tuple[npt.NDArray, ...]:
        engagement = rng.normal(size=(experiments, len(PUSHED)))
        reached = engagement + rng.normal(size=engagement.shape) > 0.5 - strength * PUSHED
        return 1.5 * engagement + effect * reached + rng.normal(size=engagement.shape), reached

    return draw


def encouraged(y: Floats, reached: Floats) -> Encouragement:
    """By arm."""
    return encouragement(*(Sums.of(y[:, arm], reached[:, arm]) for arm in (PUSHED, ~PUSHED)))


def doers(y: Floats, reached: Floats) -> Estimate:
    """What not to do: those who reached the moment against those who did not."""
    sides = []
    for side in (reached, ~reached):
        n = side.sum(-1)
        mean = (y * side).sum(-1) / n
        sides.append((mean, ((y - mean[:, None]) ** 2 * side).sum(-1) / n / (n - 1)))
    return Estimate.normal(sides[0][0] - sides[1][0], np.sqrt(sides[0][1] + sides[1][1]), ALPHA)


def encouragements() -> Iterator[Simulation]:
    """500 pushed, 500 not."""
    for strength, moved in ((1.0, "27 % moved"), (0.2, "5 % moved"), (0.04, "1 % moved")):
        draw = pushes(strength)
        methods: dict[str, Method] = {
            "Anderson-Rubin": lambda y, d: encouraged(y, d).effect,
            "delta method": lambda y, d: encouraged(y, d).by_delta_method,
        }
        if strength == 1.0:
            methods["who reached it against who did not (not ours)"] = doers
        for name, measure in methods.items():
            yield Simulation("encouragement", moved, name, draw, measure, 1.0)


def cities(arm: int, spread: float) -> World:
    """Retained by city, `arm` against `arm`; rates differ by 5 points (one standard deviation)."""
    treated = np.arange(2 * arm) < arm

    def draw(rng: np.random.Generator, experiments: int, effect: float) -> tuple[npt.NDArray, ...]:
        size = (experiments, 2 * arm)
        people = np.round(200 * np.exp(spread * rng.normal(size=size))) + 5
        rates = np.clip(0.3 + 0.05 * rng.normal(size=size) + effect * treated, 0, 1)
        return rng.binomial(people.astype(int), rates), people, np.broadcast_to(treated, size)

    return draw


def blocks(rng: np.random.Generator, experiments: int, effect: float) -> tuple[npt.NDArray, ...]:
    """Requests of one pool in 40 blocks of time: rush hours, and a rate that wanders."""
    rush = np.arange(40) % 4 == 0
    wander = np.zeros((experiments, 40))
    for block in range(1, 40):
        wander[:, block] = 0.8 * wander[:, block - 1] + 0.03 * rng.normal(size=experiments)
    treated = rng.permuted(np.tile(np.arange(40) < 20, (experiments, 1)), axis=1)
    requests = np.broadcast_to(300 * (1 + 2 * rush), treated.shape)
    chance = np.clip(0.4 + 0.1 * rush + wander + effect * treated, 0, 1)
    return rng.binomial(requests, chance), requests, treated


def people_apart(y: Floats, people: Floats, treated: npt.NDArray[np.bool_]) -> Estimate:
    """What not to do: each person as a draw of its own."""
    sides = []
    for arm in (treated, ~treated):
        n = (people * arm).sum(-1)
        rate = (y * arm).sum(-1) / n
        sides.append((rate, rate * (1 - rate) / n))
    return Estimate.normal(sides[0][0] - sides[1][0], np.sqrt(sides[0][1] + sides[1][1]), ALPHA)


def clusters() -> Iterator[Simulation]:
    """Ten and twenty cities; one pool in forty blocks."""
    for design, world, draw, effect in (
        ("clusters", "5 against 5 cities, sizes differ by e^0.5", cities(5, 0.5), 0.1),
        ("clusters", "10 against 10 cities, sizes differ by e", cities(10, 1.0), 0.08),
        ("switchback", "40 blocks, rush hours, rate wanders", blocks, 0.08),
    ):
        yield Simulation(design, world, "jackknife, Welch's t", draw, cluster_difference, effect)
        yield Simulation(
            design,
            world,
            "assignments anew",
            draw,
            lambda *totals: randomisation_test(*totals, draws=999).effect,
            effect,
        )
        yield Simulation(design, world, "each person a draw (not ours)", draw, people_apart, effect)


def simulations() -> list[Simulation]:
    """All rows of the table."""
    return [*crossovers(), *ramps(), *encouragements(), *clusters()]


def main() -> None:
    """Judge all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=5_000, help="without an effect; and with")
    parser.add_argument("--only", default="", help="rows whose design, world or method has this in it")
    asked = parser.parse_args()
    chosen = [one for one in simulations() if asked.only in f"{one.design} {one.world} {one.method}"]
    print(table([judge(one, asked.experiments, seed) for seed, one in enumerate(chosen)]))


if __name__ == "__main__":
    main()
