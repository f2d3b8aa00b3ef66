"""What is wrong with a command, found before Spark starts: paths, plans, YAML, and columns that are named.

Only what is certain is refused here: of a local path whether it is there, of a local table whether it has the
columns that the settings name. What cannot be told without Spark is left to the job.
"""

import csv
import difflib
import gzip
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from firstday.addresses import is_path
from firstday.errors import DataError, OutputError, SettingsError
from firstday.job_list import JOBS
from firstday.loop.steps import steps_of
from firstday.settings import (
    AssignSettings,
    ExperimentPlan,
    ForgetSettings,
    LoopSettings,
    MaintainSettings,
    MeasureSettings,
    Settings,
    read_plan,
)
from firstday.settings.bank import BankSettings
from firstday.settings.rules import read_rules
from firstday.spark.session import launched_outside

# Settings that are addresses of what is read.
DATA = (name for job in JOBS.values() for name in job.data)
READ = tuple(dict.fromkeys((*DATA, "functions", "plan", "tables")))
FILES = ("functions", "plan")  # of these, whatever they are called, those that are files of this machine
# Settings that are an output of a job, and the table that must be in it.
OUTPUTS = {
    "ranker": "ranker_model",
    "hypotheses": "hypotheses",
    "model": "label_model",
    "from_discovery": "shortlist",
    "results": "experiment_results",
}
# By job, the input whose columns settings name, and these settings.
COLUMNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "measure": ("units", ("unit", "variant", "metric", "covariate", "date", "triggered", "segments")),
    "discover": ("users", ("segments",)),
    "label": ("rows", ("gold", "old_label", "old_label_columns", "period", "stake", "features")),
    "train": ("examples", ("label", "group", "weight", "category", "order_by", "time", "features")),
    "assign": ("units", ("instant_column",)),
}
# By input, the columns that its contract asks for in each job, each with its other names.
REQUIRED: dict[str, tuple[tuple[str, ...], ...]] = {
    "users": (("user_id",), ("anchored_at", "signed_up_at")),
    "events": (("user_id",), ("action",), ("occurred_at",)),
    "votes": (("row_id",),),
    "rows": (("row_id",),),
}
READERS = {"discover": ("users", "events"), "label": ("votes", "rows"), "measure": ("events",)}
PATTERNS = ("features",)  # settings whose names may hold * and begin with -
DELTA_LOG = "_delta_log"
MOST_NAMES = 20  # of columns that are listed
MOST_FILES = 50  # of which the columns are looked at
CLOSE = 0.6  # how alike, at least, what is suggested is


def check(settings: Settings) -> None:
    """Raise a UserError for the first mistake that can be seen from here, with the nearest name."""
    if isinstance(settings, LoopSettings):
        for step in steps_of(settings) if settings.world is None else ():
            _check(step.job, step.settings, made=step.outs.values())
        return
    _check(type(settings).__name__.removesuffix("Settings").lower(), settings)


def _check(job: str, settings: Settings, made: Collection[str] = ()) -> None:
    """made: addresses that are not there yet, as the steps before write them."""
    local = not launched_outside()  # else addresses are looked up by the cluster
    given: dict[str, Any] = {name: getattr(settings, name) for name in type(settings).model_fields}
    given = {name: value for name, value in given.items() if value and not _is_made(value, made)}
    if "from_discovery" in given:
        del given["plan"]  # it is to be written
    if local:
        _check_places(settings, given, made)
    if str(given.get("functions", "")).lower().endswith((".yml", ".yaml")):
        read_rules(Path(given["functions"]))
    plan = read_plan(given["plan"]) if "plan" in given else None
    if plan is not None and isinstance(settings, MeasureSettings):
        settings.check_plan(plan)
    if local:
        _check_required(job, given)
    table, names = COLUMNS.get(job, ("", ()))
    if local and table in given and _is_local(given[table]):
        mapped = {name.rpartition(".")[2] for name in dict(given.get("columns", ()))}
        named = ((name, where) for name, where in _named(settings, names, plan) if name not in mapped)
        _check_columns(table, columns_of(given[table]), named)


