"""The functions of `import firstday as fd`: DataFrames in, a Result back.

Inputs are Spark DataFrames, pandas DataFrames, addresses (a path or a table's name), or results of other
functions. Keyword arguments are the settings of the job of the same name, and are checked by the same rules.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints, overload

from firstday import logs
from firstday.errors import SettingsError
from firstday.job_list import JOBS
from firstday.labels.functions import LabelFunctions, gathered, label_function
from firstday.result import Answer, Fact, Result
from firstday.settings import (
    AssignSettings,
    DiscoverSettings,
    ExperimentPlan,
    LabelSettings,
    MeasureSettings,
    RecommendSettings,
    Settings,
    SimulateSettings,
    TrainSettings,
    load,
    plan_of,
)
from firstday.settings.bank import TABLES
from firstday.spark.frames import kept_in, of_pandas
from firstday.spark.session import in_session, own_session, session, temporary_view

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from firstday.tables import Sources

__all__ = [
    "Answer",
    "Fact",
    "Result",
    "assign",
    "discover",
    "label",
    "label_function",
    "measure",
    "recommend",
    "session",
    "simulate",
    "train",
]

# Settings of the jobs that are no keywords: `Result.save` says where results go, and a call sees no earlier
# run.
OF_JOBS = ("out", "experiment_name", "daily", "since", "check", "synapseml")


def discover(users: Any = None, events: Any = None, **settings: Any) -> Result:
    """Find what, done on the first day, makes users stay.

    users: one row a user (user_id, anchored_at, segments); None takes them from the log. events: who did what
    and when (user_id, action, occurred_at). labels: a result of `label`, to leave users out. results: what
    `measure` said of experiments on an earlier shortlist.
    """
    return _called("discover", DiscoverSettings, {"users": users, "events": events}, settings)


def label(
    rows: Any = None,
    functions: "str | Path | Sequence[Callable[..., Any]] | None" = None,
    votes: Any = None,
    *,
    class_names: Sequence[str] = ("no", "yes"),
    **settings: Any,
) -> Result:
    """Correct labels: label functions vote, a model weighs them.

    rows with functions (a YAML or Python file, or a list of functions marked by `@label_function`), or votes
    that exist: wide (row_id, a column a voter) or long (row_id, voter, vote). class_names: of the classes
    0, 1, ... that a list of functions votes for; a file names its own. model: an earlier result, to be
    applied.
    """
    rules: Any = functions
    if functions is not None and not isinstance(functions, str | Path):
        rules = gathered(functions, class_names)
    return _called("label", LabelSettings, {"rows": rows, "votes": votes, "functions": rules}, settings)


def train(
    tables: "Mapping[str, Any] | str | Path | None" = None, examples: Any = None, **settings: Any
) -> Result:
    """Train a LightGBM ranker, and say whether it beats simple baselines. It needs SynapseML.

    tables: customers, categories, contents, impressions, reactions, ... by name, or the folder or schema that
    holds them; or examples, one row a content shown. hypotheses: a result of `discover`, to train for its
    moment.
    """
    return _called("train", TrainSettings, {"tables": tables, "examples": examples}, settings)


def recommend(ranker: Any, tables: "Mapping[str, Any] | str | Path | None" = None, **settings: Any) -> Result:
    """Make each customer's list of contents, by a result of `train` and the tables that it was made of."""
    return _called("recommend", RecommendSettings, {"ranker": ranker, "tables": tables}, settings)


@overload
def assign(units: Result, plan: "str | Path | None" = None, **settings: Any) -> ExperimentPlan: ...


@overload
def assign(
    units: Any, plan: "str | Path | Mapping[str, Any] | ExperimentPlan", **settings: Any
) -> Result: ...


def assign(
    units: Any, plan: "str | Path | Mapping[str, Any] | ExperimentPlan | None" = None, **settings: Any
) -> Result | ExperimentPlan:
    """Assign users to variants. units: who may take part, a row each. plan: as conf/experiment.yml has it.

    A result of `discover` in place of units makes the plan of an experiment of its shortlist (ranks: which of
    it, each in an arm of its own), and returns it; plan is then a new file to write it to, or None.
    """
    if isinstance(units, Result) and units.job == "discover":
        return _planned(units, plan, settings)
    if settings.get("from_discovery") is not None:
        raise SettingsError(
            "from_discovery is a setting of the job firstday assign, not of the function",
            next_step="give the result of discover in place of units",
        )
    if plan is None:
        raise SettingsError(
            "plan must be given", next_step="make one by hand, or of a result of discover: fd.assign(found)"
        )
    return _called("assign", AssignSettings, {"units": units, "plan": plan}, settings)


def _planned(found: Result, plan: Any, settings: Mapping[str, Any]) -> ExperimentPlan:
    """The plan of an experiment on candidates of the shortlist, written too where `plan` names a file."""
    from firstday.moments.plan import plan_from, written

    unknown = sorted(set(settings) - {"ranks", "starts_at"})
    if unknown or not isinstance(plan, str | Path | None):
        raise SettingsError(
            "of a result of discover a plan is made, by ranks and starts_at, for a new file or none",
            value=", ".join(unknown) or type(plan).__name__,
            next_step="give units and the plan to a second call",
        )
    told = load(AssignSettings, None, {"plan": str(plan or "-"), "from_discovery": "-"} | dict(settings))
    made = plan_from(found.tables["shortlist"], told.ranks, told.starts_at)
    if plan is not None:
        written(made, plan)
    return plan_of(made)


