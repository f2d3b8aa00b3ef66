"""Settings of `firstday simulate`."""

from typing import Literal

from pydantic import Field

from firstday.settings.kinds import Location, Settings


class SimulateSettings(Settings):
    """Settings of `firstday simulate`."""

    out: Location = Field(description="Folder or catalog.schema for the world's tables.")
    world: Literal["app", "fraud", "bank", "loop"] = Field(
        "app",
        description="A log with a moment (users, events, truth); accounts with bots among them, for label "
        "functions (accounts); a bank with customers, contents and a log of what was shown (impressions, "
        "reactions and the rest); or, for the whole loop, an app with a moment, bots and contents.",
    )
    users: int = Field(30_000, ge=1, description="Number of users, accounts or customers.")
    dates: int = Field(42, ge=1, description="app, loop: number of anchor dates.")
    effect: float = Field(
        0.8,
        ge=0,
        allow_inf_nan=False,
        description="app, loop: effect of the planted moment on the logit of retention.",
    )
    common_shocks: bool = Field(True, description="app: let some dates move everybody's engagement.")
    strength: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="bank: standard deviation, over customers, of the interest in a category, on the logit "
        "of a click; with 0 categories differ by popularity only.",
    )
    history_days: int = Field(56, ge=1, description="bank: days of the log of its old targeting.")
    seed: int = Field(1_160, ge=0, lt=2**32, description="Seed of the world.")