def _check_required(job: str, given: dict[str, Any]) -> None:
    """The columns that every input of its kind has, but for those that --columns and --format take."""
    mapped = {name.rpartition(".")[2] for name in dict(given.get("columns", ()))}
    for table in READERS.get(job, ()):
        address = given.get(table)
        if (
            not isinstance(address, str)
            or not _is_local(address)
            or (table == "events" and "format" in given)
        ):
            continue
        columns = columns_of(address)
        if columns is None:
            continue
        there = {name.lower() for name in columns} | mapped
        missing = [names[0] for names in REQUIRED[table] if not there.intersection(names)]
        if missing:
            near = [(name, _nearest(name, columns) or "...") for name in missing]
            raise DataError(
                f"--{table} must have the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
                value=", ".join(columns[:MOST_NAMES]),
                next_step=f"say where it is, as in --columns {','.join(f'{a}={b}' for a, b in near)}",
            )


def _is_made(value: Any, made: Collection[str]) -> bool:
    """Whether it is, or lies in, what an earlier step writes."""
    folders = [each.rstrip("/") for each in made]
    return isinstance(value, str) and any(value == each or value.startswith(f"{each}/") for each in folders)


def _check_places(settings: Settings, given: dict[str, Any], made: Collection[str]) -> None:
    if "out" in given:
        _check_output(given["out"], must_hold_runs=isinstance(settings, ForgetSettings | MaintainSettings))
    places = {name: given[name] for name in READ if isinstance(given.get(name), str)}
    if isinstance(settings, BankSettings):
        tables = {name: address for name, address in settings.table.items() if not _is_made(address, made)}
        places |= {f"set table.{name}": address for name, address in tables.items()}
    for name, address in places.items():
        path = Path(address)
        if not (name in FILES or _is_local(address)) or path.exists():
            continue
        if not (
            name.startswith("set table.") and any(path.parent.glob(f"{path.name}.*"))
        ):  # may leave it out
            _refuse_missing(name, address)
    for name, table in OUTPUTS.items():
        if name in given:
            _check_holds(name, given[name], table)


def _named(
    settings: Settings, names: Iterable[str], plan: ExperimentPlan | None
) -> Iterator[tuple[str, str]]:
    """Columns that settings and plan name, each with where it is named."""
    for name in names:
        if name == "unit" and plan is not None and name not in settings.model_fields_set:
            continue
        value = getattr(settings, name)
        for one in [value] if isinstance(value, str) else list(value or ()):
            if name not in PATTERNS or ("*" not in one and not one.startswith("-")):
                yield one, f"--{name.replace('_', '-')}"
    if plan is None:
        return
    if isinstance(settings, AssignSettings):
        columns = [plan.unit, *plan.strata, *([plan.cluster] if plan.cluster else [])]
    else:  # of one row a unit: the metrics' columns, where no --metric is given
        metrics = () if getattr(settings, "metric", ()) else plan.metrics
        columns = [one for each in metrics for one in (each.value, each.denominator, each.covariate) if one]
    yield from ((name, "what the plan names") for name in columns)


def _is_local(address: str) -> bool:
    """Whether it is a path of this machine's, and stands for one place; not s3a://..., dbfs:/..., *.csv."""
    return is_path(address) and not re.search(r"^\w{2,}:|[*?\[{]", address)


def _refuse_missing(setting: str, address: str) -> None:
    """Name what is nearest where the path ends to be."""
    there = Path(address)
    while not there.parent.exists():
        there = there.parent
    names = sorted(entry.name for entry in there.parent.iterdir()) if there.parent.is_dir() else []
    by_stem = {_stem(name): name for name in reversed(names) if _stem(name)}
    near = _nearest(_stem(there.name), list(by_stem))
    if near:
        hint = f"did you mean {there.parent / by_stem[near]}?"
    else:
        hint = f"{there.parent} holds {', '.join(names[:12]) or 'nothing'}"
    kind = (
        "a file" if setting in FILES else "an output" if setting in (*OUTPUTS, "out") else "a file or folder"
    )
    or_table = ", or the name of a table" if kind == "a file or folder" else ""
    raise DataError(f"--{setting} must be {kind} that is there{or_table}", value=address, next_step=hint)


