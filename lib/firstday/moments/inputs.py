"""What `firstday discover` reads: users, events and, where there are any, labels."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from pyspark.sql import DataFrame

from firstday import logs
from firstday.errors import DataError
from firstday.moments import labelled
from firstday.settings import DiscoverSettings
from firstday.tables import Checked, Input, Sources, check, schemas
from firstday.tables.horizon import complete_until
from firstday.tables.log import fold, folded, users_of_log
from firstday.tables.meeting import Side, meet
from firstday.tables.reading import has_event_id, noted, reading, said
from firstday.tables.resends import once
from firstday.windows import Windows, instant_at


def read(
    sources: Sources, settings: DiscoverSettings, windows: Windows, since: date | None, now: datetime
) -> list[Checked]:
    """The users, the events and, where there are any, the labels. Bad rows are set aside.

    Raises DataError where one has no rows.
    """
    with logs.step("Reading and checking the inputs") as step:
        source = sources.open(settings.events, "events", reading(settings, "events"))
        start = None if since is None else instant_at(windows.time_range([since])[0])
        # Without users the whole log is read: who is new on a date shows in what was before.
        events = check(
            source,
            schemas.events(
                settings.event_date_column,
                segments=settings.segments if settings.users is None else (),
                with_id=has_event_id(settings),
            ),
            now=now,
            since=start - timedelta(days=1) if start and settings.users is not None else None,
        )
        sources.quarantine(events, max_bad_share=settings.max_bad_share)
        _refuse_empty(events, source, settings, start, now)
        events = folded(events, settings.fold_actions)
        events = once(
            events, "event_id", ["user_id", "action"], max_bad_share=settings.max_bad_share, drop=False
        )
        users = _users(sources, settings, events, now)
        found = [users, events]
        if settings.users is not None:
            found[0] = noted(
                users, meet(Side(users, "user_id"), Side(events, "user_id"), quietly=bool(since))
            )
        if settings.labels is not None:
            labels = sources.open_table(settings.labels, "soft_labels", "labels", reading(settings, "labels"))
            checked = check(labels, schemas.user_labels(), now=now)
            sources.quarantine(checked, max_bad_share=settings.max_bad_share)
            _refuse_empty(checked)
            found.append(noted(checked, meet(Side(users, "user_id"), Side(checked, "user_id"))))
        end = complete_until([events]) if settings.horizon is None else None
        found[1] = noted(events, end.note if end else None)
        step.note(**{checked.source.name: checked.profile.rows for checked in found})
    said(*found)
    return found


def _users(sources: Sources, settings: DiscoverSettings, events: Checked, now: datetime) -> Checked:
    """The table of users; without one, the users of the log."""
    if settings.users is None:
        return users_of_log(events, settings.segments, anchor_action_of(settings))
    users = check(
        sources.open(settings.users, "users", reading(settings, "users")),
        schemas.users(settings.segments),
        now=now,
    )
    sources.quarantine(users, max_bad_share=settings.max_bad_share)
    _refuse_empty(users)
    return users


def anchor_action_of(settings: DiscoverSettings) -> str | None:
    """The action that starts users' clocks, as the log that was read has it."""
    action = settings.anchor_action
    return fold(action) if action is not None and settings.fold_actions else action


def return_actions_of(settings: DiscoverSettings) -> tuple[str, ...]:
    """The actions that count as a return, as the log that was read has them."""
    return tuple(map(fold, settings.return_actions)) if settings.fold_actions else settings.return_actions


def _refuse_empty(
    checked: Checked,
    source: Input | None = None,
    settings: DiscoverSettings | None = None,
    start: datetime | None = None,
    now: datetime | None = None,
) -> None:
    """Raise DataError where no row is good; of a daily run's log say whether there are later ones."""
    if checked.profile.rows - checked.profile.bad_rows:
        return
    if source is not None and settings is not None and start is not None and now is not None:
        whole = check(source, schemas.events(with_id=False), now=now, since=start)
        if whole.profile.rows:
            raise DataError(
                f"--event-date-column must hold the UTC date of occurred_at: from {start:%Y-%m-%d} on it "
                f"leads to no row, but {whole.profile.rows:,} occurred since then",
                value=settings.event_date_column,
                next_step="mend the column, or run without --event-date-column",
            )
        raise DataError(
            f"a daily run needs events from {start:%Y-%m-%d} on, and the log has none",
            value=checked.source.source,
            next_step="check that the upstream job has run",
        )
    raise DataError(
        f"{checked.source.name} must have rows",
        value=checked.source.source,
        next_step="check the address, and that the upstream job has run",
    )


def horizon_of(settings: DiscoverSettings, inputs: Sequence[Checked], now: datetime) -> datetime:
    """Up to when the log is complete: as given, else up to where its dates are full (`complete_until`).

    Not beyond now: a clock that runs ahead would close days which are not over, for good in a daily run.
    """
    end = complete_until([inputs[1]])
    return settings.horizon or (now if end is None else min(end.at, now))


def users_of(inputs: Sequence[Checked], settings: DiscoverSettings) -> tuple[DataFrame, Sequence[str]]:
    """The users to count, and what to count them by: their segments, and whether labels leave them out."""
    users = inputs[0].good
    if settings.labels is None:
        return users, settings.segments
    rows = labelled.with_left_out(
        *(users, inputs[2].good, settings.label_class), use=settings.label_use, limit=settings.label_limit
    )
    return rows, [*settings.segments, labelled.LEFT_OUT]
