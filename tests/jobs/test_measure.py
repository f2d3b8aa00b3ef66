"""`firstday measure`, from units or a log to the table of results; and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tests.jobs.measured import CHATS, D1, DAY, MOMENT, RAMP, START, VISITS, Files, app, row, told
from tests.jobs.small import Collected, published, status

pytestmark = pytest.mark.usefixtures("restored_logs")


def people(count: int = 400) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "user_id": range(count),
            "variant": np.array(["control", "treatment"])[np.arange(count) % 2],
            "came": (START + pd.to_timedelta(draw.integers(0, 10, count), unit="D")).as_unit("us"),
            "country": draw.choice(["DE", "KR"], count),
            "back": draw.random(count) < 0.4,
            "spend": draw.normal(10, 3, count),
            "shown": draw.integers(1, 9, count),
        }
    )


COLUMNS = ("--control", "control", "--metric", "back")


@pytest.mark.real_data
def test_the_gate(collected: Collected, real_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = real_data / "cookie_cats" / "cookie_cats.parquet"
    flags = ["--unit", "userid", "--variant", "version", "--control", "gate_40"]
    flags += ["--metric", "retention_1", "--metric", "retention_7"]
    assert status(["measure", "--units", file, *flags, "--out", "memory"]) == 0
    results = collected.rows("experiment_results")
    first = results.iloc[0]
    assert (first["method"], first["segment"]) == ("sample_ratio", "all")
    assert (round(first["statistic"], 3), round(first["p_value"], 4)) == (6.902, 0.0086)
    assert "below 0.01 but not 0.001" in first["note"]
    for metric, values, points, statistic, p_value in (
        ("retention_1", (0.44819, 0.44228), 0.591, 1.784, 0.0744),
        ("retention_7", (0.19020, 0.18200), 0.820, 3.164, 0.00155),
    ):
        one = row(results, "difference", metric)
        assert (round(one["value_treatment"], 5), round(one["value_control"], 5)) == values
        assert round(100 * one["estimate"], 3) == points
        assert round(one["statistic"], 3) == statistic
        assert one["p_value"] == pytest.approx(p_value, rel=3e-3)
        assert (one["n_treatment"], one["n_control"]) == (44_700, 45_489)
        assert (one["treatment"], one["control"]) == ("gate_30", "gate_40")
    text = capfd.readouterr().out
    assert "below 0.01 but not 0.001" in text
    assert "retention_7     19.02%   18.20%  +0.82 points" in text
    assert b"below 0.01 but not 0.001" in collected.files["measure.html"]


@pytest.mark.usefixtures("ansi")
def test_units_with_dates_segments_and_a_covariate_are_published(
    spark: SparkSession, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    units = people()
    units.loc[units.index[:40], "spend"] = np.nan
    flags = ["--control", "control", "--metric", "spend", "--covariate", "shown", "--date", "came"]
    assert files.units(units, *flags, "--segments", "country", "--peeking") == 0
    results = published(files.out, "experiment_results")
    means = units.groupby("variant")["spend"].mean()
    one = row(results, "difference", "spend")
    assert one["estimate"] == pytest.approx(means["treatment"] - means["control"])
    assert one["n_treatment"] + one["n_control"] == 360
    assert set(results["segment"]) == {"all", "country=DE", "country=KR"}
    dates = results[results["method"] == "difference_to_date"]["date"]
    assert sorted(dates) == sorted(units["came"].dt.date.unique())
    assert {"cuped", "always_valid", "relative_lift"} <= set(results["method"])
    sums = published(files.out, "experiment_sums")
    assert sums[sums["segment"] == "all"]["units"].sum() == 400
    assert (files.out / "measure.html").is_file()
    assert "40 of 400 users have no value and are left out" in capfd.readouterr().out


@pytest.mark.usefixtures("ansi")
def test_a_plan_with_assignments_and_a_log(collected: Collected, files: Files) -> None:
    assignments, events = app()
    users = pd.DataFrame({"user_id": assignments["unit_id"], "country": ["DE", "KR", "US"] * 200})
    plan = {"metrics": [D1, MOMENT, CHATS, VISITS], "encouragement": {"moment": "moment", "outcome": "d1"}}
    flags = ["--users", files.saved("users", users), "--segments", "country", "--exposure", "chat"]
    assert files.log(assignments, events, *flags, **plan) == 0
    results = collected.rows("experiment_results")
    after = events.merge(assignments, left_on="user_id", right_on="unit_id")
    after = after[after["occurred_at"] >= after["assigned_at"]]
    chats = after[after["action"] == "chat"].groupby("unit_id").size()
    variants = assignments.set_index("unit_id")["variant"]
    means = chats.reindex(variants.index, fill_value=0).groupby(variants).mean()
    one = row(results, "difference", "chats")
    assert one["estimate"] == pytest.approx(means["treatment"] - means["control"])
    assert row(results, "difference", "d1")["verdict"] == "better"
    reached = row(results, "encouragement", "d1")
    assert reached["low"] < 0.5 < reached["high"]
    assert reached["part"] == "moment"
    assert set(results["population"]) == {"all", "triggered"}
    assert {"novelty", "novelty_trend", "cuped"} <= set(results["method"])
    assert {f"country={name}" for name in ("DE", "KR", "US")} <= set(results["segment"])
    run = collected.runs[-1]
    assert run.horizon == (START + 15 * DAY).to_pydatetime()
    assert set(run.inputs) == {"assignments", "events", "users"}


def test_a_log_that_ends_before_the_horizon_is_told_of(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    assignments, events = app(60)
    assert files.log(assignments, events, "--horizon", "2024-06-25T00:00:00Z", metrics=[VISITS]) == 0
    assert "The log ends on 2024-06-16 00:00 UTC, before the horizon" in capfd.readouterr().out


@pytest.mark.usefixtures("ansi")
def test_mistakes_in_units_are_told(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    few = people(40)
    both = pd.concat([few, few[:3].assign(variant="treatment")])
    endless = few.assign(spend=few["spend"].where(few.index > 0, np.inf))
    words = few.assign(spend="much")
    lists = few.assign(spend=[[1.0]] * 40)
    alone = few.assign(variant="control")
    halves = "control=0.5,treatment=0.5"
    spend = ("--control", "control", "--metric", "spend")
    cases: list[tuple[pd.DataFrame, tuple[str, ...], str]] = [
        (alone, COLUMNS, "A comparison needs two variants"),
        (alone, (*COLUMNS, "--shares", halves), "Each variant of the plan has units"),
        (both, (*COLUMNS, "--max-bad-share", "0"), "A unit has one variant"),
        (few, (*COLUMNS, "--shares", "control=0.5,other=0.5"), "Each variant is one of the plan's"),
        (few, (*COLUMNS, "--shares", "control=1.5,treatment=-0.5"), "each share must be above 0"),
        (few, (*COLUMNS, "--shares", "control=0.5,treatment=0.4"), "must add up to 1"),
        (few, ("--control", "controll", "--metric", "back"), "must be one of the variants: control, treat"),
        (few, ("--control", "control", "--metric", "bak"), "Did you mean 'back'?"),
        (words, spend, "spend is not a number"),
        (lists, spend, "Spend of units must be numbers"),
        (endless, spend, "finite numbers"),
        (few, (*COLUMNS, "--variant", "group"), "--variant must be a column of units. Got: 'group'"),
        (few, (*COLUMNS, "--date", "country"), "is not an ISO 8601 time"),
        (few, ("--metric", "back"), "control must be given"),
        (few, ("--control", "control"), "metric must be given"),
        (few, (*COLUMNS, "--events", "e"), "--events goes with --assignments"),
    ]
    for units, flags, message in cases:
        assert files.units(units, *flags) == 2, message
        err = capfd.readouterr().err
        assert message in told(err), err
        assert "Traceback" not in err
    assert not collected.runs


def test_mistakes_in_plans_and_logs_are_told(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    assignments, events = app(20)
    swapped = assignments.assign(valid_to=assignments["assigned_at"] - DAY)
    late = assignments.assign(assigned_at=events["occurred_at"].max() + DAY)
    both = pd.concat([assignments, assignments[:2].assign(variant="treatment")])
    stranger = assignments.assign(variant=assignments["variant"].where(assignments.index > 0, "other"))
    alone = assignments.assign(variant="control")
    plain: dict[str, Any] = {"metrics": [VISITS]}
    cases: list[tuple[pd.DataFrame, tuple[str, ...], dict[str, Any], str]] = [
        (assignments, (), {"metrics": []}, "The plan says what is measured"),
        (swapped, (), plain, "A variant ends after it begins"),
        (late, (), plain, "Units must be assigned before the end of the log"),
        (both, ("--max-bad-share", "0"), plain, "A unit has one variant at a time"),
        (stranger, (), plain, "Each variant is one of the plan's: control, treatment"),
        (alone, (), plain, "Each variant of the plan has units"),
        (assignments, ("--exposure", "chatt"), plain, "Some unit must have been exposed to the change"),
        (assignments, (), plain | {"experiment": "other"}, "rows of the plan's experiment, 'other'"),
        (assignments, ("--segments", "country"), plain, "Give --users"),
        (assignments, (), {"metrics": [{"name": "clicks", "kind": "click_rate"}]}, "Give --impressions"),
        (assignments, (), plain | {"variants": {"control": 1.5, "treatment": -0.5}}, "above 0"),
        (assignments, (), plain | {"ends_at": "2024-05-01T00:00:00Z"}, "swapped"),
        (assignments, (), {"metrics": [VISITS, VISITS]}, "each metric must have a name of its own"),
        (assignments, (), plain | {"ramp": RAMP}, "must have the column 'stage'"),
    ]
    for rows, flags, plan, message in cases:
        assert files.log(rows, events, *flags, **plan) == 2, message
        err = capfd.readouterr().err
        assert message in told(err), err
        assert "Traceback" not in err
    assert not collected.runs


def test_variants_select_the_arms_and_leave_no_variant_aside(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    units = people(900)
    units["variant"] = np.array(["control", "test", "not_in_test", "not_in_test"])[np.arange(900) % 4]
    assert files.units(units, *COLUMNS) == 0
    told_of_all = capfd.readouterr().out
    assert "not_in_test fits least" in told_of_all
    assert "--variants control,test" in told_of_all
    assert set(collected.rows("experiment_results")["verdict"]) == {"withheld"}
    collected.clear()
    assert files.units(units, *COLUMNS, "--variants", "control,test") == 0
    results = collected.rows("experiment_results")
    assert set(results["treatment"].dropna()) == {"test"}
    assert (row(results, "difference", "back")[["n_treatment", "n_control"]] == 225).all()
    assert results.iloc[0]["verdict"] == "passes"


def test_an_outcome_before_the_assignment_and_metrics_that_say_nothing(
    collected: Collected, files: Files
) -> None:
    units = people(60).assign(constant=1.0, nothing_shown=0)
    moved = pd.to_timedelta(np.where(np.arange(60) < 20, -1, 1), unit="D")
    units["back_at"] = (units["came"] + moved).dt.as_unit("us")
    units["back"] = True
    metrics = [
        {"name": "back", "kind": "column", "value": "back", "value_at": "back_at"},
        {"name": "constant", "kind": "column", "value": "constant"},
        {"name": "rate", "kind": "column", "value": "spend", "denominator": "nothing_shown"},
    ]
    plan = files.planned(metrics=metrics)
    assert files.units(units, "--plan", plan, "--date", "came") == 0
    results = collected.rows("experiment_results")
    assert row(results, "difference", "back")["value_control"] == pytest.approx(2 / 3)
    for metric, note in (("constant", "nothing varies"), ("rate", "denominators add up to 0")):
        one = row(results, "difference", metric)
        assert (one["verdict"], note in one["note"]) == ("cannot tell", True)
