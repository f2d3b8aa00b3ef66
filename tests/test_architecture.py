"""The layout of DESIGN: imports go one way, storage and tracking have one door each, files stay readable.

The sources are read, not run, so that a lazy import counts like any other.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstday.job_list import BY_SETTINGS, declared
from firstday.tables import forget, maintain

REPOSITORY = Path(__file__).parents[1]
# What all stages may import.
SHARED = (
    *("errors", "redact", "settings", "spark.catalyst", "spark.frames", "spark.local_rows", "expressions"),
    *("parallel", "spark.observed", "spark.synapseml", "stats"),
    *("tables.schemas", "windows", "segments", "rounding"),
)
STAGES = ("moments", "labels", "ranking", "recommendations", "experiments", "simulation")
# What each module or package of firstday may import of firstday. Jobs may import all but one another.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "redact": (),
    "errors": ("redact",),
    "addresses": (),
    "rounding": (),
    "preflight": ("addresses", "errors", "job_list", "loop.steps", "spark.session", "settings"),
    "settings": ("errors", "settings"),
    "parallel": (),
    "stats": ("errors", "stats"),
    "spark": ("errors", "logs", "spark", "tables.schemas"),
    "expressions": ("errors", "expressions", "spark.catalyst", "tables.schemas"),
    "windows": ("errors", "settings"),
    "segments": ("errors", "tables.schemas"),
    "logs": ("errors", "redact"),
    "answer": (),
    "job_list": ("settings",),
    "cli": ("errors", "job_list", "logs", "preflight", "redact", "settings"),
    "tables": (
        *("addresses", "errors", "expressions.uses", "logs"),
        *("spark.failures", "spark.hadoop", "spark.local_rows"),
        *("parallel", "redact", "settings", "tables", "windows"),
    ),
    "tracking": ("errors", "logs", "redact", "settings"),
    "loop": (
        *(*SHARED, "answer", "job_list", "logs", "loop", "report", "simulation", "spark.session", "tables"),
    ),
    **{stage: (*SHARED, stage) for stage in STAGES},
    "result": ("answer", "errors", "report.page", "runner", "spark.session", "tables"),
    "runner": ("job_list", "logs", "result", "report.page", "spark.session", "tables", "tracking"),
    "api": (
        "errors",
        "job_list",
        "logs",
        "moments.plan",
        "report",
        "result",
        "runner",
        "settings",
        "spark",
        "tables",
        "tracking",
        "labels",
        "moments.plan",
    ),
    "report": ("answer", "redact", "report", "rounding", "windows"),
    "ranking": (
        *(*SHARED, "ranking", "recommendations.recall", "recommendations.monitoring_drift"),
        "recommendations.eligibility",
    ),
    "recommendations": (*SHARED, "recommendations", "ranking"),
}
# A stage's pipeline goes from its inputs to its result; what it reads stands beside it, and so does its
# report. The rest of a stage knows of none of these.
PIPELINE = ("experiments.results", "logs", "result", "tables", "tracking")
REPORTS = ("content", "report", "sections", "charts", "amounts", "pipeline", "trial")
READERS = ("logs", "tables")
READING = (
    *("moments.inputs", "moments.plan", "labels.inputs", "ranking.bank", "ranking.inputs"),
    *("experiments.assign_inputs", "experiments.measure_inputs", "experiments.measure_log"),
)
# What goes behind PySpark's API: not on Spark Connect, and another with each Spark.
PRIVATE = {"_jvm", "_jdf", "_jsc", "_jc", "_jsparkSession", "_gateway", "sparkContext"}
AROUND_SYNAPSEML = ("labels.classifier", "ranking.examples", "ranking.ranker")
DATAFRAME_IO = {"write", "writeTo", "writeStream", "readStream", "saveAsTable", "insertInto"}
SESSION_IO = {"read", "table", "catalog"}
MOST_LINES = 750


def modules() -> dict[str, Path]:
    """Module name below firstday -> file; the packages' __init__ under the package's name."""
    found = {}
    for root, prefix in ((REPOSITORY / "lib" / "firstday", ()), (REPOSITORY / "jobs", ("jobs",))):
        for file in sorted(root.rglob("*.py")):
            parts = (*prefix, *file.relative_to(root).with_suffix("").parts)
            found[".".join(part for part in parts if part != "__init__")] = file
    return found


MODULES = modules()


def imports(file: Path, module: str) -> Iterator[str]:
    """Full names of all that a file imports, relative imports resolved."""
    package = ["firstday", *module.split(".")]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - (file.name == "__init__.py")
            base = package[: len(package) - up] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from firstday import session` names a module, `from firstday.errors import UserError` a class.
            yield from (
                f"{source}.{alias.name}"
                if f"{source}.{alias.name}".removeprefix("firstday.") in MODULES
                else source
                for alias in node.names
            )


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("module", [name for name in MODULES if name and not within(name, ("jobs",))])
def test_imports_go_one_way(module: str) -> None:
    owner = module.split(".")[0]
    assert owner in MAY_IMPORT, f"say in MAY_IMPORT what {owner} may import"
    own = {name.removeprefix("firstday.") for name in imports(MODULES[module], module) if "firstday." in name}
    may = MAY_IMPORT[owner] + (PIPELINE if module.endswith(".pipeline") else ())
    may += READERS if module in READING else ()
    may += ("answer", "report") if module.split(".")[-1] in REPORTS else ()
    assert {name for name in own if not within(name, may)} == set()


def test_schemas_are_pure() -> None:
    if "tables.schemas" in MODULES:
        own = [name for name in imports(MODULES["tables.schemas"], "tables.schemas") if "firstday." in name]
        assert all(within(name.removeprefix("firstday."), ("errors", "settings")) for name in own)


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("jobs.")])
def test_jobs_do_not_import_one_another(module: str) -> None:
    assert not [name for name in imports(MODULES[module], module) if within(name, ("firstday.jobs", "jobs"))]


def test_jobs_are_thin() -> None:
    lines = {file.name: len(file.read_text().splitlines()) for file in (REPOSITORY / "jobs").glob("*.py")}
    assert {name: count for name, count in lines.items() if count >= 40} == {}


def test_only_tracking_imports_mlflow() -> None:
    users = {name for name, file in MODULES.items() if within_any(imports(file, name), "mlflow")}
    assert users <= {"tracking"}


def test_only_tables_touches_storage() -> None:
    outside = {name: file for name, file in MODULES.items() if not within(name, ("tables", "spark"))}
    assert {name for name, file in outside.items() if within_any(imports(file, name), "delta")} == set()
    assert {name: found for name, file in outside.items() if (found := storage_calls(file))} == {}


def test_only_spark_and_synapseml_go_behind_pysparks_api() -> None:
    found = {
        name: private
        for name, file in MODULES.items()
        if not within(name, ("spark", *AROUND_SYNAPSEML))
        and (
            private := [
                f"{node.lineno}: {node.attr}"
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                if isinstance(node, ast.Attribute) and node.attr in PRIVATE
            ]
        )
    }
    assert found == {}


@pytest.mark.parametrize("folder", ["lib", "jobs", "tests", "benchmarks"])
def test_files_can_be_read_in_one_go(folder: str) -> None:
    lines = {
        str(file.relative_to(REPOSITORY)): len(file.read_text(encoding="utf-8").splitlines())
        for file in (REPOSITORY / folder).rglob("*.py")
    }
    assert {file: count for file, count in lines.items() if count > MOST_LINES} == {}


def within_any(names: Iterator[str], package: str) -> bool:
    return any(within(name, (package,)) for name in names)


def storage_calls(file: Path) -> list[str]:
    """`df.write`, `spark.read`, ... in a file; `handle.write(text)`, a call, is no DataFrame's writer."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (
            (node.attr in DATAFRAME_IO and not (node.attr == "write" and id(node) in called))
            or (node.attr in SESSION_IO and isinstance(node.value, ast.Name) and node.value.id == "spark")
        )
    ]


def test_no_two_jobs_write_a_table_of_one_name() -> None:
    """An output may hold the tables of several jobs."""
    tables = [*declared().values(), BY_SETTINGS, forget.TABLES, maintain.TABLES]
    names = [name for job in tables for name in job]
    assert len(set(names)) == len(names)
