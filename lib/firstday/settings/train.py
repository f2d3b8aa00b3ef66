"""Settings of `firstday train`."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from firstday.settings.kinds import Duration, Location, Names, OpenShare, Settings, Share, TimeZone

Loss = Literal["lambdarank", "binary"]
Unit = Annotated[float, Field(gt=0, le=1)]


class Boosting(Settings):
    """LightGBM's parameters, by its own names. The defaults are those of its ranking example."""

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


class TrainSettings(Settings):
    """Settings of `firstday train`."""

    examples: Location = Field(
        description="Rows to learn from: a path (Delta, Parquet, CSV, JSON Lines) or a table name."
    )
    valid: Location | None = Field(
        None, description="Rows to measure on, of the same columns [default: part of --examples]."
    )
    out: Location = Field(description="Where results go: a folder or catalog.schema.")
    label: str = Field("label", min_length=1, description="Column with the label: the more the better.")
    group: str = Field(
        "group", min_length=1, description="Column that says which rows were one list, or one query."
    )
    features: Names = Field(("f*",), description="Columns to learn from; * takes more than one.")
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
    objective: Loss = Field(
        "lambdarank", description="The order within lists, or the probability of a label of 1."
    )
    train: Boosting = Field(Boosting(), description="LightGBM's parameters, as in --set train.num_leaves=31.")
    fit_timeout: Duration = Field(
        timedelta(hours=2),
        description="End the job when a fit takes longer: a lost worker may leave it waiting for ever.",
    )
    registered_model: str = Field(
        "firstday-ranker", min_length=1, description="Name of the model in MLflow's registry."
    )
    max_bad_share: Share = Field(0.05, description="Stop when a larger share of an input's rows is bad.")
    input_time_zone: TimeZone | None = Field(
        None, description="Zone of input timestamps that carry none; without it such input is refused."
    )
    seed: int = Field(7, ge=0, lt=2**31, description="Seed of all random numbers.")
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.valid is not None and self.time is not None:
            raise ValueError("give --valid, or --time to split --examples by, not both")
        roles = [self.label, self.group, self.weight, self.order_by, self.time]
        named = [role for role in roles if role is not None]
        if len(set(named)) < len(named):
            raise ValueError("label, group, weight, order_by and time must be different columns")
        return self
