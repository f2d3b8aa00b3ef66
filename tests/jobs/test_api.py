"""The functions of `import firstday as fd`: the same tables as the jobs, from DataFrames, in any session."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

import firstday as fd
from firstday.answer import Answer
from firstday.errors import DataError, SettingsError
from firstday.moments import outputs
from firstday.settings import read_plan
from firstday.spark.local_rows import local_rows
from firstday.tables import Sources
from firstday.tables.published import published_answer
from tests.jobs.small import made, published, run, status
from tests.jobs.test_train import lists
from tests.tables import independent

NOT_EQUAL = ["run_id", "batch_id"]


def spends(units: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "user_id": range(units),
            "variant": np.where(random.random(units) < 0.5, "control", "b"),
            "spend": random.gamma(2, 3, units),
            "came": pd.Series(random.random(units) < 0.3, dtype=float),
        }
    )


def accounts(rows: int = 300) -> pd.DataFrame:
    random = np.random.default_rng(4)
    bot = random.random(rows) < 0.3
    return pd.DataFrame(
        {
            "row_id": [f"r{at}" for at in range(rows)],
            "posts": np.where(bot, random.poisson(30, rows), random.poisson(4, rows)),
            "friends": np.where(bot, random.poisson(1, rows), random.poisson(9, rows)).astype(float),
        }
    )


@fd.label_function
def many_posts(posts: Column) -> Column:
    return F.when(posts > 15, 1).otherwise(0)


@fd.label_function
def no_friends(friends: Column) -> Column:
    return F.when(friends < 3, 1).otherwise(0)


@fd.label_function(name="busy and alone")
def busy(posts: Column, friends: Column) -> Column:
    return F.when((posts > 10) & (friends < 5), 1)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal rows, whatever their order; ids of runs apart."""
    tables = []
    for table in (found, expected):
        plain = table.drop(columns=[name for name in NOT_EQUAL if name in table])
        plain = plain.map(lambda value: str(value.tolist() if isinstance(value, np.ndarray) else value))
        tables.append(plain.sort_values(list(plain.columns), ignore_index=True))
    pd.testing.assert_frame_equal(*tables)


def test_measure_and_label_publish_what_the_jobs_publish(spark: SparkSession, tmp_path: Path) -> None:
    spends().to_parquet(tmp_path / "units.parquet")
    asked = ["--control", "control", "--metric", "spend,came"]
    out = {name: tmp_path / name for name in ("job", "function", "voted", "labelled")}
    assert status(["measure", "--units", tmp_path / "units.parquet", *asked, "--out", out["job"]]) == 0
    measured = fd.measure(spends(), control="control", metric=["spend", "came"])
    measured.save(str(out["function"]), track=False)
    assert published_answer(spark, str(out["job"]), "measure") == measured.answer.as_dict()
    for table in measured.tables:
        assert_same(published(out["function"], table), published(out["job"], table))
    assert (tmp_path / "function" / "measure.html").exists()
    assert measured.answer.verdict in ("no effect shown", "better", "worse")
    effect = next(each for each in measured.answer.facts if each.name == "spend of b")
    means = spends().groupby("variant")["spend"].mean()
    assert effect.value == pytest.approx(means["b"] - means["control"])
    # A second save is a run of its own.
    first = measured.run_id
    measured.save(str(out["function"]), track=False)
    runs = spark.read.format("delta").load(f"{out['function']}/runs").select("run_id").collect()
    assert len(runs) == 2
    assert first in {row["run_id"] for row in runs}
    # Labels: functions that are decorated, and those of a file; Spark's rows, and pandas'.
    rows = accounts()
    rules = Path(inspect.getfile(many_posts)).read_text()
    body = rules[rules.index("@fd.label_function\ndef many") : rules.index("def assert_same")]
    head = "import firstday as fd\nfrom pyspark.sql import Column, functions as F\nCLASSES = ['no', 'yes']\n"
    (tmp_path / "rules.py").write_text(
        f"{head}{body}".replace("fd.label_function", "label_function").replace(
            "import firstday as fd", "from firstday.labels.functions import label_function"
        )
    )
    rows.to_parquet(tmp_path / "rows.parquet")
    given = ["--rows", tmp_path / "rows.parquet", "--functions", tmp_path / "rules.py"]
    assert status(["label", *given, "--out", out["voted"]]) == 0
    frame = spark.createDataFrame(rows)
    with fd.label(frame, [many_posts, no_friends, busy]) as labelled:
        labelled.save(str(out["labelled"]), track=False)
        kept = labelled.tables["soft_labels"]
        for table in labelled.tables:
            assert_same(published(out["labelled"], table), published(out["voted"], table))
    assert kept.count() == len(rows)  # a table outlives its result
    assert labelled.charts["scores"].to_dict()["$schema"]
    again = fd.label(rows, [many_posts, no_friends, busy], model=labelled)
    assert_same(again.tables["soft_labels"].toPandas(), kept.toPandas())


