"""Is the expected gain right? Apps in which a look causes a message, and apps in which both come of one wish.

`python -m benchmarks.gains [--apps 150] [--first-seed 0]`. In either kind a message makes users stay; a look
makes a message with a chance that differs from app to app and with how much a user looks, or it makes none.
Each listed candidate is told its effect (of reaching the threshold, with a 90 % interval) and the gain of a
push. The truth is the push itself: UPTAKE of the users below the threshold are brought to it, by as many
events as they lack, each further look brings a message with the stated chance, and everybody's chance to stay
is worked out with and without. Without Spark.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.chains import DAY, MINUTE, Events
from firstday.moments.choose import LEAST_P_CAUSE, LEAST_P_WORKS, LONGEST_LIST
from firstday.moments.evidence import assess
from firstday.moments.families import Timing
from firstday.moments.power import UPTAKE
from firstday.moments.worth import Reach, Spread, worth
from tests.oracle import App, Floats, Integers

LOOK, MESSAGE = 0, 1
CAUSED, SAME_WISH = "a look causes a message", "look and message come of one wish"


@dataclass(frozen=True)
class LooksApp:
    """An app with the timing of its actions; chance: that one more look brings a message; drive: of each user
    to stay, on the logit, beside what messages add.
    """

    app: App
    timing: Timing
    chance: float
    drive: Floats
    effect: float
    threshold: int | None  # messages from which they matter; None: each one does

    def stays(self, messages: Floats) -> Floats:
        """(users,) the chance to come back with so many messages."""
        does = np.log1p(messages) if self.threshold is None else messages >= self.threshold
        return np.asarray(expit(self.drive + self.effect * does))


def looks(seed: int, kind: str) -> LooksApp:
    """An app in which messages make users stay."""
    draw = np.random.default_rng([seed, 7, kind == CAUSED])
    users, dates = int(draw.choice([15_000, 30_000, 60_000])), int(draw.choice([30, 45]))
    date = np.sort(np.arange(users) % dates)
    level = np.clip(draw.normal(size=users) + draw.normal(0, 0.15, dates)[date], -3, 3.5)
    others = int(draw.integers(6, 11))
    shocks = draw.normal(0, draw.choice([0.2, 0.4]), (dates, others + 2))[date]
    often = np.concatenate(
        [[draw.uniform(-0.3, 0.9), draw.uniform(-1.5, -0.5)], draw.uniform(-2, 1.2, others)]
    )
    loading = draw.uniform(0.4, 0.9, others + 2)
    own = draw.poisson(np.exp(often + loading * level[:, None] + shocks))
    chance = float(draw.choice([0.2, 0.35, 0.5]))
    events, sessions = Events.of(draw, date), 1 + draw.poisson(np.exp(0.5 + 0.5 * level))
    timed = events.users
    counts = own.copy()
    # In either kind so many messages follow a look within minutes; what differs is whether it made them.
    followed = draw.binomial(own[:, LOOK], chance)
    counts[:, MESSAGE] += followed
    for action in range(others + 2):
        user = np.repeat(timed, own[timed, action])
        at = _times(draw, user, sessions)
        events.add(action, user, at)
        if action == LOOK:
            order = np.lexsort((draw.random(len(user)), user))
            user, at = user[order], at[order]
            nth = np.arange(len(user)) - np.searchsorted(user, user)
            chosen = nth < followed[user]
            events.add(MESSAGE, user[chosen], at[chosen] + draw.exponential(6 * MINUTE, chosen.sum()))
    at_once = draw.random() < 0.5
    threshold = max(1, int(np.quantile(counts[:, MESSAGE], draw.uniform(0.5, 0.8)))) if at_once else None
    effect = float(draw.choice([0.5, 0.8])) * (1.0 if at_once else 0.8)
    drive = draw.choice([-1.5, -0.5]) + 0.7 * level
    actions = ("look", "message", *(f"other {number}" for number in range(others)))
    blank = App(counts, np.zeros(users), date, MESSAGE, actions)
    made = LooksApp(blank, events.timing(actions), chance * (kind == CAUSED), drive, effect, threshold)
    retained = (draw.random(users) < made.stays(counts[:, MESSAGE])).astype(float)
    return LooksApp(App(counts, retained, date, MESSAGE, actions), *list(vars(made).values())[1:])


def _times(draw: np.random.Generator, user: Integers, sessions: Integers) -> Floats:
    """Of each event, in one of the user's sessions."""
    which = np.floor(draw.random(len(user)) * sessions[user]).astype(np.int64)
    start = np.random.default_rng(11).random(100_003)[(user * 37 + which * 7_907) % 100_003]
    return np.asarray(start * (DAY - 120 * MINUTE) + draw.exponential(15 * MINUTE, len(user)))


