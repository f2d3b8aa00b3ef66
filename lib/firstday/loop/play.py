"""The loop on tables, or in the simulated app: run its steps, write the page that links them."""

import importlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday import __version__, logs
from firstday.job_list import JOBS
from firstday.loop import versions
from firstday.loop import world as played
from firstday.loop.page import TrueEffects, content
from firstday.loop.runner import Doors, Runner
from firstday.loop.state import State
from firstday.loop.steps import Step, steps_of
from firstday.loop.world import Moment
from firstday.segments import ALL
from firstday.settings import LoopSettings
from firstday.simulation.app_policies import by_variant
from firstday.spark import synapseml
from firstday.spark.session import get_session, local_conf, start_local
from firstday.tables import read_published

if TYPE_CHECKING:
    from firstday.simulation.app_world import App, Policy

# For a world's small tables: most of the time goes into planning and waiting.
SMALL = {"spark.sql.shuffle.partitions": "2", "spark.sql.adaptive.enabled": "false"}


def play(settings: LoopSettings, run_id: str) -> Path | None:
    """Run what has to run. Returns where the index page is; None if the output is a schema."""
    if settings.world is not None:
        return InWorld(settings, run_id).play()
    steps = steps_of(
        settings
    )  # what is wrong in the last step's settings is reported before the first one runs
    spark = get_session("firstday loop")
    for step in steps:
        if step.job == "train":  # refused before the steps that come first
            synapseml.require(spark, f"the step {step.name}")
    runner = _runner(spark, settings, run_id)
    runner.run(steps, settings.again)
    return _index(spark, settings, steps, runner) if settings.is_folder else None


def _runner(spark: SparkSession, settings: LoopSettings, run_id: str) -> Runner:
    def job(step: Step, run_id: str) -> None:
        importlib.import_module(JOBS[step.job].module).run(step.settings, run_id)

    doors = Doors(
        job, lambda step: versions.versions(spark, step), lambda step: versions.published_run(spark, step)
    )
    return Runner(State.read(settings.state_file), run_id, doors, __version__)


@dataclass
class Test:
    """An experiment in the world: the app as it was when it began, and what each variant saw."""

    start: "App"
    policies: Mapping[str, "Policy"]


