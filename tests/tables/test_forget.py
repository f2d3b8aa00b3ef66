"""People are removed from all that runs have written, on Delta itself; and what maintenance may change."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql.types import DoubleType, LongType, StringType, StructField

from firstday.errors import DataError
from firstday.job_list import declared, schemas
from firstday.tables import forget, maintain, open_output, read_published
from firstday.tables.delta import RUN_ID, Store
from firstday.tables.forget import Found
from firstday.tables.owned import at_work, owned_tables, sql
from firstday.tables.schemas import QUARANTINE, table_schema
from tests.tables import independent
from tests.tables.independent import folder

NOW = datetime(2024, 6, 1, tzinfo=UTC)
ODD = 'o\'Hara "x\\y" é/😀'
PEOPLE = ["7", ODD]
LISTS = table_schema([("user_id", StringType()), ("category", StringType())])
SCORES = table_schema([("list", StringType()), ("score", DoubleType())])
CELLS = table_schema([("action", StringType()), ("users", LongType())])
WRITTEN = schemas()
SCHEMAS_HERE = {"recommendations": LISTS, "ranker_scores": SCORES, "moment_counts": CELLS}
SHOWN = "2024-06-01T00:00:00Z"


@pytest.fixture(scope="module")
def written(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `publish` leaves, to be copied: a Delta table may be moved."""
    return publish(spark, str(tmp_path_factory.mktemp("written"))).out


# What other sessions do: statistics, without which Delta 4.3 fails to mark rows as deleted, and marking.
AS_ELSEWHERE = [
    f"spark.databricks.delta.{each}" for each in ("stats.collect", "delete.deletionVectors.persistent")
]


def copied(written: str, store: Store) -> Store:
    """The output of that run, at another place."""
    if not store.is_folder:
        return publish(store.spark, store.out)
    shutil.copytree(written, store.out, dirs_exist_ok=True)
    return store


def publish(spark: SparkSession, out: str) -> Store:
    """A run whose tables hold the two people, one who looks like them, and one without an id."""
    ids = [*PEOPLE, "77", None]
    rows = {
        "recommendations": [(each, "loans") for each in ids],
        "ranker_scores": [(f"{each} {SHOWN}", 0.5) for each in ids] + [("7", 0.1), (f"1 {SHOWN}7", 0.1)],
        "moment_counts": [("like", 1), ("like", 7), ("share", 1)],
    }
    quarantined = [{"user_id": each, "at": "7 o'clock"} for each in ids]
    with open_output(
        spark, out, job="recommend", run_id="one", schemas=SCHEMAS_HERE, clock=lambda: NOW
    ) as output:
        for name, values in rows.items():
            output.write(name, spark.createDataFrame(values, SCHEMAS_HERE[name]))
        bad = [
            ("users", "bad", json.dumps(each, ensure_ascii=False), "recommend", NOW) for each in quarantined
        ]
        output._append("quarantine", spark.createDataFrame(bad, QUARANTINE), QUARANTINE)
        output.publish(inputs=[], settings={})
    return output.store


def test_the_people_go_everywhere_and_nobody_else_does(spark: SparkSession, written: str, out: str) -> None:
    store = copied(written, Store(spark, out))
    mine = spark.createDataFrame([("7", "mine")], LISTS).write.format("delta")
    mine.save(store.location("customers")) if store.is_folder else mine.saveAsTable(
        store.location("customers")
    )
    if store.is_folder:
        lists = read_published(spark, out, "recommendations")
        store.write_folder("recommendations_export", lists, "jsonl")
        store.write_folder("more_export", lists.where("user_id IS NOT NULL"), "parquet")

    found = forget.find(store, PEOPLE, ())
    exports = [Found("more_export", "export", 2), Found("recommendations_export", "export", 2)]
    assert sorted(found, key=lambda each: each.table) == sorted(
        [
            *(exports if store.is_folder else []),
            Found("attempts", "other"),
            Found("moment_counts", "counts", of_one_user=2),
            Found("quarantine", "rows", 2),
            Found("ranker_scores", "rows", 3),
            Found("recommendations", "rows", 2),
            Found("runs", "other"),
        ],
        key=lambda each: each.table,
    )
    assert forget.remove(store, found, PEOPLE) == found  # as many went as were seen
    assert left(store, "recommendations", "user_id") == {None, "77"}
    assert left(store, "ranker_scores", "list") == {f"77 {SHOWN}", f"None {SHOWN}", f"1 {SHOWN}7"}
    assert {json.loads(row)["user_id"] for row in map(str, left(store, "quarantine", "row"))} == {None, "77"}
    assert left(store, "moment_counts", "users") == {1, 7}
    assert left(store, "customers", "user_id") == {"7"}  # not ours
    assert {row["user_id"] for row in read_published(spark, out, "recommendations").collect()} == {None, "77"}
    if store.is_folder:
        told = [json.loads(line) for file in Path(out, "recommendations_export").glob("*.json")
                for line in file.read_text().splitlines()]  # fmt: skip
        assert sorted(told, key=len) == [{"category": "loans"}, {"category": "loans", "user_id": "77"}]
        assert pd.read_parquet(Path(out, "more_export")).to_dict("records") == [
            {"user_id": "77", "category": "loans"}
        ]
    # Again: nothing is found, and no table gets another version.
    versions = history(store, "recommendations")
    again = forget.find(store, PEOPLE, ())
    assert sum(each.rows for each in again) == 0
    forget.remove(store, again, PEOPLE)
    assert history(store, "recommendations") == versions


