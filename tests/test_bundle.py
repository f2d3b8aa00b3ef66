"""The Databricks bundle fits the published schema, and each of its tasks is a command with its parameters."""

import graphlib
import re
from collections.abc import Iterator
from copy import deepcopy
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.bundles.experiments import MlflowExperiment
from databricks.bundles.jobs import Job
from databricks.bundles.schemas import Schema

from firstday import cli
from firstday.settings import LabelSettings, Settings, TrainSettings
from firstday.spark import jars

REPOSITORY = Path(__file__).parents[1]
FILES = (REPOSITORY / "databricks.yml", *sorted((REPOSITORY / "resources").glob("*.yml")))
KINDS: dict[str, Any] = {"jobs": Job, "schemas": Schema, "experiments": MlflowExperiment}
PLAN = REPOSITORY / "conf" / "experiment.yml"
REFERENCE = re.compile(r"\$\{([\w.]+)\}")
# What only one workspace has, and what nobody should read in a repository.
LITERALS = re.compile(
    r"https?://|databricks\.(?:com|net)|\bdapi|@\w+\.|"
    r"(?:/Users|/Workspace|/Volumes|/Shared|dbfs:)/?(?!/?\$\{)"
)
FIXED = {"spark.dynamicAllocation.enabled": "false", "spark.speculation": "false"}


def loaded(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


BUNDLE = loaded(FILES[0])
RESOURCES: dict[str, dict[str, Any]] = {}
for described in FILES[1:]:
    for its_kind, its_resources in loaded(described)["resources"].items():
        RESOURCES.setdefault(its_kind, {}).update(its_resources)
DAILY = RESOURCES["jobs"]["daily"]
CONDITION = "experiment"
TASKS = {task["task_key"]: task for task in DAILY["tasks"] if task["task_key"] != CONDITION}
DAILY_TASKS, EXPERIMENT = ["label", "discover", "train", "recommend"], ["assign", "measure"]
SERVERLESS = RESOURCES["jobs"]["serverless"]
CLUSTERS = {cluster["job_cluster_key"]: cluster["new_cluster"] for cluster in DAILY["job_clusters"]}


def texts(value: Any) -> Iterator[str]:
    """All strings in a YAML document, keys too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (key, *texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def resolved(text: str, target: str) -> str:
    """With variables as a target sets them; the name of a resource, or of the workspace, by its last part."""
    variables = {name: variable.get("default") for name, variable in BUNDLE["variables"].items()}
    variables |= BUNDLE["targets"][target].get("variables", {}) | {"experiment_plan": str(PLAN)}

    def replacement(reference: re.Match[str]) -> str:
        space, _, name = reference[1].partition(".")
        return str(variables[name]) if space == "var" else reference[1].rsplit(".", 2)[-2]

    while REFERENCE.search(text):
        text = REFERENCE.sub(replacement, text)
    return text


def settings_of(
    task: dict[str, Any], target: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[cli.Job, Settings]:
    """What the task's command makes of its parameters; the job itself is not run."""
    wheel = task["python_wheel_task"]
    [point] = [each for each in distribution("firstday").entry_points if each.name == wheel["entry_point"]]
    given = [f"--{key}={resolved(value, target)}" for key, value in wheel["named_parameters"].items()]
    ran: list[tuple[cli.Job, Settings]] = []

    def noted(_: str, job: cli.Job, settings: Settings, *__: object) -> int:
        ran.append((job, settings))
        return 0

    monkeypatch.setattr(cli, "_execute", noted)
    monkeypatch.setattr("firstday.preflight.check", lambda _: None)  # files are the workspace's
    point.load()(given)
    [found] = ran
    assert point.value == f"{found[0].module}:main"
    return found


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in RESOURCES for name in RESOURCES[kind]])
def test_each_resource_fits_the_published_schema(kind: str, name: str) -> None:
    KINDS[kind].from_dict(RESOURCES[kind][name])


def test_what_the_schema_does_not_know_is_refused() -> None:
    for place, fault in (("tasks", {"max_retriez": 1}), ("job_clusters", {"new_cluster": {"workers": 2}})):
        wrong = deepcopy(DAILY)
        wrong[place][0] |= fault
        with pytest.raises(ValueError, match="Unexpected field"):
            Job.from_dict(wrong)


