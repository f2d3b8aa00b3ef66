"""What `firstday discover` reads: users, events and, where there are any, labels."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession

from firstday import logs
from firstday.errors import DataError
from firstday.moments import labelled
from firstday.settings import DiscoverSettings
from firstday.tables import Checked, Output, check, open_input, open_table, schemas
from firstday.windows import Windows, instant_at


def read(
    spark: SparkSession,
    settings: DiscoverSettings,
    windows: Windows,
    since: date | None,
    now: datetime,
    output: Output,
) -> list[Checked]:
    """The users, the events and, where there are any, the labels. Bad rows are set aside in `output`.

    Raises DataError where one has no rows.
    """
    zone = settings.input_time_zone
    with logs.step("Reading and checking the inputs") as step:
        users = check(
            open_input(spark, settings.users, name="users", time_zone=zone),
            schemas.users(settings.segments),
            now=now,
        )
        start = None if since is None else instant_at(windows.time_range([since])[0])
        events = check(
            open_input(spark, settings.events, name="events", time_zone=zone),
            schemas.events(settings.event_date_column),
            now=now,
            since=start - timedelta(days=1) if start else None,
        )
        found = [users, events]
        if settings.labels is not None:
            labels = open_table(spark, settings.labels, "soft_labels", name="labels")
            found.append(check(labels, schemas.user_labels(), now=now))
        output.quarantine(*found, max_bad_share=settings.max_bad_share)
        step.note(**{checked.source.name: checked.profile.rows for checked in found})
    for checked in found:
        if not checked.profile.rows - checked.profile.bad_rows:
            raise DataError(
                f"{checked.source.name} must have rows",
                value=checked.source.source,
                next_step="check the address, and that the upstream job has run",
            )
    return found


def horizon_of(settings: DiscoverSettings, inputs: Sequence[Checked], now: datetime) -> datetime:
    """Up to when the log is complete: as told, else up to its latest event.

    Not beyond now: a clock that runs ahead would close days which are not over, for good in a daily run.
    """
    latest = inputs[1].profile.latest
    return settings.horizon or (now if latest is None else min(latest, now))


def users_of(inputs: Sequence[Checked], settings: DiscoverSettings) -> tuple[DataFrame, Sequence[str]]:
    """The users to count, and what to count them by: their segments, and whether labels leave them out."""
    users = inputs[0].good
    if settings.labels is None:
        return users, settings.segments
    rows = labelled.with_left_out(
        *(users, inputs[2].good, settings.label_class), use=settings.label_use, limit=settings.label_limit
    )
    return rows, [*settings.segments, labelled.LEFT_OUT]
