"""`firstday measure` on what teams have: the right figures, a sentence on what is odd, or a refusal."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import ttest_ind

from tests.jobs.measured import CHATS, DAY, PLAN, START, VISITS, Files, app, row, told
from tests.jobs.small import Collected, status

pytestmark = pytest.mark.usefixtures("restored_logs")
COLUMNS = ("--control", "control", "--metric", "spend")


def arms(count: int = 400) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    variant = np.array(["control", "treatment"])[np.arange(count) % 2]
    return pd.DataFrame({"user_id": range(count), "variant": variant, "spend": draw.normal(10, 3, count)})


def test_a_large_level_with_a_small_spread(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(1)
    units = arms(4_000)
    treated = units["variant"] == "treatment"
    units["spend"] = 100_000 + draw.normal(size=4_000) + 0.5 * treated
    early = draw.normal(size=4_000)
    units["score"] = 3 * early + draw.normal(scale=0.9, size=4_000) + 0.1 * treated
    units["signed_up"] = 1.7e9 + 3_600 * early
    flags = ("--control", "control", "--metric", "spend,score", "--covariate", "signed_up")
    assert files.units(units, *flags) == 0
    results = collected.rows("experiment_results")
    one = row(results, "difference", "spend")
    test = ttest_ind(units["spend"][treated], units["spend"][~treated], equal_var=False)
    values = units["spend"].to_numpy(np.longdouble)
    effect = values[treated].mean() - values[~treated].mean()
    error = np.sqrt(sum(values[arm].var(ddof=1) / arm.sum() for arm in (treated, ~treated)))
    assert one["estimate"] == pytest.approx(float(effect), rel=1e-9)
    assert one["standard_error"] == pytest.approx(float(error), rel=1e-9)
    assert one["p_value"] == pytest.approx(test.pvalue, rel=1e-6)
    assert one["value_control"] == pytest.approx(float(values[~treated].mean()), rel=1e-12)
    lift = row(results, "relative_lift", "spend")
    assert lift["estimate"] == pytest.approx(float(effect / values[~treated].mean()), rel=1e-9)
    note = row(results, "cuped", "score")["note"]
    assert 0.88 < -float(note.removeprefix("variance ").removesuffix("%")) / 100 < 0.95
    sums = collected.rows("experiment_sums")
    own = sums[(sums["metric"] == "spend") & (sums["variant"] == "control")]
    assert own["y"].sum() == pytest.approx(units["spend"][~treated].sum(), rel=1e-12)


def test_variants_as_they_are_logged(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    units = arms()
    blanks = pd.Series([" ", "\t", "\u00a0"]).reindex(units.index, fill_value="")
    padded = units.assign(variant=units["variant"] + blanks)
    assert files.units(padded, *COLUMNS) == 0
    whole = collected.rows("experiment_results")
    assert set(whole["treatment"].dropna()) == {"treatment"}
    # Three units of a variant that nobody planned: named, with two ways on.
    stray = units.assign(variant=units["variant"].where(units.index > 2, "treatmnt"))
    capfd.readouterr()
    assert files.units(stray, *COLUMNS) == 2
    message = told(capfd.readouterr())
    assert "'treatmnt': 3 of 400" in message
    assert "--variants" in message
    assert "--shares" in message
    collected.clear()
    assert files.units(stray, *COLUMNS, "--variants", "control,treatment") == 0
    assert row(collected.rows("experiment_results"), "difference")[["n_control", "n_treatment"]].sum() == 397
    assert "3 units of other variants" in told(capfd.readouterr())
    # Units in both arms are left out and counted; many of them are refused.
    both = pd.concat([units, units[:4].assign(variant="treatment"), units[:4].assign(variant="control")])
    both = both.drop_duplicates(["user_id", "variant"])
    collected.clear()
    assert files.units(both, *COLUMNS) == 0
    assert "4 units were in two variants" in told(capfd.readouterr())
    assert row(collected.rows("experiment_results"), "difference")[["n_control", "n_treatment"]].sum() == 396
    many = pd.concat([units, units[units["variant"] == "control"][:50].assign(variant="treatment")])
    assert files.units(many, *COLUMNS) == 2
    assert "A unit has one variant" in told(capfd.readouterr())


def test_a_whale_is_named_and_may_be_capped(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    units = arms(4_000)
    treated = units["variant"] == "treatment"
    units["spend"] = units["spend"] + treated
    units.loc[0, "spend"] = 1_000_000.0
    assert files.units(units, *COLUMNS) == 0
    assert "one unit of 'control' carries 98%" in told(capfd.readouterr())
    assert row(collected.rows("experiment_results"), "difference")["verdict"] == "no effect shown"
    for cap, limit in (("30", 30.0), ("99.5%", np.quantile(units["spend"], 0.995))):
        collected.clear()
        assert files.units(units, *COLUMNS, "--cap", cap) == 0
        one = row(collected.rows("experiment_results"), "difference")
        capped = units["spend"].clip(upper=limit)
        assert one["estimate"] == pytest.approx(capped[treated].mean() - capped[~treated].mean())
        assert one["verdict"] == "better"
        assert "spend is capped at" in told(capfd.readouterr())
    # A cap for most units is a slip: 0.99 is no quantile.
    assert files.units(units, *COLUMNS, "--cap", "0.99") == 2
    assert "99%" in told(capfd.readouterr())
    # A loss may be a whale, too; no cap from above makes it smaller.
    units.loc[0, "spend"] = -1_000_000.0
    assert files.units(units, *COLUMNS) == 0
    assert "1,000,000 of 1,0" in told(capfd.readouterr())


def test_text_of_truth_values_and_what_is_none(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    units = arms(200).assign(back=np.arange(200) % 3 == 0, met=np.arange(200) % 4 == 0)
    right = units.groupby("variant")["back"].mean()
    file = tmp_path / "units.csv"
    flags = ("--control", "control", "--metric", "back", "--triggered", "met", "--out", "memory")
    units.to_csv(file, index=False)  # True and False, as pandas writes them
    assert status(["measure", "--units", file, *flags]) == 0
    one = row(collected.rows("experiment_results"), "difference", "back")
    assert one["estimate"] == pytest.approx(right["treatment"] - right["control"])
    lines = tmp_path / "units.jsonl"
    units.to_json(lines, orient="records", lines=True)
    collected.clear()
    assert status(["measure", "--units", lines, *flags]) == 0
    assert row(collected.rows("experiment_results"), "difference", "back")["estimate"] == one["estimate"]
    # What Java alone takes for a number is a bad row.
    odd = units.astype({"spend": str})
    odd.loc[[0, 1, 2], "spend"] = ["10d", "0x1p3", "n/a"]
    odd.to_csv(file, index=False)
    collected.clear()
    assert status(["measure", "--units", file, *COLUMNS, "--out", "memory"]) == 0
    assert set(collected.rows("quarantine")["reason"]) == {"spend is not a number"}
    assert row(collected.rows("experiment_results"), "difference")[["n_control", "n_treatment"]].sum() == 197


def test_what_is_delivered_twice_counts_once(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    assignments, events = app(200)
    events = events.assign(event_id=[f"e{n}" for n in range(len(events))], value=2.0)
    treated = set(assignments.loc[assignments["variant"] == "treatment", "unit_id"])
    retried = events[events["user_id"].isin(treated)]
    again = retried.assign(occurred_at=retried["occurred_at"] + pd.Timedelta("2s"))
    amount = {"name": "amount", "kind": "sum", "value": "value"}
    metrics = [CHATS, VISITS, amount]
    assert files.log(assignments, events, metrics=metrics) == 0
    right = collected.rows("experiment_results")
    collected.clear()
    twice = pd.concat([events, again]).sort_values("user_id", ignore_index=True)
    assert files.log(assignments, twice, metrics=metrics) == 0
    assert f"{len(again):,} rows of events were delivered before" in told(capfd.readouterr())
    found = collected.rows("experiment_results")
    columns = ["metric", "method", "estimate", "value_treatment", "value_control"]
    pd.testing.assert_frame_equal(found[columns], right[columns])


def test_impressions_by_their_id_and_kinds_by_any_case(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    assignments, events = app(120)
    shown = pd.DataFrame(
        {
            "impression_id": [f"i{n}" for n in range(360)],
            "user_id": np.repeat(assignments["unit_id"].to_numpy(), 3),
            "category": "news",
            "shown_at": np.repeat((assignments["assigned_at"] + pd.Timedelta("1h")).to_numpy(), 3),
        }
    )
    shown["shown_at"] = shown["shown_at"].astype("datetime64[us, UTC]")
    clicked = shown[::4]
    kinds = np.array(["Click", "CLICK", "click"])[np.arange(len(clicked)) % 3]
    reactions = pd.DataFrame(
        {"impression_id": clicked["impression_id"], "kind": kinds, "reacted_at": clicked["shown_at"]}
    )
    rate = {"name": "clicks", "kind": "click_rate"}

    def measured(shown: pd.DataFrame, reactions: pd.DataFrame) -> int:
        more = ("--impressions", files.saved("shown", shown), "--reactions", files.saved("acts", reactions))
        return files.log(assignments, events, *more, metrics=[rate])

    assert measured(pd.concat([shown, shown, shown]), reactions) == 0
    one = row(collected.rows("experiment_results"), "difference", "clicks")
    merged = shown.merge(assignments, left_on="user_id", right_on="unit_id")
    merged["clicked"] = merged["impression_id"].isin(clicked["impression_id"])
    right = merged.groupby("variant")["clicked"].mean()
    assert (one["value_control"], one["value_treatment"]) == pytest.approx(
        (right["control"], right["treatment"])
    )
    assert "720 rows of impressions were delivered before" in told(capfd.readouterr())
    assert measured(shown, reactions.assign(kind="clicked")) == 2
    assert "'clicked'" in told(capfd.readouterr())


def test_assignments_from_exposures(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    assignments, events = app(200)
    metrics = [CHATS]
    assert files.log(assignments, events, metrics=metrics) == 0
    right = collected.rows("experiment_results")
    exposures = assignments.rename(columns={"unit_id": "user_id", "assigned_at": "occurred_at"})
    exposures = exposures.assign(action="$flag_called")
    later = exposures[:50].assign(occurred_at=exposures["occurred_at"] + DAY)  # called again and again
    others = exposures[:70].assign(experiment="other", variant="blue", occurred_at=START - 3 * DAY)
    log = pd.concat([events, exposures, later, others], ignore_index=True)
    log["properties"] = [
        {"flag": flag, "response": response} if isinstance(flag, str) else None
        for flag, response in zip(log["experiment"], log["variant"], strict=True)
    ]
    log["occurred_at"] = log["occurred_at"].astype("datetime64[us, UTC]")
    flags = ["--plan", files.planned(metrics=metrics), "--exposure-action", "$flag_called"]
    flags += ["--variant", "properties.response", "--columns", "experiment=properties.flag"]
    events_file = files.saved("log", log.drop(columns=["experiment", "variant"]))
    collected.clear()
    assert status(["measure", "--events", events_file, *flags, "--out", "memory"]) == 0
    found = collected.rows("experiment_results")
    columns = ["metric", "method", "estimate", "n_treatment", "n_control"]
    pd.testing.assert_frame_equal(found[columns], right[columns])
    # Who is in no arm says so in the same column, and is left out as of a table of assignments.
    outside = others.assign(experiment="push", variant="not_in_test", user_id=others["user_id"] + "x")
    outside["properties"] = [{"flag": "push", "response": "not_in_test"}] * len(outside)
    both = pd.concat([log, outside]).drop(columns=["experiment", "variant"])
    both["occurred_at"] = both["occurred_at"].astype("datetime64[us, UTC]")
    flags += ["--variants", "control,treatment"]
    collected.clear()
    assert status(["measure", "--events", files.saved("both", both), *flags, "--out", "memory"]) == 0
    pd.testing.assert_frame_equal(collected.rows("experiment_results")[columns], right[columns])


def test_ids_that_never_meet_stop_a_measurement(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    assignments, events = app(60)
    padded = events.assign(user_id=events["user_id"].str.upper())
    assert files.log(assignments, padded, metrics=[VISITS]) == 2
    assert "written alike" in told(capfd.readouterr())
    assert not collected.runs


def test_names_in_yaml_stay_as_they_are_written(
    collected: Collected, files: Files, tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    from firstday.settings import read_plan

    text = (
        yaml.safe_dump(PLAN)
        .replace("push", "0010")
        .replace("control:", "off:")
        .replace("treatment:", "1.10:")
    )
    (tmp_path / "plan.yml").write_text(text + "control: off\n")
    plan = read_plan(tmp_path / "plan.yml")
    assert (plan.experiment, plan.salt) == ("0010", "0010")
    assert dict(plan.variants) == {"off": 0.5, "1.10": 0.5}
    (tmp_path / "quoted.yml").write_text(text.replace("0010", "'0010'") + "control: 'off'\n")
    assert read_plan(tmp_path / "quoted.yml") == plan


def test_ramps_trends_and_ratios_of_a_large_level(collected: Collected, files: Files) -> None:
    """Half a million more a day for everybody changes no effect."""
    count, days, level = 120, 12, 524_288.0
    draw = np.random.default_rng(8)
    treated = np.arange(count) % 2 == 1
    at = START + pd.to_timedelta(draw.integers(0, 20, count), unit="h")
    assignments = pd.DataFrame({"unit_id": [f"u{n}" for n in range(count)], "experiment": "push"})
    assignments["variant"] = np.where(treated, "treatment", "control")
    assignments["assigned_at"] = at.as_unit("us")
    who, day = np.repeat(np.arange(count), days), np.tile(np.arange(days), count)
    events = pd.DataFrame({"user_id": assignments["unit_id"].to_numpy()[who], "action": "pay"})
    events["occurred_at"] = (at[who] + (day + 0.1) * DAY).as_unit("us")
    value = level + np.round(draw.normal(size=len(who)), 3) + 0.5 * treated[who]
    stages = pd.concat([assignments.assign(stage=1), assignments.assign(stage=2)], ignore_index=True)
    late = stages["stage"] == 2
    stages.loc[late, "assigned_at"] = START + 5 * DAY
    stages.loc[~late & (np.arange(len(stages)) % 4 == 1), "variant"] = "control"
    ramp = [
        {"share": share, "starts_at": f"2024-06-{on:02}T00:00:00Z"} for share, on in ((0.25, 1), (0.5, 6))
    ]
    metric = {"name": "paid", "kind": "sum", "value": "value", "window": "2d"}
    columns = ["method", "part", "estimate", "low", "high", "standard_error", "p_value"]

    def both(rows: pd.DataFrame, **plan: Any) -> list[pd.DataFrame]:
        found = []
        for less in (0.0, level):
            collected.clear()
            log = events.assign(value=value - less)
            assert files.log(rows, log, metrics=[metric], **plan) == 0
            results = collected.rows("experiment_results")
            found.append(results[~results["method"].isin(["sample_ratio", "relative_lift"])])
        return found

    for rows, plan, method in ((assignments, {}, "novelty_trend"), (stages, {"ramp": ramp}, "ramp_stage")):
        high, low = both(rows, **plan)
        assert method in set(high["method"])
        pd.testing.assert_frame_equal(high[columns], low[columns], check_dtype=False, rtol=1e-9, atol=1e-300)
        known = high[high["value_control"].notna()]
        assert (known["value_control"] > level / 2).all()

    # A ratio of one for a hundred thousand, whose units differ in the sixth digit.
    units = arms(400)
    units["shown"] = draw.integers(1, 9, 400).astype(float)
    units["paid"] = units["shown"] * level + units["spend"] + (units["variant"] == "treatment")
    ratio = {"name": "rate", "kind": "column", "value": "paid", "denominator": "shown"}
    planned = files.planned(metrics=[ratio])
    estimates = []
    for less in (0.0, level):
        collected.clear()
        assert files.units(units.assign(paid=units["paid"] - less * units["shown"]), "--plan", planned) == 0
        estimates.append(row(collected.rows("experiment_results"), "difference", "rate"))
    numbers = ["estimate", "low", "high", "standard_error", "p_value"]
    assert estimates[0][numbers].tolist() == pytest.approx(estimates[1][numbers].tolist(), rel=1e-9, abs=0)
    assert estimates[0]["value_control"] == pytest.approx(estimates[1]["value_control"] + level, rel=1e-12)
