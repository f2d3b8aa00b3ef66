"""The simulated app of `firstday loop --world app`: its tables as files that grow, and its experiments.

The jobs read the files, as they would read anybody's. What is planted stays in the app: only the index page
asks for it (`truth`).
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from firstday.errors import OutputError
from firstday.simulation.app import empty_app
from firstday.simulation.app_policies import listed, popularity, push
from firstday.simulation.app_world import App, Policy
from firstday.simulation.fraud import FEATURES, SANCTION_COLUMNS
from firstday.simulation.world import SEGMENTS

# Days that are played; of the ramp one more than its stages need, for the log ends a minute before midnight.
MONTH, TEST_DAYS, RAMP_DAYS = 28, 14, 25
KNOWN_AFTER = 2  # days from the last sign-up until D1 is known
RAMP = ((0.05, 0), (0.25, 8), (0.5, 16))  # share of the active users, and the day from which on
NEW_DAY, EXISTING_DAY = 1, 7  # Dn that is looked at; in a ramp it must be over before the next stage
ACTIVE_DAYS = 7  # who did something in the latest days is active
NAMED = {"experiment_name": "firstday-loop"}  # in MLflow: what is played is kept apart
NEW, EXISTING = "new_users", "existing_users"  # the experiments, and the tables of their units
# The variants: the moment is pushed, or the action that correlation alone would have chosen instead.
TREATMENT, RIVAL = "treatment", "most_correlated"
NEW_SHARES = {"control": 0.4, TREATMENT: 0.4, RIVAL: 0.2}
MARK = "made_by_firstday_loop"


class World:
    """The app and the folder with its tables, one file a table and played span."""

    def __init__(self, folder: Path, *, users: int, seed: int) -> None:
        """Raises OutputError where the folder is somebody else's; what an earlier loop left there goes."""
        if folder.exists() and not (folder / MARK).exists():
            raise OutputError(
                "the world's folder must be new, or one that firstday loop made",
                value=str(folder),
                next_step="name another --out",
            )
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / MARK).touch()
        self.folder = folder
        self.app: App = empty_app(users=users, dates=MONTH, seed=seed)

    def month(self) -> dict[str, int]:
        """Play the history, and write what the app knows of its contents and accounts; rows by table."""
        rows = self.play(MONTH, popularity)
        self._write("categories", self.app.categories, "all")
        self._write("contents", self.app.contents, "all")
        # Who is a bot is the truth: the steps do not get it.
        self._write("accounts", self.app.accounts.drop(columns="is_fraud"), "all")
        return rows

    def play(self, days: int, policy: Policy) -> dict[str, int]:
        """Play whole days and add their rows to the tables; how many, by table."""
        since, people = self.app.now, len(self.app.people)
        self.app.play(days, policy)
        new = {"users": self.app.users[people:], "customers": self.app.customers[people:]}
        first = self.app.day - days
        new |= {
            "events": self.app.events_since(first),
            "impressions": self.app.impressions_since(first),
            "reactions": self.app.reactions_since(first),
        }
        for name, rows in new.items():
            self._write(name, rows, f"from-{since:%Y-%m-%d}")
        return {name: len(rows) for name, rows in new.items()}

    def sign_ups(self, name: str, days: int) -> None:
        """A table of who will sign up in the next days, as a backend would draw it up day by day."""
        self._write(name, self.app.sign_ups(days), "all")

    def active(self, name: str) -> None:
        """A table of who did something lately."""
        there = self.app.events_since(self.app.day - ACTIVE_DAYS)["user_id"].unique()
        self._write(name, self.app.users[self.app.users["user_id"].isin(there)], "all")

    def plan(self, name: str, content: Mapping[str, Any]) -> str:
        """Write an experiment's plan; returns where it is."""
        path = self.folder / f"{name}.yml"
        path.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
        return str(path)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _write(self, table: str, rows: pd.DataFrame, part: str) -> None:
        folder = self.folder / table
        folder.mkdir(exist_ok=True)
        file = folder / f"{part}.parquet"
        rows.to_parquet(file, index=False)
        # In the world it is then, not now: played again the same, the files are the same to the loop, which
        # goes on from where it was stopped.
        os.utime(file, (self.app.now.timestamp(),) * 2)


