"""What is planted in an app: which action is the cause, how often it must be done, and which is the decoy."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from firstday.simulation.app_behaviour import visit_offsets
from firstday.simulation.app_catalog import NAMES
from firstday.simulation.app_people import Plan, Whole, draw_people, first_day_rates
from firstday.simulation.world import ACTIONS, SEGMENTS

PILOT = 8_000  # users, of no world, on whom the threshold and the decoy are found
THRESHOLDS = (2, 3)  # of the cause; a content that leads to it can reach them
REACHED = (0.1, 0.35)  # share of the pilot that the threshold is to be reached by, where one is
FARMED = ("follow", "like", "share")  # what bots do: the first that is neither cause nor decoy


def make_plan(seed: int, effect: float) -> Plan:
    """The world's figures. The cause is among the half of the actions that follow engagement least."""
    draw = np.random.default_rng([seed, 1])
    actions = len(ACTIONS)
    plan = Plan(
        seed=seed,
        effect=effect,
        rates=draw.uniform(-1.5, 1.0, actions),
        loadings=draw.uniform(0.3, 1.1, actions),
        base=draw.uniform(-1.6, -1.0),
        loading=draw.uniform(0.7, 1.1),
        popularity=draw.normal(0, 0.3, len(NAMES)),
        engaged={name: draw.normal(0, 0.25, len(values)) for name, values in SEGMENTS.items()},
        stays={name: draw.normal(0, 0.15, len(values)) for name, values in SEGMENTS.items()},
        tastes={name: draw.normal(0, 1, (len(values), len(NAMES))) for name, values in SEGMENTS.items()},
    )
    pilot = draw_people(plan, draw, PILOT, 0, lift=0.0)
    user = np.arange(PILOT)
    counts = draw.poisson(first_day_rates(plan, pilot, user, np.zeros(actions)))
    visits = visit_offsets(plan, pilot, user, np.zeros_like(user)) >= 0
    counts[:, ACTIONS.index("browse")] += visits.sum(axis=1)
    # Opening the app is to browse: what everybody does is no cause.
    low = [number for number in np.argsort(plan.loadings)[: actions // 2] if ACTIONS[number] != "browse"]
    cause = int(draw.choice(low))
    threshold = _threshold(draw, counts[:, cause])
    logit = plan.base + plan.loading * pilot.level + pilot.stays
    back = draw.random(PILOT) < 1 / (1 + np.exp(-logit - effect * (counts[:, cause] >= threshold)))
    decoy = _best_predictor(counts, back, cause)
    farmed = next(ACTIONS.index(name) for name in FARMED if ACTIONS.index(name) not in (cause, decoy))
    return replace(plan, cause=cause, threshold=threshold, decoy=decoy, farmed=farmed)


def _threshold(draw: np.random.Generator, count: Whole) -> int:
    shares = {threshold: float((count >= threshold).mean()) for threshold in THRESHOLDS}
    fitting = [threshold for threshold, share in shares.items() if REACHED[0] <= share <= REACHED[1]]
    if fitting:
        return int(draw.choice(fitting))
    return min(shares, key=lambda threshold: abs(shares[threshold] - sum(REACHED) / 2))


def _best_predictor(counts: Whole, back: NDArray[np.bool_], cause: int) -> int:
    """The action, the cause aside, with the threshold that goes best with coming back (phi)."""
    best = np.zeros(counts.shape[1])
    for action in range(counts.shape[1]):
        reached = [counts[:, action] >= threshold for threshold in range(1, 11)]
        best[action] = max(np.corrcoef(one, back)[0, 1] for one in reached if 0 < one.mean() < 1)
    best[cause] = -1
    return int(np.argmax(best))
