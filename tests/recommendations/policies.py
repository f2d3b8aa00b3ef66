"""Logs of a policy whose contents have known click rates, so that another policy's reward is known too."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from firstday.recommendations.off_policy import Compared, OffPolicy, estimate
from firstday.recommendations.off_policy_sums import sums

Array = np.ndarray[Any, Any]
ESTIMATORS = ("ips", "snips", "doubly_robust", "self_normalised_doubly_robust")
SLOTS = 4  # that a user saw, where users differ


@dataclass(frozen=True)
class World:
    """spread: how unlike the policies are. taste: 1 if the new shows what is clicked, -1 if what is not."""

    rows: int
    click_rate: float
    spread: float
    taste: float = 0.0
    contents: int = 80

    @property
    def grades(self) -> Array:
        return ndtri((np.arange(self.contents) + 0.5) / self.contents)

    def shuffled(self, seed: int) -> Array:
        return np.random.default_rng(seed).permutation(self.grades)

    @property
    def logged(self) -> Array:
        return shares(0.3 * self.shuffled(1))

    @property
    def new(self) -> Array:
        return shares(self.spread * self.grades)

    @property
    def rates(self) -> Array:
        raw = np.exp(0.5 * self.taste * self.grades + 0.7 * self.shuffled(2))
        return np.minimum(raw * self.click_rate / (self.logged @ raw), 0.5)

    @property
    def truth(self) -> float:
        return float(self.new @ self.rates)

    def log(self, draw: np.random.Generator, unlike_users: bool = False) -> dict[str, Array]:
        """Contents and clicks. Half of the users who are unlike click twice as often, the others never."""
        content = draw.choice(self.contents, self.rows, p=self.logged)
        user = np.arange(self.rows) // SLOTS
        factor = 2 * draw.integers(2, size=self.rows)[user] if unlike_users else 1
        click = (draw.random(self.rows) < self.rates[content] * factor).astype(float)
        return {"content": content, "click": click, "user": user}

    def estimated(
        self, log: dict[str, Array], model: Array | None = None, unit: Array | None = None
    ) -> OffPolicy:
        """model: the reward that is predicted of each content."""
        content = log["content"]
        predicted = None if model is None else model[content]
        expected = None if model is None else np.full(self.rows, self.new @ model)
        return estimate(
            sums(
                log["click"],
                self.logged[content],
                self.new[content],
                predicted=predicted,
                expected=expected,
                supported=np.ones(self.rows),
                unit=unit,
            )
        )


def shares(logits: Array) -> Array:
    return np.exp(logits) / np.exp(logits).sum()


@dataclass(frozen=True)
class Coverage:
    """Shares of logs whose interval holds the truth: ours, of the gain, the plain normal one; mean width over
    the truth; mean estimate and its standard deviation.
    """

    interval: float
    gain: float
    normal: float
    width: float
    mean: float
    deviation: float


def coverage(
    world: World, times: int, *, model: Array | None = None, unlike_users: bool = False, by_user: bool = False
) -> dict[str, Coverage]:
    draw = np.random.default_rng(7)
    logs = (world.log(draw, unlike_users) for _ in range(times))
    found = [world.estimated(log, model, log["user"] if by_user else None) for log in logs]
    return {
        name: _coverage([getattr(each, name) for each in found], world)
        for name in ESTIMATORS
        if model is not None or "robust" not in name
    }


def _coverage(found: list[Compared], world: World) -> Coverage:
    of = {name: np.array([getattr(each, name) for each in found]) for name in Compared.__dataclass_fields__}
    gain = world.truth - float(world.logged @ world.rates)
    return Coverage(
        interval=float(np.mean((of["low"] <= world.truth) & (world.truth <= of["high"]))),
        gain=float(np.mean((of["gain_low"] <= gain) & (gain <= of["gain_high"]))),
        normal=float(np.mean(np.abs(of["value"] - world.truth) <= 1.959964 * of["standard_error"])),
        width=float(np.mean(of["high"] - of["low"])) / world.truth,
        mean=float(of["value"].mean()),
        deviation=float(of["value"].std()),
    )
