"""Small logs, the job run on them, and what it should have counted, user by user."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from firstday.jobs import discover
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from firstday import cli
from firstday.settings import DiscoverSettings
from tests.tables import independent
from tests.tables.memory import Memory

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2024-03-01", tz="UTC")
ACTIONS = ("browse", "like", "message", "invite", "save")
KEYS = ["segment", "action", "threshold", "day"]
COUNTS = ["users", "experienced", "retained", "both"]
TABLES = (
    "moment_counts", "moment_products", "moment_timing", "moment_pairs", "moments", "moment_halves",
    "action_evidence", "moment_trends", "funnel", "hypotheses", "conjunctions",
)  # fmt: skip
LABEL_TABLES = ("left_out_counts", "left_out_products", "label_changes")


@dataclass(frozen=True)
class Log:
    """users: user_id, anchored_at, segments; events: user_id, action, occurred_at, perhaps event_id."""

    users: pd.DataFrame
    events: pd.DataFrame
    folder: Path = field(default=Path())

    def saved(self, folder: Path) -> "Log":
        """Written as users.parquet and events.parquet."""
        folder.mkdir(parents=True, exist_ok=True)
        self.users.to_parquet(folder / "users.parquet")
        self.events.to_parquet(folder / "events.parquet")
        return replace(self, folder=folder)

    def settings(self, out: Path, **others: Any) -> DiscoverSettings:
        where = {name: str(self.folder / f"{name}.parquet") for name in ("users", "events")}
        return DiscoverSettings(**{**where, "out": str(out), "min_users": 5, "bootstrap": 10, **others})


def made(*, users: int, dates: int, seed: int = 1, actions: Sequence[str] = ACTIONS, **segments: Any) -> Log:
    """Users who sign up over some dates, do more or less on their first day and come back on some days.

    segments: by name, the values that users have. To the second, and some events lie on a window's edge.
    """
    draw = np.random.default_rng(seed)
    anchor = START + pd.to_timedelta(np.sort(draw.integers(0, dates * 86_400, users)), unit="s")
    ids = np.array([f"user {number}" for number in range(users)])
    engagement = draw.normal(size=users)
    rate = np.exp(0.3 + 0.8 * engagement[:, None] + draw.normal(0, 0.4, len(actions)))
    counts = draw.poisson(rate)
    who, what = (np.repeat(index, counts[counts > 0]) for index in np.nonzero(counts))
    offset = draw.integers(0, 86_401, len(who))  # the last second is outside of the window
    for day in range(1, 9):
        back = np.flatnonzero(draw.random(users) < 1 / (1 + np.exp(0.2 * day - engagement)))
        who, what = np.append(who, back), np.append(what, draw.integers(0, len(actions), len(back)))
        offset = np.append(offset, day * 86_400 + draw.integers(0, 86_401, len(back)))
    events = pd.DataFrame(
        {
            "user_id": ids[who],
            "action": np.array(actions, dtype=object)[what],
            "occurred_at": (anchor[who] + pd.to_timedelta(offset, unit="s")).as_unit("us"),
        }
    )
    columns = {
        name: np.array(values, dtype=object)[draw.integers(0, len(values), users)]
        for name, values in segments.items()
    }
    people = pd.DataFrame({"user_id": ids, "anchored_at": anchor.as_unit("us"), **columns})
    return Log(people, events.sort_values("occurred_at", ignore_index=True))


def run(log: Log, out: Path, run_id: str, **settings: Any) -> Path | None:
    return discover.run(log.settings(out, **settings), run_id)


def status(argv: Sequence[object]) -> int:
    """The exit status of a command."""
    try:
        cli.main([str(word) for word in argv])
    except SystemExit as end:
        return int(str(end.code))
    return 0


def published(out: Path, name: str) -> pd.DataFrame:
    """The rows of the latest published run, as `ordered` has them."""
    return ordered(independent.published(out, name))


def ordered(frame: Any) -> pd.DataFrame:
    """The rows, sorted, with lists for arrays."""
    for column in frame.select_dtypes("object").columns:
        frame[column] = [list(value) if isinstance(value, np.ndarray) else value for value in frame[column]]
    order = sorted(range(len(frame)), key=lambda row: [repr(value) for value in frame.iloc[row]])
    return frame.iloc[order].reset_index(drop=True)


class Collected(Memory):
    """A store that holds the tables' rows: what is told about a log does not depend on Delta."""

    def __init__(self, spark: SparkSession) -> None:
        super().__init__()
        self.spark = spark

    def clear(self) -> None:
        """As new."""
        vars(self).update(vars(Collected(self.spark)))

    def read(self, name: str, run_id: str) -> DataFrame:
        rows: Any = super().read(name, run_id)
        schema = self.schemas[name]
        return self.spark.createDataFrame([[row[key] for key in schema.names] for row in rows], schema)

    def append(self, name: str, frame: Any, run_id: str, schema: StructType) -> int:
        return super().append(name, frame.collect(), run_id, schema)

    def write_folder(self, name: str, frame: DataFrame, form: str) -> str:
        self.files[f"{name}.{form}"] = str(frame.count()).encode()
        return name

    def rows(self, name: str) -> pd.DataFrame:
        return pd.DataFrame([row.asDict() for _, row in self.tables[name]], columns=self.schemas[name].names)

    def same_results(self, other: "Collected", tables: Sequence[str]) -> None:
        """These tables have the same rows in both, floats to the last bit."""
        for name in tables:
            one, two = (ordered(store.rows(name)) for store in (self, other))
            pd.testing.assert_frame_equal(one, two, check_exact=True, obj=name)