@dataclass(frozen=True)
class Moment:
    """What discovery found, as the experiments push it."""

    action: str
    threshold: int


def month_steps(world: World) -> dict[str, dict[str, Any]]:
    """The steps label, discover, train and recommend, on what was logged."""
    functions = str(files("firstday.conf").joinpath("label_functions_demo.yml"))
    tables = {"tables": world.path(""), "segment": ["country"], "profile": [*SEGMENTS]}
    return {
        "label": NAMED
        | {
            "rows": world.path("accounts"),
            "functions": functions,
            "old_label": "sanctioned",
            "old_label_columns": [*SANCTION_COLUMNS],
            "features": [*FEATURES],
        },
        "discover": NAMED
        | {
            "users": world.path("users"),
            "events": world.path("events"),
            "segments": ["country", "channel"],
            "days": [1],
            "quick": True,  # pictures and resamples take as long as all the rest
        },
        # The moment is reached by a whole list; which of its contents helped is known from the clicks.
        "train": NAMED
        | tables
        | {
            "objective": "hypotheses",
            "moment_share": 0.5,
            "registered_model": "firstday-loop-ranker",
        },
        # Also by a ranker that is not shown to beat the baselines: the test shows it, and the page says so.
        "recommend": NAMED | tables | {"force": True},
    }


def test_steps(world: World, moment: Moment) -> dict[str, dict[str, Any]]:
    """The steps of the A/B test on new users, from now on."""
    starts = world.app.now.to_pydatetime()
    plan = {
        "experiment": NEW,
        "variants": NEW_SHARES,
        "starts_at": _text(starts),
        "ends_at": _text(starts + timedelta(days=TEST_DAYS + KNOWN_AFTER)),
        "metrics": _metrics(moment, NEW_DAY),
    }
    return _experiment(world, NEW, plan, instant_column="anchored_at")


def ramp_steps(world: World, moment: Moment) -> dict[str, dict[str, Any]]:
    """The steps of the ramp-up on active users, from now on."""
    starts = world.app.now.to_pydatetime()
    last = RAMP[-1][0]
    plan = {
        "experiment": EXISTING,
        "variants": {"control": 1 - last, TREATMENT: last},
        "starts_at": _text(starts),
        "ends_at": _text(starts + timedelta(days=RAMP_DAYS)),
        "ramp": [{"share": share, "starts_at": _text(starts + timedelta(days=day))} for share, day in RAMP],
        "metrics": _metrics(moment, EXISTING_DAY),
    }
    return _experiment(world, EXISTING, plan)


def _experiment(world: World, name: str, plan: dict[str, Any], **assigned: Any) -> dict[str, dict[str, Any]]:
    log = {table: world.path(table) for table in ("users", "events", "impressions", "reactions")}
    planned = {"plan": world.plan(name, plan), "units": world.path(name)}
    return {f"assign_{name}": NAMED | planned | assigned, f"measure_{name}": NAMED | log}


def _metrics(moment: Moment, day: int) -> list[dict[str, Any]]:
    return [
        {"name": f"retention_{day}", "kind": "retention", "day": day},
        {
            "name": "moment",
            "kind": "moment",
            "actions": [moment.action],
            "threshold": moment.threshold,
        },
        {"name": "click_rate", "kind": "click_rate", "window": "1d"},
    ]


def _text(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def lists(world: World, recommendations: pd.DataFrame) -> Policy:
    """Each user's recommendations; who has none sees what most stand on top for others of the country."""
    return listed(world.app, recommendations, by=("country",))


def pushed(action: str, after: Policy) -> Policy:
    """What the treated see: the contents that lead to the action first, then the lists."""
    return push(action, after)
