"""Settings of `firstday label`."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from firstday.settings.inputs import InputSettings
from firstday.settings.kinds import SYNAPSEML, Coordinates, Location, Names, OpenShare, listed

ModelKind = Literal["auto", "majority", "propensity", "confusion", "structure", "precision", "latent_class"]
Shares = Annotated[tuple[OpenShare, ...], BeforeValidator(listed)]
MOST_CLASSES = 100


class LabelSettings(InputSettings):
    """Settings of `firstday label`."""

    votes: Location | None = Field(
        None,
        description="Votes that exist: wide (row_id, a column a voter) or long (row_id, voter, vote); "
        "-1 abstains.",
    )
    votes_coding: Literal["classes", "signs"] | None = Field(
        None,
        description="What votes are: classes 0, 1, ... and -1 to abstain [default], or signs, 1 and -1 for "
        "the classes 1 and 0 and 0 to abstain.",
    )
    rows: Location | None = Field(
        None, description="Rows to label: a path (Delta, Parquet, CSV, JSON Lines) or a table name."
    )
    functions: Location | None = Field(
        None, description="Label functions for --rows: a YAML file or a Python file."
    )
    check: bool = Field(
        False,
        description="Only try the label functions on the first 1,000 rows: what each votes for, examples, "
        "conflicts. Nothing is written.",
    )
    out: Location = Field(description="Where results go: a folder or catalog.schema.")
    model: Location | None = Field(
        None, description="Apply the model fitted in this folder or catalog.schema, without fitting again."
    )
    model_kind: ModelKind = Field("auto", description="Label model; auto chooses by the votes.")
    classes: int | None = Field(
        None, ge=2, le=MOST_CLASSES, description="Number of classes [default: what the votes show]."
    )
    balance: Shares = Field(
        (),
        max_length=MOST_CLASSES,
        description="Shares of the classes, where they are known [default: learned from the votes].",
    )
    gold: str | None = Field(None, min_length=1, description="Column with known labels, for measuring only.")
    old_label: str | None = Field(
        None, min_length=1, description="Column with the old labels, to compare with."
    )
    features: Names = Field(
        (),
        description="Columns the classifier learns from; * takes more than one, - leaves out: '*,-gold'.",
    )
    positive: str | None = Field(
        None, min_length=1, description="The class that is looked for, by name or number [default: the last]."
    )
    call_precision: OpenShare | None = Field(
        None, description="Call as many rows as leave this share of the called expected to be positive."
    )
    cost_ratio: float | None = Field(
        None, gt=0, description="Call by cost: a row called wrongly costs as much as so many that are missed."
    )
    capacity: int | None = Field(
        None, ge=1, description="Call the most likely so many rows, such as can be looked at."
    )
    stake: str | None = Field(
        None, min_length=1, description="Column with an amount a row: adds the amounts called and missed."
    )
    audit: int | None = Field(
        None, ge=1, description="Draw so many rows to check by hand, those that tell most: table label_audit."
    )
    audited: Location | None = Field(
        None,
        description="What --audit drew, with the checked classes in a column answer: estimates, calibration.",
    )
    audited_random: Location | None = Field(
        None, description="The same of rows (row_id, answer) that are a random sample of all rows."
    )
    precision: OpenShare | None = Field(
        None,
        description="Precision, against the label model, that the classifier's threshold is set for "
        "[default: as rows are called].",
    )
    allow_overlap: bool = Field(
        False, description="Let label functions read features, or columns of the old label's rule."
    )
    old_label_columns: Names = Field((), description="Columns that the old label's rule reads.")
    period: str | None = Field(
        None, min_length=1, description="Column of periods (a date, a week, ...) to watch votes drift over."
    )
    max_patterns: int = Field(
        200_000, ge=1, description="Distinct patterns to fit on the driver; more are fitted by Spark."
    )
    registered_model: str = Field(
        "firstday-label", min_length=1, description="Name of the classifier in MLflow's registry."
    )
    synapseml: Coordinates | None = Field(None, description=SYNAPSEML)
    seed: int = Field(7, ge=0, lt=2**32, description="Seed of all random numbers.")
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in."
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_to_write(cls, given: Any) -> Any:
        is_check = isinstance(given, dict) and str(given.get("check", "")).lower() in ("true", "1")
        return {"out": ".", **given} if is_check else given

    @model_validator(mode="after")
    def _one_of_a_kind(self) -> Self:
        rules = (self.call_precision, self.cost_ratio, self.capacity)
        if sum(rule is not None for rule in rules) > 1:
            raise ValueError("--call-precision, --cost-ratio and --capacity exclude one another: give one")
        if self.check and self.functions is None:
            raise ValueError("--check tries label functions: give --rows and --functions")
        if self.audited is not None and self.audited_random is not None:
            raise ValueError("--audited and --audited-random exclude each other: give one")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.votes is None) == (self.rows is None):
            raise ValueError("give --votes, or --rows with --functions")
        if (self.rows is None) != (self.functions is None):
            raise ValueError("--rows and --functions go together: functions vote on rows")
        if (self.old_label is None) != (not self.features):
            raise ValueError("--old-label and --features go together: a classifier is trained on both labels")
        if self.votes_coding is not None and self.votes is None:
            raise ValueError("--votes-coding says what --votes are: give both")
        if self.features and self.rows is None:
            raise ValueError("--features are columns of --rows: votes alone train no classifier")
        if self.model is not None and (self.balance or self.model_kind != "auto"):
            raise ValueError("--model applies a fitted model: leave out --balance and --model-kind")
        if self.balance:
            if self.classes is not None and len(self.balance) != self.classes:
                raise ValueError(f"balance has {len(self.balance)} shares for {self.classes} classes")
            if len(self.balance) < 2 or abs(sum(self.balance) - 1) > 1e-6:
                raise ValueError("balance must have a share for each class, and they must add up to 1")
        return self
