"""Settings of `firstday maintain`."""

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from firstday.settings.kinds import Duration, Location, Settings

WEEK = timedelta(days=7)


class MaintainSettings(Settings):
    """Settings of `firstday maintain`."""

    out: Location = Field(
        description="Folder or catalog.schema that other jobs have written to: the --out of those."
    )
    retention: Duration = Field(
        WEEK,
        description="Earlier versions of the tables stay readable that long; files that only older ones need "
        "are deleted (VACUUM). Less than 7d needs --no-reader-is-older.",
    )
    no_reader_is_older: bool = Field(
        False,
        description="Say that no job or reader that is at work began longer ago than --retention: its files "
        "would be deleted under it.",
    )
    add_columns: bool = Field(
        False,
        description="Add columns that this version of firstday writes and the tables do not have yet; they "
        "are null in the rows that are there. Any other difference is told, and left.",
    )
    dry_run: bool = Field(False, description="Say what would be done, and change nothing.")
    experiment_name: str = Field(
        "firstday", min_length=1, description="MLflow experiment to record the run in."
    )

    @model_validator(mode="after")
    def _retention_is_safe(self) -> Self:
        if self.retention < WEEK and not self.no_reader_is_older:
            raise ValueError(
                "retention: less than 7d takes files from readers and jobs that began before; where there "
                "are none, say so with --no-reader-is-older"
            )
        return self
