"""Settings of `firstday train`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from firstday.settings.bank import BankSettings
from firstday.settings.kinds import (
    SYNAPSEML,
    Coordinates,
    Duration,
    Location,
    Names,
    OpenShare,
    Settings,
    Share,
)

Objective = Literal["lambdarank", "binary", "hypotheses"]
Unit = Annotated[float, Field(gt=0, le=1)]


class Boosting(Settings):
    """LightGBM's parameters, by its own names. The defaults are those of its ranking example; for examples of
    a log `firstday train` has others, which what is given here overrides.
    """

    num_iterations: int = Field(100, ge=1, le=10_000)
    num_leaves: int = Field(31, ge=2, le=131_072)
    learning_rate: float = Field(0.1, gt=0)
    min_data_in_leaf: int = Field(50, ge=0)
    min_sum_hessian_in_leaf: float = Field(5.0, ge=0)
    max_depth: int = Field(-1, ge=-1)
    max_bin: int = Field(255, ge=2)
    lambda_l1: float = Field(0.0, ge=0)
    lambda_l2: float = Field(0.0, ge=0)
    min_gain_to_split: float = Field(0.0, ge=0)
    feature_fraction: Unit = 1.0
    bagging_fraction: Unit = 1.0
    bagging_freq: int = Field(0, ge=0)
    cat_smooth: float = Field(10.0, ge=0)
    early_stopping_round: int = Field(0, ge=0)  # measured on TUNED of the lists to learn from

    def otherwise(self, defaults: Mapping[str, float]) -> Self:
        """With other defaults for what was not given."""
        return self.model_copy(
            update={name: value for name, value in defaults.items() if name not in self.model_fields_set}
        )


class TrainSettings(BankSettings):
    """Settings of `firstday train`."""

    examples: Location | None = Field(
        None,
        description="Ready rows to learn from: a path (Delta, Parquet, CSV, JSON Lines) or a table name "
        "[default: the impressions of --tables].",
    )
    valid: Location | None = Field(
        None, description="Rows to measure on, of the same columns [default: part of --examples]."
    )
    out: Location = Field(description="Where results go: a folder or catalog.schema.")
    label: str = Field("label", min_length=1, description="Column with the label: the more the better.")
    group: str = Field(
        "group", min_length=1, description="Column that says which rows were one list, or one query."
    )
    features: Names = Field(
        ("f*",), description="Columns to learn from; * takes more than one, - leaves out: '*,-row_id'."
    )
    weight: str | None = Field(None, min_length=1, description="Column with the weight of a row.")
    category: str | None = Field(
        None,
        min_length=1,
        description="Column with what is ranked, for two of the baselines.",
    )
    order_by: str | None = Field(
        None,
        min_length=1,
        description="Column that orders the rows of a list [default: a hash; LambdaRank breaks ties by it].",
    )
    time: str | None = Field(
        None, min_length=1, description="Column with the instant of a list, to split by without --valid."
    )
    valid_share: OpenShare = Field(0.2, description="Share of the lists to measure on, without --valid.")
    objective: Objective | None = Field(
        None,
        description="The order within lists (lambdarank), the probability of a label of 1 (binary), or that "
        "of the moment in --hypotheses [default: lambdarank for --examples, binary for --tables].",
    )
    hypotheses: Location | None = Field(
        None, description="Output of firstday discover: its moment is what --objective hypotheses rewards."
    )
    candidate: str | None = Field(
        None,
        min_length=1,
        description="The candidate of --hypotheses' shortlist that is rewarded, as 'message>=3' or by its "
        "action [default: the first].",
    )
    moment_share: Share = Field(
        1.0, description="Of the label of --objective hypotheses; the rest rewards clicks and joins."
    )
    label_window: Duration = Field(
        timedelta(days=7), description="Time after an impression in which a click, join or moment counts."
    )
    valid_days: int = Field(7, ge=1, description="Latest days of the log to measure on, with --tables.")
    now: datetime | None = Field(
        None,
        description="Take the tables as they were known at this instant [default: the latest one there].",
    )
    train: Boosting = Field(Boosting(), description="LightGBM's parameters, as in --set train.num_leaves=31.")
    fit_timeout: Duration = Field(
        timedelta(hours=2),
        description="End the job when a fit takes longer: a lost worker may leave it waiting for ever.",
    )
    registered_model: str = Field(
        "firstday-ranker", min_length=1, description="Name of the model in MLflow's registry."
    )
    synapseml: Coordinates | None = Field(None, description=SYNAPSEML)
    seed: int = Field(7, ge=0, lt=2**31, description="Seed of all random numbers.")
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.examples is None) == (self.tables is None and not self.table):
            raise ValueError("give --examples, or --tables to make examples of")
        if (self.objective == "hypotheses") != (self.hypotheses is not None):
            raise ValueError("--objective hypotheses and --hypotheses go together")
        if self.candidate is not None and self.hypotheses is None:
            raise ValueError("--candidate is one of the shortlist of --hypotheses: give both")
        if self.objective == "hypotheses" and self.examples is not None:
            raise ValueError("--objective hypotheses is for --tables: ready examples have their label")
        if self.now is not None and self.now.tzinfo is None:
            raise ValueError("now must have an offset, as in 2024-05-31T00:00:00Z")
        if self.valid is not None and self.time is not None:
            raise ValueError("give --valid, or --time to split --examples by, not both")
        roles = [self.label, self.group, self.weight, self.order_by, self.time]
        named = [role for role in roles if role is not None]
        if len(set(named)) < len(named):
            raise ValueError("label, group, weight, order_by and time must be different columns")
        return self
