"""Settings of `firstday forget`."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from firstday.settings.kinds import Location, Settings, listed

MOST_PEOPLE = 1_000  # of one run: each is a word of every statement


def _ids(value: Any) -> Any:
    """Texts only: YAML reads 0012 as ten, and would name somebody else."""
    ids = listed(value)
    if not all(isinstance(each, str) for each in ids):
        raise ValueError("ids are texts: write them in quotes")
    if "" in ids or not ids:
        raise ValueError("at least one id must be given, and none may be empty")
    return tuple(dict.fromkeys(ids))


class ForgetSettings(Settings):
    """Settings of `firstday forget`."""

    out: Location = Field(
        description="Folder or catalog.schema that other jobs have written to: the --out of those."
    )
    user: Annotated[tuple[str, ...], BeforeValidator(_ids), Field(max_length=MOST_PEOPLE)] = Field(
        description="Id of the person to remove, as the tables have it; may be given again and again. Commas "
        "part ids: one with a comma in it goes into the --config file, as user: ['a,b']."
    )
    dry_run: bool = Field(False, description="Count what would be removed, and change nothing.")
    vacuum: bool = Field(
        False,
        description="Purge the removed rows at once. Without it their files stay for readers of earlier "
        "versions until the next VACUUM after the retention (7 days; firstday maintain). With it those "
        "readers fail, and so does a job that is writing there: say it when none is at work.",
    )
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in; ids are not recorded."
    )
