"""Settings of `firstday assign`."""

from pydantic import Field

from firstday.settings.inputs import InputSettings
from firstday.settings.kinds import Location


class AssignSettings(InputSettings):
    """Settings of `firstday assign`."""

    plan: Location = Field(description="The experiment's plan: a YAML file, as conf/experiment.yml.")
    units: Location = Field(
        description="Who may take part, a row each: a path (Delta, Parquet, CSV, JSON Lines) or a table name."
    )
    out: Location = Field(description="Where the assignments go: a folder or catalog.schema of their own.")
    instant_column: str | None = Field(
        None,
        min_length=1,
        description="Column of --units with the instant a unit comes in, such as anchored_at: its variant "
        "begins then, where that is later than the plan says.",
    )
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in."
    )
