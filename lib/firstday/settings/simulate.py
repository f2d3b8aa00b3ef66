"""Settings of `firstday simulate`."""

from typing import Literal

from pydantic import Field

from firstday.settings.kinds import Location, Settings


class SimulateSettings(Settings):
    """Settings of `firstday simulate`."""

    out: Location = Field(description="Folder or catalog.schema for the world's tables.")
    world: Literal["app", "fraud"] = Field(
        "app",
        description="A log with a moment (users, events, truth), or accounts with bots among them, for label "
        "functions (accounts).",
    )
    users: int = Field(30_000, ge=1, description="Number of users.")
    dates: int = Field(42, ge=1, description="Number of anchor dates.")
    effect: float = Field(0.8, ge=0, description="Effect of the planted moment on the logit of retention.")
    common_shocks: bool = Field(True, description="Let some dates move everybody's engagement.")
    seed: int = Field(1_160, ge=0, lt=2**32, description="Seed of the world.")