def test_discover_publishes_what_the_job_publishes(spark: SparkSession, tmp_path: Path) -> None:
    log = made(users=120, dates=12, country=("KR", "US", None))
    asked: dict[str, Any] = {"segments": ("country",), "days": (1, 3), "quick": True, "min_users": 5}
    run(log.saved(tmp_path / "log"), tmp_path / "job", "first", **asked)
    # Times without a zone, as files may have them.
    events = log.events.assign(occurred_at=log.events["occurred_at"].dt.tz_localize(None))
    found = fd.discover(log.users, events, input_time_zone="UTC", **asked)
    found.save(str(tmp_path / "function"), track=False)
    for table in found.tables:
        assert_same(published(tmp_path / "function", table), published(tmp_path / "job", table))
    assert found.answer.verdict == found.tables["hypotheses"].collect()[0]["verdict"]
    assert (tmp_path / "function" / "discover.html").exists()


@pytest.mark.synapseml
def test_train_publishes_what_the_job_publishes(tmp_path: Path) -> None:
    file = lists(tmp_path, 200, 1)
    asked = ["--group", "query_id", "--features", "f*", "--seed", 3, "--set", "train.num_iterations=20"]
    assert status(["train", "--examples", file, *asked, "--out", tmp_path / "job"]) == 0
    rows = pd.read_parquet(file)
    # A name of its own: the job's model is the champion of the other one by now.
    found = fd.train(
        examples=rows,
        group="query_id",
        features=["f*"],
        seed=3,
        train={"num_iterations": 20},
        registered_model="another",
    )
    found.save(str(tmp_path / "function"), track=False)
    for table in found.tables:
        one, other = (independent.published(tmp_path / out, table) for out in ("function", "job"))
        one, other = (
            each.drop(columns=[name for name in NOT_EQUAL if name in each]) for each in (one, other)
        )
        exact = [name for name in one if one[name].dtype.kind != "f"]
        one, other = (
            each.assign(**{name: each[name].map(str) for name in exact}).sort_values(exact, ignore_index=True)
            for each in (one, other)
        )
        pd.testing.assert_frame_equal(one, other, rtol=1e-9)  # sums are added in another order


def test_assign_and_simulate_publish_what_the_jobs_publish(tmp_path: Path) -> None:
    units = spends()[["user_id"]].assign(country="KR", came_at="2024-01-03T00:00:00Z")
    units.to_parquet(tmp_path / "units.parquet")
    plan = {
        "experiment": "x",
        "variants": {"control": 0.5, "b": 0.5},
        "starts_at": "2024-01-01T00:00:00Z",
        "ramp": [
            {"share": 0.1, "starts_at": "2024-01-01T00:00:00Z"},
            {"share": 0.5, "starts_at": "2024-01-08T00:00:00Z"},
        ],
        "strata": ["country"],
    }
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(plan))
    given = ["--units", tmp_path / "units.parquet", "--plan", tmp_path / "plan.yml"]
    asked = ["assign", *given, "--instant-column", "came_at", "--out", tmp_path / "job"]
    assert status(asked) == 0
    assigned = fd.assign(units, plan, instant_column="came_at")
    assigned.save(str(tmp_path / "function"), track=False)
    rows = published(tmp_path / "function", "assignments")
    assert_same(rows, published(tmp_path / "job", "assignments"))
    # The answer is of the last stage, and kept with both runs.
    last = rows[rows["stage"] == 2]
    shares = {fact.about["variant"]: fact.value for fact in assigned.answer.facts if fact.unit == "share"}
    assert shares == pytest.approx((last["variant"].value_counts() / len(last)).to_dict())
    for name in ("job", "function"):
        [kept] = independent.rows(tmp_path / name, "runs")["answer"]
        assert Answer.of(json.loads(kept)) == assigned.answer
    world = ["simulate", "--world", "fraud", "--users", "60", "--seed", "5"]
    assert status([*world, "--out", tmp_path / "world"]) == 0
    fd.simulate("fraud", users=60, seed=5).save(str(tmp_path / "again"))
    assert_same(published(tmp_path / "again", "accounts"), published(tmp_path / "world", "accounts"))


def test_a_call_neither_sees_nor_changes_the_session_s_settings(spark: SparkSession) -> None:
    strange = {
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.caseSensitive": "true",
    }
    before: dict[str, Any] = {key: spark.conf.get(key) for key in strange}
    units = spends().assign(came_at="2024-03-01T00:00:00Z")
    units.loc[0, "spend"] = None
    asked: dict[str, Any] = {"control": "control", "metric": ["spend"]}
    expected = fd.measure(units, **asked).tables["experiment_results"].toPandas()
    try:
        for key, value in strange.items():
            spark.conf.set(key, value)
        spark.createDataFrame(units).createOrReplaceTempView("units_of_mine")
        lazy = fd.measure("units_of_mine", **asked).tables["experiment_results"]
        assert {key: spark.conf.get(key) for key in strange} == strange
        assert_same(lazy.toPandas(), expected)
    finally:
        for key, value in before.items():
            spark.conf.set(key, str(value))
    spark.catalog.dropTempView("units_of_mine")