def brute_force(
    log: Log,
    segments: Sequence[str],
    days: Sequence[int],
    min_users: int,
    *,
    horizon: pd.Timestamp | None = None,
    thresholds: Sequence[int] = (),
    returns: Sequence[str] = (),
) -> dict[tuple[str, str, int, int], tuple[int, int, int, int]]:
    """(segment, action, threshold, day) -> users, experienced, retained, both: 24 h windows, rolling days.

    For a log without bad rows; horizon: the latest event if not given; returns: actions, or any.
    """
    users = log.users.set_index("user_id")
    horizon = log.events["occurred_at"].max() if horizon is None else horizon
    joined = log.events[log.events["occurred_at"] <= horizon].join(users, on="user_id", how="inner")
    since = joined["occurred_at"] - joined["anchored_at"]
    first = joined[(since >= 0 * DAY) & (since < DAY)]
    counts = first.groupby(["user_id", "action"]).size().unstack(fill_value=0)
    counts = counts.reindex(users.index, fill_value=0)
    is_return = joined["action"].isin(returns) if returns else True
    found: dict[tuple[str, str, int, int], tuple[int, int, int, int]] = {}
    for day in days:
        known = users["anchored_at"] + (day + 1) * DAY <= horizon
        on_day = (since >= day * DAY) & (since < (day + 1) * DAY) & is_return
        back = users.index.isin(joined.loc[on_day, "user_id"])
        for segment, there in _segments(users, segments):
            inside = there & known.to_numpy()
            if segment != "all" and inside.sum() < min_users:
                continue
            for action in counts.columns[(counts[there] > 0).any()]:
                done = counts[action].to_numpy()
                for threshold in thresholds or np.unique(done[there & (done > 0)]):
                    reached = inside & (done >= threshold)
                    found[segment, str(action), int(threshold), day] = (
                        int(inside.sum()),
                        int(reached.sum()),
                        int((inside & back).sum()),
                        int((reached & back).sum()),
                    )
    return found


def counted(moments: pd.DataFrame) -> dict[tuple[str, str, int, int], tuple[int, int, int, int]]:
    """The table `moments` in the form of `brute_force`."""
    assert not moments.duplicated(KEYS).any()
    return {tuple(row[:4]): tuple(row[4:]) for row in moments[KEYS + COUNTS].itertuples(index=False)}


def _segments(users: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    for size in range(len(names) + 1):
        for subset in combinations(names, size):
            if not subset:
                yield "all", np.ones(len(users), dtype=bool)
                continue
            for values, rows in users.groupby(list(subset)).groups.items():
                of_names = values if isinstance(values, tuple) else (values,)
                label = ",".join(f"{name}={value}" for name, value in zip(subset, of_names, strict=True))
                yield label, users.index.isin(rows)