def measure(
    units: Any = None,
    assignments: Any = None,
    events: Any = None,
    plan: "str | Path | Mapping[str, Any] | ExperimentPlan | None" = None,
    **settings: Any,
) -> Result:
    """Measure an experiment: did it work, and how sure is that?

    units: a row each, with the variant and what came of it; or assignments (a result of `assign`, or a table)
    with the log they are measured in and the plan.
    """
    given = {"units": units, "assignments": assignments, "events": events, "plan": plan}
    return _called("measure", MeasureSettings, given, settings)


def simulate(world: str = "app", **settings: Any) -> Result:
    """Make a world with a planted truth: 'app', 'fraud', 'bank' or 'loop'; its tables are what the others
    read.
    """
    return _called("simulate", SimulateSettings, {}, settings | {"world": world})


def _called(job: str, kind: type[Settings], inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> Result:
    """The stage's result, in a session of its own: the caller's keeps its settings."""
    from firstday.runner import stage_of
    from firstday.tables import Sources
    from firstday.tracking import registered

    for name in OF_JOBS:
        if name in settings:
            raise SettingsError(
                f"{name} is a setting of the job firstday {job}, not of the function",
                next_step="publish with .save(out, experiment_name=...)" if name in OF_JOBS[:2] else None,
            )
    further = {name: settings[name] for name in JOBS[job].data if settings.get(name) is not None}
    others = {name: value for name, value in settings.items() if name not in further}
    spark = session()
    own = own_session(spark)
    sources = Sources(own, registered=registered)
    values: dict[str, Any] = {}
    for name, value in {**inputs, **further}.items():
        if value is None:
            continue
        tables = _tables(value) if name == "tables" else None
        if tables is not None:
            places = {table: _place(spark, sources, table, frame) for table, frame in tables.items()}
            others = others | {"table": {**others.get("table", {}), **places}}
        elif name == "plan" and not isinstance(value, str | Path):
            values[name] = value if isinstance(value, ExperimentPlan) else plan_of(dict(value))
        else:
            values[name] = _place(spark, sources, name, value)
    told = load(kind, None, {"out": "-"} | others | values)
    return stage_of(job).call(sources, told, logs.new_run_id())


def _tables(value: Any) -> Mapping[str, Any] | None:
    """The tables of a bank by name; None where the value is an address."""
    if isinstance(value, Result):
        return {table: rows for table, rows in value.tables.items() if table in TABLES}
    return value if isinstance(value, Mapping) else None


def _place(spark: "SparkSession", sources: "Sources", name: str, value: Any) -> str:
    """The address of an input; of one that is no address a name, under which `sources` has it."""
    import pandas as pd

    if isinstance(value, str | Path):
        view = temporary_view(spark, str(value))
        if view is None:
            return str(value)
        value = view
    there: Any
    if isinstance(value, Result):
        place, there = f"result of {value.job}, run {value.run_id}", value.tables
    elif isinstance(value, pd.DataFrame):
        place = f"pandas DataFrame {name}"
        there = kept_in(sources.caches, of_pandas(sources.spark, value, name))
    elif isinstance(value, LabelFunctions):
        place, there = f"{len(value.functions)} label functions", value
    elif hasattr(value, "sparkSession"):
        place, there = f"DataFrame {name}", in_session(value, sources.spark)
    else:
        raise SettingsError(
            f"{name} must be a Spark or pandas DataFrame, an address, or a result",
            value=type(value).__name__,
            next_step="see help(firstday) for what each function takes",
        )
    sources.given[place] = there
    return place


def _documented(function: Callable[..., Result], kind: type[Settings]) -> None:
    """Give the function the settings as keywords in its signature and in its help."""
    own = inspect.signature(function).parameters
    fields = {
        name: field for name, field in kind.model_fields.items() if name not in own and name not in OF_JOBS
    }
    hints = get_type_hints(kind)
    keywords = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty
            if field.is_required()
            else field.get_default(call_default_factory=True),
            annotation=hints[name],
        )
        for name, field in fields.items()
    ]
    kept = [each for each in own.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    returns = inspect.signature(function).return_annotation
    function.__signature__ = inspect.Signature([*kept, *keywords], return_annotation=returns)  # type: ignore[attr-defined]
    lines = [f"    {name}: {field.description}" for name, field in fields.items()]
    function.__doc__ = "\n".join([inspect.getdoc(function) or "", "", "Keyword arguments:", *lines])


for _function, _kind in (
    (discover, DiscoverSettings),
    (label, LabelSettings),
    (train, TrainSettings),
    (recommend, RecommendSettings),
    (assign, AssignSettings),
    (measure, MeasureSettings),
    (simulate, SimulateSettings),
):
    _documented(_function, _kind)