def test_a_purge_leaves_no_file_with_them(spark: SparkSession, written: str, tmp_path: Path) -> None:
    store = copied(written, Store(spark, str(tmp_path)))
    marked = "ALTER TABLE {table} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
    sql(store, marked, "ranker_scores")
    for option in AS_ELSEWHERE:
        spark.conf.set(option, "true")
    try:
        where = store.location("ranker_scores")
        spark.read.format("delta").load(where).write.format("delta").mode("overwrite").save(where)
        forget.remove(store, forget.find(store, PEOPLE, ()), PEOPLE)
    finally:
        for option in AS_ELSEWHERE:
            spark.conf.set(option, "false")
    check = spark.conf.get(forget.RETENTION_CHECK)
    for name, column, kept in (
        ("recommendations", "user_id", "77"),
        ("ranker_scores", "list", f"77 {SHOWN}"),
    ):
        files = lambda name=name, column=column: {  # noqa: E731
            row[column] for row in spark.read.option("recursiveFileLookup", True)
            .parquet(*map(str, (tmp_path / name).glob("run_id=*"))).collect()
        }  # fmt: skip
        assert len(files()) > 3  # the old files are there still
        forget.purge(store, [name])
        assert ODD not in files()
        assert f"{ODD} {SHOWN}" not in files()
        assert kept in files()
    assert spark.conf.get(forget.RETENTION_CHECK) == check


VALUES = st.sampled_from(
    ["7", "77", 7, 7.5, "a7", "-7", "7-", "x 7 y", ODD, None, ["7"], {"a": 7}, ["77", ODD], {"a": f"{ODD}7"}]
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=100, max_size=400))
def test_quarantined_rows_are_told_as_by_hand(spark: SparkSession, rows: list[dict[str, object]]) -> None:
    # Both ways of writing what is not ASCII: as it is, and as an escape.
    texts = [json.dumps(row, ensure_ascii=at % 2 == 0) for at, row in enumerate(rows)]
    assert quarantined(spark, texts) == [theirs(row) for row in rows]


def test_lines_that_could_not_be_read_are_searched_for_the_id_as_a_word(spark: SparkSession) -> None:
    texts = ["u,7,x", "7", "77,1", "a7", '{"user_id": "7', f"1,{ODD}", "", "2024-05-7", f"{json.dumps(ODD)},"]
    assert quarantined(spark, texts) == [True, True, False, False, True, True, False, False, True]


def quarantined(spark: SparkSession, texts: list[str]) -> list[bool]:
    """What the condition on quarantine says of each text."""
    condition = forget._condition("quarantine", QUARANTINE.names, PEOPLE)
    assert condition is not None
    rows = spark.createDataFrame(list(enumerate(texts)), "number int, row string")
    rows.createOrReplaceTempView("texts")
    statement = f"SELECT {condition} FROM texts ORDER BY number"
    return [row[0] for row in spark.sql(statement).collect()]


def theirs(row: dict[str, object]) -> bool:
    """Naively: a value is one of the ids, or one is inside of an array or struct."""
    for value in row.values():
        inside = [*value] if isinstance(value, list) else [*value.values()] if isinstance(value, dict) else []
        if any(str(each) in PEOPLE for each in [value, *inside] if not isinstance(each, list | dict)):
            return True
    return False