def _stem(name: str) -> str:
    """Without its endings: an ending alone makes no two files alike."""
    return name.lstrip(".").partition(".")[0]


def _check_output(address: str, must_hold_runs: bool) -> None:
    if not _is_local(address):
        return
    path = Path(address)
    if path.is_file():
        raise OutputError("--out must be a folder", value=address, next_step="name another --out")
    if must_hold_runs and not (path / "runs" / DELTA_LOG).is_dir():
        if not path.exists():
            _refuse_missing("out", address)
        raise DataError(
            "there must be an output of firstday, with its table runs",
            value=address,
            next_step="give the --out of an earlier job",
        )
    while not path.exists() and path != path.parent:
        path = path.parent
    if not os.access(path, os.W_OK):
        raise OutputError(
            "--out must be where files may be written", value=address, next_step="name another --out"
        )


def _check_holds(setting: str, address: str, table: str) -> None:
    """A local output must have the table; given by the table's own path, it is there."""
    path = Path(address)
    if not _is_local(address) or path.name == table or (path / DELTA_LOG).is_dir():
        return
    if path.is_dir() and not (path / table).is_dir():
        found = sorted(entry.name for entry in path.iterdir() if (entry / DELTA_LOG).is_dir())
        held = f"it holds {', '.join(found[:6])}" if found else "it holds no tables"
        raise DataError(
            f"--{setting} must be an output with the table {table}",
            value=address,
            next_step=f"{held}: check the address",
        )


def _check_columns(table: str, columns: Sequence[str] | None, named: Iterable[tuple[str, str]]) -> None:
    if columns is None:
        return
    there = {name.lower() for name in columns}
    for name, where in named:
        if name.lower() not in there:
            near = _nearest(name, columns)
            others = f"the columns of {table} are {', '.join(columns[:MOST_NAMES])}"
            hint = f"did you mean {near!r}?" if near else others
            raise SettingsError(f"{where} must be a column of {table}", value=name, next_step=hint)


def _nearest(name: str, others: Sequence[str]) -> str | None:
    lowered = {other.lower(): other for other in others}
    found = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=CLOSE)
    return lowered[found[0]] if found else None


def columns_of(address: str) -> list[str] | None:
    """The columns of a local Delta, Parquet or CSV table; None where they cannot be told from its head."""
    path = Path(address)
    readers: tuple[Callable[[Path], list[str] | None], ...] = (_of_delta, _of_parquet, _of_csv)
    try:
        return next((found for read in readers if (found := read(path)) is not None), None)
    except (OSError, ValueError, KeyError, EOFError, UnicodeDecodeError, csv.Error):
        return None  # the job says what is wrong with the file


def _of_delta(path: Path) -> list[str] | None:
    for file in sorted((path / DELTA_LOG).glob("*.json"), reverse=True):
        for line in file.read_text(encoding="utf-8").splitlines():
            if metadata := json.loads(line).get("metaData"):
                return [field["name"] for field in json.loads(metadata["schemaString"])["fields"]]
    return None


def _of_parquet(path: Path) -> list[str] | None:
    files = sorted(path.rglob("*.parquet")) if path.is_dir() and not (path / DELTA_LOG).is_dir() else [path]
    if not 0 < len(files) <= MOST_FILES or not files[0].name.lower().endswith((".parquet", ".pq")):
        return None
    from pyarrow.parquet import read_schema

    names = {  # a column may have come later
        name: None
        for file in files
        for name in (
            *read_schema(file).names,
            *(part.partition("=")[0] for part in file.relative_to(path).parts if "=" in part),
        )
    }
    return [*names]


def _of_csv(path: Path) -> list[str] | None:
    name = path.name.lower()
    if not path.is_file() or not re.search(r"\.[ct]sv(\.gz)?$", name):
        return None
    opener: Callable[..., Any] = gzip.open if name.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter="\t" if ".tsv" in name else ","), [])
    # Of one column another delimiter is likely.
    return [each.strip() for each in header] if len(header) > 1 else None
