"""Settings of `firstday loop`."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from firstday.settings.kinds import Location, Names, Settings


class LoopSettings(Settings):
    """Settings of `firstday loop`."""

    out: Location = Field(description="Where results go, a folder a step in it: a folder or catalog.schema.")
    steps: dict[str, dict[str, Any]] = Field(
        {},
        description="The steps: label, discover, train, recommend, assign, measure, as far as wanted, each "
        "with the settings of its job; conf/loop.yml explains it.",
    )
    again: Names = Field((), description="Steps to run although nothing has changed.")
    state: Location | None = Field(
        None,
        description="File that remembers what was done [default: loop_state.json in --out, where that is a "
        "folder].",
    )
    world: Literal["app"] | None = Field(
        None, description="Instead of your own tables: play everything in a simulated app with a known truth."
    )
    users: int = Field(
        20_000, ge=500, le=1_000_000, description="--world: users who sign up in the app's first month."
    )
    seed: int = Field(7, ge=0, lt=2**31, description="--world: seed of the app.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.steps) == (self.world is not None):
            raise ValueError("give steps (in a file: --config loop.yml), or --world")
        if self.world is not None and not self.is_folder:
            raise ValueError("out must be a folder with --world")
        if not self.is_folder and self.state is None:
            raise ValueError("state must be given where out is a schema: a file outlives the loop's machine")
        if self.world is None and (given := {"users", "seed"} & self.model_fields_set):
            raise ValueError(f"{sorted(given)[0]} goes with --world")
        return self

    @property
    def is_folder(self) -> bool:
        """Whether `out` is a folder; a name with dots is that of a schema."""
        return "/" in self.out or "." not in self.out

    @property
    def state_file(self) -> str:
        """Where what was done is remembered."""
        return self.state or f"{self.out.rstrip('/')}/loop_state.json"
