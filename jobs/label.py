"""Correct labels: votes to patterns, a label model on the patterns, soft labels for the rows."""

from collections.abc import Sequence
from pathlib import Path

from firstday import logs, runner
from firstday.cli import run_job
from firstday.labels.inputs import try_functions
from firstday.labels.trial import trial_text
from firstday.settings import LabelSettings
from firstday.spark.session import get_session
from firstday.tables import Sources


def run(settings: LabelSettings, run_id: str) -> Path | None:
    """Returns where the report is; None if the output is a schema, or the functions are only tried."""
    if settings.check:
        logs.result(trial_text(try_functions(Sources(get_session("firstday label")), settings)))
        return None
    return runner.run("label", settings, run_id)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday label`."""
    run_job("label", argv)


if __name__ == "__main__":
    main()
