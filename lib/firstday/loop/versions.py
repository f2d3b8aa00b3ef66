"""What a loop reads: which version each input of a step has now, and which run published its output."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from firstday.job_list import JOBS
from firstday.loop.steps import Step
from firstday.parallel import side_by_side
from firstday.settings.bank import TABLES, BankSettings
from firstday.settings.inputs import InputSettings
from firstday.tables import Input, find_table, open_table
from firstday.tables.delta import Store
from firstday.tables.read import Reading
from firstday.tables.reading import reading

FILES = ("functions", "plan")  # settings that name a local file


def versions(spark: SparkSession, step: Step) -> dict[str, str]:
    """By input, what pins its content: a Delta version, a published run, a fingerprint of files.

    Of data only names, sizes and times are read. Raises DataError where an input is missing.
    """
    settings: Any = step.settings

    def how(table: str) -> Reading | None:
        return reading(settings, table) if isinstance(settings, InputSettings) else None

    calls: dict[str, Callable[[], Input | None]] = {}
    for setting, table in JOBS[step.job].data.items():
        address = getattr(settings, setting)
        if address is not None:
            calls[setting] = partial(open_table, spark, address, table, name=setting, reading=how(table))
    if isinstance(settings, BankSettings) and getattr(settings, "examples", None) is None:
        for name in TABLES:
            if where := settings.address(name):
                calls[name] = partial(find_table, spark, where, name, reading=how(name))
    opened = zip(calls, side_by_side(*calls.values()), strict=True)
    found = {name: there.version for name, there in opened if there is not None}
    for setting in FILES:
        file = getattr(settings, setting, None)
        if file is not None and Path(file).is_file():
            found[setting] = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    return found


def published_run(spark: SparkSession, step: Step) -> str | None:
    """The run whose results are in the step's output, if any is."""
    store = Store(spark, step.out)
    run = store.latest_run(job=step.job) if store.holds_runs() else None
    return run.run_id if run else None
