"""Settings of `firstday recommend`."""

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from firstday.settings.bank import BankSettings
from firstday.settings.kinds import SYNAPSEML, Coordinates, Duration, Location, Settings, Share

Rule = Literal["next", "keep", "another"]


class Resting(Settings):
    """When a category rests for a customer, in times seen and in days; as in --set rest.ignored_times=3."""

    dismissed_rest: float = Field(60, ge=0, le=3_650)
    ignored_times: int = Field(8, ge=1, le=3_650)
    ignored_window: float = Field(28, ge=0, le=3_650)
    ignored_rest: float = Field(7, ge=0, le=3_650)
    often_times: int = Field(6, ge=1, le=3_650)
    often_window: float = Field(7, ge=0, le=3_650)
    often_rest: float = Field(7, ge=0, le=3_650)
    reacted_rest: float = Field(14, ge=0, le=3_650)


class RecommendSettings(BankSettings):
    """Settings of `firstday recommend`."""

    ranker: Location = Field(description="Output of firstday train --tables: the ranker in it is asked.")
    out: Location = Field(description="Where results go: a folder or catalog.schema.")
    force: bool = Field(
        False,
        description="Recommend by a ranker that is not shown to beat its baselines, or more slots than its "
        "log has shown.",
    )
    now: datetime | None = Field(
        None,
        description="Recommend for this instant, by what was known then [default: the latest in the tables].",
    )
    valid_for: Duration = Field(timedelta(days=7), description="Time for which the lists hold.")
    slots: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="Contents in a list [default: as many as training recommended, else 4]."
    )
    per_group: int | None = Field(
        None, ge=1, description="At most so many categories of one group, while others are left."
    )
    candidates: int = Field(12, ge=1, le=100, description="Categories that recall hands to the ranker.")
    diversity: Share = Field(0.3, description="How much recall minds likeness, against score.")
    exploring_slot: Annotated[int, Field(ge=1)] | Literal["last"] | None = Field(
        "last",
        description="Slot that is drawn by chance, so that other policies can be judged: its number, or "
        "last; null: none.",
    )
    exploring_uniform: Share = Field(0.1, description="Share of that draw that is even over all categories.")
    random_share: Share = Field(
        0.0,
        description="Share of the customers whose whole list is drawn evenly from what is allowed, others "
        "each time: it costs clicks, and lets whole new lists be judged before anyone is shown them.",
    )
    boost: float = Field(0.5, ge=0, le=10, description="By how much a stated preference lifts the score.")
    rest: Resting = Field(Resting(), description="When a category rests.")
    refresh: Rule = Field(
        "next", description="After a click: the next content, keep it until joined, or another category."
    )
    refresh_of: dict[str, Rule] = Field(
        {}, description="The same of single categories, as in --set refresh_of.loans=keep."
    )
    policy: str = Field("firstday", min_length=1, description="Name of the policy, for the log.")
    export: Literal["parquet", "jsonl", "none"] = Field(
        "jsonl", description="Form of the lists for the channel, beside the tables of a folder."
    )
    watch_days: int = Field(7, ge=1, description="Latest days of the log that the report is of.")
    synapseml: Coordinates | None = Field(None, description=SYNAPSEML)
    seed: int = Field(7, ge=0, lt=2**31, description="Seed of all random numbers.")
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tables is None and not self.table:
            raise ValueError("tables must be given: a folder or catalog.schema with the tables")
        if self.now is not None and self.now.tzinfo is None:
            raise ValueError("now must have an offset, as in 2024-05-31T00:00:00Z")
        if self.slots is not None:
            self.exploring(self.slots)
        return self

    def exploring(self, slots: int) -> int | None:
        """The slot of a list of so many that is drawn; None for none, as where it would be the only one.

        Raises ValueError for a slot beyond them.
        """
        if self.exploring_slot is None or (self.exploring_slot == "last" and slots == 1):
            return None
        slot = slots if self.exploring_slot == "last" else self.exploring_slot
        if slot > slots:
            raise ValueError(
                f"exploring_slot must be one of the {slots} slots, or null (--set exploring_slot=null)"
            )
        return slot
