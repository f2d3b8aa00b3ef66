"""An invented log for the benchmarks, made by DuckDB: users.parquet and events/event_date=.../*.parquet."""

from pathlib import Path

import duckdb

FIRST_DATE = "2026-01-01"
DATES = 90
ACTIONS = 40

USERS = """
select
    md5('user' || i)[:16] as user_id,
    timestamptz '{first} 00:00:00+00'
        + to_microseconds(cast(random() * {dates} * 86400e6 as bigint)) as anchored_at,
    ['US', 'IN', 'BR', 'DE', 'JP', 'KR', 'FR', 'MX', 'ID', 'NG'][
        1 + cast(floor(10 * pow(random(), 2)) as int)] as country,
    ['f', 'm', null][1 + cast(floor(2.2 * random()) as int)] as gender,
    ['search', 'ads', 'friend', 'store', 'mail'][1 + cast(floor(5 * pow(random(), 1.5)) as int)] as channel,
    exp(0.9 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) as engagement,
    i
from range({users}) r(i)
"""

# 40 % of a user's events lie in the first day, most of them early in it; the rest spread over a month.
EVENTS = """
with each as (
    select u.*, random() as early, random() as r, pow(random(), 2) as which
    from users u, range(cast(ceil(engagement * {a_user}) as int))
)
select user_id, action, occurred_at, cast(occurred_at at time zone 'UTC' as date) as event_date
from (
    select
        user_id,
        'action_' || lpad(cast(floor(which * {actions}) as int)::varchar, 2, '0') as action,
        anchored_at + to_microseconds(cast(case
            when early < 0.4 then 86400e6 * least(0.999, -ln(1 - r) / 5)
            else 86400e6 * (1 + -ln(1 - r) * 8) end as bigint)) as occurred_at
    from each
)
where occurred_at < timestamptz '{first} 00:00:00+00' + to_days({dates})
order by event_date, occurred_at
"""


def make(folder: Path, users: int, events: int) -> None:
    """Write about `events` events of `users` users over 90 dates, in the order of time, a folder a date."""
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'; select setseed(0.5); set threads = 1")
        values = {"first": FIRST_DATE, "dates": DATES, "actions": ACTIONS, "users": users}
        db.execute("create table users as " + USERS.format(**values))
        # Some events fall behind the end of the log: aim higher by their share, seen on this very world.
        a_user = 0.702 * events / users
        db.execute("create table log as " + EVENTS.format(**values, a_user=a_user))
        folder.mkdir(parents=True, exist_ok=True)
        db.execute(
            f"copy (select * exclude (engagement, i) from users order by i) to '{folder}/users.parquet'"
        )
        db.execute(
            f"copy log to '{folder}/events' "
            "(format parquet, partition_by (event_date), row_group_size 122880)"
        )
