"""What the simulated app knows and no step knows: for the index page, beside each answer."""

from dataclasses import dataclass

import pandas as pd

from firstday.loop.world import EXISTING_DAY, TEST_DAYS, Moment
from firstday.simulation.app_policies import numbers, popularity
from firstday.simulation.app_world import App, Policy
from firstday.simulation.world import ACTIONS


@dataclass(frozen=True)
class TrueEffect:
    """Of a change on a chance of coming back, as a difference of shares; with its standard error."""

    effect: float
    error: float

    def __str__(self) -> str:
        return f"{100 * self.effect:+.1f} points (± {196 * self.error:.1f})".replace("-", "−")


def labels(app: App, soft_labels: pd.DataFrame) -> str:
    """How many of the bots were found. soft_labels: row_id and label, 1 for a bot."""
    bot = app.people.bot[numbers(soft_labels["row_id"])]
    called = soft_labels["label"].to_numpy() == 1
    found, wrong = int((bot & called).sum()), int((~bot & called).sum())
    return (
        f"{int(bot.sum()):,} of the {len(bot):,} accounts are bots: {found:,} of them were found "
        f"({found / max(int(bot.sum()), 1):.0%}), and {wrong:,} people were taken for bots: "
        f"{found / max(found + wrong, 1):.0%} of the called are bots, {bot.mean():.1%} of all accounts."
    )


def moment(app: App, found: Moment | None) -> str:
    """What was planted, and whether it was found."""
    plan = app.plan
    decoy = f"{ACTIONS[plan.decoy]} goes best with coming back, and does nothing for it."
    if plan.effect == 0:
        return f"No action makes users stay: 'none' is the right answer. {decoy}"
    planted = f"planted is {ACTIONS[plan.cause]} at least {plan.threshold} times"
    if found == Moment(ACTIONS[plan.cause], plan.threshold):
        return f"It was found: {planted}. {decoy}"
    if found is not None and found.action == ACTIONS[plan.cause]:
        return f"The action was found, its threshold was not: {planted}. {decoy}"
    return f"It was not found: {planted}. {decoy}"


@dataclass(frozen=True)
class OnNewUsers:
    """True effects on D1 of those who sign up in the test's days, were all of them shown it."""

    treatment: TrueEffect
    rival: TrueEffect
    lists: TrueEffect


def on_new_users(start: App, treated: Policy, rival: Policy, lists: Policy) -> OnNewUsers:
    """Played in copies of the app as it was when the test began."""
    found = start.true_effect(popularity, treated, rival, lists, sign_up_days=TEST_DAYS)
    return OnNewUsers(*(TrueEffect(row.effect, row.error) for row in found.itertuples(index=False)))


def on_active_users(start: App, treated: Policy, user_ids: pd.Series) -> TrueEffect:
    """On the chance that these users visit on their own day that starts EXISTING_DAY days later."""
    chances = []
    for policy in (popularity, treated):
        world = start.copy()
        world.play(EXISTING_DAY + 1, policy)
        chances.append(world.return_chances(start.day + EXISTING_DAY)[numbers(user_ids)])
    gain = chances[1] - chances[0]
    return TrueEffect(float(gain.mean()), float(gain.std(ddof=1) / len(gain) ** 0.5))
