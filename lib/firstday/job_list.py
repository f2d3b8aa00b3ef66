"""The jobs, the one list of them. What a job needs is named here, and loaded when it is used."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from firstday.settings import (
    AssignSettings,
    DiscoverSettings,
    ForgetSettings,
    LabelSettings,
    LoopSettings,
    MaintainSettings,
    MeasureSettings,
    RecommendSettings,
    Settings,
    SimulateSettings,
    TrainSettings,
)

if TYPE_CHECKING:
    from pyspark.sql.types import StructType


@dataclass(frozen=True)
class Job:
    """A subcommand of `firstday`.

    settings: its own. summary: for its help. module: whose `run(settings, run_id)` does the work. stage: the
    `Stage` that it calls, as 'module:NAME'; tables: in the same way, by name and without run_id, the tables
    that it writes whatever its settings. question: that it answers as a step of a loop. data: the settings
    that are an input, with the table's name where the address is an output of ours.
    """

    settings: type[Settings]
    summary: str
    module: str
    stage: str = ""
    tables: str = ""
    question: str = ""
    data: Mapping[str, str] = field(default_factory=dict)


# Those with a question are in the order in which they need one another.
JOBS = {
    "label": Job(
        LabelSettings,
        "Correct labels: functions vote, a model weighs them.",
        "firstday.jobs.label",
        stage="firstday.labels.pipeline:LABEL_STAGE",
        tables="firstday.labels.outputs:TABLES",
        question="Which users can we believe?",
        data={
            "rows": "rows",
            "votes": "votes",
            "model": "label_model",
            "audited": "audited",
            "audited_random": "audited",
        },
    ),
    "discover": Job(
        DiscoverSettings,
        "Find what, done on the first day, makes users stay.",
        "firstday.jobs.discover",
        stage="firstday.moments.pipeline:DISCOVER_STAGE",
        tables="firstday.moments.outputs:DECLARED",
        question="What, done on the first day, makes users stay?",
        data={
            "users": "users",
            "events": "events",
            "labels": "soft_labels",
            "results": "experiment_results",
        },
    ),
    "train": Job(
        TrainSettings,
        "Train a ranker, and say whether it beats simple baselines.",
        "firstday.jobs.train",
        stage="firstday.ranking.pipeline:TRAIN_STAGE",
        tables="firstday.ranking.outputs:TABLES",
        question="Which contents bring that about?",
        data={"examples": "examples", "valid": "valid", "hypotheses": "hypotheses"},
    ),
    "recommend": Job(
        RecommendSettings,
        "Make each customer's list of contents.",
        "firstday.jobs.recommend",
        stage="firstday.recommendations.pipeline:RECOMMEND_STAGE",
        tables="firstday.recommendations.recommendation_outputs:TABLES",
        question="What is each user shown?",
        data={"ranker": "ranker_model"},
    ),
    "assign": Job(
        AssignSettings,
        "Assign users to variants.",
        "firstday.jobs.assign",
        stage="firstday.experiments.pipeline:ASSIGN_STAGE",
        tables="firstday.experiments.assign:TABLES",
        question="Who gets the change?",
        data={"units": "units", "from_discovery": "shortlist"},
    ),
    "measure": Job(
        MeasureSettings,
        "Measure an experiment: did it work, and how sure is that?",
        "firstday.jobs.measure",
        stage="firstday.experiments.pipeline:MEASURE_STAGE",
        tables="firstday.experiments.results:TABLES",
        question="Did it work?",
        data={name: name for name in ("assignments", "units", "users", "events", "impressions", "reactions")},
    ),
    "forget": Job(
        ForgetSettings,
        "Remove people from what the jobs have written.",
        "firstday.jobs.forget",
        tables="firstday.tables.forget:TABLES",
    ),
    "maintain": Job(
        MaintainSettings,
        "Keep what the jobs have written in order.",
        "firstday.jobs.maintain",
        tables="firstday.tables.maintain:TABLES",
    ),
    "loop": Job(
        LoopSettings, "Run the whole loop, from raw logs to a proved decision.", "firstday.jobs.loop"
    ),
    "simulate": Job(
        SimulateSettings,
        "Make a world with a planted truth.",
        "firstday.jobs.simulate",
        stage="firstday.simulation.pipeline:SIMULATE_STAGE",
    ),
}
# Of a stage's tables, those whose columns depend on settings as well.
BY_SETTINGS = ("moment_counts", "moment_products", "left_out_counts", "left_out_products")


def loaded(name: str) -> Any:
    """What 'module:NAME' names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def declared() -> dict[str, "Mapping[str, StructType]"]:
    """By job, the tables that this version of it writes: for what works on any output."""
    return {name: loaded(job.tables) for name, job in JOBS.items() if job.tables and job.stage}


def schemas() -> dict[str, "StructType"]:
    """The same by table, of all stages."""
    return {name: schema for tables in declared().values() for name, schema in tables.items()}