@pytest.mark.parametrize("target", BUNDLE["targets"])
@pytest.mark.parametrize("name", TASKS)
def test_each_task_is_a_command_that_takes_its_parameters(
    name: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, settings = settings_of(TASKS[name], target, monkeypatch)
    assert TASKS[name]["python_wheel_task"]["package_name"] == distribution("firstday").name
    assert job is cli.JOBS[name]
    # Of resources.schemas.
    assert settings.model_dump()["out"] == f"main.{'experiment' if name in EXPERIMENT else 'results'}"


def test_a_parameter_that_is_no_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = deepcopy(TASKS["discover"])
    wrong["python_wheel_task"]["named_parameters"]["segmentz"] = "country"
    with pytest.raises(SystemExit):
        settings_of(wrong, "dev", monkeypatch)


def test_models_are_registered_in_unity_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    _, settings = settings_of(TASKS["train"], "prod", monkeypatch)
    assert isinstance(settings, TrainSettings)
    assert settings.registered_model == "main.results.ranker"
    registries = {cluster["spark_env_vars"]["MLFLOW_REGISTRY_URI"] for cluster in CLUSTERS.values()}
    assert registries == {"databricks-uc"}
    _, labels = settings_of(TASKS["label"], "prod", monkeypatch)
    assert isinstance(labels, LabelSettings)
    assert not labels.features  # with them it registers a classifier, and needs a name of three parts too


def test_tasks_follow_one_another() -> None:
    before = {name: {each["task_key"] for each in task.get("depends_on", [])} for name, task in TASKS.items()}
    assert len(TASKS) == len(DAILY["tasks"]) - 1
    assert set().union(*before.values()) <= {*TASKS, CONDITION}
    order = list(graphlib.TopologicalSorter(before).static_order())  # raises CycleError
    assert [name for name in order if name in DAILY_TASKS] == DAILY_TASKS
    assert [name for name in order if name in EXPERIMENT] == EXPERIMENT


def test_without_a_plan_no_experiment_is_assigned() -> None:
    [condition] = [task["condition_task"] for task in DAILY["tasks"] if task["task_key"] == CONDITION]
    assert condition == {"op": "NOT_EQUAL", "left": "${var.experiment_plan}", "right": ""}
    assert BUNDLE["variables"]["experiment_plan"]["default"] == ""
    assert TASKS["assign"]["depends_on"] == [{"task_key": CONDITION, "outcome": "true"}]


def test_what_is_measured_is_what_was_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    assigned, measured = (
        settings_of(TASKS[name], "prod", monkeypatch)[1].model_dump() for name in EXPERIMENT
    )
    assert measured["assignments"] == assigned["out"]
    assert measured["plan"] == assigned["plan"] == str(PLAN)


def test_variables_are_declared_and_used() -> None:
    everything = [text for file in FILES for text in texts(loaded(file))]
    references = {reference for text in everything for reference in REFERENCE.findall(text)}
    assert {name for name in references if name.startswith("var.")} == {
        f"var.{name}" for name in BUNDLE["variables"]
    }
    assert all(variable["description"] for variable in BUNDLE["variables"].values())
    for reference in (name.split(".") for name in references if name.startswith("resources.")):
        assert reference[3] in RESOURCES[reference[1]][reference[2]]
    assert {name.split(".")[0] for name in references} <= {"var", "resources", "workspace", "bundle"}
    for target in BUNDLE["targets"].values():
        assert set(target.get("variables", {})) <= set(BUNDLE["variables"])


def test_nothing_is_of_one_workspace() -> None:
    assert [text for file in FILES for text in texts(loaded(file)) if LITERALS.search(text)] == []
    found = ("/Users/me@example.com/x", "https://adb-1.azuredatabricks.net", "/Volumes/main/app", "dapi0123")
    assert all(LITERALS.search(text) for text in found)


def test_each_target_has_its_mode() -> None:
    targets = BUNDLE["targets"]
    assert {name: target["mode"] for name, target in targets.items()} == {
        "dev": "development",
        "prod": "production",
    }
    assert [name for name, target in targets.items() if target.get("default")] == ["dev"]
    assert targets["prod"]["run_as"]  # not as whoever deployed it last


def test_training_has_fixed_workers_and_a_cluster_of_its_own() -> None:
    training = CLUSTERS["training"]
    assert [name for name, task in TASKS.items() if task["job_cluster_key"] == "training"] == ["train"]
    assert training["spark_conf"] | FIXED == training["spark_conf"]
    assert training["spark_conf"]["spark.executor.cores"] == "${var.node_cores}"
    assert "autoscale" not in training
    assert training["num_workers"] == "${var.workers}"
    assert TASKS["train"]["max_retries"] == 0
    limit = TrainSettings(examples="x", out="y").fit_timeout.total_seconds()
    assert TASKS["train"]["timeout_seconds"] > limit  # ours ends first, for it says why


def test_clusters_let_the_package_call_the_jvm_and_set_nothing_that_is_managed() -> None:
    managed = ("spark.master", "spark.jars", "spark.sql.extensions", "spark.sql.catalog.", "spark.submit.")
    for cluster in CLUSTERS.values():
        assert cluster["data_security_mode"] == "SINGLE_USER"
        assert not [key for key in cluster["spark_conf"] if key.startswith(managed)]
        assert cluster["spark_conf"]["spark.driver.extraJavaOptions"] == "-Xss8m"
    assert {task["job_cluster_key"] for task in TASKS.values()} == set(CLUSTERS)


def test_libraries_are_those_that_were_proved() -> None:
    pins = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    scala = resolved("${var.spark_version}", "prod").partition("scala")[2]
    for task in TASKS.values():
        named = {kind: value for library in task["libraries"] for kind, value in library.items()}
        assert named["whl"] == "../dist/*.whl"
        assert named["maven"]["coordinates"] == jars.SYNAPSEML
        assert f"_{scala}:" in named["maven"]["coordinates"]
        assert tuple(named["maven"]["exclusions"]) == jars.LINES["3.5"].excludes
        packages = [library["pypi"]["package"] for library in task["libraries"] if "pypi" in library]
        assert {package.split("==")[0] for package in packages} == {"lightgbm", "mlflow", "synapseml"}
        assert [package for package in packages if f"\n{package} " not in pins] == []


def test_serverless_runs_the_same_commands_but_those_of_the_ranker() -> None:
    """Each with the daily job's parameters, after the same tasks, in an environment with the same wheel."""
    of_cluster = ("job_cluster_key", "libraries")
    expected = {name: {key: value for key, value in task.items() if key not in of_cluster}
                for name, task in TASKS.items() if name not in ("train", "recommend")}  # fmt: skip
    tasks = {task["task_key"]: dict(task) for task in SERVERLESS["tasks"] if task["task_key"] != CONDITION}
    assert {task.pop("environment_key") for task in tasks.values()} == {"firstday"}
    assert tasks == expected
    assert [task for task in SERVERLESS["tasks"] if task["task_key"] == CONDITION] == [
        task for task in DAILY["tasks"] if task["task_key"] == CONDITION
    ]
    [environment] = SERVERLESS["environments"]
    assert environment["environment_key"] == "firstday"
    wheel, *packages = environment["spec"]["dependencies"]
    assert wheel == "../dist/*.whl"
    pins = (REPOSITORY / "requirements-spark4.txt").read_text(encoding="utf-8")
    assert [package for package in packages if f"\n{package} " not in pins] == []
    assert SERVERLESS["schedule"]["pause_status"] == "PAUSED"  # not beside the daily job


def test_the_wheel_is_built_by_make_and_only_settings_are_uploaded() -> None:
    [artifact] = BUNDLE["artifacts"].values()
    assert artifact == {"type": "whl", "path": ".", "build": "make dist"}
    assert "\ndist:" in (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert BUNDLE["sync"]["paths"] == ["conf"]
    functions = resolved(BUNDLE["variables"]["label_functions"]["default"], "dev")
    assert (REPOSITORY / "conf" / Path(functions).name).is_file()
