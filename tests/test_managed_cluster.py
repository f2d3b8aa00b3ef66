"""On a managed cluster the session is there already: jobs take it, and set only what a session may set."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pyspark.sql
import pytest

from firstday.spark import session

REPOSITORY = Path(__file__).parents[1]
# Of the running session, not of the cluster; each is checked against Spark itself below.
ALLOWED = {
    "spark.sql.session.timeZone",
    "spark.sql.adaptive.enabled",
    "spark.databricks.delta.retentionDurationCheck.enabled",  # while a purge that was asked for runs
}
CONFIGURES = (
    "lib/firstday/spark/session.py",
    "lib/firstday/spark/install.py",
    "lib/firstday/tables/read.py",
)  # of local mode; before there is a session; how files are read, and a platform may refuse it


class Conf:
    """Settings of a fake session; what is written is noted."""

    def __init__(self) -> None:
        self.written: dict[str, str] = {}

    def get(self, key: str, default: str | None = None) -> str | None:
        return self.written.get(key, default)

    def set(self, key: str, value: str) -> None:
        self.written[key] = value


class Cluster:
    """A fake of `SparkSession` where a cluster has one: its builder may get it, and configure nothing."""

    def __init__(self) -> None:
        self.conf = Conf()
        self.builder = self
        self.configured: list[tuple[Any, ...]] = []

    def getActiveSession(self) -> None:  # noqa: N802 - Spark's name; Databricks may answer None in a wheel task
        return None

    def getOrCreate(self) -> "Cluster":  # noqa: N802 - Spark's name
        return self

    def __getattr__(self, name: str) -> Any:
        def configure(*arguments: Any) -> "Cluster":
            self.configured.append((name, *arguments))
            return self

        return configure


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    fake = Cluster()
    monkeypatch.setattr(pyspark.sql, "SparkSession", fake)
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    return fake


def test_on_databricks_the_session_is_taken_as_it_is(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "16.4")
    monkeypatch.setattr(session, "local_conf", lambda *_: pytest.fail("local mode was configured"))
    found: Any = session.get_session("firstday discover")
    assert found is cluster
    assert cluster.configured == []
    assert cluster.conf.written == {"spark.sql.session.timeZone": "UTC"}


def test_spark_submit_gets_a_name_and_no_more(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    cluster.conf.written["spark.sql.extensions"] = session.DELTA["spark.sql.extensions"]
    monkeypatch.setattr(cluster, "sparkContext", SimpleNamespace(_jvm=MagicMock()), raising=False)
    found: Any = session.get_session("firstday discover")
    assert found is cluster
    assert cluster.configured == [("appName", "firstday discover")]


def test_nothing_else_configures_a_session() -> None:
    """The sources are read: `spark.conf.set(key)` of allowed keys only, and no builder but in session.py."""
    found = {
        str(file.relative_to(REPOSITORY)): list(configured(ast.parse(file.read_text(encoding="utf-8"))))
        for folder in ("lib", "jobs")
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
    }
    keys = {key for file, each in found.items() if file not in CONFIGURES for key in each}
    assert keys <= ALLOWED
    assert "spark.sql.adaptive.enabled" in keys  # the reader of sources sees constants too


def test_the_reader_of_sources_sees_what_is_forbidden() -> None:
    text = "spark.conf.set('spark.executor.memory', '9g'); SparkSession.builder.config('spark.jars', x)"
    assert list(configured(ast.parse(text))) == ["spark.executor.memory", "builder"]
    assert list(configured(ast.parse("s.sparkContext.setCheckpointDir('x')"))) == ["setCheckpointDir"]


@pytest.mark.parametrize("key", sorted(ALLOWED))
def test_what_is_set_may_be_set_on_a_running_session(key: str, spark: pyspark.sql.SparkSession) -> None:
    # Delta registers its keys when this class is loaded.
    delta: Any = getattr(spark._jvm, "org.apache.spark.sql.delta.sources.DeltaSQLConf$")
    assert getattr(delta, "MODULE$") is not None
    assert spark.conf.isModifiable(key)
    assert not spark.conf.isModifiable("spark.executor.cores")


def configured(tree: ast.Module) -> Iterator[str]:
    """The keys that a module sets on a session, and the names of other ways to configure Spark."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("conf.set"):
            key = node.args[0]
            yield str(key.value if isinstance(key, ast.Constant) else constants.get(ast.unparse(key)))
        elif isinstance(node, ast.Attribute) and node.attr in ("setCheckpointDir", "setLogLevel"):
            yield node.attr
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "SparkSession.builder":
            yield "builder"
