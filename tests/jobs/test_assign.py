"""`firstday assign`, from a plan and a file of units to the table; and what is refused."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from firstday.experiments.buckets import bucket, pick
from tests.jobs.small import Collected, status

START = "2024-06-01T00:00:00Z"
HALVES = {"control": 0.5, "treatment": 0.5}
PLAIN: dict[str, Any] = {"experiment": "push", "variants": HALVES, "starts_at": START}
RAMP = [{"share": share, "starts_at": f"2024-06-{day:02}T00:00:00Z"} for share, day in ((0.1, 1), (0.5, 8))]

pytestmark = pytest.mark.usefixtures("restored_logs")


class Files:
    """Plans and units of one test, written where they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def assign(self, units: pd.DataFrame, *flags: str, **plan: Any) -> int:
        (self.folder / "plan.yml").write_text(yaml.safe_dump(PLAIN | plan))
        units.to_parquet(self.folder / "units.parquet")
        where = ["--plan", self.folder / "plan.yml", "--units", self.folder / "units.parquet"]
        return status(["assign", *where, "--out", self.out, *flags])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def people(count: int) -> pd.DataFrame:
    came = pd.Timestamp("2024-05-30", tz="UTC") + pd.to_timedelta(
        [45 * number for number in range(count)], unit="m"
    )
    return pd.DataFrame(
        {"user_id": range(count), "came": came.as_unit("us"), "country": ["DE", "JP"] * (count // 2)}
    )


def told(err: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in err.splitlines() if line.startswith("{")]


@pytest.mark.usefixtures("ansi")
def test_from_a_plan_to_assignments(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    units = people(400)  # who come in over 12 days
    plan: dict[str, Any] = {"holdout": {"share": 0.1}, "ends_at": "2024-06-10T00:00:00Z"}
    plan["shared_pool"] = True
    assert files.assign(units, "--instant-column", "came", **plan) == 0
    rows = collected.rows("assignments")
    in_time = units[(units["came"] < pd.Timestamp("2024-06-10", tz="UTC"))]
    expected = {
        str(unit): pick(bucket("push", str(unit)), HALVES)
        for unit in in_time["user_id"]
        if bucket("holdout", str(unit)) >= 0.1
    }
    assert dict(zip(rows["unit_id"], rows["variant"], strict=True)) == expected
    came = units.set_index(units["user_id"].astype(str))["came"][list(rows["unit_id"])]
    began = pd.to_datetime(rows["assigned_at"], utc=True)
    assert (began.to_numpy() == came.clip(lower=pd.Timestamp(START)).to_numpy()).all()
    assert began.nunique() > 1
    messages = [line["message"] for line in told(capfd.readouterr().err)]
    counts = Counter(expected.values())
    assert any(f"control {counts['control']:,}" in message for message in messages)
    assert any("share a pool" in message for message in messages)
    assert any("came in after the end" in message for message in messages)
    # Again: the same, and it is published.
    assert files.assign(units, "--instant-column", "came", **plan) == 0
    pd.testing.assert_frame_equal(collected.rows("assignments"), rows)
    assert [run.row_counts["assignments"] for run in collected.runs] == [len(rows)] * 2


def test_a_ramp_that_goes_on_keeps_everybody(collected: Collected, files: Files) -> None:
    units = people(200)
    first = RAMP[:1]
    assert files.assign(units, ramp=first, variants={"control": 0.9, "treatment": 0.1}) == 0
    before = collected.rows("assignments").set_index("unit_id")["variant"]
    assert files.assign(units, ramp=RAMP) == 0
    after = collected.rows("assignments").set_index(["stage", "unit_id"])["variant"]
    assert after[1].equals(before)
    assert (after[2][before[before == "treatment"].index] == "treatment").all()
    assert (after[2] == "treatment").mean() == pytest.approx(0.5, abs=0.1)


def test_nobody_is_assigned_anew(
    collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    units = people(200)
    assert files.assign(units, strata=["country"]) == 0
    for plan, list_of_units, message in (
        ({"strata": ["country"], "ramp": RAMP}, units, "must keep the variant"),
        ({"strata": ["country"]}, units[:-50], "give the list of the first run"),
        ({"experiment": "another"}, units, "one experiment's assignments, and this one those of 'push'"),
    ):
        assert files.assign(list_of_units, **plan) == 2, message
        assert message in capfd.readouterr().err
    assert len(collected.runs) == 1


def test_mistakes_are_told(collected: Collected, files: Files, capfd: pytest.CaptureFixture[str]) -> None:
    few = people(10)
    twice = pd.concat([few, few[:3].assign(country="FR")])
    unknown = few.assign(user_id=[None, None, *map(str, range(8))])
    named = few.assign(user_id=[f"user {number}" for number in range(10)])
    crossover = {"by": "odd_even", "period": "7d"}
    cases: list[tuple[pd.DataFrame, dict[str, Any], list[str], str]] = [
        (twice, {"strata": "country"}, [], "user_id is given more than once, with different values: 6"),
        (unknown, {}, [], "user_id is null"),
        (few[:0], {}, [], "Units must have rows"),
        (few, {"unit": "player"}, [], "must be a column of units. Got: 'player'"),
        (few, {"strata": "county"}, [], "Did you mean 'country'?"),
        (few, {"unit": "country", "cluster": "user_id"}, [], "given more than once"),
        (few, {"variants": {"control": 1.5, "treatment": -0.5}}, [], "above 0"),
        (few, {"ends_at": "2024-05-01T00:00:00Z"}, [], "swapped"),
        (few, {"ramp": RAMP[::-1]}, [], "must rise"),
        (named, {"crossover": crossover}, [], "needs whole numbers in user_id. Got: 'user 0'"),
        (few, {"layer": {"name": "l", "range": [0, 0.000001]}}, [], "Somebody must take part"),
        (few, {}, ["--instant-column", "user_id"], "--instant-column must be another column"),
        (few, {}, ["--instant-column", "country"], "country is not an ISO 8601 time"),
        (few, {}, ["--plan", "absent.yml"], "--plan must be a file that is there"),
    ]
    for units, plan, flags, message in cases:
        assert files.assign(units, *flags, **plan) == 2, message
        err = capfd.readouterr().err
        assert message in err, err
        assert "Traceback" not in err
    assert not collected.runs
