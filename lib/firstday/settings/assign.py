"""Settings of `firstday assign`."""

from typing import Self

from pydantic import Field, model_validator

from firstday.settings.experiment import ExperimentPlan
from firstday.settings.inputs import InputSettings
from firstday.settings.kinds import Instant, Integers, Location


class AssignSettings(InputSettings):
    """Settings of `firstday assign`."""

    plan: ExperimentPlan | Location = Field(
        description="The experiment's plan: a YAML file, as conf/experiment.yml."
    )
    units: Location | None = Field(
        None,
        description="Who may take part, a row each: a path (Delta, Parquet, CSV, JSON Lines) or a "
        "table name.",
    )
    out: Location | None = Field(
        None, description="Where the assignments go: a folder or catalog.schema of their own."
    )
    from_discovery: Location | None = Field(
        None,
        description="Output of firstday discover: write --plan from its shortlist, to be read, edited and "
        "given to a second run; nobody is assigned yet.",
    )
    ranks: Integers = Field(
        (1,), description="Ranks of the shortlist to test at once, each in an arm of its own."
    )
    starts_at: Instant | None = Field(
        None, description="When the planned experiment starts [default: the next midnight in UTC]."
    )
    instant_column: str | None = Field(
        None,
        min_length=1,
        description="Column of --units with the instant a unit comes in, such as anchored_at: its variant "
        "begins then, where that is later than the plan says.",
    )
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in."
    )

    @model_validator(mode="after")
    def _either_plan_or_assign(self) -> Self:
        if self.from_discovery is None and (self.units is None or self.out is None):
            raise ValueError("units and out are needed, or from_discovery to write a plan first")
        return self