def truth(made: LooksApp, action: int, threshold: int, draw: np.random.Generator) -> tuple[float, float]:
    """What reaching the threshold adds to retention among users below it, and the gain of the push over all
    users: UPTAKE of those below reach it.
    """
    counts = made.app.counts
    missing = np.maximum(threshold - counts[:, action], 0)
    messages = counts[:, MESSAGE].astype(float)
    if action == MESSAGE:
        more = missing.astype(float)
    elif action == LOOK:
        more = draw.binomial(missing, made.chance).astype(float)
    else:
        more = np.zeros(len(missing))
    added = made.stays(messages + more) - made.stays(messages)
    below = missing > 0
    return float(added[below].mean()), float(UPTAKE * added[below].sum() / len(added))


def threshold_of(made: App, action: int) -> int:
    """The one that is listed: with the highest phi."""
    count = made.counts[:, action]
    tried = [z for z in range(1, 13) if 50 <= (count >= z).sum() <= len(count) - 50]
    return max(tried, key=lambda z: np.corrcoef(count >= z, made.retained)[0, 1])


def judged(seed: int, kind: str) -> list[dict[str, object]]:
    """A row for each action of the app's list."""
    made = looks(seed, kind)
    found = assess(made.app.products, made.timing)
    if found is None:
        return []
    draw = np.random.default_rng([seed, 8])
    order = np.lexsort((np.arange(len(found.actions)), -found.p_works))
    listed = [place for place in order if found.p_works[place] >= LEAST_P_WORKS][:LONGEST_LIST]
    spreads = {name: spread_of(made.app, action) for action, name in enumerate(made.app.actions)}
    rows: list[dict[str, object]] = []
    for place in listed:
        name = found.actions[place]
        action = made.app.actions.index(name)
        threshold = threshold_of(made.app, action)
        reach = Reach.of(spreads[name], threshold)
        value = worth(name, reach, found, made.timing, spreads)
        effect, gain = truth(made, action, threshold, draw)
        of = name if action in (LOOK, MESSAGE) else "other"
        rows.append(
            {
                "kind": kind, "action": of, "seed": seed, "p_works": value.p_works,
                "named": found.p_cause[place] >= LEAST_P_CAUSE, "works": effect > 1e-4,
                "covered": value.low <= effect <= value.high, "effect": value.effect, "true": effect,
                "gain": value.gain, "lift": value.lift, "true_gain": gain,
            }
        )  # fmt: skip
    return rows


def spread_of(made: App, action: int) -> Spread:
    """How often users do the action."""
    count, place, users = np.unique(made.counts[:, action], return_inverse=True, return_counts=True)
    return Spread(count.astype(float), users.astype(float), np.bincount(place, made.retained).astype(float))


def table(rows: pd.DataFrame) -> str:
    """Markdown: how often intervals hold the truth, and expected gains beside true ones."""
    lines = [
        "| apps | candidate | listed | work | told P(works) | interval holds the effect, of those that work "
        "| told over true effect, median | expected gain, points in all | true gain | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (kind, action), part in [*rows.groupby(["kind", "action"]), (("all", "all"), rows)]:
        works = part[part["works"]]
        ratio = part["gain"].sum() / part["true_gain"].sum() if part["true_gain"].sum() > 0 else np.nan
        told = (works["effect"] / works["true"]).median()
        lines.append(
            f"| {kind} | {action} | {len(part)} | {part['works'].mean():.2f} | {part['p_works'].mean():.2f} "
            f"| {works['covered'].mean():.2f} of {len(works)} | {told:.2f} "
            f"| {100 * part['gain'].sum():.1f} | {100 * part['true_gain'].sum():.1f} | {ratio:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Judge the apps of both kinds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=150, help="of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.apps)
    rows = [row for kind in (CAUSED, SAME_WISH) for seed in seeds for row in judged(seed, kind)]
    print(table(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
