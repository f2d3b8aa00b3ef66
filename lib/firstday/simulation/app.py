"""An invented app for the whole loop: bots among its users, one action that makes users stay, a home screen.

As in `world`, a hidden engagement drives all actions and coming back alike, so that each action predicts it,
and one, done often enough on a day, causes it. Contents of the home screen lead to actions, so that showing
the right ones helps. docs/simulate.md says what the figures are.
"""

import numpy as np
import pandas as pd

from firstday.errors import SettingsError
from firstday.simulation.app_plan import make_plan
from firstday.simulation.app_policies import popularity, push
from firstday.simulation.app_world import App, Policy
from firstday.simulation.world import ACTIONS


def simulate_app(
    *, users: int = 6_000, dates: int = 28, effect: float = 0.8, seed: int = 1, policy: Policy = popularity
) -> App:
    """An app with a history, at the first instant after it; the same arguments give the same world.

    users: who sign up over the history's `dates`. effect: what reaching the planted moment adds to the logit
    of coming back; 0 plants nothing. policy: what the history's home screen shows.

    Raises SettingsError for no users or dates, or an effect below 0.
    """
    app = empty_app(users=users, dates=dates, effect=effect, seed=seed)
    app.play(dates, policy)
    return app


def empty_app(*, users: int = 6_000, dates: int = 28, effect: float = 0.8, seed: int = 1) -> App:
    """The app on its first day, with nobody there; see `simulate_app`."""
    if users < 1 or dates < 1:
        raise SettingsError("a world needs users and dates", value=(users, dates), next_step="give 1 or more")
    if not 0 <= effect < np.inf:
        raise SettingsError("a planted effect is not negative", value=effect, next_step="give 0 or more")
    return App(make_plan(seed, effect), users=users, dates=dates)


def truth(app: App) -> pd.DataFrame:
    """What was planted, one row: action, threshold, effect (on the logit), decoy, farmed, bots, seed.

    pushed_action_d1, pushed_decoy_d1: by how much D1 retention rises (a share: 0.03 is three points) if all
    new users of the history are pushed to the action or the decoy instead of shown what is popular; with
    standard errors. In a world without an effect, action, threshold and pushed_action_d1 are missing.
    """
    plan = app.plan
    start = App(plan, users=app.size, dates=app.dates)
    pushes = [push(ACTIONS[action]) for action in (plan.cause, plan.decoy)]
    found = start.true_effect(popularity, *pushes, sign_up_days=app.dates)
    planted = plan.effect > 0
    row = {
        "action": ACTIONS[plan.cause] if planted else None,
        "threshold": plan.threshold if planted else None,
        "effect": plan.effect,
        "decoy": ACTIONS[plan.decoy],
        "farmed": ACTIONS[plan.farmed],
        "bots": int(app.people.bot.sum()),
        "seed": plan.seed,
        "pushed_action_d1": found["effect"][0] if planted else None,
        "pushed_action_d1_error": found["error"][0] if planted else None,
        "pushed_decoy_d1": found["effect"][1],
        "pushed_decoy_d1_error": found["error"][1],
    }
    return pd.DataFrame([row])