class InWorld:
    """The loop in the simulated app: a month, a test on new users, a ramp on existing ones, one more day."""

    STEPS = 10  # four, two experiments of two, and two of them again

    def __init__(self, settings: LoopSettings, run_id: str) -> None:
        self.settings = settings
        self.spark = _small_session()
        synapseml.require(self.spark, "firstday loop --world")
        self.world = played.World(Path(settings.out) / "world", users=settings.users, seed=settings.seed)
        self.runner = _runner(self.spark, settings, run_id)
        self.written: dict[str, dict[str, Any]] = {}
        self.steps: dict[str, Step] = {}
        self.tests: dict[str, Test] = {}
        self.lists: Policy | None = None

    def play(self) -> Path | None:
        """Returns where the index page is."""
        with logs.step(f"Playing {played.MONTH} days of the app") as step:
            step.note(**self.world.month())
        month = played.month_steps(self.world)
        discovery = {name: month[name] for name in ("label", "discover")}
        self.run(discovery)
        moment = self.moment()
        if moment is None:
            logs.log.warning("Discovery found no moment: there is nothing to train for, and nothing to test.")
            return self.index()
        self.run({name: month[name] for name in ("train", "recommend")})
        self.lists = played.lists(self.world, self.published("recommend", "recommendations"))
        treated = {played.TREATMENT: played.pushed(moment.action, self.lists)}
        rival = {played.RIVAL: played.pushed(self.most_correlated(moment), self.lists)}
        self.world.sign_ups(played.NEW, played.TEST_DAYS)
        days = played.TEST_DAYS + played.KNOWN_AFTER
        self.experiment(played.NEW, played.test_steps(self.world, moment), treated | rival, days)
        self.world.active(played.EXISTING)
        self.experiment(played.EXISTING, played.ramp_steps(self.world, moment), treated, played.RAMP_DAYS)
        with logs.step("Playing one day more") as step:
            step.note(**self.world.play(1, treated[played.TREATMENT]))
        # The truth is the driver's alone, while Spark is at work; the jobs stay in the session's own thread.
        units = self.published(f"assign_{played.EXISTING}", "assignments")["unit_id"].drop_duplicates()
        with ThreadPoolExecutor(1) as pool:
            effects = pool.submit(self.effects, units)
            # New dates are counted. New lists, which every day has too, would take as long as the first did.
            self.run(discovery | {"discover": discovery["discover"] | {"daily": True}})
            with logs.step("Asking the simulation for the truth"):
                found = effects.result()
        return self.index(*found)

    def run(self, written: Mapping[str, dict[str, Any]]) -> None:
        """Run these steps; those that ran before are joined to them."""
        self.written.update(written)
        wanted = LoopSettings(out=self.settings.out, steps=self.written)
        steps = [step for step in steps_of(wanted) if step.name in written]
        self.runner.run(steps, first=len(self.runner.ran) + 1, total=self.STEPS)
        self.steps.update({step.name: step for step in steps})

    def experiment(
        self, name: str, written: Mapping[str, dict[str, Any]], policies: Mapping[str, "Policy"], days: int
    ) -> None:
        """Assign, play until all outcomes are known, measure."""
        assign, measure = written
        self.run({assign: written[assign]})
        self.tests[name] = Test(self.world.app.copy(), policies)
        policy = by_variant(self.published(assign, "assignments"), policies)
        with logs.step(f"Playing {days} days") as step:
            step.note(**self.world.play(days, policy))
        self.run({measure: written[measure]})

    def published(self, step: str, table: str) -> pd.DataFrame:
        return read_published(self.spark, self.steps[step].out, table).toPandas()

    def moment(self) -> "Moment | None":
        """What discovery found; None where it is nothing."""
        [row] = read_published(self.spark, self.steps["discover"].out, "hypotheses").collect()
        return Moment(row["action"], row["threshold"]) if row["verdict"] != "none" else None

    def most_correlated(self, moment: "Moment") -> str:
        """The action, other than the moment's, that goes best with coming back."""
        candidates = read_published(self.spark, self.steps["discover"].out, "moments")
        others = candidates.where(
            (F.col("segment") == ALL) & (F.col("day") == played.NEW_DAY) & (F.col("action") != moment.action)
        )
        [row] = others.orderBy(F.desc_nulls_last("phi"), "action").limit(1).collect()
        return str(row["action"])

    def index(
        self, truths: Mapping[str, str] = MappingProxyType({}), effects: TrueEffects = MappingProxyType({})
    ) -> Path:
        """Write the page. truths: by step, what is true beside labels and moment; effects: the true ones."""
        from firstday.loop import truth

        known = {
            "label": truth.labels(self.world.app, self.published("label", "soft_labels")),
            "discover": truth.moment(self.world.app, self.moment()),
        }
        return _index(
            self.spark, self.settings, [*self.steps.values()], self.runner, {**known, **truths}, effects
        )

    def effects(self, active: "pd.Series[str]") -> tuple[dict[str, str], TrueEffects]:
        """What lists and experiments truly do, by step and by effect; active: whom the ramp is on."""
        from firstday.loop import truth

        assert self.lists is not None
        new, existing = self.tests[played.NEW], self.tests[played.EXISTING]
        treated, rival = new.policies[played.TREATMENT], new.policies[played.RIVAL]
        on_new = truth.on_new_users(new.start, treated, rival, self.lists)
        on_active = truth.on_active_users(existing.start, existing.policies[played.TREATMENT], active)
        sentences = {
            "recommend": f"Shown to all new users, these lists alone change D1 by {on_new.lists}.",
            f"measure_{played.NEW}": (
                f"Shown to all new users, {played.TREATMENT} moves D1 by {on_new.treatment}, and "
                f"{played.RIVAL}, the push to what correlation alone would choose, by {on_new.rival}."
            ),
            f"measure_{played.EXISTING}": (
                f"Shown to all who are active, the change moves D{played.EXISTING_DAY} by {on_active}."
            ),
        }
        day, later = f"retention_{played.NEW_DAY}", f"retention_{played.EXISTING_DAY}"
        return sentences, {
            (played.NEW, day, played.TREATMENT): on_new.treatment.effect,
            (played.NEW, day, played.RIVAL): on_new.rival.effect,
            (played.EXISTING, later, played.TREATMENT): on_active.effect,
        }


def _index(
    spark: SparkSession,
    settings: LoopSettings,
    steps: Sequence[Step],
    runner: Runner,
    truth: Mapping[str, str] = MappingProxyType({}),
    true_effects: TrueEffects = MappingProxyType({}),
) -> Path:
    """Write the page that links the steps' reports; returns where it is."""
    from firstday.loop.report import index_report, loop_text

    with logs.step("Writing the index page"):
        answers = content(spark, settings.out, steps, runner, truth, true_effects)
        page = index_report(answers)
    logs.result(loop_text(answers))
    file = Path(settings.out) / "index.html"
    file.write_text(page.html, encoding="utf-8")
    return file


def _small_session() -> SparkSession:
    """Local mode, set up for small tables where nobody else has set it up."""
    if SparkSession.getActiveSession() is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        start_local(local_conf("firstday loop") | SMALL)
    return get_session("firstday loop")
