"""What every stage returns: an answer, tables, charts, and how to publish them."""

import html
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, reduce
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from firstday.answer import Answer, Fact
from firstday.errors import FirstdayError
from firstday.spark.session import is_running
from firstday.tables import Checked, Input, Sources

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from firstday.report.page import Report

__all__ = ["Answer", "Fact", "Published", "Result", "Stage", "TrainedModel", "recorded"]
FRAME_HEIGHT = 720  # pixels of a report in a notebook; it scrolls


@dataclass(frozen=True)
class TrainedModel:
    """A LightGBM model to register: its own text, rows of its features by name, and the names it gets."""

    native: str
    example: "pd.DataFrame"
    name: str
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """What `Result.save` keeps beside the tables.

    files: beside the tables of a folder, by name. folders: by name, the table whose rows lie beside them as
    files, and their form, 'parquet' or 'jsonl'. params, tags, texts, model, and with `pictures` the report's
    figures: recorded in MLflow. run_id_column: by table, a column that holds the run's id.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    folders: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    pictures: bool = False
    model: TrainedModel | None = None
    run_id_column: Mapping[str, str] = field(default_factory=dict)
    horizon: datetime | None = None


class Result:
    """What a stage found: shown in a notebook as its report, published by `save`.

    answer: the answer, for people and programs. tables: the tables of docs/data-contract.md by name, as Spark
    DataFrames without run_id. metrics: numbers by name. text: the answer as plain text. quarantine: the
    inputs' bad rows (table, reason, row). settings: all that were used.

    page makes the report of its content, a dataclass with the run's id; None where there is none.
    The tables are lazy, and rest on caches that `close`, leaving a `with`, or the end of the object
    releases; a table that is read after that is worked out again.
    """

    def __init__(
        self,
        job: str,
        run_id: str,
        *,
        sources: Sources,
        checked: Sequence[Checked],
        settings: Mapping[str, Any],
        schemas: Mapping[str, StructType],
        answer: Answer,
        tables: Mapping[str, DataFrame],
        text: str,
        page: "Callable[[Any], Report] | None" = None,
        content: Any = None,
        metrics: Mapping[str, float | None] | None = None,
        published: Published | None = None,
        caches: ExitStack | None = None,
    ) -> None:
        self.job = job
        self.run_id = run_id
        self.settings = dict(settings)
        self.schemas = dict(schemas)
        self.answer = answer
        self.tables = dict(tables)
        self.text = text
        self.metrics = dict(metrics or {})
        self.published = published or Published()
        self.checked: Sequence[Checked] = tuple(checked)
        self.spark = sources.spark
        self.saved = False
        self._page = page
        self._content = content
        self._reports: dict[str, Report] = {}
        stack = caches or ExitStack()
        stack.callback(sources.caches.close)
        self._close = weakref.finalize(self, _released, stack, sources.spark)
        self._close.atexit = False  # Spark ends with the process

    @property
    def inputs(self) -> list[Input]:
        """What was read."""
        return [each.source for each in self.checked]

    @cached_property
    def quarantine(self) -> DataFrame:
        """The bad rows of all inputs: table, reason, and the row as JSON."""
        bad = [each.bad for each in self.checked if each.profile.bad_rows]
        nothing = self.spark.createDataFrame([], "table string, reason string, row string")
        return reduce(DataFrame.unionByName, bad, nothing)

    def report(self, run_id: str | None = None) -> "Report":
        """The page: `.html`, and `.figures` as PNGs by file name. Raises FirstdayError where the stage has
        none.
        """
        run_id = run_id or self.run_id
        if self._page is None:
            raise FirstdayError(f"{self.job} has no report", next_step="look at .text and .tables")
        if run_id not in self._reports:
            self._reports = {run_id: self._page(replace(self._content, run_id=run_id))}
        return self._reports[run_id]

    @property
    def has_report(self) -> bool:
        return self._page is not None

    @cached_property
    def charts(self) -> "Mapping[str, alt.TopLevelMixin]":
        """The report's charts by name, to be shown, changed or saved."""
        return self.report().charts

    def table(self, name: str, run_id: str) -> DataFrame:
        """A table as the run of this id publishes it."""
        column = self.published.run_id_column.get(name)
        rows = self.tables[name]
        return rows if column is None else rows.withColumn(column, F.lit(run_id))

    def save(self, out: str, *, track: bool = True, experiment_name: str = "firstday") -> "Result":
        """Publish to `out`, a folder or catalog.schema, what the job publishes; `track`: as an MLflow run
        too.

        The first save has this result's run_id, any other is a run of its own. Returns the result.
        """
        from firstday.runner import save

        save(self, out, track=track, experiment_name=experiment_name)
        return self

    def close(self) -> None:
        """Release what Spark keeps of it in memory."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"firstday {self.job}, run {self.run_id}\n\n{self.text}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str | bytes]:
        """For notebooks: the report in a frame; its first figure and the text where frames are not shown."""
        bundle: dict[str, str | bytes] = {"text/plain": repr(self)}
        if self._page is None:
            return bundle | {"text/html": f"<pre>{html.escape(self.text)}</pre>"}
        page = html.escape(self.report().html)
        bundle["text/html"] = (
            f'<iframe title="firstday {self.job}" srcdoc="{page}" sandbox="allow-scripts" '
            f'style="width: 100%; height: {FRAME_HEIGHT}px; border: 0"></iframe>'
        )
        first = next(iter(self.report().figures.values()), None)
        return bundle if first is None else bundle | {"image/png": first}


def recorded(settings: Any) -> dict[str, Any]:
    """Settings as `runs` and MLflow keep them."""
    return dict(settings.model_dump(mode="json"))


def _released(caches: ExitStack, spark: SparkSession) -> None:
    """Release caches, unless Spark has ended."""
    if is_running(spark):
        caches.close()


@dataclass(frozen=True)
class Stage:
    """A stage as the runner knows it.

    call: from its inputs, its settings and the run's id to its result. schemas: all of its tables by name,
    without run_id. recorded: the settings as they are kept. tracked: whether a run of it is an MLflow run.
    """

    call: Callable[[Sources, Any, str], Result]
    schemas: Callable[[Any], Mapping[str, StructType]]
    recorded: Callable[[Any], dict[str, Any]] = recorded
    tracked: bool = True
