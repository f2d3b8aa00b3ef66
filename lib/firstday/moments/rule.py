"""A candidate in words and as SQL."""

from datetime import timedelta

from firstday.settings import duration_text


def sentence(action: str, threshold: int, window: timedelta) -> str:
    """E.g. 'within 24 h of sign-up, did friend at least 3 times'."""
    length = duration_text(window)
    times = "once" if threshold == 1 else f"{threshold} times"
    return f"within {length[:-1]} {length[-1]} of sign-up, did {action} at least {times}"


def sql(action: str, threshold: int, window: timedelta, with_event_id: bool = False) -> str:
    """Spark SQL that gives the user_id of those who reached the candidate, from tables users and events."""
    times = "COUNT(DISTINCT e.event_id) + COUNT_IF(e.event_id IS NULL)" if with_event_id else "COUNT(*)"
    return (
        "SELECT u.user_id\n"
        "FROM users AS u JOIN events AS e ON e.user_id = u.user_id\n"
        f"WHERE e.action = {literal(action)}\n"
        "  AND e.occurred_at >= u.anchored_at\n"
        f"  AND e.occurred_at < u.anchored_at + INTERVAL '{int(window.total_seconds())}' SECOND\n"
        "GROUP BY u.user_id\n"
        f"HAVING {times} >= {int(threshold)}"
    )


def literal(text: str) -> str:
    """A string literal of Spark SQL: data, whatever is in it.

    A dollar sign is written by its code: Spark replaces ${...} also within a literal.
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024")
    return f"'{escaped}'"