def test_mistakes_are_one_sentence_and_bad_rows_are_handed_back() -> None:
    with pytest.raises(SettingsError, match="did you mean 'control'"):
        fd.measure(spends(), kontrol="control")
    with pytest.raises(SettingsError, match="Out is a setting of the job"):
        fd.measure(spends(), control="control", metric=["spend"], out="somewhere")
    with pytest.raises(SettingsError, match="must be a Spark or pandas DataFrame"):
        fd.measure([1, 2], control="control", metric=["spend"])
    units = spends(40).astype({"spend": object})
    units.loc[:9, "spend"] = "much"
    units["spend"] = units["spend"].astype(str)
    with pytest.raises(DataError) as refused:
        fd.measure(units, control="control", metric=["spend"])
    assert refused.value.quarantine.count() == 10
    [line] = refused.value._render_traceback_()
    assert "Traceback" not in line
    mixed = spends(20).astype({"spend": object})
    mixed.loc[3, "spend"] = "much"
    with pytest.raises(DataError, match="values of one type"):
        fd.measure(mixed, control="control", metric=["spend"])
    with pytest.raises(DataError, match=r"(?s)more than case.*'spend', 'Spend'"):
        fd.measure(spends(20).assign(Spend=1.0), control="control", metric=["spend"])
    # pandas' columns of Arrow's types are numbers and text as any.
    plain, arrow = (
        fd.measure(each, control="control", metric=["spend"]).answer.facts[0].value
        for each in (spends(40), spends(40).convert_dtypes(dtype_backend="pyarrow"))
    )
    assert plain == arrow


def test_a_result_of_discover_becomes_a_plan_that_assigns(spark: SparkSession, tmp_path: Path) -> None:
    row: dict[str, Any] = {"threshold": 2, "day": 1, "lift": 0.02, "users_per_arm": 4_000, "days_needed": 42}
    row |= {"guardrails": ["browse"], "guardrail_day": 7, "retention_kind": "on"}
    listed = pd.DataFrame([{**row, "rank": 1, "action": "message"}, {**row, "rank": 2, "action": "it's"}])
    found = fd.Result(
        *("discover", "a run"),
        sources=Sources(spark),
        checked=(),
        settings={},
        schemas={},
        text="",
        answer=fd.Answer("shortlist", "Test these."),
        tables={"shortlist": local_rows(spark, *outputs.typed(listed, outputs.SHORTLIST))},
    )
    one = fd.assign(found, starts_at="2026-06-01T00:00:00Z")
    assert (one.treatments, one.planned_units) == (("message at least 2",), 4_000)
    file = tmp_path / "push.yml"
    both = fd.assign(found, file, ranks=[1, 2], starts_at="2026-06-01T00:00:00Z")
    assert both.treatments == ("message at least 2", "it's at least 2")
    assert read_plan(file) == both
    assigned = fd.assign(spends()[["user_id"]], both).tables["assignments"].toPandas()
    assert set(pd.DataFrame(assigned)["variant"]) == {"control", *both.treatments}
    with pytest.raises(SettingsError, match="new file"):
        fd.assign(found, file)
    with pytest.raises(SettingsError, match="by ranks and starts_at"):
        fd.assign(found, instant_column="at")
    with pytest.raises(DataError, match="ranks of the shortlist"):
        fd.assign(found, ranks=[3])
    with pytest.raises(SettingsError, match="lan must be given"):
        fd.assign(spends())


def test_assignments_chain_and_results_show_themselves(spark: SparkSession) -> None:
    plan = {"experiment": "x", "variants": {"control": 0.5, "b": 0.5}, "starts_at": "2024-01-01T00:00:00Z"}
    assigned = fd.assign(spends()[["user_id"]], plan)
    assert sum(float(fact.value or 0) for fact in assigned.answer.facts) == pytest.approx(1)
    bundle = assigned._repr_mimebundle_()
    assert "<pre>" in bundle["text/html"]
    world = fd.simulate("fraud", users=50)
    assert world.tables["accounts"].count() == 50
    assert world.quarantine.count() == 0
    shown = fd.measure(spends(), control="control", metric=["spend"])._repr_mimebundle_()
    assert "<iframe" in str(shown["text/html"])[:10]
    assert shown["image/png"][:4] == b"\x89PNG"
    assert "spend" in shown["text/plain"]


@pytest.mark.parametrize("name", ["discover", "label", "train", "recommend", "assign", "measure", "simulate"])
def test_help_names_every_setting(name: str) -> None:
    function = getattr(fd, name)
    text = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters
    assert "Keyword arguments:" in text
    assert all(each.annotation is not inspect.Parameter.empty for each in parameters.values())
    assert not {"out", "daily", "since", "experiment_name", "settings"} & set(parameters)
    # A module of the same name would replace the function once it is imported.
    assert callable(getattr(fd, name))
