"""Files that `firstday measure` reads in tests, its command, one row of what it found, and a small app."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tests.jobs.small import status

START = pd.Timestamp("2024-06-01", tz="UTC")
DAY = pd.Timedelta(days=1)
PLAN: dict[str, Any] = {
    "experiment": "push",
    "variants": {"control": 0.5, "treatment": 0.5},
    "starts_at": "2024-06-01T00:00:00Z",
}
D1 = {"name": "d1", "kind": "retention", "day": 1}
MOMENT = {"name": "moment", "kind": "moment", "actions": ["chat"], "threshold": 2}
CHATS = {"name": "chats", "kind": "count", "actions": ["chat"], "window": "2d", "covariate": "pre"}
VISITS = {"name": "visits", "kind": "count"}
RAMP = [{"share": share, "starts_at": f"2024-06-{day:02}T00:00:00Z"} for share, day in ((0.2, 1), (0.5, 5))]


class Files:
    """Tables of one test, written where they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def saved(self, name: str, frame: pd.DataFrame) -> Path:
        file = self.folder / f"{name}.parquet"
        frame.to_parquet(file, coerce_timestamps="us", allow_truncated_timestamps=True)
        return file

    def planned(self, **plan: Any) -> Path:
        (self.folder / "plan.yml").write_text(yaml.safe_dump(PLAN | plan))
        return self.folder / "plan.yml"

    def units(self, frame: pd.DataFrame, *flags: object) -> int:
        units = self.saved("units", frame)
        return status(["measure", "--units", units, "--out", self.out, *flags])

    def log(self, assignments: pd.DataFrame, events: pd.DataFrame, *flags: object, **plan: Any) -> int:
        where = ["--plan", self.planned(**plan), "--assignments", self.saved("assignments", assignments)]
        where += ["--events", self.saved("events", events), "--out", self.out]
        return status(["measure", *where, *flags])


def told(streams: Any) -> str:
    """What a job said: its messages, and its result on standard output."""
    err, out = (streams, "") if isinstance(streams, str) else (streams.err, streams.out)
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    return " ".join([*(line["message"] for line in lines), out]) if lines else err


def row(results: pd.DataFrame, method: str, metric: str | None = None, segment: str = "all") -> pd.Series:
    found = results[(results["method"] == method) & (results["segment"] == segment)]
    found = found if metric is None else found[found["metric"] == metric]
    return found[found["population"] == "all"].iloc[-1]


def app(count: int = 600) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Assignments, and a log in which the treatment makes people chat, and chatting makes them come back."""
    draw = np.random.default_rng(2)
    treated = np.arange(count) % 2 == 1
    at = (START + pd.to_timedelta(draw.integers(0, 6 * 24, count), unit="h")).as_unit("us")
    assignments = pd.DataFrame(
        {
            "unit_id": [f"u{number}" for number in range(count)],
            "experiment": "push",
            "variant": np.where(treated, "treatment", "control"),
            "assigned_at": at,
        }
    )
    chats = draw.poisson(1 + 2 * treated)
    back = draw.random(count) < 0.2 + 0.5 * (chats >= 2)
    parts = [
        (np.repeat(range(count), chats), "chat", pd.Timedelta(hours=1)),
        (np.flatnonzero(back), "open", 1.5 * DAY),
        (np.arange(0, count, 3), "chat", -DAY),  # before the assignment: known beforehand
    ]
    names = assignments["unit_id"].to_numpy()
    events = [
        pd.DataFrame({"user_id": names[who], "action": action, "occurred_at": at[who] + since})
        for who, action, since in parts
    ]
    # Others go on for a week: of a single later event nobody knows that the log was complete.
    days = [START + day * DAY for day in range(7, 16) for _ in range(5)]
    others = pd.DataFrame({"user_id": "nobody", "action": "open", "occurred_at": days})
    log = pd.concat([*events, others], ignore_index=True)
    return assignments, log.assign(occurred_at=log["occurred_at"].dt.as_unit("us"))