def test_every_declared_table_says_whose_its_rows_are_or_is_known_to_hold_no_person() -> None:
    """A new table with people under another name for their id has to be thought of."""
    of_people = {"label_audit", "soft_labels", "ranker_scores", "recommendations", "not_shown", "assignments"}
    found = {name for name, schema in WRITTEN.items() if forget._condition(name, schema.names, PEOPLE)}
    assert found == of_people
    others = {column for name in WRITTEN.keys() - of_people for column in WRITTEN[name].names}
    assert not {
        name for name in others if name.endswith("_id") or name in ("user", "customer", "unit", "key")
    }


def test_where_no_job_has_written_is_an_error(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be an output of firstday"):
        forget.find(Store(spark, str(tmp_path)), ["7"], ())


def test_runs_that_may_be_at_work_are_counted(spark: SparkSession, written: str, tmp_path: Path) -> None:
    store = copied(written, Store(spark, str(tmp_path)))
    assert at_work(store, NOW) == 0
    store.attempt("recommend", "late", NOW)
    assert (at_work(store, NOW + timedelta(days=1)), at_work(store, NOW + timedelta(days=8))) == (1, 0)


def test_maintenance_joins_files_and_keeps_rows_and_versions(
    spark: SparkSession, written: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out [1] é")
    store = copied(written, Store(spark, out))
    more = spark.createDataFrame([("8", "loans")], LISTS)
    for _ in range(3):
        store.append("recommendations", more, "one", LISTS)
    before = sorted(map(repr, rows(store, "recommendations").itertuples(index=False)))
    pinned = read_published(spark, out, "recommendations")
    files = maintain.size(store, "recommendations").files
    maintain.optimize(store, "recommendations")
    assert (files, maintain.size(store, "recommendations").files) == (4, 1)
    assert maintain.purgeable(store, "recommendations", maintain.WEEK) == 0
    maintain.vacuum(store, "recommendations", maintain.WEEK)
    assert pinned.count() == 7  # whoever reads the version before can go on
    assert maintain.purgeable(store, "recommendations", timedelta(0)) >= 4
    maintain.vacuum(store, "recommendations", timedelta(0))
    assert sorted(map(repr, rows(store, "recommendations").itertuples(index=False))) == before
    assert "customers" not in owned_tables(store, ()).tables


def test_only_declared_columns_are_added_and_only_at_the_end(
    spark: SparkSession, written: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out [1] é")
    store = copied(written, Store(spark, out))
    wider = table_schema([*((item.name, item.dataType) for item in LISTS), ("why-not", StringType())])
    newer = {
        "recommendations": wider,
        "ranker_scores": table_schema([("list", StringType()), ("score", LongType()), ("more", LongType())]),
        "moment_counts": table_schema([("action", StringType())]),
        "not_there": LISTS,
    }
    for change in (False, True):
        evolved = maintain.evolve(store, newer, change=change)
        assert evolved.added == {"recommendations": ("why-not",)}
        assert evolved.refused == {
            "ranker_scores": "'score' is double, not bigint",
            "moment_counts": "'users' is no longer written",
        }
        assert ("why-not" in store.schema("recommendations").names) is change
    assert rows(store, "recommendations")["why-not"].isna().tolist() == [True] * 4
    assert maintain.evolve(store, newer).added == {}
    # The next run of the newer version is taken.
    with open_output(
        spark, out, job="recommend", run_id="two", schemas={"recommendations": wider}, clock=lambda: NOW
    ) as output:
        output.write("recommendations", spark.createDataFrame([("1", "loans", "held")], wider))
        output.publish(inputs=[], settings={})
    assert read_published(spark, out, "recommendations").collect() == [("1", "loans", "held")]


def test_declared_tables_have_one_schema_each() -> None:
    names = [name for tables in declared().values() for name in tables]
    assert len(names) == len(set(names))
    fields = [item for schema in WRITTEN.values() for item in schema]
    assert all(isinstance(item, StructField) and item.nullable for item in fields)  # others cannot be added


def left(store: Store, name: str, column: str) -> set[object]:
    """What the table has in the column; a count as a number, null as None."""
    return set(rows(store, name)[column].astype(object).where(lambda found: found.notna(), None))


def rows(store: Store, name: str) -> pd.DataFrame:
    return independent.rows(folder(store), name).drop(columns=RUN_ID, errors="ignore")


def history(store: Store, name: str) -> int:
    return sql(store, "DESCRIBE HISTORY {table}", name).count()
